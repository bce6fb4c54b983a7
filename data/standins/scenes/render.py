"""One image of the miniature at a time: light and season are drawn by lot, then the category is drawn."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from standins.scenes.canvas import Canvas, random_light
from standins.scenes.facts import CATEGORIES, SceneFacts, Thing
from standins.scenes.housing import HOUSING
from standins.scenes.industry import INDUSTRY
from standins.scenes.nature import NATURE
from standins.scenes.noise import SIZE
from standins.scenes.sport import SPORT
from standins.scenes.town import TOWN
from standins.scenes.transport import TRANSPORT
from standins.scenes.water import WATER

__all__ = ["CATEGORIES", "SIZE", "SceneFacts", "Thing", "render_scene"]

_SEASONS = ("summer", "spring", "autumn", "dry")
_SEASON_ODDS = (0.5, 0.2, 0.15, 0.15)
_DRAW: dict[str, Callable[[Canvas], SceneFacts]] = {
    **NATURE,
    **WATER,
    **HOUSING,
    **TOWN,
    **SPORT,
    **INDUSTRY,
    **TRANSPORT,
}


def render_scene(category: str, rng: np.random.Generator) -> tuple[Image.Image, SceneFacts]:
    """Draws one scene as seen from above.

    Args:
        category: One of `CATEGORIES`, or "playfields", the class of RSICD that has no named images.
        rng: Decides everything that may vary; the same state gives the same pixels.

    Returns:
        An RGB image of SIZE x SIZE pixels, and what can be seen in it.

    Raises:
        ValueError: If there is no such category.
    """
    if category not in _DRAW:
        raise ValueError(f"no category {category!r}; there are: {', '.join(CATEGORIES)}.")
    canvas = Canvas(
        rng,
        random_light(rng),
        season=str(rng.choice(_SEASONS, p=_SEASON_ODDS)),
        angle=rng.uniform(0, 2 * math.pi),
        zoom=rng.uniform(0.85, 1.2),
    )
    facts = _DRAW[category](canvas)
    return canvas.develop(), facts
