"""The transformer that both towers of CLIP are made of, in Flax NNX.

First a block as the papers draw it, then what makes many blocks fast: layers stacked and scanned, gradients that
compute again what is cheap, and a last block for one token only. The vision tower runs it over patches, the text
tower over tokens with a causal mask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from utils.clip.configuration import TowerConfig
from utils.clip.products import KEPT, add_to_rows, product_of_all_rows


class Block(nnx.Module):
    """One transformer layer: attention and MLP, each behind a layer norm and added to its input (pre-LN)."""

    def __init__(self, config: TowerConfig, *, causal: bool, dtype: Any, rngs: nnx.Rngs) -> None:
        self.attention_norm = layer_norm(config, dtype=dtype, rngs=rngs)
        self.attention = Attention(config, causal=causal, dtype=dtype, rngs=rngs)
        self.mlp_norm = layer_norm(config, dtype=dtype, rngs=rngs)
        self.mlp = Mlp(config, dtype=dtype, rngs=rngs)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Maps (batch, tokens, width) to the same shape."""
        hidden = hidden + self.attention(self.attention_norm(hidden))
        return hidden + self.mlp(self.mlp_norm(hidden))


class Attention(nnx.Module):
    """Multi-head self-attention (Vaswani et al. 2017), its softmax in float32.

    Written out because on a CPU it is faster than `jax.nn.dot_product_attention`, by a tenth to a third.
    """

    def __init__(self, config: TowerConfig, *, causal: bool, dtype: Any, rngs: nnx.Rngs) -> None:
        width, factor = config.hidden_size, config.initializer_factor
        self.heads, self.causal = config.num_attention_heads, causal
        inner = factor * (2 * width * config.num_hidden_layers) ** -0.5
        self.query = linear(width, width, inner, dtype=dtype, rngs=rngs)
        self.key = linear(width, width, inner, dtype=dtype, rngs=rngs)
        self.value = linear(width, width, inner, dtype=dtype, rngs=rngs)
        self.output = linear(width, width, factor * width**-0.5, dtype=dtype, rngs=rngs)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Maps (batch, tokens, width) to the same shape; with a causal mask a token sees itself and those before."""
        visible = jnp.tri(hidden.shape[1], dtype=bool) if self.causal else None
        return self.attend(hidden, hidden, visible)

    def attend(self, asking: jax.Array, hidden: jax.Array, visible: jax.Array | None) -> jax.Array:
        """Lets some tokens, (batch, asking, width), look at all, (batch, tokens, width), to the shape of the former.

        ``visible`` are booleans that broadcast to (batch, heads, asking, tokens); None where every token is seen.
        """
        query, key, value = (
            layer(inputs).reshape(len(hidden), -1, self.heads, hidden.shape[-1] // self.heads).swapaxes(1, 2)
            for layer, inputs in ((self.query, asking), (self.key, hidden), (self.value, hidden))
        )
        return self.output(mix(query, key, value, visible).reshape(asking.shape))


def mix(query: jax.Array, key: jax.Array, value: jax.Array, visible: jax.Array | None) -> jax.Array:
    """What each asking token takes from all that it sees: the attention of the paper, its softmax in float32.

    From queries (batch, heads, asking, head width), keys and values (batch, heads, tokens, head width) to
    (batch, asking, heads, head width); ``visible`` as in `Attention.attend`.
    """
    scores = jnp.matmul(query, key.swapaxes(2, 3), preferred_element_type=jnp.float32)
    scores = scores * query.shape[-1] ** -0.5
    if visible is not None:
        scores = jnp.where(visible, scores, -jnp.inf)
    return jnp.matmul(jax.nn.softmax(scores, axis=-1).astype(value.dtype), value).swapaxes(1, 2)


class Mlp(nnx.Module):
    """Two linear layers with an activation between them, applied to each token by itself."""

    def __init__(self, config: TowerConfig, *, dtype: Any, rngs: nnx.Rngs) -> None:
        width, inner, factor = config.hidden_size, config.intermediate_size, config.initializer_factor
        self.activation = config.hidden_act
        self.expand = linear(width, inner, factor * (2 * width) ** -0.5, dtype=dtype, rngs=rngs)
        contract = factor * (2 * width * config.num_hidden_layers) ** -0.5
        self.contract = linear(inner, width, contract, dtype=dtype, rngs=rngs)

    def __call__(self, hidden: jax.Array) -> jax.Array:
        """Maps (batch, tokens, width) to the same shape."""
        return self.contract(ACTIVATIONS[self.activation](self.expand(hidden)))


def quick_gelu(x: jax.Array) -> jax.Array:
    """The approximation x * sigmoid(1.702 x) that OpenAI's CLIP was trained with (Hendrycks & Gimpel 2016)."""
    return x * jax.nn.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "quick_gelu": quick_gelu,
    "gelu": partial(jax.nn.gelu, approximate=False),
}


def layer_norm(config: TowerConfig, **options: Any) -> nnx.LayerNorm:
    """A layer norm; the variance is that of centered values, since E[x^2] - E[x]^2 loses digits."""
    return nnx.LayerNorm(config.hidden_size, epsilon=config.layer_norm_eps, use_fast_variance=False, **options)


def linear(inputs: int, outputs: int, deviation: float, **options: Any) -> nnx.Linear:
    """A linear layer whose weights start normal with a given standard deviation; the options are `nnx.Linear`'s."""
    return Linear(inputs, outputs, kernel_init=normal(deviation), **options)


class Linear(nnx.Linear):
    """`nnx.Linear` with products and gradients that are quick on CPUs, see `utils.clip.products`."""

    def __call__(self, inputs: jax.Array) -> jax.Array:  # type: ignore[override]  # within a layer nothing is sharded
        """Maps (..., inputs) to (..., outputs), computed in the layer's dtype."""
        bias = None if self.bias is None else self.bias[...]
        inputs, kernel, bias = self.promote_dtype((inputs, self.kernel[...], bias), dtype=self.dtype)
        products = product_of_all_rows(inputs, kernel)
        return products if bias is None else add_to_rows(products, bias)


@cache
def normal(deviation: float) -> nnx.initializers.Initializer:
    """Normal random weights; one function for one deviation, so that equal models have equal definitions."""
    return nnx.initializers.normal(deviation)


# --- what makes it fast, with the same numbers ------------------------------------------------------------------


class Transformer(nnx.Module):
    """Equal blocks in a row: the early ones stacked and scanned, the last one asked for one token alone.

    CLIP looks at one token of what comes out, so the last block stands by itself: see `last_block_at_positions`. The
    parameters of the blocks before it are stacked along a first axis; a scan over that axis compiles one block instead
    of all of them. A gradient keeps the matrix products of each block and computes what lies between them again: on a
    CPU, where memory is slow, that takes a fifth less time than keeping everything. With ``rematerialize`` it keeps
    only the input of each block (Chen et al. 2016): slower, smaller.
    """

    def __init__(
        self, config: TowerConfig, *, causal: bool, dtype: Any, rematerialize: bool = False, rngs: nnx.Rngs
    ) -> None:
        self.rematerialize = rematerialize

        @nnx.split_rngs(splits=config.num_hidden_layers)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, causal=causal, dtype=dtype, rngs=rngs)

        definition, parameters = nnx.split(stack(rngs))
        early, last = (jax.tree.map(itemgetter(part), parameters) for part in (slice(-1), -1))
        # None and not a stack of nothing, which could not be saved.
        self.early_blocks = nnx.merge(definition, early) if config.num_hidden_layers > 1 else None
        self.last_block = nnx.merge(definition, last)

    def __call__(self, hidden: jax.Array, positions: jax.Array) -> jax.Array:
        """Maps (batch, tokens, width) to (batch, width): the output at one position of each row, (batch,) int32."""
        return last_block_at_positions(self.last_block, self.before_last(hidden), positions[:, None])[:, 0]

    def before_last(self, hidden: jax.Array, blocks: int | None = None) -> jax.Array:
        """Maps (batch, tokens, width) to the same shape: what the last block reads, or the first ``blocks`` give."""
        if self.early_blocks is None:
            return hidden
        early = self.early_blocks
        if blocks is not None:
            definition, parameters = nnx.split(early)
            early = nnx.merge(definition, jax.tree.map(itemgetter(slice(blocks)), parameters))
        return scan_stacked_blocks(early, hidden, self.rematerialize)


def scan_stacked_blocks(blocks: nnx.Module, hidden: jax.Array, rematerialize: bool, *others: Any) -> jax.Array:
    """Runs (batch, tokens, width) through blocks whose parameters are stacked along a first axis, one by one.

    Each block is called with what the one before it gave, and with ``others``.
    """
    definition, parameters = nnx.split(blocks)

    def apply_block(hidden: jax.Array, layer: nnx.State) -> tuple[jax.Array, None]:
        return nnx.merge(definition, layer)(hidden, *others), None

    policies = jax.checkpoint_policies
    products = policies.save_from_both_policies(policies.dots_saveable, policies.save_only_these_names(KEPT))
    policy = policies.nothing_saveable if rematerialize else products
    # Inside a scan nothing is there to be shared with, so the costly guard against it can go.
    step = jax.checkpoint(apply_block, prevent_cse=False, policy=policy)
    return jax.lax.scan(step, hidden, parameters)[0]


def last_block_at_positions(block: Block, hidden: jax.Array, positions: jax.Array) -> jax.Array:
    """What ``block(hidden)`` gives at some positions; of all other tokens only keys and values are computed.

    From hidden (batch, tokens, width) and positions (batch, asked) int32 to (batch, asked, width).
    """
    asked, normed = at_positions(hidden, positions), block.attention_norm(hidden)
    visible = jnp.tri(hidden.shape[1], dtype=bool)[positions][:, None] if block.attention.causal else None
    asked = asked + block.attention.attend(at_positions(normed, positions), normed, visible)
    return asked + block.mlp(block.mlp_norm(asked))


def at_positions(hidden: jax.Array, positions: jax.Array) -> jax.Array:
    """Picks tokens: from (batch, tokens, width) those at (batch, asked) int32, as (batch, asked, width)."""
    return jnp.take_along_axis(hidden, positions[:, :, None], axis=1)
