"""How a scene is cut: overlapping square tiles at several scales, every pixel in at least one of each scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SCALES = (1, 2, 4)  # the default tiles are the shorter side divided by these
OVERLAP = 0.5  # the share of a tile that the next one sees too
# A tile with less data is left out: it would be embedded as the black that stands for no data, and black is found.
LEAST_DATA = 0.25
FULL = 0.99  # with less data a tile is partly empty
# Of the smaller of two tiles, that both see, if they show one place; cut with half overlap, neighbors across a corner
# share a quarter.
SAME_PLACE = 0.2
SMALLEST_SIDE = 8  # pixels; a narrower image shows nothing to find
MOST_TILES = 200_000  # with their embeddings less than half a gigabyte


def default_tile_sizes(width: int, height: int, image_size: int) -> tuple[int, ...]:
    """The shorter side, a half and a quarter of it, but never less than the model sees, in pixels: largest first.

    An image that is smaller than the model's input has tiles of its shorter side: they are enlarged.
    """
    side = min(width, height)
    return tuple(sorted({max(side // scale, min(side, image_size)) for scale in SCALES}, reverse=True))


def tile_boxes(width: int, height: int, tile_size: int, overlap: float = OVERLAP) -> np.ndarray:
    """Cuts one scale, row by row; the last tile of a row or column is moved inward, so that nothing is lost.

    Returns (tiles, 4) int64: left, top, right, bottom in pixels, right and bottom exclusive. If such tiles cannot be
    cut, a ValueError says why.
    """
    check_tiling(width, height, [tile_size], overlap)
    lefts, tops = (_starts(length, tile_size, overlap) for length in (width, height))
    top, left = (grid.ravel() for grid in np.meshgrid(tops, lefts, indexing="ij"))
    return np.stack([left, top, left + tile_size, top + tile_size], axis=1)


def data_shares(data: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """What share of each tile has data, (tiles,) float32, 0 to 1, of boxes (tiles, 4) in pixels of the scene.

    ``data``, (rows, columns) float32, is the share of each part of the scene; ``size`` its width and height in pixels.
    """
    from scipy.ndimage import map_coordinates

    rows, columns = data.shape
    # Sums over all that lies above and to the left; between their corners a part counts by its area.
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = data.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    across, down = boxes[:, [0, 2]] * (columns / size[0]), boxes[:, [1, 3]] * (rows / size[1])
    corners = [down[:, [0, 0, 1, 1]], across[:, [0, 1, 0, 1]]]
    before, above, left, whole = map_coordinates(sums, corners, order=1, mode="nearest").T
    shares = (whole - above - left + before) / (np.diff(across) * np.diff(down))[:, 0]
    return np.clip(shares, 0, 1).astype(np.float32)


def apart(boxes: np.ndarray, most: int | None = None) -> np.ndarray:
    """Numbers of the boxes that show different places, (kept,) int64, at most so many: non-maximum suppression.

    The boxes (tiles, 4) come best first. One goes if it shares more than `SAME_PLACE` of the smaller of the two with a
    better one that stays: of the smaller and not of their union, so that a tile within a larger one goes too.
    """
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        best, left = left[0], left[1:]
        kept.append(best)
        starts, ends = np.maximum(boxes[best, :2], boxes[left, :2]), np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.maximum(ends - starts, 0).prod(axis=1)
        smaller = np.minimum(_areas(boxes[[best]]), _areas(boxes[left]))
        left = left[shared <= SAME_PLACE * smaller]
    return np.array(kept, np.int64)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def check_tiling(width: int, height: int, tile_sizes: Sequence[int], overlap: float) -> None:
    """Refuses what cannot be cut, with a ValueError of one sentence that says what is wrong and what would do."""
    side = min(width, height)
    if side < SMALLEST_SIDE:
        raise ValueError(
            f"The image has {width:,} x {height:,} pixels; at least {SMALLEST_SIDE} in each direction are needed."
        )
    if not 0 <= overlap < 1:
        raise ValueError(f"The overlap of the tiles is {overlap}; it must be from 0 to less than 1.")
    if not len(tile_sizes):
        raise ValueError("There is no tile size; give at least one, in pixels, or None for the default.")
    for size in tile_sizes:
        if not 1 <= size <= side or size != int(size):
            raise ValueError(
                f"A tile size of {size} pixels does not fit the image of {width:,} x {height:,}; it must be "
                f"a whole number from 1 to {side:,}."
            )
    count = sum(len(_starts(width, size, overlap)) * len(_starts(height, size, overlap)) for size in tile_sizes)
    if count > MOST_TILES:
        raise ValueError(
            f"Tiles of {', '.join(map(str, tile_sizes))} pixels with an overlap of {overlap} would be {count:,} "
            f"of them, and more than {MOST_TILES:,} are not searched; choose larger tiles or less overlap."
        )


def _starts(length: int, tile_size: int, overlap: float) -> list[int]:
    last = length - int(tile_size)
    return [*range(0, last, max(1, round(tile_size * (1 - overlap)))), last]
