"""The mapper of ClipCap (Mokady et al. 2021): from what a CLIP sees to a prefix, vectors that a GPT-2 reads as words.

It is the translator between two models that never met: CLIP's image tower speaks vectors of its own width, GPT-2 reads
vectors in the place of token embeddings. Either stays as it is, or learns along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from utils.clip.configuration import TowerConfig
from utils.clip.transformer import Linear, Transformer, last_block_at_positions, normal

KINDS = ("mlp", "transformer")
SOURCES = ("vector", "patches")
HEAD_WIDTH = 64  # where that divides a width, as in CLIP and every published GPT-2


@dataclass(frozen=True, kw_only=True)
class MapperConfig:
    """The sizes of a mapper; a bad value is a ValueError."""

    kind: str = "mlp"  # one hidden layer, or transformer
    source: str = "vector"  # that CLIP compares with texts, or patches, the tokens of the image tower
    prefix_length: int = 10  # vectors that stand for an image
    layers: int = 1  # of the transformer
    inputs: int  # width of the source
    width: int  # of the decoder

    def __post_init__(self) -> None:
        """Refuses what no mapper can be built of."""
        for name, choices in (("kind", KINDS), ("source", SOURCES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"The mapper's {name} is {getattr(self, name)!r}; it must be {' or '.join(choices)}.")
        for name in ("prefix_length", "layers", "inputs", "width"):
            if not (type(value := getattr(self, name)) is int and value > 0):
                raise ValueError(f"The mapper's {name} is {value!r}; it must be a whole number above zero.")
        if self.kind == "mlp" and self.source == "patches":
            raise ValueError("An mlp maps one vector and the source is patches; choose the transformer, or the vector.")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], source: object) -> MapperConfig:
        """The inverse of `settings`; what does not fit is a ValueError that begins with ``source``, the file."""
        try:
            return cls(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{source} describes no mapper ({error}); take the folder as it was written.") from None

    def settings(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return asdict(self)


def heads_of(width: int) -> int:
    """How many attention heads something new of a width has: one, if `HEAD_WIDTH` does not divide it."""
    return width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1


class Mapper(nnx.Module):
    """From features of images to their prefixes; parameters are float32, ``dtype`` is what it computes in.

    The MLP is ClipCap's: one hidden layer of half the prefix, and a tanh. The transformer appends learned vectors, as
    many as the prefix is long, to the features; what becomes of them after some blocks, in which each looks at all
    others, is the prefix. One vector is spread over as many tokens as the prefix has, first, as in ClipCap.
    """

    def __init__(self, config: MapperConfig, *, rngs: nnx.Rngs, dtype: Any = jnp.float32) -> None:
        self.config, self.dtype = config, dtype
        width, whole = config.width, config.prefix_length * config.width
        options: dict[str, Any] = {"dtype": dtype, "rngs": rngs}

        def linear(inputs: int, outputs: int) -> Linear:
            return Linear(inputs, outputs, kernel_init=normal(inputs**-0.5), **options)

        if config.kind == "mlp":
            hidden = max(whole // 2, 1)
            self.expand, self.contract = linear(config.inputs, hidden), linear(hidden, whole)
            return
        self.project = linear(config.inputs, width if config.source == "patches" else whole)
        self.learned = nnx.Param(normal(width**-0.5)(rngs.params(), (config.prefix_length, width), jnp.float32))
        tower = TowerConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=config.layers,
            num_attention_heads=heads_of(width),
            hidden_act="gelu",
        )
        self.transformer = Transformer(tower, causal=False, **options)

    def __call__(self, features: jax.Array) -> jax.Array:
        """Maps features (batch, tokens, inputs), one token where they are the vector, to (batch, prefix, width)."""
        config, batch = self.config, len(features)
        features = features.astype(self.dtype)
        if config.kind == "mlp":
            prefix = self.contract(jnp.tanh(self.expand(features[:, 0])))
            return prefix.reshape(batch, config.prefix_length, config.width)
        tokens = self.project(features).reshape(batch, -1, config.width)
        learned = jnp.broadcast_to(self.learned[...].astype(self.dtype), (batch, config.prefix_length, config.width))
        hidden = self.transformer.before_last(jnp.concatenate([tokens, learned], axis=1))
        places = jnp.arange(config.prefix_length) + tokens.shape[1]
        places = jnp.broadcast_to(places, (batch, config.prefix_length))
        return last_block_at_positions(self.transformer.last_block, hidden, places)
