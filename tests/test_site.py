"""The site: every page is in it, its links lead somewhere, and a phone in the dark asks no other host for anything.

What builds it, Sphinx, is an extra: without it the parts that need a built site are skipped. SITE=runs/site looks at
one that is built already.
"""

import functools
import http.server
import importlib.util
import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from build_site import COLAB_BADGE, build, contents, main, pages, pictures, relink
from site_reference import modules, offered
from site_reference import pages as reference_pages
from site_searches import SHOWN

REPOSITORY = "https://github.com/somebody/course/KIND/v1"
WITHOUT_SPHINX = importlib.util.find_spec("sphinx_book_theme") is None


def needs_sphinx(test):
    """Marks a test of a built site, which takes half a minute to build and a browser to look at."""
    without = pytest.mark.skipif(WITHOUT_SPHINX, reason="Sphinx is not installed; make site installs it")
    return pytest.mark.page(without(test))


# --- what is laid out -------------------------------------------------------------------------------------------


def test_every_notebook_solution_page_and_drawing_is_in_it(root):
    moved = pages(root) | pictures(root)
    lessons = {path.relative_to(root).as_posix() for path in (root / "nbs").rglob("*.ipynb")}
    own = {f"docs/{path.name}" for path in (root / "docs").glob("*.md")}
    assert {name for name in lessons if ".ipynb_checkpoints" not in name} | own <= moved.keys()
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "nbs/glossary.md", "nbs/teacher.md"} <= moved.keys()
    assert len(set(moved.values())) == len(moved)
    listed = contents(root) + "".join(name for name in moved if "solutions/" in name)
    assert [name for name in pages(root).values() if name != "index.md" and name not in listed] == []


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("README.md", "nbs/glossary.md#words", "nbs/glossary.md#words"),
        ("README.md", "docs/speed.md", "speed.md"),
        ("docs/speed.md", "../README.md#results", "index.md#results"),
        ("docs/speed.md", "../nbs/images/demo.jpg", "nbs/images/demo.jpg"),
        ("docs/speed.md", "results.md", "results.md"),
        ("nbs/glossary.md", "../docs/speed.md", "../speed.md"),
        ("nbs/glossary.md", "../utils/clip/model.py#L3", "https://github.com/somebody/course/blob/v1/utils/clip/model.py#L3"),
        ("nbs/glossary.md", "solutions/", "https://github.com/somebody/course/tree/v1/nbs/solutions"),
        ("nbs/00_x.ipynb", COLAB_BADGE, "../_static/open_in_colab.svg"),
        ("README.md", "nbs/gone.ipynb", "nbs/gone.ipynb"),
        ("README.md", "#troubles", "#troubles"),
        ("README.md", "https://example.org/nbs/glossary.md", "https://example.org/nbs/glossary.md"),
    ],
)  # fmt: skip
def test_links_lead_to_where_things_now_are(root, page, link, there):
    moved = {"README.md": "index.md", "docs/speed.md": "speed.md", "docs/results.md": "results.md"}
    moved |= {name: name for name in ("nbs/glossary.md", "nbs/00_x.ipynb", "nbs/images/demo.jpg")}
    assert relink(f"a [word]({link}), a word", page, moved, root, REPOSITORY) == f"a [word]({there}), a word"


def test_the_reference_has_a_page_for_every_room_and_an_entry_for_every_name(root):
    rooms = {
        path.stem for path in (root / "utils").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    texts = reference_pages(root)
    assert {f"reference/utils.{room}.rst" for room in rooms - {"__init__"}} <= texts.keys()
    read = modules(root)
    defined = {f"{module.name}.{name}" for module in read for name in module.public}
    entries = re.findall(r"^\.\. (?:autofunction|autoclass|py:data)::", "\n".join(texts.values()), re.MULTILINE)
    assert len(entries) == len(defined) > 300
    known = {module.name: module for module in read}
    handed_on = {target for module in read for target in offered(module, known).values()}
    listed = re.findall(r"^:doc:`(.+)`\n   \w.+[.?]$", texts["reference/index.rst"], re.MULTILINE)
    assert {f"reference/{room}.rst" for room in listed} == texts.keys() - {"reference/index.rst"}
    assert len(handed_on) > 100 and handed_on - defined - known.keys() == set()


@pytest.mark.skipif(not WITHOUT_SPHINX, reason="Sphinx is installed")
def test_without_sphinx_one_sentence_says_what_installs_it(root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(root)
    assert main([str(tmp_path / "site")]) == 2
    assert re.fullmatch(r"make site: Sphinx is not installed; .*\n", capsys.readouterr().err)
    assert not (tmp_path / "site").exists()


# --- what is built ----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The identifiers of a page, its links, and what a browser fetches for it."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links, self.fetched = {""}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.fetched.append(given["href"])
        elif given.get("src"):
            self.fetched.append(given["src"])


@pytest.fixture(scope="module")
def site(root, tmp_path_factory) -> Path:
    if named := os.environ.get("SITE"):
        return root / named
    folder, real = tmp_path_factory.mktemp("built") / "site", root.parent / "shared" / "data"
    build(root, folder, real if real.is_dir() else None)
    return folder


@pytest.fixture(scope="module")
def built(site) -> dict[str, Page]:
    """The pages by their place in the site."""
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(paths)}


@needs_sphinx
def test_links_inside_lead_to_a_page_and_a_place_in_it(site, built):
    broken, checked = [], 0
    for name, page in built.items():
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = os.path.normpath(Path(name).parent / unquote(parts.path)) if parts.path else name
            checked += 1
            inside = target not in built or unquote(parts.fragment) in built[target].anchors
            if not (site / target).is_file() or not inside:
                broken.append(f"{name} -> {link}")
    assert checked > 5000 and broken == []


@needs_sphinx
def test_nothing_is_fetched_from_elsewhere(site, built):
    remote = re.compile(r"(?:https?:)?//")
    assert [(name, what) for name, page in built.items() for what in page.fetched if remote.match(what)] == []
    sheets = [
        path for path in site.rglob("*.css") if re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", path.read_text())
    ]
    assert sheets == []


@needs_sphinx
def test_no_page_names_a_folder_of_this_machine(root, site):
    named = [
        path for path in site.rglob("*") if path.suffix in (".html", ".js", ".txt") and str(root) in path.read_text()
    ]
    assert named == []


@needs_sphinx
def test_outputs_and_what_figures_say_are_in_the_pages(root, site):
    page = (site / "nbs" / "06_search_images.html").read_text(encoding="utf-8")
    images = re.findall(r"<img[^>]*_images/[^>]*>", page)
    assert len(images) >= 6 and all(re.search(r'alt="[^"/]{20,}', image) for image in images if "/open_in" not in image)
    formulas = (site / "nbs" / "04_finetune_clip.html").read_text(encoding="utf-8")
    assert "output stream" in page
    assert re.search(r"<math.*log</mi>\s*<mo>&ApplyFunction;</mo><mspace", formulas, re.DOTALL), "log B, not logB"


@needs_sphinx
def test_the_small_model_is_shown_with_real_images_and_their_source_or_where_they_come_from(site):
    page = (site / "earth_small.html").read_text(encoding="utf-8")
    drawn = re.findall(r'<img[^>]*alt="Found for “[^"]{20,}"[^>]*_images/search_of_\w+.jpg"', page)
    if not any((site / "_images").glob("search_of_*")):
        assert "The repository holds no real images" in page
        pytest.skip("the site was built without UC Merced's images: make site DATA_DIR=folder")
    assert len(drawn) == len(SHOWN) and "public domain" in page and "Yang and Newsam" in page


@pytest.fixture(scope="module")
def address(site) -> str:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            """Says nothing of each request."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def phone(browser, address):
    """A phone's width, in dark mode; afterwards no other host was asked and the console is clean."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page, asked, complaints = context.new_page(), set(), []
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    page.on("console", lambda said: said.type == "error" and complaints.append((page.url, said.text)))
    page.on("pageerror", lambda error: complaints.append((page.url, str(error))))
    page.on("response", lambda response: response.status >= 400 and complaints.append((page.url, response.url)))
    yield page
    context.close()
    assert asked - {None, ""} == {"127.0.0.1"} and complaints == []


@needs_sphinx
def test_every_page_fits_a_phone_and_is_dark_where_the_reader_is(phone, address, built):
    wide = []
    for name in built:
        phone.goto(f"{address}/{name}")
        scroll, width, theme, ground = phone.evaluate(
            "[document.documentElement.scrollWidth, innerWidth, document.documentElement.dataset.theme,"
            " getComputedStyle(document.body).backgroundColor]"
        )
        assert theme == "dark" and max(map(int, re.findall(r"\d+", ground)[:3])) < 60, name
        if scroll > width:
            wide.append((name, scroll))
    assert wide == []


@needs_sphinx
def test_the_search_finds_a_notebook_and_a_function(phone, address):
    for words, found in (
        ("gradient caching", "nbs/04_finetune_clip.html"),
        ("contrastive_loss", "utils.training.html"),
    ):
        phone.goto(f"{address}/search.html?q={words}")
        phone.locator(f"#search-results a[href*='{found}']").first.wait_for(timeout=20_000)


@needs_sphinx
def test_a_search_shows_lessons_first_or_the_name_that_was_typed_and_fits_a_phone(phone, address):
    for words, first in (("stadium", "nbs/0"), ("recall", "nbs/05_"), ("recall_interval", "reference/utils.training")):
        phone.goto(f"{address}/search.html?q={words}")
        phone.get_by_text("Search finished").wait_for(timeout=20_000)
        assert first in phone.locator("#search-results li a").first.get_attribute("href")
        phone.locator("#search-results .highlighted").first.wait_for(timeout=20_000)
        assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth"), words


@needs_sphinx
def test_icons_of_the_menus_are_seen_without_the_script_that_was_left_out(phone, address, site):
    assert not list(site.rglob("fontawesome.js*"))
    phone.goto(f"{address}/nbs/04_finetune_clip.html")
    families = "e => e.map(icon => getComputedStyle(icon, '::before').fontFamily)"
    found = phone.eval_on_selector_all(".bd-header-article i[class*=fa-]", families)
    phone.evaluate("document.fonts.ready")
    assert len(found) >= 5 and all("Font Awesome" in family for family in found)
    assert phone.evaluate("[...document.fonts].filter(font => font.status == 'loaded').length") >= 2


@needs_sphinx
def test_a_lesson_can_be_opened_on_colab(root, built):
    for path in (root / "nbs").glob("[0-9][0-9]_*.ipynb"):
        links = [link for link in built[f"nbs/{path.stem}.html"].links if "colab.research.google.com" in link]
        assert links and all(re.search(rf"/blob/v[\d.]+/nbs/{path.name}$", link) for link in links)
