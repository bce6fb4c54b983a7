"""Scenes of traffic: airports, bridges, parking lots, ports, viaducts."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import SceneFacts, Thing, describe
from standins.scenes.objects import flat_building, grove, hall, pick, plant, roof_color, town, trees
from standins.scenes.shapes import EDGE, along, rectangle, scatter, smooth, turn, wander
from standins.scenes.vehicles import boat, cars, parking_lot, plane, ship, street

_TAILS = ((60, 90, 160), (180, 60, 54), (70, 130, 90), (210, 160, 60), (120, 120, 128))
_CONTAINERS = ((170, 70, 54), (60, 110, 160), (206, 196, 180), (204, 140, 62))
_PAINT = (232, 232, 228)


def _airfield(canvas: Canvas, runway_at: float) -> None:
    """Runway, taxiways and apron."""
    rng = canvas.rng
    reach = EDGE + 20
    canvas.line([(-reach, runway_at), (reach, runway_at)], 20, "asphalt", claim=True)
    canvas.line([(-reach, runway_at - 34), (reach, runway_at - 34)], 9, "old asphalt", claim=True)
    for x in rng.uniform(-110, 110, 3):
        canvas.line(smooth([(x, runway_at), (x + 12, runway_at - 20), (x + 12, 10)]), 9, "old asphalt", claim=True)
    marks, headings = along([(-EDGE, runway_at), (EDGE, runway_at)], 14)
    canvas.boxes(marks, (7, 1.2), headings, [_PAINT] * len(marks))
    for edge in (-8.5, 8.5):
        canvas.line([(-EDGE, runway_at + edge), (EDGE, runway_at + edge)], 0.7, _PAINT)
    apron = [(-EDGE, -60), (EDGE, -60), (EDGE, 28), (-EDGE, 28)]
    canvas.polygon(apron, pick(rng, ("concrete", "old asphalt")), 0, claim=True)


def _gates(canvas: Canvas, terminal_at: float, span: float, roof: tuple[int, int, int]) -> list[tuple]:
    """Draws piers at the terminal; returns where planes may stand: (x, y, heading)."""
    rng = canvas.rng
    gates = [(x, terminal_at + 12 + span * 0.62, -math.pi / 2) for x in np.arange(-110, 111, span * 1.25)]
    piers = int(rng.integers(0, 3))
    for index in range(piers):
        x = (index - (piers - 1) / 2) * 110 + rng.uniform(-8, 8)
        hall(canvas, (x, terminal_at + 34), 52, 9, math.pi / 2, roof, 7)
        gates = [gate for gate in gates if abs(gate[0] - x) > span * 0.75 + 6]
        for y in (terminal_at + 34, terminal_at + 34 + span)[: 1 if span > 30 else 2]:
            gates += [(x - 6 - span * 0.6, y, 0.0), (x + 6 + span * 0.6, y, math.pi)]
    return gates


def airport(canvas: Canvas) -> SceneFacts:
    """Planes at a terminal or on the apron, with taxiways and a runway."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "soil brown", "grass dry")))
    runway_at = rng.uniform(66, 82)
    _airfield(canvas, runway_at)
    terminal_at = rng.uniform(-66, -56)
    roof = roof_color(rng, pick(rng, ("white", "gray", "white", "blue")))
    hall(canvas, (0, terminal_at), rng.uniform(150, 220), rng.uniform(15, 22), 0, roof, 8)
    span = rng.uniform(24, 34)
    spots: list[np.ndarray] = []
    for x, y, heading in _gates(canvas, terminal_at, span, roof):
        apart = all(math.hypot(x - other[0], y - other[1]) > span * 0.95 for other in spots)
        if apart and rng.random() < 0.72:
            spots.append(np.array([x, y]))
            plane(canvas, (x, y), span, heading + rng.normal(0, 0.04), pick(rng, _TAILS))
    if rng.random() < 0.4 or not canvas.sees(np.array(spots or [np.array((EDGE, EDGE))]), 2).any():
        spots.append(np.array([rng.uniform(-50, 50), runway_at]))
        plane(canvas, spots[-1], span, pick(rng, (0, math.pi)), pick(rng, _TAILS))
    parked = parking_lot(canvas, (0, -98), 250, 42, 0, 0.7, 4.4) if rng.random() < 0.6 else 0
    houses = town(canvas, ("gray", "white", "blue"), 28, 0.5) if rng.random() < 0.4 else 0
    return describe(
        "airport",
        Thing("airport"),
        within=[
            Thing("plane", int(canvas.sees(np.array(spots), 2).sum()), "white"),
            Thing("terminal"),
            Thing("runway", int(canvas.sees((0, runway_at)))),
        ],
        around=[Thing("parking lot", int(parked > 0)), Thing("building", houses)],
    )


def _lane_cars(canvas: Canvas, line: np.ndarray, width: float, lanes: int, lift: float) -> int:
    """Cars in the lanes of a raised road; returns how many are seen."""
    rng = canvas.rng
    seen = 0
    for lane in range(lanes):
        spots, headings = along(line, rng.uniform(16, 30))
        normal = np.stack([-np.sin(headings), np.cos(headings)], axis=1)
        spots = spots + normal * ((lane + 0.5) / lanes - 0.5) * width * 0.9
        keep = rng.random(len(spots)) < 0.7
        seen += cars(canvas, spots[keep], headings[keep], 5, lift)
    return seen


def _deck(canvas: Canvas, line: np.ndarray, width: float, lift: float, material: str) -> int:
    """A raised road with railings, lane marks and cars; returns how many cars are seen."""
    canvas.line(line, width + 2, (200, 195, 186), lift, claim=True)
    canvas.line(line, width, material)
    lanes = 4 if width > 16 else 2
    for lane in range(1, lanes):
        heading = math.atan2(*(line[1] - line[0])[::-1])
        marks, headings = along(line + turn((0, (lane / lanes - 0.5) * width), heading), 8)
        solid = lane * 2 == lanes
        canvas.boxes(marks, (8 if solid else 4, 0.7), headings, [(226, 226, 220)] * len(marks))
    return _lane_cars(canvas, line, width, lanes, lift)


def _girders(canvas: Canvas, line: np.ndarray, width: float, span: float, lift: float) -> None:
    """Cross girders over the deck of a truss bridge, over the given span about its middle."""
    middle = line.mean(axis=0)
    ahead = (line[1] - line[0]) / math.hypot(*(line[1] - line[0]))
    across = np.array([-ahead[1], ahead[0]]) * width * 0.55
    for step in np.arange(-span / 2, span / 2 + 1, 11.0):
        post = middle + ahead * step
        canvas.line([post - across, post + across], 1.3, (212, 210, 204), lift + 7)
    for side in (-1, 1):
        ends = middle + np.array([[-span / 2], [span / 2]]) * ahead + side * across
        canvas.line(ends, 2.2, (206, 204, 198), lift + 7)


def bridge(canvas: Canvas) -> SceneFacts:
    """One or two bridges over a wide river."""
    rng = canvas.rng
    width = rng.uniform(92, 136)
    course = wander(rng, 9, 6)
    banks = pick(rng, ("building", "tree", "tree", "building"))
    canvas.cover("grass" if banks == "tree" else "town")
    canvas.line(course, width + 12, pick(rng, ("concrete", "dirt", "grass")), claim=True)
    water = pick(rng, ("water green", "sea blue", "sea dark", "water blue", "water brown"))
    canvas.line(course, width, water, claim=True)
    count = 2 if rng.random() < 0.2 else 1
    deck, tilt = rng.uniform(13, 22), rng.normal(0, 0.12)
    truss, material = rng.random() < 0.35, pick(rng, ("asphalt", "old asphalt", "concrete"))
    for shift in (0.0,) if count == 1 else (-26.0, 26.0):
        line = turn([(shift, -EDGE - 20), (shift, EDGE + 20)], tilt)
        for pier in np.arange(-width / 2 + 14, width / 2, 26):
            foot = turn((shift, pier), tilt)
            canvas.polygon(rectangle(foot, deck + 9, 5, tilt), (176, 172, 164), 3)
        _deck(canvas, line, deck, 9, material)
        if truss:
            _girders(canvas, line, deck, width, 9)
    boats = 0
    for _ in range(int(rng.integers(0, 4))):
        spot = np.array([pick(rng, (-1, 1)) * rng.uniform(48, 95), rng.uniform(-width * 0.3, width * 0.3)])
        boat(canvas, spot, rng.uniform(9, 14), rng.uniform(-0.4, 0.4))
        boats += int(canvas.sees(spot))
    houses = town(canvas, ("gray", "white", "red"), 24, 0.9) if banks == "building" else 0
    woods = grove(canvas, 10, 0.9 if banks == "tree" else 0.35, (3, 5))
    return describe(
        "bridge",
        Thing("bridge", count),
        within=[Thing("river", 1, "green" if water == "water green" else None), Thing("boat", boats)],
        around=[Thing("building", houses), trees(canvas, woods)],
        layout="two sides",
    )


def parking(canvas: Canvas) -> SceneFacts:
    """Rows and rows of parked cars."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "town", "old asphalt")))
    car = rng.uniform(7, 10.5)
    material = pick(rng, ("asphalt", "asphalt", "old asphalt", "concrete"))
    filled = pick(rng, (0.35, 0.65, 0.9))
    depth = rng.uniform(130, 300)
    seen = parking_lot(canvas, (0, 0), 330, depth, 0, filled, car, material)
    houses = woods = 0
    roads = street(canvas, depth / 2 + 9, upright=False, width=11) if depth < 210 and rng.random() < 0.6 else 0
    if depth < 220 and rng.random() < 0.6:
        houses = town(canvas, ("white", "gray", "brown"), 36, 0.8, (6, 10))
    if depth < 220:
        woods = grove(canvas, 12, 0.6, (3.5, 5.5))
    if rng.random() < 0.5:
        islands = np.stack([np.arange(-150, 151, 30.0), np.full(11, pick(rng, (0.0, -40.0)))], axis=1)
        woods += plant(canvas, islands, (4, 5.5), avoid=False)
    return describe(
        "parking",
        Thing("parking lot"),
        within=[Thing("car", seen), Thing("empty space", 12 * int(filled == 0.35))],
        around=[Thing("building", houses), trees(canvas, woods), Thing("road", roads)],
    )


def _marina(canvas: Canvas, shore: float) -> int:
    """Jetties with boats on both sides; returns how many boats are seen."""
    rng = canvas.rng
    length = rng.uniform(10, 17)
    seen = 0
    for x in np.arange(-140, 150, length * rng.uniform(3.0, 3.8)):
        reach = rng.uniform(95, 150)
        canvas.line([(x, shore - 2), (x, shore + reach)], 3.6, (188, 176, 156), 1.5)
        for y in np.arange(shore + 12, shore + reach, length * 0.56):
            for side in (-1, 1):
                spot = np.array([x + side * (length * 0.5 + 3), y])
                if rng.random() < 0.82 and canvas.sees(spot, -length):
                    heading = math.pi / 2 * (1 - side) + rng.normal(0, 0.03)
                    boat(canvas, spot, length * rng.uniform(0.8, 1.05), heading)
                    seen += int(canvas.sees(spot))
    return seen


def _quay(canvas: Canvas, shore: float) -> int:
    """Cargo ships at a quay with stacked containers, and a breakwater; returns how many ships are seen."""
    rng = canvas.rng
    pier = rng.uniform(30, 60)
    canvas.line([(-EDGE, shore + 95), (pier, shore + 95)], 12, "concrete", 3)
    berths = [(x, shore + 18) for x in np.arange(-100, 120, rng.uniform(76, 92))] + [(pier - 60, shore + 78)]
    for berth in berths:
        ship(canvas, berth, rng.uniform(66, 82), pick(rng, (0, math.pi)))
    stacks = np.stack(np.meshgrid(np.arange(-150, 150, 11), np.arange(shore - 34, shore - 12, 5.5)), -1).reshape(-1, 2)
    stacks = stacks[rng.random(len(stacks)) < 0.7]
    canvas.boxes(stacks, (9.5, 4.2), 0, [pick(rng, _CONTAINERS) for _ in stacks], 5)
    return int(canvas.sees(berths).sum())


def port(canvas: Canvas) -> SceneFacts:
    """Boats at jetties, or ships at a quay, with the town behind."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("sea dark", "sea blue", "sea green", "water dark", "water green")))
    shore = rng.uniform(-70, -46)
    canvas.polygon([(-EDGE, -EDGE), (EDGE, -EDGE), (EDGE, shore), (-EDGE, shore)], "concrete", 3)
    is_marina = rng.random() < 0.7
    boats = _marina(canvas, shore) if is_marina else 0
    ships = 0 if is_marina else _quay(canvas, shore)
    spots = scatter(rng, 26, 0.12)
    inland = spots[:, 1] < shore - (18 if is_marina else 48)
    spots = spots[inland & canvas.sees(spots, -14) & (rng.random(len(spots)) < 0.9)]
    for spot in spots:
        color = roof_color(rng, pick(rng, ("white", "gray", "red")))
        flat_building(canvas, spot, rng.uniform(14, 22), rng.uniform(12, 20), 0, color, 7)
    return describe(
        "port",
        Thing("port"),
        within=[Thing("boat", boats, "white"), Thing("ship", ships)],
        around=[Thing("building", int(canvas.sees(spots).sum()))],
    )


def _ramps(canvas: Canvas, width: float, cross: float, loops: int) -> None:
    """Loops in the corners of a crossing, and ramps that cut the corners."""
    rng = canvas.rng
    ramp = width * 0.42
    for index in range(4):
        between = cross if index % 2 == 0 else math.pi - cross
        toward = (index // 2) * math.pi + (0 if index % 2 == 0 else cross) + between / 2
        if index < loops:
            radius = rng.uniform(24, 30)
            middle = turn((radius / math.sin(between / 2) + width * 0.1, 0), toward)
            turns = np.linspace(0, 2 * math.pi, 36)
            ring = middle + radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
            canvas.line(ring, ramp + 1.6, (196, 190, 180), 2, claim=True)
            canvas.line(ring, ramp, "asphalt")
        inner = turn((rng.uniform(86, 100) / math.sin(between / 2) * 0.8, 0), toward)
        starts = [turn((EDGE, 0), toward - between / 2), turn((EDGE, 0), toward + between / 2)]
        way = smooth([starts[0], starts[0] * 0.7, inner, starts[1] * 0.7, starts[1]], rounds=4)
        canvas.line(way, ramp + 1.6, (196, 190, 180), 2, claim=True)
        canvas.line(way, ramp, "asphalt")


def viaduct(canvas: Canvas) -> SceneFacts:
    """Motorways that cross at two levels, with loops and ramps between them."""
    rng = canvas.rng
    ground = pick(rng, ("tree", "tree", "field", "building"))
    canvas.cover("town" if ground == "building" else "grass")
    width, cross = rng.uniform(18, 26), rng.uniform(1.2, 1.57)
    loops = int(rng.integers(1, 5))
    _ramps(canvas, width, cross, loops)
    reach = np.array([(-EDGE - 30, 0.0), (EDGE + 30, 0.0)])
    count = _deck(canvas, reach, width, 3, "asphalt") + _deck(canvas, turn(reach, cross), width, 11, "asphalt")
    houses = town(canvas, ("gray", "white", "red"), 26, 0.9) if ground == "building" else 0
    woods = grove(canvas, 10, {"tree": 0.9, "field": 0.15, "building": 0.5}[ground], (3, 5))
    return describe(
        "viaduct",
        Thing("viaduct"),
        within=[Thing("loop", loops), Thing("car", count)],
        around=[trees(canvas, woods), Thing("building", houses)],
    )


TRANSPORT = {"airport": airport, "bridge": bridge, "parking": parking, "port": port, "viaduct": viaduct}
"""How to draw each of these categories."""
