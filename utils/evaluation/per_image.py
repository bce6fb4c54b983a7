"""What each image did under each model: kept beside an `evaluation.json`, so that runs can be compared image by image.

`predictions.json`, from `Evaluation.per_image`, holds the images, their categories, what was predicted, the rank of the
true category and the six recalls. Two runs on the same images have a paired interval, several seeds a joined one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import read_json

FILE = "predictions.json"
# What notebook 05 records: 'finetuned_top3', 'baseline_split_names_top1', 'finetuned_mean_recall'.
_METRIC = re.compile(r"(?P<model>baseline|finetuned)_(?:(?P<split>split_names_)?top(?P<k>\d+)|(?P<recall>mean_recall))")
_MODELS = {"baseline": "baseline", "finetuned": "fine-tuned"}


@dataclass(frozen=True)
class ImageValues:
    """What a metric is the mean of: names of images, and (images, figures) values and weights as of `bootstrap`."""

    images: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """The metric itself."""
        return float(np.mean(np.average(self.values, axis=0, weights=self.weights)))


def read_predictions(folder: Path) -> dict[str, Any]:
    """The `predictions.json` of an evaluation; empty if there is none to read."""
    return read_json(folder / FILE)


def is_mean_over_images(metric: str) -> bool:
    """Whether a metric of notebook 05 is one whose values for each image are kept."""
    return _METRIC.fullmatch(metric) is not None


def values_of(content: Mapping[str, Any], metric: str) -> ImageValues | None:
    """What a metric of notebook 05, such as ``finetuned_top1``, is the mean of; None if there is no such mean."""
    asked = _METRIC.fullmatch(metric)
    if asked is None:
        return None
    try:
        part, model = content["retrieval" if asked["recall"] else "zero_shot"], _MODELS[asked["model"]]
        if asked["recall"]:
            names, values, weights = part["images"], np.array(part["recalls"][model]), np.array(part["weights"])
        else:
            ranks = np.array(part["ranks"]["split_names" if asked["split"] else "prompt"][model])
            names = map("/".join, zip(part["categories"], part["images"], strict=True))
            values = (ranks < int(asked["k"])).astype(float)[:, None]
            weights = np.ones_like(values)
        return ImageValues(tuple(f"{content['data']}/{name}" for name in names), values, weights)
    except (KeyError, TypeError, ValueError):  # not of this form, or without categories or captions
        return None


def aligned(several: Sequence[ImageValues]) -> list[np.ndarray] | None:
    """The values (images, figures) of several runs in the order of the first's images; None if the images differ."""
    first = several[0]
    if any(sorted(run.images) != sorted(first.images) for run in several):
        return None
    place = np.argsort(np.argsort(first.images, kind="stable"))
    orders = [np.argsort(run.images, kind="stable")[place] for run in several]
    if any(not np.array_equal(run.weights[order], first.weights) for run, order in zip(several, orders, strict=True)):
        return None  # other captions
    return [run.values[order] for run, order in zip(several, orders, strict=True)]
