"""What a score must say of its test set: images and captions that training has seen already."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from utils.datasets import CaptionDataset, read_image
from utils.evaluation.near_duplicates import DuplicatePair, find_near_duplicates

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 3


@dataclass(frozen=True)
class KnownOverlap:
    """That one data set holds images of another, and how that is known; the names are words in names and folders."""

    holder: str
    held: str
    names: tuple[str, ...]
    reason: str


KNOWN_OVERLAPS = (
    # Xia et al., 2017: the categories of AID have 220 to 420 images each, and RSICD's file names tell the same counts.
    KnownOverlap("RSICD", "AID", ("aid",), "its 10,000 named images are AID's, the middle of each"),
    # Pixels of the published WHU-RS19 (Dai and Yang, 2011) were matched with RSICD's.
    KnownOverlap(
        "RSICD",
        "WHU-RS19",
        ("whurs19", "whurs", "rs19"),
        "636 of its 1,005 images were found there by their pixels, 520 in train, 66 in val and 50 in test",
    ),
)

TRAINED_ON_RSICD = "earthsmall"  # out of the name of clip-earth-small, the checkpoint of the course, as `_words` has it


@dataclass(frozen=True)
class CaptionOverlap:
    """Captions of a test set that stand word for word in training: how many, on how many images, the most frequent."""

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
    """What was found before anything is scored: near-duplicates within and between training and test images.

    ``shared_files`` are the names of test images that are training images, the very same files.
    """

    train: CaptionDataset
    test: CaptionDataset
    pairs: tuple[DuplicatePair, ...]
    captions: CaptionOverlap
    shared_files: tuple[str, ...]

    @property
    def across(self) -> tuple[DuplicatePair, ...]:
        """The pairs of a training and a test image, in this order."""
        trained, tested = ({item.path for item in dataset} for dataset in (self.train, self.test))
        return tuple(pair for pair in self.pairs if pair.first.path in trained and pair.second.path in tested)

    @property
    def leaked(self) -> tuple[str, ...]:
        """Names of the test images with a near-duplicate in training, each once, in the order of the test set."""
        found = {pair.second.path for pair in self.across}
        return tuple(item.name for item in self.test if item.path in found)

    @property
    def clean_test(self) -> CaptionDataset:
        """The test set without the images that training has seen, to be scored beside the whole."""
        seen = {pair.second.path for pair in self.across} | {item.path for item in self.train}
        kept = (item for item in self.test if item.path not in seen)
        return CaptionDataset(kept, self.test.name, splits=self.test.splits)

    @property
    def warning(self) -> str | None:
        """What must stand beside every score of this test set; None where nothing was found in its images."""
        sentences = [known] if (known := overlap_warning(self.train, self.test)) else []
        of = f"of {len(self.test):,} {_title(self.test)} images are"
        if self.shared_files:
            sentences.append(f"{len(self.shared_files):,} {of} training images themselves.")
        if leaked := self.leaked:
            originals = {pair.second.name: pair.first.name for pair in reversed(self.across)}
            named = ", ".join(f"{name} ({originals[name]})" for name in leaked[:SHOWN])
            more = ", ..." if len(leaked) > SHOWN else ""
            sentences.append(
                f"{len(leaked):,} {of} near-duplicates of training images: {named}{more}; their scores are too high."
            )
        return " ".join(sentences) or None

    def __str__(self) -> str:
        """Returns the report as people read it."""
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


def audit_overlap(train: CaptionDataset, test: CaptionDataset) -> Audit:
    """Looks for what a test set shares with a training set, of the same data set or another; none must be empty."""
    if not len(train) or not len(test):
        raise ValueError(f"An audit needs training and test images, not {len(train)} and {len(test)}.")
    trained = {item.path for item in train}
    new = (item for item in test if item.path not in trained)
    pairs = find_near_duplicates(CaptionDataset([*train, *new], f"{_title(train)} and {_title(test)}"))
    shared = tuple(item.name for item in test if item.path in trained)
    return Audit(train, test, pairs, caption_overlap(train, test), shared)


def caption_overlap(train: CaptionDataset, test: CaptionDataset) -> CaptionOverlap:
    """Counts the test captions that stand word for word in training, every repetition included."""
    known = {caption for item in train for caption in item.captions}
    common = [caption for item in test for caption in item.captions if caption in known]
    total, images = sum(len(item.captions) for item in test), sum(not known.isdisjoint(item.captions) for item in test)
    examples = tuple(caption for caption, _ in Counter(common).most_common(SHOWN))
    return CaptionOverlap(len(common), total, images, examples)


def overlap_warning(train: CaptionDataset | str, test: CaptionDataset | str) -> str | None:
    """What must stand beside a score of ``test`` by a model trained on ``train`` (data sets or names), or None."""
    # Folders that both lie in say nothing about either.
    folders = [_folders(dataset) for dataset in (train, test)]
    trained, tested = _words(train, folders[0] - folders[1]), _words(test, folders[1] - folders[0])
    sentences = []
    for known in KNOWN_OVERLAPS:
        holder, held = {known.holder.lower(), TRAINED_ON_RSICD}, set(known.names)
        if (holder & trained and held & tested) or (held & trained and holder & tested):
            sentences.append(
                f"{known.holder} holds images of {known.held}: {known.reason}; scores of a model trained on one of "
                "them are too high on the other."
            )
    return " ".join(sentences) or None


def draw_pairs(pairs: tuple[DuplicatePair, ...]) -> Figure:
    """Draws the two images of each pair side by side, three pairs in a row, with split and file name above each."""
    from utils import plots

    items = [item for pair in pairs for item in (pair.first, pair.second)]
    titles = [f"{item.source} {item.split or ''}".strip() + f"\n{item.name}" for item in items]
    return plots.image_grid([read_image(item.path, item.reading) for item in items], titles)


def _folders(dataset: CaptionDataset | str) -> set[str]:
    """The three folders above an image: few data sets are called by their name in `imgs/` or `test/`."""
    parents = set() if isinstance(dataset, str) else {item.path.parent for item in dataset}
    return {folder for parent in parents for folder in parent.parts[-3:]}


def _words(dataset: CaptionDataset | str, folders: set[str]) -> set[str]:
    """The words in the names of a data set and of where its images are from, in lower case; and each two as one."""
    names = {dataset} if isinstance(dataset, str) else {dataset.name, *{item.source for item in dataset}}
    words = [re.findall("[a-z0-9]+", name.lower()) for name in names | folders]
    return {word for some in words for word in (*some, *map("".join, pairwise(some)))}


def _title(dataset: CaptionDataset) -> str:
    return dataset.name or "data set"
