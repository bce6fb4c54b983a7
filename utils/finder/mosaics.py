"""Scenes of known content: images of a data set laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, read_image


@dataclass(frozen=True)
class Mosaic:
    """A scene made of images."""

    image: Image.Image  # RGB
    items: tuple[CaptionedImage, ...]  # what lies in its cells, row by row
    columns: int  # cells in a row
    cell: int  # height and width of a cell in pixels

    @property
    def categories(self) -> tuple[str, ...]:
        """What is shown, sorted, each category once."""
        return tuple(sorted({item.category for item in self.items if item.category is not None}))

    def cell_box(self, number: int) -> tuple[int, int, int, int]:
        """Where a cell lies: left, top, right, bottom in pixels."""
        row, column = divmod(number, self.columns)
        left, top = column * self.cell, row * self.cell
        return left, top, left + self.cell, top + self.cell

    def cell_number(self, box: tuple[int, int, int, int]) -> int:
        """The cell that the middle of a box lies in."""
        left, top, right, bottom = box
        return (top + bottom) // (2 * self.cell) * self.columns + (left + right) // (2 * self.cell)


def make_mosaic(items: Sequence[CaptionedImage], columns: int, cell: int, blend: int = 0) -> Mosaic:
    """Lays images, cut to squares of ``cell`` pixels, side by side, row by row.

    Over ``blend`` pixels on either side of an edge neighbors fade into each other. If the last row would not be full, a
    ValueError says so.
    """
    if not items or len(items) % columns:
        raise ValueError(f"{len(items)} images do not fill rows of {columns}; give a multiple of it.")
    rows, side = len(items) // columns, cell + 2 * blend
    # Each image sticks out of its cell by `blend` pixels, weighted ever less toward its rim.
    ramp = np.minimum(np.arange(1, side + 1) / (2 * blend + 1), 1)
    fade = np.minimum(ramp, ramp[::-1])
    weight = np.outer(fade, fade)[..., None].astype(np.float32)
    total = np.zeros((rows * cell + 2 * blend, columns * cell + 2 * blend, 3), np.float32)
    weights = np.zeros((*total.shape[:2], 1), np.float32)
    for number, item in enumerate(items):
        row, column = divmod(number, columns)
        place = slice(row * cell, row * cell + side), slice(column * cell, column * cell + side)
        total[place] += _square(item, side) * weight
        weights[place] += weight
    inside = slice(blend, blend + rows * cell), slice(blend, blend + columns * cell)
    image = Image.fromarray((total[inside] / weights[inside] + 0.5).astype(np.uint8))
    return Mosaic(image, tuple(items), columns, cell)


def _square(item: CaptionedImage, side: int) -> np.ndarray:
    """(side, side, 3) float32: the middle of an image."""
    image = read_image(item.path, item.reading)
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32)


def draw_mosaics(
    dataset: CaptionDataset, grid: int, count: int, cell: int, generator: np.random.Generator
) -> list[Mosaic]:
    """Draws square mosaics of ``grid`` by ``grid`` images of ``cell`` pixels, all of which must decode.

    Every image comes once before any comes again, so that single images are a fair sample of the data.
    """
    cells = grid * grid
    rounds = -(-cells * count // len(dataset))
    order = [dataset[int(number)] for _ in range(rounds) for number in generator.permutation(len(dataset))]
    return [make_mosaic(order[at : at + cells], grid, cell) for at in range(0, cells * count, cells)]
