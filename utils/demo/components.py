"""What all tabs are made of: fields with one look, and the queues that questions wait in."""

from __future__ import annotations

from typing import Any

import gradio as gr

from utils.demo import render
from utils.demo.answers import MAX_IMAGES

FIRST_COUNT = 12
# Inputs go to `answers` as they come and are checked there. Searches take milliseconds and do not queue behind
# images that are cut into tiles.
SEARCHING: dict[str, Any] = {"preprocess": False, "concurrency_id": "search", "concurrency_limit": 2}
FINDING: dict[str, Any] = {"preprocess": False, "concurrency_id": "find", "concurrency_limit": 1}
DESCRIBING: dict[str, Any] = {"preprocess": False, "concurrency_id": "describe", "concurrency_limit": 1}
AS_SENT: dict[str, Any] = {"type": "filepath", "image_mode": None, "format": "png", "sources": ["upload", "clipboard"]}


def image_field(label: str, name: str, value: Any = None, height: int = 300) -> gr.Image:
    """A field for an image that a visitor sends."""
    drop = "Drop an image here, click to choose one, or paste it with the button below"
    return gr.Image(
        value, label=label, alt_text=label, elem_id=name, height=height, placeholder=drop, buttons=[], **AS_SENT
    )


def count_slider() -> gr.Slider:
    """How many images to show."""
    return gr.Slider(1, MAX_IMAGES, FIRST_COUNT, step=1, label="Number of images", scale=2, min_width=200)


def card_component(html: str, name: str) -> gr.HTML:
    """A place for what `render` writes."""
    return gr.HTML(
        html, css_template=render.CARD_STYLE, apply_default_css=False, js_on_load=render.ON_LOAD, elem_id=name
    )


def data_output(label: str) -> gr.JSON:
    """The answer as programs get it, which the page does not show."""
    return gr.JSON(label=label, visible=False)


def failed(error: Exception) -> tuple[str, dict[str, Any]]:
    """The sentence of an error, for the page and for programs."""
    return render.status(str(error), failed=True), {"error": str(error)}
