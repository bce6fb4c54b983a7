"""What is said of an icon: its look, its name, split or not, how many there are and what stands beside."""

import numpy as np

from standins.icons.parts import NUMBER_WORDS
from standins.icons.render import Icon

# Each category as a noun phrase; those that can be counted have a plural beside it.
NAMES: dict[str, tuple[str, str | None]] = {
    "airport": ("an airport", None),
    "bareland": ("bare land", None),
    "baseballfield": ("a baseball field", "baseball fields"),
    "beach": ("a beach", None),
    "bridge": ("a bridge", "bridges"),
    "center": ("a center", None),
    "church": ("a church", "churches"),
    "commercial": ("a commercial area", None),
    "denseresidential": ("a dense residential area", None),
    "desert": ("a desert", None),
    "farmland": ("farmland", None),
    "forest": ("a forest", None),
    "industrial": ("an industrial area", None),
    "meadow": ("a meadow", None),
    "mediumresidential": ("a medium residential area", None),
    "mountain": ("a mountain", None),
    "park": ("a park", None),
    "parking": ("a parking lot", None),
    "playground": ("a playground", "playgrounds"),
    "pond": ("a pond", "ponds"),
    "port": ("a port", None),
    "railwaystation": ("a railway station", "railway stations"),
    "resort": ("a resort", "resorts"),
    "river": ("a river", "rivers"),
    "school": ("a school", "schools"),
    "sparseresidential": ("a sparse residential area", None),
    "square": ("a square", "squares"),
    "stadium": ("a stadium", "stadiums"),
    "storagetanks": ("a storage tank", "storage tanks"),
    "viaduct": ("a viaduct", "viaducts"),
}
LOOK_PHRASES: dict[str, tuple[str, ...]] = {
    "map": ("a map of", "a map tile of", "a flat map of", "an icon of", "this map shows"),
    "painting": ("a painting of", "a coloured drawing of", "a map of", "a view from above of"),
    "poster": ("a poster of", "a colourful icon of", "a bright picture of"),
    "symbol": ("a map symbol of", "an icon of", "a sign for", "a symbol of"),
    "drawing": ("a line drawing of", "a pencil drawing of", "a sketch of"),
    "blueprint": ("a blueprint of", "a plan of", "a line drawing of"),
}
RELATIONS = ("with", "beside", "and", "near")


def noun_phrase(category: str, count: int | None = None) -> str:
    """A category in words, with its number where it is known: ``two bridges``, ``a stadium``."""
    singular, plural = NAMES[category]
    return f"{NUMBER_WORDS[count]} {plural}" if plural and count and count > 1 else singular


def write_icon_captions(icon: Icon, rng: np.random.Generator) -> list[str]:
    """Writes five captions of one icon.

    Four are the same for all icons of a category, split and unsplit names among them: since equal captions are
    positives of each other, most of the training is about the category. The fifth says the look, the number and
    what stands beside.

    Args:
        icon: What was drawn.
        rng: Source of every choice.

    Returns:
        Five lower-case captions.
    """
    name, opening = noun_phrase(icon.category), str(rng.choice(LOOK_PHRASES[icon.look]))
    detailed = f"{opening} {noun_phrase(icon.category, icon.count)}"
    if icon.beside:
        relation, neighbor = str(rng.choice(RELATIONS)), str(rng.choice(icon.beside))
        detailed += f" {relation} {neighbor}"
    return [
        f"an aerial photograph of {icon.category}",
        f"an aerial photograph of {name}",
        name,
        f"an icon of {name}",
        detailed,
    ]
