"""Is the feature there at all? A probability that can say no, calibrated on scenes whose content is known.

The softmax over tiles names a winner in any scene. Here a tile's similarity is held against those to other texts:

    margin = scale * s(feature) - log sum_b exp(scale * s(b))        s: cosine similarity, b: background texts

is the log-odds of the feature among these texts. A scene's best margin and the logarithm of the number of its tiles
(the more, the higher the best by chance) go through a logistic regression (Platt 1999), see `calibration`.
"""

from __future__ import annotations

import json
from bisect import bisect
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.files import disk_trouble_in_words, write_whole
from utils.finder.aerial import AerialCheck

FORMAT = 1  # of the JSON file
VERDICT_LIMITS = (0.1, 0.35, 0.65, 0.9)  # of probability, between these
VERDICTS = (
    "is very probably not here", "is probably not here", "may be here or not",
    "is probably here", "is very probably here",
)  # fmt: skip


@dataclass(frozen=True)
class PresenceModel:
    """Turns the tiles of a scene into the probability that it shows a feature."""

    template: str  # the prompt, with ``{feature}``
    background: tuple[str, ...]  # the texts that a feature is held against
    margin_weight: float  # of the best margin
    tiles_weight: float  # of the natural logarithm of the number of tiles
    intercept: float  # added to both; the logistic function of the sum is the probability
    too_close: float  # a background text of at least this cosine similarity with the feature means the same: left out
    model_fingerprint: str  # of the model that it was calibrated for
    # The data: name, images, fingerprint, scenes, questions, seed; their reading, where it was set.
    calibrated_on: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)  # area under the curve and accuracy on these data
    aerial: AerialCheck | None = None  # refuses what is no image from above; None: everything is judged

    def check_model(self, fingerprint: str) -> None:
        """Refuses, with a ValueError, a model that it was not calibrated for."""
        if fingerprint != self.model_fingerprint:
            raise ValueError(
                f"The presence model was calibrated for the model {self.model_fingerprint}, and the scene was "
                f"embedded by {fingerprint}; calibrate it again with calibrate_presence."
            )

    def margins(self, embeddings: np.ndarray, feature: np.ndarray, background: np.ndarray, scale: float) -> np.ndarray:
        """The log-odds of the feature against the background for each tile, (tiles,) float64.

        Of unit length are the tiles' embeddings (tiles, dim), the feature's prompt (dim,), and the background texts
        (texts, dim); the scale is the model's.
        """
        likeness = background @ feature
        # A model that gives all texts one embedding still has the least like one to compare with.
        others = background[likeness < max(self.too_close, np.nextafter(likeness.min(), np.float32(2)))]
        against = scale * (embeddings @ others.T).astype(np.float64)
        return scale * (embeddings @ feature).astype(np.float64) - np.logaddexp.reduce(against, axis=1)

    def probabilities(self, margins: np.ndarray, log_tiles: np.ndarray | float) -> np.ndarray:
        """That tiles show the feature, by their margins and the logarithm of the number of tiles in their scene.

        Of a scene's tiles the best says how probable it is that the scene shows it.
        """
        from scipy.special import expit

        return expit(self.margin_weight * margins + self.tiles_weight * log_tiles + self.intercept)

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON; the file appears whole or not at all."""
        content = {"format": FORMAT, **asdict(replace(self, aerial=None))}
        if self.aerial is not None:
            content["aerial"] = self.aerial.as_json()
        return write_file(path, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> PresenceModel:
        """Reads what `save` wrote; a ValueError if the file is missing or holds something else."""
        try:
            if not Path(path).is_file():  # a pipe would be waited for
                raise ValueError("it is not there, or not a regular file")
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            if values.pop("format") != FORMAT:
                raise ValueError("it is of another version")
            values["background"] = tuple(values["background"])
            if values.get("aerial") is not None:
                values["aerial"] = AerialCheck.from_json(values["aerial"])
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} holds no presence model ({type(error).__name__}: {error}); save one of calibrate_presence."
            ) from None


def presence_in_words(presence: float) -> str:
    """A probability of presence as a verdict, to be read behind the feature's name."""
    return VERDICTS[bisect(VERDICT_LIMITS, presence)]


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Writes a file, whole or not at all, and its folder if there is none."""
    path = Path(path)
    with disk_trouble_in_words(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    return path
