"""GPT-2 in Flax NNX, the decoder that writes captions (Radford et al. 2019).

    decoder = GPT2.from_pretrained("openai-community/gpt2")
    inputs = jnp.concatenate([prefix, decoder.embed(tokens)], axis=1)     # (batch, length, width)
    logits = decoder(inputs)                                              # which token comes next, at each place

It takes vectors and not tokens, because what a caption begins with is no text: a prefix made of an image. To write on
token by token, a cache keeps keys and values of the tokens before (`GPT2.start_cache`, `GPT2.extend`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from utils.captioning.gpt2_config import GPT2Config
from utils.captioning.gpt2_files import open_gpt2, write_gpt2
from utils.clip.compute_types import compute_type
from utils.clip.configuration import TowerConfig
from utils.clip.transformer import Linear, mix, normal, scan_stacked_blocks
from utils.files import find_checkpoint

_ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu_new": partial(jax.nn.gelu, approximate=True),
    "gelu_pytorch_tanh": partial(jax.nn.gelu, approximate=True),
    "gelu": partial(jax.nn.gelu, approximate=False),
    "relu": jax.nn.relu,
}


class Cache(NamedTuple):
    """Keys and values of the tokens that a decoder has read, with room for more."""

    keys: jax.Array  # (layers, batch, heads, length, head width)
    values: jax.Array  # of the same shape
    filled: jax.Array  # how many of the length are, () int32


class Block(nnx.Module):
    """One transformer layer: attention and MLP, each behind a layer norm and added to its input (pre-LN)."""

    def __init__(self, config: GPT2Config, *, dtype: Any, rngs: nnx.Rngs) -> None:
        width = config.n_embd
        self.heads, self.activation = config.n_head, config.activation_function
        start = normal(config.initializer_range)
        # What is added to the sum that runs through all layers starts smaller, the more of them add to it.
        start_of_added = normal(config.initializer_range * (2 * config.n_layer) ** -0.5)
        self.attention_norm = _layer_norm(config, dtype=dtype, rngs=rngs)
        self.attention = Linear(width, 3 * width, kernel_init=start, dtype=dtype, rngs=rngs)
        self.output = Linear(width, width, kernel_init=start_of_added, dtype=dtype, rngs=rngs)
        self.mlp_norm = _layer_norm(config, dtype=dtype, rngs=rngs)
        self.expand = Linear(width, config.inner, kernel_init=start, dtype=dtype, rngs=rngs)
        self.contract = Linear(config.inner, width, kernel_init=start_of_added, dtype=dtype, rngs=rngs)

    def __call__(self, hidden: jax.Array, visible: jax.Array) -> jax.Array:
        """Maps (batch, tokens, width) to the same shape.

        ``visible`` says which tokens each one sees: booleans that broadcast to (batch, heads, tokens, tokens).
        """
        query, key, value = self._query_key_value(hidden)
        return self._add(hidden, mix(query, key, value, visible))

    def extend(
        self, hidden: jax.Array, keys: jax.Array, values: jax.Array, filled: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Maps new tokens (batch, new, width), and puts their keys and values behind those of the tokens before.

        Keys and values are (batch, heads, length, head width), of which ``filled``, () int32, are in use.
        """
        query, key, value = self._query_key_value(hidden)
        keys = jax.lax.dynamic_update_slice_in_dim(keys, key.astype(keys.dtype), filled, axis=2)
        values = jax.lax.dynamic_update_slice_in_dim(values, value.astype(values.dtype), filled, axis=2)
        visible = jnp.arange(keys.shape[2]) <= filled + jnp.arange(hidden.shape[1])[:, None]
        return self._add(hidden, mix(query, keys, values, visible)), keys, values

    def _query_key_value(self, hidden: jax.Array) -> jax.Array:
        """Of each token (batch, tokens, width), the three in (3, batch, heads, tokens, head width)."""
        three = self.attention(self.attention_norm(hidden))
        return three.reshape(*hidden.shape[:2], 3, self.heads, -1).transpose(2, 0, 3, 1, 4)

    def _add(self, hidden: jax.Array, mixed: jax.Array) -> jax.Array:
        hidden = hidden + self.output(mixed.reshape(hidden.shape))
        return hidden + self.contract(_ACTIVATIONS[self.activation](self.expand(self.mlp_norm(hidden))))


class GPT2(nnx.Module):
    """A GPT-2 of any size; the head that scores tokens is its table of token embeddings.

    Parameters are float32, and so are the last layer norm and the logits; ``dtype`` is what all else computes in.
    """

    def __init__(self, config: GPT2Config, *, rngs: nnx.Rngs, dtype: Any = jnp.float32) -> None:
        dtype = jnp.dtype(dtype)  # however it is written, so that equal models have equal definitions
        self.config, self.dtype = config, dtype
        start = normal(config.initializer_range)
        self.token_embedding = nnx.Embed(config.vocab_size, config.n_embd, embedding_init=start, dtype=dtype, rngs=rngs)
        positions = (config.n_positions, config.n_embd)
        self.position_embedding = nnx.Param(start(rngs.params(), positions, jnp.float32))

        @nnx.split_rngs(splits=config.n_layer)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, dtype=dtype, rngs=rngs)

        self.blocks = stack(rngs)
        self.last_norm = _layer_norm(config, dtype=jnp.float32, rngs=rngs)

    def embed(self, tokens: jax.Array) -> jax.Array:
        """The embeddings (batch, length, width) of tokens (batch, length) int32, positions not yet added."""
        return self.token_embedding(tokens)

    def __call__(self, inputs: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """The logits (batch, length, vocabulary) float32 of the token after each of inputs (batch, length, width).

        A token sees itself and those before it. ``mask``, (batch, length), is 0 where a token is padding that no other
        may see; positions count from 0 all the same. More tokens than positions are a ValueError.
        """
        length = inputs.shape[1]
        self._check_length(length)
        visible = jnp.tri(length, dtype=bool)
        if mask is not None:  # padding sees itself, since a softmax over nothing is no number
            visible = visible & (mask.astype(bool)[:, None, None, :] | jnp.eye(length, dtype=bool))
        hidden = (inputs + self.position_embedding[:length]).astype(self.dtype)
        return self._logits(scan_stacked_blocks(self.blocks, hidden, False, visible))

    def start_cache(self, batch: int, length: int) -> Cache:
        """An empty cache for rows of up to ``length`` tokens; a length beyond the positions is a ValueError."""
        self._check_length(length)
        config = self.config
        shape = (config.n_layer, batch, config.n_head, length, config.n_embd // config.n_head)
        return Cache(jnp.zeros(shape, self.dtype), jnp.zeros(shape, self.dtype), jnp.int32(0))

    def extend(self, inputs: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Reads on: the logits (batch, vocabulary) float32 after the last of inputs (batch, new, width), and the cache.

        What does not fit into the cache overwrites its end: nothing can check that in a compiled program.
        """
        positions = jax.lax.dynamic_slice_in_dim(self.position_embedding[...], cache.filled, inputs.shape[1])
        definition, layers = nnx.split(self.blocks)

        def apply_block(hidden: jax.Array, layer: tuple) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            parameters, keys, values = layer
            hidden, keys, values = nnx.merge(definition, parameters).extend(hidden, keys, values, cache.filled)
            return hidden, (keys, values)

        hidden = (inputs + positions).astype(self.dtype)
        hidden, (keys, values) = jax.lax.scan(apply_block, hidden, (layers, cache.keys, cache.values))
        return self._logits(hidden[:, -1]), Cache(keys, values, cache.filled + inputs.shape[1])

    def _check_length(self, length: int) -> None:
        if length > self.config.n_positions:
            raise ValueError(
                f"The decoder is given {length} tokens and has {self.config.n_positions} positions; shorten the prefix "
                "or the caption, or take a decoder with more."
            )

    def _logits(self, hidden: jax.Array) -> jax.Array:
        table = self.token_embedding.embedding[...].astype(self.dtype)
        hidden = self.last_norm(hidden).astype(self.dtype)
        return jnp.matmul(hidden, table.T, preferred_element_type=jnp.float32)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, dtype: Any = jnp.float32) -> GPT2:
        """Loads a checkpoint of transformers' ``GPT2LMHeadModel``: a folder, or a name on the Hugging Face Hub.

        ``dtype`` is float32, bfloat16, or ``auto``, the faster one on this machine.

        Raises:
            FileNotFoundError: If there is no such checkpoint, or it lacks a file.
            ValueError: If a file is damaged, or describes what is not computed here, or weights and configuration do
                not belong together.
        """
        place = find_checkpoint(name_or_path, "openai-community/gpt2")
        config, read = open_gpt2(place if place.is_dir() else place.parent)
        tower = TowerConfig(
            hidden_size=config.n_embd, intermediate_size=config.inner, num_attention_heads=config.n_head
        )
        model = nnx.merge(*_outline(config, jnp.dtype(compute_type(dtype, tower))), copy=True)
        model.load_parameters(read())
        return model

    def load_parameters(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Replaces all parameters by float32 arrays, by their paths, joined by dots."""
        state = nnx.state(self, nnx.Param)
        arrays = jax.device_put({path: np.array(array) for path, array in parameters.items()})  # of copies, as in CLIP
        nnx.replace_by_pure_dict(state, traverse_util.unflatten_dict(arrays, sep="."))
        nnx.update(self, state)

    def copy(self, dtype: Any = None) -> GPT2:
        """A model with the same parameters, shared until either is changed, that may compute in another type."""
        copy = nnx.merge(*_outline(self.config, jnp.dtype(dtype or self.dtype)), copy=True)
        nnx.update(copy, nnx.state(self, nnx.Param))
        return copy

    def save_pretrained(self, folder: str | os.PathLike, weights_dtype: Any = np.float32) -> Path:
        """Writes a checkpoint that transformers' ``GPT2LMHeadModel`` loads, and returns its folder.

        All or nothing is written; other files of the folder, such as a tokenizer, stay.
        """
        parameters = traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(self, nnx.Param)), sep=".")
        return write_gpt2(folder, self.config, parameters, weights_dtype)


@cache
def _outline(config: GPT2Config, dtype: Any) -> tuple[nnx.GraphDef[GPT2], nnx.State]:
    """A model of shapes alone, to be given values."""
    return nnx.split(nnx.eval_shape(lambda: GPT2(config, rngs=nnx.Rngs(0), dtype=dtype)))


def _layer_norm(config: GPT2Config, **options: Any) -> nnx.LayerNorm:
    """A layer norm; the variance is that of centered values, since E[x^2] - E[x]^2 loses digits."""
    return nnx.LayerNorm(config.n_embd, epsilon=config.layer_norm_epsilon, use_fast_variance=False, **options)
