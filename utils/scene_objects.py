"""The things that scenes of the miniature are put together from: trees, houses, roads, cars, planes, boats.

Positions are scene coordinates of a `Canvas`. Functions that draw several things return how many of them can be
seen in the picture, because captions state counts.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from utils.scene_canvas import OVERSAMPLING, Canvas, turn
from utils.scene_materials import ROOF_COLORS, TREE_COLORS, Color

EDGE = 165.0
"""Drawing out to this far covers the corners of a turned scene."""

CAR_COLORS: tuple[Color, ...] = (
    (232, 232, 230),
    (232, 232, 230),
    (196, 198, 200),
    (60, 62, 66),
    (36, 38, 42),
    (150, 44, 40),
    (52, 78, 128),
)
_LINE = (226, 226, 220)


# ---- shapes ----------------------------------------------------------------------------------------------


def rectangle(center: Sequence[float], length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """Corners (4, 2) of a rectangle, `length` along `angle`."""
    corners = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    return turn(corners, angle) + np.asarray(center)


def smooth(points: np.ndarray | Sequence, closed: bool = False, rounds: int = 3) -> np.ndarray:
    """Rounds the corners of a polyline (n, 2) by cutting them (Chaikin 1974)."""
    points = np.asarray(points, np.float64)
    for _ in range(rounds):
        start, end = (points, np.roll(points, -1, axis=0)) if closed else (points[:-1], points[1:])
        cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut, points[-1:]])
    return points


def blob(
    rng: np.random.Generator,
    center: Sequence[float],
    radius: float,
    roughness: float = 0.25,
    stretch: float = 1.0,
) -> np.ndarray:
    """A closed irregular outline (64, 2) of about this radius, its waves shrinking with their frequency."""
    turns = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    waves = sum(
        rng.normal() / order * np.cos(order * turns + rng.uniform(0, 2 * math.pi)) for order in range(2, 8)
    )
    distance = radius * np.maximum(1 + roughness * waves, 0.3)
    outline = np.stack([stretch * distance * np.cos(turns), distance * np.sin(turns)], axis=1)
    return turn(outline, rng.uniform(0, math.pi)) + np.asarray(center)


def oval(center: Sequence[float], length: float, width: float, angle: float = 0.0) -> np.ndarray:
    """A running track's outline: a rectangle with a half circle at either end, (48, 2)."""
    radius, straight = width / 2, max(0.0, length - width) / 2
    turns = np.linspace(-math.pi / 2, math.pi / 2, 24)
    right = np.stack([straight + radius * np.cos(turns), radius * np.sin(turns)], axis=1)
    return turn(np.concatenate([right, -right]), angle) + np.asarray(center)


def scatter(
    rng: np.random.Generator, spacing: float, jitter: float = 0.4, extent: float = EDGE
) -> np.ndarray:
    """Points (n, 2) of a square grid over the scene, each moved by up to `jitter` of the spacing."""
    axis = np.arange(-extent, extent + spacing, spacing)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    return grid + rng.uniform(-jitter, jitter, grid.shape) * spacing


def inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Tells which points (n, 2) lie inside a closed outline (m, 2), by the even-odd rule."""
    x, y = points[:, 0, None], points[:, 1, None]
    x0, y0 = outline.T
    x1, y1 = np.roll(outline, -1, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = ((y0 > y) != (y1 > y)) & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return crossing.sum(axis=1) % 2 == 1


def vary(rng: np.random.Generator, color: Color, amount: float = 0.08) -> Color:
    """The same colour a little lighter or darker."""
    factor = 1 + rng.uniform(-amount, amount)
    return tuple(min(255, int(channel * factor)) for channel in color)


def dim(color: Color, factor: float) -> Color:
    """A colour times a factor, kept within bytes."""
    return tuple(min(255, max(0, int(channel * factor))) for channel in color)


def pick(rng: np.random.Generator, options: Sequence):
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


# ---- trees -----------------------------------------------------------------------------------------------


@functools.cache
def _crown(diameter: int, variant: int) -> tuple[Image.Image, Image.Image]:
    """Outline and heights of a tree crown of this many board pixels, bumpy like leaves."""
    rng = np.random.default_rng([77, diameter, variant])
    axis = (np.arange(diameter) + 0.5) / diameter * 2 - 1
    x, y = np.meshgrid(axis, axis)
    turns = np.arctan2(y, x)
    edge = 0.86 + sum(
        0.06 * rng.normal() * np.cos(order * turns + rng.uniform(0, 6.3)) for order in (2, 3, 4, 5)
    )
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
    if avoid and len(positions):
        positions = positions[canvas.free(positions, radius[0] * 0.7)]
    colors = TREE_COLORS[season or canvas.season]
    diameters = rng.uniform(*radius, len(positions)) * 2 * OVERSAMPLING * canvas.zoom
    choices = rng.integers(len(colors), size=len(positions))
    tints = rng.uniform(0.85, 1.15, len(positions))
    variants = rng.integers(4, size=len(positions))
    board = canvas.place(positions)
    for center, diameter, choice, tint, variant in zip(
        board, diameters, choices, tints, variants, strict=True
    ):
        crown = _crown(max(4, int(diameter)), int(variant))
        canvas.stamp(center, dim(colors[choice], tint), *crown)
    return int(canvas.sees(positions).sum()) if len(positions) else 0


def grove(canvas: Canvas, spacing: float, share: float, radius: tuple[float, float] = (3.0, 6.0)) -> int:
    """Plants a share of a loose grid of trees over all free ground; returns how many are seen."""
    points = scatter(canvas.rng, spacing)
    return plant(canvas, points[canvas.rng.random(len(points)) < share], radius)


def tree_row(
    canvas: Canvas, points: np.ndarray | Sequence, spacing: float, radius: tuple[float, float] = (3.0, 4.0)
) -> int:
    """Plants trees along a polyline (n, 2); returns how many are seen."""
    return plant(canvas, along(points, spacing)[0], radius)


def along(points: np.ndarray | Sequence, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Even steps on a polyline: positions (n, 2) and headings (n,) in radians."""
    points = np.asarray(points, np.float64)
    steps = np.diff(points, axis=0)
    lengths = np.hypot(*steps.T)
    travelled = np.concatenate([[0], np.cumsum(lengths)])
    stops = np.arange(spacing / 2, travelled[-1], spacing)
    segment = np.clip(np.searchsorted(travelled, stops, side="right") - 1, 0, len(steps) - 1)
    share = (stops - travelled[segment]) / np.maximum(lengths[segment], 1e-9)
    return points[segment] + share[:, None] * steps[segment], np.arctan2(steps[segment, 1], steps[segment, 0])


# ---- buildings -------------------------------------------------------------------------------------------


def house(
    canvas: Canvas,
    center: Sequence[float],
    length: float,
    width: float,
    angle: float,
    color: Color,
    height: float = 4.0,
) -> None:
    """A house with a pitched roof, its ridge along `angle`; the faces are as bright as they face the sun."""
    corners = rectangle((0, 0), length, width, angle)
    inset = canvas.rng.choice([0.0, 0.5]) * width
    ridge = turn([[-length / 2 + inset, 0], [length / 2 - inset, 0]], angle)
    base = np.asarray(center)
    first, second = (
        dim(color, canvas.sun_on(angle - math.pi / 2)),
        dim(color, canvas.sun_on(angle + math.pi / 2)),
    )
    canvas.polygon(corners + base, first, height, claim=True)
    canvas.polygon(np.stack([ridge[0], ridge[1], corners[2], corners[3]]) + base, second)
    if inset:
        canvas.polygon(np.stack([corners[1], corners[2], ridge[1]]) + base, dim(color, canvas.sun_on(angle)))
        back = dim(color, canvas.sun_on(angle + math.pi))
        canvas.polygon(np.stack([corners[3], corners[0], ridge[0]]) + base, back)
    canvas.line(ridge + base, 0.7, dim(color, 1.18), height * 1.3)


def flat_building(
    canvas: Canvas,
    center: Sequence[float],
    length: float,
    width: float,
    angle: float,
    color: Color,
    height: float = 7.0,
    lean: Sequence[float] = (0.0, 0.0),
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
        size = canvas.rng.uniform(0.12, 0.3, 2) * min(length, width)
        tone = dim(color, canvas.rng.uniform(0.75, 1.2))
        canvas.polygon(rectangle(middle + offset, *size, angle), tone, height + 1.2)


def hall(
    canvas: Canvas,
    center: Sequence[float],
    length: float,
    width: float,
    angle: float,
    color: Color,
    height: float = 5.0,
    bays: int = 1,
) -> None:
    """A factory hall: `bays` shallow roofs side by side along `angle`, with ribs and skylights."""
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
    for rib in ribs:
        ends = turn([[rib, -width / 2], [rib, width / 2]], angle) + base
        canvas.line(ends, 0.5, dim(color, 0.86))


def roof_color(rng: np.random.Generator, word: str) -> Color:
    """A shade of the roof colour that this word names."""
    return vary(rng, pick(rng, ROOF_COLORS[word]))


def town(
    canvas: Canvas,
    words: Sequence[str],
    spacing: float = 26.0,
    share: float = 0.8,
    height: tuple[float, float] = (4.0, 9.0),
) -> int:
    """Fills all free ground with ordinary buildings in the given roof colours; returns how many are seen."""
    rng = canvas.rng
    seen = 0
    for center in scatter(rng, spacing, 0.12):
        length, width = rng.uniform(0.5, 0.86, 2) * spacing
        if rng.random() > share or not canvas.free(center, max(length, width) / 2 + 1):
            continue
        angle = math.pi / 2 * rng.integers(2)
        color = roof_color(rng, pick(rng, words))
        if rng.random() < 0.5:
            house(canvas, center, max(length, width), min(length, width), angle, color, rng.uniform(*height))
        else:
            flat_building(canvas, center, length, width, angle, color, rng.uniform(*height))
        seen += int(canvas.sees(center))
    return seen


# ---- roads and what drives on them -----------------------------------------------------------------------


def road(
    canvas: Canvas,
    points: np.ndarray | Sequence,
    width: float = 9.0,
    material: str = "asphalt",
    height: float | None = None,
    marks: bool = True,
    curb: bool = True,
) -> None:
    """A road along a polyline (n, 2), with pale edges and a broken line in the middle if wide enough."""
    if curb:
        canvas.line(
            points, width + 2.4, dim((176, 170, 160), canvas.rng.uniform(0.85, 1.05)), height, claim=True
        )
    canvas.line(points, width, material, height, claim=True)
    if marks and width >= 6:
        positions, headings = along(points, 7.0)
        canvas.boxes(positions, (3.5, 0.6), headings, [_LINE] * len(positions))


def traffic(canvas: Canvas, points: np.ndarray | Sequence, width: float, spacing: float = 22.0) -> int:
    """Puts cars on the two halves of a road; returns how many are seen."""
    rng = canvas.rng
    positions, headings = along(points, spacing)
    keep = rng.random(len(positions)) < 0.6
    positions, headings = positions[keep], headings[keep]
    side = np.where(rng.random(len(positions)) < 0.5, -1, 1) * width * 0.25
    normals = np.stack([-np.sin(headings), np.cos(headings)], axis=1)
    return cars(canvas, positions + normals * side[:, None], headings)


def cars(
    canvas: Canvas,
    positions: np.ndarray,
    headings: np.ndarray | float,
    length: float = 5.2,
    lift: float = 0.0,
) -> int:
    """Draws cars at positions (n, 2); returns how many are seen."""
    if not len(positions):
        return 0
    rng = canvas.rng
    colors = [CAR_COLORS[index] for index in rng.integers(len(CAR_COLORS), size=len(positions))]
    canvas.boxes(positions, (length, length * 0.46), headings, colors, lift + 1.5)
    forward = np.broadcast_to(headings, len(positions))
    glass = positions + length * 0.12 * np.stack([np.cos(forward), np.sin(forward)], axis=1)
    canvas.boxes(glass, (length * 0.16, length * 0.36), headings, [(44, 52, 62)] * len(positions))
    return int(canvas.sees(positions).sum())


def parking_lot(
    canvas: Canvas,
    center: Sequence[float],
    length: float,
    width: float,
    angle: float = 0.0,
    filled: float = 0.7,
    car: float = 5.2,
    material: str = "asphalt",
) -> int:
    """A parking lot with double rows of stalls along `angle`; returns how many cars are seen."""
    base = np.asarray(center, np.float64)
    canvas.polygon(rectangle(base, length, width, angle), material, 0, claim=True)
    stall, aisle = car * 0.68, car * 3.4
    columns = np.arange(-length / 2 + stall * 1.5, length / 2 - stall, stall)
    rows = np.arange(-width / 2 + car * 0.7, width / 2 - car * 0.6, aisle)
    rows = np.sort(np.concatenate([rows, rows[1:] - car * 1.12]))
    if not len(columns) or not len(rows):
        return 0
    lots = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    marks = lots - (stall / 2, 0)
    canvas.boxes(turn(marks, angle) + base, (0.5, car), angle, [(190, 190, 186)] * len(marks))
    taken = lots[canvas.rng.random(len(lots)) < filled]
    taken = taken + canvas.rng.normal(0, 0.25, taken.shape)
    return cars(canvas, turn(taken, angle) + base, angle + math.pi / 2, car)


# ---- vehicles of air and water ---------------------------------------------------------------------------

_PLANE = np.array(  # nose at +x, span 2 along y
    [
        [1.05, 0],
        [0.95, 0.09],
        [0.35, 0.11],
        [-0.25, 0.98],
        [-0.42, 0.98],
        [-0.14, 0.11],
        [-0.72, 0.08],
        [-0.95, 0.38],
        [-1.06, 0.38],
        [-0.98, 0.0],
    ]
)
_HULL = np.array([[1, 0], [0.72, 0.26], [0.2, 0.34], [-1, 0.3], [-1, -0.3], [0.2, -0.34], [0.72, -0.26]])


def plane(canvas: Canvas, center: Sequence[float], span: float, heading: float, tail: Color) -> None:
    """An airliner of the given wing span with a coloured tail."""
    outline = np.concatenate([_PLANE, (_PLANE * (1, -1))[::-1]]) * span / 2
    base = np.asarray(center)
    canvas.polygon(turn(outline, heading) + base, (238, 239, 240), 3.0)
    body = np.array([[1.05, 0], [0.9, 0.1], [-0.9, 0.07], [-0.9, -0.07], [0.9, -0.1]]) * span / 2
    canvas.polygon(turn(body, heading) + base, (252, 252, 252), 4.5)
    fin = np.array([[-0.74, 0.06], [-1.02, 0.05], [-1.02, -0.05], [-0.74, -0.06]]) * span / 2
    canvas.polygon(turn(fin, heading) + base, tail, 5.5)


def boat(canvas: Canvas, center: Sequence[float], length: float, heading: float) -> None:
    """A small boat with a cabin."""
    rng = canvas.rng
    base = np.asarray(center)
    deck = pick(rng, ((240, 240, 238), (228, 230, 232), (236, 226, 206)))
    canvas.polygon(turn(_HULL * length / 2, heading) + base, deck, 2.2)
    cabin = turn(np.array([-0.1, 0]) * length, heading) + base
    tone = pick(rng, ((120, 130, 140), (60, 90, 130), (150, 110, 84), (90, 96, 104)))
    canvas.polygon(rectangle(cabin, length * 0.34, length * 0.2, heading), tone, 3.2)


def ship(canvas: Canvas, center: Sequence[float], length: float, heading: float) -> None:
    """A cargo ship with containers on deck."""
    rng = canvas.rng
    base = np.asarray(center)
    hull = _HULL * (length / 2, length / 3.2)
    canvas.polygon(turn(hull, heading) + base, pick(rng, ((120, 52, 44), (58, 74, 98), (66, 70, 74))), 5)
    columns = np.arange(-0.3, 0.32, 0.09) * length
    rows = np.linspace(-0.055, 0.055, 3) * length
    spots = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    palette = ((170, 70, 54), (60, 110, 160), (206, 196, 180), (204, 140, 62), (84, 130, 92))
    tones = [palette[index] for index in rng.integers(len(palette), size=len(spots))]
    canvas.boxes(turn(spots, heading) + base, (length * 0.085, length * 0.05), heading, tones, 8)
    bridge = turn(np.array([-0.42, 0]) * length, heading) + base
    canvas.polygon(rectangle(bridge, length * 0.07, length * 0.16, heading), (236, 236, 232), 12)


# ---- grounds for games and water to swim in --------------------------------------------------------------


def pitch(canvas: Canvas, center: Sequence[float], length: float, angle: float, stripes: bool = True) -> None:
    """A football field with its lines, 1.5 times as long as wide, perhaps mown in stripes."""
    base = np.asarray(center, np.float64)
    width = length / 1.5
    canvas.polygon(rectangle(base, length, width, angle), "turf", 0, claim=True)
    if stripes:
        step = length / 10
        for index in range(0, 10, 2):
            middle = base + turn((-length / 2 + (index + 0.5) * step, 0), angle)
            canvas.polygon(rectangle(middle, step, width, angle), "lawn")
    line = max(0.6, length / 160)
    half, side = length / 2 * 0.95, width / 2 * 0.93

    def stroke(points: Sequence) -> None:
        canvas.line(turn(points, angle) + base, line, (228, 236, 226))

    stroke([(-half, -side), (half, -side), (half, side), (-half, side), (-half, -side)])
    stroke([(0, -side), (0, side)])
    turns = np.linspace(0, 2 * math.pi, 24)
    stroke(np.stack([np.cos(turns), np.sin(turns)], axis=1) * length * 0.09)
    for end in (-1, 1):
        box = [(end * half, -0.5 * side), (end * half * 0.7, -0.5 * side), (end * half * 0.7, 0.5 * side)]
        stroke([*box, (end * half, 0.5 * side)])


def running_track(
    canvas: Canvas, center: Sequence[float], length: float, angle: float, color: Color = (172, 84, 62)
) -> None:
    """A running track of 1.75 times its width around a football field."""
    base = np.asarray(center, np.float64)
    width = length / 1.75
    lanes = width * 0.15
    canvas.polygon(oval(base, length, width, angle), color, 0, claim=True)
    for share in (0.3, 0.6):
        ring = oval(base, length - 2 * lanes * share, width - 2 * lanes * share, angle)
        canvas.line(np.concatenate([ring, ring[:1]]), 0.5, dim(color, 1.25))
    canvas.polygon(oval(base, length - 2 * lanes, width - 2 * lanes, angle), "turf")
    pitch(canvas, base, (width - 2.4 * lanes) * 1.42, angle)


def basketball_court(
    canvas: Canvas, center: Sequence[float], length: float, angle: float, color: Color
) -> None:
    """A basketball court with its lines."""
    base = np.asarray(center, np.float64)
    canvas.polygon(rectangle(base, length, length * 0.56, angle), dim(color, 0.8), 0, claim=True)
    canvas.polygon(rectangle(base, length * 0.88, length * 0.46, angle), color)
    canvas.line(turn([(0, -0.23 * length), (0, 0.23 * length)], angle) + base, 0.6, _LINE)
    canvas.disc(base, length * 0.07, dim(color, 1.2))


def swimming_pool(canvas: Canvas, outline: np.ndarray) -> None:
    """A swimming pool of any outline (n, 2) with a pale rim."""
    middle = outline.mean(axis=0)
    canvas.polygon(middle + (outline - middle) * 1.18, (214, 206, 192), 0, claim=True)
    canvas.polygon(outline, (72, 176, 204), 0)
    canvas.polygon(middle + (outline - middle) * 0.6, (92, 196, 218))
