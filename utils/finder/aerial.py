"""Is it an image from above at all? How far an image lies from those that the model was trained on.

The embedding cannot tell: it keeps what parts the categories, and maps a street to whatever among them is nearest. The
first blocks still see what an image is made of. So each channel's mean and standard deviation over the patches that
the second block gives are a vector x (2 * width,), and its squared Mahalanobis distance (Lee et al. 2018, A simple
unified framework for detecting out-of-distribution samples) under probabilistic PCA (Tipping and Bishop 1999),

    distance(x) = sum_i (axis_i . (x - mean))^2 / variance_i + |what no axis explains of x - mean|^2 / rest

with the mean and the principal axes of training images, is held against what few of the held-out images exceed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionDataset, data_fingerprint, eval_batches, eval_transform

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP

BLOCKS = 2  # of the vision tower, that an image goes through
AXES = 64  # at most
TRAINING_IMAGES = 3000  # that are looked at, at most
EXCEEDED_BY = 0.01  # share of the held-out images that lie beyond the limit: what false alarms there are
STORED = {"mean": "<f4", "variances": "<f4", "axes": "<f2"}  # the arrays in a file, in base64


@dataclass(frozen=True)
class AerialCheck:
    """Tells images that are far from all that a model was trained on."""

    mean: np.ndarray = field(compare=False)  # (2 * width,) float32
    axes: np.ndarray = field(compare=False)  # (axes, 2 * width) float32, of unit length, each at right angles to others
    variances: np.ndarray = field(compare=False)  # (axes,) float32, along them
    rest: float  # the mean variance along all other directions
    limit: float  # the distance from which on an image is told
    learned_from: dict[str, Any] = field(default_factory=dict)  # name, images, fingerprint, held_out, exceeded_by

    def distances(self, statistics: np.ndarray) -> np.ndarray:
        """The squared distances of images, (images,) float64, by what `utils.clip.patch_statistics` gives of them."""
        apart = statistics.astype(np.float64) - self.mean
        along = apart @ self.axes.T
        beside = np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return (along**2 / self.variances).sum(axis=1) + beside / self.rest

    def holds_for(self, model: CLIP, squares: Sequence[Image.Image]) -> bool | None:
        """Whether any of some squares of a scene may be an image from above; None if there is none."""
        return self.allows(square_statistics(model, squares))

    def allows(self, statistics: np.ndarray) -> bool | None:
        """As `holds_for`, by what `square_statistics` gives of the squares, which can be kept."""
        return bool(self.distances(statistics).min() <= self.limit) if len(statistics) else None

    def as_json(self) -> dict[str, Any]:
        """Itself as files have it."""
        arrays = {name: getattr(self, name).astype(kind).tobytes() for name, kind in STORED.items()}
        texts = {name: base64.b64encode(content).decode() for name, content in arrays.items()}
        return {"rest": self.rest, "limit": self.limit, "learned_from": self.learned_from} | texts

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AerialCheck:
        """What `as_json` gave; a ValueError, KeyError or TypeError if something else is given."""
        contents = {name: base64.b64decode(values[name], validate=True) for name in STORED}
        arrays = {name: np.frombuffer(contents[name], kind).astype(np.float32) for name, kind in STORED.items()}
        arrays["axes"] = arrays["axes"].reshape(len(arrays["variances"]), len(arrays["mean"]))
        return cls(
            **arrays, rest=float(values["rest"]), limit=float(values["limit"]), learned_from=values["learned_from"]
        )


def square_statistics(model: CLIP, squares: Sequence[Image.Image]) -> np.ndarray:
    """What an `AerialCheck` asks of squares of a scene, (squares, 2 * width) float32."""
    from utils.clip import patch_statistics

    pixels = [eval_transform(square, model.preprocessing) for square in squares]
    return patch_statistics(model, [{"images": np.stack(pixels)}] if pixels else [], BLOCKS)


def learn_aerial(model: CLIP, train_set: CaptionDataset, held_out: CaptionDataset, seed: int = 0) -> AerialCheck:
    """Learns how images lie that the model was trained on, and where the limit is, from images held out.

    Of each image its middle square counts. Up to `TRAINING_IMAGES` are drawn; what cannot be decoded is left out. A
    ValueError says that there are too few images.
    """
    train_set = train_set.subset(TRAINING_IMAGES, seed)
    statistics, others = (_statistics_of(model, images) for images in (train_set, held_out))
    count = min(AXES, statistics.shape[1] - 1, len(statistics) - 2)
    if count < 1 or not len(others):
        raise ValueError(
            f"{len(statistics)} training images and {len(others)} held out are too few to learn how images from above "
            "look; give at least three and one."
        )
    mean = statistics.mean(axis=0, dtype=np.float64)
    _, lengths, directions = np.linalg.svd(statistics - mean, full_matrices=False)
    variances = lengths**2 / (len(statistics) - 1)
    rest = float(variances[count:].sum() / (statistics.shape[1] - count))
    # As a file has them: the limit is to fit these.
    axes = directions[:count].astype(STORED["axes"])
    learned_from = {
        "name": train_set.name,
        "images": len(statistics),
        "fingerprint": data_fingerprint(train_set),
        "held_out": len(others),
        "exceeded_by": EXCEEDED_BY,
    }
    center, spread, along = (array.astype(np.float32) for array in (mean, variances[:count], axes))
    check = AerialCheck(center, along, spread, rest, np.inf, learned_from)
    return replace(check, limit=float(np.quantile(check.distances(others), 1 - EXCEEDED_BY)))


def _statistics_of(model: CLIP, images: CaptionDataset) -> np.ndarray:
    from utils.clip import patch_statistics

    unreadable: dict[int, str] = {}
    return patch_statistics(model, eval_batches(images, model.preprocessing, unreadable=unreadable), BLOCKS)
