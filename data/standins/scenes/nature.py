"""Scenes of open land, as nature, or a plough, has made it."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import MANY, SceneFacts, Thing, describe
from standins.scenes.materials import Color
from standins.scenes.noise import cut_noise, cut_turned_noise
from standins.scenes.objects import dim, forest_cover, house, pick, plant, roof_color, trees, vary
from standins.scenes.shapes import EDGE, along, blob, scatter, turn, wander
from standins.scenes.vehicles import road


def bareland(canvas: Canvas) -> SceneFacts:
    """Bare soil, washed and driven over, with hardly a plant."""
    rng = canvas.rng
    color = pick(rng, ("brown", "brown", "red", "gray", "yellow"))
    canvas.cover(f"soil {color}")
    darker = pick(rng, [name for name in ("brown", "red", "gray") if name != color])
    canvas.blend(f"soil {darker}", 1.6 * cut_noise(rng, "clouds") - 0.75)
    gullies = cut_turned_noise(rng, "ridges", rng.uniform(0, math.pi), rng.uniform(0.8, 1.4))
    canvas.raise_ground(gullies * np.float32(rng.uniform(6, 26)))
    canvas.tint(0.82 + 0.36 * cut_turned_noise(rng, "streaks", rng.uniform(0, math.pi)))
    if rng.random() < 0.4:
        canvas.blend("grass dry", 1.4 * cut_noise(rng, "clouds") - rng.uniform(0.75, 0.95))
    trails = int(rng.integers(0, 4))
    for _ in range(trails):
        _track(canvas, wander(rng, 38))
    count = 0
    if rng.random() < 0.5:
        spots = scatter(rng, 34)
        count = plant(canvas, spots[rng.random(len(spots)) < 0.16], (1.8, 4.0), season="dry")
    return describe("bareland", Thing("bare land", color=color), within=[Thing("tree", count), Thing("trail", trails)])


def _track(canvas: Canvas, path: np.ndarray) -> None:
    """The two ruts of a cart track, at a random turn about the middle."""
    rng = canvas.rng
    path = turn(path, rng.uniform(0, math.pi))
    tone = dim((206, 186, 158), rng.uniform(0.85, 1.02))
    gap = rng.uniform(1.1, 1.6)
    for side in (-gap, gap):
        canvas.line(path + np.array([0, side]), rng.uniform(0.8, 1.3), tone)


def _dunes(canvas: Canvas) -> np.ndarray:
    """Dunes one behind the other: a long windward slope, then a short steep one; heights in board pixels."""
    rng = canvas.rng
    _, y = canvas.grid()
    length = rng.uniform(34, 70)
    phase = y / length + rng.uniform(1.5, 3.5) * cut_noise(rng, "drift") + 0.1 * cut_noise(rng, "clouds")
    share = phase - np.floor(phase)
    profile = np.minimum(share / 0.78, (1 - share) / 0.22)
    return (profile * length * 0.3 * (0.2 + 1.4 * cut_noise(rng, "drift"))).astype(np.float32)


def _ripples(canvas: Canvas, angle: float) -> np.ndarray:
    """Low ridges that the wind drew close together; heights in board pixels."""
    rng = canvas.rng
    ridges = cut_turned_noise(rng, "dunes", angle, rng.uniform(1.2, 2.4))
    return ((1 - np.abs(2 * ridges - 1)) ** 1.6 * rng.uniform(6, 16)).astype(np.float32)


def desert(canvas: Canvas) -> SceneFacts:
    """Dunes or ripples of sand."""
    rng = canvas.rng
    color = pick(rng, ("yellow", "orange", "yellow"))
    canvas.cover(f"sand {color}")
    angle = rng.uniform(0, math.pi)
    shape = pick(rng, ("ripple", "dune"))
    sand = _dunes(canvas) if shape == "dune" else _ripples(canvas, angle)
    canvas.raise_ground(sand)
    canvas.tint(0.9 + 0.2 * sand / (sand.max() + 1))
    fine = cut_turned_noise(rng, "swell", angle + rng.normal(0, 0.25), rng.uniform(0.8, 1.4))
    canvas.raise_ground(fine * np.float32(rng.uniform(1, 3.5)))
    bushes = 0
    if rng.random() < 0.2:
        spots = scatter(rng, 30)
        bushes = plant(canvas, spots[rng.random(len(spots)) < 0.2], (1.4, 2.6), season="dry")
    return describe("desert", Thing("desert", color=color), within=[Thing(shape, MANY), Thing("plant", bushes)])


def _crop_fields(rng: np.random.Generator, low: float) -> list[tuple[float, float, float, float]]:
    """Splits the plane into rectangles (x0, y0, x1, y1) again and again until they are small."""
    fields, open_fields = [], [(-EDGE, -EDGE, EDGE, EDGE)]
    while open_fields:
        x0, y0, x1, y1 = open_fields.pop()
        wide, tall = x1 - x0, y1 - y0
        if max(wide, tall) < low or (max(wide, tall) < 1.9 * low and rng.random() < 0.4):
            fields.append((x0, y0, x1, y1))
            continue
        share = rng.uniform(0.35, 0.65)
        if wide > tall:
            middle = x0 + share * wide
            open_fields += [(x0, y0, middle, y1), (middle, y0, x1, y1)]
        else:
            middle = y0 + share * tall
            open_fields += [(x0, y0, x1, middle), (x0, middle, x1, y1)]
    return fields


_CROPS: dict[str, tuple[Color, ...]] = {
    "green": ((72, 104, 52), (88, 120, 60), (56, 86, 46), (108, 136, 76), (124, 148, 92)),
    "brown": ((134, 108, 82), (116, 92, 70), (152, 126, 96), (160, 140, 112)),
    "yellow": ((190, 172, 108), (174, 156, 98), (200, 186, 132)),
}


def farmland(canvas: Canvas) -> SceneFacts:
    """A patchwork of ploughed and planted fields."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("dirt", "grass")))
    mix = pick(rng, (("green",), ("green", "brown"), ("green", "brown", "yellow"), ("green", "yellow")))
    gap = rng.uniform(1.0, 3.0)
    fields = _crop_fields(rng, rng.uniform(42, 100))
    middles = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in fields])
    for x0, y0, x1, y1 in fields:
        _crop_field(canvas, (x0 + gap, y0 + gap, x1 - gap, y1 - gap), vary(rng, pick(rng, _CROPS[pick(rng, mix)])))
    roads = 0
    if rng.random() < 0.4:
        way = [(-EDGE, rng.uniform(-50, 50)), (EDGE, rng.uniform(-50, 50))]
        roads = road(canvas, way, rng.uniform(3.5, 6), pick(rng, ("dirt", "old asphalt")), marks=False)
    houses = 0
    if rng.random() < 0.3:
        for spot in rng.uniform(-70, 70, (int(rng.integers(1, 4)), 2)):
            house(canvas, spot, rng.uniform(12, 17), 9, rng.choice([0, 1.57]), roof_color(rng, "red"))
            houses += int(canvas.sees(spot))
    row = 0
    if rng.random() < 0.4:
        edge = [(-EDGE, rng.uniform(-60, 60)), (EDGE, rng.uniform(-60, 60))]
        row = plant(canvas, along(edge, 9)[0], (3, 4.6))
    return describe(
        "farmland",
        Thing("farmland", max(2, int(canvas.sees(middles).sum())), mix[0] if len(mix) == 1 else None),
        around=[Thing("road", roads), Thing("building", houses), trees(canvas, row)],
    )


def _crop_field(canvas: Canvas, box: tuple[float, float, float, float], color: Color) -> None:
    """One field with its furrows."""
    rng = canvas.rng
    x0, y0, x1, y1 = box
    canvas.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)
    if rng.random() < 0.25:
        return
    tone = dim(color, rng.choice([0.88, 1.1, 1.16]))
    step = rng.uniform(3.2, 7)
    if rng.random() < 0.5:
        furrows = np.arange(x0 + step / 2, x1, step)
        centers, size = (np.stack([furrows, np.full(len(furrows), (y0 + y1) / 2)], axis=1), (step * 0.4, y1 - y0))
    else:
        furrows = np.arange(y0 + step / 2, y1, step)
        centers, size = (np.stack([np.full(len(furrows), (x0 + x1) / 2), furrows], axis=1), (x1 - x0, step * 0.4))
    canvas.boxes(centers, size, 0, [tone] * len(furrows))


def forest(canvas: Canvas) -> SceneFacts:
    """Closed woodland, perhaps with a path or a glade."""
    rng = canvas.rng
    path = wander(rng, 30) if rng.random() < 0.35 else None
    glade = blob(rng, rng.uniform(-60, 60, 2), rng.uniform(10, 22), 0.4) if rng.random() < 0.3 else None
    if path is None and glade is None:
        forest_cover(canvas)
    else:
        canvas.cover(pick(rng, ("grass", "dirt")))
        polygons = () if glade is None else (glade,)
        bands = () if path is None else ((path, 8),)
        forest_cover(canvas, 1 - canvas.mask(polygons, bands, 0.6))
        if path is not None:
            canvas.line(path, 2.8, dim((172, 148, 116), rng.uniform(0.8, 1)))
    return describe(
        "forest",
        Thing("forest", color=trees(canvas, 1).color),
        within=[Thing("path", int(path is not None)), Thing("glade", int(glade is not None))],
    )


def meadow(canvas: Canvas) -> SceneFacts:
    """A wide open meadow, sometimes mown in lines or arcs."""
    rng = canvas.rng
    canvas.cover("meadow")
    x, y = canvas.grid()
    pattern = pick(rng, ("plain", "lines", "arcs"))
    if pattern != "plain":
        way = y if pattern == "lines" else np.hypot(x - rng.uniform(-200, 200), y + rng.uniform(120, 260))
        canvas.raise_ground((rng.uniform(0.5, 1.2) * np.sin(way * 2 * math.pi / rng.uniform(5, 9))).astype(np.float32))
    canvas.blend("grass dry", 0.8 * cut_noise(rng, "clouds") - rng.uniform(0.3, 0.6))
    border = 0
    if rng.random() < 0.55:
        edge = rng.uniform(70, 100)
        spots = scatter(rng, 12)
        border = plant(canvas, spots[(spots[:, 1] > edge) & (rng.random(len(spots)) < 0.8)], (3.5, 6))
    elif rng.random() < 0.5:
        border = plant(canvas, rng.uniform(-90, 90, (int(rng.integers(1, 5)), 2)), (3.5, 6))
    has_path = rng.random() < 0.2
    if has_path:
        canvas.line(wander(rng, 14), 2.4, (168, 152, 120))
    return describe(
        "meadow",
        Thing("meadow", color=trees(canvas, 1).color),
        within=[Thing("path", int(has_path))],
        around=[trees(canvas, border)],
    )


def mountain(canvas: Canvas) -> SceneFacts:
    """Ridges and valleys under a low sun."""
    rng = canvas.rng
    look = pick(rng, ("green", "green", "brown", "brown", "snow"))
    ridges = cut_turned_noise(rng, "ridges", rng.uniform(0, math.pi), rng.uniform(0.75, 1.2))
    canvas.raise_ground(ridges * np.float32(rng.uniform(70, 120)))
    low, high = {"green": ("canopy", "grass"), "brown": ("soil brown", "soil gray"), "snow": ("soil gray", "snow")}[
        look
    ]
    canvas.cover(low)
    canvas.blend(high, 3 * (ridges - rng.uniform(0.15, 0.4)) + 0.8 * (cut_noise(rng, "clouds") - 0.5))
    if look == "brown":
        canvas.blend("grass", 2.2 * (0.25 - ridges) + 0.6 * (cut_noise(rng, "clouds") - 0.5))
    return describe(
        "mountain",
        Thing("mountain", MANY, color=None if look == "snow" else look),
        within=[Thing("snow", int(look == "snow"), "white")],
    )


NATURE = {
    "bareland": bareland,
    "desert": desert,
    "farmland": farmland,
    "forest": forest,
    "meadow": meadow,
    "mountain": mountain,
}
"""How to draw each of these categories."""
