"""Icons and line drawings of the thirty RSICD categories, seen from above.

What a map legend, a blueprint or a poster would show of a stadium or a port: another look at the same things.
The starting checkpoint (`standins.icons`) learns from these and has never seen a scene of `standins.scenes.render`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from standins.icons import land, town, traffic
from standins.icons.map_pen import LOOKS, MapPen, draw_look
from standins.icons.parts import Facts

# Mostly paintings, whose colors are natural: what is learned from them carries over to scenes best.
LOOK_SHARES = {"map": 0.12, "painting": 0.64, "poster": 0.05, "symbol": 0.06, "drawing": 0.08, "blueprint": 0.05}


@dataclass(frozen=True)
class Icon:
    """A drawn icon and what is on it.

    Attributes:
        image: RGB image.
        category: One of `DRAWINGS`.
        look: One of `map_pen.LOOKS`.
        count: How many of the category's things are drawn, where that can be said.
        beside: Other things that are drawn, as noun phrases.
    """

    image: Image.Image
    category: str
    look: str
    count: int | None
    beside: tuple[str, ...]


def render_icon(category: str, rng: np.random.Generator, size: int = 96, look: str | None = None) -> Icon:
    """Draws one icon: look, colors, turn, scale and details all come from the generator.

    Args:
        category: One of the thirty categories.
        rng: Source of every choice; the same state gives the same pixels.
        size: Width and height in pixels.
        look: One of `map_pen.LOOKS`; drawn at random when None.

    Returns:
        The icon.

    Raises:
        ValueError: If the category or the look is unknown.
    """
    if category not in DRAWINGS:
        raise ValueError(f"No drawing is known for {category!r}; known are {', '.join(DRAWINGS)}.")
    name = look or str(rng.choice(LOOKS, p=[LOOK_SHARES[key] for key in LOOKS]))
    offset = (rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12))
    angle = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.35)
    pen = MapPen(draw_look(name, rng), rng, size, angle, rng.uniform(0.75, 1.15), offset)
    count, beside = DRAWINGS[category](pen, rng)
    return Icon(pen.finish(), category, name, count, beside)


DRAWINGS: dict[str, Callable[[MapPen, np.random.Generator], Facts]] = {
    "airport": traffic.draw_airport,
    "bareland": land.draw_bareland,
    "baseballfield": traffic.draw_baseballfield,
    "beach": land.draw_beach,
    "bridge": traffic.draw_bridge,
    "center": town.draw_center,
    "church": town.draw_church,
    "commercial": town.draw_commercial,
    "denseresidential": town.draw_denseresidential,
    "desert": land.draw_desert,
    "farmland": land.draw_farmland,
    "forest": land.draw_forest,
    "industrial": town.draw_industrial,
    "meadow": land.draw_meadow,
    "mediumresidential": town.draw_mediumresidential,
    "mountain": land.draw_mountain,
    "park": land.draw_park,
    "parking": traffic.draw_parking,
    "playground": traffic.draw_playground,
    "pond": land.draw_pond,
    "port": traffic.draw_port,
    "railwaystation": traffic.draw_railwaystation,
    "resort": town.draw_resort,
    "river": land.draw_river,
    "school": town.draw_school,
    "sparseresidential": town.draw_sparseresidential,
    "square": town.draw_square,
    "stadium": traffic.draw_stadium,
    "storagetanks": town.draw_storagetanks,
    "viaduct": traffic.draw_viaduct,
}
