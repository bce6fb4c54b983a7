"""What a search found, as images: the heat map, and the heat map upon the scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# How far a tile's bump reaches from its center, in tile sides: neighbors half a tile off overlap.
REACH = 0.75
COLORS = "inferno"
OPACITY = 0.65  # of the hottest place
FRAME = "#00E5FF"


def heat_map(boxes: np.ndarray, values: np.ndarray, size: tuple[int, int], width: int) -> np.ndarray:
    """Sets a smooth bump upon each tile, as high as the tile's value, and takes the highest at each point.

    A bump falls from 1 at the tile's center as a squared cosine, 0.25 at the middle of its edges and 0 at `REACH` tile
    sides. The highest, and not the mean, so that the maximum is the best tile's center whatever other scales say.

    Boxes are (tiles, 4) integers, left, top, right, bottom in pixels of a scene of this size (width, height); values
    (tiles,) float32, 0 to 1, as in the map, (height, width) of ``width`` pixels.
    """
    height = max(1, round(width * size[1] / size[0]))
    heat = np.zeros((height, width), np.float32)
    for (left, top, right, bottom), value in zip(boxes.tolist(), values, strict=True):
        columns, across = _bump(left, right, size[0], width)
        rows, down = _bump(top, bottom, size[1], height)
        place = heat[rows, columns]
        np.maximum(place, value * np.outer(down, across), out=place)
    return heat


def _bump(start: int, end: int, length: int, pixels: int) -> tuple[slice, np.ndarray]:
    """One tile's bump along one axis: where it is above zero on the map, and its values there.

    The map's pixel nearest to the tile's center has the value 1, so that a coarse map keeps the order of tiles.
    """
    scale = pixels / length
    center = min(int((start + end) / 2 * scale), pixels - 1)
    reach = max(REACH * (end - start) * scale, 0.5)
    first, last = max(0, int(np.ceil(center - reach))), min(pixels - 1, int(center + reach))
    distance = np.arange(first, last + 1) - center
    return slice(first, last + 1), np.cos(np.pi / 2 * distance / reach) ** 2


def overlay(thumbnail: Image.Image, heat: np.ndarray, boxes: np.ndarray, scale: float) -> Image.Image:
    """Draws a heat map (height, width) upon a scene of any size, the hotter the less transparent.

    Frames are drawn around the boxes (tiles, 4) of the best tiles, numbered in their order; ``scale`` leads from the
    pixels of these to those of the map.
    """
    from matplotlib import colormaps

    image = thumbnail.resize(heat.shape[::-1], Image.Resampling.BICUBIC)
    colors = colormaps[COLORS](heat)[..., :3] * 255
    opacity = (OPACITY * heat)[..., None]
    mixed = np.asarray(image) * (1 - opacity) + colors * opacity
    drawn = Image.fromarray(mixed.round().astype(np.uint8))
    draw_frames(drawn, boxes, scale, range(1, len(boxes) + 1))
    return drawn


def draw_frames(drawn: Image.Image, boxes: np.ndarray, scale: float, numbers: Sequence[int]) -> None:
    """Draws numbered frames around boxes (tiles, 4), the first on top; ``scale`` leads from their pixels to these."""
    draw, line = ImageDraw.Draw(drawn), max(1, drawn.width // 400)
    for number, box in reversed(list(zip(numbers, boxes.tolist(), strict=True))):
        left, top, right, bottom = (round(edge * scale) for edge in box)
        right, bottom = max(left, min(right, drawn.width) - 1), max(top, min(bottom, drawn.height) - 1)
        # Dark behind light stands out on any ground.
        draw.rectangle((left, top, right, bottom), outline="black", width=2 * line)
        draw.rectangle((left, top, right, bottom), outline=FRAME, width=line)
        corner, size = (left + 3 * line, top + 2 * line), max(10, drawn.width // 45)
        draw.text(corner, str(number), fill=FRAME, font_size=size, stroke_width=line, stroke_fill="black")
