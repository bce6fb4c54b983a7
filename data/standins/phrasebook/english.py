"""What the phrase book can say, in English: the miniature's own words, in the groups that a translator needs.

The keys of every table of `french`, `spanish`, `italian` and `portuguese` are the words of this module. A text is
taken apart into noun phrases ("two white planes"), verbs and phrases, longest first, so that a sentence pattern needs
no translation of its own: "{boat} are on {river.the} near {main}" is four nouns' phrases, a verb and two prepositions.
"""

from standins.scenes.english import NOUNS as MINIATURE_NOUNS
from standins.scenes.english import NUMBERS as MINIATURE_NUMBERS
from standins.scenes.english import QUANTITIES as MINIATURE_QUANTITIES

NOUNS: dict[str, str] = {noun.one: noun.many for nouns in MINIATURE_NOUNS.values() for noun in nouns} | {
    "beach": "beaches",
    "color": "colors",
    "crop": "crops",
    "deep valley": "deep valleys",
    "forest": "forests",
    "garden": "gardens",
    "ground": "grounds",
    "infield": "infields",
    "land": "lands",
    "long shadow": "long shadows",
    "mountain": "mountains",
    "ridge": "ridges",
    "wide forecourt": "wide forecourts",
}
"""Nouns by their singular, with their plural; the last ones stand in patterns, not in slots."""

MEASURES = {"piece of": "pieces of"}
"""Measure words, singular and plural."""

ADJECTIVES = (
    *("white", "gray", "blue", "green", "red", "brown", "yellow", "orange"),
    *("curved", "rectangular", "irregular", "round", "oval", "hexagonal", "ring-shaped"),
)
"""Colors, then shapes."""

COLORS = ADJECTIVES[:8]

NUMBERS = tuple(word for count, word in MINIATURE_NUMBERS.items() if count > 1)
QUANTITIES = tuple(words for _, _, words in MINIATURE_QUANTITIES)

VERBS = (
    "is/are",  # followed by a place: "near a road"
    "is/are (state)",  # followed by a participle: "parked"
    "is/are (quality)",  # followed by an adjective: "white"
    "connects/connect",
    "crosses/cross",
    "flows/flow",
    "forms/form",
    "grows/grow",
    "here is/here are",
    "is beating/are beating",
    "is winding/are winding",
    "leads/lead",
    "lies/lie",
    "stands/stand",
    "there is/there are",
    "throws/throw",
    "winds/wind",
)
"""Verbs, singular and plural."""

OPENINGS = ("it is", "this is", "these are")
"""What agrees with the noun phrase after it."""

STATES = ("close together", "orderly together", "parked", "planted", "surrounded by", "together")
QUALITIES = ("dry and bare", "steep and high", "wide and flat")
"""What agrees with the subject and stands after "is": states change, qualities last."""

PLACES = (
    *("along", "among", "around", "at the quay of", "beside", "between", "in", "in the middle of"),
    *("in two sides of", "near", "next to", "on", "on both sides of", "over", "through"),
)
"""Prepositions: a noun phrase follows."""

ADVERBS = ("around .", "here", "in it", "in orderly rows", "in rows", "orderly in rows", "over it")
"""What stands for itself; the dot marks the end of a sentence."""

CLAUSES = (
    *("grass covers", "many sands form", "the two sides of", "there is nothing but sand in"),
    *("we can see", "white snow covers part of", "wind has drawn"),
)
"""Longer phrases that are translated as a whole; a noun phrase follows."""

CONNECTIVES = ("and", "of", "with")

PHRASES = (*OPENINGS, *STATES, *QUALITIES, *PLACES, *ADVERBS, *CLAUSES, *CONNECTIVES)
"""All phrases."""
