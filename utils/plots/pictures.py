"""Pictures in grids, beside their captions, above their scores, under a grid of patches."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import PALE_BLUE, PALE_GREY, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def picture_grid(
    pictures: Sequence[object], titles: Sequence[str] = (), columns: int = 6, width: float = 11.0
) -> Figure:
    """Pictures in rows, each with a short title above.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        titles: One for each picture, or none.
        columns: Pictures in a row.
        width: Of the whole figure, in inches.
    """
    if not len(pictures):
        return _no_pictures(width)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    figure, axes = new_figure(width, rows * (width / columns + 0.18 * lines), rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, picture in enumerate(pictures):
        axes.flat[number].imshow(np.asarray(picture))
        if titles:
            axes.flat[number].set_title(
                titles[number], fontsize=9 if columns < 9 else 8, fontweight="normal", loc="center"
            )
    return figure


def _no_pictures(width: float) -> Figure:
    """What stands in the place of pictures where a search or a choice has left none."""
    figure, axis = new_figure(width, 0.5)
    axis.set_axis_off()
    axis.text(0.5, 0.5, "no pictures", ha="center", va="center")
    return figure


@styled
def captioned_pictures(
    pictures: Sequence[object], texts: Sequence[Sequence[str]], columns: int = 2, width: float = 11.0
) -> Figure:
    """Pictures, each with its texts to the right, one below another.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        texts: For each picture its texts; long ones are wrapped.
        columns: Pictures in a row.
        width: Of the whole figure, in inches.
    """
    if not len(pictures):
        return _no_pictures(width)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    picture_width = 0.36 * width / columns
    figure, axes = new_figure(
        width, rows * picture_width, rows, 2 * columns, squeeze=False, width_ratios=[0.36, 0.64] * columns
    )
    for axis in axes.flat:
        axis.set_axis_off()
    letters = int(width / columns * 0.64 * 14)
    for number, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        left, right = axes.flat[2 * number : 2 * number + 2]
        left.imshow(np.asarray(picture))
        # A full stop that stands apart, as in RSICD's captions, must not begin a line.
        glued = (line.replace(" .", "\u00a0.") for line in lines)
        wrapped = "\n".join(textwrap.fill(line, letters, subsequent_indent="      ") for line in glued)
        right.text(0, 0.5, wrapped, va="center", fontsize=9, linespacing=1.35, parse_math=False)
    return figure


@styled
def scored_pictures(
    pictures: Sequence[object],
    titles: Sequence[str],
    names: Sequence[Sequence[str]],
    scores: Sequence[Sequence[float]],
    label: str,
    width: float = 11.0,
) -> Figure:
    """Pictures in a row, and under each a few names with their scores as lying bars, best on top.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        titles: One above each picture; where a name is the title, it is bold and its bar blue.
        names: For each picture the names to show, in order.
        scores: Their scores, from 0 to 1.
        label: What the scores are.
        width: Of the whole figure, in inches.
    """
    cell = width / len(pictures)
    figure, axes = new_figure(width, cell + 2.0, 2, len(pictures), squeeze=False, height_ratios=[cell, 1.7])
    for column, picture in enumerate(pictures):
        above, below = axes[:, column]
        above.imshow(np.asarray(picture))
        above.set_axis_off()
        above.set_title(titles[column], fontsize=9, fontweight="bold", loc="center")
        places = np.arange(len(names[column]))
        right = [name == titles[column] for name in names[column]]
        colors = [PALE_BLUE if is_right else PALE_GREY for is_right in right]
        below.barh(places, scores[column], color=colors)
        for place, name in enumerate(names[column]):
            weight = "bold" if right[place] else "normal"
            below.text(0.02, place, name, va="center", fontsize=9, fontweight=weight)
        below.set_yticks([])
        below.set_xlim(0, 1)
        below.set_xticks([0, 0.5, 1])
        below.invert_yaxis()
        below.set_xlabel(label, fontsize=8)
    return figure


@styled
def picture_with_patches(picture: object, patch_size: int) -> Figure:
    """A square picture with the grid of patches that a vision transformer cuts it into."""
    pixels = np.asarray(picture)
    figure, axis = new_figure(4.0, 4.0)
    axis.imshow(pixels)
    for edge in range(0, pixels.shape[0] + 1, patch_size):
        axis.axhline(edge - 0.5, color="white", linewidth=0.8)
        axis.axvline(edge - 0.5, color="white", linewidth=0.8)
    axis.set_axis_off()
    return figure
