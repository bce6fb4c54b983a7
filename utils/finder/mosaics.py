"""Scenes of known content: pictures of a data set laid side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, read_image


@dataclass(frozen=True)
class Mosaic:
    """A scene made of pictures.

    Attributes:
        picture: RGB.
        items: What lies in its cells, row by row.
        columns: Cells in a row.
        cell: Height and width of a cell in pixels.
    """

    picture: Image.Image
    items: tuple[CaptionedImage, ...]
    columns: int
    cell: int

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
    """Lays pictures side by side, row by row.

    Args:
        items: The pictures, a whole number of rows.
        columns: In a row.
        cell: Height and width of each in pixels; pictures are resized, and cut to a square first.
        blend: Over so many pixels on either side of an edge neighbors fade into each other.

    Raises:
        ValueError: If the last row would not be full.
    """
    if not items or len(items) % columns:
        raise ValueError(f"{len(items)} pictures do not fill rows of {columns}; give a multiple of it.")
    rows = len(items) // columns
    total = np.zeros((rows * cell, columns * cell, 3), np.float32)
    weights = np.zeros((rows * cell, columns * cell, 1), np.float32)
    for number, item in enumerate(items):
        _lay(total, weights, _square(item, cell + 2 * blend), divmod(number, columns), cell, blend)
    picture = Image.fromarray((total / weights + 0.5).astype(np.uint8))
    return Mosaic(picture, tuple(items), columns, cell)


def _square(item: CaptionedImage, side: int) -> np.ndarray:
    """(side, side, 3) float32: the middle of a picture."""
    picture = read_image(item.path, item.reading)
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    square = picture.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32)


def _lay(
    total: np.ndarray, weights: np.ndarray, pixels: np.ndarray, place: tuple[int, int], cell: int, blend: int
) -> None:
    """Adds a picture that sticks out of its cell by ``blend`` pixels, weighted ever less toward its rim."""
    ramp = np.minimum(np.arange(1, cell + 2 * blend + 1) / (2 * blend + 1), 1)
    fade = np.minimum(ramp, ramp[::-1])
    weight = np.outer(fade, fade)[..., None].astype(np.float32)
    top, left = (number * cell - blend for number in place)
    height, width = total.shape[:2]
    rows, columns = (slice(max(0, start), start + cell + 2 * blend) for start in (top, left))
    inside = (
        slice(max(0, -top), min(cell + 2 * blend, height - top)),
        slice(max(0, -left), min(cell + 2 * blend, width - left)),
    )
    total[rows, columns] += (pixels * weight)[inside]
    weights[rows, columns] += weight[inside]


def draw_mosaics(
    dataset: CaptionDataset, grid: int, count: int, cell: int, generator: np.random.Generator
) -> list[Mosaic]:
    """Draws square mosaics of ``grid`` by ``grid`` pictures with known categories.

    Every picture comes once before any comes again, so that single pictures are a fair sample of the data.

    Args:
        dataset: Pictures, of which those with a category count; what cannot be decoded is left out, with a warning.
        grid: Pictures in a row and in a column.
        count: How many mosaics.
        cell: Height and width of each picture in pixels.
        generator: The source of the draw.

    Raises:
        ValueError: If no picture has a category, or not one can be decoded.
    """
    named = dataset.named().decodable()
    if not len(named):
        raise ValueError(f"{dataset.name or 'The data set'} has no picture with a category; mosaics are made of such.")
    return lay_mosaics(named, grid, count, cell, generator)


def lay_mosaics(
    named: CaptionDataset, grid: int, count: int, cell: int, generator: np.random.Generator
) -> list[Mosaic]:
    """As `draw_mosaics`, of pictures that all have a category and can be decoded."""
    cells = grid * grid
    rounds = -(-cells * count // len(named))
    order = [named[int(number)] for _ in range(rounds) for number in generator.permutation(len(named))]
    return [make_mosaic(order[at : at + cells], grid, cell) for at in range(0, cells * count, cells)]
