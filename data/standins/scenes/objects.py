"""Trees, buildings and pools: the things that many scenes of the miniature are put together from.

Positions are scene coordinates of a `Canvas`. Functions that draw several things return how many of them can be
seen in the image, because captions state counts.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from standins.scenes.canvas import Canvas
from standins.scenes.facts import Thing
from standins.scenes.materials import ROOF_COLORS, TREE_COLORS, Color
from standins.scenes.noise import OVERSAMPLING, cut_noise
from standins.scenes.shapes import Points, rectangle, scatter, turn


def vary(rng: np.random.Generator, color: Color, amount: float = 0.08) -> Color:
    """The same color a little lighter or darker."""
    factor = 1 + rng.uniform(-amount, amount)
    red, green, blue = (min(255, int(channel * factor)) for channel in color)
    return red, green, blue


def dim(color: Color, factor: float) -> Color:
    """A color times a factor, kept within bytes."""
    red, green, blue = (min(255, max(0, int(channel * factor))) for channel in color)
    return red, green, blue


def pick(rng: np.random.Generator, options: Sequence):
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


@functools.cache
def _crown(diameter: int, variant: int) -> tuple[Image.Image, Image.Image]:
    """Outline and heights of a tree crown of this many board pixels, bumpy like leaves."""
    rng = np.random.default_rng([77, diameter, variant])
    axis = (np.arange(diameter) + 0.5) / diameter * 2 - 1
    x, y = np.meshgrid(axis, axis)
    turns = np.arctan2(y, x)
    edge = 0.86 + sum(0.06 * rng.normal() * np.cos(order * turns + rng.uniform(0, 6.3)) for order in (2, 3, 4, 5))
    distance = np.hypot(x, y) / edge
    dome = np.sqrt(np.clip(1 - distance**2, 0, 1)) * diameter * 0.55
    bumps = rng.uniform(0.72, 1.15, (diameter, diameter))
    heights = np.clip(dome * bumps + diameter * 0.12, 0, 255).astype(np.uint8)
    return Image.fromarray(np.where(distance < 1, 255, 0).astype(np.uint8)), Image.fromarray(heights)


def plant(
    canvas: Canvas,
    positions: np.ndarray,
    radius: tuple[float, float] = (3.0, 6.0),
    avoid: bool = True,
    season: str | None = None,
) -> int:
    """Plants trees at positions (n, 2), not on claimed ground unless `avoid` is off; returns how many are seen."""
    rng = canvas.rng
    positions = np.asarray(positions, np.float64).reshape(-1, 2)
    positions = positions[canvas.sees(positions, -radius[1] * canvas.zoom - 2)]
    if avoid:
        positions = positions[canvas.free(positions, radius[0] * 0.7)]
    colors = TREE_COLORS[season or canvas.season]
    diameters = rng.uniform(*radius, len(positions)) * 2 * OVERSAMPLING * canvas.zoom
    choices = rng.integers(len(colors), size=len(positions))
    tints = rng.uniform(0.85, 1.15, len(positions))
    variants = rng.integers(4, size=len(positions))
    board = canvas.place(positions)
    for center, diameter, choice, tint, variant in zip(board, diameters, choices, tints, variants, strict=True):
        crown = _crown(max(4, int(diameter)), int(variant))
        canvas.stamp(center, dim(colors[choice], tint), *crown)
    return int(canvas.sees(positions).sum())


def trees(canvas: Canvas, count: int) -> Thing:
    """The fact that so many trees are seen; they are green in summer and spring."""
    return Thing("tree", count, "green" if canvas.season in ("summer", "spring") else None)


def grove(canvas: Canvas, spacing: float, share: float, radius: tuple[float, float] = (3.0, 6.0)) -> int:
    """Plants a share of a loose grid of trees over all free ground, in clumps; returns how many are seen."""
    rng = canvas.rng
    points = scatter(rng, spacing)
    points = points[canvas.sees(points, -8)]
    wood = cut_noise(rng, "clouds")[canvas.cells(points)]
    density = share * (0.35 + 1.6 * np.clip(3 * wood - 1.05, 0, 1))
    return plant(canvas, points[rng.random(len(points)) < density], radius)


def forest_cover(canvas: Canvas, mask: np.ndarray | None = None, height: float = 17.0) -> None:
    """Lays closed forest over the board, or where mask (BOARD, BOARD) in 0..1 says so."""
    crowns = cut_noise(canvas.rng, "canopy")
    gaps = 0.62 + 0.75 * crowns  # little light falls between the crowns
    if mask is None:
        canvas.cover("canopy")
    else:
        canvas.blend("canopy", mask)
        crowns = crowns * mask
        gaps = 1 + (gaps - 1) * mask
    canvas.tint(gaps)
    canvas.raise_ground(crowns * np.float32(height * canvas.zoom))


def house(
    canvas: Canvas, center: Points, length: float, width: float, angle: float, color: Color, height: float = 4.0
) -> None:
    """A house with a pitched roof, its ridge along `angle`; the faces are as bright as they face the sun."""
    corners = rectangle((0, 0), length, width, angle)
    inset = canvas.rng.choice([0.0, 0.5]) * width
    ridge = turn([[-length / 2 + inset, 0], [length / 2 - inset, 0]], angle)
    base = np.asarray(center)
    first, second = (dim(color, canvas.sun_on(angle - math.pi / 2)), dim(color, canvas.sun_on(angle + math.pi / 2)))
    canvas.polygon(corners + base, first, height, claim=True)
    canvas.polygon(np.stack([ridge[0], ridge[1], corners[2], corners[3]]) + base, second)
    if inset:
        canvas.polygon(np.stack([corners[1], corners[2], ridge[1]]) + base, dim(color, canvas.sun_on(angle)))
        back = dim(color, canvas.sun_on(angle + math.pi))
        canvas.polygon(np.stack([corners[3], corners[0], ridge[0]]) + base, back)
    canvas.line(ridge + base, 0.7, dim(color, 1.18), height * 1.3)


def flat_building(
    canvas: Canvas,
    center: Points,
    length: float,
    width: float,
    angle: float,
    color: Color,
    height: float = 7.0,
    lean: Points = (0.0, 0.0),
) -> None:
    """A building with a flat roof, a parapet and machines on top; `lean` shows its walls as seen aslant."""
    base = np.asarray(center, np.float64)
    foot = rectangle(base, length, width, angle)
    roof = foot + np.asarray(lean)
    canvas.claim(foot)
    if any(lean):
        for corner in range(4):
            wall = np.stack([foot[corner], foot[corner - 1], roof[corner - 1], roof[corner]])
            canvas.polygon(wall, dim(color, 0.5 + 0.12 * (corner % 2)), height * 0.6)
    canvas.polygon(roof, dim(color, 1.08), height)
    middle = base + np.asarray(lean)
    canvas.polygon(rectangle(middle, length - 1.8, width - 1.8, angle), dim(color, 0.93))
    for _ in range(int(canvas.rng.integers(1, 4))):
        offset = turn(canvas.rng.uniform(-0.3, 0.3, 2) * (length, width), angle)
        long, deep = canvas.rng.uniform(0.12, 0.3, 2) * min(length, width)
        tone = dim(color, canvas.rng.uniform(0.75, 1.2))
        canvas.polygon(rectangle(middle + offset, long, deep, angle), tone, height + 1.2)


def hall(
    canvas: Canvas,
    center: Points,
    length: float,
    width: float,
    angle: float,
    color: Color,
    height: float = 5.0,
    bays: int = 1,
) -> None:
    """A factory hall: `bays` shallow roofs side by side along `angle`, with ribs across."""
    base = np.asarray(center, np.float64)
    canvas.polygon(rectangle(base, length, width, angle), color, height, claim=True)
    bay = width / bays
    bright, dark = canvas.sun_on(angle - math.pi / 2), canvas.sun_on(angle + math.pi / 2)
    for index in range(bays):
        middle = -width / 2 + (index + 0.5) * bay
        for side, light in ((-0.25, bright), (0.25, dark)):
            strip = rectangle(base + turn((0, middle + side * bay), angle), length, bay / 2, angle)
            canvas.polygon(strip, dim(color, light))
    ribs = np.arange(-length / 2 + 4, length / 2 - 2, canvas.rng.uniform(4, 8))
    places = turn(np.stack([ribs, np.zeros(len(ribs))], axis=1), angle) + base
    canvas.boxes(places, (0.6, width), angle, [dim(color, 0.86)] * len(ribs))


def roof_color(rng: np.random.Generator, word: str) -> Color:
    """A shade of the roof color that this word names."""
    return vary(rng, pick(rng, ROOF_COLORS[word]))


def wing(canvas: Canvas, start: Points, end: Points, depth: float, color: Color, height: float = 8.0) -> None:
    """A long building with a pitched roof from one scene point to another."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along_it = end - start
    angle = math.atan2(along_it[1], along_it[0])
    house(canvas, (start + end) / 2, math.hypot(*along_it), depth, angle, color, height)


def town(
    canvas: Canvas,
    words: Sequence[str],
    spacing: float = 26.0,
    share: float = 0.8,
    height: tuple[float, float] = (4.0, 9.0),
) -> int:
    """Fills all free ground with ordinary buildings in the given roof colors; returns how many are seen."""
    rng = canvas.rng
    spots = scatter(rng, spacing, 0.12)
    spots = spots[canvas.sees(spots, -spacing) & (rng.random(len(spots)) < share)]
    spots = spots[canvas.free(spots, 0.45 * spacing)]
    for spot in spots:
        length, width = rng.uniform(0.5, 0.86, 2) * spacing
        angle = math.pi / 2 * rng.integers(2)
        color = roof_color(rng, pick(rng, words))
        if rng.random() < 0.5:
            house(canvas, spot, max(length, width), min(length, width), angle, color, rng.uniform(*height))
        else:
            flat_building(canvas, spot, length, width, angle, color, rng.uniform(*height))
    return int(canvas.sees(spots).sum())


def swimming_pool(canvas: Canvas, outline: np.ndarray) -> None:
    """A swimming pool of any outline (n, 2) with a pale rim."""
    middle = outline.mean(axis=0)
    canvas.polygon(middle + (outline - middle) * 1.18, (214, 206, 192), 0, claim=True)
    canvas.polygon(outline, (72, 176, 204), 0)
    canvas.polygon(middle + (outline - middle) * 0.6, (92, 196, 218))
