"""Icons of land and water: bare land, beach, desert, farmland, forest, meadow, mountain, park, pond, river.

Each function paints on the pen's sheet and says how many of its things there are, if that can be counted,
and what else can be seen.
"""

from itertools import pairwise

import numpy as np

from standins.icons.map_pen import MapPen
from standins.icons.parts import EDGE, Facts, as_points, chance, draw_trees, shifted, winding_line


def draw_bareland(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Brown ground with patches and pebbles."""
    pen.cover("soil")
    for _ in range(int(rng.integers(2, 5))):
        pen.blob(tuple(rng.uniform(-1, 1, 2)), rng.uniform(0.25, 0.6), str(rng.choice(["sand", "rock"])), 0.4, 0.7)
    for _ in range(int(rng.integers(15, 40))):
        pen.disc(tuple(rng.uniform(-1.4, 1.4, 2)), 0.02, "shade")
    if chance(rng, 0.4):
        pen.ribbon(as_points(winding_line(rng, 0.25)), 0.08, "sand", edge=False)
        return None, ("a dirt track",)
    return None, ()


def draw_beach(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A shore between sand and breaking waves."""
    pen.cover("sand")
    shore = winding_line(rng, 0.18)
    pen.polygon([*as_points(shore), (EDGE, -EDGE), (-EDGE, -EDGE)], "water")
    for depth in (0.0, 0.16, 0.34)[: int(rng.integers(2, 4))]:
        pen.stroke(as_points(shifted(shore, -depth)), 1.6, "foam")
    beside: tuple[str, ...] = ("the sea",)
    if chance(rng, 0.5):
        for x in rng.uniform(-1, 1, int(rng.integers(3, 8))):
            pen.disc((x, rng.uniform(0.45, 0.7)), 0.07, str(rng.choice(["accent", "marking", "pool"])))
        beside += ("umbrellas",)
    if chance(rng, 0.5):
        pen.polygon([*as_points(shifted(shore, 1.0)), (EDGE, EDGE), (-EDGE, EDGE)], "grass")
        beside += ("green land",)
    return None, beside


def draw_desert(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Rows of dunes."""
    pen.cover("sand")
    for y in np.arange(-1.9, 1.9, rng.uniform(0.25, 0.5)):
        dune = shifted(winding_line(rng, 0.12, 3), y)
        if chance(rng, 0.5):
            pen.polygon([*as_points(dune), *as_points(shifted(dune[::-1], rng.uniform(0.08, 0.2)))], "soil")
        pen.stroke(as_points(dune), 1.0, "soil")
    return None, ("dunes",)


def draw_farmland(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A patchwork of furrowed fields."""
    pen.cover("grass")
    across = np.cumsum(np.concatenate([[-2.0], rng.uniform(0.5, 1.1, 6)]))
    for left, right in pairwise(across):
        down = np.cumsum(np.concatenate([[-2.0], rng.uniform(0.5, 1.3, 6)]))
        for top, bottom in pairwise(down):
            role = str(rng.choice(["crop", "grass", "soil", "tree", "sand"], p=[0.3, 0.3, 0.2, 0.12, 0.08]))
            pen.box(((left + right) / 2, (top + bottom) / 2), right - left - 0.04, bottom - top - 0.04, role)
            for at in np.arange(left + 0.1, right - 0.05, rng.uniform(0.09, 0.2)):
                pen.stroke([(at, top + 0.05), (at, bottom - 0.05)], 0.6, "crop" if role != "crop" else "soil")
    return None, ("striped fields",)


def draw_forest(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Crown beside crown."""
    pen.cover("tree" if chance(rng, 0.7) else "grass")
    size = rng.uniform(0.1, 0.2)
    for x in np.arange(-1.6, 1.6, 1.5 * size):
        for y in np.arange(-1.6, 1.6, 1.5 * size):
            role = "tree" if chance(rng, 0.75) else "grass"
            pen.disc((x + rng.normal(0, 0.04), y + rng.normal(0, 0.04)), size * rng.uniform(0.6, 1.1), role)
            pen.disc((x + 0.05, y + 0.05), 0.25 * size, "shade")
    return None, ("many trees",)


def draw_meadow(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Grass with a few tufts."""
    pen.cover("grass")
    for _ in range(int(rng.integers(0, 3))):
        pen.blob(tuple(rng.uniform(-1, 1, 2)), rng.uniform(0.2, 0.5), "crop", 0.4)
    for x, y in rng.uniform(-1.4, 1.4, (int(rng.integers(12, 35)), 2)):
        for lean in (-0.04, 0, 0.04):
            pen.stroke([(x, y), (x + lean, y - 0.09)], 0.7, "tree")
    if chance(rng, 0.3):
        pen.disc(tuple(rng.uniform(-0.8, 0.8, 2)), 0.1, "tree")
    return None, ("grass",)


def draw_mountain(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Contour lines, or ridges lit from one side."""
    pen.cover(str(rng.choice(["rock", "tree", "soil"])))
    if chance(rng, 0.5):
        for _ in range(int(rng.integers(2, 4))):
            center, reach = rng.uniform(-0.8, 0.8, 2), rng.uniform(0.4, 0.8)
            for level, role in ((1.0, "rock"), (0.75, "soil"), (0.5, "rock"), (0.25, "snow")):
                pen.blob(tuple(center), reach * level, role, 0.25)
        return None, ("contour lines",)
    for y in np.arange(-1.4, 1.5, rng.uniform(0.5, 0.75)):
        ridge = shifted(winding_line(rng, 0.15, 3), y)
        ridge[1::2] += rng.normal(0, 0.06, ridge[1::2].shape)
        for index in range(0, 24, 2):
            start, end = ridge[index], ridge[index + 1]
            foot = start + np.array([rng.normal(0, 0.06), rng.uniform(0.25, 0.4)])
            pen.polygon(as_points(np.array([start, end, foot])), "shade")
            pen.polygon(as_points(np.array([start, end, end - np.array([rng.normal(0, 0.06), 0.28])])), "snow")
        pen.stroke(as_points(ridge), 1.2)
    return None, ("ridges",)


def draw_park(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Winding paths, trees, perhaps a lake."""
    pen.cover("grass")
    beside: tuple[str, ...] = ("trees", "paths")
    if chance(rng, 0.6):
        pen.blob((rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)), rng.uniform(0.3, 0.45), "water")
        beside += ("a lake",)
    for turn in (0.0, np.pi / 2):
        path = winding_line(rng, 0.3)
        path = path if turn == 0 else path[:, ::-1]
        pen.ribbon(as_points(path), 0.08, "road", edge=not pen.look.filled)
    pen.disc((0, 0), rng.uniform(0.1, 0.2), "road")
    draw_trees(pen, rng, int(rng.integers(14, 26)), 0.3, 0.11)
    return None, beside


def draw_pond(pen: MapPen, rng: np.random.Generator) -> Facts:
    """One or two bodies of still water with a rim."""
    pen.cover(str(rng.choice(["grass", "ground", "soil"])))
    ponds = int(rng.choice([1, 1, 1, 2]))
    for index in range(ponds):
        center = (0, 0) if ponds == 1 else (-0.5 + index, -0.3 + 0.6 * index)
        radius = rng.uniform(0.5, 0.8) if ponds == 1 else 0.42
        pen.blob(center, radius, "water", 0.22, rng.uniform(0.7, 1), rim="sand")
        for y, half in ((-0.06, 0.12), (0.06, 0.07)):
            pen.stroke([(center[0] - half, center[1] + y), (center[0] + half, center[1] + y)], 1.0, "foam")
    if chance(rng, 0.7):
        draw_trees(pen, rng, int(rng.integers(4, 12)), 0.95)
        return ponds, ("trees",)
    return ponds, ()


def draw_river(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A winding band of water between its banks."""
    role = str(rng.choice(["grass", "tree", "soil", "ground"]))
    pen.cover(role)
    path = winding_line(rng, 0.45, 2)
    width = rng.uniform(0.25, 0.5)
    if chance(rng, 0.6):
        pen.ribbon(as_points(path), width + 0.12, "sand", edge=False)
    pen.ribbon(as_points(path), width, "water")
    if role == "tree" or chance(rng, 0.4):
        for x in rng.uniform(-1.2, 1.2, 14):
            y = np.interp(x, path[:, 0], path[:, 1]) + rng.choice([-1, 1]) * (width / 2 + rng.uniform(0.15, 0.7))
            pen.disc((x, y), 0.09, "tree")
        return 1, ("trees",)
    return 1, ("green banks",) if role == "grass" else ()
