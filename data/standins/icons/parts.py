"""Parts that several icons share: trees, houses, cars, planes, boats, streets, winding lines."""

import numpy as np

from standins.icons.map_pen import MapPen, Point

# Once a drawing is turned and shrunk, the image's corners lie up to about two units from its center, so
# whatever should reach the edge is drawn to here.
EDGE = 2.2

# What a drawing tells of itself: how many of its things it shows (None: not to be counted), and what else.
Facts = tuple[int | None, tuple[str, ...]]

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def chance(rng: np.random.Generator, share: float) -> bool:
    """True in the given share of cases."""
    return bool(rng.random() < share)


def winding_line(rng: np.random.Generator, bend: float, waves: int = 2) -> np.ndarray:
    """A winding line from left to right through the whole sheet, shape (25, 2)."""
    x = np.linspace(-EDGE, EDGE, 25)
    y = sum(rng.normal(0, bend / wave) * np.sin(wave * x * 1.1 + rng.uniform(0, 6.3)) for wave in range(1, waves + 1))
    return np.stack([x, y], axis=1)


def shifted(path: np.ndarray, down: float, right: float = 0.0) -> np.ndarray:
    """A line moved by the given frame units, shape as it came."""
    return path + np.array([right, down])


def as_points(path: np.ndarray) -> list[Point]:
    """Rows of an array as points."""
    return [(float(x), float(y)) for x, y in path]


def draw_trees(pen: MapPen, rng: np.random.Generator, number: int, away_from: float = 0.0, size: float = 0.1) -> None:
    """Round trees anywhere on the sheet that is at least `away_from` units from its center."""
    placed = 0
    while placed < number:
        x, y = rng.uniform(-1.3, 1.3, 2)
        if np.hypot(x, y) < away_from:
            continue
        pen.disc((x, y), size * rng.uniform(0.7, 1.3), "tree")
        placed += 1


def draw_house(pen: MapPen, center: Point, width: float, angle: float) -> None:
    """A roof with its ridge."""
    pen.box(center, width, width * 0.72, "roof", angle)
    reach = np.array([np.cos(angle), np.sin(angle)]) * width / 2
    pen.stroke([tuple(center - reach), tuple(center + reach)], 0.8)


def draw_car(pen: MapPen, rng: np.random.Generator, center: Point, length: float, angle: float) -> None:
    """A car from above."""
    pen.box(center, length, length * 0.5, str(rng.choice(["accent", "marking", "shade", "pool"])), angle)


def draw_plane(pen: MapPen, center: Point, length: float, angle: float) -> None:
    """An airliner from above."""
    half = np.array(
        [
            *((0.5, 0), (0.42, 0.05), (0.12, 0.06), (-0.12, 0.45), (-0.22, 0.45)),
            *((-0.1, 0.06), (-0.35, 0.05), (-0.45, 0.18), (-0.5, 0.18), (-0.47, 0)),
        ]
    )
    outline = np.concatenate([half, half[-2:0:-1] * (1, -1)]) * length
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pen.polygon(as_points(outline @ turn.T + center), "steel")


def draw_boat(pen: MapPen, center: Point, length: float, angle: float) -> None:
    """A boat from above."""
    outline = np.array([(-0.5, -0.17), (0.15, -0.17), (0.5, 0), (0.15, 0.17), (-0.5, 0.17)]) * length
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pen.polygon(as_points(outline @ turn.T + center), "steel")
    pen.box(tuple(np.asarray(center) - 0.1 * length * turn[:, 0]), 0.3 * length, 0.18 * length, "roof", angle)


def oval_outline(half_length: float, radius: float) -> list[Point]:
    """The outline of a running track: two straights and two half circles."""
    turns = np.linspace(-np.pi / 2, np.pi / 2, 12)
    right = np.stack([half_length + radius * np.cos(turns), radius * np.sin(turns)], axis=1)
    return as_points(np.concatenate([right, -right, right[:1]]))


def draw_pitch(pen: MapPen, width: float, height: float) -> None:
    """A football pitch with its half-way line and circle."""
    pen.box((0, 0), width, height, "grass")
    pen.stroke([(0, -height / 2), (0, height / 2)], 0.8, "marking")
    pen.stroke([(0.2 * height * np.cos(t), 0.2 * height * np.sin(t)) for t in np.linspace(0, 6.3, 14)], 0.8, "marking")


def draw_street_grid(pen: MapPen, spacing: float, width: float) -> None:
    """Streets in both directions, over the whole sheet."""
    for at in np.arange(-EDGE, EDGE, spacing):
        pen.ribbon([(at, -EDGE), (at, EDGE)], width, "road", edge=False)
        pen.ribbon([(-EDGE, at), (EDGE, at)], width, "road", edge=False)


def draw_houses_in_rows(
    pen: MapPen, rng: np.random.Generator, row: float, step: float, width: float, trees: float
) -> int:
    """Streets with houses on both sides; returns how many stand near the middle."""
    pen.cover("grass" if trees > 0.2 else "ground")
    number = 0
    for y in np.arange(-1.9, 1.9, row):
        pen.ribbon([(-EDGE, y), (EDGE, y)], 0.3 * row, "road", edge=not pen.look.filled)
        for side in (-1, 1):
            for x in np.arange(-1.9, 1.9, step):
                where = (x + rng.normal(0, 0.05 * step), y + side * 0.33 * row)
                if chance(rng, trees):
                    pen.disc(where, 0.35 * width, "tree")
                else:
                    draw_house(pen, where, width * rng.uniform(0.85, 1.1), rng.choice([0, np.pi / 2]))
                    number += bool(max(abs(where[0]), abs(where[1])) < 1)
    return number
