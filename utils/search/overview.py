"""What was found, drawn: each scene once, made small, with numbered frames around its hits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from utils.finder.drawing import draw_frames
from utils.finder.reading import open_scene
from utils.search.catalog import Hit
from utils.search.engines import SearchError
from utils.search.tiles import TileHit

MARGIN = 8  # pixels between scenes
GROUND, INK = "white", "black"


def draw_hits(hits: Sequence[Hit], width: int = 800) -> Image.Image:
    """Draws the scenes that hits lie in, each ``width`` pixels wide or high at most, with the hits framed, as RGB.

    Scenes come in the order of their best hits, in rows about as many as columns, each under its name; frames are
    numbered by rank. A `SearchError` says that no tile is among the hits; an `ImageError`, that a scene cannot be read.
    """
    scenes: dict[Path, list[TileHit]] = {}
    for hit in hits:
        if isinstance(hit, TileHit):
            scenes.setdefault(hit.path, []).append(hit)
    if not scenes:
        raise SearchError("No tiles of scenes were found, so there is nothing to draw; try another query.")
    drawn = [_scene(found, width) for found in scenes.values()]
    columns = int(np.ceil(np.sqrt(len(drawn))))
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    cell = max(image.width for image in drawn) + MARGIN
    heights = [max(image.height for image in row) + MARGIN for row in rows]
    sheet = Image.new("RGB", (columns * cell - MARGIN, sum(heights) - MARGIN), GROUND)
    for row, top in zip(rows, np.cumsum([0, *heights[:-1]]).tolist(), strict=True):
        for column, image in enumerate(row):
            sheet.paste(image, (column * cell, top))
    return sheet


def _scene(hits: Sequence[TileHit], width: int) -> Image.Image:
    """One scene under its name, with its hits framed."""
    with open_scene(hits[0].path, hits[0].reading) as opened:
        small, size = opened.overview().image, opened.size
    scale = width / max(size)
    small = small.resize((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), Image.Resampling.BICUBIC)
    draw_frames(small, np.array([hit.tile.box for hit in hits]), scale, [hit.rank for hit in hits])
    letters = max(10, width // 45)
    drawn = Image.new("RGB", (small.width, small.height + 2 * letters), GROUND)
    drawn.paste(small, (0, 2 * letters))
    title = Path(hits[0].path).name
    ImageDraw.Draw(drawn).text((2, letters // 2), title, fill=INK, font_size=letters)
    return drawn
