"""The page in a real browser: each tab's main way, errors, the keyboard, a phone, and nobody else asked."""

import re
from urllib.parse import urlsplit

import numpy as np
import pytest
from captioner_world import tiny_captioner
from demo_world import served
from PIL import Image
from standins.scenes import build_miniature

from utils.captioning import caption
from utils.clip import CLIP, fingerprint
from utils.datasets import load_dataset
from utils.demo import render
from utils.finder import PresenceModel, make_mosaic
from utils.search import ImageIndex

pytestmark = pytest.mark.usefixtures("quick_compilation")

WAIT = 20_000  # milliseconds for an answer on a busy machine


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An image of each category of the miniature, and two unnamed ones."""
    folder = build_miniature(
        tmp_path_factory.mktemp("data") / "miniature", images_per_split={"test": 1}, progress=False, workers=1
    )
    return load_dataset("miniature", folder.parent)


@pytest.fixture(scope="module")
def clip(root):
    return CLIP.from_pretrained(root / "data" / "checkpoints" / "clip-miniature")


@pytest.fixture(scope="module")
def captioner(clip):
    """One that has learned nothing, and writes other syllables about another image."""
    return tiny_captioner(clip, seed=1).copy(caption_tokens=8)


@pytest.fixture(scope="module")
def address(browser, images, clip, captioner, tmp_path_factory):
    index = ImageIndex.build(clip, images, progress=False)
    background = tuple(f"An aerial image of {name}" for name in images.categories)
    presence = PresenceModel("An aerial image of {feature}", background, 1.0, 0.0, 0.0, 0.95, fingerprint(clip))
    scene = tmp_path_factory.mktemp("scene") / "scene.jpg"
    make_mosaic(list(images[:4]), 2, 64, 4).image.save(scene)
    with served(index, presence, scene, captioner) as address:
        yield address


@pytest.fixture
def open_page(browser, address):
    """Opens the page at a size; afterwards no other host was asked and the console is clean."""
    contexts, requests, complaints = [], [], []

    def open_at(width: int = 1280, height: int = 900, theme: str = "light", address: str = address):
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=theme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#text-results li")
        return page

    yield open_at
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).hostname for url in requests if urlsplit(url).scheme not in ("data", "blob")}
    assert hosts == {"127.0.0.1"}
    assert not complaints


def said(page, place: str, words: str) -> None:
    """Waits until the line that screen readers announce has these words."""
    page.locator(f"{place} [role=status]", has_text=re.compile(words)).wait_for()


def open_tab(page, name: str) -> None:
    """Opens a tab; the menu at the edge holds those for which a narrow page has no room."""
    if not page.get_by_role("tab", name=name).count():
        page.locator(".overflow-menu > button").click()
    page.locator(".overflow-dropdown button, [role=tab]", has_text=name).locator("visible=true").click()


def test_words_find_images(open_page, images):
    page = open_page()
    said(page, "#text-results", "12 images for “a stadium”")  # somebody who types nothing sees an answer
    page.get_by_label("What to look for, in words").fill("boats in a harbor")
    page.get_by_role("button", name="Search").click()
    said(page, "#text-results", "boats in a harbor")
    cards = page.locator("#text-results li:has(> button)")
    assert cards.count() == 12
    texts = cards.all_inner_texts()
    assert [int(text.split()[0]) for text in texts] == list(range(1, 13))
    scores = [float(re.search(r"score (-?\d\.\d+)", text)[1]) for text in texts]
    assert scores == sorted(scores, reverse=True)
    # Each once it has been fetched; one that cannot be drawn is an error here.
    drawn = "all => Promise.all(all.map(image => image.decode().then(() => image.alt && image.naturalWidth)))"
    assert all(page.locator("#text-results img").evaluate_all(drawn))
    page.get_by_role("button", name="planes at an airport").click()
    said(page, "#text-results", "planes at an airport")
    assert page.get_by_label("What to look for, in words").input_value() == "planes at an airport"
    page.get_by_label("What to look for, in words").fill("   ")
    page.keyboard.press("Enter")
    said(page, "#text-results", "few words")


def test_a_result_and_an_upload_find_images_like_them(open_page, images, tmp_path):
    page = open_page()
    page.locator("#text-results button[data-member]").first.click()
    said(page, "#image-results", r"12 images like \S+\.jpg")
    page.locator("#example-image img").wait_for()
    page.locator("#choices button").nth(1).click()
    said(page, "#image-results", f"like {images.categories[0]}_")  # the second suggestion is the airport
    page.locator("#image-results button[data-member]").nth(2).click()
    page.get_by_role("button", name="Find similar images").click()
    said(page, "#image-results", "like yours")
    page.get_by_role("button", name="Remove Image").first.click()
    page.locator("#example-image input[type=file]").set_input_files(images[5].path)
    said(page, "#image-results", "like yours")
    first = page.locator("#image-results li").first
    assert "score 1.000" in first.inner_text()  # an upload with the same pixels as a member


def test_an_image_is_pasted(open_page, images):
    page = open_page()
    page.get_by_role("tab", name="Image to image").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const canvas = document.createElement('canvas');
          canvas.width = canvas.height = 64;
          const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
          await navigator.clipboard.write([new ClipboardItem({'image/png': blob})]);
        }"""
    )
    page.locator("#example-image").get_by_label("clipboard").click()
    said(page, "#image-results", "like yours")


def test_a_wrong_file_gets_a_sentence_and_the_page_continues(open_page, images, tmp_path):
    page = open_page()
    page.get_by_role("tab", name="Image to image").click()
    (tmp_path / "notes.jpg").write_text("not an image")
    page.locator("#example-image input[type=file]").set_input_files(tmp_path / "notes.jpg")
    said(page, "#image-results", "not a JPEG")
    page.get_by_role("button", name="Remove Image").first.click()
    Image.new("1", (50_000, 9)).save(tmp_path / "ribbon.png")
    page.locator("#example-image input[type=file]").set_input_files(tmp_path / "ribbon.png")
    said(page, "#image-results", "50,000 x 9")
    page.get_by_role("tab", name="Text to image").click()
    page.get_by_role("button", name="Search").click()
    said(page, "#text-results", "12 images")


def test_a_feature_is_found_judged_and_taken_home(open_page, images):
    page = open_page()
    page.get_by_role("tab", name="Find feature").click()
    page.get_by_label("The feature to look for").fill("airport")
    page.locator("#find").click()
    said(page, "#feature-results", r"“airport” (is|may be) .*: probability [01]\.\d\d")
    assert "tiles of 128, 64 pixels" in page.locator("#feature-results").inner_text()
    heat = page.locator("#feature-results figure img")
    assert "Heat map for airport" in heat.get_attribute("alt")
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") == 800
    page.get_by_label("large", exact=True).check()
    page.locator("#find").click()
    page.locator("#feature-results", has_text="1 tiles of 128 pixels").wait_for()
    for name, start in (("JSON", b"{"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=re.compile(name)).click()
        assert download.value.path().read_bytes().startswith(start)


def test_an_image_is_described(open_page, images, captioner, tmp_path):
    pictures = [item.path for item in images[:2]]
    first, second = (render._sentence(text) for text in caption(captioner, pictures, progress=False))
    assert first != second
    page = open_page()
    page.get_by_role("tab", name="Describe a picture").click()
    said(page, "#description", "a sentence about it appears here")
    page.get_by_role("button", name="Describe", exact=True).click()
    said(page, "#description", "There is no image yet")
    field = page.locator("#described input[type=file]")
    field.set_input_files(pictures[0])
    said(page, "#description", re.escape(first))
    assert "Written by a machine" in page.locator("#description").inner_text()
    page.get_by_role("button", name="Remove Image").click()
    (tmp_path / "notes.jpg").write_text("not an image")
    field.set_input_files(tmp_path / "notes.jpg")
    said(page, "#description", "not a JPEG")
    page.get_by_role("button", name="Remove Image").click()
    field.set_input_files(pictures[1])
    said(page, "#description", re.escape(second))
    page.get_by_role("button", name="Describe", exact=True).click()
    said(page, "#description", re.escape(second))


def test_the_keyboard_alone_reaches_the_results(open_page):
    page = open_page()
    page.get_by_label("What to look for, in words").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("a beach")
    page.keyboard.press("Enter")
    said(page, "#text-results", "a beach")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#text-results button[data-member]')"):
            break
    page.keyboard.press("Enter")
    said(page, "#image-results", "12 images like")
    assert page.get_by_role("tab", name="Image to image").get_attribute("aria-selected") == "true"


def test_every_input_has_a_name(open_page):
    page = open_page()
    for tab in ("Text to image", "Image to image", "Find feature", "Describe a picture"):
        page.get_by_role("tab", name=tab).click()
        nameless = page.locator("input:visible, textarea:visible, button:visible").evaluate_all(
            "all => all.filter(e => !(e.labels && e.labels.length) && !e.ariaLabel && !e.innerText.trim()"
            " && !e.title && !e.querySelector('img[alt]')).map(e => e.outerHTML)"
        )
        assert not [html for html in nameless if 'type="file"' not in html]


def test_a_phone_shows_everything_without_scrolling_sideways(open_page, images):
    page = open_page(390, 844)
    for tab, button, place in (
        ("Text to image", "Search", "#text-results"),
        ("Image to image", None, "#image-results"),
        ("Find feature", "Find", "#feature-results"),
    ):
        open_tab(page, tab)
        if button:
            page.get_by_role("button", name=button, exact=True).click()
        else:
            page.locator("#choices button").first.click()
        page.locator(f"{place} li").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        edges = page.locator(f"{place} li").evaluate_all("all => all.map(e => e.getBoundingClientRect().right)")
        assert max(edges) <= 390
    open_tab(page, "Describe a picture")
    page.locator("#described input[type=file]").set_input_files(images[0].path)
    page.locator("#description .basis").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def asked_for(page) -> str:
    return page.get_by_label("What to look for, in words").input_value()


def test_the_query_stands_in_the_address(open_page, address):
    page = open_page()
    page.get_by_label("What to look for, in words").fill("boats in a harbor")
    page.get_by_role("button", name="Search", exact=True).click()
    said(page, "#text-results", "boats in a harbor")
    page.get_by_role("button", name="planes at an airport").click()
    said(page, "#text-results", "planes at an airport")
    assert page.url.endswith("?q=planes+at+an+airport")
    page.go_back()
    said(page, "#text-results", "boats in a harbor")
    assert asked_for(page) == "boats in a harbor"
    page.go_back()
    said(page, "#text-results", "a stadium")  # what the page begins with
    page.go_forward()
    said(page, "#text-results", "boats in a harbor")
    page.goto(f"{address}?q=a+park&category=park")
    said(page, "#text-results", "1 image for “a park” in the category park")
    assert asked_for(page) == "a park" and page.get_by_label("Category").input_value() == "park"
    page.goto(f"{address}?q=%2Fetc%2Fpasswd&category=..%2F..%2Fetc")
    said(page, "#text-results", "no such category")
    page.goto(f"{address}?q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
    said(page, "#text-results", "<img src=x")


def test_a_search_is_narrowed_by_category_and_image(open_page, images):
    page = open_page()
    page.get_by_text("Narrow it down").click()
    page.get_by_label("Category").click()
    page.get_by_role("option", name="river", exact=True).click()
    said(page, "#text-results", "1 image for “a stadium” in the category river")
    assert "category=river" in page.url
    page.locator("#mixed-image input[type=file]").set_input_files(images[3].path)
    said(page, "#text-results", "1 image like yours for “a stadium” in the category river")


CONTRAST = """
() => {
  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const linear = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255, 1]);
  };
  const typed = 'input:not([type=radio], [type=checkbox], [type=range], [type=file]), textarea';
  const read = [], shown = {opacityProperty: true, visibilityProperty: true};
  for (const element of document.querySelectorAll('body *')) {
    const words = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect();
    const hint = element.matches(typed) && !element.value && element.placeholder ? '::placeholder' : null;
    if (!words && !hint && !(element.matches(typed) && element.value)) continue;
    // A map's marks are white with a black border, upon any color.
    if (element.closest('script, style, title, .mark, [aria-hidden=true]') || !element.checkVisibility(shown)) continue;
    if (box.width < 2 || box.height < 2) continue;
    const under = ground(element), style = getComputedStyle(element, hint);
    const color = over(parse(element.closest('svg') ? style.fill : style.color), under);
    const [light, dark] = [luminance(color), luminance(under)].sort((a, b) => b - a);
    const what = `${element.tagName} ${element.className} ${hint ? element.placeholder : element.textContent}`;
    read.push([(light + 0.05) / (dark + 0.05), what]);
  }
  return read;
}
"""
LEAST_CONTRAST = 4.5  # of WCAG 2.2, 1.4.3


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_stand_out_from_their_ground(open_page, theme):
    page = open_page(theme=theme)
    assert page.locator("body.dark").count() == (theme == "dark")
    page.add_style_tag(content="* { transition: none !important; }")
    page.get_by_text("Narrow it down").click()
    page.get_by_label("What to look for, in words").fill("")
    for tab, button, place, words in (
        ("Text to image", "Search", "#text-results", "few words"),
        ("Image to image", None, "#image-results", "like"),
        ("Find feature", "Find", "#feature-results", "is|may"),
        ("Describe a picture", "Describe", "#description", "no image yet"),
    ):
        page.get_by_role("tab", name=tab).click()
        if button is None:
            page.locator("#choices button").first.click()
        else:
            page.get_by_role("button", name=button, exact=True).click()
        said(page, place, words)
        page.mouse.move(5, 5)
        read = page.evaluate(CONTRAST)
        assert len(read) >= 10 and not [one for one in read if one[0] < LEAST_CONTRAST]


@pytest.fixture(scope="module")
def archive(browser, images, clip, tmp_path_factory):
    """A page over an index of two scenes side by side."""
    import rasterio
    from rasterio.transform import from_origin

    folder = tmp_path_factory.mktemp("archive")
    for number in range(2):
        scene = np.asarray(make_mosaic(list(images[4 * number : 4 * number + 4]), 2, 64).image)
        options = {"crs": "EPSG:32631", "transform": from_origin(500_000 + 2_000 * number, 5_400_000, 10, 10)}
        with rasterio.open(
            folder / f"scene{number}.tif", "w", driver="GTiff", width=128, height=128, count=3, dtype="uint8", **options
        ) as file:
            file.write(scene.transpose(2, 0, 1))
    with served(ImageIndex.build_scenes(clip, folder, progress=False)) as address:
        yield address


@pytest.mark.parametrize("width", [1280, 390])
def test_an_archive_is_searched_on_a_map(open_page, archive, width):
    page = open_page(width, 844, address=archive)
    open_tab(page, "Archive")
    page.get_by_label("What to look for in the scenes").fill("an airport")
    page.locator("#search-archive").click()
    said(page, "#archive-results", "places for “an airport”")
    drawn = page.locator("#archive-results svg.map")
    places = page.locator("#archive-results .places li").count()
    assert drawn.locator(".scene").count() == 2 and drawn.locator(".hit").count() == places > 1
    assert drawn.evaluate("map => map.getBoundingClientRect().right") <= width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert re.search(r"scene[01]\.tif\s+score .*° N, 3\.\d+° E", page.locator(".places li").first.inner_text(), re.S)
    if width > 390:
        with page.expect_download() as download:
            page.get_by_role("button", name="GeoJSON").locator("visible=true").click()
        assert download.value.path().read_bytes().startswith(b'{"type": "FeatureCollection"')
        assert not [one for one in page.evaluate(CONTRAST) if one[0] < LEAST_CONTRAST]
    page.locator("#archive-results button[data-member]").first.click()
    said(page, "#image-results", "12 images like scene")
