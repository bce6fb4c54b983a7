"""Scenes of natural water: a coast, a pond, a river."""

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import MANY, SceneFacts, Thing, describe
from standins.scenes.noise import cut_noise
from standins.scenes.objects import forest_cover, grove, house, pick, plant, roof_color, town, trees, vary
from standins.scenes.shapes import EDGE, blob, rectangle, scatter, smooth, wander
from standins.scenes.vehicles import boat, road


def beach(canvas: Canvas) -> SceneFacts:
    """A coast: sea, surf, wet and dry sand, and what stands behind it."""
    rng = canvas.rng
    x, y = canvas.grid()
    coast = rng.uniform(-30, 40) + rng.uniform(0, 26) * np.sin(x / rng.uniform(50, 120) + rng.uniform(0, 6))
    out = y - coast + 34 * (cut_noise(rng, "clouds") - 0.5)  # how far out at sea a pixel is
    sand = pick(rng, ("yellow", "white", "brown"))
    sea = pick(rng, ("blue", "green", "turquoise"))
    canvas.cover(f"sand {sand}")
    canvas.blend("wet sand", np.clip(out / 9 + 1.2, 0, 1))
    canvas.blend(f"sea {sea}", np.clip(out / 3, 0, 1))
    canvas.blend("sea turquoise", np.clip(out / 3, 0, 1) * np.clip(0.75 - out / 60, 0, 1) * 0.7)
    rows = _surf(canvas, out)
    houses, woods = _hinterland(canvas, out)
    umbrellas = _umbrellas(canvas, out) if rng.random() < 0.3 else 0
    return describe(
        "beach",
        Thing("beach", color=sand if sand != "brown" else None),
        within=[Thing("umbrella", umbrellas)],
        around=[
            Thing("ocean", color=sea if sea in ("blue", "green") else None),
            Thing("building", houses),
            trees(canvas, woods),
            Thing("wave", rows, "white"),
        ],
    )


def _surf(canvas: Canvas, out: np.ndarray) -> int:
    """Foam in one to three ragged rows along the coast, `out` telling how far out at sea a pixel is."""
    rng = canvas.rng
    rows = int(rng.integers(1, 4))
    ragged = out + 7 * (cut_noise(rng, "patches") - 0.5)
    for row in range(rows):
        away = 3 + row * rng.uniform(9, 15)
        strength = np.exp(-(((ragged - away) / rng.uniform(1.6, 3.2)) ** 2))
        canvas.blend("snow", 1.3 * strength * (0.35 + 1.1 * cut_noise(rng, "clouds")))
    return rows


def _hinterland(canvas: Canvas, out: np.ndarray) -> tuple[int, int]:
    """What grows or stands behind a beach; returns how many houses and trees are seen."""
    rng = canvas.rng
    behind = pick(rng, ("tree", "tree", "building", None))
    if behind is None:
        return 0, 0
    land = -rng.uniform(52, 80)
    canvas.blend("grass", np.clip((land - out) / 5, 0, 1))
    spots = scatter(rng, 13 if behind == "tree" else 24)
    spots = spots[out[canvas.cells(spots)] < land - 6]
    if behind == "tree":
        return 0, plant(canvas, spots, (3.5, 6.5))
    built = spots[rng.random(len(spots)) < 0.7]
    for spot in built:
        color = roof_color(rng, pick(rng, ("white", "red", "gray")))
        house(canvas, spot, rng.uniform(11, 17), rng.uniform(8, 11), rng.uniform(-0.2, 0.2), color)
    return int(canvas.sees(built).sum()), plant(canvas, spots + rng.uniform(8, 12, spots.shape), (2.5, 4.5))


def _umbrellas(canvas: Canvas, out: np.ndarray) -> int:
    """Sets up sunshades in rows on dry sand; returns how many are seen."""
    rng = canvas.rng
    spots = scatter(rng, 11, 0.1)
    distance = out[canvas.cells(spots)]
    spots = spots[(distance < -16) & (distance > -40) & (rng.random(len(spots)) < 0.8)]
    tone = pick(rng, ((206, 60, 52), (60, 110, 190), (240, 240, 236), (230, 180, 60)))
    for spot in spots:
        canvas.disc(spot, 2.4, vary(rng, tone), 2.5)
    return int(canvas.sees(spots).sum())


def pond(canvas: Canvas) -> SceneFacts:
    """Still water with banks, and what lies about it."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "soil brown")))
    water = pick(rng, ("green", "green", "dark", "blue", "turquoise"))
    center = rng.uniform(-14, 14, 2)
    square = rng.random() < 0.2
    if square:
        shore = rectangle(center, rng.uniform(110, 150), rng.uniform(75, 110))
    else:
        shore = blob(rng, center, rng.uniform(46, 66), 0.22, rng.uniform(1.0, 1.4))
    bank = center + (shore - center) * 1.1
    canvas.polygon(bank, pick(rng, ("dirt", "wet sand", "grass dry")), claim=True)
    canvas.polygon(shore, f"water {water}")
    canvas.raise_ground(7 * (1 - canvas.mask((shore,), blur=2.5)))
    roads = 0
    if rng.random() < 0.5:
        side = pick(rng, (-1, 1)) * rng.uniform(88, 102)
        roads = road(canvas, smooth([(-EDGE, side), (-40, side + 12), (40, side - 6), (EDGE, side + 10)]), 8)
    houses = 0
    if rng.random() < 0.4:
        houses = town(canvas, ("gray", "red", "brown"), 24, 0.35, (4, 5))
    woods = grove(canvas, 13, rng.uniform(0.1, 0.8), (3, 5.5))
    return describe(
        "pond",
        Thing("pond", 1, "green" if water == "green" else None, "rectangular" if square else "irregular"),
        around=[trees(canvas, woods), Thing("building", houses), Thing("road", roads)],
        layout="around" if woods > 20 else "near",
    )


def river(canvas: Canvas) -> SceneFacts:
    """A winding river between its banks."""
    rng = canvas.rng
    course = wander(rng, rng.uniform(18, 52), 7)
    width = rng.uniform(20, 46)
    water = pick(rng, ("green", "brown", "blue", "dark"))
    banks = pick(rng, ("forest", "forest", "field", "soil"))
    canvas.cover("soil brown" if banks == "soil" else "grass")
    arms = [(course, width)]
    if rng.random() < 0.25:
        fork, bend = course[len(course) // 2], rng.uniform(-60, 60)
        arms.append((fork + smooth([(0, 0), (bend / 3, 40), (bend, 90), (bend, 200)]), width * 0.55))
    if banks == "forest":
        forest_cover(canvas, 1 - canvas.mask(bands=[(arm, broad + 10) for arm, broad in arms], blur=3))
    bank, rim = pick(rng, ("dirt", "wet sand")), rng.uniform(4, 14)
    for arm, broad in arms:
        canvas.line(arm, broad + rim, bank, claim=True)
    for arm, broad in arms:
        canvas.line(arm, broad, f"water {water}")
    woods = MANY * 5 if banks == "forest" else grove(canvas, 12, rng.uniform(0.15, 0.6), (2.5, 4.5))
    boats = 0
    if rng.random() < 0.12:
        spot = course[len(course) // 2 + 6]
        boat(canvas, spot, 10, rng.uniform(0, 6))
        boats = int(canvas.sees(spot))
    return describe(
        "river",
        Thing("river", 1, water if water != "dark" else None, "curved"),
        within=[Thing("boat", boats)],
        around=[trees(canvas, woods)],
        layout="two sides",
    )


WATER = {"beach": beach, "pond": pond, "river": river}
"""How to draw each of these categories."""
