"""Scenes of towns: where people live, meet, trade, learn and pray."""

import math

import numpy as np

from utils.scene_canvas import Canvas, turn
from utils.scene_facts import SceneFacts, Thing, describe
from utils.scene_nature import forest_cover
from utils.scene_objects import (
    EDGE,
    along,
    basketball_court,
    blob,
    cars,
    dim,
    flat_building,
    grove,
    house,
    parking_lot,
    pick,
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
from utils.scene_sport import street

_ROOF_MIXES = (("orange",), ("red",), ("gray",), ("brown", "gray"), ("gray", "white"), ("orange", "brown"))


def _one_color(words: tuple[str, ...]) -> str | None:
    """The colour word of roofs that all have one."""
    return words[0] if len(words) == 1 else None


def denseresidential(canvas: Canvas) -> SceneFacts:
    """Rows of small houses, wall to wall, between narrow streets."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "grass", "town")))
    words = pick(rng, _ROOF_MIXES)
    block = rng.uniform(38, 46)
    roads = 0
    for offset in np.arange(-EDGE, EDGE, block):
        road(canvas, [(-EDGE, offset), (EDGE, offset)], 6.5, marks=False)
        traffic(canvas, [(-EDGE, offset), (EDGE, offset)], 6.5, 26)
        roads += int(canvas.sees((0, offset)))
    for offset in rng.choice([-60.0, 0.0, 60.0], int(rng.integers(1, 3)), replace=False):
        street(canvas, offset, True, 7)
    step, depth = rng.uniform(12.5, 15.5), rng.uniform(11, 13.5)
    houses = 0
    for offset in np.arange(-EDGE, EDGE, block):
        for row in (offset + 4.6 + depth / 2, offset + block - 4.6 - depth / 2):
            for x in np.arange(-EDGE, EDGE, step):
                spot = np.array([x + rng.uniform(-0.8, 0.8), row + rng.uniform(-1, 1)])
                if rng.random() < 0.94 and canvas.free(spot, 4):
                    size = (step * rng.uniform(0.76, 0.93), depth * rng.uniform(0.8, 1.0))
                    house(
                        canvas,
                        spot,
                        *size,
                        math.pi / 2 * rng.integers(2) * 0,
                        roof_color(rng, pick(rng, words)),
                        4,
                    )
                    houses += int(canvas.sees(spot))
    trees = grove(canvas, 8, rng.uniform(0.2, 0.6), (1.8, 3.2))
    return describe(
        "denseresidential",
        Thing("dense residential area"),
        Thing("building", houses, _one_color(words)),
        Thing("tree", trees),
        Thing("road", 2 + roads),
        layout="in",
    )


def mediumresidential(canvas: Canvas) -> SceneFacts:
    """Houses with gardens along a street or two."""
    rng = canvas.rng
    canvas.cover("grass")
    words = pick(rng, _ROOF_MIXES)
    offsets = pick(rng, ((0.0,), (-55.0, 55.0), (-10.0,)))
    houses = 0
    for offset in offsets:
        bend = rng.normal(0, 10, 5)
        way = smooth(np.stack([np.linspace(-EDGE, EDGE, 5), offset + bend], axis=1))
        road(canvas, way, 8, pick(rng, ("asphalt", "old asphalt")), marks=rng.random() < 0.4)
        traffic(canvas, way, 8, 50)
        ways = [(way, 24)] + ([(way, 70)] if len(offsets) == 1 else [])
        for path, distance in ways:
            spots, headings = along(path, rng.uniform(30, 36))
            for side in (-1, 1):
                normal = np.stack([-np.sin(headings), np.cos(headings)], axis=1) * side
                for spot, heading, out in zip(spots + normal * distance, headings, normal, strict=True):
                    if not canvas.free(spot, 8):
                        continue
                    canvas.line(
                        [spot, spot - out * (distance - 4)], 3, (178, 172, 162)
                    ) if distance < 30 else None
                    color = roof_color(rng, pick(rng, words))
                    house(canvas, spot, rng.uniform(15, 20), rng.uniform(11, 13), heading, color, 4.5)
                    if rng.random() < 0.4:
                        house(
                            canvas,
                            spot + turn((7, 5 * side), heading),
                            10,
                            9,
                            heading + math.pi / 2,
                            color,
                            4,
                        )
                    houses += int(canvas.sees(spot))
    pools = 0
    if rng.random() < 0.25:
        for spot in rng.uniform(-80, 80, (4, 2)):
            if canvas.free(spot, 6):
                swimming_pool(canvas, rectangle(spot, 8, 5, rng.uniform(0, 3)))
                pools += int(canvas.sees(spot))
    trees = grove(canvas, 11, rng.uniform(0.25, 0.6), (2.6, 5))
    return describe(
        "mediumresidential",
        Thing("medium residential area"),
        Thing("building", houses, _one_color(words)),
        Thing("tree", trees),
        Thing("road", len(offsets)),
        Thing("swimming pool", pools),
        layout="in",
    )


def sparseresidential(canvas: Canvas) -> SceneFacts:
    """One to three houses alone among trees or meadows."""
    rng = canvas.rng
    canvas.cover("grass")
    wooded = rng.random() < 0.6
    count = int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))
    spots = np.array([[0.0, 0.0], [58.0, 34.0], [-60.0, 30.0]])[:count] + rng.uniform(-14, 14, (count, 2))
    way = smooth([(-EDGE, 70), (-50, 74), (50, 66), (EDGE, 76)])
    drives = [smooth([spot, spot + (10, 26), (spot[0] + rng.uniform(-10, 20), 72)]) for spot in spots]
    has_road = rng.random() < 0.6
    bands = [(drive, 9) for drive in drives] + ([(way, 18)] if has_road else [])
    if wooded:
        glades = [blob(rng, spot, rng.uniform(26, 34), 0.2) for spot in spots]
        forest_cover(canvas, 1 - canvas.mask(glades, bands, 1))
    if has_road:
        road(canvas, way, 8, marks=False)
    for drive in drives:
        canvas.line(drive, 3.4, pick(rng, ("dirt", "gravel")), claim=True)
    word = pick(rng, ("gray", "brown", "red", "white"))
    pools = 0
    for spot in spots:
        angle, color = rng.uniform(0, math.pi), roof_color(rng, word)
        house(canvas, spot, rng.uniform(22, 28), rng.uniform(13, 16), angle, color, 5)
        house(canvas, spot + turn((9, 9), angle), 15, 13, angle + math.pi / 2, color, 4.5)
        if rng.random() < 0.4:
            pool = spot + turn((-6, -19), angle)
            swimming_pool(
                canvas, rectangle(pool, 11, 6.5, angle) if rng.random() < 0.5 else blob(rng, pool, 4.5, 0.05)
            )
            pools += int(canvas.sees(pool))
    seen = int(canvas.sees(spots).sum())
    trees = 60 if wooded else grove(canvas, 17, rng.uniform(0.2, 0.6), (4, 7))
    if wooded:
        grove(canvas, 26, 0.0)
    return describe(
        "sparseresidential",
        Thing("sparse residential area"),
        Thing("building", seen, word),
        Thing("tree", trees),
        Thing("swimming pool", pools),
        Thing("road", int(has_road)),
        layout="in",
    )


def commercial(canvas: Canvas) -> SceneFacts:
    """Tall office blocks, wide streets, long shadows."""
    rng = canvas.rng
    canvas.cover("paving" if rng.random() < 0.5 else "town")
    first, second = rng.uniform(-45, 45, 2)
    cars_seen = street(canvas, first, False, 15) + street(canvas, second, True, 13)
    lean = turn((rng.uniform(0.12, 0.3), 0), rng.uniform(0, 6.28))
    towers = 0
    for center in scatter(rng, 40, 0.08):
        if not canvas.free(center, 13):
            continue
        if rng.random() < 0.1:
            canvas.polygon(rectangle(center, 30, 30), "lawn")
            continue
        height = rng.uniform(14, 46)
        word = pick(rng, ("white", "gray", "gray", "brown", "blue"))
        length, width = rng.uniform(19, 31, 2)
        color = roof_color(rng, word)
        flat_building(canvas, center, length + 5, width + 5, 0, dim(color, 0.9), 7)
        flat_building(canvas, center, length, width, 0, color, height, lean * height)
        towers += int(canvas.sees(center))
    trees = grove(canvas, 9, rng.uniform(0.15, 0.5), (2, 3.4))
    return describe(
        "commercial",
        Thing("commercial area"),
        Thing("tall building", towers),
        Thing("tree", trees),
        Thing("road", 2),
        Thing("car", cars_seen),
        layout="in",
    )


def center(canvas: Canvas) -> SceneFacts:
    """One big striking hall, round or many-cornered, in the middle of its forecourt."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("paving", "grass", "concrete")))
    radius = rng.uniform(46, 62)
    canvas.disc((0, 0), radius * 1.28, "concrete" if rng.random() < 0.5 else "paving", 0, claim=True)
    word = pick(rng, ("white", "white", "gray", "brown", "red"))
    color = roof_color(rng, word)
    shape = pick(rng, ("round", "round", "oval", "hexagonal", "ring"))
    corners = 6 if shape == "hexagonal" else 72
    turns = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    stretch = 1.3 if shape == "oval" else 1.0
    circle = np.stack([stretch * np.cos(turns), np.sin(turns)], axis=1)
    steps = 9
    for step in range(steps):
        share = 1 - step / steps
        tone = color if step % 2 else dim(color, 0.93)
        canvas.polygon(circle * radius * share, tone, 9 + 9 * math.sqrt(1 - share**2))
    ribs = 6 if shape == "hexagonal" else int(rng.integers(16, 32))
    for rib in np.linspace(0, 2 * math.pi, ribs, endpoint=False):
        tip = np.array([stretch * math.cos(rib), math.sin(rib)])
        canvas.line([tip * radius * 0.12, tip * radius * 0.97], 1.0, dim(color, 0.8))
    if shape == "ring":
        canvas.polygon(circle * radius * 0.5, "lawn", 0)
        canvas.polygon(circle * radius * 0.28, "paving")
    else:
        canvas.disc((0, 0), radius * 0.14, pick(rng, ((70, 100, 130), dim(color, 1.2), dim(color, 0.6))), 20)
    entrance = turn((radius * stretch * 1.05, 0), rng.uniform(0, 6.3))
    flat_building(canvas, entrance, 24, 18, math.atan2(entrance[1], entrance[0]), dim(color, 0.95), 7)
    cars_seen = 0
    if rng.random() < 0.6:
        cars_seen = parking_lot(
            canvas, (0, pick(rng, (-1, 1)) * (radius + 50)), 220, 44, 0, rng.uniform(0.4, 0.9)
        )
    has_road = rng.random() < 0.5
    if has_road:
        street(canvas, radius * stretch + 30, True, 10)
    houses = town(canvas, ("gray", "white", "brown"), 28, 0.6) if rng.random() < 0.5 else 0
    trees = (
        plant(canvas, circle[:: max(1, corners // 36)] * radius * 1.36, (2.6, 4)) if rng.random() < 0.7 else 0
    )
    trees += grove(canvas, 13, rng.uniform(0.1, 0.5), (3, 5))
    return describe(
        "center",
        Thing("center", color=word, shape="round" if shape == "ring" else shape),
        Thing("tree", trees),
        Thing("parking lot", int(cars_seen > 0)),
        Thing("building", houses),
        Thing("road", int(has_road)),
        layout="around" if trees > 25 else "near",
    )


def church(canvas: Canvas) -> SceneFacts:
    """A church on the plan of a cross, with a tower or a dome, among town houses."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "paving", "grass")))
    word = pick(rng, ("gray", "brown", "red", "orange"))
    color = roof_color(rng, word)
    canvas.disc((0, 0), rng.uniform(64, 78), pick(rng, ("paving", "lawn", "concrete")), 0, claim=True)
    length, width = rng.uniform(88, 110), rng.uniform(24, 30)
    house(canvas, (0, 0), length * 0.62, width * 1.9, 0, dim(color, 0.82), 7)
    house(canvas, (length * 0.12, 0), length * 0.72, width * 1.05, math.pi / 2, color, 13)
    house(canvas, (0, 0), length, width, 0, color, 14)
    apse = np.array([length / 2, 0])
    canvas.disc(apse, width * 0.48, dim(color, 0.95), 11)
    canvas.disc(apse, width * 0.28, dim(color, 1.08), 14)
    dome = rng.random() < 0.55
    if dome:
        tone = pick(rng, ((112, 168, 150), (96, 150, 140), (206, 204, 196), (160, 96, 70)))
        middle = (length * 0.12, 0)
        for step in range(6):
            share = 1 - step / 6
            canvas.disc(
                middle, width * 0.62 * share, dim(tone, 0.9 + 0.04 * step), 18 + 10 * math.sqrt(1 - share**2)
            )
    towers = int(rng.integers(1, 3))
    for side in (-1, 1) if towers == 2 else (0,):
        foot = np.array([-length / 2 - 2, side * width * 0.55])
        canvas.polygon(rectangle(foot, 13, 13), dim(color, 0.8), 30)
        canvas.polygon(rectangle(foot, 8, 8, math.pi / 4), dim(color, 1.2), 38)
    has_road = rng.random() < 0.5
    if has_road:
        street(canvas, 84, False, 9)
    houses = town(canvas, ("red", "orange", "brown", "gray"), 27, 0.92) if rng.random() < 0.75 else 0
    trees = grove(canvas, 11, rng.uniform(0.2, 0.7), (3, 5))
    return describe(
        "church",
        Thing("church", color=word),
        Thing("dome", int(dome)),
        Thing("building", houses),
        Thing("tree", trees),
        Thing("road", int(has_road)),
        layout="around" if houses > 6 else "near",
    )


def school(canvas: Canvas) -> SceneFacts:
    """Long teaching blocks about a sports ground."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "paving", "grass")))
    side = pick(rng, (-1, 1))
    word = pick(rng, ("red", "white", "gray", "blue"))
    ground = np.array([side * rng.uniform(38, 50), rng.uniform(24, 34)])
    canvas.polygon(rectangle((0, 0), 230, 190), pick(rng, ("paving", "lawn", "town")))
    running_track(canvas, ground, rng.uniform(76, 92), math.pi / 2 * rng.integers(2))
    courts = 0
    tone = pick(rng, ((72, 128, 96), (164, 96, 76), (70, 110, 150)))
    for index in range(int(rng.integers(0, 4))):
        spot = np.array([-side * (30 + 0 * index), 14 + index * 19.0])
        if canvas.free(spot, 9):
            basketball_court(canvas, spot, 30, 0, tone)
            courts += int(canvas.sees(spot))
    blocks = 0
    for x in np.arange(-110, 120, rng.uniform(54, 64)):
        for y in (-78, -46, -14, 60, 92):
            spot = np.array([x + rng.uniform(-4, 4), y])
            if (
                rng.random() < 0.85
                and canvas.free(spot, 13)
                and canvas.free(spot + (16, 0), 9)
                and canvas.free(spot - (16, 0), 9)
            ):
                color = roof_color(rng, word)
                flat = rng.random() < 0.5
                draw = flat_building if flat else house
                draw(canvas, spot, 46, 13, 0, color, 8)
                if rng.random() < 0.45:
                    draw(
                        canvas,
                        spot + (pick(rng, (-17, 17)), 9),
                        20 if flat else 22,
                        12,
                        math.pi / 2,
                        color,
                        8,
                    )
                blocks += int(canvas.sees(spot))
    has_road = rng.random() < 0.4
    if has_road:
        street(canvas, -104, False, 9)
    trees = grove(canvas, 10, rng.uniform(0.25, 0.6), (2.6, 4.4))
    return describe(
        "school",
        Thing("school"),
        Thing("playground"),
        Thing("building", blocks, word),
        Thing("tree", trees),
        Thing("basketball court", courts),
        Thing("road", int(has_road)),
        layout="in",
    )


def square(canvas: Canvas) -> SceneFacts:
    """A paved square with a pattern, lawns or a fountain, framed by houses."""
    rng = canvas.rng
    canvas.cover("town")
    shape = pick(rng, ("round", "rectangular", "rectangular"))
    reach = rng.uniform(56, 70)
    outline = blob(rng, (0, 0), reach, 0.0) if shape == "round" else rectangle((0, 0), 2 * reach, 1.7 * reach)
    ring = outline * 1.14
    road(canvas, np.concatenate([ring, ring[:2]]), 9)
    traffic(canvas, np.concatenate([ring, ring[:1]]), 9, 24)
    for arm in np.arange(4) * math.pi / 2:
        road(canvas, [turn((reach * 1.15, 0), arm), turn((EDGE, 0), arm)], 9)
    canvas.polygon(outline, pick(rng, ("paving", "concrete")), 0, claim=True)
    lawns = 0
    style = pick(rng, ("quarters", "rays", "beds"))
    if style == "quarters":
        for sx in (-1, 1):
            for sy in (-1, 1):
                bed = (
                    np.array([[0.1, 0.1], [0.62, 0.1], [0.62, 0.34], [0.34, 0.55], [0.1, 0.55]])
                    * reach
                    * (sx, sy)
                )
                canvas.polygon(bed, "lawn", 0.6)
                lawns += 1
    elif style == "rays":
        for index in range(12):
            angles = np.array([index - 0.3, index + 0.3]) * math.pi / 6
            near, far = 0.3 * reach, (0.82 if shape == "round" else 0.74) * reach
            corners = [
                turn((near, 0), angles[0]),
                turn((far, 0), angles[0]),
                turn((far, 0), angles[1]),
                turn((near, 0), angles[1]),
            ]
            canvas.polygon(corners, "lawn" if index % 2 else (196, 148, 118), 0.4)
            lawns += index % 2
    else:
        for y in np.linspace(-0.5, 0.5, 4):
            for sx in (-1, 1):
                canvas.polygon(
                    rectangle((sx * 0.42 * reach, y * reach), 0.5 * reach, 0.18 * reach), "lawn", 0.6
                )
                lawns += 1
    fountain = rng.random() < 0.65
    if fountain:
        canvas.disc((0, 0), reach * 0.2, (206, 198, 184), 1.5)
        canvas.disc((0, 0), reach * 0.16, (84, 142, 160), 1.0)
        canvas.disc((0, 0), reach * 0.05, (220, 228, 232), 4)
    else:
        canvas.disc((0, 0), reach * 0.18, (176, 164, 148), 1)
        canvas.polygon(rectangle((0, 0), 7, 7), (224, 218, 206), 16)
    edge = np.concatenate([outline, outline[:1]]) * 0.93
    trees = plant(canvas, along(edge, 9)[0], (2.2, 3.2), avoid=False) if rng.random() < 0.6 else 0
    houses = town(
        canvas, pick(rng, (("red", "orange"), ("gray", "white"), ("brown", "gray"))), 30, 0.95, (7, 12)
    )
    trees += grove(canvas, 12, 0.25, (2.6, 4))
    return describe(
        "square",
        Thing("square", shape=shape),
        Thing("fountain", int(fountain)),
        Thing("building", houses),
        Thing("lawn", lawns),
        Thing("tree", trees),
        layout="around",
    )


TOWN = {
    "center": center,
    "church": church,
    "commercial": commercial,
    "denseresidential": denseresidential,
    "mediumresidential": mediumresidential,
    "school": school,
    "sparseresidential": sparseresidential,
    "square": square,
}
"""How to draw each of these categories."""
_ = (cars, tree_row, vary)
