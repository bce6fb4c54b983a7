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

from utils.training.objective import Batch, Objective
from utils.training.optimizer import make_optimizer, moving_average
from utils.training.settings import TrainingSettings
from utils.training.trainable import SplitModel

State = dict[str, Any]
TrainStep = Callable[[State, Batch, float], tuple[State, dict[str, jax.Array]]]

# Settings that the compiled step does not know, so that runs that differ in them share it.
OUTSIDE_THE_STEP = (
    *("batch_size", "epochs", "learning_rate", "warmup_steps", "schedule", "augmentation", "images_on_device", "seed"),
    *("captions", "keep_best", "patience", "validate_every", "checkpoint_every", "keep_last", "workers", "tensorboard"),
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


def make_train_step(
    split: SplitModel, settings: TrainingSettings, mesh: jax.sharding.Mesh, objective: Objective[Any]
) -> TrainStep:
    """One optimization step, compiled once for all runs of this process that it would serve, whatever their weights.

    It is a function of (state, batch, learning rate) that gives the next state and a dictionary of float32 scalars. The
    state passed in is donated and cannot be used again. The batch is sharded over the axis ``data`` of the mesh.
    """
    within = tuple((name, value) for name, value in asdict(settings).items() if name not in OUTSIDE_THE_STEP)
    key = (split.graphdef, within, mesh, objective)
    if key in _steps:
        return _steps[key]
    # What the step keeps of the model is its structure alone, so that its weights can be freed.
    graphdef, transformation = split.graphdef, make_optimizer(split, settings)
    loss_and_gradients = objective.loss_and_gradients(graphdef, settings, mesh)

    @partial(jax.jit, donate_argnums=0)
    def train_step(state: State, batch: Batch, learning_rate: float) -> tuple[State, dict[str, jax.Array]]:
        loss, gradients = loss_and_gradients(state["trained"], state["frozen"], batch)
        updates, optimizer = transformation.update(gradients, state["optimizer"], state["trained"])
        updates = jax.tree.map(lambda update: learning_rate * update, updates)
        trained = objective.bound(optax.apply_updates(state["trained"], updates))
        after = state | {"step": state["step"] + 1, "trained": trained, "optimizer": optimizer}
        if settings.ema_decay is not None:
            after["average"] = moving_average(state["average"], trained, state["step"], settings.ema_decay)
        metrics = {"loss": loss, "gradient_norm": jnp.linalg.norm(ravel_pytree(gradients)[0])}
        return after, metrics | objective.measure(nnx.merge(graphdef, trained, state["frozen"]))

    _steps.clear()  # one is enough, and a compiled step is no small thing
    _steps[key] = train_step
    return train_step


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
