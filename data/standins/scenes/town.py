"""Scenes of public places in towns: where people meet, trade, learn, pray and rest."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import SceneFacts, Thing, describe
from standins.scenes.materials import Color
from standins.scenes.objects import dim, flat_building, grove, house, pick, plant, roof_color, town, trees, wing
from standins.scenes.shapes import EDGE, along, blob, rectangle, scatter, smooth, turn
from standins.scenes.sport import COURT_COLORS, basketball_court, running_track
from standins.scenes.vehicles import parking_lot, road, street, traffic

_TOWN_ROOFS = (("red", "orange"), ("gray", "white"), ("brown", "gray"), ("orange", "brown", "gray"))


def _unit_outline(corners: int, stretch: float) -> np.ndarray:
    """A regular polygon (or near circle) of radius 1, `stretch` times as wide as tall."""
    turns = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return np.stack([stretch * np.cos(turns), np.sin(turns)], axis=1)


def _great_hall(canvas: Canvas, shape: str, radius: float, color: Color) -> np.ndarray:
    """The roof of a center: a shallow dome, a folded polygon or a ring; returns its outline of radius 1."""
    rng = canvas.rng
    outline = _unit_outline(6 if shape == "hexagonal" else 72, 1.3 if shape == "oval" else 1.0)
    steps = 9
    for step in range(steps):
        share = 1 - step / steps
        tone = dim(color, 0.93 if step % 2 else 1.0)
        canvas.polygon(outline * radius * share, tone, 9 + 9 * math.sqrt(1 - share**2))
    ribs = outline if shape == "hexagonal" else outline[:: int(rng.integers(2, 5))]
    for tip in ribs * radius:
        canvas.line([tip * 0.12, tip * 0.97], 1.0, dim(color, 0.78))
    if shape == "ring-shaped":
        canvas.polygon(outline * radius * 0.52, "lawn", 0)
        canvas.polygon(outline * radius * 0.28, "paving")
    else:
        eye = pick(rng, ((70, 100, 130), dim(color, 1.2), dim(color, 0.6)))
        canvas.disc((0, 0), radius * rng.uniform(0.1, 0.26), eye, 20)
    if rng.random() < 0.4:
        half = outline[: len(outline) // 2 + 1]
        canvas.polygon(np.concatenate([half, half[::-1] * 0.72]) * radius, (70, 104, 136))  # a glass front
    return outline


def center(canvas: Canvas) -> SceneFacts:
    """One big striking hall, round or many-cornered, in the middle of its forecourt."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("paving", "grass", "concrete", "town")))
    radius = rng.uniform(46, 62)
    word = pick(rng, ("white", "white", "gray", "brown", "red"))
    color = roof_color(rng, word)
    shape = pick(rng, ("round", "round", "oval", "hexagonal", "ring-shaped"))
    forecourt = _unit_outline(72, 1.2) if rng.random() < 0.6 else rectangle((0, 0), 2.2, 1.9)
    canvas.polygon(forecourt * radius * 1.25, pick(rng, ("concrete", "paving", "lawn")), 0, claim=True)
    outline = _great_hall(canvas, shape, radius, color)
    entrance = turn((radius * outline[0][0] * 1.05, 0), 0)
    flat_building(canvas, entrance, 24, 18, 0, dim(color, 0.95), 7)
    cars = 0
    if rng.random() < 0.6:
        side = pick(rng, (-1, 1))
        cars = parking_lot(canvas, (0, side * (radius + 50)), 220, 44, 0, rng.uniform(0.4, 0.9))
    roads = street(canvas, -radius * 1.3 - 24, upright=True, width=10) if rng.random() < 0.5 else 0
    houses = town(canvas, ("gray", "white", "brown"), 28, 0.7) if rng.random() < 0.5 else 0
    ring = outline[:: max(1, len(outline) // 36)] * radius * 1.36
    woods = plant(canvas, ring, (2.6, 4)) if rng.random() < 0.7 else 0
    woods += grove(canvas, 13, rng.uniform(0.1, 0.7), (3, 5))
    return describe(
        "center",
        Thing("center", 1, word, shape),
        around=[
            trees(canvas, woods),
            Thing("parking lot", int(cars > 0)),
            Thing("building", houses),
            Thing("road", roads),
        ],
        layout="around" if woods > 25 else "near",
    )


def _dome(canvas: Canvas, middle: tuple[float, float], radius: float, tone: Color) -> None:
    """A dome with a lantern, standing on a church."""
    for step in range(7):
        share = 1 - step / 7
        canvas.disc(middle, radius * share, dim(tone, 0.88 + 0.04 * step), 18 + 12 * math.sqrt(1 - share**2))
    canvas.disc(middle, radius * 0.14, dim(tone, 1.25), 34)


def church(canvas: Canvas) -> SceneFacts:
    """A church on the plan of a cross, with towers, perhaps a dome, among town houses."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "paving", "grass")))
    word = pick(rng, ("gray", "brown", "red", "orange"))
    color = roof_color(rng, word)
    length, width = rng.uniform(92, 118), rng.uniform(24, 31)
    yard = pick(rng, (blob(rng, (0, 0), 70, 0.1, 1.1), rectangle((0, 0), length * 1.5, length * 1.1)))
    canvas.polygon(yard, pick(rng, ("paving", "lawn", "concrete")), 0, claim=True)
    house(canvas, (0, 0), length * 0.62, width * 1.9, 0, dim(color, 0.82), 7)
    crossing = length * rng.uniform(0.06, 0.2)
    house(canvas, (crossing, 0), length * rng.uniform(0.62, 0.8), width * 1.05, math.pi / 2, color, 13)
    house(canvas, (0, 0), length, width, 0, color, 14)
    canvas.disc((length / 2, 0), width * 0.48, dim(color, 0.95), 11)
    canvas.disc((length / 2, 0), width * 0.28, dim(color, 1.08), 14)
    has_dome = rng.random() < 0.55
    if has_dome:
        tone = pick(rng, ((112, 168, 150), (96, 150, 140), (206, 204, 196), (160, 96, 70)))
        _dome(canvas, (crossing, 0), width * rng.uniform(0.6, 0.85), tone)
    towers = int(rng.integers(1, 3))
    for side in (-0.55, 0.55) if towers == 2 else (0.0,):
        foot = np.array([-length / 2 - 2, side * width])
        canvas.polygon(rectangle(foot, 13, 13), dim(color, 0.8), 30)
        canvas.polygon(rectangle(foot, 8, 8, math.pi / 4), dim(color, 1.2), 38)
    roads = street(canvas, length * 0.62 + 18, upright=False, width=9) if rng.random() < 0.5 else 0
    houses = town(canvas, pick(rng, _TOWN_ROOFS), 26, 0.95) if rng.random() < 0.75 else 0
    woods = grove(canvas, 11, rng.uniform(0.2, 0.8), (3, 5))
    return describe(
        "church",
        Thing("church", 1, word),
        within=[Thing("dome", int(has_dome)), Thing("tower", towers)],
        around=[Thing("building", houses), trees(canvas, woods), Thing("road", roads)],
        layout="around" if houses > 6 else "near",
    )


def commercial(canvas: Canvas) -> SceneFacts:
    """Tall office blocks, wide streets, long shadows."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("paving", "town", "concrete")))
    across, upright = rng.uniform(-50, 50, 2)
    cars = roads = 0
    for line in ([(-EDGE, across), (EDGE, across)], [(upright, -EDGE), (upright, EDGE)]):
        roads += road(canvas, line, 14)
        cars += traffic(canvas, line, 14)
    lean = turn((rng.uniform(0.12, 0.3), 0), rng.uniform(0, 2 * math.pi))
    spots = scatter(rng, 36, 0.06)
    spots = spots[canvas.sees(spots, -30)]
    spots = spots[canvas.free(spots, 12)]
    towers = 0
    for spot in spots:
        if rng.random() < 0.08:
            canvas.polygon(rectangle(spot, 28, 28), "lawn")
            continue
        height = rng.uniform(12, 50)
        length, width = rng.uniform(18, 29, 2)
        color = roof_color(rng, pick(rng, ("white", "white", "gray", "gray", "brown", "blue")))
        if rng.random() < 0.6:
            flat_building(canvas, spot, min(length + 6, 33), min(width + 6, 33), 0, dim(color, 0.9), 7)
        flat_building(canvas, spot, length, width, 0, color, height, lean * height)
        towers += int(canvas.sees(spot))
    woods = grove(canvas, 8, rng.uniform(0.15, 0.6), (1.8, 3.2))
    return describe(
        "commercial",
        Thing("commercial area"),
        within=[Thing("tall building", towers), trees(canvas, woods), Thing("car", cars), Thing("road", roads)],
    )


def park(canvas: Canvas) -> SceneFacts:
    """Lawns, paths, a pond and many trees in the middle of a town."""
    rng = canvas.rng
    canvas.cover("town")
    border = rectangle((0, 0), rng.uniform(176, 205), rng.uniform(150, 185))
    if rng.random() < 0.4:
        border = blob(rng, (0, 0), rng.uniform(82, 96), 0.08, 1.1)
    canvas.polygon(border, "grass")
    path = pick(rng, ("paving", "dirt", "concrete"))
    gates = border[rng.choice(len(border), 4, replace=False)]
    ways = [smooth([gate, *rng.uniform(-55, 55, (2, 2)), gates[index - 1]]) for index, gate in enumerate(gates)]
    loop = border * rng.uniform(0.62, 0.78)
    loop = smooth(loop, closed=True) if len(loop) == 4 else loop
    for way in (*ways, np.concatenate([loop, loop[:1]])):
        canvas.line(way, 3.2, path, claim=True)
    has_pond = rng.random() < 0.75
    water = pick(rng, ("green", "dark", "blue"))
    _park_middle(canvas, path, water if has_pond else None)
    pavilions = _pavilions(canvas)
    canvas.line(np.concatenate([border, border[:2]]), 9.5, (176, 170, 160), 0, claim=True)
    canvas.line(np.concatenate([border, border[:2]]), 7.5, "asphalt")
    points = scatter(rng, 9.5)
    outside = 1 - canvas.mask([border])[canvas.cells(points)]
    wood = rng.random(len(points)) < rng.uniform(0.5, 0.9)
    woods = plant(canvas, points[(outside < 0.5) & wood], (3.2, 5.6))
    canvas.claim(border)
    houses = town(canvas, pick(rng, _TOWN_ROOFS), 25, 0.92)
    return describe(
        "park",
        Thing("park"),
        within=[
            Thing("pond", int(has_pond), "green" if water == "green" else None),
            trees(canvas, woods),
            Thing("pavilion", pavilions),
        ],
        around=[Thing("building", houses), Thing("road")],
        layout="around" if houses > 6 else "near",
    )


def _park_middle(canvas: Canvas, path: str, water: str | None) -> None:
    """A pond in a park or, without water, a round bed with a fountain."""
    rng = canvas.rng
    spot = rng.uniform(-26, 26, 2)
    if water:
        shore = blob(rng, spot, rng.uniform(24, 36), 0.3, 1.4)
        canvas.polygon(spot + (shore - spot) * 1.12, path, 0, claim=True)
        canvas.polygon(shore, f"water {water}")
        return
    for share, fill in ((1.0, "paving"), (0.75, "lawn"), (0.45, "paving"), (0.15, (96, 150, 170))):
        canvas.disc(spot, 24 * share, fill, 0, claim=True)


def _pavilions(canvas: Canvas) -> int:
    """A few small houses in a park where there is room; returns how many are seen."""
    rng = canvas.rng
    spots = rng.uniform(-64, 64, (int(rng.integers(1, 5)), 2))
    seen = 0
    for spot in spots[canvas.free(spots, 8)]:
        color = roof_color(rng, pick(rng, ("orange", "white", "gray")))
        flat_building(canvas, spot, 15, 11, rng.uniform(0, 3), color, 4)
        seen += int(canvas.sees(spot))
    return seen


def school(canvas: Canvas) -> SceneFacts:
    """Long teaching blocks about a sports ground."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "paving", "grass")))
    side = pick(rng, (-1, 1))
    word = pick(rng, ("red", "white", "gray", "blue", "orange"))
    ground = np.array([side * rng.uniform(36, 48), rng.uniform(24, 34)])
    canvas.polygon(rectangle((0, 0), 230, 190), pick(rng, ("paving", "lawn", "town", "grass")))
    running_track(
        canvas, ground, rng.uniform(76, 94), pick(rng, (0, math.pi / 2)), pick(rng, ((168, 82, 62), (154, 70, 60)))
    )
    courts = 0
    tone = pick(rng, COURT_COLORS)
    for y in np.arange(10, 60, 19)[: int(rng.integers(0, 4))]:
        spot = np.array([-side * 30, y])
        if canvas.free(spot, 9):
            basketball_court(canvas, spot, 30, 0, tone)
            courts += int(canvas.sees(spot))
    blocks = _teaching_blocks(canvas, word)
    roads = street(canvas, -104, upright=False, width=9) if rng.random() < 0.4 else 0
    woods = grove(canvas, 10, rng.uniform(0.25, 0.8), (2.6, 4.4))
    return describe(
        "school",
        Thing("school"),
        within=[
            Thing("building", blocks, word),
            Thing("playground"),
            trees(canvas, woods),
            Thing("basketball court", courts),
        ],
        around=[Thing("road", roads)],
    )


def _teaching_blocks(canvas: Canvas, word: str) -> int:
    """Long buildings in rows, some with a wing, wherever there is room; returns how many are seen."""
    rng = canvas.rng
    seen = 0
    for x in np.arange(-112, 120, rng.uniform(54, 62)):
        for y in (-84, -50, -16, 24, 60, 92):
            spot = np.array([x + rng.uniform(-4, 4), y])
            row = spot + np.array([[-16, 0], [0, 0], [16, 0]])
            if rng.random() > 0.88 or not canvas.free(row, 11).all():
                continue
            color = roof_color(rng, word)
            draw = pick(rng, (flat_building, house))
            draw(canvas, spot, 46, 13, 0, color, 8)
            if rng.random() < 0.5:
                draw(canvas, (spot[0] + pick(rng, (-17, 17)), y + 9), 22, 12, math.pi / 2, color, 8)
            seen += int(canvas.sees(spot))
    return seen


def _lawn_quarters(canvas: Canvas, reach: float) -> int:
    """Four lawns with cut corners round the middle; returns 4."""
    bed = np.array([[0.1, 0.1], [0.7, 0.1], [0.7, 0.36], [0.36, 0.62], [0.1, 0.62]]) * reach
    for mirror in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        canvas.polygon(bed * mirror, "lawn", 0.6)
    return 4


def _lawn_rays(canvas: Canvas, reach: float) -> int:
    """Lawns and red paving in turn, like rays from the middle; returns how many lawns."""
    rays = 2 * int(canvas.rng.integers(3, 7))
    for index in range(rays):
        turns = (np.array([-0.34, 0.34]) + index) * 2 * math.pi / rays
        edge = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        ray = np.concatenate([edge * 0.32, edge[::-1] * 0.82]) * reach
        canvas.polygon(ray, "lawn" if index % 2 else (196, 148, 118), 0.4)
    return rays // 2


def _lawn_beds(canvas: Canvas, reach: float) -> int:
    """Two columns of long lawns; returns how many."""
    rows = np.linspace(-0.56, 0.56, int(canvas.rng.integers(3, 6)))
    for y in rows:
        for x in (-0.45, 0.45):
            canvas.polygon(rectangle((x * reach, y * reach), 0.56 * reach, 0.2 * reach), "lawn", 0.6)
    return 2 * len(rows)


def _frame_with_wings(canvas: Canvas, outline: np.ndarray) -> int:
    """Long houses on three or four sides of a square; returns how many."""
    rng = canvas.rng
    color = roof_color(rng, pick(rng, ("orange", "red", "brown", "gray")))
    sides = int(rng.integers(3, 5))
    for index in range(sides):
        wing(canvas, outline[index - 1] * 1.16, outline[index] * 1.16, 17, color, rng.uniform(9, 13))
    return sides


def square(canvas: Canvas) -> SceneFacts:
    """A paved square with lawns or rays and a fountain, framed by houses."""
    rng = canvas.rng
    canvas.cover("town")
    shape = pick(rng, ("round", "rectangular", "rectangular"))
    reach = rng.uniform(58, 74)
    outline = blob(rng, (0, 0), reach, 0.0) if shape == "round" else rectangle((0, 0), 2 * reach, 1.75 * reach)
    framed = shape == "rectangular" and rng.random() < 0.5
    roads = 0
    if not framed:
        ring = outline * 1.13
        for arm in np.arange(4) * math.pi / 2:
            roads += road(canvas, [turn((reach * 1.15, 0), arm), turn((EDGE, 0), arm)], 9)
        road(canvas, np.concatenate([ring, ring[:2]]), 9)
        traffic(canvas, np.concatenate([ring, ring[:1]]), 9, 24)
    canvas.polygon(outline * (1.1 if framed else 1), pick(rng, ("paving", "concrete")), 0, claim=True)
    lawns = pick(rng, (_lawn_quarters, _lawn_rays, _lawn_beds))(canvas, reach)
    has_fountain = rng.random() < 0.65
    if has_fountain:
        rim = ((0.2, (206, 198, 184), 1.5), (0.16, (84, 142, 160), 1.0), (0.05, (220, 228, 232), 4))
        for share, fill, height in rim:
            canvas.disc((0, 0), reach * share, fill, height)
    else:
        canvas.disc((0, 0), reach * 0.18, (176, 164, 148), 1)
        canvas.polygon(rectangle((0, 0), 7, 7), (224, 218, 206), 16)
    edge = np.concatenate([outline, outline[:1]]) * 0.93
    woods = plant(canvas, along(edge, 9)[0], (2.2, 3.2), avoid=False) if rng.random() < 0.5 else 0
    houses = _frame_with_wings(canvas, outline) if framed else 0
    houses += town(canvas, pick(rng, _TOWN_ROOFS), 29, 0.97, (7, 12))
    woods += grove(canvas, 12, 0.3, (2.6, 4))
    return describe(
        "square",
        Thing("square", 1, shape=shape),
        within=[Thing("lawn", lawns, "green"), Thing("fountain", int(has_fountain))],
        around=[Thing("building", houses), trees(canvas, woods), Thing("road", roads)],
        layout="around",
    )


TOWN = {"center": center, "church": church, "commercial": commercial, "park": park, "school": school, "square": square}
"""How to draw each of these categories."""
