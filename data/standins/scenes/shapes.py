"""Plane geometry for the miniature: outlines, lines and scattered points as arrays of (x, y)."""

import math
from collections.abc import Sequence

import numpy as np

Points = np.ndarray | Sequence
"""One point or many, shape (..., 2), as an array or as pairs of numbers."""

EDGE = 165.0
"""Drawing out to this far covers the corners of a turned scene."""


def rotation(angle: float) -> np.ndarray:
    """The (2, 2) matrix that turns row vectors by this angle, clockwise as seen on the image."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])


def turn(points: Points, angle: float) -> np.ndarray:
    """Rotates points (..., 2) about the origin, clockwise as seen on the image."""
    return np.asarray(points, np.float64) @ rotation(angle)


def rectangle(center: Points, length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """Corners (4, 2) of a rectangle, `length` along `angle`."""
    corners = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    return turn(corners, angle) + np.asarray(center)


def smooth(points: Points, closed: bool = False, rounds: int = 3) -> np.ndarray:
    """Rounds the corners of a polyline (n, 2) by cutting them (Chaikin 1974)."""
    points = np.asarray(points, np.float64)
    for _ in range(rounds):
        start, end = (points, np.roll(points, -1, axis=0)) if closed else (points[:-1], points[1:])
        cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


def band(points: np.ndarray, width: float) -> np.ndarray:
    """Quadrilaterals (n - 1, 4, 2) that make up a band of this width along a polyline (n, 2), corners mitered."""
    steps = np.diff(points, axis=0)
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)[:, None]
    normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1) / lengths
    joints = np.concatenate([normals[:1], (normals[:-1] + normals[1:]) / 2, normals[-1:]])
    joints /= np.maximum((joints**2).sum(axis=1, keepdims=True), 0.3)  # 1 / cos of half the bend, within reason
    left, right = points + joints * width / 2, points - joints * width / 2
    return np.stack([left[:-1], left[1:], right[1:], right[:-1]], axis=1)


def blob(
    rng: np.random.Generator, center: Points, radius: float, roughness: float = 0.25, stretch: float = 1.0
) -> np.ndarray:
    """A closed irregular outline (64, 2) of about this radius, its waves shrinking with their frequency."""
    turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    waves = sum(rng.normal() / order * np.cos(order * turns + rng.uniform(0, 2 * math.pi)) for order in range(2, 8))
    distance = radius * np.maximum(1 + roughness * waves, 0.3)
    outline = np.stack([stretch * distance * np.cos(turns), distance * np.sin(turns)], axis=1)
    return turn(outline, rng.uniform(0, math.pi)) + np.asarray(center)


def oval(center: Points, length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """A running track's outline: a rectangle with a half circle at either end, (48, 2)."""
    radius, straight = width / 2, max(0.0, length - width) / 2
    turns = np.linspace(-math.pi / 2, math.pi / 2, 24)
    right = np.stack([straight + radius * np.cos(turns), radius * np.sin(turns)], axis=1)
    return turn(np.concatenate([right, -right]), angle) + np.asarray(center)


def scatter(rng: np.random.Generator, spacing: float, jitter: float = 0.4, extent: float = EDGE) -> np.ndarray:
    """Points (n, 2) of a square grid over the scene, each moved by up to `jitter` of the spacing."""
    axis = np.arange(-extent, extent + spacing, spacing)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return grid + rng.uniform(-jitter, jitter, grid.shape) * spacing


def wander(rng: np.random.Generator, bend: float, points: int = 7) -> np.ndarray:
    """A smooth line (n, 2) across the scene from left to right that strays up and down by about `bend`."""
    x = np.linspace(-EDGE - 20, EDGE + 20, points)
    y = rng.normal(0, bend, points)
    return smooth(np.stack([x, y], axis=1))


def along(points: Points, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Even steps on a polyline: positions (n, 2) and headings (n,) in radians."""
    points = np.asarray(points, np.float64)
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    travelled = np.concatenate([[0], np.cumsum(lengths)])
    stops = np.arange(spacing / 2, travelled[-1], spacing)
    segment = np.clip(np.searchsorted(travelled, stops, side="right") - 1, 0, len(steps) - 1)
    share = (stops - travelled[segment]) / np.maximum(lengths[segment], 1e-9)
    return points[segment] + share[:, None] * steps[segment], np.arctan2(steps[segment, 1], steps[segment, 0])
