"""Tokens out of a decoder, one after the other: the likeliest, the best of several beams, or drawn by chance.

    tokens = generate(decoder, prefix, end_token=50256, max_tokens=30, method=Beam(5))     # (batch, 30)

All rows of a batch are written at once, by one compiled program whatever their lengths, until each has its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from utils.captioning.gpt2 import GPT2

_NEVER = -1e30  # a score below all others, and still a number
_COLDEST = 1e-30  # of temperatures: below, log probabilities divided by it are no numbers of float32
_SEEDS = 1 << 32  # different ones that chance can begin with
_STEEPEST = 5  # of length penalties, either way: beyond it a score of a long text could fall under `_NEVER`


class Ask(NamedTuple):
    """What a method chooses the next token by."""

    log_probabilities: jax.Array  # of each token, (rows, vocabulary) float32; of the end alone at the last place
    place: jax.Array  # of the token, counted from 0, () int32
    keys: jax.Array  # of chance at this place, one a row of the batch
    end_token: jax.Array  # () int32


class Written(NamedTuple):
    """Texts in the making, one a row, (rows, max_tokens) int32, and which of them have their end, (rows,) bool."""

    texts: jax.Array
    ended: jax.Array


class Beams(NamedTuple):
    """Of each row of a batch, ``size`` texts that go on, and as many that have their end, the best first."""

    texts: jax.Array  # (batch, size, max_tokens) int32, those that go on
    scores: jax.Array  # their log probabilities, (batch, size) float32
    parents: jax.Array  # which text of the place before each one goes on, (batch, size) int32
    ended_texts: jax.Array  # (batch, size, max_tokens) int32
    ended_scores: jax.Array  # divided by the length to the power of the penalty, (batch, size) float32
    ended: jax.Array  # whether there is such a text already, (batch, size) bool
    improving: jax.Array  # whether those that go on may still become better than those, (batch,) bool


class Method(Protocol):
    """A way to choose tokens; ``Any`` is what it keeps between them, `Written` or `Beams`."""

    @property
    def size(self) -> int:
        """How many texts are in the making for a row of the batch."""

    def start(self, texts: jax.Array) -> Any:
        """What is kept before the first token; texts (batch, max_tokens) are full of ends."""

    def choose(self, kept: Any, ask: Ask) -> Any:
        """Adds a token to each text."""

    def goes_on(self, kept: Any) -> jax.Array:
        """Whether any row of the batch is not yet done, () bool."""

    def last(self, kept: Any, place: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        """The tokens at a place, (rows,), and which row of the place before each goes on, (rows,) or None."""

    def texts(self, kept: Any) -> jax.Array:
        """The text of each row of the batch, (batch, max_tokens)."""


class _OneText:
    """What the methods share that write one text a row: each goes on until its end."""

    size = 1

    def start(self, texts: jax.Array) -> Written:
        return Written(texts, jnp.zeros(len(texts), bool))

    def choose(self, kept: Written, ask: Ask) -> Written:
        tokens = jnp.where(kept.ended, ask.end_token, self.pick(ask))
        return Written(kept.texts.at[:, ask.place].set(tokens), kept.ended | (tokens == ask.end_token))

    def goes_on(self, kept: Written) -> jax.Array:
        return ~jnp.all(kept.ended)

    def last(self, kept: Written, place: jax.Array) -> tuple[jax.Array, None]:
        return kept.texts[:, place], None

    def texts(self, kept: Written) -> jax.Array:
        return kept.texts

    def pick(self, ask: Ask) -> jax.Array:
        """One token for each row, (rows,)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Greedy(_OneText):
    """At each place the likeliest token."""

    def pick(self, ask: Ask) -> jax.Array:
        """One token for each row, (rows,)."""
        return jnp.argmax(ask.log_probabilities, axis=-1)


@dataclass(frozen=True)
class Nucleus(_OneText):
    """At each place a token drawn from the fewest that together have the probability ``p`` (Holtzman et al. 2020).

    A ``temperature`` below 1 makes likely tokens likelier still, before the others are left out. A row's tokens follow
    from the seed and the row's number, whatever rows are beside it.
    """

    p: float = 0.9
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what is no probability, and no temperature."""
        if not 0 < self.p <= 1:
            raise ValueError(f"A nucleus has the probability {self.p}; it must be above 0 and at most 1.")
        if not _COLDEST <= self.temperature < math.inf:
            raise ValueError(
                f"The temperature is {self.temperature}; it must be a number of at least {_COLDEST}: near 0 is what "
                "Greedy() writes."
            )

    def pick(self, ask: Ask) -> jax.Array:
        """One token for each row, (rows,)."""
        logits, tokens = self.within(ask.log_probabilities)
        chosen = jax.vmap(jax.random.categorical)(ask.keys, logits)
        return jnp.take_along_axis(tokens, chosen[:, None], axis=1)[:, 0]

    def within(self, logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Logits (rows, vocabulary) by the temperature, falling, and their tokens; outside of the nucleus -inf."""
        falling, tokens = jax.lax.top_k(logits / self.temperature, logits.shape[-1])
        if self.p == 1:
            return falling, tokens  # a sum that rounds to 1 early would leave the last ones out
        probabilities = jax.nn.softmax(falling, axis=-1)
        before = jnp.cumsum(probabilities, axis=-1) - probabilities
        return jnp.where(before < self.p, falling, -jnp.inf), tokens


@dataclass(frozen=True)
class Beam:
    """The text with the greatest log probability over its length to the power of ``length_penalty``, as far as seen.

    At each place the ``size`` likeliest texts go on. It is the search of transformers' ``generate`` with its
    ``early_stopping=False``: a row is done once it has ``size`` texts with an end, of which the worst is no worse than
    the likeliest that goes on, as if that were to end here. A longer text could still win where the penalty is above 0;
    that is the price of stopping. A penalty of 0 compares log probabilities, and above 0 longer texts gain.
    """

    size: int = 5
    length_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Refuses a search for no text, and what is no number."""
        if not (isinstance(self.size, Integral) and self.size >= 1):
            raise ValueError(f"A beam has the size {self.size}; it must be a whole number of at least 1.")
        if not abs(self.length_penalty) <= _STEEPEST:
            raise ValueError(
                f"The length penalty is {self.length_penalty}; it must be a number from -{_STEEPEST} to {_STEEPEST}."
            )

    def start(self, texts: jax.Array) -> Beams:
        """One text that is empty; the others must not go on, or the same would be written several times."""
        batch, length = texts.shape
        several = jnp.broadcast_to(texts[:, None], (batch, self.size, length))
        none, not_yet = jnp.zeros((batch, self.size), jnp.int32), jnp.full((batch, self.size), _NEVER)
        first = not_yet.at[:, 0].set(0)
        return Beams(several, first, none, several, not_yet, none.astype(bool), jnp.ones(batch, bool))

    def choose(self, kept: Beams, ask: Ask) -> Beams:
        """Goes on with the likeliest of all texts that are one token longer, and keeps those that end."""
        batch, size = kept.scores.shape
        vocabulary = ask.log_probabilities.shape[-1]
        scores = kept.scores[:, :, None] + ask.log_probabilities.reshape(batch, size, vocabulary)
        # Twice as many as go on: of each text one may end, and as many as are asked for must not.
        scores, numbers = jax.lax.top_k(scores.reshape(batch, -1), 2 * size)
        parents, tokens = numbers // vocabulary, numbers % vocabulary
        texts = _take(kept.texts, parents).at[:, :, ask.place].set(tokens)
        last = ask.place == texts.shape[-1] - 1
        ends = (tokens == ask.end_token) | last

        going, best = jax.lax.top_k(jnp.where(ends, scores + _NEVER, scores), size)
        length = (ask.place + 1).astype(jnp.float32) ** self.length_penalty
        ends &= (jnp.arange(2 * size) < size) & kept.improving[:, None]
        candidates = scores / length + jnp.where(ends, 0, _NEVER)
        ended_scores, chosen = jax.lax.top_k(jnp.concatenate([kept.ended_scores, candidates], axis=1), size)
        ended = _take(jnp.concatenate([kept.ended, ends], axis=1), chosen)
        could_win = going[:, 0] / length > ended_scores[:, -1]
        return Beams(
            _take(texts, best),
            going,
            _take(parents, best),
            _take(jnp.concatenate([kept.ended_texts, texts], axis=1), chosen),
            ended_scores,
            ended,
            kept.improving & (could_win | ~jnp.all(ended, axis=1)),
        )

    def goes_on(self, kept: Beams) -> jax.Array:
        """Whether any row of the batch is not yet done, () bool."""
        return jnp.any(kept.improving)

    def last(self, kept: Beams, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The tokens at a place, (rows,), and which row of the place before each goes on, (rows,)."""
        rows = kept.parents + jnp.arange(len(kept.parents))[:, None] * self.size
        return kept.texts[:, :, place].reshape(-1), rows.reshape(-1)

    def texts(self, kept: Beams) -> jax.Array:
        """The best text of each row that has its end, (batch, max_tokens)."""
        return kept.ended_texts[:, 0]


def generate(
    decoder: GPT2,
    prefix: jax.Array,
    *,
    end_token: int,
    max_tokens: int,
    start_token: int | None = None,
    method: Method = Greedy(),
    seed: int = 0,
    first_row: int = 0,
) -> jax.Array:
    """Writes on from prefixes (batch, length, width) float: tokens (batch, max_tokens) int32.

    A text ends with ``end_token``, with which it is filled up; where none has come, the last token is made one, as
    transformers' ``forced_eos_token_id`` does it, so that ``max_tokens`` counts it. ``start_token`` follows the prefix.
    ``first_row`` is the number of the first row among all that are written, by which chance tells rows apart.

    Raises:
        ValueError: If prefix and tokens are more than the decoder has positions, there is nothing to begin with, or a
            number is out of its range.
    """
    _check(decoder, prefix, end_token, max_tokens, start_token, method, seed)
    if len(prefix) == 0:
        return jnp.zeros((0, max_tokens), jnp.int32)
    definition, parameters = nnx.split(decoder)
    numbers = {"end_token": end_token, "start_token": start_token, "seed": np.uint32(seed), "first_row": first_row}
    return _generate(definition, method, max_tokens, parameters, prefix, **numbers)[0]


@partial(jax.jit, static_argnums=(0, 1, 2))
def _generate(
    definition: nnx.GraphDef[GPT2],
    method: Method,
    max_tokens: int,
    parameters: nnx.State,
    prefix: jax.Array,
    *,
    end_token: jax.Array,
    start_token: jax.Array | None,
    seed: jax.Array,
    first_row: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The tokens, and at how many places some were chosen; numbers are traced, so that others compile nothing."""
    decoder, batch = nnx.merge(definition, parameters), len(prefix)
    if start_token is not None:
        starts = decoder.embed(jnp.full((batch, 1), start_token))
        prefix = jnp.concatenate([prefix.astype(starts.dtype), starts], axis=1)
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(first_row + jnp.arange(batch))
    end = jnp.arange(decoder.config.vocab_size) == end_token

    def choose(kept: Any, logits: jax.Array, place: jax.Array) -> Any:
        told = jax.nn.log_softmax(logits, axis=-1)
        told = jnp.where(place < max_tokens - 1, told, jnp.where(end, 0, -jnp.inf))
        keys_here = jax.vmap(partial(jax.random.fold_in, data=place))(keys)
        return method.choose(kept, Ask(told, place, keys_here, end_token))

    def goes_on(state: tuple) -> jax.Array:
        kept, _, place = state
        return (place < max_tokens - 1) & method.goes_on(kept)

    def write_on(state: tuple) -> tuple:
        kept, cache, place = state
        tokens, rows = method.last(kept, place)
        if rows is not None:
            cache = cache._replace(keys=cache.keys[:, rows], values=cache.values[:, rows])
        logits, cache = decoder.extend(decoder.embed(tokens[:, None]), cache)
        return choose(kept, logits, place + 1), cache, place + 1

    logits, cache = decoder.extend(prefix, decoder.start_cache(batch, prefix.shape[1] + max_tokens))
    logits = jnp.repeat(logits, method.size, axis=0)
    cache = cache._replace(keys=jnp.repeat(cache.keys, method.size, 1), values=jnp.repeat(cache.values, method.size, 1))
    texts = jnp.full((batch, max_tokens), end_token, jnp.int32)
    kept, place = choose(method.start(texts), logits, jnp.int32(0)), jnp.int32(0)
    kept, _, place = jax.lax.while_loop(goes_on, write_on, (kept, cache, place))
    return method.texts(kept), place + 1


def _check(
    decoder: GPT2,
    prefix: jax.Array,
    end_token: int,
    max_tokens: int,
    start_token: int | None,
    method: Method,
    seed: int,
) -> None:
    config = decoder.config
    if not (isinstance(seed, Integral) and 0 <= seed < _SEEDS):
        raise ValueError(f"The seed is {seed!r}; it must be a whole number from 0 to {_SEEDS - 1:,}.")
    if isinstance(method, type) or not hasattr(method, "choose"):
        raise ValueError(f"The method is {method!r}; it must be one such as Greedy(), Beam() or Nucleus().")
    if prefix.ndim != 3 or prefix.shape[2] != config.n_embd:
        raise ValueError(f"The prefix has the shape {prefix.shape}; it must be (batch, length, {config.n_embd}).")
    length = prefix.shape[1] + (start_token is not None)
    if length == 0:
        raise ValueError("There is nothing to write on from; give a prefix of at least one vector, or a start_token.")
    if not (isinstance(max_tokens, Integral) and max_tokens >= 1):
        raise ValueError(
            f"max_tokens is {max_tokens!r}; it must be a whole number of at least 1, the end of a caption."
        )
    if length + max_tokens > config.n_positions:
        raise ValueError(
            f"A prefix of {length} and max_tokens of {max_tokens} are more than the decoder's {config.n_positions} "
            "positions; shorten one of them, or take a decoder with more."
        )
    for name, token in (("end_token", end_token), ("start_token", start_token)):
        if token is not None and not 0 <= token < config.vocab_size:
            raise ValueError(
                f"The {name} is {token}, and the decoder's vocabulary has {config.vocab_size} tokens; take the "
                "tokenizer that the decoder was trained with."
            )
    if method.size > config.vocab_size:
        raise ValueError(
            f"A beam has the size {method.size}, and the decoder's vocabulary has {config.vocab_size} tokens; it must "
            "be at most that."
        )


def _take(of_texts: jax.Array, numbers: jax.Array) -> jax.Array:
    """Picks texts by their numbers, (batch, picked), from (batch, texts, ...)."""
    return jnp.take_along_axis(of_texts, numbers.reshape(*numbers.shape, *(1,) * (of_texts.ndim - 2)), axis=1)
