"""Icons and line drawings of the thirty RSICD categories, seen from above.

What a map legend, a blueprint or a poster would show of a stadium or a port: another look at the same things.
The starting checkpoint (`utils.starter`) learns from these and has never seen a scene of `utils.miniature.scenes`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from utils import icons_of_land, icons_of_town, icons_of_traffic
from utils.icon_parts import Facts
from utils.map_pen import LOOKS, MapPen, draw_look

LOOK_SHARES = {
    "map": 0.24,
    "painting": 0.26,
    "poster": 0.14,
    "symbol": 0.12,
    "drawing": 0.14,
    "blueprint": 0.10,
}


@dataclass(frozen=True)
class Icon:
    """A drawn icon and what is on it.

    Attributes:
        image: RGB picture.
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
    """Draws one icon: look, colours, turn, scale and details all come from the generator.

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
    "airport": icons_of_traffic.draw_airport,
    "bareland": icons_of_land.draw_bareland,
    "baseballfield": icons_of_traffic.draw_baseballfield,
    "beach": icons_of_land.draw_beach,
    "bridge": icons_of_traffic.draw_bridge,
    "center": icons_of_town.draw_center,
    "church": icons_of_town.draw_church,
    "commercial": icons_of_town.draw_commercial,
    "denseresidential": icons_of_town.draw_denseresidential,
    "desert": icons_of_land.draw_desert,
    "farmland": icons_of_land.draw_farmland,
    "forest": icons_of_land.draw_forest,
    "industrial": icons_of_town.draw_industrial,
    "meadow": icons_of_land.draw_meadow,
    "mediumresidential": icons_of_town.draw_mediumresidential,
    "mountain": icons_of_land.draw_mountain,
    "park": icons_of_land.draw_park,
    "parking": icons_of_traffic.draw_parking,
    "playground": icons_of_traffic.draw_playground,
    "pond": icons_of_land.draw_pond,
    "port": icons_of_traffic.draw_port,
    "railwaystation": icons_of_traffic.draw_railwaystation,
    "resort": icons_of_town.draw_resort,
    "river": icons_of_land.draw_river,
    "school": icons_of_town.draw_school,
    "sparseresidential": icons_of_town.draw_sparseresidential,
    "square": icons_of_town.draw_square,
    "stadium": icons_of_traffic.draw_stadium,
    "storagetanks": icons_of_town.draw_storagetanks,
    "viaduct": icons_of_traffic.draw_viaduct,
}
