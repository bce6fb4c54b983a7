"""Scenes made for play and rest: sports grounds, parks, resorts."""

import math

import numpy as np

from utils.scene_canvas import Canvas, turn
from utils.scene_facts import SceneFacts, Thing, describe
from utils.scene_materials import Color
from utils.scene_objects import (
    EDGE,
    basketball_court,
    blob,
    dim,
    flat_building,
    grove,
    house,
    oval,
    parking_lot,
    pick,
    pitch,
    plant,
    rectangle,
    road,
    roof_color,
    running_track,
    scatter,
    smooth,
    swimming_pool,
    town,
    traffic,
    tree_row,
    vary,
)

_TRACK_COLORS: tuple[tuple[str, Color], ...] = (
    ("red", (168, 82, 62)),
    ("red", (154, 70, 60)),
    ("blue", (74, 112, 152)),
)


def street(canvas: Canvas, offset: float, upright: bool, width: float = 10.0) -> int:
    """A straight street through the whole scene at this offset; returns the cars seen on it."""
    line = np.array([[-EDGE, offset], [EDGE, offset]])
    line = line[:, ::-1] if upright else line
    road(canvas, line, width)
    return traffic(canvas, line, width)


def _diamond(canvas: Canvas, home: np.ndarray, size: float, facing: float) -> None:
    """A baseball field: a quarter disc of lawn with its clay infield, opening towards `facing`."""
    turns = np.linspace(-math.pi / 4, math.pi / 4, 20) + facing
    arc = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    back = home - 0.07 * size * np.array([math.cos(facing), math.sin(facing)])
    canvas.polygon(np.concatenate([[back], home + arc * size * 1.05]), "dirt", 0, claim=True)
    canvas.polygon(np.concatenate([[home], home + arc * size]), "turf")
    for share in np.arange(0.55, 1.0, 0.14):
        canvas.line(home + arc * size * share, size * 0.06, "lawn")
    side = size * 0.34
    infield = rectangle((0, 0), side, side, facing + math.pi / 4)
    middle = home + turn((side * 0.70, 0), facing)
    canvas.disc(home + turn((side * 0.78, 0), facing), side * 0.92, "clay")
    canvas.polygon(infield * 0.78 + middle, "turf")
    canvas.disc(middle, side * 0.1, "clay")
    canvas.disc(home, side * 0.2, "clay")
    for corner in infield * 0.85 + middle:
        canvas.polygon(rectangle(corner, 1.6, 1.6, facing), (240, 238, 230))
    for edge in (-math.pi / 4, math.pi / 4):
        end = home + size * np.array([math.cos(facing + edge), math.sin(facing + edge)])
        canvas.line([home, end], 0.8, (232, 230, 220))


def baseballfield(canvas: Canvas) -> SceneFacts:
    """One to four baseball fields, back to back."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "lawn")))
    count = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    size = {1: rng.uniform(105, 135), 2: rng.uniform(80, 95), 4: rng.uniform(68, 78)}[count]
    if count == 1:
        _diamond(canvas, np.array([-size * 0.5, rng.uniform(-12, 12)]), size, 0)
    else:
        for index in range(count):
            facing = 2 * math.pi * index / count
            _diamond(canvas, 10 * np.array([math.cos(facing), math.sin(facing)]), size, facing)
    cars = houses = 0
    beside = pick(rng, ("parking", "buildings", "road", None))
    if beside == "parking":
        cars = parking_lot(canvas, (0, 100), 150, 42, 0, 0.6)
    elif beside == "buildings":
        street(canvas, 88, False)
        houses = town(canvas, ("gray", "white", "red"), 26, 0.8) if count == 1 else 0
    elif beside == "road":
        street(canvas, 92, False)
    trees = grove(canvas, 12, rng.uniform(0.15, 0.7), (3.5, 6))
    return describe(
        "baseballfield",
        Thing("baseball field", count),
        Thing("parking lot", int(cars > 0)),
        Thing("tree", trees),
        Thing("building", houses),
        Thing("road", int(beside in ("road", "buildings"))),
        layout="around" if trees > 25 else "near",
    )


def playground(canvas: Canvas) -> SceneFacts:
    """A running track around a football field, or fields side by side."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "paving", "town")))
    has_track = rng.random() < 0.72
    word, color = pick(rng, _TRACK_COLORS)
    tilt = math.pi / 2 * rng.integers(2)
    length = rng.uniform(120, 165)
    courts = 0
    if has_track:
        running_track(canvas, (0, 0), length, tilt, color)
    else:
        canvas.polygon(
            rectangle((0, 0), length * 1.06, length * 0.76, tilt),
            "clay" if rng.random() < 0.5 else "turf",
            0,
            claim=True,
        )
        pitch(canvas, (0, 0), length, tilt)
    if rng.random() < 0.45:
        tone = pick(rng, ((72, 128, 96), (164, 96, 76), (70, 110, 150)))
        for index in range(int(rng.integers(2, 5))):
            spot = turn((length * -0.4 + index * 36, length * 0.46), tilt)
            basketball_court(canvas, spot, 30, tilt + math.pi / 2 * 0, tone)
            courts += int(canvas.sees(spot))
    has_road = rng.random() < 0.4
    if has_road:
        street(canvas, -length * (0.62 if tilt == 0 else 0.42) - 26, tilt != 0)
    houses = town(canvas, ("gray", "white", "red", "blue"), 30, 0.75) if rng.random() < 0.5 else 0
    trees = grove(canvas, 11, rng.uniform(0.3, 0.8), (3, 5))
    return describe(
        "playground",
        Thing("playground", color=word if has_track else None),
        Thing("football field"),
        Thing("basketball court", courts),
        Thing("tree", trees),
        Thing("building", houses),
        Thing("road", int(has_road)),
        layout="around" if trees > 25 else "near",
    )


def stadium(canvas: Canvas) -> SceneFacts:
    """Stands and a roof around a field."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("paving", "town", "asphalt", "grass")))
    length, tilt = rng.uniform(130, 160), 0.0
    width = length * rng.uniform(0.74, 0.84)
    word, roof = pick(
        rng,
        (
            ("white", (232, 232, 228)),
            ("white", (216, 218, 220)),
            ("gray", (150, 152, 156)),
            (None, (196, 180, 150)),
        ),
    )
    seats = pick(rng, ((76, 112, 158), (160, 74, 60), (188, 180, 164), (198, 140, 74), (120, 124, 130)))
    shape = pick(rng, ("oval", "oval", "rectangular"))

    def ring(share: float) -> np.ndarray:
        inset = (1 - share) * width * 0.5
        if shape == "oval":
            turns = np.linspace(0, 2 * math.pi, 60, endpoint=False)
            power = 0.8
            x, y = np.cos(turns), np.sin(turns)
            x, y = np.sign(x) * np.abs(x) ** power, np.sign(y) * np.abs(y) ** power
            return np.stack([x * (length / 2 - inset), y * (width / 2 - inset)], axis=1)
        return rectangle((0, 0), length - 2 * inset, width - 2 * inset, tilt)

    canvas.polygon(ring(1.1), "concrete", 0, claim=True)
    canvas.polygon(ring(1.0), roof, 13)
    outer, inner = ring(1.0), ring(0.8)
    spokes = 60 if shape == "oval" else 4
    for index in range(0, spokes, 2):
        if shape == "oval":
            canvas.line([outer[index], inner[index]], 0.8, dim(roof, 0.8))
    partial = rng.random() < 0.4
    canvas.polygon(inner, dim(seats, 1.0), 8)
    for share, tone, height in ((0.74, 0.9, 6.5), (0.68, 1.08, 5), (0.62, 0.9, 3.5)):
        canvas.polygon(ring(share), dim(seats, tone), height)
    if partial:  # two sides without a roof show the seats
        for end in (-1, 1):
            wedge = [
                (end * length * 0.25, -width),
                (end * length, -width),
                (end * length, width),
                (end * length * 0.25, width),
            ]
            del wedge
    has_track = shape == "oval" and rng.random() < 0.5
    canvas.polygon(ring(0.56), pick(rng, _TRACK_COLORS)[1] if has_track else "turf", 0)
    pitch(canvas, (0, 0), (length - width * 0.44) * (0.74 if has_track else 0.84), 0)
    cars = 0
    if rng.random() < 0.6:
        side = pick(rng, (-1, 1))
        cars = parking_lot(canvas, (0, side * (width / 2 + 36)), 240, 44, 0, rng.uniform(0.3, 0.8))
    has_road = rng.random() < 0.4
    if has_road:
        street(canvas, length / 2 + 22, True)
    houses = town(canvas, ("gray", "white", "brown"), 28, 0.5) if rng.random() < 0.4 else 0
    trees = grove(canvas, 12, rng.uniform(0.1, 0.6), (3, 5))
    return describe(
        "stadium",
        Thing("stadium", color=word, shape=shape),
        Thing("parking lot", int(cars > 0)),
        Thing("tree", trees),
        Thing("building", houses),
        Thing("road", int(has_road)),
        layout="around" if trees > 25 else "near",
    )


def park(canvas: Canvas) -> SceneFacts:
    """Lawns, paths, a pond and many trees in the middle of a town."""
    rng = canvas.rng
    canvas.cover("town")
    border = rectangle((0, 0), rng.uniform(180, 205), rng.uniform(160, 190))
    canvas.polygon(border, "grass")
    for corner in range(4):
        road(canvas, [border[corner - 1], border[corner]], 8)
    has_pond = rng.random() < 0.75
    spot = rng.uniform(-28, 28, 2)
    shore = blob(rng, spot, rng.uniform(24, 36), 0.35, 1.4)
    water = pick(rng, ("green", "dark", "blue"))
    path = pick(rng, ("paving", "dirt"))
    for _ in range(int(rng.integers(2, 4))):
        way = smooth(
            np.concatenate(
                [rng.uniform(-95, 95, (1, 2)), rng.uniform(-70, 70, (3, 2)), rng.uniform(-95, 95, (1, 2))]
            )
        )
        canvas.line(way, 3.6, path, claim=True)
    loop = blob(rng, (0, 0), 66, 0.14)
    canvas.line(np.concatenate([loop, loop[:1]]), 3.6, path, claim=True)
    if has_pond:
        canvas.polygon(spot + (shore - spot) * 1.12, path, 0, claim=True)
        canvas.polygon(shore, f"water {water}")
    else:
        canvas.disc(spot, 22, "paving", 0, claim=True)
        for share, tone in ((0.75, "lawn"), (0.4, "paving")):
            canvas.disc(spot, 22 * share, tone)
    pavilions = 0
    for _ in range(int(rng.integers(1, 4))):
        place = rng.uniform(-70, 70, 2)
        if canvas.free(place, 8):
            flat_building(
                canvas,
                place,
                15,
                11,
                rng.uniform(0, 3),
                roof_color(rng, pick(rng, ("orange", "white", "gray"))),
                4,
            )
    lawns = [blob(rng, rng.uniform(-70, 70, 2), 22, 0.3) for _ in range(3)]
    for lawn in lawns:
        if canvas.free(lawn.mean(axis=0), 10):
            canvas.polygon(lawn, "lawn", claim=True)
    points = scatter(rng, 10)
    within = np.all(np.abs(points) < np.abs(border[2]) - 4, axis=1)
    trees = plant(canvas, points[within & (rng.random(len(points)) < rng.uniform(0.6, 0.95))], (3.5, 6))
    canvas.claim(border)
    houses = town(canvas, ("gray", "white", "red", "brown"), 26, 0.85)
    return describe(
        "park",
        Thing("park"),
        Thing("pond", int(has_pond), color="green" if water == "green" else None) if has_pond else None,
        Thing("tree", trees),
        Thing("building", houses),
        Thing("road", 4),
        Thing("pavilion", pavilions),
        layout="in",
    )


def resort(canvas: Canvas) -> SceneFacts:
    """Villas and pools among palms, often by the sea."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "lawn")))
    by_sea = rng.random() < 0.6
    if by_sea:
        _, y = canvas.grid()
        out = y - rng.uniform(62, 78) + 6 * np.sin(canvas.grid()[0] / 40)
        canvas.blend("sand white", np.clip((out + 24) / 4, 0, 1))
        canvas.blend("sea turquoise", np.clip(out / 3, 0, 1))
        canvas.blend("snow", 0.7 * np.exp(-(((out - 3) / 2.5) ** 2)))
        canvas.claim([(-EDGE, 40), (EDGE, 40), (EDGE, EDGE + 20), (-EDGE, EDGE + 20)])
    word = pick(rng, ("red", "orange", "white", "gray", "orange"))
    middle = np.array([rng.uniform(-15, 15), rng.uniform(-20, 0)])
    pools = 0
    canvas.polygon(blob(rng, middle, 34, 0.15, 1.3), "paving", 0, claim=True)
    for index in range(int(rng.integers(1, 4))):
        spot = middle + turn((rng.uniform(14, 22) if index else 0, 0), index * 2.2 + rng.uniform(0, 1)) * (
            1.4,
            1,
        )
        outline = (
            blob(rng, spot, rng.uniform(9, 14), 0.3, 1.4)
            if rng.random() < 0.7
            else rectangle(spot, 26, 13, rng.uniform(0, 3))
        )
        swimming_pool(canvas, outline)
        pools += int(canvas.sees(outline).all())
    lounges = middle + rng.uniform(-1, 1, (26, 2)) * (46, 34)
    canvas.boxes(lounges, (2.6, 1.3), rng.uniform(0, 3), [(240, 240, 236)] * len(lounges))
    houses = 0
    for center in scatter(rng, 36, 0.2):
        if rng.random() < 0.75 and canvas.free(center, 14):
            angle = math.atan2(*(middle - center)[::-1]) + math.pi / 2
            color = roof_color(rng, word)
            house(canvas, center, rng.uniform(24, 32), rng.uniform(11, 14), angle, color, 5)
            if rng.random() < 0.4:
                house(canvas, center + turn((10, 8), angle), 12, 18, angle, color, 5)
            houses += int(canvas.sees(center))
    trees = grove(canvas, 11, 0.6, (2.6, 4.6))
    if by_sea:
        shades = np.stack([np.arange(-150, 150, 9.0), np.full(34, 47.0)], axis=1)[:34]
        for shade in shades:
            canvas.disc(shade + rng.normal(0, 1, 2), 2.6, vary(rng, (214, 190, 150)), 2.5)
    return describe(
        "resort",
        Thing("resort"),
        Thing("swimming pool", pools),
        Thing("building", houses, word),
        Thing("tree", trees),
        Thing("beach", int(by_sea)),
        layout="in",
    )


SPORT = {
    "baseballfield": baseballfield,
    "park": park,
    "playground": playground,
    "resort": resort,
    "stadium": stadium,
}
"""How to draw each of these categories."""
_ = (oval, tree_row)
