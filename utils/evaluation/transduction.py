"""A gain without labels: class embeddings that move towards the unlabelled images they are compared with.

A text and the pictures it describes lie apart in CLIP's space. Where many pictures are to be classified at once,
they say themselves where their classes lie. Whether that helps is asked of validation images, `keep_what_helps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from utils.evaluation.classifiers import unit_rows


@dataclass(frozen=True)
class Kept:
    """What validation images chose.

    Attributes:
        name: Of the candidate that is kept.
        validation: Accuracy of each candidate on them.
        chance: How often two equally good ways differ as much as this one and the first do (McNemar's exact test);
            1 where the first is kept. Near 1 the choice means nothing. Many candidates make it look smaller.
    """

    name: str
    validation: dict[str, float]
    chance: float


def refine_class_embeddings(
    image_embeddings: np.ndarray,
    class_embeddings: np.ndarray,
    *,
    temperature: float = 0.1,
    blend: float = 0.5,
    steps: int = 10,
) -> np.ndarray:
    """Moves the embeddings of classes towards the images that are taken for them; no label is looked at.

    Each step first assigns every image x softly, p(c|x) proportional to exp(cos(x, w_c) / temperature), and then
    sets w_c to the direction of (1 - blend) t_c + blend m_c, t_c the text's embedding and m_c the direction of the
    sum of p(c|x) x. This is expectation maximization for a mixture of von Mises-Fisher distributions (Banerjee et
    al. 2005, Clustering on the Unit Hypersphere, soft-moVMF with one concentration) held to the texts as in
    TransCLIP (Zanella et al. 2024, Boosting Vision-Language Models with Transduction).

    Args:
        image_embeddings: (images, dim), the very images that are to be classified; of any length but zero.
        class_embeddings: (classes, dim) of the prompts.
        temperature: Small for hard assignments; 1 / exp(logit scale) is what the model was trained with.
        blend: Share of the images, from 0, which changes nothing, to 1, which leaves the texts behind.
        steps: How often.

    Returns:
        (classes, dim) float32 of unit length.

    Raises:
        ValueError: If embeddings are zero, not finite or of two sizes, or a setting is out of its range.
    """
    images, texts = unit_rows(image_embeddings, "image"), unit_rows(class_embeddings, "class")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(f"Image embeddings of {images.shape[1]} numbers do not fit texts of {texts.shape[1]}.")
    if not (temperature > 0 and 0 <= blend <= 1 and steps >= 0):
        raise ValueError(
            f"Temperature {temperature}, blend {blend} and {steps} steps cannot work: above 0, from 0 to 1, and 0 or "
            "more are needed."
        )
    refined = texts
    for _ in range(steps):
        scaled = images @ refined.T / temperature
        shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        # A class that no image is taken for has a sum of nearly nothing, which must not be divided by nothing.
        sums = shares.T @ images
        means = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        moved = (1 - blend) * texts + blend * means
        lengths = np.linalg.norm(moved, axis=1, keepdims=True)
        refined = np.where(lengths > 1e-6, moved / np.maximum(lengths, 1e-6), texts)
    return refined.astype(np.float32)


def keep_what_helps(candidates: Mapping[str, np.ndarray], labels: Sequence[int]) -> Kept:
    """Chooses among ways to classify by their accuracy on validation images.

    Args:
        candidates: By name the scores (images, classes) that each gives to validation images; the first is the
            plain way, which is kept unless another is better.
        labels: (images,) int, the column of the true class.

    Returns:
        The choice, the first of equals.

    Raises:
        ValueError: If there is no candidate, or scores and labels do not fit or are not finite.
    """
    labels = np.asarray(labels)
    if not candidates or not len(labels):
        raise ValueError("There is nothing to choose: give at least one candidate and one labeled image.")
    hits = {}
    for name, scores in candidates.items():
        if (
            np.ndim(scores) != 2
            or len(scores) != len(labels)
            or not 0 <= labels.min() <= labels.max() < scores.shape[1]
        ):
            raise ValueError(
                f"The scores of {name!r} have the shape {np.shape(scores)}; they do not fit {len(labels)} labels from "
                f"{labels.min()} to {labels.max()}."
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"Some scores of {name!r} are not finite numbers.")
        hits[name] = np.argmax(scores, axis=1) == labels
    accuracies = {name: float(np.mean(hit)) for name, hit in hits.items()}
    best = max(accuracies, key=accuracies.__getitem__)
    return Kept(best, accuracies, _chance(next(iter(hits.values())), hits[best]))


def _chance(first: np.ndarray, second: np.ndarray) -> float:
    """McNemar's exact test (1947): of the images that only one gets right, equally good ways get half each."""
    from scipy.stats import binomtest

    differing = int(np.sum(first != second))
    return float(binomtest(int(np.sum(second & ~first)), differing).pvalue) if differing else 1.0
