"""Scenes of known content, mosaics of images: the presence model is taught on some and measured on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from utils.category_names import category_words
from utils.datasets import CaptionDataset, CaptionedImage, data_fingerprint, read_image, reading_note
from utils.finder.finding import PROMPT, fill, logit_scale, with_named_field
from utils.finder.presence import PresenceModel
from utils.finder.reading import WholeScene
from utils.finder.scene import TileBatches, cut

if TYPE_CHECKING:
    from utils.clip import CLIP

GRIDS = (1, 2, 3, 4)  # scenes of 1 x 1 to 4 x 4 images
GENERIC_TEXTS = ("An aerial image", "A photograph")  # what a tile may show that is not a category at all
TOO_CLOSE = 0.95  # 'football stadium' is as close to 'stadium', 'school' to 'playground' is not


@dataclass(frozen=True)
class Mosaic:
    """A scene made of images."""

    image: Image.Image  # RGB
    items: tuple[CaptionedImage, ...]  # what lies in its cells, row by row
    columns: int  # cells in a row
    cell: int  # height and width of a cell in pixels

    @property
    def categories(self) -> tuple[str, ...]:
        """What is shown, sorted, each category once."""
        return tuple(sorted({item.category for item in self.items if item.category is not None}))

    def cell_box(self, number: int) -> tuple[int, int, int, int]:
        """Where a cell lies: left, top, right, bottom in pixels."""
        row, column = divmod(number, self.columns)
        left, top = column * self.cell, row * self.cell
        return left, top, left + self.cell, top + self.cell

    def cell_number(self, box: tuple[int, int, int, int]) -> int:
        """The cell that the middle of a box lies in."""
        left, top, right, bottom = box
        return (top + bottom) // (2 * self.cell) * self.columns + (left + right) // (2 * self.cell)


def make_mosaic(items: Sequence[CaptionedImage], columns: int, cell: int, blend: int = 0) -> Mosaic:
    """Lays images, cut to squares of ``cell`` pixels, side by side, row by row.

    Over ``blend`` pixels on either side of an edge neighbors fade into each other. If the last row would not be full, a
    ValueError says so.
    """
    if not items or len(items) % columns:
        raise ValueError(f"{len(items)} images do not fill rows of {columns}; give a multiple of it.")
    rows, side = len(items) // columns, cell + 2 * blend
    # Each image sticks out of its cell by `blend` pixels, weighted ever less toward its rim.
    ramp = np.minimum(np.arange(1, side + 1) / (2 * blend + 1), 1)
    fade = np.minimum(ramp, ramp[::-1])
    weight = np.outer(fade, fade)[..., None].astype(np.float32)
    total = np.zeros((rows * cell + 2 * blend, columns * cell + 2 * blend, 3), np.float32)
    weights = np.zeros((*total.shape[:2], 1), np.float32)
    for number, item in enumerate(items):
        row, column = divmod(number, columns)
        place = slice(row * cell, row * cell + side), slice(column * cell, column * cell + side)
        total[place] += _square(item, side) * weight
        weights[place] += weight
    inside = slice(blend, blend + rows * cell), slice(blend, blend + columns * cell)
    image = Image.fromarray((total[inside] / weights[inside] + 0.5).astype(np.uint8))
    return Mosaic(image, tuple(items), columns, cell)


def _square(item: CaptionedImage, side: int) -> np.ndarray:
    """(side, side, 3) float32: the middle of an image."""
    image = read_image(item.path, item.reading)
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC), np.float32)


def draw_mosaics(
    dataset: CaptionDataset, grid: int, count: int, cell: int, generator: np.random.Generator
) -> list[Mosaic]:
    """Draws square mosaics of ``grid`` by ``grid`` images of ``cell`` pixels, all of which must decode.

    Every image comes once before any comes again, so that single images are a fair sample of the data.
    """
    cells = grid * grid
    rounds = -(-cells * count // len(dataset))
    order = [dataset[int(number)] for _ in range(rounds) for number in generator.permutation(len(dataset))]
    return [make_mosaic(order[at : at + cells], grid, cell) for at in range(0, cells * count, cells)]


@dataclass(frozen=True)
class PresenceReport:
    """How well presence is told, on scenes of known content: half of the questions are for what is there."""

    labels: np.ndarray  # (questions,) bool, whether the feature was there
    probabilities: np.ndarray  # (questions,) float64
    grids: np.ndarray  # (questions,) int: the scene was of so many by so many images

    @property
    def singles(self) -> PresenceReport:
        """The part on single images."""
        return self._part(self.grids == 1)

    @property
    def mosaics(self) -> PresenceReport:
        """The part on scenes of several images."""
        return self._part(self.grids > 1)

    @property
    def auc(self) -> float:
        """Area under the receiver operating characteristic."""
        from sklearn.metrics import roc_auc_score

        return float(roc_auc_score(self.labels, self.probabilities))

    @property
    def accuracy(self) -> float:
        """The share of questions that 0.5 as the threshold answers correctly."""
        return float(np.mean((self.probabilities >= 0.5) == self.labels))

    def reliability(self, bins: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """The mean probability and the share of features that were there, (bins,) float64 each, in equal bins."""
        from sklearn.calibration import calibration_curve

        true, said = calibration_curve(self.labels, self.probabilities, n_bins=bins, strategy="quantile")
        return said, true

    def _part(self, chosen: np.ndarray) -> PresenceReport:
        return PresenceReport(self.labels[chosen], self.probabilities[chosen], self.grids[chosen])


def calibrate_presence(
    model: CLIP, validation_set: CaptionDataset, seed: int = 0, *, template: str = PROMPT
) -> PresenceModel:
    """Fits the presence model to held-out images with known categories, alone and in mosaics.

    The background is the names of all categories and a few generic texts. For each size in `GRIDS` every image comes
    once; what cannot be decoded is left out, with a warning. scikit-learn's mild default penalty keeps the weights
    finite where the questions are all easy. The template has ``{}`` or ``{feature}``. Fewer than two categories, of
    which none is ever absent, are a ValueError.
    """
    return fit_presence(ask_scenes(model, validation_set, seed, template=template))


def ask_scenes(
    model: CLIP, validation_set: CaptionDataset, seed: int = 0, *, template: str = PROMPT
) -> PresenceQuestions:
    """Asks scenes of known content; the first half of `calibrate_presence`, with its arguments and errors."""
    from utils.clip import fingerprint

    template = with_named_field(template)
    background = [fill(template, category_words(name)) for name in validation_set.categories]
    plain = PresenceModel(template, (*background, *GENERIC_TEXTS), 1.0, 0.0, 0.0, TOO_CLOSE, fingerprint(model))
    questions = _ask(model, plain, validation_set, seed)
    calibrated_on = {
        "name": validation_set.name,
        "images": questions.images,
        "fingerprint": data_fingerprint(validation_set),
        "scenes": questions.scenes,
        "questions": len(questions.labels),
        "seed": seed,
        **reading_note(validation_set),
    }
    return replace(questions, asked_by=replace(plain, calibrated_on=calibrated_on))


def fit_presence(questions: PresenceQuestions) -> PresenceModel:
    """Fits the presence model to what `ask_scenes` gave, by scikit-learn's logistic regression."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression().fit(questions.measures, questions.labels)
    margin_weight, tiles_weight = map(float, regression.coef_[0])
    fitted = replace(
        questions.asked_by,
        margin_weight=margin_weight,
        tiles_weight=tiles_weight,
        intercept=float(regression.intercept_[0]),
    )
    report = questions.report(fitted)
    return replace(fitted, scores={"auc": report.auc, "accuracy": report.accuracy})


def evaluate_presence(
    model: CLIP, presence_model: PresenceModel, dataset: CaptionDataset, seed: int = 0
) -> PresenceReport:
    """Asks scenes of images it was not calibrated on for as many features that are there as are not there.

    Another model, or fewer than two categories, are a ValueError.
    """
    from utils.clip import fingerprint

    presence_model.check_model(fingerprint(model))
    return _ask(model, presence_model, dataset, seed).report(presence_model)


@dataclass(frozen=True, eq=False)
class PresenceQuestions:
    """Questions to scenes of known content: what a presence model sees of each, and the truth."""

    measures: np.ndarray  # (questions, 2) float64: the best margin of a scene's tiles, the logarithm of their number
    labels: np.ndarray  # (questions,) bool, whether the feature was there
    grids: np.ndarray  # (questions,) int: the scene was of so many by so many images
    scenes: int
    images: int  # that they were made of
    asked_by: PresenceModel  # whose margins these are; its weights play no part in them

    def report(self, presence_model: PresenceModel) -> PresenceReport:
        """What a presence model answers to them."""
        return PresenceReport(self.labels, presence_model.probabilities(*self.measures.T), self.grids)


def _ask(model: CLIP, presence_model: PresenceModel, dataset: CaptionDataset, seed: int) -> PresenceQuestions:
    """Makes scenes, embeds them, and asks each for as many features that are there as features that are not."""
    from utils.clip import embed_images, embed_texts

    categories = dataset.categories
    if len(categories) < 2:
        raise ValueError(
            f"{dataset.name or 'The data set'} has images of {len(categories)} categories; presence is learned "
            "and tested on at least two, so that one can be absent."
        )
    generator = np.random.default_rng(seed)
    named, cell = dataset.named().decodable(), model.preprocessing.image_size
    # For each size as many mosaics as the images fill.
    mosaics = [mosaic for grid in GRIDS for mosaic in draw_mosaics(named, grid, len(named) // grid**2, cell, generator)]
    scenes = [WholeScene(mosaic.image) for mosaic in mosaics]
    boxes = [cut(model, scene)[0] for scene in scenes]
    # Tiles of all scenes share the batches.
    embeddings = embed_images(model, TileBatches(model, zip(scenes, boxes, strict=True), batch_size=64))
    embeddings_by_scene = np.split(embeddings, np.cumsum([len(rows) for rows in boxes])[:-1])
    prompts = [fill(presence_model.template, category_words(name)) for name in categories]
    texts = embed_texts(model, [*prompts, *presence_model.background])
    features, background = texts[: len(prompts)], texts[len(prompts) :]
    rows, scale = [], logit_scale(model)
    for mosaic, tiles in zip(mosaics, embeddings_by_scene, strict=True):
        present = generator.permutation(mosaic.categories)
        absent = generator.permutation([name for name in categories if name not in mosaic.categories])
        count = min(len(present), len(absent))
        for name in [*present[:count], *absent[:count]]:
            feature = features[categories.index(name)]
            margins = presence_model.margins(tiles, feature, background, scale)
            rows.append((margins.max(), np.log(len(margins)), name in mosaic.categories, mosaic.columns))
    columns = np.array(rows)
    labels, grids = columns[:, 2].astype(bool), columns[:, 3].astype(int)
    return PresenceQuestions(columns[:, :2], labels, grids, len(scenes), len(named), presence_model)
