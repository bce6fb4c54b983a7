"""Icons of houses and other buildings.

Each function paints on the pen's sheet and says how many of its things there are, if that can be counted,
and what else can be seen.
"""

import numpy as np

from standins.icons.map_pen import MapPen, box_corners
from standins.icons.parts import (
    EDGE,
    Facts,
    as_points,
    chance,
    draw_house,
    draw_houses_in_rows,
    draw_street_grid,
    draw_trees,
    oval_outline,
    shifted,
    winding_line,
)


def draw_center(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A large round hall with ribs in its roof."""
    pen.cover(str(rng.choice(["ground", "grass", "asphalt"])))
    pen.disc((0, 0), 1.0, "road", rng.uniform(0.75, 1))
    ratio = rng.uniform(0.6, 1.0)
    pen.disc((0, 0), 0.72, "hall", ratio)
    ribs = int(rng.integers(6, 14))
    for turn in np.linspace(0, 2 * np.pi, ribs, endpoint=False):
        pen.stroke([(0, 0), (0.7 * np.cos(turn), 0.7 * ratio * np.sin(turn))], 0.8)
    pen.disc((0, 0), rng.uniform(0.15, 0.4), "steel", ratio)
    if chance(rng, 0.5):
        pen.box((0.85, 0.85), 0.8, 0.5, "building")
    draw_trees(pen, rng, 6, 1.1)
    return None, ("a large round building",)


def draw_church(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A nave with transept, apse and tower."""
    pen.cover(str(rng.choice(["grass", "ground"])))
    pen.box((0, 0.05), 1.2, 1.75, "road")
    role = str(rng.choice(["roof", "hall", "steel"]))
    nave, arm = rng.uniform(0.34, 0.46), rng.uniform(0.3, 0.4)
    wing = rng.uniform(0.48, 0.58)
    turns = np.linspace(0, np.pi, 9)
    apse = [(-nave / 2 * np.cos(turn), -0.68 - nave / 2 * np.sin(turn)) for turn in turns]
    right = [(nave / 2, -0.25 - arm / 2), (wing, -0.25 - arm / 2), (wing, -0.25 + arm / 2), (nave / 2, -0.25 + arm / 2)]
    left = [(-x, y) for x, y in reversed(right)]
    pen.polygon([*apse, *right, (nave / 2, 0.8), (-nave / 2, 0.8), *left], role)
    pen.stroke([(0, -0.68), (0, 0.8)], 1.0)
    pen.stroke([(-wing, -0.25), (wing, -0.25)], 1.0)
    pen.box((0, 0.72), nave * 0.8, nave * 0.8, "shade" if chance(rng, 0.4) else "accent")
    if chance(rng, 0.5):
        pen.disc((0, -0.25), 0.2, "steel")
    draw_trees(pen, rng, int(rng.integers(3, 9)), 0.95)
    return 1, ("trees",)


def draw_commercial(pen: MapPen, rng: np.random.Generator) -> Facts:
    """High blocks with long shadows in a grid of streets."""
    pen.cover("asphalt")
    spacing = rng.uniform(0.75, 0.95)
    draw_street_grid(pen, spacing, 0.16)
    for x in np.arange(-EDGE + spacing / 2, EDGE, spacing):
        for y in np.arange(-EDGE + spacing / 2, EDGE, spacing):
            role = str(rng.choice(["building", "hall", "steel", "roof", "pool"], p=[0.35, 0.25, 0.2, 0.1, 0.1]))
            width, height = rng.uniform(0.45, 0.72, 2) * spacing
            pen.polygon(box_corners((x + 0.09, y + 0.09), width, height), "shade")
            pen.box((x, y), width, height, role)
            pen.box((x, y), 0.5 * width, 0.5 * height, str(rng.choice(["steel", "building", "hall"])))
    return None, ("tall buildings", "roads")


def draw_denseresidential(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Roofs beside roofs."""
    draw_houses_in_rows(pen, rng, rng.uniform(0.48, 0.6), rng.uniform(0.2, 0.26), 0.2, 0.06)
    return None, ("many houses",)


def draw_industrial(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Long halls along a road."""
    pen.cover(str(rng.choice(["ground", "asphalt"])))
    pen.ribbon([(-EDGE, 0.02), (EDGE, 0.02)], 0.16, "road", edge=not pen.look.filled)
    for x in np.arange(-1.8, 1.8, 0.95):
        for side in (-1, 1):
            width, height = rng.uniform(0.7, 0.9), rng.uniform(0.55, 0.8)
            y = side * (0.14 + height / 2)
            pen.box((x, y), width, height, str(rng.choice(["hall", "steel", "building", "pool"])))
            for at in np.linspace(-width / 2, width / 2, int(rng.integers(4, 8)))[1:-1]:
                pen.stroke([(x + at, y - height / 2), (x + at, y + height / 2)], 0.9)
            if chance(rng, 0.3):
                pen.disc((x, side * 1.15), 0.12, "steel")
    pen.box((0, 1.3), 3.5, 0.3, "hall")
    return None, ("large halls", "a road")


def draw_mediumresidential(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Houses with gardens along streets."""
    draw_houses_in_rows(pen, rng, rng.uniform(0.85, 1.0), rng.uniform(0.4, 0.5), 0.3, 0.35)
    return None, ("houses", "trees")


def draw_resort(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Hotel wings around a pool."""
    pen.cover("grass" if chance(rng, 0.6) else "sand")
    beside: tuple[str, ...] = ("a swimming pool",)
    if chance(rng, 0.5):
        shore = shifted(winding_line(rng, 0.1), -0.85)
        pen.polygon([*as_points(shifted(shore, 0.25)), (EDGE, -EDGE), (-EDGE, -EDGE)], "sand")
        pen.polygon([*as_points(shore), (EDGE, -EDGE), (-EDGE, -EDGE)], "water")
        beside += ("a beach",)
    pen.blob((0, 0.05), 0.36, "pool", 0.3, 0.75, rim="road")
    pen.box((0, 0.72), 1.5, 0.26, "roof")
    for x in (-0.75, 0.75):
        pen.box((x, 0.42), 0.26, 0.85, "roof")
    for turn in np.linspace(np.pi, 2 * np.pi, int(rng.integers(4, 8))):
        pen.disc((0.52 * np.cos(turn), 0.05 + 0.45 * np.sin(turn)), 0.06, str(rng.choice(["accent", "marking"])))
    draw_trees(pen, rng, int(rng.integers(5, 12)), 0.95)
    return 1, beside


def draw_school(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A comb-shaped building beside a playground or yard."""
    pen.cover(str(rng.choice(["ground", "grass"])))
    role = str(rng.choice(["roof", "building", "hall"]))
    pen.box((-0.05, -0.78), 1.6, 0.24, role)
    for x in (-0.73, -0.05, 0.63)[: int(rng.integers(2, 4))]:
        pen.box((x, -0.45), 0.24, 0.6, role)
    beside: tuple[str, ...] = ()
    if chance(rng, 0.75):
        pen.polygon(as_points(shifted(np.array(oval_outline(0.32, 0.3)), 0.45, -0.25)), "track")
        pen.polygon(as_points(shifted(np.array(oval_outline(0.32, 0.2)), 0.45, -0.25)), "grass")
        beside += ("a playground",)
    else:
        pen.box((-0.25, 0.45), 1.1, 0.6, "road")
        beside += ("a yard",)
    pen.box((0.68, 0.35), 0.3, 0.5, "pool")
    pen.stroke([(0.53, 0.35), (0.83, 0.35)], 0.8, "marking")
    draw_trees(pen, rng, int(rng.integers(3, 9)), 1.05)
    return 1, beside


def draw_sparseresidential(pen: MapPen, rng: np.random.Generator) -> Facts:
    """One to three houses among trees."""
    pen.cover("grass" if chance(rng, 0.7) else "soil")
    pen.ribbon(as_points(shifted(winding_line(rng, 0.2), 0.65)), 0.13, "road", edge=not pen.look.filled)
    houses = int(rng.integers(1, 4))
    draw_trees(pen, rng, int(rng.integers(8, 22)), 0.5, 0.1)
    for index in range(houses):
        x, y = -0.5 * (houses - 1) + index + rng.normal(0, 0.08), -0.1 + rng.normal(0, 0.15)
        pen.ribbon([(x, y), (x + 0.1, 0.65)], 0.05, "road", edge=False)
        draw_house(pen, (x, y), rng.uniform(0.32, 0.42), rng.uniform(0, np.pi))
    return None, (("a house", "two houses", "three houses")[houses - 1], "trees")


def draw_square(pen: MapPen, rng: np.random.Generator) -> Facts:
    """A paved square, its paths meeting at a fountain or monument."""
    pen.cover("asphalt" if chance(rng, 0.5) else "ground")
    for at in np.arange(-1.6, 1.7, 0.55):
        for side in (-1.15, 1.15):
            pen.box((at, side), 0.45, 0.4, str(rng.choice(["building", "roof", "hall"])))
            pen.box((side, at), 0.4, 0.45, str(rng.choice(["building", "roof", "hall"])))
    pen.box((0, 0), 1.6, 1.6, "road")
    pen.box((0, 0), 1.15, 1.15, str(rng.choice(["sand", "steel", "grass"])))
    for way in ((-0.57, -0.57), (-0.57, 0.57)):
        pen.ribbon([way, (-way[0], -way[1])], 0.1, "road", edge=not pen.look.filled)
    pen.disc((0, 0), 0.28, "road")
    fountain = chance(rng, 0.5)
    pen.disc((0, 0), 0.17, "pool" if fountain else "shade")
    return 1, ("a fountain" if fountain else "a monument", "buildings")


def draw_storagetanks(pen: MapPen, rng: np.random.Generator) -> Facts:
    """Round tanks in rows and columns."""
    pen.cover(str(rng.choice(["ground", "soil", "asphalt", "grass"])))
    across, down = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    down = max(down, 2) if across == 1 else down
    pitch = 1.8 / max(across, down)
    for column in range(across):
        for row in range(down):
            center = ((column - (across - 1) / 2) * pitch, (row - (down - 1) / 2) * pitch)
            radius = pitch * rng.uniform(0.32, 0.42)
            pen.disc((center[0] + 0.15 * radius, center[1] + 0.15 * radius), radius, "shade")
            pen.disc(center, radius, str(rng.choice(["steel", "snow", "building"])))
            pen.disc(center, 0.8 * radius, "steel")
            pen.disc(center, 0.12 * radius, "shade")
    return across * down, ()
