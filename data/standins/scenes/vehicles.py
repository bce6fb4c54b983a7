"""Roads, parking lots, cars, planes and boats of the miniature.

Functions that draw several things return how many of them can be seen in the image, because captions state counts.
"""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.materials import Color
from standins.scenes.objects import dim, pick
from standins.scenes.shapes import EDGE, Points, along, rectangle, turn

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


def road(
    canvas: Canvas,
    points: Points,
    width: float = 9.0,
    material: str = "asphalt",
    height: float | None = None,
    marks: bool = True,
    curb: bool = True,
) -> int:
    """A road along a polyline (n, 2), with pale edges and a middle line if wide enough; returns 1 if it is seen."""
    if curb:
        canvas.line(points, width + 2.4, dim((176, 170, 160), canvas.rng.uniform(0.85, 1.05)), height, claim=True)
    canvas.line(points, width, material, height, claim=True)
    if marks and width >= 6:
        positions, headings = along(points, 7.0)
        canvas.boxes(positions, (3.5, 0.6), headings, [_LINE] * len(positions))
    return int(canvas.sees(along(points, 8.0)[0], 2).any())


def traffic(canvas: Canvas, points: Points, width: float, spacing: float = 22.0) -> int:
    """Puts cars on the two halves of a road; returns how many are seen."""
    rng = canvas.rng
    positions, headings = along(points, spacing)
    keep = rng.random(len(positions)) < 0.6
    positions, headings = positions[keep], headings[keep]
    side = np.where(rng.random(len(positions)) < 0.5, -1, 1) * width * 0.25
    normals = np.stack([-np.sin(headings), np.cos(headings)], axis=1)
    return cars(canvas, positions + normals * side[:, None], headings)


def street(canvas: Canvas, offset: float, upright: bool, width: float = 10.0) -> int:
    """A straight street through the whole scene at this offset, with cars; returns 1 if it is seen."""
    line = np.array([[-EDGE, offset], [EDGE, offset]])
    line = line[:, ::-1] if upright else line
    seen = road(canvas, line, width)
    traffic(canvas, line, width)
    return seen


def cars(
    canvas: Canvas, positions: np.ndarray, headings: np.ndarray | float, length: float = 5.2, lift: float = 0.0
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
    center: Points,
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


def plane(canvas: Canvas, center: Points, span: float, heading: float, tail: Color) -> None:
    """An airliner of the given wing span with a colored tail."""
    outline = np.concatenate([_PLANE, (_PLANE * (1, -1))[::-1]]) * span / 2
    base = np.asarray(center)
    canvas.polygon(turn(outline, heading) + base, (238, 239, 240), 3.0)
    body = np.array([[1.05, 0], [0.9, 0.1], [-0.9, 0.07], [-0.9, -0.07], [0.9, -0.1]]) * span / 2
    canvas.polygon(turn(body, heading) + base, (252, 252, 252), 4.5)
    fin = np.array([[-0.74, 0.06], [-1.02, 0.05], [-1.02, -0.05], [-0.74, -0.06]]) * span / 2
    canvas.polygon(turn(fin, heading) + base, tail, 5.5)


def boat(canvas: Canvas, center: Points, length: float, heading: float) -> None:
    """A small boat with a cabin."""
    rng = canvas.rng
    base = np.asarray(center)
    deck = pick(rng, ((240, 240, 238), (228, 230, 232), (236, 226, 206)))
    canvas.polygon(turn(_HULL * length / 2, heading) + base, deck, 2.2)
    cabin = turn(np.array([-0.1, 0]) * length, heading) + base
    tone = pick(rng, ((120, 130, 140), (60, 90, 130), (150, 110, 84), (90, 96, 104)))
    canvas.polygon(rectangle(cabin, length * 0.34, length * 0.2, heading), tone, 3.2)


def ship(canvas: Canvas, center: Points, length: float, heading: float) -> None:
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
