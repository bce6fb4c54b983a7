"""What of a model a run trains: freezing by part, low-rank changes of attention (LoRA), and the one split of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from utils.clip import CLIP
from utils.clip.compute_types import compute_type
from utils.clip.transformer import Attention
from utils.training.settings import TrainingSettings

PROJECTIONS = ("query", "key", "value", "output")


@dataclass(frozen=True)
class SplitModel:
    """A model split once, for all of a run: its structure, which is compiled, and parameters trained and not."""

    graphdef: nnx.GraphDef[Any]
    trained: nnx.State
    frozen: nnx.State


def split_model(start: CLIP, settings: TrainingSettings) -> SplitModel:
    """Splits the model that a run trains: the starting point, set to compute as the settings ask.

    Trained are the parameters of all parts that are not frozen; with LoRA, of the towers only the low-rank matrices.
    """
    model = start.copy(settings.compute_dtype, settings.rematerialize)
    if settings.lora_rank is not None:
        add_low_rank(model, settings.lora_rank, settings)
    is_parameter, is_low_rank = nnx.OfType(nnx.Param), nnx.OfType(nnx.LoRAParam)

    def is_trained(path: tuple[Any, ...], value: Any) -> bool:
        if not is_parameter(path, value) or part_of(path) in settings.frozen_parts:
            return False
        return settings.lora_rank is None or not part_of(path).endswith("_tower") or is_low_rank(path, value)

    graphdef, *states = nnx.split(model, is_trained, ...)
    return SplitModel(graphdef, *states)


def with_known_type(settings: TrainingSettings, start: CLIP) -> TrainingSettings:
    """The settings with the type that a compute_dtype of ``auto`` stands for here, which belongs to what a run is."""
    if settings.compute_dtype is None:
        return settings
    dtype = compute_type(settings.compute_dtype, start.architecture.vision)
    return replace(settings, compute_dtype=jnp.dtype(dtype).name)


def part_of(path: tuple[Any, ...]) -> str:
    """The name in `PARTS` of the part that a parameter of `CLIP` belongs to."""
    if path[0] == "logit_scale":
        return "logit_scale"
    tower = {"vision": "image", "text": "text"}[path[0]]
    return f"{tower}_projection" if path[1] == "projection" else f"{tower}_tower"


class LowRankLinear(nnx.LoRA):
    """A linear layer, ``base``, that stays as it is, plus a trained change of low rank (Hu et al. 2021, equation 3)."""

    base: nnx.Linear
    scale: float  # alpha / rank

    def __call__(self, x: jax.Array, **options: Any) -> jax.Array:
        """Maps (..., inputs) to (..., outputs)."""
        return self.base(x) + self.scale * super().__call__(x, **options)


def add_low_rank(model: CLIP, rank: int, settings: TrainingSettings) -> None:
    """Wraps, in place, the attention matrices of towers that are not frozen; outputs stay the same until training.

    Where the layers of a tower are stacked along a first axis, so are their low-rank matrices.
    """
    rngs = nnx.Rngs(settings.seed)
    for path, attention in list(nnx.iter_graph(model)):
        if not isinstance(attention, Attention) or part_of(path) in settings.frozen_parts:
            continue
        for name in PROJECTIONS:
            base = getattr(attention, name)

            def draw(rngs: nnx.Rngs, base: nnx.Linear = base) -> LowRankLinear:
                return LowRankLinear(base.in_features, rank, base.out_features, dtype=base.dtype, rngs=rngs)

            if base.kernel.ndim > 2:
                draw = nnx.split_rngs(splits=base.kernel.shape[0])(nnx.vmap(draw, in_axes=0, out_axes=0))
            layer = draw(rngs)
            layer.base, layer.scale = base, settings.lora_alpha / rank
            setattr(attention, name, layer)


def merge_low_rank(model: CLIP) -> CLIP:
    """A copy of a model in which low-rank changes are part of the matrices, so that others can load it."""
    model = nnx.clone(model)
    for _, attention in list(nnx.iter_graph(model)):
        for name in PROJECTIONS if isinstance(attention, Attention) else ():
            layer = getattr(attention, name)
            if isinstance(layer, LowRankLinear):
                change = jnp.matmul(layer.lora_a[...], layer.lora_b[...], precision="highest")
                layer.base.kernel[...] = layer.base.kernel[...] + layer.scale * change
                setattr(attention, name, layer.base)
    return model
