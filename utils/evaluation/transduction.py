"""A gain without labels: class embeddings that move towards the unlabeled images they are compared with.

A text and the images it describes lie apart in CLIP's space. Where many images are to be classified at once, they
show where their classes lie. Whether that helps is measured on validation images, by `keep_what_helps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from utils.evaluation.embeddings import unit_rows

LOGIT_SCALES = (10.0, 20.0, 50.0, 100.0)  # from what suits small models to that of OpenAI's CLIP


class Kept(NamedTuple):
    """The way to classify that did best on validation images: its name, and the accuracies of all candidates."""

    name: str
    validation_accuracies: dict[str, float]


def refine_class_embeddings(
    image_embeddings: np.ndarray,
    class_embeddings: np.ndarray,
    *,
    logit_scale: float,
    blend: float = 0.5,
    steps: int = 10,
) -> np.ndarray:
    """Moves the embeddings of classes towards the images that are taken for them; no label is looked at.

    Each step first assigns every image x softly, p(c|x) proportional to exp(logit_scale cos(x, w_c)), and then sets w_c
    to the direction of (1 - blend) t_c + blend m_c, t_c the text's embedding and m_c the direction of the sum of
    p(c|x) x. With a blend of 1 this is soft-moVMF, expectation maximization for a mixture of von Mises-Fisher
    distributions (Banerjee et al. 2005, Clustering on the Unit Hypersphere), with equal shares
    and one concentration, the logit scale. Held to its texts it does what TransCLIP does (Zanella et al. 2024, Boosting
    Vision-Language Models with Transduction; El Khoury et al. 2024 for remote sensing) in a simpler way: TransCLIP
    holds the assignments to those by the texts, learns a variance for each dimension and lets neighbors agree.

    Embeddings are those (images, dim) of the very images that are to be classified and those (classes, dim) of the
    prompts, of any length but zero; what is returned is (classes, dim) float32 of unit length. The scale is the model's
    own, which its assignments were trained with, or another of `logit_scales_to_try`: the classes of CLIP lie a few
    hundredths of cosine apart, and a scale much below its 100 takes every image for all of them alike. ``blend`` goes
    from 0, which changes nothing, to 1, which leaves the texts behind. Raises ValueError if embeddings are zero, not
    finite or of two sizes, or a setting is out of its range.
    """
    from scipy.special import softmax

    from utils.clip import unit_length

    images, texts = unit_rows((image_embeddings, "image"), (class_embeddings, "class"))
    if not (0 < logit_scale < np.inf and 0 <= blend <= 1 and steps >= 0):
        given = f"Logit scale {logit_scale}, blend {blend} and {steps} steps"
        raise ValueError(f"{given} cannot work: above 0, from 0 to 1, and 0 or more are needed.")
    refined = texts
    for _ in range(steps):
        shares = softmax(logit_scale * (images @ refined.T), axis=1)
        # A class that no image is taken for has a sum of nearly nothing, which `unit_length` leaves short.
        moved = (1 - blend) * texts + blend * unit_length(shares.T @ images)
        # As short as this is rounding, not a direction: longer than what `unit_length` leaves as it is.
        refined = np.where(np.linalg.norm(moved, axis=1, keepdims=True) > 1e-6, unit_length(moved), texts)
    return refined.astype(np.float32)


def logit_scales_to_try(own: float) -> list[float]:
    """The scales among which validation chooses: the model's own, exp(``logit_scale``), and then `LOGIT_SCALES`.

    One that is within a twentieth of the model's own is left out.
    """
    return [own, *(scale for scale in LOGIT_SCALES if not math.isclose(scale, own, rel_tol=0.05))]


def keep_what_helps(candidates: Mapping[str, np.ndarray], labels: Sequence[int] | np.ndarray) -> Kept:
    """Chooses among ways to classify by their accuracy on validation images, the first of equals.

    Candidates are, by name, the scores (images, classes) that each gives to validation images, labels (images,) the
    columns of the true classes. Raises ValueError if there is none, or scores and labels do not fit or are not finite.
    """
    true = np.asarray(labels)
    if not candidates or not len(true):
        raise ValueError("There is nothing to choose: give at least one candidate and one labeled image.")
    accuracies = {}
    for name, scores in candidates.items():
        if np.ndim(scores) != 2 or len(scores) != len(true) or not 0 <= true.min() <= true.max() < scores.shape[1]:
            raise ValueError(
                f"The scores of {name!r} have the shape {np.shape(scores)}; they do not fit {len(true)} labels from "
                f"{true.min()} to {true.max()}."
            )
        if not np.isfinite(scores).all():
            raise ValueError(f"Some scores of {name!r} are not finite numbers.")
        accuracies[name] = float(np.mean(np.argmax(scores, axis=1) == true))
    return Kept(max(accuracies, key=accuracies.__getitem__), accuracies)
