"""Findings as pictures: the heat map, and the heat map upon the scene."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from utils.finder.finding import Finding

# How far a tile's bump reaches from its center, in tile sides: neighbors half a tile off overlap.
REACH = 0.75
COLORS = "inferno"
OPACITY = 0.65  # of the hottest place
FRAME = "#00E5FF"


def heat_map(finding: Finding, width: int) -> np.ndarray:
    """Sets a smooth bump upon each tile, as high as the tile's value, and takes the highest at each point.

    A bump falls from 1 at the tile's center as a squared cosine, 0.25 at the middle of its edges and 0 at
    `REACH` tile sides. The highest, and not the mean, so that the maximum is the best tile's center whatever the
    other scales say.

    Args:
        finding: A tile's value is its share of the softmax relative to the best tile's, times the presence
            where that is known: the map of a feature that is not there stays dark.
        width: In pixels.

    Returns:
        (height, width) float32, 0 to 1.

    Raises:
        ValueError: If the width is less than 1.
    """
    if width < 1:
        raise ValueError(f"A heat map of {width} pixels cannot be drawn; it must be at least 1 wide.")
    picture_width, picture_height = finding.scene.size
    height = max(1, round(width * picture_height / picture_width))
    heat = np.zeros((height, width), np.float32)
    for tile, value in zip(finding.tiles, _values(finding), strict=True):
        left, top, right, bottom = tile.box
        columns, across = _bump(left, right, picture_width, width)
        rows, down = _bump(top, bottom, picture_height, height)
        place = heat[rows, columns]
        np.maximum(place, value * np.outer(down, across), out=place)
    return heat


def _values(finding: Finding) -> np.ndarray:
    """(tiles,) float32, 0 to 1."""
    shares = np.array([tile.probability for tile in finding.tiles])
    there = 1.0 if finding.presence is None else finding.presence
    return (there * shares / shares.max()).astype(np.float32)


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


def overlay(finding: Finding, width: int, boxes: int) -> Image.Image:
    """The scene with its heat map, the hotter the less transparent, and numbered frames around the best tiles."""
    from matplotlib import colormaps

    heat = finding.heat_map(width)
    picture = finding.scene.thumbnail.resize(heat.shape[::-1], Image.Resampling.BICUBIC)
    colors = colormaps[COLORS](heat)[..., :3] * 255
    opacity = (OPACITY * heat)[..., None]
    mixed = np.asarray(picture) * (1 - opacity) + colors * opacity
    drawn = Image.fromarray(mixed.round().astype(np.uint8))
    for tile in reversed(finding.tiles[:boxes]):
        _frame(drawn, tile.box, str(tile.rank), drawn.width / finding.scene.size[0])
    return drawn


def _frame(picture: Image.Image, box: tuple[int, int, int, int], label: str, scale: float) -> None:
    """Draws a frame with a number in its corner, dark behind light, so that it stands out on any ground."""
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    right, bottom = max(left, min(right, picture.width) - 1), max(top, min(bottom, picture.height) - 1)
    line = max(1, picture.width // 400)
    draw.rectangle((left, top, right, bottom), outline="black", width=2 * line)
    draw.rectangle((left, top, right, bottom), outline=FRAME, width=line)
    size = max(10, picture.width // 45)
    corner = (left + 3 * line, top + 2 * line)
    draw.text(corner, label, fill=FRAME, font_size=size, stroke_width=line, stroke_fill="black")
