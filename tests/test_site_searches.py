"""The searches on the small model's page: what is shown is what was found, and without the images a sentence stands."""

import re

import build_site
import site_searches
from PIL import Image
from site_searches import CategorySearch, count_right, draw_searches, search_categories

from utils.search import Hit


def search(tmp_path, category: str, found: list[str]) -> CategorySearch:
    """A search whose hits are of the categories given."""
    Image.new("RGB", (8, 8), "green").save(tmp_path / "one.png")
    hits = [Hit(rank, 0.5, tmp_path / "one.png", (), name, "ucm") for rank, name in enumerate(found, start=1)]
    return CategorySearch(category, site_searches.category_words(category), hits)


def test_right_and_wrong_are_told_as_they_were_found(tmp_path):
    found = search(tmp_path, "storagetanks", ["storagetanks", "buildings", "storagetanks", "storagetanks"])
    page = draw_searches([found, search(tmp_path, "beach", ["river"] * 4)], tmp_path)
    assert "**storage tanks**: 3 of 4\n" in page and "Yang and Newsam" in page
    alternative = "Found for “storage tanks”, best first: storage tanks, buildings, storage tanks, storage tanks"
    assert f"![{alternative}](search_of_storagetanks.jpg)" in page
    with Image.open(tmp_path / "search_of_storagetanks.jpg") as drawn:
        assert drawn.width > 2 * drawn.height
    # What is not shown counts all the same.
    assert not (tmp_path / "search_of_beach.jpg").exists()
    assert page.endswith("3 of 8 hits were of the category; half of them or fewer for beach (0 of 4).")


def test_the_sentence_on_all_ends_early_where_none_is_bad(tmp_path):
    assert count_right([search(tmp_path, "beach", ["beach"] * 4)]).endswith("4 of 4 hits were of the category.")


def test_without_the_images_nothing_is_searched_and_the_page_says_where_they_would_come_from(root, tmp_path):
    assert search_categories(root, tmp_path) == []
    place = next(name for name, place in build_site.pages(root).items() if place == site_searches.PAGE)
    (stands,) = site_searches.SEARCHES.findall((root / place).read_text(encoding="utf-8"))
    assert "make site DATA_DIR=folder" in stands


def test_the_small_model_finds_most_of_what_it_is_asked_for(root, shared):
    searches = search_categories(root, shared / "data")
    assert [found.category for found in searches] == sorted(found.category for found in searches)
    assert len(searches) == 21 and set(site_searches.SHOWN) <= {found.category for found in searches}
    assert all(len(found.hits) == site_searches.BEST for found in searches)
    assert all(re.fullmatch(r"\d+\.jpg", hit.path.name) for found in searches for hit in found.hits)
    assert sum(found.right for found in searches) > 60  # 70 of 84 when this was written; by chance 4
