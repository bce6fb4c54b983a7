"""Captions for the miniature: a small grammar that says only what the facts of a scene hold.

The style is that of RSICD: short plain sentences in lower case, ended by " .", often the same sentence for many
images. The words stand in `standins.scenes.english`, the sentence patterns in `standins.scenes.patterns`; this
module picks and joins them.
"""

import re
from collections.abc import Sequence

import numpy as np

from standins.scenes.english import NOUNS, NUMBERS, QUANTITIES, VERBS
from standins.scenes.facts import SceneFacts, Thing
from standins.scenes.patterns import ASIDE_PATTERNS, CATEGORY_PATTERNS, COLOR_PATTERNS, LAYOUT_PATTERNS, PLAIN_PATTERNS

_SLOT = re.compile(r"\{(\w+)(?:\.(\w+))?\}")

_USUAL_SHARE = 0.22  # captions that are stock phrases
_PLAIN_SHARE = 0.15
_ASIDE_SHARE = 0.2
_COLOR_SHARE = 0.3

# How many different captions the five of an image are, in RSICD's train split: 1 in 52 % of the images, and so on.
_DISTINCT_ODDS = (0.52, 0.16, 0.15, 0.11, 0.06)


def write_captions(facts: SceneFacts, rng: np.random.Generator) -> list[str]:
    """Writes five captions of a scene, some or all of them the same, as RSICD's annotators did.

    Args:
        facts: What the scene shows.
        rng: Decides wording and repetition.

    Returns:
        Five sentences that end with " .".
    """
    wanted = 1 + int(rng.choice(5, p=_DISTINCT_ODDS))
    distinct: list[str] = []
    for _ in range(60):
        caption = write_caption(facts, rng)
        if caption not in distinct:
            distinct.append(caption)
        if len(distinct) == wanted:
            break
    repeats = rng.integers(len(distinct), size=5 - len(distinct))
    return [*distinct, *(distinct[index] for index in sorted(repeats))]


def write_caption(facts: SceneFacts, rng: np.random.Generator) -> str:
    """Writes one caption of a scene: a stock phrase, or with even odds a closer description."""
    usual = bool(rng.random() < _USUAL_SHARE)
    around = list(facts.around)
    if not usual:
        around = [around[index] for index in rng.permutation(len(around))]
    things = _things(facts, around, rng)
    patterns = _patterns(facts, things, rng)
    index = min(int(rng.exponential(1.0)), len(patterns) - 1) if usual else int(rng.integers(len(patterns)))
    return fill_pattern(patterns[index], things, usual, rng)


def slots_of(pattern: str) -> list[str]:
    """The names of the things that a pattern asks for."""
    return [slot.group(1) for slot in _SLOT.finditer(pattern)]


def fill_pattern(pattern: str, things: dict[str, Thing], usual: bool, rng: np.random.Generator) -> str:
    """Puts things into the slots of a pattern.

    Args:
        pattern: A pattern of `standins.scenes.patterns`.
        things: What is to be seen, by the names of slots.
        usual: Whether to prefer the stock wording.
        rng: Decides wording.

    Returns:
        A sentence that ends with " .".
    """
    phrases = {name: _phrase(thing, usual, rng) for name, thing in things.items()}
    return _SLOT.sub(lambda slot: _fill(slot, things, phrases), pattern) + " ."


def _things(facts: SceneFacts, around: Sequence[Thing], rng: np.random.Generator) -> dict[str, Thing]:
    """The things that slots may ask for, by the name of the slot."""
    things = {thing.name.replace(" ", "_"): thing for thing in (*facts.within, *around)}
    things |= {"main": facts.main} | dict(zip(("first", "second"), around, strict=False))
    colored = [thing for thing in (facts.main, *facts.within, *around) if thing.color and thing.name != "tree"]
    if colored and rng.random() < _COLOR_SHARE:
        things["colored"] = colored[int(rng.integers(len(colored)))]
    return things


def _patterns(facts: SceneFacts, things: dict[str, Thing], rng: np.random.Generator) -> list[str]:
    """The patterns whose slots this scene can fill, the usual ones first."""
    can_surround = "first" in things and things["first"].count > 1
    tables = [CATEGORY_PATTERNS[facts.category], LAYOUT_PATTERNS[facts.layout if can_surround else "near"]]
    if rng.random() < _PLAIN_SHARE:
        tables.append(PLAIN_PATTERNS)
    if rng.random() < _ASIDE_SHARE:
        tables.append(ASIDE_PATTERNS)
    if "colored" in things:
        tables.append(COLOR_PATTERNS)
    fitting = [pattern for table in tables for pattern in table if all(slot in things for slot in slots_of(pattern))]
    return fitting or list(PLAIN_PATTERNS)


def _phrase(thing: Thing, usual: bool, rng: np.random.Generator) -> tuple[str, str]:
    """An indefinite and a definite phrase for a thing: ("two white planes", "the planes")."""
    nouns = NOUNS[thing.name]
    noun = nouns[0] if usual or rng.random() < 0.5 else nouns[int(rng.integers(len(nouns)))]
    plural = thing.count > 1
    head = noun.many if plural else noun.one
    adjectives = [word for word in (thing.shape, thing.color) if word and rng.random() < (0.3 if usual else 0.6)]
    described = " ".join([*adjectives, head])
    if noun.measure:
        described = f"{noun.measure[plural]} {described}"
    return _with_quantity(thing.count, described, usual, rng), f"the {head}"


def _with_quantity(count: int, described: str, usual: bool, rng: np.random.Generator) -> str:
    """Puts a true quantity before a described noun."""
    if count == 1:
        return f"{'an' if described[0] in 'aeiou' else 'a'} {described}"
    fitting = [words for low, high, words in QUANTITIES if low <= count <= high]
    if count <= 4 or (count in NUMBERS and not usual and rng.random() < 0.6) or not fitting:
        fitting = [NUMBERS[count]]
    return f"{fitting[0] if usual else fitting[int(rng.integers(len(fitting)))]} {described}"


def _fill(slot: re.Match, things: dict[str, Thing], phrases: dict[str, tuple[str, str]]) -> str:
    """The words for one slot of a pattern."""
    name, form = slot.groups()
    if form is None:
        return phrases[name][0]
    if form == "the":
        return phrases[name][1]
    if form == "noun":
        return phrases[name][1].removeprefix("the ")
    if form == "color":
        return things[name].color or ""
    return VERBS[form][things[name].count > 1]
