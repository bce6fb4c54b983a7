"""The page: three tabs over one index, a fourth where there is a captioner. Imported only where Gradio is there."""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from utils.datasets import read_image
from utils.demo import render
from utils.demo.answers import MAX_IMAGES, MAX_LETTERS, TILE_SCALES, Answers, SearchAnswer
from utils.demo.files import Downloads
from utils.demo.limits import MAX_WAITING, SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "CLIP for the Earth from above"
FIRST_COUNT = 12
OVERLAY_WIDTH, OVERLAY_PIXELS = 800, 2_000_000  # a long image's is narrower
# Inputs go to `answers` as they come and are checked there. Searches take milliseconds and do not queue behind
# images that are cut into tiles.
SEARCHING: dict[str, Any] = {"preprocess": False, "concurrency_id": "search", "concurrency_limit": 2}
FINDING: dict[str, Any] = {"preprocess": False, "concurrency_id": "find", "concurrency_limit": 1}
DESCRIBING: dict[str, Any] = {"preprocess": False, "concurrency_id": "describe", "concurrency_limit": 1}
AS_SENT: dict[str, Any] = {"type": "filepath", "image_mode": None, "format": "png", "sources": ["upload", "clipboard"]}


def build_page(answers: Answers, sample: str | Path | None) -> gr.Blocks:
    """The page; see `utils.demo.demo_blocks`."""
    blocks = gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT))
    with blocks:
        name, kind = escape(answers.index.dataset.name), "images" if answers.index.tiling is None else "tiles of scenes"
        searched = f"{len(answers.index):,} {kind}{f' of {name}' if name else ''}"
        invites = f"Search {searched} by words or by example, or look for a feature inside an image of your own."
        invites += " Another tab describes one." if answers.captioner is not None else ""
        gr.HTML(f"<h1>{TITLE}</h1><p>{invites}</p>", elem_classes="title", js_on_load=None)
        with gr.Tabs(selected="text") as tabs:
            with gr.Tab("Text to image", id="text"):
                text_results = _text_tab(answers)
            with gr.Tab("Image to image", id="image"):
                image, count, image_results, choices = _image_tab(answers)
            with gr.Tab("Find feature", id="feature"):
                _feature_tab(answers, sample)
            if answers.captioner is not None:
                with gr.Tab("Describe a picture", id="describe"):
                    _describe_tab(answers)

        def choose(k: Any, event: gr.EventData) -> tuple[Any, str, gr.Tabs]:
            """Shows an image of the index on the second tab, with those most like it."""
            row = event._data.get("member") if isinstance(event._data, dict) else None
            member = answers.member_image(row)
            html = _search(answers, answers.by_member, row, k)
            return gr.skip() if member is None else member, html, gr.Tabs(selected="image")

        for cards in (text_results, image_results, choices):
            cards.click(choose, count, [image, image_results, tabs], api_visibility="private", **SEARCHING)
    blocks.queue(max_size=MAX_WAITING)
    return blocks


def _text_tab(answers: Answers) -> gr.HTML:
    suggestions, search = answers.suggestions(), partial(_search, answers, answers.by_text)
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            suggestions[0], label="What to look for, in words", max_length=MAX_LETTERS, scale=4, elem_id="query"
        )
        count = _count_slider()
        button = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="search")
    with gr.Row(elem_classes="suggestions"):
        tries = [gr.Button(words, size="sm", variant="secondary") for words in suggestions]
    shown = _card_component(search(suggestions[0], FIRST_COUNT), "text-results")
    asked = [text.submit, button.click, count.release]
    gr.on(asked, search, [text, count], shown, api_name="search_by_text", **SEARCHING)
    for words, suggestion in zip(suggestions, tries, strict=True):
        suggestion.click(
            lambda k, words=words: (words, search(words, k)),
            count,
            [text, shown],
            api_visibility="private",
            **SEARCHING,
        )
    return shown


def _image_tab(answers: Answers) -> tuple[gr.Image, gr.Slider, gr.HTML, gr.HTML]:
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = _image_field("Your image", "example-image")
            count = _count_slider()
            button = gr.Button("Find similar images", variant="primary")
            choices = _card_component(render.choices(answers.examples(), answers.rows), "choices")
        with gr.Column(scale=3, min_width=300):
            hint = "Give an image, or choose one: the most similar ones appear here."
            shown = _card_component(render.status(hint), "image-results")
    search = partial(_search, answers, answers.by_upload)
    gr.on([image.upload, button.click], search, [image, count], shown, api_name="search_by_image", **SEARCHING)
    return image, count, shown, choices


def _search(answers: Answers, by: Callable[[Any, Any], SearchAnswer], query: Any, k: Any) -> str:
    try:
        return render.search_answer(by(query, k), answers.rows, answers.top)
    except ValueError as error:
        return render.status(str(error), failed=True)


def _feature_tab(answers: Answers, sample: str | Path | None) -> None:
    first = read_image(sample, answers.index.reading) if sample else None
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = _image_field("The image to look into", "scene", first)
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
    search, asked = partial(_find, answers, Downloads(Path(as_json.GRADIO_CACHE))), [image, text, scale]
    answered = [shown, downloads, as_json, as_png]
    gr.on([text.submit, button.click], search, asked, answered, api_name="find_feature", **FINDING)


def _find(answers: Answers, downloads: Downloads, sent: Any, text: Any, scale: Any) -> tuple:
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


def _describe_tab(answers: Answers) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = _image_field("The image to describe", "described")
            button = gr.Button("Describe", variant="primary", elem_id="describe")
        with gr.Column(scale=2, min_width=300):
            hint = "Give an image: a sentence about it appears here."
            shown = _card_component(render.status(hint), "description")
    gr.on([image.upload, button.click], partial(_describe, answers), image, shown, api_name="describe", **DESCRIBING)


def _describe(answers: Answers, sent: Any) -> str:
    try:
        return render.description(answers.describe(sent))
    except ValueError as error:
        return render.status(str(error), failed=True)


def overlay_width(width: int, height: int) -> int:
    """How wide an image is drawn, in pixels, so that all of it has no more than `OVERLAY_PIXELS`."""
    return max(1, min(OVERLAY_WIDTH, int((OVERLAY_PIXELS * width / height) ** 0.5)))


def _image_field(label: str, name: str, value: Any = None) -> gr.Image:
    drop = "Drop an image here, click to choose one, or paste it with the button below"
    return gr.Image(
        value, label=label, alt_text=label, elem_id=name, height=300, placeholder=drop, buttons=[], **AS_SENT
    )


def _count_slider() -> gr.Slider:
    return gr.Slider(1, MAX_IMAGES, FIRST_COUNT, step=1, label="Number of images", scale=2, min_width=200)


def _card_component(html: str, name: str) -> gr.HTML:
    return gr.HTML(
        html, css_template=render.CARD_STYLE, apply_default_css=False, js_on_load=render.ON_LOAD, elem_id=name
    )


def page_theme() -> gr.themes.Base:
    """Gradio's plain theme in the blue of the course's figures, with the reader's own fonts."""
    plain = gr.themes.Default(
        primary_hue="sky", neutral_hue="slate", radius_size="lg", font=["sans-serif"], font_mono=["monospace"]
    )
    blue = ("color_accent", "button_primary_background_fill")  # sliders and boxes follow the accent
    return plain.set(**dict.fromkeys(blue, "#0072B2"), button_primary_background_fill_hover="#00639b")
