"""Captions that an earlier run has back-translated, for those who train on them."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from utils.datasets import CaptionDataset, CaptionedImage
from utils.datasets.formats import read_jsonl
from utils.translation.backtranslation import backtranslate
from utils.translation.cache import TranslationCache
from utils.translation.marian import MarianTranslator
from utils.translation.quality import UNKNOWN_CAPTIONS, distances, find_failures


def load_or_backtranslate(
    dataset: CaptionDataset, path: str | Path, to_romance: str | Path, to_english: str | Path
) -> CaptionDataset:
    """Returns the same images with the captions that `AugmentedCaptions.write` has written; without, translates now.

    Images that the file does not name keep their captions, with a warning. Translating now, by two models as
    `MarianTranslator` takes them, writes only ``translations.sqlite`` beside it, leaves failures out, and leaves the
    data set as it was if the translators do not know such captions.
    """
    path = Path(path)
    if path.is_file():
        written = {(entry.source, entry.filename): entry.captions for entry in read_jsonl(path)}
        captions = [next((written[name] for name in _names(item) if name in written), None) for item in dataset]
        if unnamed := captions.count(None):
            lacks = f"no captions for {unnamed:,} of {len(dataset):,} images, which keep their own"
            warnings.warn(f"{path} has {lacks}: delete it and run notebook 02 on all of them.", stacklevel=2)
        items = (replace(item, captions=new or item.captions) for item, new in zip(dataset, captions, strict=True))
        return CaptionDataset(items, dataset.name, dataset.missing, dataset.splits)
    print(f"There is no {path}: translating the captions now.")
    with TranslationCache(path.with_name("translations.sqlite")) as cache:
        augmented = backtranslate(dataset, MarianTranslator(to_romance, to_english), cache)
    if augmented.replacements and not distances(augmented.replacements).are_small:
        print(UNKNOWN_CAPTIONS)
        return dataset
    failures = find_failures(augmented.replacements)
    return augmented.without([new for found in failures.values() for new in found]).dataset


def _names(item: CaptionedImage) -> list[tuple[str | None, str]]:
    """Returns the names that a file may have for an image, the longest first: "0.jpg" alone may be one above."""
    parts = item.path.parts
    return [(item.source, "/".join(parts[-length:])) for length in range(len(parts), 0, -1)]
