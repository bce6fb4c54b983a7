"""What the page says of whether a thing is there at all, and of queries in a language that the model has not learned.

A collection that is asked in words is judged as the finder judges a scene: its images are the tiles, the best margin
counts, and the logarithm of their number goes into the presence model with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from utils.finder.finding import fill, logit_scale
from utils.finder.presence import VERDICT_LIMITS, presence_in_words

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.finder import Finding, PresenceModel

DOUBTFUL = VERDICT_LIMITS[1]  # below it a collection holds probably nothing like what was asked for
NOTHING = "Probably nothing like this here."
# The presence model was calibrated on names of things; whole sentences of more words are not judged.
JUDGED_WORDS = 6
LEAST_AUC = 0.85  # of a presence model in its calibration; one that hardly tells scenes apart says nothing here
JUDGED_NEIGHBORS = 1000  # images whose margins are computed, those closest to the prompt
WORD = re.compile(r"[^\W\d_]+")
# Between the names of things in a query, as in "a bridge over a river".
BETWEEN = """a an the some any many several few and or with without of in on at by near next to over under above below
around beside between among from into along through across behind is are there one two three four five"""
# Words that sentences in a language can hardly do without, and English ones do not have.
FUNCTION_WORDS = {
    "German": "der das ein eine einer einem und mit auf dem den im neben über zwischen sind",
    "French": "le les un une et avec sur dans du des au aux près est sont",
    "Spanish": "el una y con en del cerca sobre hay",
    "Italian": "il lo gli uno una con di del della nel vicino sopra ci sono",
    "Portuguese": "os um uma com em da dos das ao perto sobre há",
}
LEARNED = "The model has learned English captions"


@dataclass(frozen=True, eq=False)
class CollectionJudge:
    """Says how probable it is that any image of a collection shows what a text names."""

    model: CLIP
    presence: PresenceModel  # calibrated for that model

    def probability(self, texts: Sequence[str], embeddings: np.ndarray) -> float | None:
        """That one of the images, whose embeddings (images, dim) are given, shows a thing that a text names, 0 to 1.

        None where no text is short enough to be judged. Of several things in a text the one that is surest counts.
        """
        from utils.clip import embed_texts

        names = list(dict.fromkeys(name for text in texts for name in names_in(text)))
        if not names or not len(embeddings):
            return None
        prompts = embed_texts(self.model, [fill(self.presence.template, name) for name in names])
        best = max(self._best_margin(prompt, embeddings) for prompt in prompts)
        return float(self.presence.probabilities(np.array([best]), np.log(len(embeddings)))[0])

    def _best_margin(self, prompt: np.ndarray, embeddings: np.ndarray) -> float:
        if len(embeddings) > JUDGED_NEIGHBORS:
            embeddings = embeddings[np.argpartition(-(embeddings @ prompt), JUDGED_NEIGHBORS)[:JUDGED_NEIGHBORS]]
        return float(self.presence.margins(embeddings, prompt, self._background, logit_scale(self.model)).max())

    @cached_property
    def _background(self) -> np.ndarray:
        from utils.clip import embed_texts

        return embed_texts(self.model, list(self.presence.background))


def names_in(text: str) -> list[str]:
    """The things that a query may name, and each word alone; empty if it has more than `JUDGED_WORDS` words.

    "a bridge over a large river" gives bridge, large river, large, and river.
    """
    words = WORD.findall(text.lower())
    if not words or len(words) > JUDGED_WORDS:
        return []
    between, runs = set(BETWEEN.split()), [list[str]()]
    for word in words:
        if word in between:
            runs.append([])
        else:
            runs[-1].append(word)
    found = [name for run in runs if run for name in (*(" ".join(run[start:]) for start in range(len(run))), *run)]
    return list(dict.fromkeys(found)) or [" ".join(words)]


def without_article(text: str) -> str:
    """A text as a name, for prompts that were calibrated with names: "a stadium" is stadium."""
    first, _, rest = text.partition(" ")
    return rest if rest and first.lower() in ("a", "an", "the") else text


def language_hint(text: str) -> str:
    """A sentence if a query is hardly English, as its letters or its function words tell; else empty."""
    words = WORD.findall(text.lower())
    letters = "".join(words)
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if letters and 2 * latin < len(letters):
        return f"{LEARNED}, and your words are in other letters: try them in English."
    found = {language: len(set(words) & set(known.split())) for language, known in FUNCTION_WORDS.items()}
    language = max(found, key=lambda name: found[name])
    if found[language]:
        several = list(found.values()).count(found[language]) > 1
        seems = "another language" if several else language
        return f"{LEARNED}, and this looks like {seems}: try it in English."
    if sum(not word.isascii() for word in words) * 2 > len(words):
        return f"{LEARNED}, and this looks like another language: try it in English."
    return ""


def verdict(feature: str, finding: Finding) -> str:
    """Presence in words, with the probability."""
    if finding.aerial is False:
        return f"This is probably no image from above, so nothing is said on whether “{feature}” is here."
    if finding.presence is None:
        return f"If “{feature}” is here, then most likely in the tiles ranked first."
    return f"“{feature}” {presence_in_words(finding.presence)}: probability {finding.presence:.2f}."
