"""Which captions are replaced, by what, and the data set that results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.datasets import CaptionDataset
from utils.files import disk_trouble_in_words, write_whole
from utils.translation.cache import TranslationCache, TranslationError, Translator, translate_all

LANGUAGES = ("fr", "es", "it", "pt")
"""French, Spanish, Italian, Portuguese: the pivots of CLIP-rsicd, in its order."""

# CLIP reads 77 tokens; what is longer than this is not a caption, and a translation model would lose its thread.
_MOST_WORDS = 100


@dataclass(frozen=True)
class BackTranslation:
    """One caption, by the position of its image and its own there, that went through a language and came back."""

    image: int
    caption: int
    language: str
    original: str
    pivot: str
    text: str


@dataclass(frozen=True)
class AugmentedCaptions:
    """A data set as it was, and the back-translations that replace some of its captions."""

    raw: CaptionDataset
    replacements: tuple[BackTranslation, ...]

    @property
    def dataset(self) -> CaptionDataset:
        """The same images with the new captions in the places of the old."""
        captions = [list(item.captions) for item in self.raw]
        for new in self.replacements:
            captions[new.image][new.caption] = new.text
        items = (replace(item, captions=tuple(texts)) for item, texts in zip(self.raw, captions, strict=True))
        return CaptionDataset(items, self.raw.name, self.raw.missing, self.raw.splits)

    def without(self, dropped: Collection[BackTranslation]) -> AugmentedCaptions:
        """Returns the same without some back-translations: the originals stand in their places again."""
        unwanted = set(dropped)
        return replace(self, replacements=tuple(new for new in self.replacements if new not in unwanted))

    def write(self, path: str | Path) -> None:
        """Writes JSON lines, which ``load_dataset(path, data_dir=dataset.image_root)`` reads back.

        Each holds ``filename`` (below the folder that holds all images), ``captions``, ``split``, ``category``,
        ``source`` and ``origins``: for each caption ``null``, or ``language``, ``original`` and ``pivot``.
        """
        origins: list[list[dict[str, str] | None]] = [[None] * len(item.captions) for item in self.raw]
        for new in self.replacements:
            origins[new.image][new.caption] = {"language": new.language, "original": new.original, "pivot": new.pivot}
        root, path = self.raw.image_root, Path(path)
        lines = []
        for item, origin in zip(self.dataset, origins, strict=True):
            name = item.path.absolute().relative_to(root).as_posix()
            record = {"filename": name, "captions": item.captions, "split": item.split, "category": item.category}
            record |= {"written_by": item.written_by} if item.written_by else {}
            lines.append(json.dumps(record | {"source": item.source, "origins": origin}, ensure_ascii=False) + "\n")
        with disk_trouble_in_words(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, "".join(lines))


def plan_replacements(captions: Sequence[str], languages: Sequence[str] = LANGUAGES) -> list[tuple[int, str]]:
    """Decides which captions of one image are replaced, by the rule of CLIP-rsicd.

    Of a caption that stands n times, the first n - 1 copies are replaced, through the languages in their order; the
    last copy stays. Every repeated caption starts again at the first language. Copies beyond the number of languages
    stay too: a language twice would give the same text twice. What is returned are positions and languages.
    """
    copies = Counter(captions)
    seen: Counter[str] = Counter()
    plan = []
    for position, caption in enumerate(captions):
        copy = seen[caption]
        seen[caption] += 1
        if copy < min(copies[caption] - 1, len(languages)):
            plan.append((position, languages[copy]))
    return plan


def backtranslate(
    dataset: CaptionDataset,
    translator: Translator,
    cache: TranslationCache | None = None,
    *,
    languages: Sequence[str] = LANGUAGES,
    splits: Collection[str] | None = ("train",),
    batch_size: int = 64,
) -> AugmentedCaptions:
    """Replaces repeated captions by back-translations.

    Each distinct caption is translated once for each language, however many images share it. A stopped run
    resumes from its cache. ``splits`` are those to change; None changes all images, those without a split too. Raises
    TranslationError if a language is unknown, a caption is empty or far too long, or the cache cannot be written;
    nothing that was translated is lost.
    """
    if not set(languages) <= translator.languages or len(set(languages)) < len(languages):
        known = ", ".join(sorted(translator.languages))
        raise TranslationError(f"{translator.name} knows {known}, each to be named once, not {', '.join(languages)}.")
    plan = [
        (image, position, language)
        for image, item in enumerate(dataset)
        if splits is None or item.split in splits
        for position, language in plan_replacements(item.captions, languages)
    ]
    for image, position, _ in plan:
        words = len(dataset[image].captions[position].split())
        if not 0 < words <= _MOST_WORDS:
            raise TranslationError(
                f"caption {position + 1} of {dataset[image].path} has {words} words, and it takes 1 to {_MOST_WORDS}; "
                "mend the caption or leave out the image."
            )
    cache = TranslationCache() if cache is None else cache
    replacements = {}
    for language in languages:
        places = [(image, position) for image, position, code in plan if code == language]
        originals = [dataset[image].captions[position] for image, position in places]
        pivots = translate_all(originals, translator, "en", language, cache, batch_size)
        texts = translate_all(list(pivots.values()), translator, language, "en", cache, batch_size)
        for place, original in zip(places, originals, strict=True):
            pivot = pivots[original]
            replacements[place] = BackTranslation(*place, language, original, pivot, texts[pivot])
    return AugmentedCaptions(dataset, tuple(replacements[image, position] for image, position, _ in plan))
