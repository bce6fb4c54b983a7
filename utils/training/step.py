"""One optimization step, over all devices, in one go or in pieces that fit a small memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from utils.clip import CLIP
from utils.training.loss import MAX_LOGIT_SCALE, batch_positives, contrastive_loss
from utils.training.optimizer import make_optimizer, moving_average
from utils.training.parts import trained_filter
from utils.training.settings import TrainingSettings

Batch = dict[str, jax.Array]
State = dict[str, Any]
TrainStep = Callable[[State, Batch, float], tuple[State, dict[str, jax.Array]]]
Filter = Callable[[tuple[Any, ...], Any], bool]

# Settings that the compiled step does not know, so that runs that differ in them share it.
OUTSIDE_THE_STEP = (
    *("batch_size", "epochs", "learning_rate", "warmup_steps", "schedule", "augmentation", "captions"),
    *("keep_best", "patience", "validate_every", "checkpoint_every", "keep_last"),
    *("seed", "workers", "tensorboard", "wandb_project"),
)
_steps: dict[Any, TrainStep] = {}


def data_mesh(devices: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """One axis, ``data``, over the given devices, by default over every device there is."""
    count = jax.device_count() if devices is None else len(devices)
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def first_state(model: CLIP, settings: TrainingSettings, mesh: jax.sharding.Mesh) -> State:
    """All that a run changes on the devices, before its first step; arrays of its own, to be given away.

    Returns:
        ``step``, scalar int32; ``trained`` and ``frozen``, states of the model's parameters; ``optimizer``,
        which knows of the trained ones only; and ``average`` if the settings ask for one.
    """
    is_trained = trained_filter(settings)
    transformation = make_optimizer(model, settings, is_trained)

    @partial(jax.jit, out_shardings=NamedSharding(mesh, PartitionSpec()))
    def start(trained: nnx.State, frozen: nnx.State) -> State:
        # Copied, since a compiled function may hand its arguments on as they are.
        trained, frozen = jax.tree.map(jnp.copy, (trained, frozen))
        state = {"step": jnp.zeros((), jnp.int32), "trained": trained, "frozen": frozen}
        state["optimizer"] = transformation.init(trained)
        if settings.ema_decay is not None:
            state["average"] = jax.tree.map(jnp.copy, trained)
        return state

    _, trained, frozen = nnx.split(model, is_trained, ...)
    return start(trained, frozen)


def make_train_step(model: CLIP, settings: TrainingSettings, mesh: jax.sharding.Mesh) -> TrainStep:
    """One optimization step, compiled once for all runs of this process that it would serve.

    Args:
        model: The model, of which only the structure counts.
        settings: What governs the run.
        mesh: The devices; the batch is sharded over its axis ``data``.

    Returns:
        A function of (state, batch, learning rate) that gives the next state and a dictionary of float32
        scalars. The state passed in is donated: use it no more.
    """
    definition, *_ = nnx.split(model, trained_filter(settings), ...)
    of_the_step = {name: value for name, value in asdict(settings).items() if name not in OUTSIDE_THE_STEP}
    key = (definition, tuple(of_the_step.items()), mesh)
    if key not in _steps:
        _steps.clear()  # one is enough, and a compiled step is no small thing
        _steps[key] = _compile_step(model, settings, mesh)
    return _steps[key]


def _compile_step(model: CLIP, settings: TrainingSettings, mesh: jax.sharding.Mesh) -> TrainStep:
    is_trained = trained_filter(settings)
    graphdef, *_ = nnx.split(model, is_trained, ...)
    transformation = make_optimizer(model, settings, is_trained)
    loss_and_gradients = make_loss_and_gradients(model, is_trained, settings, mesh)

    @partial(jax.jit, donate_argnums=0)
    def train_step(state: State, batch: Batch, learning_rate: float) -> tuple[State, dict[str, jax.Array]]:
        loss, gradients = loss_and_gradients(state["trained"], state["frozen"], batch)
        updates, optimizer = transformation.update(gradients, state["optimizer"], state["trained"])
        updates = jax.tree.map(lambda update: learning_rate * update, updates)
        trained = _within_bound(optax.apply_updates(state["trained"], updates))
        after = state | {"step": state["step"] + 1, "trained": trained, "optimizer": optimizer}
        if settings.ema_decay is not None:
            after["average"] = moving_average(state["average"], trained, state["step"], settings.ema_decay)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.global_norm(gradients),
            "logit_scale": nnx.merge(graphdef, trained, state["frozen"]).logit_scale[...],
        }
        return after, metrics

    return train_step


def _within_bound(trained: nnx.State) -> nnx.State:
    """Keeps logit_scale, if it is trained, below CLIP's bound."""

    def bound(path: tuple[Any, ...], leaf: Any) -> Any:
        if tuple(path) != ("logit_scale",):
            return leaf
        return jax.tree.map(lambda value: jnp.minimum(value, MAX_LOGIT_SCALE), leaf)

    return nnx.map_state(bound, trained)


def make_loss_and_gradients(
    model: CLIP, is_trained: Filter, settings: TrainingSettings, mesh: jax.sharding.Mesh
) -> Callable[[nnx.State, nnx.State, Batch], tuple[jax.Array, nnx.State]]:
    """Builds the loss of a global batch and its gradient, in one go or in pieces.

    The batch is sharded over ``data`` and the loss is written over the whole of it, so the compiler gathers
    the embeddings of all devices: every image sees every caption of the global batch as a negative.

    Returns:
        A function of (trained, frozen, batch) that gives the loss, a float32 scalar, and a state of gradients
        of the trained parameters.
    """
    graphdef, *_ = nnx.split(model, is_trained, ...)

    def whole_batch(trained: nnx.State, frozen: nnx.State, batch: Batch) -> tuple[jax.Array, nnx.State]:
        def embed(trained: nnx.State, batch: Batch) -> tuple[jax.Array, jax.Array]:
            model = nnx.merge(graphdef, trained, frozen)
            return model.encode_images(batch["images"]), model.encode_texts(batch["tokens"])

        def loss_of(trained: nnx.State, images: jax.Array, texts: jax.Array) -> jax.Array:
            logit_scale = nnx.merge(graphdef, trained, frozen).logit_scale[...]
            return contrastive_loss(images, texts, logit_scale, batch_positives(batch, settings.loss))

        if settings.micro_batch_size is None:
            return jax.value_and_grad(lambda trained: loss_of(trained, *embed(trained, batch)))(trained)
        inputs = {name: batch[name] for name in ("images", "tokens")}
        pieces = split_batch(inputs, settings.micro_batch_size, mesh)
        return cached_gradients(embed, loss_of, trained, pieces, mesh)

    return whole_batch


def cached_gradients(
    embed: Callable[[nnx.State, Batch], tuple[jax.Array, jax.Array]],
    loss_of: Callable[[nnx.State, jax.Array, jax.Array], jax.Array],
    trained: nnx.State,
    pieces: Batch,
    mesh: jax.sharding.Mesh,
) -> tuple[jax.Array, nnx.State]:
    """The gradient of a loss over a whole batch, in the memory of one piece of it (Gao et al. 2021, GradCache).

    First every piece is embedded, and no activation kept. The loss of all embeddings together gives a gradient
    for each embedding. Then piece after piece is embedded again, and its embeddings' gradients are carried back
    to the parameters. The result is that of one go; each tower runs forward once more than there.

    Args:
        embed: From parameters and a piece to image and text embeddings, (piece, dim) each.
        loss_of: From parameters and all embeddings, (batch, dim) each, to the loss.
        trained: The parameters to take the gradient of.
        pieces: Arrays (pieces, piece, ...), as `split_batch` gives them.
        mesh: The devices.

    Returns:
        The loss and the gradient.
    """
    parts = jax.lax.map(partial(embed, trained), pieces)
    images, texts = (join_batch(part, mesh) for part in parts)
    loss, (gradients, *cached) = jax.value_and_grad(loss_of, argnums=(0, 1, 2))(trained, images, texts)
    piece_size = parts[0].shape[1]

    def replay(gradients: nnx.State, piece: tuple[Batch, Any]) -> tuple[nnx.State, None]:
        inputs, embedding_gradients = piece
        _, carry_back = jax.vjp(lambda trained: embed(trained, inputs), trained)
        return jax.tree.map(jnp.add, gradients, *carry_back(embedding_gradients)), None

    gradients, _ = jax.lax.scan(replay, gradients, (pieces, split_batch(tuple(cached), piece_size, mesh)))
    return loss, gradients


def split_batch(arrays: Any, piece_size: int, mesh: jax.sharding.Mesh) -> Any:
    """Cuts arrays (batch, ...) into (pieces, piece, ...), each piece spread over all devices.

    Every device cuts up its own rows, so nothing travels; `join_batch` puts them back in order.
    """

    def split(array: jax.Array) -> jax.Array:
        own = array.reshape(mesh.size, -1, piece_size // mesh.size, *array.shape[1:])
        pieces = own.swapaxes(0, 1).reshape(-1, piece_size, *array.shape[1:])
        return jax.lax.with_sharding_constraint(pieces, NamedSharding(mesh, PartitionSpec(None, "data")))

    return jax.tree.map(split, arrays)


def join_batch(pieces: jax.Array, mesh: jax.sharding.Mesh) -> jax.Array:
    """The inverse of `split_batch`: from (pieces, piece, ...) to (batch, ...)."""
    count, size, *rest = pieces.shape
    own = pieces.reshape(count, mesh.size, size // mesh.size, *rest).swapaxes(0, 1)
    return jax.lax.with_sharding_constraint(
        own.reshape(count * size, *rest), NamedSharding(mesh, PartitionSpec("data"))
    )
