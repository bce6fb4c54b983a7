"""Scenes of traffic and industry."""

import math

import numpy as np

from utils.scene_canvas import Canvas, turn
from utils.scene_facts import SceneFacts, Thing, describe
from utils.scene_nature import wander
from utils.scene_objects import (
    EDGE,
    along,
    boat,
    cars,
    dim,
    flat_building,
    grove,
    hall,
    parking_lot,
    pick,
    plane,
    plant,
    rectangle,
    road,
    roof_color,
    scatter,
    ship,
    smooth,
    town,
    traffic,
    tree_row,
    vary,
)
from utils.scene_sport import street

_TAILS = ((60, 90, 160), (180, 60, 54), (70, 130, 90), (210, 160, 60), (120, 120, 128))


def airport(canvas: Canvas) -> SceneFacts:
    """Planes at a terminal or on the apron, with taxiways and a runway."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "soil brown", "grass dry")))
    runway_at = rng.uniform(66, 82)
    canvas.line([(-EDGE - 20, runway_at), (EDGE + 20, runway_at)], 20, "asphalt", claim=True)
    canvas.line([(-EDGE - 20, runway_at - 34), (EDGE + 20, runway_at - 34)], 9, "old asphalt", claim=True)
    for x in rng.uniform(-110, 110, 3):
        canvas.line(
            smooth([(x, runway_at), (x + 12, runway_at - 20), (x + 12, 10)]), 9, "old asphalt", claim=True
        )
    marks, headings = along([(-EDGE, runway_at), (EDGE, runway_at)], 14)
    canvas.boxes(marks, (7, 1.2), headings, [(232, 232, 228)] * len(marks))
    for edge in (-8.5, 8.5):
        canvas.line([(-EDGE, runway_at + edge), (EDGE, runway_at + edge)], 0.7, (226, 226, 222))
    canvas.polygon(
        [(-140, -60), (140, -60), (140, 28), (-140, 28)],
        pick(rng, ("concrete", "old asphalt")),
        0,
        claim=True,
    )
    terminal_at = rng.uniform(-66, -56)
    color = roof_color(rng, pick(rng, ("white", "gray", "white", "blue")))
    hall(canvas, (0, terminal_at), rng.uniform(150, 220), rng.uniform(15, 22), 0, color, 8)
    span = rng.uniform(24, 34)
    planes = 0
    piers = int(rng.integers(0, 3))
    gates = [(x, terminal_at + 12 + span * 0.62, -math.pi / 2) for x in np.arange(-110, 111, span * 1.25)]
    for index in range(piers):
        x = (index - (piers - 1) / 2) * 110 + rng.uniform(-8, 8)
        hall(canvas, (x, terminal_at + 34), 52, 9, math.pi / 2, color, 7)
        gates = [gate for gate in gates if abs(gate[0] - x) > span * 0.75 + 6]
        for y in (terminal_at + 34, terminal_at + 34 + span * 1.0)[: 1 if span > 30 else 2]:
            gates += [(x - 6 - span * 0.6, y, 0.0), (x + 6 + span * 0.6, y, math.pi)]
    taken: list[np.ndarray] = []
    for x, y, heading in gates:
        spot = np.array([x, y])
        if rng.random() < 0.72 and all(np.hypot(*(spot - other)) > span * 0.95 for other in taken):
            taken.append(spot)
            plane(canvas, spot, span, heading + rng.normal(0, 0.04), pick(rng, _TAILS))
            planes += int(canvas.sees(spot, 2))
    if rng.random() < 0.4:
        spot = np.array([rng.uniform(-60, 60), runway_at])
        plane(canvas, spot, span, pick(rng, (0, math.pi)), pick(rng, _TAILS))
        planes += int(canvas.sees(spot, 2))
    lot = parking_lot(canvas, (0, -98), 250, 42, 0, 0.7, 4.4) if rng.random() < 0.6 else 0
    houses = town(canvas, ("gray", "white", "blue"), 28, 0.5) if rng.random() < 0.4 else 0
    return describe(
        "airport",
        Thing("airport"),
        Thing("plane", planes, "white"),
        Thing("terminal"),
        Thing("parking lot", int(lot > 0)),
        Thing("runway", int(canvas.sees((0, runway_at)))),
        Thing("building", houses),
        layout="in",
    )


def bridge(canvas: Canvas) -> SceneFacts:
    """A bridge over a wide river."""
    rng = canvas.rng
    width = rng.uniform(96, 136)
    course = wander(rng, 9, 6)
    banks = pick(rng, ("building", "tree", "tree", "building"))
    canvas.cover("grass" if banks == "tree" else "town")
    canvas.line(course, width + 12, pick(rng, ("concrete", "dirt", "grass")), claim=True)
    water = pick(rng, ("water green", "sea blue", "sea dark", "water blue", "water brown"))
    canvas.line(course, width, water, claim=True)
    count = 2 if rng.random() < 0.2 else 1
    deck = rng.uniform(13, 22)
    tilt = rng.normal(0, 0.12)
    across = [
        turn([(shift, -EDGE), (shift, EDGE)], tilt) for shift in ((0.0,) if count == 1 else (-24.0, 24.0))
    ]
    for line in across:
        canvas.line(line, deck + 2, (190, 186, 178), 9, claim=True)
        canvas.line(line, deck, pick(rng, ("asphalt", "old asphalt", "concrete")))
        marks, headings = along(line, 8)
        canvas.boxes(marks, (4, 0.7), headings, [(232, 230, 222)] * len(marks))
        if rng.random() < 0.4:  # an arch or cables over the deck
            for edge in (-1, 1):
                side = line + turn((edge * deck * 0.5, 0), tilt)
                canvas.line(side[:1] * 0.4 + np.array([[0, 0]]), 1, (200, 200, 200))
                canvas.line(
                    np.stack([side[0] * 0.42 + side[1] * 0.58, side[0] * 0.58 + side[1] * 0.42]),
                    1,
                    (220, 220, 216),
                    18,
                )
                canvas.line(side * 0.36, 1.6, (206, 206, 200), 15)
        heading_cars = _lane_cars(canvas, line, deck)
        del heading_cars
    boats = 0
    for _ in range(int(rng.integers(0, 4))):
        spot = np.array([pick(rng, (-1, 1)) * rng.uniform(40, 95), rng.uniform(-width * 0.3, width * 0.3)])
        boat(canvas, spot, rng.uniform(9, 14), rng.uniform(-0.4, 0.4))
        boats += int(canvas.sees(spot))
    houses = town(canvas, ("gray", "white", "red"), 24, 0.85) if banks == "building" else 0
    trees = grove(canvas, 10, 0.75 if banks == "tree" else 0.3, (3, 5))
    return describe(
        "bridge",
        Thing("bridge", count),
        Thing("river", color="green" if water == "water green" else None),
        Thing("building", houses),
        Thing("tree", trees),
        Thing("boat", boats),
        layout="two sides",
    )


def _lane_cars(canvas: Canvas, line: np.ndarray, deck: float) -> int:
    """Cars in the lanes of a raised road; returns how many are seen."""
    rng = canvas.rng
    seen = 0
    lanes = 4 if deck > 16 else 2
    for lane in range(lanes):
        spots, headings = along(line, rng.uniform(16, 30))
        normal = np.stack([-np.sin(headings), np.cos(headings)], axis=1)
        spots = spots + normal * ((lane + 0.5) / lanes - 0.5) * deck * 0.9
        keep = rng.random(len(spots)) < 0.7
        seen += cars(canvas, spots[keep], headings[keep], 5, 9)
    return seen


def parking(canvas: Canvas) -> SceneFacts:
    """Rows and rows of parked cars."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "town", "asphalt")))
    car = rng.uniform(7, 10.5)
    material = pick(rng, ("asphalt", "asphalt", "old asphalt", "concrete"))
    filled = pick(rng, (0.35, 0.65, 0.9))
    height = rng.uniform(150, 330)
    seen = parking_lot(canvas, (0, 0), 330, height, 0, filled, car, material)
    beside = height / 2 < 110
    houses = trees = 0
    has_road = False
    if beside:
        has_road = rng.random() < 0.6
        if has_road:
            street(canvas, height / 2 + 10, False, 11)
        houses = town(canvas, ("white", "gray", "brown"), 38, 0.7, (6, 10)) if rng.random() < 0.6 else 0
        trees = grove(canvas, 13, 0.5, (3.5, 5.5))
    if rng.random() < 0.5:
        islands = np.stack([np.arange(-150, 151, 30.0), np.full(11, pick(rng, (0.0, -40.0)))], axis=1)
        trees += plant(canvas, islands, (4, 5.5), avoid=False)
    return describe(
        "parking",
        Thing("parking lot"),
        Thing("car", seen),
        Thing("building", houses),
        Thing("tree", trees),
        Thing("road", int(has_road)),
        Thing("empty space", int(filled == 0.35)),
        layout="in",
    )


def port(canvas: Canvas) -> SceneFacts:
    """Boats at piers, or ships at a quay."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("sea dark", "sea blue", "sea green", "water dark")))
    shore = rng.uniform(-70, -48)
    canvas.polygon([(-EDGE, -EDGE), (EDGE, -EDGE), (EDGE, shore), (-EDGE, shore)], "concrete", 3, claim=True)
    marina = rng.random() < 0.7
    ships = boats = 0
    if marina:
        length = rng.uniform(10, 17)
        for x in np.arange(-140, 150, length * 3.1):
            reach = rng.uniform(105, 150)
            canvas.line([(x, shore - 2), (x, shore + reach)], 3.6, (188, 176, 156), 1.5)
            for y in np.arange(shore + 12, shore + reach, length * 0.56):
                for side in (-1, 1):
                    if rng.random() < 0.82:
                        spot = np.array([x + side * (length * 0.5 + 3), y])
                        boat(
                            canvas,
                            spot,
                            length * rng.uniform(0.8, 1.05),
                            math.pi / 2 * (1 - side) + rng.normal(0, 0.03),
                        )
                        boats += int(canvas.sees(spot))
    else:
        for x in np.arange(-100, 120, rng.uniform(76, 92)):
            spot = np.array([x, shore + 18])
            ship(canvas, spot, rng.uniform(66, 82), pick(rng, (0, math.pi)))
            ships += int(canvas.sees(spot))
        pier = rng.uniform(30, 60)
        canvas.line([(-EDGE, shore + 95), (pier, shore + 95)], 12, "concrete", 3)
        spot = np.array([pier - 60, shore + 78])
        ship(canvas, spot, 74, 0)
        ships += int(canvas.sees(spot))
        spots = np.stack(
            np.meshgrid(np.arange(-150, 150, 11), np.arange(shore - 34, shore - 12, 5.5)), -1
        ).reshape(-1, 2)
        spots = spots[rng.random(len(spots)) < 0.7]
        tones = [pick(rng, ((170, 70, 54), (60, 110, 160), (206, 196, 180), (204, 140, 62))) for _ in spots]
        canvas.boxes(spots, (9.5, 4.2), 0, tones, 5)
        canvas.claim([(-EDGE, shore - 40), (EDGE, shore - 40), (EDGE, shore), (-EDGE, shore)])
    canvas.claim([(-EDGE, shore - 6), (EDGE, shore - 6), (EDGE, EDGE), (-EDGE, EDGE)])
    canvas._draw_claims.rectangle((0, 0, 0, 0), 0)
    houses = 0
    for spot in scatter(rng, 27, 0.15):
        if spot[1] < shore - (46 if not marina else 18) and rng.random() < 0.85:
            flat_building(
                canvas,
                spot,
                rng.uniform(14, 22),
                rng.uniform(12, 20),
                0,
                roof_color(rng, pick(rng, ("white", "gray", "red"))),
                7,
            )
            houses += int(canvas.sees(spot))
    return describe(
        "port",
        Thing("port"),
        Thing("boat", boats, "white"),
        Thing("ship", ships),
        Thing("building", houses),
        layout="in",
    )


def railwaystation(canvas: Canvas) -> SceneFacts:
    """Many tracks side by side, platform roofs and a station hall."""
    rng = canvas.rng
    canvas.cover("town")
    tracks = int(rng.integers(8, 14))
    gauge = rng.uniform(6.5, 8)
    half = tracks * gauge / 2
    canvas.polygon(
        [(-EDGE - 20, -half), (EDGE + 20, -half), (EDGE + 20, half), (-EDGE - 20, half)],
        "gravel",
        0,
        claim=True,
    )
    lanes = (np.arange(tracks) + 0.5) * gauge - half
    for lane in lanes:
        canvas.line([(-EDGE - 20, lane), (EDGE + 20, lane)], 3.6, (92, 82, 74))
        for rail in (-1.2, 1.2):
            canvas.line([(-EDGE - 20, lane + rail), (EDGE + 20, lane + rail)], 0.6, (176, 170, 164))
    word = pick(rng, ("blue", "white", "gray", "white"))
    color = roof_color(rng, word)
    roofs = 0
    length, middle = rng.uniform(110, 170), rng.uniform(-20, 20)
    for index in range(1, tracks - 1, 3):
        spot = (middle, (lanes[index] + lanes[index + 1]) / 2)
        hall(canvas, spot, length, gauge * 1.15, 0, color, 6)
        roofs += 1
    trains = 0
    for index in (0, 3, 6, 9):
        if index < tracks and rng.random() < 0.5:
            start = rng.uniform(-120, 20)
            tone = pick(rng, ((70, 110, 160), (200, 204, 206), (150, 60, 54), (80, 120, 90)))
            cells = np.stack([start + np.arange(7) * 17.0, np.full(7, lanes[index])], axis=1)
            canvas.boxes(cells, (16, 4), 0, [vary(rng, tone, 0.03)] * 7, 4)
            trains += int(canvas.sees(cells).any())
    if rng.random() < 0.6:
        canvas.polygon(rectangle((middle, 0), rng.uniform(14, 24), 2 * half + 10), dim(color, 0.96), 12)
    side = pick(rng, (-1, 1))
    hall(canvas, (middle, side * (half + 17)), rng.uniform(70, 110), 26, 0, dim(color, 1.02), 11, 2)
    street(canvas, side * (half + 46), False, 11)
    houses = town(canvas, ("gray", "white", "red", "blue"), 25, 0.85)
    trees = grove(canvas, 11, 0.3, (2.5, 4))
    return describe(
        "railwaystation",
        Thing("railway station"),
        Thing("building", houses),
        Thing("platform roof", roofs, word),
        Thing("train", trains),
        Thing("track", tracks),
        Thing("tree", trees),
        layout="two sides",
    )


def viaduct(canvas: Canvas) -> SceneFacts:
    """Motorways that cross at two levels, with loops between them."""
    rng = canvas.rng
    ground = pick(rng, ("tree", "tree", "field", "building"))
    canvas.cover("town" if ground == "building" else "grass")
    width = rng.uniform(20, 28)
    cross = rng.uniform(1.2, 1.57)
    low = turn([(-EDGE - 20, 0), (EDGE + 20, 0)], 0)
    high = turn([(-EDGE - 20, 0), (EDGE + 20, 0)], cross)
    loops = int(rng.choice([2, 3, 4]))
    ramp = width * 0.42
    for index in range(loops):
        toward = index * math.pi / 2 + cross / 2 if loops > 2 else index * math.pi + cross / 2
        radius = rng.uniform(25, 31)
        middle = turn((radius * 1.42 + width * 0.3, 0), toward)
        turns = np.linspace(0, 2 * math.pi, 36)
        ring = middle + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
        canvas.line(ring, ramp + 1.6, (196, 190, 180), 2, claim=True)
        canvas.line(ring, ramp, "asphalt")
    for index in range(4):
        corner = turn(
            (rng.uniform(92, 104), 0), index * math.pi / 2 + cross / 2 + (0 if index % 2 == 0 else 0)
        )
        ends = [
            turn((EDGE, width * 0.3), index * math.pi / 2),
            turn((EDGE, -width * 0.3), (index + 1) * math.pi / 2),
        ]
        way = smooth([ends[0], corner * 0.98, ends[1]], rounds=4)
        canvas.line(way, ramp + 1.6, (196, 190, 180), 2, claim=True)
        canvas.line(way, ramp, "asphalt")
    seen = 0
    for line, lift in ((low, 3), (high, 11)):
        canvas.line(line, width + 2, (200, 195, 186), lift, claim=True)
        canvas.line(line, width, "asphalt")
        canvas.line(line, 1.6, (180, 176, 168))
        for lane in (-0.25, 0.25):
            heading = math.atan2(*(line[1] - line[0])[::-1])
            shifted = line + turn((0, lane * width), heading)
            spots, headings = along(shifted, 8)
            canvas.boxes(spots, (4, 0.6), headings, [(226, 226, 220)] * len(spots))
        seen += _raised_cars(canvas, line, width, lift)
    houses = town(canvas, ("gray", "white", "red"), 26, 0.8) if ground == "building" else 0
    trees = grove(canvas, 10, {"tree": 0.75, "field": 0.12, "building": 0.4}[ground], (3, 5))
    return describe(
        "viaduct",
        Thing("viaduct"),
        Thing("tree", trees),
        Thing("building", houses),
        Thing("car", seen),
        Thing("loop", loops),
    )


def _raised_cars(canvas: Canvas, line: np.ndarray, width: float, lift: float) -> int:
    """Cars on a motorway at a height; returns how many are seen."""
    rng = canvas.rng
    seen = 0
    for lane in (-0.38, -0.13, 0.13, 0.38):
        spots, headings = along(line, rng.uniform(18, 34))
        spots = spots + np.stack([-np.sin(headings), np.cos(headings)], axis=1) * lane * width
        keep = rng.random(len(spots)) < 0.7
        seen += cars(canvas, spots[keep], headings[keep], 5, lift)
    return seen


def industrial(canvas: Canvas) -> SceneFacts:
    """Factory halls with long roofs, yards and trucks."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("concrete", "town", "dirt")))
    street(canvas, rng.uniform(-50, 50), False, 12)
    if rng.random() < 0.6:
        street(canvas, rng.uniform(-60, 60), True, 10)
    words = pick(
        rng,
        (
            ("blue",),
            ("blue", "gray"),
            ("gray", "white"),
            ("white",),
            ("gray", "brown", "blue"),
            ("red", "blue"),
        ),
    )
    halls = 0
    for size in (62, 42, 26):
        for spot in scatter(rng, size * 1.05, 0.2):
            length, width = size * rng.uniform(0.85, 1.1), size * rng.uniform(0.5, 0.8)
            if rng.random() < 0.75 and canvas.free(spot, max(length, width) / 2 + 1):
                color = roof_color(rng, pick(rng, words))
                bays = int(rng.integers(1, 5))
                hall(
                    canvas,
                    spot,
                    length,
                    width,
                    0 if rng.random() < 0.7 else math.pi / 2,
                    color,
                    rng.uniform(5, 8),
                    bays,
                )
                halls += int(canvas.sees(spot))
    trees = grove(canvas, 12, rng.uniform(0.05, 0.3), (2.5, 4))
    return describe(
        "industrial",
        Thing("industrial area"),
        Thing("building", halls, words[0] if len(words) == 1 else None),
        Thing("road", 1),
        Thing("tree", trees),
        layout="in",
    )


def storagetanks(canvas: Canvas) -> SceneFacts:
    """Round tanks in rows, each with its shadow, behind dikes."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("dirt", "concrete", "grass", "gravel")))
    radius = rng.uniform(10, 24)
    word, color = pick(
        rng,
        (
            ("white", (236, 236, 232)),
            ("white", (226, 226, 224)),
            ("gray", (168, 168, 166)),
            ("brown", (164, 128, 98)),
        ),
    )
    step = radius * rng.uniform(2.6, 3.2)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(2, 6))
    tanks = 0
    yard = rectangle((0, 0), (columns + 0.2) * step, (rows + 0.2) * step)
    canvas.polygon(yard, pick(rng, ("dirt", "concrete", "gravel")), 0)
    canvas.line(np.concatenate([yard, yard[:2]]), 2.4, (196, 186, 168), 2, claim=True)
    canvas.claim(yard)
    for row in range(rows):
        for column in range(columns):
            if rng.random() < 0.1:
                continue
            spot = (np.array([column, row]) - ((columns - 1) / 2, (rows - 1) / 2)) * step
            _tank(canvas, spot, radius * rng.uniform(0.92, 1.0), color)
            tanks += int(canvas.sees(spot, radius * 0.4))
    has_road = rng.random() < 0.5
    if has_road:
        street(canvas, (rows + 0.2) * step / 2 + 14, False, 10)
    houses = town(canvas, ("gray", "white", "blue"), 30, 0.5) if rng.random() < 0.4 else 0
    trees = grove(canvas, 12, rng.uniform(0, 0.5), (3, 5))
    return describe(
        "storagetanks",
        Thing("storage tank", max(tanks, 1), word),
        Thing("building", houses),
        Thing("tree", trees),
        Thing("road", int(has_road)),
    )


def _tank(canvas: Canvas, spot: np.ndarray, radius: float, color: tuple[int, int, int]) -> None:
    """One tank with a stair and a pale rim."""
    rng = canvas.rng
    canvas.disc(spot, radius * 1.12, (150, 140, 126), 0)
    canvas.disc(spot, radius, dim(color, 0.86), 12)
    canvas.disc(spot, radius * 0.9, color, 12.5)
    canvas.disc(spot, radius * 0.45, dim(color, 1.03), 13)
    canvas.disc(spot, max(1.0, radius * 0.1), dim(color, 0.7), 13.5)
    stair = turn((radius * 0.95, 0), rng.uniform(0, 6.3))
    canvas.line([spot + stair * 0.2, spot + stair], 0.8, dim(color, 0.75))


TRANSPORT = {
    "airport": airport,
    "bridge": bridge,
    "industrial": industrial,
    "parking": parking,
    "port": port,
    "railwaystation": railwaystation,
    "storagetanks": storagetanks,
    "viaduct": viaduct,
}
"""How to draw each of these categories."""
_ = (tree_row,)
