"""Zero-shot classification by the published protocols: prompts encoded once, score@k, per class, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

PUBLISHED_KS = (1, 3, 5, 10)

# The three prompts in use around CLIP-rsicd: its documents, the script behind its table, and a notebook
# (whose spelling is its own).
PROMPT_TEMPLATES = {
    "documents": "An aerial photograph of {}",
    "script": "Aerial photograph of {}",
    "notebook": "An arial photograph of a {}",
}

# RSICD writes its class names without spaces; these are the ones that have some.
SPLIT_NAMES = {
    "bareland": "bare land",
    "baseballfield": "baseball field",
    "denseresidential": "dense residential",
    "mediumresidential": "medium residential",
    "railwaystation": "railway station",
    "sparseresidential": "sparse residential",
    "storagetanks": "storage tanks",
}


@dataclass(frozen=True)
class ZeroShotResult:
    """The outcome of classifying images by the prompts of their classes.

    Attributes:
        class_names: (classes,) the names, sorted; labels and columns refer to them.
        labels: (images,) int, the true class of each image.
        similarities: (images, classes) float32 cosine similarities.
        prompts: (classes,) the texts that stood for the classes.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    similarities: np.ndarray
    prompts: tuple[str, ...]

    @property
    def ranks(self) -> np.ndarray:
        """(images,) how many classes stand before the true one; of equal similarities the first name wins."""
        order = np.argsort(-self.similarities, axis=1, kind="stable")
        return np.argmax(order == self.labels[:, None], axis=1)

    @property
    def predictions(self) -> np.ndarray:
        """(images,) the best class of each image."""
        return np.argmax(self.similarities, axis=1)

    def score(self, k: int = 1) -> float:
        """The share of images whose class is among the k best: score@k."""
        return float(np.mean(self.ranks < k))

    def scores(self, ks: Sequence[int] = PUBLISHED_KS) -> dict[int, float]:
        """score@k for several k."""
        return {k: self.score(k) for k in ks}

    def per_class(self, k: int = 1) -> dict[str, float]:
        """score@k of each class by itself; a class without images is left out."""
        hits = self.ranks < k
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


def class_prompts(class_names: Sequence[str], template: str, split_names: bool = False) -> list[str]:
    """Fills a template with each class name.

    Args:
        class_names: Names as the data set has them.
        template: A text with one ``{}``.
        split_names: Whether 'storagetanks' becomes 'storage tanks'. The published figures do not split.

    Returns:
        One prompt a class, in the given order.

    Raises:
        ValueError: If the template has no place for the name.
    """
    if template.count("{}") != 1:
        raise ValueError(f"The template {template!r} needs exactly one '{{}}' where the class name goes.")
    return [template.format(SPLIT_NAMES.get(name, name) if split_names else name) for name in class_names]


def classify(
    image_embeddings: np.ndarray,
    prompt_embeddings: np.ndarray,
    categories: Sequence[str],
    class_names: Sequence[str],
    prompts: Sequence[str] = (),
) -> ZeroShotResult:
    """Compares images with class prompts, from embeddings alone.

    Args:
        image_embeddings: (images, dim) float32, of unit length.
        prompt_embeddings: (classes, dim) float32, of unit length.
        categories: (images,) the true class name of each image.
        class_names: (classes,) the names that the prompts stand for.
        prompts: (classes,) the texts themselves, kept for the report.

    Returns:
        Similarities and labels, ready to be scored.

    Raises:
        ValueError: If a category has no class name, an embedding is not finite, or shapes do not fit.
    """
    unknown = sorted(set(categories) - set(class_names))
    if unknown:
        raise ValueError(f"The classifier has no name for the categories {', '.join(map(str, unknown))}.")
    if image_embeddings.shape != (len(categories), prompt_embeddings.shape[1]):
        raise ValueError(
            f"Image embeddings of shape {image_embeddings.shape} do not fit {len(categories)} categories and "
            f"prompt embeddings of shape {prompt_embeddings.shape}."
        )
    if not (np.isfinite(image_embeddings).all() and np.isfinite(prompt_embeddings).all()):
        raise ValueError("Some embeddings are not finite numbers; the model or its input is broken.")
    position = {name: number for number, name in enumerate(class_names)}
    return ZeroShotResult(
        class_names=tuple(class_names),
        labels=np.array([position[category] for category in categories], int),
        similarities=image_embeddings.astype(np.float32) @ prompt_embeddings.astype(np.float32).T,
        prompts=tuple(prompts),
    )


def zero_shot(
    model: CLIP,
    dataset: CaptionDataset,
    template: str = PROMPT_TEMPLATES["documents"],
    *,
    split_names: bool = False,
    batch_size: int = 64,
    progress: bool = False,
) -> ZeroShotResult:
    """Classifies a data set's images by one prompt a category.

    The published protocol is the RSICD test split, the images with a category in their file name, 30 unsplit
    names. Images without a category are left out; the classes are the categories that occur.

    Args:
        model: The CLIP model.
        dataset: Images, of which those with a category count.
        template: The prompt, with ``{}`` for the class name.
        split_names: See `class_prompts`.
        batch_size: Images encoded at once; it does not change the scores.
        progress: Whether to show a bar.

    Returns:
        Similarities and labels, ready to be scored.

    Raises:
        ValueError: If no image has a category.
    """
    from utils.clip import embed_images, embed_texts
    from utils.images import eval_batches

    named = dataset.named()
    if not len(named):
        raise ValueError(
            f"No image of {dataset.name or 'the data set'} has a category to be classified into."
        )
    prompts = class_prompts(named.categories, template, split_names)
    batches = eval_batches(named, model.preprocessing, batch_size=batch_size)
    return classify(
        embed_images(model, batches, progress=progress),
        embed_texts(model, prompts),
        [item.category for item in named],
        named.categories,
        prompts,
    )
