"""The tabs that search the index: by words, perhaps with an image and filters, and by an image."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from utils.demo import render
from utils.demo.answers import MAX_LETTERS, Answers
from utils.demo.components import FIRST_COUNT, SEARCHING, card_component, count_slider, data_output, failed, image_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from utils.demo.results import SearchAnswer

Shown = tuple[str, dict[str, Any]]
# Keeps what was asked for in the page's address; goes into its head.
ADDRESS_SCRIPT = f"<script>{Path(__file__).with_name('address.js').read_text('utf-8')}</script>"
WRITE = "(...inputs) => { queryAddress.write(inputs[0], inputs[2], inputs[3]); return inputs; }"
READ = "(...inputs) => { const asked = queryAddress.read(); return [asked[0], inputs[1], asked[1], asked[2]]; }"
FROM_ADDRESS = "from-address"  # the id of a button that address.js presses


def text_tab(answers: Answers, blocks: gr.Blocks, tabs: gr.Tabs) -> gr.HTML:
    """Search by words; gives the place of its results."""
    suggestions, search = answers.suggestions(), partial(shown, answers, answers.by_text)
    with gr.Row(equal_height=True):
        hint = "several wordings of one thing: separate them by |"
        text = gr.Textbox(
            suggestions[0], label="What to look for, in words", placeholder=hint, max_length=MAX_LETTERS, scale=4,
            elem_id="query",
        )  # fmt: skip
        count = count_slider()
        button = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="search")
    with gr.Row(elem_classes="suggestions"):
        tries = [gr.Button(words, size="sm", variant="secondary") for words in suggestions]
    opened, category, source, image, weight = _narrowing(answers)
    results = card_component(search(suggestions[0], FIRST_COUNT)[0], "text-results")
    told = data_output("answer")
    by_name, asked = gr.Button(visible=False), [text, count, category, source, image, weight]
    by_name.click(search, [text, count], [results, told], api_name="search_by_text", **SEARCHING)
    events = [text.submit, button.click, count.release, weight.release, category.input, source.input, image.upload]
    gr.on([*events, image.clear], search, asked, [results, told], js=WRITE, api_name="search", **SEARCHING)
    for words, suggestion in zip(suggestions, tries, strict=True):
        suggestion.click(
            lambda *inputs: (inputs[0], *search(*inputs)),
            asked,
            [text, results, told],
            js=WRITE.replace("inputs) => {", f"inputs) => {{ inputs[0] = {json.dumps(words)};"),
            api_visibility="private",
            **SEARCHING,
        )
    _search_by_address(answers, blocks, [text, count, category, source], [results, told, tabs, opened], suggestions[0])
    return results


def _narrowing(answers: Answers) -> tuple[gr.Accordion, gr.Dropdown, gr.Dropdown, gr.Image, gr.Slider]:
    """A drawer with what narrows a search: category and source where there are several, an image, the weight."""
    categories, sources = answers.index.categories, answers.index.sources
    by_category, by_source = len(categories) > 1, len(sources) > 1
    only = [*["category"] * by_category, *["source"] * by_source]
    with (
        gr.Accordion(f"Narrow it down: {', '.join([*only, 'an image with the words'])}", open=False) as drawer,
        gr.Row(equal_height=False),
    ):
        with gr.Column(scale=1, min_width=240):
            category = _chooser("Category", categories, by_category)
            source = _chooser("Source" if answers.index.tiling is None else "Scene", sources, by_source)
            weight = gr.Slider(0, 1, 0.5, step=0.05, label="Weight of the words, against the image's")
        with gr.Column(scale=1, min_width=240):
            image = image_field("An image that shall be like it", "mixed-image", height=190)
    return drawer, category, source, image, weight


def _chooser(label: str, names: tuple[str, ...], visible: bool) -> gr.Dropdown:
    choices: list[str | int | float | tuple[str, str | int | float]] = [("all", ""), *names]
    return gr.Dropdown(choices, value="", label=label, visible=visible, elem_id=f"only-{label.lower()}")


def _search_by_address(answers: Answers, blocks: gr.Blocks, asked: list[Any], outputs: list[Any], first: str) -> None:
    """Runs the query in the page's address when it is opened, and at Back and Forward."""
    search = partial(shown, answers, answers.by_text)

    def answer(text: Any, count: Any, category: Any, source: Any) -> tuple:
        text = text if isinstance(text, str) and text.strip() else first
        chosen = (category, answers.index.categories), (source, answers.index.sources)
        kept = [name if name in known else "" for name, known in chosen]
        drawer = gr.Accordion(open=True) if any(kept) else gr.skip()
        return text, *kept, *search(text, count, category, source), gr.Tabs(selected="text"), drawer

    def on_opening(text: Any, *others: Any) -> tuple:
        return answer(text, *others) if text else tuple(gr.skip() for _ in range(7))

    changed = [asked[0], asked[2], asked[3], *outputs]
    moved = gr.Button(visible="hidden", elem_id=FROM_ADDRESS)
    moved.click(answer, asked, changed, js=READ, api_visibility="private", **SEARCHING)
    blocks.load(on_opening, asked, changed, js=READ, api_visibility="private", **SEARCHING)


def image_tab(answers: Answers) -> tuple[gr.Image, gr.Slider, gr.HTML, gr.HTML]:
    """Search by an image; gives its field, the number of hits, and the places of results and suggestions."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = image_field("Your image", "example-image")
            count = count_slider()
            button = gr.Button("Find similar images", variant="primary")
            examples = render.choices(answers.examples(), answers.rows, answers.thumbnails)
            choices = card_component(examples, "choices")
        with gr.Column(scale=3, min_width=300):
            hint = "Give an image, or choose one: the most similar ones appear here."
            results, told = card_component(render.status(hint), "image-results"), data_output("answer")
    search, events = partial(shown, answers, answers.by_upload), [image.upload, button.click]
    gr.on(events, search, [image, count], [results, told], api_name="search_by_image", **SEARCHING)
    return image, count, results, choices


def shown(answers: Answers, by: Callable[..., SearchAnswer], *asked: Any) -> Shown:
    """An answer as HTML and as data; a sentence if there is none."""
    try:
        answer = by(*asked)
    except ValueError as error:
        return failed(error)
    return render.search_answer(answer, answers.rows, answers.thumbnails, answers.top), answer.as_json()
