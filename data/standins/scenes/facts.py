"""What is really to be seen in a drawn scene: the truth that captions are written from."""

from collections.abc import Iterable
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

MANY = 12
"""Stands for a number that nobody would count."""


@dataclass(frozen=True)
class Thing:
    """A kind of thing that is in the image.

    Attributes:
        name: Key of a noun in `standins.scenes.grammar`.
        count: How many can be seen, at least 1.
        color: Color word, if all of them have one color worth telling.
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
        within: What the main thing consists of or holds, the most striking first.
        around: What is outside it, the most striking first.
        layout: How the things around stand to the main thing: "around", "near" or "two sides".
    """

    category: str
    main: Thing
    within: tuple[Thing, ...] = ()
    around: tuple[Thing, ...] = ()
    layout: str = "near"


def describe(
    category: str, main: Thing, within: Iterable[Thing] = (), around: Iterable[Thing] = (), layout: str = "near"
) -> SceneFacts:
    """Collects facts, leaving out what cannot be seen (a count of 0)."""
    seen_within, seen_around = (tuple(thing for thing in group if thing.count > 0) for group in (within, around))
    return SceneFacts(category, main, seen_within, seen_around, layout)
