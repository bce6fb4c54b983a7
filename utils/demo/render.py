"""Answers as HTML: every text escaped, images of the index by their address, those of visitors within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.demo.map import Outline, Overview, draw_map, place_in_words, whole_outline
from utils.demo.results import center_of, outlines_of
from utils.demo.thumbnails import SIDE
from utils.files import printable
from utils.search import Hit, TileHit, WithoutFile
from utils.search.tiles import address

if TYPE_CHECKING:
    from PIL import Image

    from utils.datasets import CaptionedImage
    from utils.demo.results import FeatureAnswer, SearchAnswer
    from utils.demo.thumbnails import Thumbnails
    from utils.finder import Finding, Tile

TILES_SHOWN, FRAMED = 6, 3
MAP_PIXELS = 512  # of a scene's overview on the map
# A click or the Enter key on an image of the index asks for more like it.
ON_LOAD = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-member]');
  if (button) trigger('click', {member: button.dataset.member});
});
"""
CARD_STYLE = Path(__file__).with_name("cards.css").read_text("utf-8")


def status(text: str, failed: bool = False) -> str:
    """A line that screen readers announce when it changes."""
    return f'<p role="status" class="said{" failed" if failed else ""}">{escape(text)}</p>'


def search_answer(
    answer: SearchAnswer, rows: Mapping[Path, int], thumbnails: Thumbnails, top: Path | None = None
) -> str:
    """The hits with rank, score and captions; each is a button that asks for more like it, by its row of these.

    Where it lies is told from the folder at the top on, if that is known.
    """
    numbers = [rows[address(hit)] for hit in answer.hits]
    shown = zip(answer.hits, numbers, thumbnails.addresses(numbers), strict=True)
    cards = "".join(_hit_card(hit, row, small, top) for hit, row, small in shown)
    return said(answer) + (f'<ol class="cards">{cards}</ol>' if cards else "")


def said(answer: SearchAnswer) -> str:
    """The sentence of an answer, and what else a visitor should know."""
    remarks = "".join(f'<p class="basis">{escape(remark)}</p>' for remark in answer.remarks)
    return status(answer.sentence) + remarks


def choices(items: Sequence[CaptionedImage], rows: Mapping[Path, int], thumbnails: Thumbnails) -> str:
    """Small images of the index to begin with; each is a button."""
    numbers = [rows[address(item)] for item in items]
    cards = "".join(
        f"<li>{button(small, row, item.category or item.name, _absence(item))}</li>"
        for item, row, small in zip(items, numbers, thumbnails.addresses(numbers), strict=True)
    )
    return f'<h3>Or begin with one of these</h3><ul class="choices">{cards}</ul>'


def description(text: str) -> str:
    """What a captioner wrote, and that it was one."""
    note = "Written by a machine, which may name what is not there."
    sentence = _sentence(text) or "The captioner found no words for this image."
    return f'{status(sentence)}<p class="basis">{escape(note)}</p>'


def feature_answer(answer: FeatureAnswer, overlay: Image.Image) -> str:
    """The verdict, the image with its heat map and legend, and the best tiles."""
    finding = answer.finding
    meaning = "the tiles' shares of the softmax, the best one's as 1"
    if finding.presence is not None:
        meaning += f", times the probability {finding.presence:.2f} that it is here"
    alt = f"Heat map for {finding.feature}: the best tile reaches from {_place(finding.tiles[0].box)}."
    outlines = outlines_of(finding, TILES_SHOWN)
    cards = "".join(_tile_card(finding, tile, outline) for tile, outline in zip(finding.tiles, outlines, strict=False))
    return (
        f'{status(answer.sentence)}<p class="basis">{escape(answer.details)}</p>'
        f'<figure class="heat"><img src="{data_address(overlay)}" alt="{escape(alt)}">'
        f'<figcaption><span>0</span><span class="scale" style="background: {_color_scale()}"></span>'
        f"<span>1</span><span>{meaning}; frames: the three best tiles</span></figcaption></figure>"
        f'{_map_of(finding, outlines[:FRAMED])}<h3>The best tiles</h3><ol class="cards tiles">{cards}</ol>'
    )


def _map_of(finding: Finding, outlines: Sequence[dict[str, Any] | None]) -> str:
    """Where the scene and its best tiles lie on the Earth; empty if nobody knows."""
    scene = finding.scene
    whole = whole_outline(scene.size, scene.place)
    if whole is None:
        return ""
    small = scene.thumbnail.copy()
    small.thumbnail((MAP_PIXELS, MAP_PIXELS))
    drawn = [Outline(whole, "scene", scene.name or "the scene")]
    drawn += [Outline(o, "hit", f"tile {rank}", str(rank)) for rank, o in enumerate(outlines, 1) if o is not None]
    title = f"Map of the scene, around {place_in_words(center_of(whole))}, and its best tiles"
    drawing = draw_map(drawn, title, Overview(data_address(small), scene.size, scene.place))
    return f'<figure class="place-map small">{drawing}<figcaption>{escape(title)}</figcaption></figure>'


def _hit_card(hit: Hit, row: int, small: str, top: Path | None) -> str:
    first, *others = dict.fromkeys(map(_sentence, hit.captions)) or [""]
    name = hit.category or _where(hit, top)
    more = "".join(f"<li>{escape(text)}</li>" for text in others)
    if more:
        count = f"{len(others)} more caption{'s' if len(others) > 1 else ''}"
        more = f"<details><summary>{count}</summary><ul>{more}</ul></details>"
    return (
        f"<li>{button(small, row, first or hit.name, _absence(hit))}"
        f'<p class="place"><b>{hit.rank}</b> <span>{escape(name)}</span> '
        f'<span class="score">score {hit.score:.3f}</span></p>'
        f'<p class="caption">{escape(first)}</p>{more}</li>'
    )


def _where(hit: Hit, top: Path | None) -> str:
    """What tells a hit without a category from others: a tile's whole name, or the way to its file from the top."""
    if isinstance(hit, TileHit):
        return hit.name
    if top is not None and hit.has_file and hit.path.is_relative_to(top):
        return printable(hit.path.relative_to(top).with_suffix(""))
    return Path(hit.name).stem


def _absence(member: Hit | CaptionedImage) -> str:
    """What stands in the place of an image that cannot be shown: the name of one that never had a file here."""
    return member.name if _given(member) else "The file is no longer there."


def _given(member: Hit | CaptionedImage) -> str | None:
    """The name of a member without a file, whose path must not be opened: others have written it."""
    return member.given if isinstance(member, Hit | WithoutFile) else None


def button(small: str, row: int, text: str, absence: str) -> str:
    """An image of the index that asks for more like it, by its row; its absence in words if it has no address."""
    shown = f'<img src="{small}" alt="{escape(text)}" loading="lazy">' if small else escape(absence)
    return f'<button type="button" data-member="{row}" title="Find images like this one">{shown}</button>'


def _tile_card(finding: Finding, tile: Tile, outline: dict[str, Any] | None) -> str:
    scale = finding.scene.thumbnail.width / finding.scene.size[0]
    left, top, right, bottom = (round(edge * scale) for edge in tile.box)
    cut = finding.scene.thumbnail.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    cut.thumbnail((SIDE, SIDE))
    where = f" {words}." if (words := place_in_words(center_of(outline))) else ""
    alone = "" if tile.presence is None else f"Seen alone, here with probability {tile.presence:.2f}. "
    return (
        f'<li><img src="{data_address(cut)}" alt="Tile {tile.rank}, {_place(tile.box)}">'
        f'<p class="place"><b>{tile.rank}</b> <span class="score">score {tile.score:.3f}</span></p>'
        f'<p class="caption">{alone}Pixels {_place(tile.box)}.{where}</p></li>'
    )


def _place(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"({left}, {top}) to ({right}, {bottom})"


@lru_cache(maxsize=1)
def _color_scale() -> str:
    """The heat map's colors as a CSS gradient, from 0 to 1."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    from utils.finder.drawing import COLORS

    return f"linear-gradient(to right, {', '.join(to_hex(colormaps[COLORS](step / 8)) for step in range(9))})"


def data_address(image: Image.Image) -> str:
    """An image as an address that holds it (RFC 2397), as JPEG."""
    stored = io.BytesIO()
    image.save(stored, "jpeg", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stored.getvalue()).decode()}"


def _sentence(caption: str) -> str:
    """A caption as people write: RSICD's have a space before the full stop and begin small."""
    text = caption.strip().replace(" .", ".").replace(" ,", ",")
    return text[:1].upper() + text[1:]
