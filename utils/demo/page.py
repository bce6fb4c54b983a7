"""The page: three tabs over one index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets import read_image
from utils.demo import cards
from utils.demo.answers import MOST_LETTERS, MOST_PICTURES, TILE_SCALES, Answers, Pictures
from utils.demo.downloads import Downloads
from utils.demo.jobs import MOST_WAITING
from utils.demo.look import CARD_STYLE
from utils.demo.room import SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT
from utils.search import SceneTile

if TYPE_CHECKING:
    import gradio as gr

    from utils.finder import PresenceModel
    from utils.search import ImageIndex

TITLE = "CLIP for the Earth from above"
FIRST_COUNT = 12
TILE_SIDE = 1024  # pixels of a tile of the index that is shown as a whole, at most
OVERLAY_WIDTH, OVERLAY_PIXELS = 800, 2_000_000  # a long picture's is narrower
# Inputs go to `answers` as they come and are checked there. Searches take milliseconds and do not queue behind
# pictures that are cut into tiles.
SEARCHING: dict[str, Any] = {"preprocess": False, "concurrency_id": "search", "concurrency_limit": 2}
FINDING: dict[str, Any] = {"preprocess": False, "concurrency_id": "find", "concurrency_limit": 1}
PICTURE_FIELD: dict[str, Any] = {
    "type": "filepath",
    "image_mode": None,
    "format": "png",
    "sources": ["upload", "clipboard"],
    "buttons": [],
    "height": 300,
    "placeholder": "Drop a picture here, click to choose one, or paste it with the button below",
}


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
    """The environment without proxies, and then as it was.

    Gradio makes an HTTP client while it is imported, which fails at a proxy that httpx cannot speak to (SOCKS).
    """
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    for name in proxies:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(proxies)


def demo_blocks(
    index: ImageIndex, presence: PresenceModel | None = None, sample: str | Path | None = None
) -> gr.Blocks:
    """The page, ready for `utils.demo.serve`.

    Args:
        index: What is searched, with the model that made it.
        presence: From `utils.finder.calibrate_presence` with the same model; without it the third tab ranks
            tiles and says nothing on presence.
        sample: A picture that the third tab begins with.

    Returns:
        Gradio's page, not yet served.

    Raises:
        ImportError: If there is no Gradio, or not the one that the page is written for.
        ValueError: If the presence model was calibrated for another model, or the sample is no picture.
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
                from_text = _text_tab(answers)
            with gr.Tab("Image to image", id="image"):
                image_tab = _image_tab(answers)
            with gr.Tab("Find feature", id="feature"):
                _feature_tab(answers, sample)
        for shown in (from_text, image_tab.results, image_tab.choices):
            _search_on_choice(answers, shown, image_tab, tabs)
    blocks.queue(max_size=MOST_WAITING)
    return blocks


@dataclass(frozen=True)
class _ImageTab:
    """What a choice on either tab fills."""

    picture: gr.Image
    count: gr.Slider
    results: gr.HTML
    choices: gr.HTML


def _title(index: ImageIndex) -> str:
    name, kind = escape(index.dataset.name), "pictures" if index.tiling is None else "tiles of scenes"
    return (
        f"<h1>{TITLE}</h1><p>Search {len(index.dataset):,} {kind}{f' of {name}' if name else ''} by words or by "
        "example, or look for a feature inside a picture of your own.</p>"
    )


def _text_tab(answers: Answers) -> gr.HTML:
    import gradio as gr

    suggestions = answers.suggestions()
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            suggestions[0], label="What to look for, in words", max_length=MOST_LETTERS, scale=4, elem_id="query"
        )
        count = _count_slider()
        button = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="search")
    with gr.Row(elem_classes="suggestions"):
        tries = [gr.Button(words, size="sm", variant="secondary") for words in suggestions]
    shown = _card_component(_show(answers, answers.by_text(suggestions[0], FIRST_COUNT)), "text-results")
    gr.on(
        [text.submit, button.click, count.release],
        lambda words, k: _show(answers, answers.by_text(words, k)),
        [text, count],
        shown,
        api_name="search_by_text",
        **SEARCHING,
    )
    for words, suggestion in zip(suggestions, tries, strict=True):
        suggestion.click(
            partial(_suggested, answers, words), count, [text, shown], api_visibility="private", **SEARCHING
        )
    return shown


def _suggested(answers: Answers, words: str, k: Any) -> tuple[str, str]:
    return words, _show(answers, answers.by_text(words, k))


def _image_tab(answers: Answers) -> _ImageTab:
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            picture = gr.Image(
                label="Your picture",
                elem_id="example-picture",
                alt_text="The picture to find similar ones to",
                **PICTURE_FIELD,
            )
            count = _count_slider()
            button = gr.Button("Find similar pictures", variant="primary")
            choices = _card_component(cards.choices(answers.examples(), answers.rows), "choices")
        with gr.Column(scale=3, min_width=300):
            hint = "Give a picture, or choose one: the most similar ones of the collection appear here."
            shown = _card_component(cards.sentence(hint), "image-results")
    gr.on(
        [picture.upload, button.click],
        lambda sent, k: _show(answers, answers.by_upload(sent, k)),
        [picture, count],
        shown,
        api_name="search_by_image",
        **SEARCHING,
    )
    return _ImageTab(picture, count, shown, choices)


def _search_on_choice(answers: Answers, shown: gr.HTML, tab: _ImageTab, tabs: gr.Tabs) -> None:
    """A click on a picture of the index shows it on the second tab, with those most like it."""
    import gradio as gr

    def choose(k: Any, event: gr.EventData) -> tuple[Any, str, Any]:
        row = event._data.get("member") if isinstance(event._data, dict) else None
        found = answers.by_member(row, k)
        return _chosen(answers, row, found.failed), _show(answers, found), gr.Tabs(selected="image")

    # Gradio knows where to hand over the event by the annotation itself, which must not be a string.
    choose.__annotations__["event"] = gr.EventData
    shown.click(choose, tab.count, [tab.picture, tab.results, tabs], api_visibility="private", **SEARCHING)


def _chosen(answers: Answers, row: Any, failed: bool) -> Any:
    """A picture of the index for the second tab, or nothing new where it cannot be read."""
    import gradio as gr

    if failed or (member := answers.member(row)).path in answers.index.missing:
        return gr.skip()
    if isinstance(member, SceneTile):
        return member.picture(TILE_SIDE)
    return read_image(member.path, member.reading)


def _show(answers: Answers, found: Pictures) -> str:
    return cards.pictures(found, answers.rows)


def _feature_tab(answers: Answers, sample: str | Path | None) -> None:
    import gradio as gr

    first = read_image(sample, answers.index.reading) if sample else None
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            picture = gr.Image(
                first,
                label="The picture to look into",
                elem_id="scene",
                alt_text="The picture to look into",
                **PICTURE_FIELD,
            )
            if first is not None:
                again = gr.Button("Back to the sample picture", size="sm")
                again.click(lambda: first, None, picture, api_visibility="private")
            text = gr.Textbox(
                answers.first_feature(), label="The feature to look for", max_length=MOST_LETTERS, elem_id="feature"
            )
            scale = gr.Radio(list(TILE_SCALES), value="all sizes", label="Size of the tiles")
            button = gr.Button("Find", variant="primary", elem_id="find")
        with gr.Column(scale=2, min_width=300):
            hint = "Press Find: the picture is cut into tiles, and each is compared with the words."
            shown = _card_component(cards.sentence(hint), "feature-results")
            with gr.Row(visible=False) as downloads:
                as_json = gr.DownloadButton("Download all tiles (JSON)", size="sm")
                as_png = gr.DownloadButton("Download the heat map (PNG)", size="sm")
    gr.on(
        [text.submit, button.click],
        partial(_answer_feature, answers, Downloads(Path(as_json.GRADIO_CACHE))),
        [picture, text, scale],
        [shown, downloads, as_json, as_png],
        api_name="find_feature",
        **FINDING,
    )


def _answer_feature(answers: Answers, downloads: Downloads, sent: Any, text: Any, scale: Any) -> tuple:
    import gradio as gr

    found = answers.find_feature(sent, text, scale)
    if found.finding is None:
        said = cards.sentence(found.sentence, failed=True)
        return said, gr.Row(visible=False), gr.skip(), gr.skip()
    overlay = found.finding.overlay(width=overlay_width(*found.finding.scene.size))
    shown = cards.finding(found, overlay)
    try:
        return shown, gr.Row(visible=True), *downloads.save(found.finding, overlay)
    except OSError:  # a full disk keeps nobody from looking
        return shown, gr.Row(visible=False), gr.skip(), gr.skip()


def overlay_width(width: int, height: int) -> int:
    """How wide a picture is drawn, in pixels, so that all of it has no more than `OVERLAY_PIXELS`."""
    return max(1, min(OVERLAY_WIDTH, int((OVERLAY_PIXELS * width / height) ** 0.5)))


def _count_slider() -> gr.Slider:
    import gradio as gr

    return gr.Slider(1, MOST_PICTURES, FIRST_COUNT, step=1, label="Number of pictures", scale=2, min_width=200)


def _card_component(html: str, name: str) -> gr.HTML:
    import gradio as gr

    return gr.HTML(html, css_template=CARD_STYLE, apply_default_css=False, js_on_load=cards.CHOOSE, elem_id=name)
