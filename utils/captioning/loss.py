"""The loss of a captioner: how surprised it is, token by token, by what a person wrote."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from utils.captioning.tokens import counted


def caption_losses(logits: jax.Array, tokens: jax.Array, end: int) -> jax.Array:
    """The cross-entropies of each caption's tokens and its end, summed, (batch,) float32 in nats.

    Logits are (batch, length, vocabulary) float32, tokens (batch, length) int32; what fills up is not counted.
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, tokens)
    return jnp.sum(losses * counted(tokens, end), axis=-1)
