"""Where one image lies in another, and how well the two agree there: Gauss-Newton steps, coarse to fine.

A view is the part of an image that a copy may show: share and start of its height, share and start of its width,
each from 0 to 1. Views come as (pairs, 4) float32, images as (pairs, side, side), gray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

WHOLE = np.array([[1, 0, 1, 0]], np.float32)
MIDDLE = np.array([[0.9, 0.05, 0.9, 0.05]], np.float32)  # of a copy; what is around it may lie outside of the image
SMALLEST_SHARE = 0.7  # of a side, that a view may shrink to on the way
LONGEST_STEP = 0.05  # of the side; beyond, the slopes at hand say nothing
DAMPING = 1e-3  # of the mean curvature: stripes fix their place along one direction only


@dataclass(frozen=True)
class Level:
    """What of two images is compared, on ``size`` x ``size`` pixels of each: their detail.

    Detail is what a Gaussian blur of ``deviation`` pixels takes off: what is smoother is shading, which unrelated
    images share. Divided by its own deviation nearby, or by ``noise`` gray levels where there is less, it counts
    equally everywhere, so that one bright edge, of a beach or a runway, does not outweigh all else.
    """

    size: int
    deviation: float
    noise: float | None = None

    def detail(self, images: np.ndarray, views: np.ndarray) -> np.ndarray:
        """The detail of a view of each image: (pairs, size, size) float32 of mean 0 and length 1; flat ones near 0."""
        side = images.shape[-1]
        rows, columns = stretch_weights(views[:, :2], self.size, side), stretch_weights(views[:, 2:], self.size, side)
        pixels = rows @ images.astype(np.float32) @ columns.transpose(0, 2, 1)
        blur = gaussian_blur(self.size, self.deviation)
        detail = pixels - blur @ pixels @ blur.T
        if self.noise is not None:
            detail /= np.sqrt(blur @ detail**2 @ blur.T + self.noise**2)
        detail -= detail.mean(axis=(1, 2), keepdims=True)
        # Not `unit_length`: one part in a thousand of a gray level is rounding, which that would take for an image.
        return detail / np.maximum(np.linalg.norm(detail, axis=(1, 2), keepdims=True), 1e-3 * self.size)


def register(
    images: np.ndarray, copies: np.ndarray, views: np.ndarray, level: Level, bars: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Looks for the view of each image that its copy shows whole, from a view that is nearly right.

    A pair is given up where its detail has not correlated by a bar by its turn; a step lies between one bar and the
    next. What is left are positions in ``views``, the best correlation and its view, (left,), (left,) and (left, 4).
    """
    views = within(views, MIDDLE)
    left, best, best_views = np.arange(len(views)), np.full(len(views), -1, np.float32), views.copy()
    wanted = level.detail(copies, MIDDLE)
    for turn, bar in enumerate(bars):
        seen = level.detail(images[left], views)
        found = np.einsum("nij,nij->n", seen, wanted[left])
        better = found > best[left]
        best[left[better]], best_views[left[better]] = found[better], views[better]
        hopeful = best[left] >= bar
        left, views, seen = left[hopeful], views[hopeful], seen[hopeful]
        if len(left) and turn < len(bars) - 1:
            views = _step(views, seen, wanted[left] - seen)
    return left, best[left], around(best_views[left], MIDDLE)


def agreement(images: np.ndarray, copies: np.ndarray, views: np.ndarray, level: Level) -> np.ndarray:
    """How well the detail of whole copies correlates with that of views, moved into their images: (pairs,)."""
    seen, wanted = level.detail(images, _inside(views)), level.detail(copies, WHOLE)
    return np.einsum("nij,nij->n", seen, wanted)


def _inside(views: np.ndarray) -> np.ndarray:
    """The views, moved and shrunk until they lie within their images."""
    share = np.clip(views[:, ::2], SMALLEST_SHARE, 1)
    return np.stack([share, np.clip(views[:, 1::2], 0, 1 - share)], axis=2).reshape(len(views), 4)


def within(views: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The views of parts of what views show."""
    share, start = views[:, ::2], views[:, 1::2]
    return np.stack([share * parts[:, ::2], start + share * parts[:, 1::2]], axis=2).reshape(len(views), 4)


def around(views: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """The views of which these are of parts: the reverse of `within`."""
    share = views[:, ::2] / parts[:, ::2]
    return np.stack([share, views[:, 1::2] - share * parts[:, 1::2]], axis=2).reshape(len(views), 4)


def _step(views: np.ndarray, seen: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The views (pairs, 4) after a Gauss-Newton step, given what is seen and missing there, (pairs, size, size)."""
    size = seen.shape[-1]
    middles = ((np.arange(size) + 0.5) / size).astype(np.float32)
    down, across = np.gradient(seen, axis=(1, 2))
    down, across = down * (size / views[:, 0, None, None]), across * (size / views[:, 2, None, None])
    slopes = np.stack([down * middles[:, None], down, across * middles, across], axis=1).reshape(len(views), 4, -1)
    curvature = slopes @ slopes.transpose(0, 2, 1)
    damping = DAMPING * np.maximum(np.trace(curvature, axis1=1, axis2=2), 1e-6)[:, None, None] * np.eye(4)
    step = np.linalg.solve(curvature + damping, slopes @ missing.reshape(len(views), -1, 1))[:, :, 0]
    return _inside(views + np.clip(step, -LONGEST_STEP, LONGEST_STEP).astype(np.float32))


def stretch_weights(stretches: np.ndarray, size: int, side: int) -> np.ndarray:
    """The weights (stretches, size, side) that average the pixels of a side in ``size`` equal parts of a stretch.

    A stretch is a share of the side and its start, (stretches, 2).
    """
    share, start = stretches.astype(np.float32).T[..., None]
    edges = (start + share * np.arange(size + 1, dtype=np.float32) / size) * side
    before = np.clip(edges[..., None] - np.arange(side, dtype=np.float32), 0, 1)  # of each pixel, before each edge
    return (before[:, 1:] - before[:, :-1]) * (size / side / share)[..., None]


@cache
def gaussian_blur(size: int, deviation: float) -> np.ndarray:
    """The weights (size, size) of a Gaussian blur that mirrors at the edge."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.eye(size, dtype=np.float32), deviation, axis=0)
