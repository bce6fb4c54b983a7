"""What each image did under each model: kept beside an `evaluation.json`, so that runs can be compared image by image.

`predictions.json` holds the images, their categories, what was predicted, the rank of the true category and the six
recalls of retrieval. Two runs on the same images have a paired interval, several seeds a joined one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.evaluation.retrieval import RetrievalResult
from utils.evaluation.zero_shot import ZeroShotResult

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

FILE = "predictions.json"
# What notebook 05 records: 'finetuned_top3', 'baseline_split_names_top1', 'finetuned_mean_recall'.
_METRIC = re.compile(r"(?P<model>baseline|finetuned)_(?:(?P<split>split_names_)?top(?P<k>\d+)|(?P<recall>mean_recall))")
_MODELS = {"baseline": "baseline", "finetuned": "fine-tuned"}


@dataclass(frozen=True)
class ImageValues:
    """What a metric is the mean of.

    Attributes:
        images: (images,) what each is known by.
        values: (images, figures) float64.
        weights: Of the same shape, as `bootstrap` takes them.
    """

    images: tuple[str, ...]
    values: np.ndarray
    weights: np.ndarray

    @property
    def mean(self) -> float:
        """The metric itself."""
        return float(np.mean(np.average(self.values, axis=0, weights=self.weights)))


def per_image_json(
    items: CaptionDataset,
    data: str,
    zero_shot: Mapping[str, Mapping[str, ZeroShotResult]],
    retrieval: Mapping[str, RetrievalResult],
) -> dict[str, Any]:
    """What `predictions.json` holds of one split, ``data``.

    Args:
        items: The images: those with a category were classified, those whose captions have words retrieved.
        data: Name of the data set and its split.
        zero_shot: By ``prompt`` and ``split_names``, then by model; empty where no image has a category.
        retrieval: Strict, by model; empty where no image has a caption.
    """
    content: dict[str, Any] = {"data": data}
    if zero_shot:
        first = zero_shot["prompt"]
        content["zero_shot"] = {
            "images": [item.name for item in items if item.category is not None],
            "categories": [item.category for item in items if item.category is not None],
            "predicted": {
                name: [result.class_names[number] for number in result.predictions] for name, result in first.items()
            },
            "ranks": {
                protocol: {name: result.ranks.tolist() for name, result in of.items()}
                for protocol, of in zero_shot.items()
            },
        }
    if retrieval:
        per_image = {name: result.per_image for name, result in retrieval.items()}
        content["retrieval"] = {
            "images": [item.name for item in items if item.captions_with_words],
            "weights": next(iter(per_image.values()))[1].tolist(),
            "recalls": {name: values.tolist() for name, (values, _) in per_image.items()},
        }
    return content


def read_predictions(folder: Path) -> dict[str, Any]:
    """The `predictions.json` of an evaluation; empty if there is none to read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_mean_over_images(metric: str) -> bool:
    """Whether a metric of notebook 05 is one whose values for each image are kept."""
    return _METRIC.fullmatch(metric) is not None


def values_of(content: Mapping[str, Any], metric: str) -> ImageValues | None:
    """What a metric of notebook 05, such as ``finetuned_top1``, is the mean of, out of `read_predictions`.

    None if it is not a mean over images, or they are not kept.
    """
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
    order = np.argsort(first.images, kind="stable")
    rows = []
    for run in several:
        its_order = np.argsort(run.images, kind="stable")
        if not np.array_equal(np.array(run.images)[its_order], np.array(first.images)[order]):
            return None
        if not np.array_equal(run.weights[its_order], first.weights[order]):  # other captions
            return None
        values = np.empty_like(run.values)
        values[order] = run.values[its_order]
        rows.append(values)
    return rows
