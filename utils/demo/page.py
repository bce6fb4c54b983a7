"""The page: three tabs over one index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets import read_image
from utils.demo import render
from utils.demo.answers import MAX_IMAGES, MAX_LETTERS, TILE_SCALES, Answers, SearchAnswer
from utils.demo.files import SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT, Downloads
from utils.demo.limits import MAX_WAITING

if TYPE_CHECKING:
    import gradio as gr
    from gradio.themes import Base

    from utils.finder import PresenceModel
    from utils.search import ImageIndex

TITLE = "CLIP for the Earth from above"
FIRST_COUNT = 12
OVERLAY_WIDTH, OVERLAY_PIXELS = 800, 2_000_000  # a long image's is narrower
# Inputs go to `answers` as they come and are checked there. Searches take milliseconds and do not queue behind
# images that are cut into tiles.
SEARCHING: dict[str, Any] = {"preprocess": False, "concurrency_id": "search", "concurrency_limit": 2}
FINDING: dict[str, Any] = {"preprocess": False, "concurrency_id": "find", "concurrency_limit": 1}
IMAGE_FIELD: dict[str, Any] = {
    "type": "filepath",
    "image_mode": None,
    "format": "png",
    "sources": ["upload", "clipboard"],
    "buttons": [],
    "height": 300,
    "placeholder": "Drop an image here, click to choose one, or paste it with the button below",
}
# No font or script comes from elsewhere.
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PAGE_STYLE = f"""
:root, .gradio-container {{ --font: {FONTS}; --body-text-color-subdued: var(--neutral-500); }}
.dark {{ --body-text-color-subdued: var(--neutral-400) !important; }}
.title h1 {{ margin: 0.4rem 0 0.2rem; font-size: 1.7rem; font-weight: 700; letter-spacing: -0.01em; }}
.title p {{ margin: 0; color: var(--body-text-color-subdued); }}
.suggestions {{ flex-wrap: wrap; gap: 0.4rem; }}
.suggestions button {{ flex: 0 1 auto; min-width: 0 !important; padding: 0.3rem 0.8rem; border-radius: 999px; }}
#search {{ align-self: center; max-height: 3rem; }}
@media (max-width: 520px) {{
  .tab-container button {{ padding: 0 0.35rem !important; font-size: 0.82rem !important; }}
}}
"""


def demo_blocks(
    index: ImageIndex, presence: PresenceModel | None = None, sample: str | Path | None = None
) -> gr.Blocks:
    """The page, ready for `utils.demo.serve`.

    Args:
        index: What is searched, with the model that made it.
        presence: From `utils.finder.calibrate_presence` with the same model; without it the third tab ranks
            tiles and says nothing on presence.
        sample: An image that the third tab begins with.

    Returns:
        Gradio's page, not yet served.

    Raises:
        ImportError: If there is no Gradio, or not the one that the page is written for.
        ValueError: If the presence model was calibrated for another model, or the sample is not an image.
    """
    _check_gradio()
    with _no_proxies():
        import gradio as gr

    from utils.clip import fingerprint

    if presence is not None:
        presence.check_model(fingerprint(index.model))
    answers = Answers(index, presence)
    blocks = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT))
    with blocks:
        gr.HTML(_title(index), elem_classes="title", js_on_load=None)
        with gr.Tabs(selected="text") as tabs:
            with gr.Tab("Text to image", id="text"):
                text_results = _text_tab(answers)
            with gr.Tab("Image to image", id="image"):
                image_tab = _image_tab(answers)
            with gr.Tab("Find feature", id="feature"):
                _feature_tab(answers, sample)
        for cards in (text_results, image_tab.results, image_tab.choices):
            _search_on_choice(answers, cards, image_tab, tabs)
    blocks.queue(max_size=MAX_WAITING)
    return blocks


def _check_gradio() -> None:
    """Some machines, Colab's among them, have no Gradio or an older one, and the older one fails obscurely."""
    try:
        there = f"Gradio {version('gradio')} is"
    except PackageNotFoundError:
        there = "none is"
    if not there.startswith("Gradio 6."):
        raise ImportError(
            f"The page needs Gradio 6, and {there} installed: pip install 'gradio>=6,<7' (in a notebook, %pip "
            "install ...), then try again."
        )


@contextmanager
def _no_proxies() -> Iterator[None]:
    """Takes the proxies out of the environment for a while.

    Gradio makes an HTTP client while it is imported, which fails at a proxy that httpx cannot speak to (SOCKS).
    """
    proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ.update(proxies)


def page_theme() -> Base:
    """Gradio's plain theme in the blue of the course's figures, with the reader's own fonts."""
    import gradio as gr

    return gr.themes.Default(
        primary_hue=gr.themes.colors.sky,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=["sans-serif"],
        font_mono=["monospace"],
    ).set(
        color_accent="#0072B2",
        slider_color="#0072B2",
        checkbox_background_color_selected="#0072B2",
        button_primary_background_fill="#0072B2",
        button_primary_background_fill_hover="#00639b",
        button_primary_text_color="white",
    )


@dataclass(frozen=True)
class _ImageTab:
    """What a choice on either tab fills."""

    image: gr.Image
    count: gr.Slider
    results: gr.HTML
    choices: gr.HTML


def _title(index: ImageIndex) -> str:
    name, kind = escape(index.dataset.name), "images" if index.tiling is None else "tiles of scenes"
    return (
        f"<h1>{TITLE}</h1><p>Search {len(index.dataset):,} {kind}{f' of {name}' if name else ''} by words or by "
        "example, or look for a feature inside an image of your own.</p>"
    )


def _text_tab(answers: Answers) -> gr.HTML:
    import gradio as gr

    suggestions = answers.suggestions()
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            suggestions[0], label="What to look for, in words", max_length=MAX_LETTERS, scale=4, elem_id="query"
        )
        count = _count_slider()
        button = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="search")
    with gr.Row(elem_classes="suggestions"):
        tries = [gr.Button(words, size="sm", variant="secondary") for words in suggestions]
    shown = _card_component(_search(answers, answers.by_text, suggestions[0], FIRST_COUNT), "text-results")
    gr.on(
        [text.submit, button.click, count.release],
        lambda words, k: _search(answers, answers.by_text, words, k),
        [text, count],
        shown,
        api_name="search_by_text",
        **SEARCHING,
    )
    for words, suggestion in zip(suggestions, tries, strict=True):
        suggestion.click(
            lambda k, words=words: (words, _search(answers, answers.by_text, words, k)),
            count,
            [text, shown],
            api_visibility="private",
            **SEARCHING,
        )
    return shown


def _image_tab(answers: Answers) -> _ImageTab:
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = gr.Image(
                label="Your image", elem_id="example-image", alt_text="The image to find similar ones to", **IMAGE_FIELD
            )
            count = _count_slider()
            button = gr.Button("Find similar images", variant="primary")
            choices = _card_component(render.choices(answers.examples(), answers.rows), "choices")
        with gr.Column(scale=3, min_width=300):
            hint = "Give an image, or choose one: the most similar ones appear here."
            shown = _card_component(render.status(hint), "image-results")
    gr.on(
        [image.upload, button.click],
        lambda sent, k: _search(answers, answers.by_upload, sent, k),
        [image, count],
        shown,
        api_name="search_by_image",
        **SEARCHING,
    )
    return _ImageTab(image, count, shown, choices)


def _search_on_choice(answers: Answers, cards: gr.HTML, tab: _ImageTab, tabs: gr.Tabs) -> None:
    """A click on an image of the index shows it on the second tab, with those most like it."""
    import gradio as gr

    def choose(k: Any, event: gr.EventData) -> tuple[Any, str, Any]:
        row = event._data.get("member") if isinstance(event._data, dict) else None
        image: Any = None
        try:
            html = render.search_answer(answers.by_member(row, k), answers.rows)
            image = answers.member_image(row)
        except ValueError as error:
            html = render.status(str(error), failed=True)
        return gr.skip() if image is None else image, html, gr.Tabs(selected="image")

    # Gradio knows where to pass the event by the annotation itself, which must not be a string.
    choose.__annotations__["event"] = gr.EventData
    cards.click(choose, tab.count, [tab.image, tab.results, tabs], api_visibility="private", **SEARCHING)


def _search(answers: Answers, by: Callable[[Any, Any], SearchAnswer], query: Any, k: Any) -> str:
    try:
        return render.search_answer(by(query, k), answers.rows)
    except ValueError as error:
        return render.status(str(error), failed=True)


def _feature_tab(answers: Answers, sample: str | Path | None) -> None:
    import gradio as gr

    first = read_image(sample, answers.index.reading) if sample else None
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = gr.Image(
                first, label="The image to look into", elem_id="scene", alt_text="The image to look into", **IMAGE_FIELD
            )
            if first is not None:
                again = gr.Button("Back to the sample image", size="sm")
                again.click(lambda: first, None, image, api_visibility="private")
            text = gr.Textbox(
                answers.first_feature(), label="The feature to look for", max_length=MAX_LETTERS, elem_id="feature"
            )
            scale = gr.Radio(list(TILE_SCALES), value="all sizes", label="Size of the tiles")
            button = gr.Button("Find", variant="primary", elem_id="find")
        with gr.Column(scale=2, min_width=300):
            hint = "Press Find: the image is cut into tiles, and each is compared with the words."
            shown = _card_component(render.status(hint), "feature-results")
            with gr.Row(visible=False) as downloads:
                as_json = gr.DownloadButton("Download all tiles (JSON)", size="sm")
                as_png = gr.DownloadButton("Download the heat map (PNG)", size="sm")
    gr.on(
        [text.submit, button.click],
        partial(_find, answers, Downloads(Path(as_json.GRADIO_CACHE))),
        [image, text, scale],
        [shown, downloads, as_json, as_png],
        api_name="find_feature",
        **FINDING,
    )


def _find(answers: Answers, downloads: Downloads, sent: Any, text: Any, scale: Any) -> tuple:
    import gradio as gr

    no_files = gr.Row(visible=False), gr.skip(), gr.skip()
    try:
        answer = answers.find_feature(sent, text, scale)
    except ValueError as error:
        return render.status(str(error), failed=True), *no_files
    overlay = answer.finding.overlay(width=overlay_width(*answer.finding.scene.size))
    html = render.feature_answer(answer, overlay)
    try:
        return html, gr.Row(visible=True), *downloads.save(answer.finding, overlay)
    except OSError:  # a full disk keeps nobody from looking
        return html, *no_files


def overlay_width(width: int, height: int) -> int:
    """How wide an image is drawn, in pixels, so that all of it has no more than `OVERLAY_PIXELS`."""
    return max(1, min(OVERLAY_WIDTH, int((OVERLAY_PIXELS * width / height) ** 0.5)))


def _count_slider() -> gr.Slider:
    import gradio as gr

    return gr.Slider(1, MAX_IMAGES, FIRST_COUNT, step=1, label="Number of images", scale=2, min_width=200)


def _card_component(html: str, name: str) -> gr.HTML:
    import gradio as gr

    return gr.HTML(
        html, css_template=render.CARD_STYLE, apply_default_css=False, js_on_load=render.ON_LOAD, elem_id=name
    )
