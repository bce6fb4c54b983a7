"""How sure a figure is: percentile bootstrap of a mean, of a difference, and over several training runs.

The bootstrap (Efron and Tibshirani 1993) draws as many items as there are, with replacement, and takes their mean,
many times; the middle 95 % of those means say how the figure would scatter, had other images been drawn. Of other
training runs it knows nothing, unless they are given (`bootstrap_runs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95
_CELLS_AT_ONCE = 2**22  # drawn items held at once, 32 MB of indices


@dataclass(frozen=True)
class Interval:
    """A figure, on the items as they are, and the bounds that hold 95 % of its bootstrap draws."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Three decimals: '0.867 (0.827 to 0.903)'."""
        return format(self, ".3f")

    def __format__(self, spec: str) -> str:
        """Each number in the given format, three decimals by default: f'{interval:.1%}'."""
        value, low, high = (format(number, spec or ".3f") for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def bootstrap(values: np.ndarray, weights: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of a mean over items.

    Values are (items,), such as 1 for a hit and 0 for a miss, or (items, metrics), of which the figure is the mean of
    each metric's mean. Weights, of the same shape, say how much of its metric each item stands for. What is drawn
    together is one item: an image whose value is the mean of its captions weighs their number. Raises ValueError if
    there are no items, a value is not finite, or weights do not fit.
    """
    values, weights = _checked(values, weights)
    means = resampled_means(values, weights, draws=draws, generator=np.random.default_rng(seed))
    return interval_of_draws(_weighted_means(values, weights, np.arange(len(values))[None])[0], means)


def paired_bootstrap(
    before: np.ndarray, after: np.ndarray, weights: np.ndarray | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The interval of the difference between two models on the same items: after minus before.

    Each draw takes the same items for both, because an easy sample is easy for both. An interval without 0 says that
    the sign of the difference does not depend on which images were drawn. Arguments and errors are those of
    `bootstrap`; the values of both are of the same items row for row, and so are the weights.
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape:
        raise ValueError(f"Values of {before.shape} and {after.shape} are not of the same items of both models.")
    return bootstrap(after - before, weights, draws=draws, seed=seed)


def bootstrap_runs(runs: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of a mean over several training runs (seeds), (runs, items), one number for each item and run.

    Two levels, crossed: each draw takes as many runs as there are, with replacement, and one set of items, with
    replacement, on which all drawn runs are scored. So it holds both kinds of chance, which images were drawn and
    how the training came out; of the second a handful of runs says little, and the interval is too narrow. Raises
    ValueError if the shape is not that, there are no items or runs, or a value is not finite.
    """
    runs = np.asarray(runs, float)
    if runs.ndim != 2:
        raise ValueError(f"Runs of the shape {runs.shape} cannot be joined; give (runs, items), all of the same items.")
    _checked(runs, None)
    count, generator, means = len(runs), np.random.default_rng(seed), []
    for items in _drawn_items(runs.shape[1], draws, generator):
        shares = generator.multinomial(count, np.full(count, 1 / count), size=len(items)) / count
        means.append(np.take_along_axis(shares @ runs, items, axis=1).mean(axis=1))
    return interval_of_draws(runs.mean(), np.concatenate(means))


def resampled_means(
    values: np.ndarray, weights: np.ndarray | None = None, *, draws: int = DRAWS, generator: np.random.Generator
) -> np.ndarray:
    """The means of bootstrap draws themselves, (draws,) float64; arguments as in `bootstrap`."""
    values, weights = _checked(values, weights)
    drawn = _drawn_items(len(values), draws, generator)
    return np.concatenate([_weighted_means(values, weights, items) for items in drawn])


def interval_of_draws(value: float, draws: np.ndarray) -> Interval:
    """The interval of any figure whose bootstrap draws, (draws,), are known, such as a ratio of two means."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def _checked(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and weights as (items, metrics) float64."""
    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or not values.size:
        raise ValueError(f"An interval needs values of at least one item, not an array of {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("Some values are not finite numbers, so their mean has no interval.")
    if weights is None:
        return values, None
    weights = np.asarray(weights, float).reshape(len(weights), -1)
    if weights.shape != values.shape or not (weights > 0).all():
        raise ValueError(f"Weights of {weights.shape} for values of {values.shape}: give one above 0 for each value.")
    return values, weights


def _drawn_items(items: int, draws: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields (some draws, items) indices; however they are cut, the generator gives the same stream."""
    at_once = max(1, _CELLS_AT_ONCE // items)
    for start in range(0, draws, at_once):
        yield generator.integers(items, size=(min(at_once, draws - start), items))


def _weighted_means(values: np.ndarray, weights: np.ndarray | None, items: np.ndarray) -> np.ndarray:
    """(draws,) means over the metrics of each metric's (weighted) mean over the drawn items (draws, items)."""
    means = np.zeros(len(items))
    for metric, column in enumerate(values.T):
        if weights is None:
            means += column[items].mean(axis=1)
        else:
            weight = weights[:, metric]
            means += (weight * column)[items].sum(axis=1) / weight[items].sum(axis=1)
    return means / values.shape[1]
