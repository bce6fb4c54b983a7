"""Measures the two models on captions that they have not learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from standins.phrasebook import english
from standins.phrasebook.parsing import Chunk, NounPhrase, parse
from standins.phrasebook.transfer import LANGUAGES, broad_lexicon, paraphrase, translate
from standins.scenes.english import NOUNS as MINIATURE_NOUNS

if TYPE_CHECKING:
    from transformers import MarianMTModel, MarianTokenizer

THINGS = {noun.one: name for name, nouns in MINIATURE_NOUNS.items() for noun in nouns} | {"trail": "path"}
"""What each noun stands for: a "lake" and a "pond" are one thing."""

_INEXACT = dict.fromkeys(english.QUANTITIES, "many") | {"the": ""}


@dataclass(frozen=True)
class RoundTrip:
    """Shares of captions, for one language.

    Attributes:
        exact_there: Translations from English that are the phrase book's own.
        exact_back: Translations of those into English that are the phrase book's own.
        kept: Round trips with the same things, numbers and colors.
        changed: Round trips that differ, apart from capital letters and the full stop.
        broken: Round trips that are empty, run on or stammer.
    """

    exact_there: float
    exact_back: float
    kept: float
    changed: float
    broken: float


def load(folder: Path) -> tuple[MarianMTModel, MarianTokenizer]:
    """Loads a model and its tokenizer from a checkpoint folder."""
    from transformers import MarianMTModel, MarianTokenizer

    return MarianMTModel.from_pretrained(folder).eval(), MarianTokenizer.from_pretrained(folder)


def translate_texts(
    pair: tuple[MarianMTModel, MarianTokenizer], texts: Sequence[str], batch_size: int = 64
) -> list[str]:
    """Translates with beam search.

    Args:
        pair: Model and tokenizer.
        texts: What to translate; English has to begin with a mark such as ">>fr<<".
        batch_size: Texts at a time; those of like length come together.

    Returns:
        The translations in the order of the texts.
    """
    import torch

    model, tokenizer = pair
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    results = [""] * len(texts)
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        inputs = tokenizer([texts[index] for index in chosen], return_tensors="pt", padding=True)
        with torch.inference_mode():
            outputs = model.generate(**inputs, max_length=80)  # type: ignore[misc]  # its mixin names no model
        for index, output in zip(chosen, outputs, strict=True):
            results[index] = tokenizer.decode(output, skip_special_tokens=True)
    return results


def measure_round_trips(
    there: tuple[MarianMTModel, MarianTokenizer], back: tuple[MarianMTModel, MarianTokenizer], captions: Sequence[str]
) -> dict[str, RoundTrip]:
    """Sends captions through each language and back, and compares them with the phrase book.

    Args:
        there: Model and tokenizer from English.
        back: Model and tokenizer to English.
        captions: Captions in the miniature's words.

    Returns:
        Shares by the code of the language.
    """
    results = {}
    for code in LANGUAGES:
        foreign = translate_texts(there, [f">>{code}<< {caption}" for caption in captions])
        returned = translate_texts(back, foreign)
        expected = [translate(caption, code) for caption in captions]
        as_expected = [paraphrase(caption, code) for caption in captions]
        counts = RoundTrip(
            sum(map(str.__eq__, foreign, expected)),
            sum(map(str.__eq__, translate_texts(back, expected), as_expected)),
            sum(map(keeps_meaning, captions, returned)),
            sum(normalized(new) != normalized(old) for old, new in zip(captions, returned, strict=True)),
            sum(map(is_broken, captions, returned)),
        )
        results[code] = RoundTrip(*(count / len(captions) for count in astuple(counts)))
    return results


def keeps_meaning(caption: str, paraphrased: str) -> bool:
    """Whether two English sentences name the same things, numbers and colors."""
    try:
        return _content(parse(caption)) == _content(parse(paraphrased, broad_lexicon()))
    except ValueError:
        return False


def _content(chunks: tuple[Chunk, ...]) -> Counter[tuple[str, ...]]:
    """Each thing of a sentence with its color, its shape and its number."""
    things: Counter[tuple[str, ...]] = Counter()
    for chunk in chunks:
        if isinstance(chunk, NounPhrase):
            number = _INEXACT.get(chunk.determiner, chunk.determiner)
            things[THINGS.get(chunk.noun, chunk.noun), *sorted(chunk.adjectives), number] += 1
        elif getattr(chunk, "key", "") in english.ADJECTIVES:
            things[(chunk.key,)] += 1
    return things


def normalized(sentence: str) -> str:
    """A sentence without what tells a caption from proper spelling."""
    return sentence.lower().rstrip(" .")


def is_broken(caption: str, paraphrased: str) -> bool:
    """Whether a round trip came back empty, more than twice as long, or with a word twice in a row."""
    words = paraphrased.lower().split()
    runs_on = len(words) > 2 * len(caption.split())
    return not words or runs_on or any(one == other for one, other in pairwise(words))
