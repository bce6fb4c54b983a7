"""Classifiers on stored embeddings: linear probe, nearest neighbors, few shots.

What has to be chosen is chosen on validation images; then training and validation images together make the
classifier that is tried on test images, as CLIP's own probes were made (Radford et al. 2021, appendix A.3).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from utils.evaluation.embeddings import unit_rows

# A grid in powers of ten. Unit embeddings of one model lie close together, so weak regularization is often right.
INVERSE_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
NEIGHBOR_COUNTS = (1, 3, 5, 10, 20, 50)
SHOTS = (1, 2, 4, 8, 16)
# The weight of a neighbor is exp(cosine / 0.07): Wu et al. 2018, Unsupervised Feature Learning via Non-Parametric
# Instance Discrimination, section 3.4.
NEIGHBOR_TEMPERATURE = 0.07

_MAX_ITERATIONS = 2_000

Setting = TypeVar("Setting", int, float)


@dataclass(frozen=True)
class ProbeResult:
    """What a classifier says of test images, and how it was chosen.

    Probabilities are (images, classes) float, rows sum to 1; columns are those of ``class_names``, the training labels,
    sorted. ``chosen`` is the setting with the best of the validation accuracies, the smallest of equals.
    """

    class_names: tuple
    probabilities: np.ndarray
    chosen: float
    validation_accuracies: dict[float, float]

    def accuracy(self, labels: Sequence) -> float:
        """The share of images whose likeliest class is the true one, for (images,) true labels."""
        if len(labels) != len(self.probabilities):
            raise ValueError(f"{len(labels)} labels do not fit {len(self.probabilities)} classified images.")
        likeliest = np.asarray(self.class_names)[np.argmax(self.probabilities, axis=1)]
        return float(np.mean(likeliest == np.asarray(labels)))


@dataclass(frozen=True)
class FewShotCurve:
    """Accuracies (counts, draws) on test images by the number of labeled images of each class that were drawn."""

    accuracies: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(counts,) mean accuracy over the draws."""
        return self.accuracies.mean(axis=1)

    @property
    def spread(self) -> np.ndarray:
        """(counts,) standard deviation over the draws (n - 1); 0 for a single draw."""
        draws = self.accuracies.shape[1]
        return self.accuracies.std(axis=1, ddof=1) if draws > 1 else np.zeros(len(self.accuracies))


def linear_probe(
    train_embeddings: np.ndarray,
    train_labels: Sequence,
    validation_embeddings: np.ndarray,
    validation_labels: Sequence,
    test_embeddings: np.ndarray,
    inverse_penalties: Sequence[float] = INVERSE_PENALTIES,
) -> ProbeResult:
    """Logistic regression with an L2 penalty on unit embeddings, its strength chosen on validation images.

    Embeddings are (images, dim) of any length but zero, labels (images,) class names or numbers, and
    ``inverse_penalties`` scikit-learn's C to choose from. What is returned are the probabilities of the test images
    from the probe refitted on training and validation images. Raises ValueError if embeddings are zero, not finite or
    do not fit the labels, a class is unknown or alone, or there is nothing to choose from.
    """
    labeled = (train_embeddings, train_labels), (validation_embeddings, validation_labels)
    return _choose_and_refit(_logistic_regression, inverse_penalties, *labeled, test_embeddings)


def nearest_neighbors(
    train_embeddings: np.ndarray,
    train_labels: Sequence,
    validation_embeddings: np.ndarray,
    validation_labels: Sequence,
    test_embeddings: np.ndarray,
    neighbor_counts: Sequence[int] = NEIGHBOR_COUNTS,
) -> ProbeResult:
    """Lets the most similar labeled images vote, each with the weight exp(cosine / 0.07).

    Arguments and errors are those of `linear_probe`, but for the numbers of neighbors to choose from, at least 1; those
    above the number of training images are left out. What is returned are shares of the votes.
    """
    if any(count < 1 for count in neighbor_counts):
        raise ValueError(f"At least 1 neighbor must vote, not {min(neighbor_counts)}.")
    possible = [count for count in neighbor_counts if count <= len(train_embeddings)]
    labeled = (train_embeddings, train_labels), (validation_embeddings, validation_labels)
    return _choose_and_refit(_votes, possible, *labeled, test_embeddings)


def few_shot_curve(
    train_embeddings: np.ndarray,
    train_labels: Sequence,
    test_embeddings: np.ndarray,
    test_labels: Sequence,
    *,
    inverse_penalty: float,
    shots: Sequence[int] = SHOTS,
    draws: int = 5,
    seed: int = 0,
) -> FewShotCurve:
    """How much ``shots`` labeled images of each class give, by logistic regression on unit embeddings.

    In one draw the smaller numbers of shots are parts of the larger ones, so that a curve rises by what was added
    and not by luck. Embeddings, labels and errors are those of `linear_probe`, and a class must have as many images as
    shots. Few shots leave nothing to choose scikit-learn's C on, so ``inverse_penalty`` comes from elsewhere.
    """
    train, test = unit_rows((train_embeddings, "training"), (test_embeddings, "test"))
    names, (numbers, true) = _numbered((train, train_labels, "training"), (test, test_labels, "test"))
    if draws < 1 or not len(shots) or min(shots) < 1:
        raise ValueError(f"A curve needs at least one draw and one shot, not {draws} draws of {list(shots)}.")
    counts = np.bincount(numbers)
    if counts.min() < max(shots):
        smallest = f"{names[counts.argmin()]} has {counts.min()}"
        raise ValueError(f"{max(shots)} images of each class cannot be drawn: {smallest}; ask for fewer shots.")
    accuracies = np.zeros((len(shots), draws))
    for draw in range(draws):
        order = np.random.default_rng([seed, draw]).permutation(len(train))
        by_class = [order[numbers[order] == label] for label in range(len(names))]
        for row, shot in enumerate(shots):
            chosen = np.concatenate([members[:shot] for members in by_class])
            probabilities = _logistic_regression(train[chosen], numbers[chosen], test, inverse_penalty)
            accuracies[row, draw] = np.mean(np.argmax(probabilities, axis=1) == true)
    return FewShotCurve(accuracies)


def _choose_and_refit(
    classify: Callable[[np.ndarray, np.ndarray, np.ndarray, Setting], np.ndarray],
    settings: Sequence[Setting],
    training: tuple[np.ndarray, Sequence],
    validation: tuple[np.ndarray, Sequence],
    test_embeddings: np.ndarray,
) -> ProbeResult:
    """Tries each setting on validation images and uses the best with all labeled images on the test images."""
    labeled = (training[0], "training"), (validation[0], "validation")
    train, held_out, test = unit_rows(*labeled, (test_embeddings, "test"))
    names, (numbers, true) = _numbered((train, training[1], "training"), (held_out, validation[1], "validation"))
    if not len(settings):
        raise ValueError(
            f"There is no setting to choose from; give at least one, and no more neighbors than {len(train)} images."
        )
    ordered = sorted(settings)
    likeliest = (np.argmax(classify(train, numbers, held_out, setting), axis=1) for setting in ordered)
    accuracies = [float(np.mean(classes == true)) for classes in likeliest]
    chosen = ordered[int(np.argmax(accuracies))]
    probabilities = classify(np.concatenate([train, held_out]), np.concatenate([numbers, true]), test, chosen)
    return ProbeResult(tuple(names), probabilities, chosen, dict(zip(ordered, accuracies, strict=True)))


def _numbered(*parts: tuple[np.ndarray, Sequence, str]) -> tuple[list, list[np.ndarray]]:
    """The sorted class names of the first part, and the labels of every part as numbers of them."""
    for embeddings, labels, which in parts:
        if len(labels) != len(embeddings):
            raise ValueError(f"{len(labels)} {which} labels do not fit {len(embeddings)} {which} embeddings.")
    names = sorted(set(parts[0][1]))
    if len(names) < 2:
        raise ValueError(f"A classifier needs two classes or more; the training labels name {len(names)}.")
    position = {name: number for number, name in enumerate(names)}
    for _, labels, which in parts[1:]:
        if unknown := ", ".join(map(str, sorted(set(labels) - set(names)))):
            raise ValueError(f"The {which} labels name {unknown}, but no training image has that label.")
    return names, [np.array([position[label] for label in labels]) for _, labels, _ in parts]


def _logistic_regression(
    train: np.ndarray, labels: np.ndarray, queries: np.ndarray, inverse_penalty: float
) -> np.ndarray:
    """Probabilities (queries, classes) of a regression on unit embeddings and the numbers of their classes."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if not inverse_penalty > 0:
        raise ValueError(f"The inverse penalty C is {inverse_penalty}; it must be above 0.")
    # The intercept is not penalized, so taking off the mean changes no probability; but all embeddings of a model
    # point about one way, and with that way left in the optimizer needs ten times the iterations. In float32 its
    # line search gives up early where the penalty is weak. The matrices are small: more threads only wait.
    center = train.mean(axis=0, dtype=np.float64)
    model = LogisticRegression(C=inverse_penalty, max_iter=_MAX_ITERATIONS)
    with threadpool_limits(1), warnings.catch_warnings():
        # With one shot every label is unique.
        warnings.filterwarnings("ignore", "The number of unique classes")
        return model.fit(train - center, labels).predict_proba(queries - center)


def _votes(train: np.ndarray, labels: np.ndarray, queries: np.ndarray, neighbors: int) -> np.ndarray:
    """Shares (queries, classes) of the votes of the most similar training images."""
    from sklearn.neighbors import KNeighborsClassifier

    def weights(distances: np.ndarray) -> np.ndarray:
        return np.exp((1 - distances) / NEIGHBOR_TEMPERATURE)

    model = KNeighborsClassifier(neighbors, metric="cosine", weights=weights)
    return model.fit(train, labels).predict_proba(queries)
