"""What follows from the ranks of the true classes, wherever they come from: score@k, per class, intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.evaluation.intervals import Interval, bootstrap

PUBLISHED_KS = (1, 3, 5, 10)


class RankScores:
    """The scores of anything that has ``class_names``, ``labels`` (images,) and ``ranks`` (images,).

    A rank says how many classes stand before the true one.
    """

    class_names: tuple[str, ...]
    labels: np.ndarray
    ranks: np.ndarray

    def hits(self, k: int = 1) -> np.ndarray:
        """(images,) bool, whether the true class is among the k best.

        Raises:
            ValueError: If k is below 1.
        """
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
