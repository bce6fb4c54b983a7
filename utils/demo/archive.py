"""The tab over an index of scenes: where they lie, and where among them a query was found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from utils.demo import render
from utils.demo.answers import MAX_LETTERS, Answers
from utils.demo.components import FIRST_COUNT, SEARCHING, card_component, count_slider, data_output, failed
from utils.demo.files import Downloads
from utils.demo.map import Outline, draw_map, place_in_words
from utils.demo.results import ArchiveAnswer, center_of, hit_as_json, verdict_of
from utils.search import SearchError, TileHit
from utils.search.tiles import address, save_geojson

if TYPE_CHECKING:
    from collections.abc import Sequence

EVEN = 0.5  # of probability
SCENES_LISTED = 50
SCENES_DRAWN = 500  # the first ones; more would be a blot


def archive_tab(answers: Answers) -> gr.HTML:
    """Asks an index of scenes, and shows on a map where; gives the place of its results."""
    with gr.Row(equal_height=True):
        first = answers.suggestions()[0]
        text = gr.Textbox(first, label="What to look for in the scenes", max_length=MAX_LETTERS, scale=4)
        count = count_slider()
        button = gr.Button("Search", variant="primary", scale=1, min_width=110, elem_id="search-archive")
    results = card_component(archive_answer(answers, answers.in_scenes(first, FIRST_COUNT)), "archive-results")
    as_map = gr.DownloadButton("Download these places (GeoJSON)", size="sm", visible=False)
    told = data_output("answer")
    search = partial(_search, answers, Downloads(Path(as_map.GRADIO_CACHE)))
    asked = [text.submit, button.click, count.release]
    gr.on(asked, search, [text, count], [results, as_map, told], api_name="search_archive", **SEARCHING)
    return results


def _search(answers: Answers, downloads: Downloads, text: Any, k: Any) -> tuple[str, gr.DownloadButton, Any]:
    no_file = gr.DownloadButton(visible=False)
    try:
        answer = answers.in_scenes(text, k)
    except ValueError as error:
        html, data = failed(error)
        return html, no_file, data
    try:
        named = [replace(hit, path=Path(hit.path.name)) for hit in answer.hits]  # where files lie is nobody's business
        saved = save_geojson(named, downloads.new_folder("places-") / "places.geojson")
    except (SearchError, OSError):  # scenes without a place, or a full disk, keep nobody from looking
        return archive_answer(answers, answer), no_file, answer.as_json()
    return archive_answer(answers, answer), gr.DownloadButton(value=str(saved), visible=True), answer.as_json()


def archive_answer(answers: Answers, answer: ArchiveAnswer) -> str:
    """The sentence, the map, and the hits with scene, pixels and place; each asks for more like it."""
    hits = [hit for hit in answer.hits if isinstance(hit, TileHit)]
    rows = [answers.rows[address(hit)] for hit in hits]
    cards = zip(hits, rows, answers.thumbnails.addresses(rows), strict=True)
    listed = "".join(_place_card(hit, row, small) for hit, row, small in cards)
    return f'{render.said(answer)}{_map_of(answers, hits)}{_scenes_of(answer)}<ol class="places">{listed}</ol>'


def _scenes_of(answer: ArchiveAnswer) -> str:
    """What each of the best scenes shows, to be unfolded; empty where nothing is said of any."""
    told = [scene for scene in answer.scenes if scene.verdict]
    if not told:
        return ""
    judged = [scene.presence for scene in told if scene.presence is not None]
    counted = []
    if judged:
        likely = sum(presence >= EVEN for presence in judged)
        counted.append(f"In {likely:,} of {len(judged):,} scenes it is more probably there than not")
    if others := len(told) - len(judged):
        counted.append(f"{others:,} not judged")
    lines = "".join(
        f"<li><b>{escape(scene.name)}</b> {escape(verdict_of(scene))}"
        f"{'' if scene.presence is None else f': probability {scene.presence:.2f}'}</li>"
        for scene in told[:SCENES_LISTED]
    )
    return f'<details class="scenes"><summary>{"; ".join(counted)}</summary><ul>{lines}</ul></details>'


def _map_of(answers: Answers, hits: Sequence[TileHit]) -> str:
    scenes = answers.scene_outlines[:SCENES_DRAWN]
    drawn = [Outline(geometry, "scene", name) for name, geometry in scenes]
    for hit in reversed(hits):
        if (footprint := hit.tile.footprint) is not None:
            drawn.append(Outline(footprint, "hit", f"{hit.rank}: {hit.name}", str(hit.rank)))
    total = len(answers.index.sources)
    named = f"{len(answers.scene_outlines):,} of {total:,} scenes have a place on the Earth"
    if len(answers.scene_outlines) > SCENES_DRAWN:
        named += f"; the outlines of {SCENES_DRAWN} are drawn"
    drawing = draw_map(drawn, "Map of the scenes and of what was found")
    return f'<figure class="place-map">{drawing}<figcaption>{named}.</figcaption></figure>'


def _place_card(hit: TileHit, row: int, small: str) -> str:
    told = hit_as_json(hit)
    left, top, right, bottom = hit.tile.box
    where = place_in_words(center_of(hit.tile.footprint)) or "no place on the Earth"
    return (
        f"<li>{render.button(small, row, hit.name, 'The file is no longer there.')}"
        f'<p class="place"><b>{hit.rank}</b> <span>{escape(told["file"])}</span> '
        f'<span class="score">score {hit.score:.3f}</span></p>'
        f'<p class="caption">{where}<br>pixels ({left}, {top}) to ({right}, {bottom})</p></li>'
    )
