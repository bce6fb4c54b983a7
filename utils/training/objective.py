"""What a run learns: all in which training a CLIP differs from training another model that stands on one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import jax
import numpy as np
from flax import nnx

from utils.training.history import Row
from utils.training.settings import TrainingSettings
from utils.training.trainable import SplitModel

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

Batch = dict[str, jax.Array]
LossAndGradients = Callable[[nnx.State, nnx.State, Batch], tuple[jax.Array, nnx.State]]
# An NNX module with ``tokenizer``, ``preprocessing``, ``metadata.source`` and ``save_pretrained``, as `CLIP` has them.
Model = TypeVar("Model")


class Objective(ABC, Generic[Model]):
    """The loss, what is measured of held-out images, and what comes out; the rest of a run knows no model.

    `utils.training.contrastive` has that of CLIP, `utils.captioning.objective` that of captions.
    """

    figures: ClassVar[tuple[str, ...]]  # of held-out images, as `validate` gives them
    metrics: ClassVar[tuple[str, ...]] = ()  # of each step besides loss and gradient, as `measure` gives them
    best: ClassVar[str]  # the figure by which the best epoch is chosen; higher is better
    card: ClassVar[Path]  # the template of the model card

    @abstractmethod
    def settle(self, settings: TrainingSettings, start: Model) -> TrainingSettings:
        """The settings with what ``auto`` stands for here; a ValueError says what cannot train this model."""

    @abstractmethod
    def describe(self, start: Model) -> dict[str, Any]:
        """What makes a starting model the one that it is, as JSON holds it; ``fingerprint`` is that of its weights."""

    @abstractmethod
    def split(self, start: Model, settings: TrainingSettings) -> SplitModel:
        """The structure of the model that is trained, and its parameters, trained and frozen."""

    @abstractmethod
    def tokenize(self, start: Model, texts: Sequence[str], settings: TrainingSettings) -> np.ndarray:
        """Turns captions into token ids, (texts, length) int32, as the loss takes them."""

    @abstractmethod
    def count_cut(self, start: Model, texts: Sequence[str], settings: TrainingSettings) -> tuple[int, int]:
        """How many texts have more tokens than are read of each, and how many are read."""

    @abstractmethod
    def loss_and_gradients(
        self, graphdef: nnx.GraphDef, settings: TrainingSettings, mesh: jax.sharding.Mesh
    ) -> LossAndGradients:
        """Builds a function of (trained, frozen, batch): the loss of a global batch, float32, and its gradient.

        The batch is that of `utils.datasets.train_batches` without ``index``, sharded over the axis ``data``.
        """

    def bound(self, trained: nnx.State) -> nnx.State:
        """Keeps parameters within their bounds after an update."""
        return trained

    def measure(self, model: Model) -> dict[str, jax.Array]:
        """The `metrics` of a model after a step, scalars."""
        return {}

    def assemble(self, graphdef: nnx.GraphDef, parameters: nnx.State, frozen: nnx.State) -> Model:
        """The model of a state, as it is validated and exported."""
        return nnx.merge(graphdef, parameters, frozen)

    @abstractmethod
    def validate(
        self,
        model: Model,
        dataset: CaptionDataset,
        settings: TrainingSettings,
        sharding: jax.sharding.NamedSharding | None = None,
    ) -> dict[str, float]:
        """Measures a model on the validation split, without augmentation: its `figures`."""

    def quality(self, row: Row) -> tuple[float, ...]:
        """What epochs are compared by, of a row with the figures of a validation; higher is better."""
        return (row[self.best],)

    def chance(self, settings: TrainingSettings) -> float | None:
        """The loss of guessing, in nats, which loss curves show."""
        return None

    @abstractmethod
    def card_words(
        self, model: Model, validation_set: CaptionDataset, settings: TrainingSettings, exported: Row
    ) -> dict[str, Any]:
        """What the template of the card asks for besides what every card has.

        Of the row of the exported step, ``figure_rows`` are the lines of a table.
        """
