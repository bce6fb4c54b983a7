"""Retrieval as the field reports it: image to text and text to image, recall@1, 5, 10 and their mean.

Queries and candidates are every image and every occurrence of a caption, five an image, equal ones included. Two
rules say what is right:

- ``strict``: only the image's own captions, and only the caption's own image. This is the field's way (CLIP_benchmark's
  recall@k: a hit if any right candidate is among the k most similar), and where captions are shared between images no
  model can reach 100 %: see `retrieval_ceiling`.
- ``duplicate_aware``: any caption with the words of one of the image's own, and any image that owns the caption's
  words. Queries and candidates are the same, so it is never below strict.

Ties. Equal captions give equal similarities, so the order of equal candidates is chance; topk leaves it to the
machine, and a score would change with the order of a file. Here a hit counts as the chance that a right candidate is
among the k best if ties fall at random: the figure is the expectation of the field's, and the same in any order. A
model that gives one answer to all gets what guessing gets. So that equal captions are equal to the last bit, each
distinct text is embedded and compared once, and counts as often as it occurs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from utils.evaluation.checks import check_embeddings, check_same_size
from utils.evaluation.embedding import embed_dataset
from utils.evaluation.intervals import Interval, bootstrap
from utils.evaluation.ranking import RECALL_AT, Places, RightPairs, find_places

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

DIRECTIONS = ("image_to_text", "text_to_image")
MATCHINGS = ("strict", "duplicate_aware")


@dataclass(frozen=True)
class RetrievalResult:
    """How well images and captions find each other.

    Attributes:
        image_to_text: (images, 3) float64, for each image the chance of a hit@1, 5 and 10: 0 or 1, between them only
            where ties decide.
        text_to_image: (captions, 3) float64, the same for each occurrence of a caption.
        caption_images: (captions,) int, sorted, the image that each caption belongs to.
        ceilings: As `retrieval_ceiling`; under ``duplicate_aware`` all 1.
        matching: ``strict`` or ``duplicate_aware``.
        dataset: Name of the data set and its split, where one was scored.
        left_out: Images with captions that cannot be decoded.
    """

    image_to_text: np.ndarray = field(repr=False)
    text_to_image: np.ndarray = field(repr=False)
    caption_images: np.ndarray = field(repr=False)
    ceilings: dict[str, float]
    matching: str
    dataset: str = ""
    left_out: int = 0

    @property
    def recalls(self) -> dict[str, float]:
        """``image_to_text_recall_at_1`` and so on, six shares from 0 to 1."""
        means = np.concatenate([self.image_to_text.mean(axis=0), self.text_to_image.mean(axis=0)])
        return dict(zip(_names(), map(float, means), strict=True))

    @property
    def mean_recall(self) -> float:
        """mR, the mean of the six recalls."""
        return float(np.mean(list(self.recalls.values())))

    @property
    def per_image(self) -> tuple[np.ndarray, np.ndarray]:
        """What intervals are made of: the six recalls of each image by itself, and its weight in each of them.

        Returns:
            (images, 6) float64 in the order of `recalls`, captions averaged, and (images, 6) float64, 1 for the
            image as a query and the number of its captions for those. `bootstrap` and `paired_bootstrap` take both.
        """
        counts = np.bincount(self.caption_images).astype(float)
        sums = np.zeros_like(self.image_to_text)
        np.add.at(sums, self.caption_images, self.text_to_image)
        values = np.hstack([self.image_to_text, sums / counts[:, None]])
        return values, np.hstack([np.ones_like(sums), np.repeat(counts[:, None], len(RECALL_AT), axis=1)])

    def interval(self, name: str = "mean_recall", seed: int = 0) -> Interval:
        """A recall, or their mean, with the bounds that hold 95 % of bootstrap draws.

        Images are drawn, and an image's captions go with it (cluster bootstrap): five captions of one picture are
        not five independent witnesses. The candidates stay what they are.

        Args:
            name: ``mean_recall`` or a key of `recalls`.
            seed: Governs the draws.

        Raises:
            ValueError: If there is no such figure.
        """
        names = _names()
        if name not in ("mean_recall", *names):
            raise ValueError(f"There is no figure {name!r}; choose one of mean_recall, {', '.join(names)}.")
        columns = slice(None) if name == "mean_recall" else [names.index(name)]
        values, weights = self.per_image
        return bootstrap(values[:, columns], weights[:, columns], seed=seed)


def _names() -> list[str]:
    return [f"{direction}_recall_at_{k}" for direction in DIRECTIONS for k in RECALL_AT]


@dataclass(frozen=True)
class _Ownership:
    """Which image owns which distinct text, and how often.

    Attributes:
        texts: The distinct texts, in the order in which they first occur.
        images: (pairs,) int, sorted.
        ids: (pairs,) int, the text.
        counts: (pairs,) int, how often it stands under that image.
    """

    texts: list[str]
    images: np.ndarray
    ids: np.ndarray
    counts: np.ndarray

    @property
    def copies(self) -> np.ndarray:
        """(texts,) int, how often each text occurs under all images."""
        copies = np.zeros(len(self.texts), int)
        np.add.at(copies, self.ids, self.counts)
        return copies


def _ownership(captions: Sequence[Sequence[str]]) -> _Ownership:
    numbers: dict[str, int] = {}
    pairs: dict[tuple[int, int], int] = {}
    for image, texts in enumerate(captions):
        for text in texts:
            pair = image, numbers.setdefault(text, len(numbers))
            pairs[pair] = pairs.get(pair, 0) + 1
    images, ids = np.array(list(pairs), int).T
    return _Ownership(list(numbers), images, ids, np.array(list(pairs.values()), int))


def distinct_captions(captions: Iterable[Sequence[str]]) -> list[str]:
    """The distinct texts of (images,) lists of captions, in the order in which they first occur."""
    return list(dict.fromkeys(text for texts in captions for text in texts))


def retrieval_ceiling(captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """The best strict recalls that shared captions leave to a model, from the captions alone.

    Text to image: the words of a caption under n images cannot tell which of them is meant, so a model that puts all n
    before the others finds the right one among k with a chance of min(1, k / n). This is the ceiling that is published
    for RSICD, UCM and Sydney. (Betting on images that repeat a caption within themselves could gain half a point.)
    Image to text: each image may put the own caption first that fewest others share; a copy of another image then
    stands beside its own, ties at random.

    Args:
        captions: (images,) the captions of each image, repeats included.

    Returns:
        The six recalls of `RetrievalResult`, shares from 0 to 1.

    Raises:
        ValueError: If an image has no caption.
    """
    _check_captions(captions)
    owners = _ownership(captions)
    top = np.zeros(len(owners.ids), int)
    copies = owners.copies[owners.ids]
    sharing = np.bincount(owners.ids)[owners.ids]  # images that own the text of each pair
    own_text = Places(top, copies - owners.counts, owners.counts)
    own_image = Places(top, sharing - 1, np.ones_like(top))
    ceilings = []
    for k in RECALL_AT:
        best = np.zeros(len(captions))
        np.maximum.at(best, owners.images, own_text.hit_chances(k))
        ceilings.append(best.mean())
    ceilings += [np.average(own_image.hit_chances(k), weights=owners.counts) for k in RECALL_AT]
    return dict(zip(_names(), map(float, ceilings), strict=True))


def score_retrieval(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    captions: Sequence[Sequence[str]],
    matching: str = "strict",
    dataset: str = "",
) -> RetrievalResult:
    """Scores retrieval from stored embeddings.

    Similarities are computed in blocks; memory is bounded by the embeddings and a number a caption.

    Args:
        image_embeddings: (images, dim) of any floating type, of unit length; compared in float32.
        text_embeddings: (texts, dim) of any floating type, of unit length, of the distinct captions in the order of
            `distinct_captions`.
        captions: (images,) the captions of each image, at least one, repeats included.
        matching: ``strict`` or ``duplicate_aware``, see the module.
        dataset: Name of the data set and its split, kept for the report.

    Raises:
        ValueError: If shapes do not fit, an embedding is not finite, zero or not of unit length, an image has no
            caption, or there is no such matching.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"There is no matching {matching!r}; choose one of {', '.join(MATCHINGS)}.")
    _check_captions(captions)
    owners = _ownership(captions)
    _check_inputs(image_embeddings, text_embeddings, len(captions), len(owners.texts))
    images, texts = (rows.astype(np.float32, copy=False) for rows in (image_embeddings, text_embeddings))
    strict = matching == "strict"
    text_places = find_places(
        images,
        texts,
        RightPairs(owners.images, owners.ids, owners.counts if strict else owners.copies[owners.ids]),
        copies=owners.copies,
    )
    image_chances = _text_to_image(images, texts, owners, strict)
    return RetrievalResult(
        image_to_text=np.stack([text_places.hit_chances(k) for k in RECALL_AT], axis=1),
        text_to_image=np.repeat(image_chances, owners.counts, axis=0),
        caption_images=np.repeat(owners.images, owners.counts),
        ceilings=retrieval_ceiling(captions) if strict else dict.fromkeys(_names(), 1.0),
        matching=matching,
        dataset=dataset,
    )


def _text_to_image(images: np.ndarray, texts: np.ndarray, owners: _Ownership, strict: bool) -> np.ndarray:
    """(pairs, 3) hit chances of the text of each pair of `owners`."""
    order = np.argsort(owners.ids, kind="stable")
    ids, right = owners.ids[order], owners.images[order]
    once = np.ones(len(ids), int)
    if strict:  # the same text asks once for each of its images
        places = find_places(texts, images, RightPairs(np.arange(len(ids)), right, once), rows=ids)
    else:
        places = find_places(texts, images, RightPairs(ids, right, once))
    chances = np.stack([places.hit_chances(k) for k in RECALL_AT], axis=1)
    if not strict:
        return chances[owners.ids]
    of_pairs = np.empty_like(chances)
    of_pairs[order] = chances
    return of_pairs


def _check_captions(captions: Sequence[Sequence[str]]) -> None:
    bare = [number for number, texts in enumerate(captions) if not texts]
    if bare or not len(captions):
        raise ValueError(
            f"{len(bare):,} of {len(captions):,} images have no caption to be found by (the first is number "
            f"{bare[0]}); leave them out."
            if bare
            else "There are no captions to retrieve by."
        )


def _check_inputs(images: np.ndarray, texts: np.ndarray, image_count: int, text_count: int) -> None:
    for embeddings, what, wanted in ((images, "image", image_count), (texts, "text", text_count)):
        check_embeddings(embeddings, what)
        if len(embeddings) != wanted:
            kind = "images" if what == "image" else "distinct captions"
            raise ValueError(f"{len(embeddings):,} {what} embeddings do not fit {wanted:,} {kind}; give one for each.")
    check_same_size(images, "image", texts, "text")


def embed_pairs(
    model: CLIP, dataset: CaptionDataset, *, batch_size: int = 64, progress: bool = False
) -> tuple[np.ndarray, np.ndarray, CaptionDataset]:
    """Embeds a data set's images and its distinct captions, as `score_retrieval` takes them.

    Returns:
        (images, dim) and (texts, dim), float32 of unit length, and the images that these are of: those that can be
        decoded, with the captions that have words.

    Raises:
        DatasetError: If no image has a caption, or not one can be decoded.
    """
    from utils.clip import embed_texts

    images, scored = embed_dataset(model, dataset.captioned(), batch_size=batch_size, progress=progress)
    texts = distinct_captions(item.captions for item in scored)
    return images, embed_texts(model, texts, progress=progress), scored


def retrieval(
    model: CLIP, dataset: CaptionDataset, matching: str = "strict", *, batch_size: int = 64, progress: bool = False
) -> RetrievalResult:
    """Scores how a model's images and captions find each other; for both rules embed once with `embed_pairs`.

    Args:
        model: The CLIP model.
        dataset: Images, of which those with captions count, and of these the captions that have words.
        matching: ``strict`` or ``duplicate_aware``, see the module.
        batch_size: Images encoded at once; it does not change the scores.
        progress: Whether to show bars.

    Raises:
        ValueError: If no image has a caption, not one can be decoded, or there is no such matching.
    """
    if not any(item.captions_with_words for item in dataset):
        raise ValueError(f"No image of {dataset.name or 'the data set'} has a caption to be found by.")
    images, texts, scored = embed_pairs(model, dataset, batch_size=batch_size, progress=progress)
    result = score_retrieval(images, texts, [item.captions for item in scored], matching, dataset.name)
    return replace(result, left_out=sum(bool(item.captions_with_words) for item in dataset) - len(scored))
