"""Which captions are replaced, by what, and the data set that results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from utils.datasets import CaptionDataset, CaptionedImage
from utils.files import disk_trouble_in_words, write_whole
from utils.translation.cache import TranslationCache, TranslationError, Translator, translate_all

LANGUAGES = ("fr", "es", "it", "pt")
"""French, Spanish, Italian, Portuguese: the pivots of CLIP-rsicd, in its order."""

# CLIP reads 77 tokens; what is longer than this is not a caption, and a translation model would lose its thread.
_MOST_WORDS = 100


@dataclass(frozen=True)
class BackTranslation:
    """One caption that went through another language.

    Attributes:
        image: Position of its image in the data set.
        caption: Position among the captions of that image.
        language: Code of the language that it went through.
        original: The caption before.
        pivot: The caption in that language.
        text: The caption that came back.
    """

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
        """Writes JSON lines with the origin of every caption.

        Each line holds ``filename`` (below the folder that holds all images), ``captions``, ``split``,
        ``category``, ``source`` and ``origins``: for each caption ``null``, or ``language``, ``original`` and
        ``pivot``. ``load_dataset(path, data_dir=dataset.image_root)`` reads it back.
        """
        origins: list[list[dict[str, str] | None]] = [[None] * len(item.captions) for item in self.raw]
        for new in self.replacements:
            origins[new.image][new.caption] = {"language": new.language, "original": new.original, "pivot": new.pivot}
        root, path = self.raw.image_root, Path(path)
        lines = []
        for item, origin in zip(self.dataset, origins, strict=True):
            name = item.path.absolute().relative_to(root).as_posix()
            record = {"filename": name, "captions": item.captions, "split": item.split, "category": item.category}
            lines.append(json.dumps(record | {"source": item.source, "origins": origin}, ensure_ascii=False) + "\n")
        with disk_trouble_in_words(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, "".join(lines))


def plan_replacements(captions: Sequence[str], languages: Sequence[str] = LANGUAGES) -> list[tuple[int, str]]:
    """Decides which captions of one image are replaced, by the rule of CLIP-rsicd.

    Of a caption that stands n times, the first n - 1 copies are replaced, through the languages in their
    order; the last copy stays. Every repeated caption starts again at the first language. Copies beyond the
    number of languages stay too: a language twice would give the same text twice.

    Returns:
        Position and language of every replacement, by position.
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
    progress: bool = True,
) -> AugmentedCaptions:
    """Replaces repeated captions by back-translations.

    Each distinct caption is translated once for each language, however many images share it. A stopped run
    resumes from its cache.

    Args:
        dataset: One data set or several joined with ``+``; it is not changed.
        translator: Translates from English and back.
        cache: Keeps the translations; None forgets them.
        languages: Codes of the pivot languages, in order.
        splits: The splits to change; None changes all images, those without a split too.
        batch_size: Texts translated at a time.
        progress: Whether to show a bar for each language and direction.

    Returns:
        The data set with its back-translations.

    Raises:
        TranslationError: If a language is unknown, a caption is empty or far too long, or the cache cannot be
            written; nothing that was translated is lost.
    """
    _check_languages(languages, translator)
    plan = [
        (image, position, language)
        for image, item in enumerate(dataset)
        if splits is None or item.split in splits
        for position, language in plan_replacements(item.captions, languages)
    ]
    for image, position, _ in plan:
        _check_caption(dataset[image], position)
    cache = TranslationCache() if cache is None else cache
    pivots, returned = {}, {}
    for language in languages:
        originals = [dataset[image].captions[position] for image, position, code in plan if code == language]
        pivots[language] = translate_all(originals, translator, "en", language, cache, batch_size, progress)
        there = list(pivots[language].values())
        returned[language] = translate_all(there, translator, language, "en", cache, batch_size, progress)
    replacements = []
    for image, position, language in plan:
        original = dataset[image].captions[position]
        pivot = pivots[language][original]
        text = returned[language][pivot]
        replacements.append(BackTranslation(image, position, language, original, pivot, text))
    return AugmentedCaptions(dataset, tuple(replacements))


def _check_languages(languages: Sequence[str], translator: Translator) -> None:
    if unknown := [language for language in languages if language not in translator.languages]:
        known = ", ".join(sorted(translator.languages))
        raise TranslationError(
            f"{translator.name} knows no language {unknown[0]!r}; it translates to and from {known}."
        )
    if len(set(languages)) < len(languages):
        raise TranslationError(f"a language stands twice in {', '.join(languages)}; name each once.")


def _check_caption(item: CaptionedImage, position: int) -> None:
    words = len(item.captions[position].split())
    where = f"caption {position + 1} of {item.path}"
    if not words:
        raise TranslationError(f"{where} is empty; remove it or leave out the image.")
    if words > _MOST_WORDS:
        raise TranslationError(
            f"{where} has {words} words, and a caption may have {_MOST_WORDS}; shorten it or leave out the image."
        )
