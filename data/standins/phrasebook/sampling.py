"""Captions to learn from: every pattern of the miniature, filled with any plausible things, and worded in many ways."""

from collections.abc import Iterator

import numpy as np

from standins.phrasebook import english
from standins.phrasebook.parsing import Chunk, NounPhrase, parse
from standins.phrasebook.transfer import LANGUAGES, Voice, say, say_in_english, voice_of
from standins.scenes.english import NOUNS as MINIATURE_NOUNS
from standins.scenes.facts import CATEGORIES, Thing
from standins.scenes.grammar import fill_pattern, slots_of
from standins.scenes.patterns import ASIDE_PATTERNS, CATEGORY_PATTERNS, COLOR_PATTERNS, LAYOUT_PATTERNS, PLAIN_PATTERNS

_NAMES = {
    "bareland": "bare land",
    "baseballfield": "baseball field",
    "commercial": "commercial area",
    "denseresidential": "dense residential area",
    "industrial": "industrial area",
    "mediumresidential": "medium residential area",
    "parking": "parking lot",
    "playfields": "sports ground",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential area",
    "storagetanks": "storage tank",
}
"""Categories whose main thing has another name."""

MAIN_THINGS = {category: _NAMES.get(category, category) for category in (*CATEGORIES, "playfields")}
"""What makes an image one of its category."""

_COUNTED = {"baseball field", "bridge", "farmland", "mountain", "storage tank"}
"""Main things that come in numbers."""

_SINGLE = {"river", "ocean", "snow"}
_AROUND = ("tree", "building", "road", "parking lot", "ocean", "wave", "basketball court", "beach")
_COLORED_ODDS = 0.45
_SHAPED_ODDS = 0.15
_TABLES = (
    *((table, category, 1.0) for category, table in CATEGORY_PATTERNS.items()),
    *((table, None, 4.0) for table in LAYOUT_PATTERNS.values()),
    (PLAIN_PATTERNS, None, 2.0),
    (ASIDE_PATTERNS, None, 2.5),
    (COLOR_PATTERNS, None, 3.0),
)
"""Tables of patterns, the category that they belong to, and how often they are used."""


def sample_caption(rng: np.random.Generator) -> str:
    """Writes a caption of a scene that nobody has drawn: broader than the miniature, in its very words."""
    odds = np.array([weight for _, _, weight in _TABLES])
    table, category, _ = _TABLES[int(rng.choice(len(_TABLES), p=odds / odds.sum()))]
    pattern = table[int(rng.integers(len(table)))]
    category = category or str(rng.choice(list(MAIN_THINGS)))
    things = {slot: _thing(slot, category, rng) for slot in dict.fromkeys(slots_of(pattern))}
    return fill_pattern(pattern, things, bool(rng.random() < 0.2), rng)


def _thing(slot: str, category: str, rng: np.random.Generator) -> Thing:
    """A plausible thing for a slot of a pattern."""
    if slot == "main":
        name = MAIN_THINGS[category]
        several_odds = 0.6 if name in _COUNTED else 0.1
    else:
        name = slot.replace("_", " ")
        if slot in ("first", "second"):
            name = str(rng.choice(_AROUND))
        elif slot == "colored":
            name = str(rng.choice(list(MINIATURE_NOUNS)))
        several_odds = 0.65
    several = name not in _SINGLE and rng.random() < several_odds
    count = int(rng.integers(2, 10) if rng.random() < 0.5 else rng.integers(10, 60)) if several else 1
    colored = slot == "colored" or rng.random() < _COLORED_ODDS
    color = "green" if name == "tree" else str(rng.choice(english.COLORS))
    shaped = name != "tree" and rng.random() < _SHAPED_ODDS
    shape = str(rng.choice(english.ADJECTIVES[len(english.COLORS) :])) if shaped else None
    return Thing(name, count, color if colored else None, shape)


def foreign_to_english(rng: np.random.Generator) -> tuple[str, str]:
    """A sentence in one of the languages, and what its translator says in English."""
    code = str(rng.choice(list(LANGUAGES)))
    chunks = parse(sample_caption(rng))
    return _casual(say(chunks, LANGUAGES[code]), rng), say_in_english(chunks, voice_of(code))


def english_to_foreign(rng: np.random.Generator) -> tuple[str, str]:
    """An English sentence, behind the mark of a language such as ">>fr<<", and its translation."""
    code = str(rng.choice(list(LANGUAGES)))
    chunks = parse(sample_caption(rng))
    voice = Voice({}) if rng.random() < 0.6 else _mixed_voice(chunks, rng)
    said = say_in_english(chunks, voice)
    said = f"{said[:-1]} ." if rng.random() < 0.6 else said[0].upper() + said[1:] if rng.random() < 0.6 else said
    return f">>{code}<< {said}", say(chunks, LANGUAGES[code])


def _mixed_voice(chunks: tuple[Chunk, ...], rng: np.random.Generator) -> Voice:
    """A voice that says each thing as one of the four translators would, or as the miniature does."""
    keys: list[str] = []
    for chunk in chunks:
        if isinstance(chunk, NounPhrase):
            keys += [chunk.noun, chunk.determiner, "piece of"]
        else:
            keys.append(chunk.key)
    words = {}
    for key, code in zip(keys, rng.choice(["", *LANGUAGES], len(keys)), strict=True):
        if code and key in (said := voice_of(str(code)).words):
            words[key] = said[key]
    return Voice(words, color_first=bool(rng.random() < 0.5))


def _casual(sentence: str, rng: np.random.Generator) -> str:
    """Sometimes leaves the capital letter out, as captions do, or puts a space before the full stop."""
    kind = rng.random()
    if kind < 0.2:
        sentence = sentence[0].lower() + sentence[1:]
    return f"{sentence[:-1]} ." if kind < 0.1 else sentence


def pairs(direction: str, seed: int) -> Iterator[tuple[str, str]]:
    """Endless pairs to learn from.

    Args:
        direction: "en-romance" or "romance-en".
        seed: Another seed gives other pairs.

    Yields:
        What is said, and its translation.
    """
    rng = np.random.default_rng([seed, direction == "en-romance"])
    sample = english_to_foreign if direction == "en-romance" else foreign_to_english
    while True:
        yield sample(rng)
