"""Images in grids, beside their captions, above their scores, under a grid of patches.

An image is a Pillow image or an array (height, width, 3), uint8 or float from 0 to 1.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import PALE_BLUE, PALE_GRAY, few, new_figure, new_panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    Drawable = Image | np.ndarray


@styled
def image_grid(images: Sequence[Drawable], titles: Sequence[str] = (), columns: int = 6, width: float = 11.0) -> Figure:
    """Draws images in rows, each with a short title above, if there are titles; the width is in inches."""
    if not len(images):
        return _no_images(width)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    figure, panels = new_panels(width, rows * (width / columns + 0.18 * lines), rows, columns)
    for axis in panels.flat:
        axis.set_axis_off()
    for axis, image in zip(panels.flat, images, strict=False):  # the last row may have panels left over
        axis.imshow(np.asarray(image))
    for axis, title in zip(panels.flat, titles, strict=False):
        axis.set_title(title, fontsize=9 if columns < 9 else 8, fontweight="normal", loc="center")
    told = f": {few(list(dict.fromkeys(titles)))}" if titles else ""
    figure.set_label(f"{len(images)} image{'s' if len(images) > 1 else ''}{told}.")
    return figure


def _no_images(width: float) -> Figure:
    """Stands in the place of images where a search or a choice has left none."""
    figure, axis = new_figure(width, 0.5)
    axis.set_axis_off()
    axis.text(0.5, 0.5, "no images", ha="center", va="center")
    figure.set_label("No images.")
    return figure


@styled
def captioned_images(
    images: Sequence[Drawable], texts: Sequence[Sequence[str]], columns: int = 2, width: float = 11.0
) -> Figure:
    """Draws images, each with its texts to the right, wrapped, so many in a row; the width is in inches."""
    if not len(images):
        return _no_images(width)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    ratios = [0.36, 0.64] * columns
    figure, panels = new_panels(width, rows * (0.36 * width / columns), rows, 2 * columns, width_ratios=ratios)
    for axis in panels.flat:
        axis.set_axis_off()
    letters = int(width / columns * 0.64 * 14)
    for number, (image, lines) in enumerate(zip(images, texts, strict=True)):
        left, right = panels.flat[2 * number : 2 * number + 2]
        left.imshow(np.asarray(image))
        # A full stop that stands apart, as in RSICD's captions, must not begin a line.
        glued = (line.replace(" .", "\u00a0.") for line in lines)
        wrapped = "\n".join(textwrap.fill(line, letters, subsequent_indent="      ") for line in glued)
        right.text(0, 0.5, wrapped, va="center", fontsize=9, linespacing=1.35, parse_math=False)
    figure.set_label(f"{len(images)} images with their texts: {few([lines[0] for lines in texts if lines], most=4)}.")
    return figure


@styled
def scored_images(
    images: Sequence[Drawable],
    titles: Sequence[str],
    names: Sequence[Sequence[str]],
    scores: Sequence[Sequence[float]],
    label: str,
    width: float = 11.0,
) -> Figure:
    """Draws images in a row, and under each its names with their scores, 0 to 1, as lying bars, the first on top.

    A name that is the title of its image is bold and its bar blue; ``label`` says what the scores are.
    """
    cell = width / len(images)
    figure, panels = new_panels(width, cell + 2.0, 2, len(images), height_ratios=[cell, 1.7])
    for image, title, shown, values, (above, below) in zip(images, titles, names, scores, panels.T, strict=True):
        above.imshow(np.asarray(image))
        above.set_axis_off()
        above.set_title(title, fontsize=9, fontweight="bold", loc="center")
        below.barh(range(len(shown)), values, color=[PALE_BLUE if name == title else PALE_GRAY for name in shown])
        for place, name in enumerate(shown):
            weight = "bold" if name == title else "normal"
            below.text(0.02, place, name, va="center", fontsize=9, fontweight=weight)
        below.set(yticks=[], xlim=(0, 1), xticks=[0, 0.5, 1])
        below.invert_yaxis()
        below.set_xlabel(label, fontsize=8)
    firsts = [f"{title}: {shown[0]}" for title, shown in zip(titles, names, strict=True)]
    figure.set_label(f"Images with the highest of {label}: {few(firsts)}.")
    return figure


@styled
def image_with_patches(image: Drawable, patch_size: int) -> Figure:
    """Draws a square image with the grid of patches that a vision transformer cuts it into."""
    pixels = np.asarray(image)
    figure, axis = new_figure(4.0, 4.0)
    axis.imshow(pixels)
    for edge in range(0, pixels.shape[0] + 1, patch_size):
        axis.axhline(edge - 0.5, color="white", linewidth=0.8)
        axis.axvline(edge - 0.5, color="white", linewidth=0.8)
    axis.set_axis_off()
    figure.set_label(f"An image of {pixels.shape[0]} pixels, cut into patches of {patch_size}.")
    return figure
