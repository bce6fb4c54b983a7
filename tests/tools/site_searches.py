"""What the small model finds in real images, for its page of the site: drawn as the site is built, never committed.

UC Merced's images are in the public domain and may be shown. Each of the categories is a query, by its name; the test
images with the highest scores are shown as they come, right or wrong.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.category_names import category_words

if TYPE_CHECKING:
    from utils.search import Hit

PAGE = "earth_small.md"  # in the site
MODEL = Path("data/checkpoints/clip-earth-small")
SEARCHES = re.compile(r"<!-- searches: make site draws them -->\n.*?<!-- end of searches -->", re.DOTALL)
# Chosen before anything was searched for; of the others the page gives the count.
# fmt: off
SHOWN = (
    "airplane", "baseballdiamond", "harbor", "mobilehomepark", "overpass", "river", "storagetanks", "tenniscourt",
)
# fmt: on
DRAWING = "search_of_{}.jpg"
BEST = 4  # hits of each query
INTRODUCTION = """\
Each query is the name of one of UC Merced's categories, and what it finds among the test images is shown as it
came, best first, when this site was built: ✓ is an image of that category, ✗ one of another, whose name stands there.
Which categories are shown was settled before any was searched for. None of these images was trained on, but others of
each category were, with its name.

Images: UC Merced Land Use, cut from the USGS National Map Urban Area Imagery, in the public domain; Yang and Newsam
2010, *Bag-of-visual-words and spatial extensions for land-use classification*. Split: Qu et al. 2016."""
WIDTH, DPI = 5.0, 126  # inches and dots per inch: letters that can be read at a phone's width


@dataclass(frozen=True)
class CategorySearch:
    """The best hits for the name of a category."""

    category: str  # as the data set has it
    query: str
    hits: list[Hit]

    @property
    def right(self) -> int:
        """How many of the hits are of the category."""
        return sum(hit.category == self.category for hit in self.hits)

    @property
    def drawing(self) -> str:
        """The name of the file that shows the hits."""
        return DRAWING.format(self.category)


def search_categories(root: Path, data_dir: Path | None) -> list[CategorySearch]:
    """Asks the small model for each of UC Merced's categories, in the order of the alphabet, over its test images.

    Nothing is found where the data set is not: below ``data_dir``, by default `data` in the checkout.
    """
    from utils.clip import CLIP
    from utils.datasets import find_dataset, load_dataset
    from utils.search import ImageIndex

    if find_dataset("ucm", data_dir) is None:
        return []
    images = load_dataset("ucm", data_dir, split="test")
    index = ImageIndex.build(CLIP.from_pretrained(root / MODEL), images, progress=False)
    categories = sorted({item.category for item in images if item.category})
    queries = {category: category_words(category) for category in categories}
    return [CategorySearch(name, query, index.query_text(query, k=BEST)) for name, query in queries.items()]


def draw_searches(searches: list[CategorySearch], folder: Path) -> str:
    """Draws the searches that are shown into a folder, and returns the Markdown that shows them there."""
    from utils.datasets import read_image
    from utils.plots import image_grid
    from utils.plots.look import GREEN, ORANGE

    blocks = [INTRODUCTION]
    for search in (search for search in searches if search.category in SHOWN):
        names = [category_words(hit.category or "no category") for hit in search.hits]
        right = [hit.category == search.category for hit in search.hits]
        titles = [textwrap.fill(f"{'✓' if good else '✗'} {name}", 16) for good, name in zip(right, names, strict=True)]
        images = [read_image(hit.path, hit.reading) for hit in search.hits]
        figure = image_grid(images, titles, columns=BEST, width=WIDTH)
        for axis, good in zip(figure.axes, right, strict=True):
            axis.title.set_color(GREEN if good else ORANGE)
        figure.savefig(folder / search.drawing, dpi=DPI, bbox_inches="tight", pil_kwargs={"quality": 80})
        blocks.append(f"**{search.query}**: {search.right} of {len(names)}")
        blocks.append(f"![Found for “{search.query}”, best first: {', '.join(names)}]({search.drawing})")
    return "\n\n".join([*blocks, count_right(searches)])


def count_right(searches: list[CategorySearch]) -> str:
    """The sentence on all categories, shown or not, and on those that were found in half of their hits or less."""
    right, hits = (sum(counts) for counts in zip(*((of.right, len(of.hits)) for of in searches), strict=True))
    worst = [f"{of.query} ({of.right} of {len(of.hits)})" for of in searches if of.right <= len(of.hits) / 2]
    said = f"Asked so for all {len(searches)} categories, {right} of {hits} hits were of the category"
    return f"{said}; half of them or fewer for {', '.join(worst)}." if worst else f"{said}."
