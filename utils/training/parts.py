"""Which parameters are trained: freezing by part, and low-rank changes of attention (LoRA)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import nnx

from utils.clip import CLIP
from utils.clip.transformer import Attention
from utils.training.settings import TrainingSettings

PROJECTIONS = ("query", "key", "value", "output")


def part_of(path: tuple[Any, ...]) -> str:
    """The name in `PARTS` of the part that a parameter of `CLIP` belongs to."""
    if path[0] == "logit_scale":
        return "logit_scale"
    tower = {"vision": "image", "text": "text"}[path[0]]
    return f"{tower}_projection" if path[1] == "projection" else f"{tower}_tower"


def trained_filter(settings: TrainingSettings) -> Callable[[tuple[Any, ...], Any], bool]:
    """A filter of NNX for the parameters that a run trains.

    These are those of all parts that are not frozen; with LoRA, of the towers only the low-rank matrices.
    """
    is_parameter, is_low_rank = nnx.OfType(nnx.Param), nnx.OfType(nnx.LoRAParam)

    def is_trained(path: tuple[Any, ...], value: Any) -> bool:
        if not is_parameter(path, value):
            return False
        part = part_of(path)
        if part in settings.frozen_parts:
            return False
        return settings.lora_rank is None or not part.endswith("_tower") or is_low_rank(path, value)

    return is_trained


class LowRankLinear(nnx.LoRA):
    """A linear layer that stays as it is, plus a trained change of low rank (Hu et al. 2021, equation 3).

    Attributes:
        base: The layer that stays.
        scale: alpha / rank.
    """

    base: nnx.Linear

    def __init__(self, inputs: int, rank: int, outputs: int, *, alpha: float, dtype: Any, rngs: nnx.Rngs):
        super().__init__(inputs, rank, outputs, dtype=dtype, rngs=rngs)
        self.scale = alpha / rank

    def __call__(self, inputs: Any) -> Any:
        """Maps (..., inputs) to (..., outputs)."""
        return self.base(inputs) + self.scale * super().__call__(inputs)


def add_low_rank(model: CLIP, settings: TrainingSettings) -> None:
    """Wraps the attention matrices of every tower that is not frozen; outputs stay the same until training.

    Where the layers of a tower are stacked along a first axis, so are their low-rank matrices.

    Args:
        model: Changed in place.
        settings: Rank, alpha, frozen parts, and the seed of the first matrices.
    """
    rngs = nnx.Rngs(settings.seed)
    for path, attention in list(nnx.iter_graph(model)):
        if not isinstance(attention, Attention) or part_of(path) in settings.frozen_parts:
            continue
        for name in PROJECTIONS:
            base = getattr(attention, name)
            layer = _low_rank(base, settings, rngs)
            layer.base = base
            setattr(attention, name, layer)


def _low_rank(base: nnx.Linear, settings: TrainingSettings, rngs: nnx.Rngs) -> LowRankLinear:
    def draw(rngs: nnx.Rngs) -> LowRankLinear:
        return LowRankLinear(
            base.in_features,
            settings.lora_rank,
            base.out_features,
            alpha=settings.lora_alpha,
            dtype=base.dtype,
            rngs=rngs,
        )

    if base.kernel.ndim == 2:
        return draw(rngs)
    return nnx.split_rngs(splits=base.kernel.shape[0])(nnx.vmap(draw, in_axes=0, out_axes=0))(rngs)


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


def prepare(start: CLIP, settings: TrainingSettings) -> CLIP:
    """The model that a run trains: a copy of the starting point that computes as the settings ask."""
    model = start.copy(settings.compute_dtype, settings.rematerialize)
    if settings.lora_rank is not None:
        add_low_rank(model, settings)
    return model
