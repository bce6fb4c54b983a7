"""The page: tabs over one index, some of them only where it has scenes or a captioner. It needs Gradio."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from utils.demo.answers import Answers
from utils.demo.archive import archive_tab
from utils.demo.components import SEARCHING
from utils.demo.features import describe_tab, feature_tab
from utils.demo.limits import MAX_WAITING, SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT
from utils.demo.searching import image_tab, shown, text_tab
from utils.demo.thumbnails import Thumbnails

TITLE = "CLIP for the Earth from above"


class Page(gr.Blocks):
    """Gradio's page, with the small images that the server serves beside it."""

    thumbnails: Thumbnails


def build_page(answers: Answers, sample: str | Path | None) -> Page:
    """The page; see `utils.demo.demo_blocks`."""
    blocks = Page(title=TITLE, analytics_enabled=False, delete_cache=(SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT))
    blocks.thumbnails = answers.thumbnails
    with blocks:
        index, name = answers.index, escape(answers.index.dataset.name)
        kind = "images" if index.tiling is None else f"tiles of {len(index.scenes):,} scenes"
        searched = f"{len(index):,} {kind}{f' of {name}' if name and index.tiling is None else ''}"
        invites = f"Search {searched} by words or by example, or look for a feature inside an image of your own."
        invites += " Another tab describes one." if answers.captioner is not None else ""
        gr.HTML(f"<h1>{TITLE}</h1><p>{invites}</p>", elem_classes="title", js_on_load=None)
        with gr.Tabs(selected="text") as tabs:
            with gr.Tab("Text to image", id="text"):
                text_results = text_tab(answers, blocks, tabs)
            with gr.Tab("Image to image", id="image"):
                image, count, image_results, choices = image_tab(answers)
            clickable = [text_results, image_results, choices]
            if index.tiling is not None:
                with gr.Tab("Archive", id="archive"):
                    clickable.append(archive_tab(answers))
            with gr.Tab("Find feature", id="feature"):
                feature_tab(answers, sample)
            if answers.captioner is not None:
                with gr.Tab("Describe a picture", id="describe"):
                    describe_tab(answers)

        def choose(k: Any, event: gr.EventData) -> tuple[Any, str, gr.Tabs]:
            """Shows an image of the index on the second tab, with those most like it."""
            row = event._data.get("member") if isinstance(event._data, dict) else None
            member = answers.member_image(row)
            html, _ = shown(answers, answers.by_member, row, k)
            return gr.skip() if member is None else member, html, gr.Tabs(selected="image")

        for cards in clickable:
            cards.click(choose, count, [image, image_results, tabs], api_visibility="private", **SEARCHING)
    blocks.queue(max_size=MAX_WAITING)
    return blocks


def page_theme() -> gr.themes.Base:
    """Gradio's plain theme in the blue of the course's figures, with the reader's own fonts."""
    plain = gr.themes.Default(
        primary_hue="sky", neutral_hue="slate", radius_size="lg", font=["sans-serif"], font_mono=["monospace"]
    )
    blue = ("color_accent", "button_primary_background_fill", "button_primary_background_fill_dark")
    hovered = ("button_primary_background_fill_hover", "button_primary_background_fill_hover_dark")
    # Hints in empty fields stand out from their ground as other words do; sliders and boxes follow the accent.
    hints = {"input_placeholder_color": "*neutral_500", "input_placeholder_color_dark": "*neutral_400"}
    return plain.set(**dict.fromkeys(blue, "#0072B2"), **dict.fromkeys(hovered, "#00639b"), **hints)
