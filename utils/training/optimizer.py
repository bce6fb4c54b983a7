"""Schedules and optimizers: AdamW as CLIP was trained with, Adafactor as CLIP-rsicd's first version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from utils.training.settings import TrainingSettings
from utils.training.trainable import SplitModel

# Which parameters decay, by the type of their module, so that none is missed or caught for its name.
MATRICES: dict[type, tuple[str, ...]] = {nnx.Linear: ("kernel",), nnx.LoRA: ("lora_a", "lora_b")}


def learning_rate_schedule(settings: TrainingSettings, total_steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then a linear or cosine decay to zero at the last step."""
    warmup = min(settings.warmup_steps, total_steps // 3)
    rise = optax.linear_schedule(0.0, settings.learning_rate, warmup)
    fall = optax.linear_schedule(settings.learning_rate, 0.0, total_steps - warmup)
    if settings.schedule == "cosine":
        fall = optax.cosine_decay_schedule(settings.learning_rate, total_steps - warmup)
    return optax.join_schedules([rise, fall], [warmup])


def decay_mask(split: SplitModel) -> nnx.State:
    """A state like the trained parameters that holds True for the matrices of linear layers and else False.

    Norms, biases, embeddings and logit_scale never decay.
    """
    decayed = {
        (*path, name)
        for path, module in nnx.iter_graph(nnx.merge(split.graphdef, split.trained, split.frozen))
        for kind, names in MATRICES.items()
        if isinstance(module, kind)
        for name in names
    }
    return nnx.map_state(lambda path, _: tuple(path) in decayed, split.trained)


def make_optimizer(split: SplitModel, settings: TrainingSettings) -> optax.GradientTransformation:
    """Global-norm clipping, then AdamW or Adafactor, with decoupled decay of the matrices alone.

    AdamW has CLIP's epsilon (Radford et al. 2021, table 18). The updates are signed already, and are to be multiplied
    by the learning rate: without it in here, runs that differ in length or rate alone share one compiled step.
    """
    clip = optax.clip_by_global_norm(settings.max_gradient_norm)
    # Decay comes last, so that the rate scales it: optax's own in Adafactor would take a tenth at each step.
    decay = optax.add_decayed_weights(-settings.weight_decay, decay_mask(split))
    if settings.optimizer == "adafactor":
        return optax.chain(clip, adafactor_by_layer(), decay)
    # All arrays in one long row: less to compile, and a checkpoint of few arrays is written sooner.
    adam = optax.flatten(optax.scale_by_adam(b1=settings.b1, b2=settings.b2, eps=1e-6))
    return optax.chain(optax.flatten(clip), adam, optax.scale(-1.0), decay)


def adafactor_by_layer() -> optax.GradientTransformation:
    """Adafactor (Shazeer & Stern 2018) before its learning rate, with optax's defaults; updates are signed already.

    It scales each parameter's update by the size of that parameter. Most layers of a transformer are stacked in one
    array here, but they are parameters of their own: each is scaled by itself, as in a model whose layers stand apart.
    """
    whole = optax.adafactor(learning_rate=None)

    def by_layer(function: Callable[..., Any]) -> Callable[..., Any]:
        # A frozen tower has no layers to go through.
        return lambda first, *rest: (jax.vmap(function) if jax.tree.leaves(first) else function)(first, *rest)

    layers = optax.GradientTransformation(by_layer(whole.init), by_layer(whole.update))

    def labels(parameters: nnx.State) -> Any:
        # The towers have layers of their own number.
        return nnx.map_state(lambda path, _: path[0] if "early_blocks" in path else "whole", parameters)

    return optax.partition({"vision": layers, "text": layers, "whole": whole}, labels)


def moving_average(average: Any, parameters: Any, step: jax.Array, decay: float) -> Any:
    """One step of an exponential moving average of float32 parameters; ``step`` is how many steps came before.

    Early on the decay is (1 + step) / (10 + step), as in TensorFlow, so that the average forgets where the run started.
    """
    kept = jnp.minimum(decay, (1 + step) / (10 + step)).astype(jnp.float32)
    return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, parameters)
