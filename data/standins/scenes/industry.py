"""Scenes of industry and railways: factories, storage tanks, stations."""

import math

import numpy as np

from standins.scenes.canvas import Canvas
from standins.scenes.facts import SceneFacts, Thing, describe
from standins.scenes.materials import Color
from standins.scenes.objects import dim, grove, hall, pick, roof_color, town, trees, vary
from standins.scenes.shapes import EDGE, rectangle, scatter, turn
from standins.scenes.vehicles import parking_lot, street

_HALL_ROOFS = (("blue",), ("blue", "gray"), ("gray", "white"), ("white",), ("gray", "brown", "blue"), ("red", "blue"))


def industrial(canvas: Canvas) -> SceneFacts:
    """Factory halls with long roofs, yards and lots."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("concrete", "town", "dirt", "old asphalt")))
    roads = street(canvas, rng.uniform(-50, 50), upright=False, width=12)
    if rng.random() < 0.6:
        roads += street(canvas, rng.uniform(-60, 60), upright=True, width=10)
    words = pick(rng, _HALL_ROOFS)
    lot = np.array([pick(rng, (-60, 60)), pick(rng, (-60, 60))])
    cars = 0
    if rng.random() < 0.4 and canvas.free(lot, 20):
        cars = parking_lot(canvas, lot, 56, 38, 0, 0.7, 4.4)
    halls = 0
    for size in (64, 44, 26, 18):
        spots = scatter(rng, size * 0.98, 0.18)
        spots = spots[canvas.sees(spots, -size / 2) & (rng.random(len(spots)) < 0.85)]
        for spot in spots:
            length, width = size * rng.uniform(0.85, 1.1), size * rng.uniform(0.5, 0.8)
            upright = rng.random() < 0.3
            ends = turn([(-length / 3, 0), (0, 0), (length / 3, 0)], math.pi / 2 * upright) + spot
            if not canvas.free(ends, width / 2 + 1).all():
                continue
            color = roof_color(rng, pick(rng, words))
            bays = int(rng.integers(1, 5))
            hall(canvas, spot, length, width, math.pi / 2 * upright, color, rng.uniform(5, 9), bays)
            halls += int(canvas.sees(spot))
    woods = grove(canvas, 10, rng.uniform(0.05, 0.4), (2.2, 3.6))
    return describe(
        "industrial",
        Thing("industrial area"),
        within=[
            Thing("building", halls, words[0] if len(words) == 1 else None),
            Thing("road", roads),
            trees(canvas, woods),
            Thing("parking lot", int(cars > 0)),
        ],
    )


def _tank(canvas: Canvas, spot: np.ndarray, radius: float, color: Color) -> None:
    """One tank with its rim, a vent and a stair."""
    canvas.disc(spot, radius * 1.12, (150, 140, 126), 0)
    for share, tone, height in ((1.0, 0.86, 12), (0.9, 1.0, 12.5), (0.45, 1.03, 13), (0.1, 0.7, 13.5)):
        canvas.disc(spot, max(1.0, radius * share), dim(color, tone), height * min(1, radius / 14))
    stair = turn((radius * 0.95, 0), canvas.rng.uniform(0, 2 * math.pi))
    canvas.line([spot + stair * 0.2, spot + stair], 0.8, dim(color, 0.75))


def storagetanks(canvas: Canvas) -> SceneFacts:
    """Round tanks in rows, each with its shadow, behind dikes."""
    rng = canvas.rng
    canvas.cover(pick(rng, ("dirt", "concrete", "grass", "gravel")))
    radius = rng.uniform(10, 24)
    word, color = pick(
        rng,
        (("white", (236, 236, 232)), ("white", (226, 226, 224)), ("gray", (168, 168, 166)), ("brown", (164, 128, 98))),
    )
    step = radius * rng.uniform(2.5, 3.1)
    most = max(2, min(5, int(200 / step)))
    rows, columns = int(rng.integers(1, most + 1)), int(rng.integers(2, most + 1))
    yard = rectangle((0, 0), (columns + 0.2) * step, (rows + 0.2) * step)
    canvas.polygon(yard, pick(rng, ("dirt", "concrete", "gravel")), 0, claim=True)
    canvas.line(yard[[0, 1, 2, 3, 0, 1]], 2.4, (196, 186, 168), 2, claim=True)
    spots = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * step
    spots = spots - spots.mean(axis=0)
    keep = rng.random(len(spots)) > 0.12
    spots = spots[keep] if keep.sum() > 1 else spots
    for row in np.arange(rows) * step - (rows - 1) * step / 2:
        canvas.line([(yard[0][0], row + step / 2), (yard[1][0], row + step / 2)], 1.2, (176, 170, 160), 1)
    for spot in spots:
        _tank(canvas, spot, radius * rng.uniform(0.92, 1.0), color)
    roads = street(canvas, (rows + 0.2) * step / 2 + 14, upright=False) if rng.random() < 0.5 else 0
    houses = town(canvas, ("gray", "white", "blue"), 30, 0.5) if rng.random() < 0.4 else 0
    woods = grove(canvas, 12, rng.uniform(0, 0.6), (3, 5))
    return describe(
        "storagetanks",
        Thing("storage tank", int(canvas.sees(spots, radius * 0.4).sum()), word),
        around=[Thing("road", roads), trees(canvas, woods), Thing("building", houses)],
    )


def _tracks(canvas: Canvas, lanes: np.ndarray) -> None:
    """Railway tracks along x at these offsets, from edge to edge."""
    for lane in lanes:
        canvas.line([(-EDGE - 20, lane), (EDGE + 20, lane)], 3.6, (92, 82, 74))
        for rail in (-1.2, 1.2):
            canvas.line([(-EDGE - 20, lane + rail), (EDGE + 20, lane + rail)], 0.6, (176, 170, 164))


def _train(canvas: Canvas, lane: float) -> int:
    """A train of seven cars on a track; returns 1 if any of it is seen."""
    rng = canvas.rng
    tone = pick(rng, ((70, 110, 160), (200, 204, 206), (150, 60, 54), (80, 120, 90)))
    cells = np.stack([rng.uniform(-120, 20) + np.arange(7) * 17.0, np.full(7, lane)], axis=1)
    canvas.boxes(cells, (16, 4), 0, [vary(rng, tone, 0.03)] * 7, 4)
    return int(canvas.sees(cells).any())


def railwaystation(canvas: Canvas) -> SceneFacts:
    """Many tracks side by side, platform roofs and a station hall."""
    rng = canvas.rng
    canvas.cover("town")
    count, gauge = int(rng.integers(8, 14)), rng.uniform(6.5, 8)
    half = count * gauge / 2
    lanes = (np.arange(count) + 0.5) * gauge - half
    canvas.polygon(rectangle((0, 0), 2 * EDGE + 40, 2 * half), "gravel", 0, claim=True)
    _tracks(canvas, lanes)
    word = pick(rng, ("blue", "white", "gray", "white", "red"))
    color = roof_color(rng, word)
    length, middle = rng.uniform(110, 170), rng.uniform(-20, 20)
    platforms = lanes[1:-1:3] + gauge / 2
    for platform in platforms:
        hall(canvas, (middle, platform), length, gauge * 1.15, 0, color, 6)
    trains = sum(_train(canvas, lane) for lane in lanes[::3] if rng.random() < 0.5)
    if rng.random() < 0.6:
        canvas.polygon(rectangle((middle, 0), rng.uniform(14, 24), 2 * half + 10), dim(color, 0.96), 12)
    side = pick(rng, (-1, 1))
    hall(canvas, (middle, side * (half + 17)), rng.uniform(70, 110), 26, 0, dim(color, 1.02), 11, 2)
    roads = street(canvas, side * (half + 46), upright=False, width=11)
    houses = town(canvas, ("gray", "white", "red", "blue"), 24, 0.9)
    woods = grove(canvas, 11, 0.35, (2.5, 4))
    return describe(
        "railwaystation",
        Thing("railway station"),
        within=[Thing("platform roof", len(platforms), word), Thing("track", count), Thing("train", trains)],
        around=[Thing("building", houses), trees(canvas, woods), Thing("road", roads)],
        layout="two sides",
    )


INDUSTRY = {"industrial": industrial, "railwaystation": railwaystation, "storagetanks": storagetanks}
"""How to draw each of these categories."""
