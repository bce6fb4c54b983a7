"""Scenes where nature, or a plough, made most of the picture."""

import math

import numpy as np

from utils.scene_canvas import BOARD, Canvas, cut_noise, cut_turned_noise
from utils.scene_facts import SceneFacts, Thing, describe
from utils.scene_objects import (
    EDGE,
    along,
    blob,
    boat,
    dim,
    grove,
    house,
    inside,
    pick,
    plant,
    rectangle,
    road,
    roof_color,
    scatter,
    smooth,
    vary,
)


def forest_cover(canvas: Canvas, mask: np.ndarray | None = None, height: float = 11.0) -> None:
    """Lays closed forest over the board, or where mask (BOARD, BOARD) in 0..1 says so."""
    crowns = cut_noise(canvas.rng, "canopy")
    if mask is None:
        canvas.cover("canopy")
    else:
        canvas.blend("canopy", mask)
        crowns = crowns * mask
    canvas.raise_ground(crowns * np.float32(height * canvas.zoom))


def wander(rng: np.random.Generator, bend: float, points: int = 7) -> np.ndarray:
    """A smooth line (n, 2) across the scene from left to right that strays up and down by about `bend`."""
    x = np.linspace(-EDGE - 20, EDGE + 20, points)
    y = rng.normal(0, bend, points)
    return smooth(np.stack([x, y], axis=1))


def bareland(canvas: Canvas) -> SceneFacts:
    """Bare soil, washed and driven over, with hardly a plant."""
    rng = canvas.rng
    color = pick(rng, ("brown", "brown", "red", "gray", "yellow"))
    canvas.cover(f"soil {color}")
    darker = pick(rng, [name for name in ("brown", "red", "gray") if name != color])
    canvas.blend(f"soil {darker}", 1.6 * cut_noise(rng, "clouds") - 0.75)
    canvas.raise_ground(cut_noise(rng, "hills") * rng.uniform(8, 34))
    trails = int(rng.integers(0, 4))
    for _ in range(trails):
        path = wander(rng, 45)
        if rng.random() < 0.5:
            path = path[:, ::-1]
        canvas.line(path, rng.uniform(2, 3.6), dim((205, 184, 156), rng.uniform(0.85, 1.05)))
    count = 0
    if rng.random() < 0.5:
        spots = scatter(rng, 34)
        count = plant(canvas, spots[rng.random(len(spots)) < 0.16], (1.8, 4.0), season="dry")
    return describe(
        "bareland",
        Thing("bare land", color=color),
        Thing("tree", count),
        Thing("trail", trails) if trails else None,
        layout="in",
    )


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
    rows = int(rng.integers(1, 4))
    surf = out + 7 * (cut_noise(rng, "patches") - 0.5)
    for row in range(rows):
        away = 3 + row * rng.uniform(9, 15)
        strength = np.exp(-(((surf - away) / rng.uniform(1.6, 3.2)) ** 2))
        canvas.blend("snow", 1.3 * strength * (0.35 + 1.1 * cut_noise(rng, "clouds")))
    behind = pick(rng, ("tree", "tree", "building", None))
    trees = houses = 0
    land = -rng.uniform(52, 80)
    if behind:
        canvas.blend("grass", np.clip((land - out) / 5, 0, 1))
        spots = scatter(rng, 13 if behind == "tree" else 24)
        far = out[_rows_columns(canvas, spots)] < land - 6
        spots = spots[far]
        if behind == "building":
            for spot in spots[rng.random(len(spots)) < 0.7]:
                color = roof_color(rng, pick(rng, ("white", "red", "gray")))
                house(canvas, spot, rng.uniform(11, 17), rng.uniform(8, 11), rng.uniform(-0.2, 0.2), color)
                houses += int(canvas.sees(spot))
            trees = plant(canvas, spots + rng.uniform(8, 12, spots.shape), (2.5, 4.5))
        else:
            trees = plant(canvas, spots, (3.5, 6.5))
    umbrellas = _umbrellas(canvas, out) if rng.random() < 0.3 else 0
    return describe(
        "beach",
        Thing("beach", color=sand if sand != "brown" else None),
        Thing("ocean", color="blue" if sea == "blue" else "green" if sea == "green" else None),
        Thing("wave", rows, "white"),
        Thing("building", houses),
        Thing("tree", trees),
        Thing("umbrella", umbrellas),
    )


def _rows_columns(canvas: Canvas, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Board rows and columns of scene points (n, 2), clipped to the board, for looking into a field."""
    column, row = np.clip(canvas.place(points), 0, BOARD - 1).astype(int).T
    return row, column


def _umbrellas(canvas: Canvas, out: np.ndarray) -> int:
    """Sets up sunshades in rows on dry sand; returns how many are seen."""
    rng = canvas.rng
    spots = scatter(rng, 11, 0.1)
    distance = out[_rows_columns(canvas, spots)]
    spots = spots[(distance < -16) & (distance > -40) & (rng.random(len(spots)) < 0.8)]
    tone = pick(rng, ((206, 60, 52), (60, 110, 190), (240, 240, 236), (230, 180, 60)))
    for spot in spots:
        canvas.disc(spot, 2.4, vary(rng, tone), 2.5)
    return int(canvas.sees(spots).sum()) if len(spots) else 0


def desert(canvas: Canvas) -> SceneFacts:
    """Dunes and ripples of sand."""
    rng = canvas.rng
    color = pick(rng, ("yellow", "orange", "yellow"))
    canvas.cover(f"sand {color}")
    angle = rng.uniform(0, math.pi)
    dunes = cut_turned_noise(rng, "dunes", angle, rng.uniform(0.8, 1.7))
    crest = 1 - np.abs(2 * dunes - 1)
    canvas.raise_ground((crest**1.5 * rng.uniform(14, 40)).astype(np.float32))
    ripples = cut_turned_noise(rng, "swell", angle + rng.normal(0, 0.2), 1.0)
    canvas.raise_ground(ripples * np.float32(rng.uniform(3, 9)))
    bushes = 0
    if rng.random() < 0.2:
        spots = scatter(rng, 30)
        bushes = plant(canvas, spots[rng.random(len(spots)) < 0.2], (1.4, 2.6), season="dry")
    shape = "ripple" if rng.random() < 0.6 else "dune"
    return describe(
        "desert", Thing("desert", color=color), Thing(shape, 12), Thing("plant", bushes), layout="in"
    )


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


_CROPS = {
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
    for x0, y0, x1, y1 in _crop_fields(rng, rng.uniform(42, 100)):
        _crop_field(
            canvas, (x0 + gap, y0 + gap, x1 - gap, y1 - gap), vary(rng, pick(rng, _CROPS[pick(rng, mix)]))
        )
    has_road = rng.random() < 0.4
    if has_road:
        way = [(-EDGE, rng.uniform(-50, 50)), (EDGE, rng.uniform(-50, 50))]
        road(canvas, way, rng.uniform(3.5, 6), pick(rng, ("dirt", "old asphalt")), marks=False)
    houses = 0
    if rng.random() < 0.3:
        for spot in rng.uniform(-70, 70, (int(rng.integers(1, 4)), 2)):
            house(canvas, spot, rng.uniform(12, 17), 9, rng.choice([0, 1.57]), roof_color(rng, "red"))
            houses += int(canvas.sees(spot))
    trees = 0
    if rng.random() < 0.4:
        edge = [(-EDGE, rng.uniform(-60, 60)), (EDGE, rng.uniform(-60, 60))]
        trees = plant(canvas, along(edge, 9)[0], (3, 4.6))
    return describe(
        "farmland",
        Thing("farmland", 9, color=mix[0] if len(mix) == 1 else None),
        Thing("road") if has_road else None,
        Thing("building", houses),
        Thing("tree", trees),
        layout="in",
    )


def _crop_field(canvas: Canvas, box: tuple[float, float, float, float], color: tuple[int, int, int]) -> None:
    """One field with its furrows."""
    rng = canvas.rng
    x0, y0, x1, y1 = box
    canvas.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)
    if rng.random() < 0.25:
        return
    tone = dim(color, rng.choice([0.88, 1.1, 1.16]))
    step = rng.uniform(3.2, 7)
    if rng.random() < 0.5:
        for x in np.arange(x0 + step / 2, x1, step):
            canvas.line([(x, y0), (x, y1)], step * 0.4, tone)
    else:
        for y in np.arange(y0 + step / 2, y1, step):
            canvas.line([(x0, y), (x1, y)], step * 0.4, tone)


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
        Thing("forest"),
        Thing("path") if path is not None else None,
        Thing("glade") if glade is not None else None,
        layout="in",
    )


def meadow(canvas: Canvas) -> SceneFacts:
    """A wide open meadow, sometimes mown in lines or arcs."""
    rng = canvas.rng
    canvas.cover("meadow")
    x, y = canvas.grid()
    pattern = pick(rng, ("plain", "lines", "arcs"))
    if pattern != "plain":
        way = y if pattern == "lines" else np.hypot(x - rng.uniform(-200, 200), y + rng.uniform(120, 260))
        canvas.raise_ground(
            (rng.uniform(0.5, 1.2) * np.sin(way * 2 * math.pi / rng.uniform(5, 9))).astype(np.float32)
        )
    canvas.blend("grass dry", 0.8 * cut_noise(rng, "clouds") - rng.uniform(0.3, 0.6))
    trees = 0
    if rng.random() < 0.55:
        edge = rng.uniform(70, 100)
        spots = scatter(rng, 12)
        trees = plant(canvas, spots[(spots[:, 1] > edge) & (rng.random(len(spots)) < 0.8)], (3.5, 6))
    elif rng.random() < 0.5:
        trees = plant(canvas, rng.uniform(-90, 90, (int(rng.integers(1, 5)), 2)), (3.5, 6))
    has_path = rng.random() < 0.2
    if has_path:
        canvas.line(wander(rng, 14), 2.4, (168, 152, 120))
    return describe(
        "meadow",
        Thing("meadow", color="green" if canvas.season in ("summer", "spring") else None),
        Thing("tree", trees),
        Thing("path") if has_path else None,
    )


def mountain(canvas: Canvas) -> SceneFacts:
    """Ridges and valleys under a low sun."""
    rng = canvas.rng
    look = pick(rng, ("green", "green", "brown", "brown", "snow"))
    folds = cut_turned_noise(rng, "hills", rng.uniform(0, math.pi), rng.uniform(0.75, 1.3))
    finer = cut_noise(rng, "clouds")
    ridges = 1 - np.abs(2 * folds - 1) * 1.5 + 0.3 * (1 - np.abs(2 * finer - 1))
    canvas.raise_ground((ridges * rng.uniform(70, 120)).astype(np.float32))
    low, high = {
        "green": ("canopy", "grass"),
        "brown": ("soil brown", "soil gray"),
        "snow": ("soil gray", "snow"),
    }[look]
    canvas.cover(low)
    canvas.blend(high, 2.5 * (ridges - rng.uniform(0.55, 0.85)))
    if look == "brown":
        canvas.blend("grass", 1.2 * (0.7 - ridges))
    return describe(
        "mountain",
        Thing("mountain", 4, color=None if look == "snow" else look),
        Thing("snow", 1, "white") if look == "snow" else None,
        Thing("valley", 3),
        layout="in",
    )


def pond(canvas: Canvas) -> SceneFacts:
    """Still water with banks, and what lies about it."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "grass", "soil brown")))
    water = pick(rng, ("green", "dark", "blue", "turquoise", "brown"))
    center = rng.uniform(-14, 14, 2)
    square = rng.random() < 0.2
    if square:
        shore = smooth(rectangle(center, rng.uniform(110, 150), rng.uniform(75, 110)), closed=True, rounds=2)
    else:
        shore = blob(rng, center, rng.uniform(46, 66), 0.22, rng.uniform(1.0, 1.4))
    bank = center + (shore - center) * 1.1
    canvas.polygon(bank, pick(rng, ("dirt", "wet sand", "grass dry")), claim=True)
    canvas.polygon(shore, f"water {water}")
    canvas.raise_ground(7 * (1 - canvas.mask((shore,), blur=2.5)))
    has_road = rng.random() < 0.5
    if has_road:
        side = pick(rng, (-1, 1)) * rng.uniform(88, 102)
        road(canvas, smooth([(-EDGE, side), (-40, side + 12), (40, side - 6), (EDGE, side + 10)]), 8)
    houses = 0
    if rng.random() < 0.4:
        for spot in scatter(rng, 32):
            if rng.random() < 0.4 and canvas.free(spot, 9):
                house(
                    canvas, spot, 15, 11, rng.choice([0, 1.57]), roof_color(rng, pick(rng, ("gray", "red")))
                )
                houses += int(canvas.sees(spot))
    trees = grove(canvas, 13, rng.uniform(0.1, 0.7), (3, 5.5))
    return describe(
        "pond",
        Thing(
            "pond",
            color="green" if water == "green" else None,
            shape="rectangular" if square else "irregular",
        ),
        Thing("tree", trees),
        Thing("building", houses),
        Thing("road") if has_road else None,
        layout="around" if trees > 20 else "near",
    )


def river(canvas: Canvas) -> SceneFacts:
    """A winding river between its banks."""
    rng = canvas.rng
    course = wander(rng, rng.uniform(18, 52), 7)
    width = rng.uniform(20, 46)
    water = pick(rng, ("green", "brown", "blue", "dark"))
    banks = pick(rng, ("forest", "forest", "field", "soil"))
    ground = {"forest": "grass", "field": "grass", "soil": "soil brown"}[banks]
    canvas.cover(ground)
    if banks == "forest":
        forest_cover(canvas, 1 - canvas.mask(bands=((course, width + 10),), blur=3))
    canvas.line(course, width + rng.uniform(4, 12), pick(rng, ("dirt", "wet sand")), claim=True)
    canvas.line(course, width, f"water {water}")
    branch = rng.random() < 0.2
    if branch:
        start = course[len(course) // 2]
        arm = smooth(
            [start, start + (20, 40), start + (rng.uniform(-20, 60), 90), (rng.uniform(-40, 80), 190)]
        )
        canvas.line(arm, width * 0.6 + 5, "dirt", claim=True)
        canvas.line(arm, width * 0.6, f"water {water}")
        canvas.line(course, width, f"water {water}")
    trees = 40 if banks == "forest" else grove(canvas, 12, rng.uniform(0.15, 0.5), (2.5, 4.5))
    boats = 0
    if rng.random() < 0.12:
        spot = course[len(course) // 2 + 6]
        boat(canvas, spot, 10, rng.uniform(0, 6))
        boats = int(canvas.sees(spot))
    return describe(
        "river",
        Thing("river", color=water if water in ("green", "brown", "blue") else None, shape="curved"),
        Thing("tree", trees),
        Thing("boat", boats),
        layout="two sides",
    )


NATURE = {
    "bareland": bareland,
    "beach": beach,
    "desert": desert,
    "farmland": farmland,
    "forest": forest,
    "meadow": meadow,
    "mountain": mountain,
    "pond": pond,
    "river": river,
}
"""How to draw each of these categories."""
_ = inside
