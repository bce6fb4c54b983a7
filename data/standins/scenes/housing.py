"""Scenes of where people live or stay: residential areas and resorts."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import SceneFacts, Thing, describe
from standins.scenes.objects import forest_cover, grove, house, pick, roof_color, swimming_pool, trees, vary
from standins.scenes.shapes import EDGE, along, blob, rectangle, scatter, smooth, turn
from standins.scenes.vehicles import road, street, traffic

_ROOF_MIXES = (("orange",), ("red",), ("gray",), ("brown", "gray"), ("gray", "white"), ("orange", "brown"))


def _one_color(words: tuple[str, ...]) -> str | None:
    """The color word of roofs that all have one."""
    return words[0] if len(words) == 1 else None


def denseresidential(canvas: Canvas) -> SceneFacts:
    """Rows of small houses, wall to wall, between narrow streets."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("town", "grass", "town")))
    words = pick(rng, _ROOF_MIXES)
    block = rng.uniform(38, 46)
    offsets = np.arange(-EDGE, EDGE, block)
    roads = 0
    for offset in offsets:
        roads += road(canvas, [(-EDGE, offset), (EDGE, offset)], 6.5, marks=False)
        traffic(canvas, [(-EDGE, offset), (EDGE, offset)], 6.5, 26)
    for offset in rng.choice([-60.0, 0.0, 60.0], int(rng.integers(1, 3)), replace=False):
        roads += street(canvas, offset, upright=True, width=7)
    step, depth = rng.uniform(12.5, 15.5), rng.uniform(11, 13.5)
    inner = np.concatenate([offsets + 4.6 + depth / 2, offsets + block - 4.6 - depth / 2])
    spots = np.stack(np.meshgrid(np.arange(-EDGE, EDGE, step), inner), axis=-1).reshape(-1, 2)
    spots = spots[canvas.sees(spots, -10) & (rng.random(len(spots)) < 0.94)]
    spots = spots[canvas.free(spots, 4)]
    spots = spots + rng.uniform(-0.9, 0.9, spots.shape)
    for spot in spots:
        size = (step * rng.uniform(0.76, 0.93), depth * rng.uniform(0.8, 1.0))
        house(canvas, spot, *size, 0, roof_color(rng, pick(rng, words)), 4)
    woods = grove(canvas, 8, rng.uniform(0.2, 0.7), (1.8, 3.2))
    return describe(
        "denseresidential",
        Thing("dense residential area"),
        within=[
            Thing("building", int(canvas.sees(spots).sum()), _one_color(words)),
            trees(canvas, woods),
            Thing("road", roads),
        ],
    )


def _houses_along(canvas: Canvas, way: np.ndarray, distance: float, words: tuple[str, ...], drives: bool) -> int:
    """Houses with gardens on both sides of a street, at this distance from it; returns how many are seen."""
    rng = canvas.rng
    spots, headings = along(way, rng.uniform(29, 35))
    seen = 0
    for side in (-1, 1):
        normals = np.stack([-np.sin(headings), np.cos(headings)], axis=1) * side
        places = spots + normals * distance
        usable = canvas.free(places, 8) & canvas.sees(places, -16)
        for spot, heading, normal in zip(places[usable], headings[usable], normals[usable], strict=True):
            if drives:
                canvas.line([spot, spot - normal * (distance - 4)], 3, (178, 172, 162))
            color = roof_color(rng, pick(rng, words))
            house(canvas, spot, rng.uniform(15, 20), rng.uniform(11, 13), heading, color, 4.5)
            if rng.random() < 0.4:
                house(canvas, spot + turn((7, 5 * side), heading), 10, 9, heading + math.pi / 2, color, 4)
            seen += int(canvas.sees(spot))
    return seen


def mediumresidential(canvas: Canvas) -> SceneFacts:
    """Houses with gardens along a street or two."""
    rng = canvas.rng
    canvas.cover("grass")
    words = pick(rng, _ROOF_MIXES)
    offsets = pick(rng, ((0.0,), (-52.0, 52.0), (-12.0,)))
    ways = [
        smooth(np.stack([np.linspace(-EDGE, EDGE, 5), offset + rng.normal(0, 10, 5)], axis=1)) for offset in offsets
    ]
    for way in ways:
        road(canvas, way, 8, pick(rng, ("asphalt", "old asphalt")), marks=rng.random() < 0.4)
        traffic(canvas, way, 8, 50)
    houses = sum(_houses_along(canvas, way, 24, words, drives=True) for way in ways)
    if len(ways) == 1:
        houses += _houses_along(canvas, ways[0], 70, words, drives=False)
    pools = 0
    for spot in rng.uniform(-80, 80, (4, 2)) if rng.random() < 0.3 else ():
        if canvas.free(spot, 6):
            swimming_pool(canvas, rectangle(spot, 8, 5, rng.uniform(0, 3)))
            pools += int(canvas.sees(spot))
    woods = grove(canvas, 11, rng.uniform(0.25, 0.75), (2.6, 5))
    return describe(
        "mediumresidential",
        Thing("medium residential area"),
        within=[
            Thing("building", houses, _one_color(words)),
            trees(canvas, woods),
            Thing("road", len(ways)),
            Thing("swimming pool", pools),
        ],
    )


def sparseresidential(canvas: Canvas) -> SceneFacts:
    """One to three houses alone among trees or meadows."""
    rng = canvas.rng
    canvas.cover("grass")
    wooded = rng.random() < 0.65
    count = int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))
    spots = np.array([[0.0, 0.0], [56.0, 30.0], [-56.0, 26.0]])[:count] + rng.uniform(-12, 12, (count, 2))
    has_road = rng.random() < 0.6
    way = smooth([(-EDGE, 70), (-50, 74), (50, 66), (EDGE, 76)])
    drives = [smooth([(x, y), (x + 10, y + 26), (x + rng.uniform(-10, 20), 72)]) for x, y in spots]
    if wooded:
        glades = [blob(rng, spot, rng.uniform(26, 34), 0.2) for spot in spots]
        bands = [(drive, 9) for drive in drives] + [(way, 18)] * has_road
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
            swimming_pool(canvas, pick(rng, (rectangle(pool, 11, 6.5, angle), blob(rng, pool, 4.5, 0.05))))
            pools += int(canvas.sees(pool))
    woods = 60 if wooded else grove(canvas, 17, rng.uniform(0.25, 0.7), (4, 7))
    return describe(
        "sparseresidential",
        Thing("sparse residential area"),
        within=[
            Thing("building", int(canvas.sees(spots).sum()), word),
            trees(canvas, woods),
            Thing("swimming pool", pools),
            Thing("road", int(has_road)),
        ],
    )


def _shore(canvas: Canvas) -> None:
    """A beach with sunshades and the sea beyond, along the lower edge of the scene."""
    rng = canvas.rng
    x, y = canvas.grid()
    out = y - rng.uniform(62, 78) + 6 * np.sin(x / 40)
    canvas.blend("sand white", np.clip((out + 24) / 4, 0, 1))
    canvas.blend("sea turquoise", np.clip(out / 3, 0, 1))
    canvas.blend("snow", 0.7 * np.exp(-(((out - 3) / 2.5) ** 2)))
    canvas.claim([(-EDGE, 40), (EDGE, 40), (EDGE, EDGE + 20), (-EDGE, EDGE + 20)])
    for x_shade in np.arange(-150, 150, 9.0):
        canvas.disc((x_shade, 47 + rng.normal()), 2.6, vary(rng, (214, 190, 150)), 2.5)


def _pools(canvas: Canvas, middle: np.ndarray) -> int:
    """A terrace with pools and loungers; returns how many pools are wholly seen."""
    rng = canvas.rng
    canvas.polygon(blob(rng, middle, 34, 0.15, 1.3), "paving", 0, claim=True)
    count = int(rng.integers(1, 4))
    seen = 0
    for index in range(count):
        spot = middle + (turn((24, 0), 2 * math.pi * index / count) * (1.2, 0.9) if count > 1 else 0)
        size = rng.uniform(9, 12) if count > 1 else rng.uniform(12, 17)
        rounded = rng.random() < 0.7
        outline = blob(rng, spot, size, 0.25, 1.35) if rounded else rectangle(spot, 2.3 * size, 1.3 * size)
        swimming_pool(canvas, outline)
        seen += int(canvas.sees(outline).all())
    lounges = middle + rng.uniform(-1, 1, (26, 2)) * (46, 34)
    canvas.boxes(lounges, (2.6, 1.3), rng.uniform(0, 3), [(240, 240, 236)] * len(lounges))
    return seen


def resort(canvas: Canvas) -> SceneFacts:
    """Villas and pools among trees, often by the sea."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("grass", "lawn")))
    by_sea = rng.random() < 0.6
    if by_sea:
        _shore(canvas)
    word = pick(rng, ("red", "orange", "white", "gray", "orange"))
    middle = np.array([rng.uniform(-15, 15), rng.uniform(-22, -4)])
    pools = _pools(canvas, middle)
    spots = scatter(rng, 36, 0.2)
    spots = spots[canvas.sees(spots, -18) & (rng.random(len(spots)) < 0.8)]
    spots = spots[canvas.free(spots, 14)]
    for spot in spots:
        angle = math.atan2(*(middle - spot)[::-1]) + math.pi / 2
        color = roof_color(rng, word)
        house(canvas, spot, rng.uniform(24, 32), rng.uniform(11, 14), angle, color, 5)
        if rng.random() < 0.4:
            house(canvas, spot + turn((10, 8), angle), 12, 18, angle, color, 5)
    woods = grove(canvas, 11, 0.7, (2.6, 4.6))
    return describe(
        "resort",
        Thing("resort"),
        within=[
            Thing("building", int(canvas.sees(spots).sum()), word),
            Thing("swimming pool", pools),
            trees(canvas, woods),
        ],
        around=[Thing("beach", int(by_sea))],
    )


HOUSING = {
    "denseresidential": denseresidential,
    "mediumresidential": mediumresidential,
    "resort": resort,
    "sparseresidential": sparseresidential,
}
"""How to draw each of these categories."""
