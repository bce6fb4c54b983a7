"""Means of the pixels that lie under each pixel of a smaller picture and have data."""

from __future__ import annotations

import numpy as np


def averages(
    values: np.ndarray, weights: np.ndarray | None, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Averages the pixels under each pixel of a smaller picture.

    Args:
        values: (height, width, channels), finite.
        weights: (height, width) float32, 0 or 1; None for 1 everywhere.
        size: Width and height of the result, at most those of the values.

    Returns:
        The means of what has a weight, and the share that has, (height, width) float32, None where all have.
    """
    if values.shape[1::-1] == tuple(size):
        return values, weights
    kind = np.float64 if values.dtype.itemsize > 4 or values.dtype in (np.int32, np.uint32) else np.float32
    if weights is not None:
        values = values * weights[..., None].astype(kind)
    total, count = _sums(values, size, kind), _counts(values.shape, size)
    if weights is None:
        return total / count[..., None], None
    weight = _sums(weights, size, np.float32)
    return total / np.maximum(weight, 1)[..., None], weight / count


def _sums(values: np.ndarray, size: tuple[int, int], kind: type) -> np.ndarray:
    columns, rows = (
        np.arange(count) * length // count for count, length in zip(size, values.shape[1::-1], strict=True)
    )
    return np.add.reduceat(np.add.reduceat(values, rows, axis=0, dtype=kind), columns, axis=1)


def _counts(shape: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
    """How many pixels lie under each of the result, (height, width) float32."""
    across, down = (
        np.diff(np.arange(count + 1) * length // count) for count, length in zip(size, shape[1::-1], strict=True)
    )
    return np.outer(down, across).astype(np.float32)
