"""Zero-shot classification: prompts encoded once, score@k, per class, confusion; see `prompts` for the ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from utils.evaluation.embeddings import check_unit_length, embed_dataset
from utils.evaluation.intervals import Interval, bootstrap
from utils.evaluation.prompts import Protocol, as_protocol, embed_classes

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset


PUBLISHED_KS = (1, 3, 5, 10)


@dataclass(frozen=True)
class ZeroShotResult:
    """The outcome of classifying images by the prompts of their classes.

    Labels (images,) int are the true classes as numbers of ``class_names``, similarities (images, classes) float32
    cosines. ``dataset`` names the split too, and ``left_out`` counts images that count but cannot be decoded.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    similarities: np.ndarray
    protocol: str = ""
    dataset: str = ""
    left_out: int = 0

    @property
    def ranks(self) -> np.ndarray:
        """(images,) how many classes stand before the true one; of equal similarities the first name wins."""
        order = np.argsort(-self.similarities, axis=1, kind="stable")
        return np.argmax(order == self.labels[:, None], axis=1)

    @property
    def predictions(self) -> np.ndarray:
        """(images,) the best class of each image."""
        return np.argmax(self.similarities, axis=1)

    def hits(self, k: int = 1) -> np.ndarray:
        """(images,) bool, whether the true class is among the k best, which must be at least one."""
        if k < 1:
            raise ValueError(f"score@{k} does not exist; k counts from 1.")
        return self.ranks < k

    def score(self, k: int = 1) -> float:
        """The share of images whose class is among the k best: score@k."""
        return float(np.mean(self.hits(k)))

    def scores(self, ks: Sequence[int] = PUBLISHED_KS) -> dict[int, float]:
        """score@k for several k."""
        return {k: self.score(k) for k in ks}

    def interval(self, k: int = 1, seed: int = 0) -> Interval:
        """score@k with the bounds that hold 95 % of bootstrap draws of the images."""
        return bootstrap(self.hits(k), seed=seed)

    def per_class(self, k: int = 1) -> dict[str, float]:
        """score@k of each class by itself; a class without images is left out."""
        hits = self.hits(k)
        return {
            name: float(np.mean(hits[self.labels == number]))
            for number, name in enumerate(self.class_names)
            if np.any(self.labels == number)
        }

    def confusion(self) -> np.ndarray:
        """(classes, classes) int: row the true class, column the predicted one."""
        counts = np.zeros((len(self.class_names),) * 2, int)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts


def classify(
    image_embeddings: np.ndarray,
    prompt_embeddings: np.ndarray,
    categories: Sequence[str | None],
    class_names: Sequence[str],
) -> ZeroShotResult:
    """Compares stored image embeddings with class prompts, both (rows, dim) of any floating type and of unit length.

    Categories are the true class names of the images, class names what the prompts stand for. Raises ValueError if a
    category has no class name, an embedding is not finite, zero or not of unit length, or shapes do not fit.
    """
    if unknown := set(categories) - set(class_names):
        raise ValueError(f"The classifier has no name for the categories {', '.join(sorted(map(str, unknown)))}.")
    check_unit_length(
        (image_embeddings, "image", len(categories), "names"), (prompt_embeddings, "prompt", len(class_names), "names")
    )
    position: dict[str | None, int] = {name: number for number, name in enumerate(class_names)}
    labels = np.array([position[category] for category in categories], int)
    similarities = image_embeddings.astype(np.float32) @ prompt_embeddings.astype(np.float32).T
    return ZeroShotResult(tuple(class_names), labels, similarities)


def zero_shot(
    model: CLIP, dataset: CaptionDataset, protocol: str | Protocol = "documents", *, batch_size: int = 64
) -> ZeroShotResult:
    """Classifies a data set's images into the categories that occur, by the prompts of a protocol.

    The published protocol is the RSICD test split, the images with a category in their file name, 30 unsplit
    names. What has no category, or cannot be decoded, is left out. A protocol is a `Protocol`, the name of one of
    `PROTOCOLS`, or a prompt with ``{}`` for the class name; images encoded at once do not change the scores. Raises
    ValueError if no image has a category or can be decoded, or some have none and the protocol counts every one.
    """
    protocol = as_protocol(protocol)
    named = dataset.named()
    title = dataset.name or "the data set"
    if not len(named):
        raise ValueError(f"No image of {title} has a category to be classified into.")
    if protocol.class_lists and len(named) < len(dataset):
        raise ValueError(
            f"The protocol {protocol.name!r} counts every image, but {len(dataset) - len(named):,} of "
            f"{len(dataset):,} in {title} have no category; load it with load_dataset('rsicd', class_lists=True)."
        )
    images, scored = embed_dataset(model, named, batch_size=batch_size)
    return classify_dataset(model, images, scored, named, protocol)


def classify_dataset(
    model: CLIP, image_embeddings: np.ndarray, scored: CaptionDataset, dataset: CaptionDataset, protocol: str | Protocol
) -> ZeroShotResult:
    """What `zero_shot` does with the embeddings (scored, dim) of those images of a data set that can be decoded."""
    protocol, names = as_protocol(protocol), dataset.categories
    decoded = {item.path for item in scored}
    categories = [item.category for item in dataset if item.path in decoded]
    named = [number for number, category in enumerate(categories) if category is not None]
    prompts, _ = embed_classes(model, names, protocol)
    result = classify(image_embeddings[named], prompts, [categories[number] for number in named], names)
    left_out = len(dataset.named()) - len(named)
    return replace(result, protocol=protocol.name, dataset=dataset.name, left_out=left_out)
