"""One optimization step over all devices, in one go or in micro-batches that fit a small memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from utils.clip import CLIP
from utils.training.loss import MAX_LOGIT_SCALE, batch_positives, contrastive_loss
from utils.training.optimizer import make_optimizer, moving_average
from utils.training.settings import TrainingSettings
from utils.training.trainable import SplitModel

Batch = dict[str, jax.Array]
State = dict[str, Any]
TrainStep = Callable[[State, Batch, float], tuple[State, dict[str, jax.Array]]]

# Settings that the compiled step does not know, so that runs that differ in them share it.
OUTSIDE_THE_STEP = (
    *("batch_size", "epochs", "learning_rate", "warmup_steps", "schedule", "augmentation", "captions"),
    *("keep_best", "patience", "validate_every", "checkpoint_every", "keep_last", "seed", "workers", "tensorboard"),
)
_steps: dict[Any, TrainStep] = {}


def data_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """One axis, ``data``, over the given devices, by default over every device there is."""
    count = jax.device_count() if devices is None else len(devices)
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def first_state(split: SplitModel, settings: TrainingSettings, mesh: jax.sharding.Mesh) -> State:
    """All that a run changes on the devices, before its first step; new arrays, which may be donated.

    These are ``step``, scalar int32; ``trained`` and ``frozen``, states of the model's parameters; ``optimizer``,
    which knows of the trained ones only; and ``average`` if the settings ask for one.
    """
    transformation = make_optimizer(split, settings)

    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def start(trained: nnx.State, frozen: nnx.State) -> State:
        # Copied, since a compiled function may return its arguments as they are.
        trained, frozen = jax.tree.map(jnp.copy, (trained, frozen))
        state = {"step": jnp.zeros((), jnp.int32), "trained": trained, "frozen": frozen}
        state["optimizer"] = transformation.init(trained)
        if settings.ema_decay is not None:
            state["average"] = jax.tree.map(jnp.copy, trained)
        return state

    return start(split.trained, split.frozen)


def make_train_step(split: SplitModel, settings: TrainingSettings, mesh: jax.sharding.Mesh) -> TrainStep:
    """One optimization step, compiled once for all runs of this process that it would serve, whatever their weights.

    It is a function of (state, batch, learning rate) that gives the next state and a dictionary of float32 scalars. The
    state passed in is donated and cannot be used again. The batch is sharded over the axis ``data`` of the mesh.
    """
    within = tuple((name, value) for name, value in asdict(settings).items() if name not in OUTSIDE_THE_STEP)
    key = (split.graphdef, within, mesh)
    if key in _steps:
        return _steps[key]
    # What the step keeps of the model is its structure alone, so that its weights can be freed.
    graphdef, transformation = split.graphdef, make_optimizer(split, settings)
    loss_and_gradients = make_loss_and_gradients(graphdef, settings, mesh)

    @partial(jax.jit, donate_argnums=0)
    def train_step(state: State, batch: Batch, learning_rate: float) -> tuple[State, dict[str, jax.Array]]:
        loss, gradients = loss_and_gradients(state["trained"], state["frozen"], batch)
        updates, optimizer = transformation.update(gradients, state["optimizer"], state["trained"])
        updates = jax.tree.map(lambda update: learning_rate * update, updates)
        trained = nnx.map_state(_within_bound, optax.apply_updates(state["trained"], updates))
        after = state | {"step": state["step"] + 1, "trained": trained, "optimizer": optimizer}
        if settings.ema_decay is not None:
            after["average"] = moving_average(state["average"], trained, state["step"], settings.ema_decay)
        metrics = {
            "loss": loss,
            "gradient_norm": jnp.linalg.norm(ravel_pytree(gradients)[0]),
            "logit_scale": nnx.merge(graphdef, trained, state["frozen"]).logit_scale[...],
        }
        return after, metrics

    _steps.clear()  # one is enough, and a compiled step is no small thing
    _steps[key] = train_step
    return train_step


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


def split_batch(arrays: Any, size: int, mesh: jax.sharding.Mesh) -> Any:
    """Cuts arrays (batch, ...) into (micro-batches, size, ...), each micro-batch spread over all devices.

    Every device cuts up its own rows, so nothing travels; `join_batch` puts them back in order.
    """

    def split(array: jax.Array) -> jax.Array:
        own = array.reshape(mesh.size, -1, size // mesh.size, *array.shape[1:])
        micro_batches = own.swapaxes(0, 1).reshape(-1, size, *array.shape[1:])
        return jax.lax.with_sharding_constraint(micro_batches, NamedSharding(mesh, PartitionSpec(None, "data")))

    return jax.tree.map(split, arrays)


def join_batch(micro_batches: jax.Array, mesh: jax.sharding.Mesh) -> jax.Array:
    """The inverse of `split_batch`: from (micro-batches, size, ...) to (batch, ...)."""
    count, size, *rest = micro_batches.shape
    own = micro_batches.reshape(count, mesh.size, size // mesh.size, *rest).swapaxes(0, 1)
    return jax.lax.with_sharding_constraint(
        own.reshape(count * size, *rest), NamedSharding(mesh, PartitionSpec("data"))
    )
