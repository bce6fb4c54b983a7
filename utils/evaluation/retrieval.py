"""Retrieval as the field reports it: image to text and text to image, recall@1, 5, 10 and their mean.

Queries and candidates are every image and every occurrence of a caption. By the rule ``strict`` only an image's own
captions are right, and only a caption's own image: the field's way (CLIP_benchmark's recall@k), in which no model
reaches 100 % where images share captions. By ``duplicate_aware`` any caption with the words of an own one is right, and
any image that owns the words. Equal captions tie: a hit counts as the chance that a right one is among the k best if
ties fall at random, the field's figure on average over orders of a file. So that they tie to the last bit, each
distinct text is embedded and compared once, and counts as often as it occurs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from utils.evaluation.embeddings import check_unit_length
from utils.evaluation.intervals import Interval, bootstrap
from utils.evaluation.ranking import RECALL_AT, Places, find_places

DIRECTIONS = ("image_to_text", "text_to_image")
MATCHINGS = ("strict", "duplicate_aware")
RECALLS = [f"{direction}_recall_at_{k}" for direction in DIRECTIONS for k in RECALL_AT]


@dataclass(frozen=True)
class RetrievalResult:
    """How well images and captions find each other.

    ``image_to_text`` (images, 3) and ``text_to_image`` (occurrences of captions, 3), float64, are chances of a hit@1, 5
    and 10, between 0 and 1 by ties; ``caption_images``, sorted, the number of each caption's image. ``ceilings`` are
    those of `retrieval_ceiling`, under ``duplicate_aware`` all 1. ``left_out`` images cannot be decoded.
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
        return dict(zip(RECALLS, map(float, means), strict=True))

    @property
    def mean_recall(self) -> float:
        """mR, the mean of the six recalls."""
        return float(np.mean(list(self.recalls.values())))

    @property
    def per_image(self) -> tuple[np.ndarray, np.ndarray]:
        """The six `recalls` of each image, captions averaged, and its weights in them, both (images, 6) float64.

        An image weighs 1 as a query, and its captions as many as they are, as `bootstrap` takes it.
        """
        counts = np.bincount(self.caption_images).astype(float)
        sums = np.zeros_like(self.image_to_text)
        np.add.at(sums, self.caption_images, self.text_to_image)
        values = np.hstack([self.image_to_text, sums / counts[:, None]])
        return values, np.hstack([np.ones_like(sums), np.repeat(counts[:, None], len(RECALL_AT), axis=1)])

    def interval(self, name: str = "mean_recall", seed: int = 0) -> Interval:
        """A recall, a key of `recalls`, or their mean, with the bounds that hold 95 % of bootstrap draws.

        Images are drawn, and an image's captions go with it (cluster bootstrap): five captions of one image are not
        five independent observations. The candidates stay.
        """
        columns = slice(None) if name == "mean_recall" else [RECALLS.index(name)]
        values, weights = self.per_image
        return bootstrap(values[:, columns], weights[:, columns], seed=seed)


def _owned(captions: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of an image and a distinct text under it, how often it stands there, and how often each text in all."""
    if not len(captions):
        raise ValueError("There are no captions to retrieve by.")
    if bare := [number for number, texts in enumerate(captions) if not texts]:
        raise ValueError(
            f"{len(bare):,} of {len(captions):,} images have no caption to be found by (the first is number "
            f"{bare[0]}); leave them out."
        )
    numbers: dict[str, int] = {}
    pairs = ((image, text) for image, texts in enumerate(captions) for text in texts)
    counts = Counter((image, numbers.setdefault(text, len(numbers))) for image, text in pairs)
    images, texts = np.array(list(counts), int).T
    weights = np.array(list(counts.values()), int)
    return images, texts, weights, np.bincount(texts, weights).astype(int)


def distinct_captions(captions: Iterable[Sequence[str]]) -> list[str]:
    """The distinct texts of (images,) lists of captions, in the order in which they first occur."""
    return list(dict.fromkeys(text for texts in captions for text in texts))


def retrieval_ceiling(captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """The best strict recalls that shared captions leave to a model, from the captions alone.

    Text to image: the words of a caption under n images cannot tell which of them is meant, so a model that puts all n
    before the others finds the right one among k with a chance of min(1, k / n). This is the ceiling that is published
    for RSICD, UCM and Sydney. (Betting on images that repeat a caption within themselves could gain half a point.)
    Image to text: each image may put the own caption first that fewest others share; a copy of another image then
    stands beside its own, ties at random. Captions are those of each image, repeats included, at least one; what is
    returned are the six recalls of `RetrievalResult`, shares from 0 to 1.
    """
    images, texts, weights, copies = _owned(captions)
    top = np.zeros(len(images), int)
    sharing = np.bincount(texts)[texts]  # images that own the text of each pair
    own_text = Places(top, copies[texts] - weights, weights)
    own_image = Places(top, sharing - 1, np.ones_like(top))
    ceilings = []
    for k in RECALL_AT:
        best = np.zeros(len(captions))
        np.maximum.at(best, images, own_text.hit_chances(k))
        ceilings.append(best.mean())
    ceilings += [np.average(own_image.hit_chances(k), weights=weights) for k in RECALL_AT]
    return dict(zip(RECALLS, map(float, ceilings), strict=True))


def score_retrieval(
    image_embeddings: np.ndarray,
    text_embeddings: np.ndarray,
    captions: Sequence[Sequence[str]],
    matching: str = "strict",
    dataset: str = "",
    left_out: int = 0,
) -> RetrievalResult:
    """Scores retrieval from stored embeddings, in blocks: memory is bounded by them and a number a caption.

    Embeddings are (images, dim) and (texts, dim) of any floating type, of unit length, compared in float32; texts are
    the distinct captions, in the order of `distinct_captions`. Captions are those of each image, at least one, repeats
    included. Matching is ``strict`` or ``duplicate_aware``, see the module. The name of the data set and the number of
    images that cannot be decoded are kept for the report. Raises ValueError if shapes do not fit, an embedding is not
    finite, zero or not of unit length, an image has no caption, or there is no such matching.
    """
    if matching not in MATCHINGS:
        raise ValueError(f"There is no matching {matching!r}; choose one of {', '.join(MATCHINGS)}.")
    owner, owned, weights, copies = _owned(captions)
    of_texts = (text_embeddings, "text", len(copies), "distinct captions")
    check_unit_length((image_embeddings, "image", len(captions), "images"), of_texts)
    images, texts = (rows.astype(np.float32, copy=False) for rows in (image_embeddings, text_embeddings))
    strict = matching == "strict"
    right = weights if strict else copies[owned]
    image_to_text = _hit_chances(find_places(images, texts, owner, owned, weights=right, copies=copies))
    if strict:  # the same text is a query once for each of its images
        text_to_image = _hit_chances(find_places(texts, images, np.arange(len(owner)), owner, rows=owned))
    else:
        order = np.argsort(owned, kind="stable")
        text_to_image = _hit_chances(find_places(texts, images, owned[order], owner[order]))[owned]
    text_to_image, caption_images = (np.repeat(rows, weights, axis=0) for rows in (text_to_image, owner))
    ceilings = retrieval_ceiling(captions) if strict else dict.fromkeys(RECALLS, 1.0)
    return RetrievalResult(image_to_text, text_to_image, caption_images, ceilings, matching, dataset, left_out)


def _hit_chances(places: Places) -> np.ndarray:
    """(queries, 3) float64, the chances of a hit@1, 5 and 10."""
    return np.stack([places.hit_chances(k) for k in RECALL_AT], axis=1)
