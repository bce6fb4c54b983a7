"""What a score must say of its test set: pictures and captions that training has seen already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from utils.evaluation.near_duplicates import MIN_EMBEDDING_SIMILARITY, DuplicatePair, find_near_duplicates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from utils.datasets import CaptionDataset

SHOWN = 3


@dataclass(frozen=True)
class KnownOverlap:
    """Data sets whose pictures another holds, as is known without looking.

    Attributes:
        holds: Names of the data sets.
        reason: Where that is known from, as a clause.
    """

    holds: tuple[str, ...]
    reason: str


KNOWN_OVERLAPS: Mapping[str, KnownOverlap] = MappingProxyType(
    {"rsicd": KnownOverlap(("aid",), "its 30 categories are those of AID, and so are many of its pictures")}
)


@dataclass(frozen=True)
class CaptionOverlap:
    """Captions of a test set that stand word for word in a training set.

    Attributes:
        count: Test captions that stand in training too.
        total: All test captions.
        images: Test images with at least one such caption.
        examples: The most frequent of them, the most frequent first.
    """

    count: int
    total: int
    images: int
    examples: tuple[str, ...]

    @property
    def share(self) -> float:
        """The share of the captions, 0 where there are none."""
        return self.count / self.total if self.total else 0.0


@dataclass(frozen=True)
class Audit:
    """What was found before anything is scored.

    Attributes:
        train: The pictures that a model learns from.
        test: The pictures that it is judged by.
        pairs: Near-duplicates within and between the two.
        captions: Captions that stand in both.
        shared_files: Test images that are training images, the very same files.
    """

    train: CaptionDataset
    test: CaptionDataset
    pairs: tuple[DuplicatePair, ...]
    captions: CaptionOverlap
    shared_files: tuple[str, ...]

    @property
    def across(self) -> tuple[DuplicatePair, ...]:
        """The pairs of a training and a test picture, in this order."""
        trained = {item.path for item in self.train}
        tested = {item.path for item in self.test}
        return tuple(pair for pair in self.pairs if pair.first.path in trained and pair.second.path in tested)

    @property
    def leaked(self) -> tuple[str, ...]:
        """Names of the test images with a near-duplicate in training, each once, in the order of the test set."""
        found = {pair.second.path for pair in self.across}
        return tuple(item.name for item in self.test if item.path in found)

    @property
    def clean_test(self) -> CaptionDataset:
        """The test set without the pictures that training has seen, to be scored beside the whole."""
        from utils.datasets import CaptionDataset

        seen = {pair.second.path for pair in self.across} | {item.path for item in self.train}
        kept = (item for item in self.test if item.path not in seen)
        return CaptionDataset(kept, self.test.name, splits=self.test.splits)

    @property
    def warning(self) -> str | None:
        """What must stand beside every score of this test set; None where nothing was found in its pictures."""
        return overlap_warning(self.train, self.test, self)

    def __str__(self) -> str:
        """Return the report as people read it."""
        names = [_title(dataset) for dataset in (self.train, self.test)]
        lines = [
            f"{names[1]} ({len(self.test):,} images) beside {names[0]} ({len(self.train):,} images)",
            f"  near-duplicates  {len(self.pairs)} pairs, {len(self.across)} of them across",
            *(f"    {pair}" for pair in self.across),
            f"  same captions    {self.captions.count:,} of {self.captions.total:,} "
            f"({self.captions.share:.1%}), on {self.captions.images:,} images",
            *(f"    {caption}" for caption in self.captions.examples),
        ]
        return "\n".join([*lines, f"  {self.warning}"] if self.warning else lines)


def audit_overlap(
    train: CaptionDataset,
    test: CaptionDataset,
    *,
    embeddings: tuple[np.ndarray, np.ndarray] | None = None,
    min_embedding_similarity: float = MIN_EMBEDDING_SIMILARITY,
    workers: int | None = None,
) -> Audit:
    """Looks for what a test set shares with a training set: near-duplicate pictures and equal captions.

    Args:
        train: What a model learns from.
        test: What it is judged by; of the same data set or another.
        embeddings: (train images, dim) and (test images, dim); pairs with a high cosine then count too.
        min_embedding_similarity: From what cosine on, see `find_near_duplicates`.
        workers: Threads that decode; None takes one a core.

    Returns:
        What was found.

    Raises:
        ValueError: If a set is empty, embeddings do not fit the pictures, or not one picture can be decoded.
    """
    from utils.datasets import CaptionDataset

    if not len(train) or not len(test):
        raise ValueError(f"An audit needs training and test images, not {len(train)} and {len(test)}.")
    trained = {item.path for item in train}
    new = [number for number, item in enumerate(test) if item.path not in trained]
    rows = None
    if embeddings is not None:
        _check_rows(embeddings, (train, test))
        rows = np.concatenate([embeddings[0], embeddings[1][new]])
    pairs = find_near_duplicates(
        CaptionDataset([*train, *(test[number] for number in new)], f"{_title(train)} and {_title(test)}"),
        embeddings=rows,
        min_embedding_similarity=min_embedding_similarity,
        workers=workers,
    )
    shared = tuple(item.name for item in test if item.path in trained)
    return Audit(train, test, pairs, caption_overlap(train, test), shared)


def caption_overlap(train: CaptionDataset, test: CaptionDataset) -> CaptionOverlap:
    """Counts the test captions that stand word for word in training, every repetition included."""
    known = {caption for item in train for caption in item.captions}
    common = [caption for item in test for caption in item.captions if caption in known]
    return CaptionOverlap(
        count=len(common),
        total=sum(len(item.captions) for item in test),
        images=sum(any(caption in known for caption in item.captions) for item in test),
        examples=tuple(caption for caption, _ in Counter(common).most_common(SHOWN)),
    )


def overlap_warning(train: CaptionDataset | str, test: CaptionDataset | str, found: Audit | None = None) -> str | None:
    """Says what a score of one data set by a model that learned from another must carry.

    Args:
        train: What the model learned from, or its name.
        test: What it is judged by, or its name; a folder called AID gives the name "AID".
        found: What an audit of the two has found; without it only what is known of the names is told.

    Returns:
        A text to stand beside the score, or None.
    """
    sentences = _known(_sources(train), _sources(test))
    if found is not None:
        sentences += _of_pictures(found)
    return " ".join(sentences) or None


def pair_pictures(pairs: tuple[DuplicatePair, ...], columns: int = 3) -> Figure:
    """Draws pairs of pictures side by side, each with its split and file name above.

    Args:
        pairs: The pairs, at least one.
        columns: Pairs in a row.

    Raises:
        ValueError: If there is no pair.
    """
    from utils import plots
    from utils.datasets import read_image

    if not pairs:
        raise ValueError("There is no pair to be drawn: the audit has found none.")
    items = [item for pair in pairs for item in (pair.first, pair.second)]
    titles = [f"{item.source} {item.split or ''}".strip() + f"\n{item.name}" for item in items]
    return plots.image_grid([read_image(item.path, item.reading) for item in items], titles, columns=2 * columns)


def _known(trained: set[str], tested: set[str]) -> list[str]:
    """A sentence for each pair of names of which one is known to hold pictures of the other."""
    return [
        f"{name.upper()} holds pictures of {other.upper()}: {overlap.reason}; scores of a model trained on one of "
        "them are too high on the other."
        for name, overlap in KNOWN_OVERLAPS.items()
        for other in overlap.holds
        if (name in trained and other in tested) or (other in trained and name in tested)
    ]


def _of_pictures(found: Audit) -> list[str]:
    """A sentence for pictures of training in the test set, and one for their near-duplicates."""
    title, total = _title(found.test), f"{len(found.test):,}"
    sentences = []
    if found.shared_files:
        sentences.append(f"{len(found.shared_files):,} of {total} {title} images are training images themselves.")
    if found.leaked:
        twins = {pair.second.name: pair.first.name for pair in reversed(found.across)}
        named = ", ".join(f"{name} ({twins[name]})" for name in found.leaked[:SHOWN])
        more = ", ..." if len(found.leaked) > SHOWN else ""
        sentences.append(
            f"{len(found.leaked):,} of {total} {title} images are near-duplicates of training images: {named}{more}; "
            "their scores are too high."
        )
    return sentences


def _sources(dataset: CaptionDataset | str) -> set[str]:
    """The words in the names of the data sets that pictures come from, in lower case."""
    names = [dataset] if isinstance(dataset, str) else [dataset.name, *{item.source for item in dataset}]
    return {word for name in names for word in re.findall("[a-z0-9]+", name.lower())}


def _title(dataset: CaptionDataset) -> str:
    return dataset.name or "data set"


def _check_rows(embeddings: tuple[np.ndarray, np.ndarray], datasets: tuple[CaptionDataset, ...]) -> None:
    counts = [len(rows) for rows in embeddings]
    if counts != [len(dataset) for dataset in datasets]:
        raise ValueError(
            f"{counts[0]} and {counts[1]} embeddings do not fit {len(datasets[0])} training and "
            f"{len(datasets[1])} test images."
        )
