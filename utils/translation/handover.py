"""Captions that an earlier run has back-translated, for those who train on them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from utils.datasets import CaptionDataset, CaptionedImage
from utils.datasets.formats import read_jsonl
from utils.translation.backtranslation import backtranslate
from utils.translation.cache import TranslationCache
from utils.translation.marian import MarianTranslator
from utils.translation.quality import are_at_home, distances, find_failures

NOT_AT_HOME = (
    "The translators do not know such captions: most came back as something else, so the originals stay. Name others "
    "with TO_ROMANCE and TO_ENGLISH, such as Helsinki-NLP/opus-mt-en-ROMANCE and Helsinki-NLP/opus-mt-ROMANCE-en."
)


def load_or_backtranslate(
    dataset: CaptionDataset, path: str | Path, to_romance: str | Path, to_english: str | Path
) -> CaptionDataset:
    """The same images with the captions that an earlier run wrote; where there is none, translated now.

    Args:
        dataset: The images; those that the file does not name keep their captions, with a warning.
        path: The file that `AugmentedCaptions.write` has written, or not yet.
        to_romance: Folder or Hub name of the model from English, for the translation that may be needed.
        to_english: The same to English.

    Returns:
        The data set with back-translations, failures left out; as it was, if the translators do not know such
        captions. Nothing is written but translations, into
        ``translations.sqlite`` beside the file.
    """
    path = Path(path)
    if path.is_file():
        written = {(entry.source, entry.filename): entry.captions for entry in read_jsonl(path)}
        captions = [_written_captions(item, written) for item in dataset]
        if unnamed := captions.count(None):
            warnings.warn(
                f"{path} has no captions for {unnamed:,} of {len(dataset):,} images, which keep their own: delete it "
                "and run notebook 02 on all of them.",
                stacklevel=2,
            )
        items = (replace(item, captions=new or item.captions) for item, new in zip(dataset, captions, strict=True))
        return CaptionDataset(items, dataset.name, dataset.missing, dataset.splits)
    print(f"There is no {path}: translating the captions now.")
    with TranslationCache(path.with_name("translations.sqlite")) as cache:
        augmented = backtranslate(dataset, MarianTranslator(to_romance, to_english), cache)
    if not augmented.replacements:
        return dataset
    if not are_at_home(distances(augmented.replacements)):
        print(NOT_AT_HOME)
        return dataset
    failures = find_failures(augmented.replacements)
    return augmented.without([new for found in failures.values() for new in found]).dataset


def _written_captions(
    item: CaptionedImage, written: Mapping[tuple[str | None, str], tuple[str, ...]]
) -> tuple[str, ...] | None:
    """Returns the captions that a file holds for an image, whatever folder its names begin at."""
    parts = item.path.parts
    # The longest name first: "0.jpg" alone may be another picture, in the folder above.
    names = ((item.source, "/".join(parts[-length:])) for length in range(len(parts), 0, -1))
    return next((written[name] for name in names if name in written), None)
