"""Scenes of sports grounds, and the fields, tracks and courts they consist of."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import SceneFacts, Thing, describe
from standins.scenes.materials import Color
from standins.scenes.objects import dim, grove, hall, pick, town, trees
from standins.scenes.shapes import Points, oval, rectangle, turn
from standins.scenes.vehicles import parking_lot, street

_CHALK = (228, 236, 226)
_TRACKS: tuple[tuple[str, Color], ...] = (("red", (168, 82, 62)), ("red", (154, 70, 60)), ("blue", (74, 112, 152)))
COURT_COLORS: tuple[Color, ...] = ((72, 128, 96), (164, 96, 76), (70, 110, 150))


def pitch(canvas: Canvas, center: Points, length: float, angle: float) -> None:
    """A football field with its lines, 1.5 times as long as wide, mown in stripes."""
    base = np.asarray(center, np.float64)
    width = length / 1.5
    canvas.polygon(rectangle(base, length, width, angle), "turf", 0, claim=True)
    step = length / 10
    for index in range(0, 10, 2):
        middle = base + turn((-length / 2 + (index + 0.5) * step, 0), angle)
        canvas.polygon(rectangle(middle, step, width, angle), "lawn")
    half, side = length / 2 * 0.95, width / 2 * 0.93
    turns = np.linspace(0, 2 * math.pi, 24)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1) * length * 0.09
    strokes: list[Points] = [rectangle((0, 0), 2 * half, 2 * side)[[0, 1, 2, 3, 0]], [(0, -side), (0, side)], circle]
    for end in (-half, half):
        strokes.append([(end, -side / 2), (end * 0.7, -side / 2), (end * 0.7, side / 2), (end, side / 2)])
    for stroke in strokes:
        canvas.line(turn(stroke, angle) + base, max(0.6, length / 160), _CHALK)


def running_track(canvas: Canvas, center: Points, length: float, angle: float, color: Color) -> None:
    """A running track 1.75 times as long as wide around a football field."""
    base = np.asarray(center, np.float64)
    width = length / 1.75
    lanes = width * 0.15
    canvas.polygon(oval(base, length, width, angle), color, 0, claim=True)
    for share in (0.6, 1.2):
        ring = oval(base, length - lanes * share, width - lanes * share, angle)
        canvas.line(np.concatenate([ring, ring[:1]]), 0.5, dim(color, 1.25))
    canvas.polygon(oval(base, length - 2 * lanes, width - 2 * lanes, angle), "turf")
    pitch(canvas, base, (width - 2.4 * lanes) * 1.42, angle)


def basketball_court(canvas: Canvas, center: Points, length: float, angle: float, color: Color) -> None:
    """A basketball court with its lines."""
    base = np.asarray(center, np.float64)
    canvas.polygon(rectangle(base, length, length * 0.56, angle), dim(color, 0.8), 0, claim=True)
    canvas.polygon(rectangle(base, length * 0.88, length * 0.46, angle), color)
    canvas.line(turn([(0, -0.23 * length), (0, 0.23 * length)], angle) + base, 0.6, _CHALK)
    canvas.disc(base, length * 0.07, dim(color, 1.2))


def _diamond(canvas: Canvas, home: np.ndarray, size: float, facing: float) -> None:
    """A baseball field: a quarter disc of lawn with its clay infield, opening towards `facing`."""
    turns = np.linspace(-math.pi / 4, math.pi / 4, 20) + facing
    arc = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    ahead = np.array([math.cos(facing), math.sin(facing)])
    canvas.polygon(np.concatenate([[home - 0.07 * size * ahead], home + arc * size * 1.05]), "dirt", 0, claim=True)
    canvas.polygon(np.concatenate([[home], home + arc * size]), "turf")
    for share in np.arange(0.55, 1.0, 0.14):
        canvas.line(home + arc * size * share, size * 0.06, "lawn")
    side = size * 0.34
    infield = rectangle((0, 0), side, side, facing + math.pi / 4)
    middle = home + side * 0.7 * ahead
    canvas.disc(home + side * 0.78 * ahead, side * 0.92, "clay")
    canvas.polygon(infield * 0.78 + middle, "turf")
    canvas.disc(middle, side * 0.1, "clay")
    canvas.disc(home, side * 0.2, "clay")
    for corner in infield * 0.85 + middle:
        canvas.polygon(rectangle(corner, 1.6, 1.6, facing), _CHALK)
    for end in (arc[0], arc[-1]):
        canvas.line([home, home + size * end], 0.8, _CHALK)


def baseballfield(canvas: Canvas) -> SceneFacts:
    """One, two or four baseball fields, back to back."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "lawn")))
    count = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    size = {1: rng.uniform(105, 135), 2: rng.uniform(80, 95), 4: rng.uniform(68, 78)}[count]
    for index in range(count):
        facing = 2 * math.pi * index / count
        back = -size * 0.5 if count == 1 else 10
        _diamond(canvas, back * np.array([math.cos(facing), math.sin(facing)]), size, facing)
    beside = pick(rng, ("parking", "buildings", "road", None))
    cars = houses = roads = 0
    if beside == "parking":
        cars = parking_lot(canvas, (0, 100), 150, 42, 0, 0.6)
    elif beside:
        roads = street(canvas, 90, upright=False)
    if beside == "buildings":
        houses = town(canvas, ("gray", "white", "red"), 26)
    woods = grove(canvas, 12, rng.uniform(0.2, 0.9), (3.5, 6))
    return describe(
        "baseballfield",
        Thing("baseball field", count),
        around=[
            trees(canvas, woods),
            Thing("building", houses),
            Thing("parking lot", int(cars > 0)),
            Thing("road", roads),
        ],
        layout="around" if woods > 25 else "near",
    )


def playground(canvas: Canvas) -> SceneFacts:
    """A running track around a football field, or a football field alone, with courts beside it."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "paving", "town")))
    has_track = rng.random() < 0.75
    word, color = pick(rng, _TRACKS)
    length = rng.uniform(120, 165)
    width = length * (0.57 if has_track else 0.76)
    if has_track:
        running_track(canvas, (0, 0), length, 0, color)
    else:
        canvas.polygon(rectangle((0, 0), length * 1.06, width), pick(rng, ("clay", "turf")), 0, claim=True)
        pitch(canvas, (0, 0), length, 0)
    stand = rng.random() < 0.4
    if stand:
        hall(canvas, (0, -width / 2 - 10), length * 0.6, 11, 0, pick(rng, ((226, 226, 222), (90, 130, 180))), 7)
    courts = 0
    if rng.random() < 0.45:
        tone = pick(rng, COURT_COLORS)
        for x in np.arange(-60, 80, 36)[: int(rng.integers(2, 5))]:
            basketball_court(canvas, (x, width / 2 + 16), 30, 0, tone)
            courts += int(canvas.sees((x, width / 2 + 16)))
    roads = street(canvas, -width / 2 - 28, upright=False) if rng.random() < 0.4 else 0
    houses = town(canvas, ("gray", "white", "red", "blue"), 29) if rng.random() < 0.5 else 0
    woods = grove(canvas, 11, rng.uniform(0.3, 0.9), (3, 5))
    return describe(
        "playground",
        Thing("playground", 1, word if has_track else None),
        within=[Thing("football field")],
        around=[
            trees(canvas, woods),
            Thing("building", houses),
            Thing("basketball court", courts),
            Thing("road", roads),
        ],
        layout="around" if woods > 25 else "near",
    )


def playfields(canvas: Canvas) -> SceneFacts:
    """Fields of several sports side by side: RSICD's 31st class, which has no named images."""
    rng = canvas.rng
    canvas.cover("grass")
    pitches = courts = 0
    for x in (-62, 0, 62):
        if rng.random() < 0.8:
            pitch(canvas, (x, -38), 82, math.pi / 2)
            pitches += int(canvas.sees((x, -38)))
    tone = pick(rng, COURT_COLORS)
    for spot in np.stack(np.meshgrid([-72, -36, 0, 36, 72], [30, 54, 78]), -1).reshape(-1, 2):
        if rng.random() < 0.7:
            basketball_court(canvas, spot, 32, 0, tone)
            courts += int(canvas.sees(spot))
    woods = grove(canvas, 11, 0.5, (3, 5))
    return describe(
        "playfields",
        Thing("sports ground"),
        within=[Thing("football field", pitches), Thing("basketball court", courts)],
        around=[trees(canvas, woods)],
        layout="around" if woods > 25 else "near",
    )


def _stadium_ring(shape: str, length: float, width: float, share: float) -> np.ndarray:
    """The outline (n, 2) of a stadium, drawn in towards the field by 1 - share of half its width."""
    inset = (1 - share) * width * 0.5
    half = np.array([length / 2 - inset, width / 2 - inset])
    if shape == "rectangular":
        return rectangle((0, 0), *(2 * half))
    turns = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.sign(circle) * np.abs(circle) ** 0.8 * half  # a superellipse


def _draw_stadium(canvas: Canvas, shape: str, length: float, width: float, roof: Color) -> None:
    """Roof, tiers of seats, perhaps a running track, and the field."""
    rng = canvas.rng
    seats = pick(rng, ((76, 112, 158), (160, 74, 60), (188, 180, 164), (198, 140, 74), (120, 124, 130)))

    def ring(share: float) -> np.ndarray:
        return _stadium_ring(shape, length, width, share)

    canvas.polygon(ring(1.1), "concrete", 0, claim=True)
    canvas.polygon(ring(1.0), roof, 13)
    roof_edge = rng.uniform(0.76, 0.9)
    outer, inner = ring(1.0), ring(roof_edge)
    if shape == "oval":
        for index in range(0, len(outer), 2):
            canvas.line([outer[index], inner[index]], 0.8, dim(roof, 0.8))
    for share, tone, height in ((1.0, 1.0, 9), (0.92, 0.88, 7), (0.84, 1.08, 5), (0.76, 0.9, 3.5)):
        canvas.polygon(ring(roof_edge * share), dim(seats, tone), height)
    has_track = shape == "oval" and rng.random() < 0.5
    canvas.polygon(ring(0.56), pick(rng, _TRACKS)[1] if has_track else "turf", 0)
    pitch(canvas, (0, 0), (length - width * 0.44) * (0.74 if has_track else 0.84), 0)


def stadium(canvas: Canvas) -> SceneFacts:
    """A stadium with its parking lots, roads and trees."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("paving", "town", "asphalt", "grass")))
    length = rng.uniform(128, 165)
    width = length * rng.uniform(0.74, 0.84)
    word, roof = pick(
        rng,
        (("white", (232, 232, 228)), ("white", (216, 218, 220)), ("gray", (150, 152, 156)), (None, (196, 180, 150))),
    )
    shape = pick(rng, ("oval", "oval", "rectangular"))
    _draw_stadium(canvas, shape, length, width, roof)
    cars = 0
    if rng.random() < 0.6:
        side = pick(rng, (-1, 1))
        cars = parking_lot(canvas, (0, side * (width / 2 + 36)), 240, 44, 0, rng.uniform(0.3, 0.8))
    roads = street(canvas, length / 2 + 22, upright=True) if rng.random() < 0.4 else 0
    houses = town(canvas, ("gray", "white", "brown"), 28, 0.6) if rng.random() < 0.4 else 0
    woods = grove(canvas, 12, rng.uniform(0.1, 0.7), (3, 5))
    return describe(
        "stadium",
        Thing("stadium", 1, word, shape),
        around=[
            Thing("parking lot", int(cars > 0)),
            trees(canvas, woods),
            Thing("building", houses),
            Thing("road", roads),
        ],
        layout="around" if woods > 25 else "near",
    )


SPORT = {"baseballfield": baseballfield, "playfields": playfields, "playground": playground, "stadium": stadium}
"""How to draw each of these categories."""
