"""What a CLIP learns: each image to its captions and each caption to its images, over the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from utils.clip import CLIP, count_cut, tokenize
from utils.clip.embedding import weights_digest
from utils.training.history import Row
from utils.training.loss import MAX_LOGIT_SCALE, batch_positives, contrastive_loss
from utils.training.objective import Batch, LossAndGradients, Objective
from utils.training.settings import TrainingSettings
from utils.training.step import join_batch, split_batch
from utils.training.trainable import SplitModel, merge_low_rank, split_model, with_known_type
from utils.training.validation import validate

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset


class Contrastive(Objective[CLIP]):
    """The objective of CLIP (Radford et al. 2021); the best epoch is the one of the highest validation recall."""

    figures = ("validation_loss", "validation_recall", "validation_recall_low", "validation_recall_high")
    metrics = ("logit_scale",)
    best = "validation_recall"
    card = Path(__file__).with_name("card.md")

    def settle(self, settings: TrainingSettings, start: CLIP) -> TrainingSettings:
        """The settings with the type that a compute_dtype of ``auto`` stands for here."""
        return with_known_type(settings, start)

    def describe(self, start: CLIP) -> dict[str, Any]:
        """Fingerprint, type and sizes of the starting weights."""
        parameters = nnx.to_flat_state(nnx.state(start, nnx.Param))
        return {
            "fingerprint": weights_digest(start)[:16],
            "compute_dtype": str(np.dtype(start.vision.dtype)),
            "sizes": {".".join(map(str, path)): list(leaf[...].shape) for path, leaf in parameters},
        }

    def split(self, start: CLIP, settings: TrainingSettings) -> SplitModel:
        """As `utils.training.trainable.split_model` splits it."""
        return split_model(start, settings)

    def tokenize(self, start: CLIP, texts: Sequence[str], settings: TrainingSettings) -> np.ndarray:
        """As `utils.clip.tokenize` does."""
        return tokenize(_tokenizer(start), texts)

    def count_cut(self, start: CLIP, texts: Sequence[str], settings: TrainingSettings) -> tuple[int, int]:
        """How many texts have more tokens than the text tower positions, and how many positions it has."""
        return count_cut(_tokenizer(start), texts), _tokenizer(start).model_max_length

    def loss_and_gradients(
        self, graphdef: nnx.GraphDef, settings: TrainingSettings, mesh: jax.sharding.Mesh
    ) -> LossAndGradients:
        """As `make_loss_and_gradients` builds it."""
        return make_loss_and_gradients(graphdef, settings, mesh)

    def bound(self, trained: nnx.State) -> nnx.State:
        """Keeps logit_scale, where it is trained, below CLIP's bound."""
        return nnx.map_state(_within_bound, trained)

    def measure(self, model: CLIP) -> dict[str, jax.Array]:
        """The logit scale."""
        return {"logit_scale": model.logit_scale[...]}

    def assemble(self, graphdef: nnx.GraphDef, parameters: nnx.State, frozen: nnx.State) -> CLIP:
        """The model with its low-rank changes merged."""
        return merge_low_rank(nnx.merge(graphdef, parameters, frozen))

    def validate(
        self,
        model: CLIP,
        dataset: CaptionDataset,
        settings: TrainingSettings,
        sharding: jax.sharding.NamedSharding | None = None,
    ) -> dict[str, float]:
        """As `utils.training.validation.validate` does."""
        return validate(model, dataset, settings, sharding)

    def chance(self, settings: TrainingSettings) -> float:
        """Of a guess among the captions of a batch."""
        return float(np.log(settings.batch_size))

    def card_words(
        self, model: CLIP, validation_set: CaptionDataset, settings: TrainingSettings, exported: Row
    ) -> dict[str, Any]:
        """Loss and recall on the validation images, and what the loss is of."""
        loss_batch, rows = min(settings.batch_size, len(validation_set)), []
        if "validation_loss" in exported:
            rows.append(f"| validation loss | {exported['validation_loss']:.3f} |")
        if "validation_recall" in exported:
            bounds = [exported.get(f"validation_recall_{side}") for side in ("low", "high")]
            interval = "" if None in bounds else f", 95 % interval {bounds[0]:.3f} to {bounds[1]:.3f}"
            rows.append(f"| validation recall | {exported['validation_recall']:.3f}{interval} |")
        return {"figure_rows": rows, "loss_batch": loss_batch, "chance": f"{np.log(loss_batch):.2f}"}


CONTRASTIVE = Contrastive()


def _tokenizer(start: CLIP) -> Any:
    return start.tokenizer


def _within_bound(path: tuple[Any, ...], leaf: Any) -> Any:
    """Keeps logit_scale, where it is trained, below CLIP's bound."""
    is_bounded = tuple(path) == ("logit_scale",)
    return jax.tree.map(lambda value: jnp.minimum(value, MAX_LOGIT_SCALE), leaf) if is_bounded else leaf


def make_loss_and_gradients(
    graphdef: nnx.GraphDef[CLIP], settings: TrainingSettings, mesh: jax.sharding.Mesh
) -> Callable[[nnx.State, nnx.State, Batch], tuple[jax.Array, nnx.State]]:
    """Builds a function of (trained, frozen, batch): the loss of a global batch, float32, and its gradient.

    The batch is sharded over ``data`` and the loss is written over the whole of it, so the compiler gathers
    the embeddings of all devices: every image sees every caption of the global batch as a negative.
    """

    def loss_and_gradients(trained: nnx.State, frozen: nnx.State, batch: Batch) -> tuple[jax.Array, nnx.State]:
        def embed(trained: nnx.State, batch: Batch) -> tuple[jax.Array, jax.Array]:
            model = nnx.merge(graphdef, trained, frozen)
            return model.encode_images(batch["images"]), model.encode_texts(batch["tokens"])

        def loss_of(trained: nnx.State, images: jax.Array, texts: jax.Array) -> jax.Array:
            logit_scale = nnx.merge(graphdef, trained, frozen).logit_scale[...]
            return contrastive_loss(images, texts, logit_scale, batch_positives(batch, settings.loss))

        if settings.micro_batch_size is None:
            return jax.value_and_grad(lambda trained: loss_of(trained, *embed(trained, batch)))(trained)
        inputs = {name: batch[name] for name in ("images", "tokens")}
        micro_batches = split_batch(inputs, settings.micro_batch_size, mesh)
        return cached_gradients(embed, loss_of, trained, micro_batches, mesh)

    return loss_and_gradients


def cached_gradients(
    embed: Callable[[nnx.State, Batch], tuple[jax.Array, jax.Array]],
    loss_of: Callable[[nnx.State, jax.Array, jax.Array], jax.Array],
    trained: nnx.State,
    micro_batches: Batch,
    mesh: jax.sharding.Mesh,
) -> tuple[jax.Array, nnx.State]:
    """The loss of a whole batch and its gradient, in the memory of a micro-batch (Gao et al. 2021, GradCache).

    First every micro-batch is embedded, and no activation kept. The loss of all embeddings together gives a gradient
    for each. Then each micro-batch is embedded again, and its gradients are carried back to the parameters. The result
    is that of one go; each tower runs forward once more than there.

    ``embed`` goes from parameters and a micro-batch to image and text embeddings, (micro-batch, dim) each, ``loss_of``
    from parameters and all embeddings, (batch, dim) each, to the loss; `split_batch` gives ``micro_batches``.
    """
    embedded = jax.lax.map(partial(embed, trained), micro_batches)
    images, texts = (join_batch(embeddings, mesh) for embeddings in embedded)
    loss, (gradients, *cached) = jax.value_and_grad(loss_of, argnums=(0, 1, 2))(trained, images, texts)

    def replay(gradients: nnx.State, micro_batch: tuple[Batch, Any]) -> tuple[nnx.State, None]:
        inputs, embedding_gradients = micro_batch
        _, carry_back = jax.vjp(lambda trained: embed(trained, inputs), trained)
        return jax.tree.map(jnp.add, gradients, *carry_back(embedding_gradients)), None

    embedding_gradients = split_batch(tuple(cached), embedded[0].shape[1], mesh)
    gradients, _ = jax.lax.scan(replay, gradients, (micro_batches, embedding_gradients))
    return loss, gradients
