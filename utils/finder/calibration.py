"""Teaching the presence model on scenes of known content, and measuring what it learned on others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from utils.category_names import category_words
from utils.finder.finding import PROMPT, fill, logit_scale, named_place
from utils.finder.mosaics import Mosaic, lay_mosaics
from utils.finder.presence import PresenceModel, scene_measures
from utils.finder.reading import WholePicture
from utils.finder.scene import TileBatches, cut

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

GRIDS = (1, 2, 3, 4)  # scenes of 1 x 1 to 4 x 4 pictures
GENERIC_TEXTS = ("An aerial image", "A photograph")  # what a tile may be that is no category at all
TOO_CLOSE = 0.95  # 'football stadium' is as close to 'stadium', 'school' to 'playground' is not


@dataclass(frozen=True)
class PresenceReport:
    """How well presence is told, on scenes of known content: half of the questions are for what is there.

    Attributes:
        labels: (questions,) bool, whether the feature was there.
        probabilities: (questions,) float64.
        grids: (questions,) int: the scene was of so many by so many pictures.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    grids: np.ndarray

    @property
    def singles(self) -> PresenceReport:
        """The part on single pictures."""
        return self._part(self.grids == 1)

    @property
    def mosaics(self) -> PresenceReport:
        """The part on scenes of several pictures."""
        return self._part(self.grids > 1)

    @property
    def auc(self) -> float:
        """Area under the receiver operating characteristic."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self.labels, self.probabilities))

    @property
    def accuracy(self) -> float:
        """The share of questions answered rightly where 0.5 divides yes from no."""
        return float(np.mean((self.probabilities >= 0.5) == self.labels))

    def reliability(self, bins: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """What was said and what was true, in bins of equally many questions.

        Returns:
            The mean probability, and the share of features that were there: (bins,) float64 each.
        """
        from sklearn.calibration import calibration_curve

        true, said = calibration_curve(self.labels, self.probabilities, n_bins=bins, strategy="quantile")
        return said, true

    def _part(self, chosen: np.ndarray) -> PresenceReport:
        return PresenceReport(self.labels[chosen], self.probabilities[chosen], self.grids[chosen])


@dataclass(frozen=True)
class _Questions:
    """What was asked of scenes of known content.

    Attributes:
        measures: (questions, 2) float64, from `scene_measures`.
        labels: (questions,) bool, whether the feature was there.
        grids: (questions,) int.
        scenes: How many there were.
        images: Of how many pictures they were made.
    """

    measures: np.ndarray
    labels: np.ndarray
    grids: np.ndarray
    scenes: int
    images: int

    def report(self, presence: PresenceModel) -> PresenceReport:
        return PresenceReport(self.labels, presence.scene_probabilities(self.measures), self.grids)


def calibrate_presence(
    model: CLIP, validation_set: CaptionDataset, seed: int = 0, *, template: str = PROMPT
) -> PresenceModel:
    """Fits the presence model to held-out pictures with known categories, alone and in mosaics.

    The background is the names of all categories and a few generic texts. For each size in `GRIDS` every
    picture comes once, and each scene is asked for what it shows and for equally many categories that it does
    not. scikit-learn's logistic regression with its mild default penalty finds the weights, so that they stay
    finite where the questions are all easy.

    Args:
        model: The model that will be asked.
        validation_set: Pictures with categories that the model was not trained on; what cannot be decoded is left
            out, with a warning.
        seed: Governs the mosaics and the questions.
        template: The prompt, with ``{}`` or ``{feature}``.

    Raises:
        ValueError: If there are fewer than two categories, so that nothing is ever absent.
    """
    from sklearn.linear_model import LogisticRegression

    from utils.clip import fingerprint
    from utils.datasets import data_fingerprint, reading_note

    template = named_place(template)
    background = [fill(template, feature_name(name)) for name in validation_set.categories]
    plain = PresenceModel(template, (*background, *GENERIC_TEXTS), 1.0, 0.0, 0.0, TOO_CLOSE, fingerprint(model))
    questions = _ask(model, plain, validation_set, seed)
    regression = LogisticRegression().fit(questions.measures, questions.labels)
    margin_weight, tiles_weight = map(float, regression.coef_[0])
    fitted = replace(
        plain, margin_weight=margin_weight, tiles_weight=tiles_weight, intercept=float(regression.intercept_[0])
    )
    report = questions.report(fitted)
    return replace(
        fitted,
        calibrated_on={
            "name": validation_set.name,
            "images": questions.images,
            "fingerprint": data_fingerprint(validation_set),
            "scenes": questions.scenes,
            "questions": len(questions.labels),
            "seed": seed,
            **reading_note(validation_set),
        },
        scores={"auc": report.auc, "accuracy": report.accuracy},
    )


def evaluate_presence(model: CLIP, presence: PresenceModel, dataset: CaptionDataset, seed: int = 0) -> PresenceReport:
    """Asks scenes made of a data set for as many features that are there as for such that are not.

    Args:
        model: The model that ``presence`` was calibrated for.
        presence: From `calibrate_presence`, on other pictures.
        dataset: Pictures with categories.
        seed: Governs the mosaics and the questions.

    Raises:
        ValueError: If the model is another one, or there are fewer than two categories.
    """
    from utils.clip import fingerprint

    presence.check_model(fingerprint(model))
    return _ask(model, presence, dataset, seed).report(presence)


def feature_name(category: str) -> str:
    """How people would write a category: 'storage tanks' for RSICD's 'storagetanks'."""
    return category_words(category)


def _ask(model: CLIP, presence: PresenceModel, dataset: CaptionDataset, seed: int) -> _Questions:
    """Makes scenes, embeds them, and measures what is there and equally much that is not."""
    from utils.clip import embed_texts

    categories = dataset.categories
    if len(categories) < 2:
        raise ValueError(
            f"{dataset.name or 'The data set'} has pictures of {len(categories)} categories; presence is learned "
            "and tested on at least two, so that one can be absent."
        )
    generator = np.random.default_rng(seed)
    named = dataset.named().decodable()
    scenes = _draw_scenes(named, model.preprocessing.image_size, generator)
    embeddings = _embed(model, [mosaic for _, mosaic in scenes])
    prompts = [fill(presence.template, feature_name(name)) for name in categories]
    texts = embed_texts(model, [*prompts, *presence.background])
    features, background = texts[: len(prompts)], texts[len(prompts) :]
    scale = logit_scale(model)
    rows = []
    for (grid, mosaic), tiles in zip(scenes, embeddings, strict=True):
        for name, there in _questions_for(mosaic, categories, generator):
            feature = features[categories.index(name)]
            margins = presence.margins(tiles, feature, background, scale)
            rows.append((*scene_measures(margins), there, grid))
    columns = np.array(rows)
    labels, grids = columns[:, 2].astype(bool), columns[:, 3].astype(int)
    return _Questions(columns[:, :2], labels, grids, len(scenes), len(named))


def _draw_scenes(named: CaptionDataset, cell: int, generator: np.random.Generator) -> list[tuple[int, Mosaic]]:
    """For each size of `GRIDS` that the pictures fill, as many mosaics as they fill, each with its size."""
    return [
        (grid, mosaic) for grid in GRIDS for mosaic in lay_mosaics(named, grid, len(named) // grid**2, cell, generator)
    ]


def _questions_for(
    mosaic: Mosaic, categories: tuple[str, ...], generator: np.random.Generator
) -> list[tuple[str, bool]]:
    """Equally many categories that are there and that are not, drawn where there are more of one kind."""
    present = generator.permutation(mosaic.categories)
    absent = generator.permutation([name for name in categories if name not in mosaic.categories])
    count = min(len(present), len(absent))
    return [(str(name), True) for name in present[:count]] + [(str(name), False) for name in absent[:count]]


def _embed(model: CLIP, mosaics: list[Mosaic]) -> list[np.ndarray]:
    """The tiles of each scene, (tiles, dim) float32; tiles of all scenes share the batches."""
    from utils.clip import embed_images

    pictures = [WholePicture(mosaic.picture) for mosaic in mosaics]
    boxes = [cut(model, picture)[0] for picture in pictures]
    embeddings = embed_images(model, TileBatches(model, zip(pictures, boxes, strict=True), batch_size=64))
    return np.split(embeddings, np.cumsum([len(rows) for rows in boxes])[:-1])
