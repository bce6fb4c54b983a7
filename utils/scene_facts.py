"""What is really to be seen in a drawn scene: the truth that captions are written from."""

from dataclasses import dataclass

CATEGORIES = (
    "airport",
    "bareland",
    "baseballfield",
    "beach",
    "bridge",
    "center",
    "church",
    "commercial",
    "denseresidential",
    "desert",
    "farmland",
    "forest",
    "industrial",
    "meadow",
    "mediumresidential",
    "mountain",
    "park",
    "parking",
    "playground",
    "pond",
    "port",
    "railwaystation",
    "resort",
    "river",
    "school",
    "sparseresidential",
    "square",
    "stadium",
    "storagetanks",
    "viaduct",
)
"""The 30 categories of RSICD, sorted, as its file names spell them."""


@dataclass(frozen=True)
class Thing:
    """A kind of thing that is in the picture.

    Attributes:
        name: Key of a noun in `utils.grammar`.
        count: How many can be seen, at least 1.
        color: Colour word, if all of them have one colour worth telling.
        shape: Adjective of form, if there is one worth telling.
    """

    name: str
    count: int = 1
    color: str | None = None
    shape: str | None = None


@dataclass(frozen=True)
class SceneFacts:
    """What a scene shows.

    Attributes:
        category: One of `CATEGORIES`.
        main: The thing that makes it this category.
        others: What else is there, the most striking first.
        layout: How the others stand to the main thing: "around", "near", "two sides", "one side" or "in".
    """

    category: str
    main: Thing
    others: tuple[Thing, ...] = ()
    layout: str = "near"


def describe(category: str, main: Thing, *others: Thing | None, layout: str = "near") -> SceneFacts:
    """Collects facts, leaving out what cannot be seen (None, or a count of 0)."""
    seen = tuple(thing for thing in others if thing is not None and thing.count > 0)
    return SceneFacts(category, main, seen, layout)
