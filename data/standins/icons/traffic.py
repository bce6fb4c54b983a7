"""Icons of ways to travel and places to play.

Each function paints on the pen's sheet and says how many of its things there are, if that can be counted,
and what else can be seen.
"""

import numpy as np

from standins.icons.map_pen import MapPen
from standins.icons.parts import (
    EDGE,
    NUMBER_WORDS,
    Facts,
    as_points,
    chance,
    draw_boat,
    draw_car,
    draw_pitch,
    draw_plane,
    oval_outline,
    shifted,
    winding_line,
)


def draw_airport(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Runways, a terminal and planes on the apron."""
    pen.cover("grass" if chance(rng, 0.6) else "ground")
    runways = int(rng.integers(1, 3))
    for index in range(runways):
        y = -0.72 + 0.42 * index
        pen.ribbon([(-EDGE, y), (EDGE, y)], 0.24, "asphalt")
        pen.dashes([(-EDGE, y), (EDGE, y)], "marking")
    pen.box((0, 0.38), 2.4, 0.85, "asphalt")
    pen.ribbon([(-0.8, -0.5), (-0.8, 0.2)], 0.14, "asphalt", edge=False)
    pen.box((0, 0.85), 2.0, 0.28, "building")
    planes = int(rng.integers(1, 5))
    for index in range(planes):
        draw_plane(pen, (-0.75 + 0.5 * index, 0.4), rng.uniform(0.4, 0.5), -np.pi / 2 + rng.normal(0, 0.15))
    return None, (
        (f"{NUMBER_WORDS[planes]} planes" if planes > 1 else "a plane"),
        ("two runways" if runways == 2 else "a runway"),
    )


def draw_baseballfield(pen: MapPen, rng: np.random.Generator) -> Facts:
    """One or two fans of grass with their diamonds."""
    pen.cover("grass" if chance(rng, 0.5) else "ground")
    fields = 2 if chance(rng, 0.25) else 1
    for index in range(fields):
        size = 1.7 if fields == 1 else 0.95
        home = np.array([-0.75, 0.75]) if fields == 1 else np.array([-0.95 + 1.0 * index, 0.85 - 1.0 * index])
        turns = np.linspace(-np.pi / 2, 0, 14)
        fan = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        pen.polygon([tuple(home), *as_points(home + size * fan)], "grass")
        pen.polygon([tuple(home), *as_points(home + 0.58 * size * fan)], "soil")
        pen.box(tuple(home + 0.24 * size * np.array([1, -1])), 0.36 * size, 0.36 * size, "grass")
        pen.disc(tuple(home + 0.24 * size * np.array([1, -1])), 0.05 * size, "soil")
        for base in ((0.06, -0.06), (0.42, -0.06), (0.42, -0.42), (0.06, -0.42)):
            pen.box(tuple(home + np.array(base) * size), 0.05 * size, 0.05 * size, "marking")
    return fields, ()


def draw_bridge(pen: MapPen, rng: np.random.Generator) -> Facts:
    """One or two bridges across a river."""
    pen.cover(str(rng.choice(["grass", "ground"])))
    half = rng.uniform(0.4, 0.75)
    bank = winding_line(rng, 0.08)
    pen.polygon([*as_points(shifted(bank, -half)), *as_points(shifted(bank[::-1], half))], "water")
    bridges = 2 if chance(rng, 0.3) else 1
    for index in range(bridges):
        x = 0.0 if bridges == 1 else -0.45 + 0.9 * index
        width = rng.uniform(0.16, 0.28)
        pen.ribbon([(x, -EDGE), (x, EDGE)], width, "asphalt")
        for side in (-1, 1):
            pen.stroke([(x + side * width / 2, -half - 0.15), (x + side * width / 2, half + 0.15)], 1.5, "shade")
        pen.dashes([(x, -EDGE), (x, EDGE)], "marking")
    return bridges, ("a river",)


def draw_parking(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Cars in marked rows."""
    pen.cover("asphalt")
    row, step = rng.uniform(0.62, 0.75), rng.uniform(0.17, 0.22)
    full = rng.uniform(0.5, 0.95)
    for y in np.arange(-1.9, 1.9, row):
        pen.stroke([(-1.8, y), (1.8, y)], 1.0, "marking")
        for x in np.arange(-1.8, 1.8, step):
            pen.stroke([(x, y - 0.22), (x, y + 0.22)], 0.8, "marking")
            for side in (-1, 1):
                if chance(rng, full):
                    draw_car(pen, rng, (x + step / 2, y + 0.12 * side), 0.19, np.pi / 2)
    return None, ("many cars",)


def draw_playground(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A running track around a pitch."""
    pen.cover(str(rng.choice(["ground", "grass"])))
    half, radius = rng.uniform(0.35, 0.5), rng.uniform(0.42, 0.52)
    pen.polygon(oval_outline(half, radius), "track")
    for lane in (0.05, 0.1):
        pen.stroke(oval_outline(half, radius - lane), 0.6, "marking")
    pen.polygon(oval_outline(half, radius - 0.16), "grass")
    draw_pitch(pen, 1.7 * half, 1.2 * (radius - 0.16))
    beside: tuple[str, ...] = ("a running track",)
    if chance(rng, 0.5):
        for x in (-0.5, 0.15):
            pen.box((x, 0.9), 0.5, 0.36, "pool")
            pen.stroke([(x, 0.72), (x, 1.08)], 0.8, "marking")
        beside += ("basketball courts",)
    return 1, beside


def draw_port(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Piers with boats along a quay."""
    pen.cover("water")
    pen.polygon([(-EDGE, 0.62), (EDGE, 0.62), (EDGE, EDGE), (-EDGE, EDGE)], "ground")
    boats = 0
    for x in np.arange(-1.6, 1.7, rng.uniform(0.6, 0.8)):
        pen.box((x, 0.0), 0.1, 1.4, "building")
        for y in np.arange(-0.6, 0.5, 0.24):
            for side in (-1, 1):
                if chance(rng, 0.65):
                    draw_boat(pen, (x + side * 0.18, y), 0.26, 0 if side > 0 else np.pi)
                    boats += 1
    for x in np.arange(-1.4, 1.5, 0.55):
        pen.box((x, 0.95), 0.4, 0.3, str(rng.choice(["hall", "roof", "accent"])))
    return None, (("many boats" if boats > 10 else "boats"), "piers")


def draw_railwaystation(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Tracks, a platform and the station building."""
    pen.cover("ground")
    tracks = int(rng.integers(3, 7))
    top = -0.75
    for index in range(tracks):
        y = top + 0.22 * index
        for x in np.arange(-1.9, 1.9, 0.12):
            pen.stroke([(x, y - 0.06), (x, y + 0.06)], 0.7, "shade")
        for side in (-0.03, 0.03):
            pen.stroke([(-EDGE, y + side), (EDGE, y + side)], 0.7, "shade")
    base = top + 0.22 * tracks
    pen.box((0, base + 0.02), 2.2, 0.16, "road")
    pen.box((0, base + 0.38), 1.5, 0.42, "hall")
    pen.box((0, base + 0.38), 0.5, 0.55, "roof")
    if chance(rng, 0.5):
        pen.box((rng.uniform(-0.4, 0.4), top + 0.22), 1.1, 0.11, "accent")
        return 1, ("tracks", "a train")
    return 1, ("tracks",)


def draw_stadium(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Stands around a football pitch."""
    pen.cover(str(rng.choice(["ground", "asphalt", "grass"])))
    half, radius = rng.uniform(0.2, 0.4), rng.uniform(0.68, 0.78)
    outer = np.array(oval_outline(half, radius))
    inner = np.array(oval_outline(half, radius * rng.uniform(0.5, 0.6)))
    pen.polygon(as_points(outer), str(rng.choice(["hall", "building", "steel"])))
    for rim, edge in list(zip(inner, outer, strict=True))[:: int(rng.integers(1, 3))]:
        pen.stroke([tuple(rim), tuple(edge)], 0.8)
    pen.stroke(as_points((inner + outer) / 2), 0.8)
    track = chance(rng, 0.5)
    pen.polygon(as_points(inner), "track" if track else "grass")
    draw_pitch(pen, 2 * half + 0.4 * radius, 0.6 * radius)
    return 1, ("a football field",)


def draw_viaduct(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Two motorways crossing, with loops and ramps."""
    pen.cover("grass" if chance(rng, 0.6) else "ground")
    turns = np.linspace(0, 2 * np.pi, 22)
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        if chance(rng, 0.7):
            loop = np.stack([x * 0.42 + 0.3 * np.cos(turns), y * 0.42 + 0.3 * np.sin(turns)], axis=1)
            pen.ribbon(as_points(loop), 0.09, "asphalt")
        if chance(rng, 0.7):
            bow = np.linspace(0, np.pi / 2, 12)
            ramp = np.stack([x * (1.3 - 1.15 * np.sin(bow)), y * (1.3 - 1.15 * np.cos(bow))], axis=1)
            pen.ribbon(as_points(ramp), 0.09, "asphalt")
    for path in ([(-EDGE, 0), (EDGE, 0)], [(0, -EDGE), (0, EDGE)]):
        pen.ribbon(path, 0.27, "asphalt")
        pen.dashes(path, "marking")
    return 1, ("crossing roads",)
