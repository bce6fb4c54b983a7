"""The tabs about an image of a visitor's own: where a feature is in it, and what a captioner says of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from utils.datasets import read_image
from utils.demo import render
from utils.demo.answers import MAX_LETTERS, TILE_SCALES, Answers
from utils.demo.components import DESCRIBING, FINDING, card_component, data_output, failed, image_field
from utils.demo.files import Downloads

OVERLAY_WIDTH, OVERLAY_PIXELS = 800, 2_000_000  # a long image's is narrower


def feature_tab(answers: Answers, sample: str | Path | None) -> None:
    """Looks for a feature in an image."""
    first = read_image(sample, answers.index.reading) if sample else None
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = image_field("The image to look into", "scene", first)
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
            shown = card_component(render.status(hint), "feature-results")
            with gr.Row(visible=False) as downloads:
                as_json = gr.DownloadButton("Download all tiles (JSON)", size="sm")
                as_png = gr.DownloadButton("Download the heat map (PNG)", size="sm")
                as_map = gr.DownloadButton("Download for a GIS (GeoJSON)", size="sm", visible=False)
            told = data_output("answer")
    search, asked = partial(_find, answers, Downloads(Path(as_json.GRADIO_CACHE))), [image, text, scale]
    answered = [shown, downloads, as_json, as_png, as_map, told]
    gr.on([text.submit, button.click], search, asked, answered, api_name="find_feature", **FINDING)


def _find(answers: Answers, downloads: Downloads, sent: Any, text: Any, scale: Any) -> tuple:
    no_files = gr.Row(visible=False), gr.skip(), gr.skip(), gr.skip()
    try:
        answer = answers.find_feature(sent, text, scale)
    except ValueError as error:
        sentence, data = failed(error)
        return sentence, *no_files, data
    overlay = answer.finding.overlay(width=overlay_width(*answer.finding.scene.size))
    html = render.feature_answer(answer, overlay)
    try:
        as_json, as_png, as_map = downloads.save(answer.finding, overlay)
    except OSError:  # a full disk keeps nobody from looking
        return html, *no_files, answer.as_json()
    placed = gr.DownloadButton(value=as_map, visible=as_map is not None)
    return html, gr.Row(visible=True), as_json, as_png, placed, answer.as_json()


def describe_tab(answers: Answers) -> None:
    """Has an image described."""
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image = image_field("The image to describe", "described")
            button = gr.Button("Describe", variant="primary", elem_id="describe")
        with gr.Column(scale=2, min_width=300):
            hint = "Give an image: a sentence about it appears here."
            shown = card_component(render.status(hint), "description")
    gr.on([image.upload, button.click], partial(_describe, answers), image, shown, api_name="describe", **DESCRIBING)


def _describe(answers: Answers, sent: Any) -> str:
    try:
        return render.description(answers.describe(sent))
    except ValueError as error:
        return render.status(str(error), failed=True)


def overlay_width(width: int, height: int) -> int:
    """How wide an image is drawn, in pixels, so that all of it has no more than `OVERLAY_PIXELS`."""
    return max(1, min(OVERLAY_WIDTH, int((OVERLAY_PIXELS * width / height) ** 0.5)))
