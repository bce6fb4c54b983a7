"""Texts to tokens, collections of images and texts to embeddings, and the fingerprint of what decides these."""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from utils.clip.model import CLIP, normalize
from utils.progress import progress_bar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BATCH_SIZE = 256  # texts embedded at once
LENGTH_MULTIPLE = 16  # token batches come in few lengths, so that few shapes are compiled
_COMPUTES_OTHERWISE = ("hidden_act", "num_attention_heads", "layer_norm_eps")  # with the same weights


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int | None = None) -> np.ndarray:
    """Turns texts into token ids, (texts, length) int32; what is too long is cut and keeps its end-of-text.

    By default the longest text decides on the length, rounded up to a multiple of 16; more than the model has positions
    is a ValueError. The causal mask makes padding harmless: a text gets the same embedding at any length that holds it.
    Texts are repaired first, as CLIP's training texts were: curly quotes become straight ones, wrong encodings and
    HTML's ``&amp;`` the characters that they stand for. The tokenizer of transformers, called alone, does not do that.
    """
    limit = tokenizer.model_max_length
    if length is not None and not 2 <= length <= limit:
        raise ValueError(f"The length is {length}; it must be from 2 to {limit}, the positions of the model.")
    return _padded(tokenizer, _token_ids(tokenizer, texts, length or limit), length)


def unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scales vectors, (..., dim), to length 1; one of zeros stays as it is."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def count_cut(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> int:
    """How many texts have more tokens than the model has positions, so that it reads their beginning alone."""
    if not len(texts):
        return 0
    # Without `verbose` transformers would warn of each tokenizer's first long text, which nobody encodes here.
    ids = tokenizer(list(texts), verbose=False)["input_ids"]
    return sum(len(row) > tokenizer.model_max_length for row in ids)


def cut_in_words(model: CLIP, texts: Sequence[str]) -> str:
    """A sentence if a query is longer than the model reads, so that its end counts for nothing; else empty."""
    if model.tokenizer is None or not count_cut(model.tokenizer, texts):
        return ""
    return (
        f"The model reads the first {model.tokenizer.model_max_length} tokens of a text, and not its end: shorten it."
    )


def _token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int) -> list[list[int]]:
    """The token ids of each text, at most ``limit`` of them, without padding."""
    if not len(texts):
        return []
    repaired = [_repaired(text) for text in texts]
    return tokenizer(repaired, truncation=True, max_length=limit)["input_ids"]


def _repaired(text: str) -> str:
    """A text as CLIP has learned to read it: ftfy's, with HTML's entities resolved twice and single spaces.

    The source is ``basic_clean`` and ``whitespace_clean`` of OpenAI's ``simple_tokenizer.py``.
    """
    if text.isascii() and text.isprintable() and "&" not in text:
        return text  # nothing to repair, and most captions are such
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def _padded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    if length is None:
        longest = max((len(row) for row in ids), default=1)
        length = min(-(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE, tokenizer.model_max_length)
    padded = np.full((len(ids), length), tokenizer.pad_token_id, np.int32)
    for row, tokens in zip(padded, ids, strict=True):
        row[: len(tokens)] = tokens
    return padded


@partial(jax.jit, static_argnums=0)
def _embed(definition: nnx.GraphDef, parameters: nnx.State, inputs: jax.Array) -> jax.Array:
    """Unit-length embeddings from one tower; equal towers with other weights share the compiled code."""
    return normalize(nnx.merge(definition, parameters)(inputs))


def embed_images(model: CLIP, batches: Iterable[Mapping[str, np.ndarray]], progress: bool = False) -> np.ndarray:
    """Embeds the images of an evaluation pipeline to (images, dim) float32 of unit length, without the padding.

    Batches are of equal shape, with ``images`` (batch, size, size, 3) and, where rows are padding, ``mask`` (batch,)
    that is False there.
    """
    embed = model.embed_pixels or partial(_embed, *nnx.split(model.vision))
    rows = [np.zeros((0, model.architecture.projection_dim), np.float32)]
    for batch in progress_bar(batches, desc="Images", unit="batch", disable=not progress):
        embeddings = np.asarray(embed(batch["images"]))
        rows.append(embeddings[batch["mask"]] if "mask" in batch else embeddings)
    return np.concatenate(rows)


def patch_statistics(model: CLIP, batches: Iterable[Mapping[str, np.ndarray]], blocks: int) -> np.ndarray:
    """Means and standard deviations over the patches after so many blocks, (images, 2 * width) float32.

    Batches are those of `embed_images`.
    """
    measure = partial(_patch_statistics, *nnx.split(model.vision), blocks)
    rows = [np.zeros((0, 2 * model.architecture.vision.hidden_size), np.float32)]
    rows += [np.asarray(measure(batch["images"]))[batch.get("mask", slice(None))] for batch in batches]
    return np.concatenate(rows)


@partial(jax.jit, static_argnums=(0, 2))
def _patch_statistics(definition: nnx.GraphDef, parameters: nnx.State, blocks: int, pixels: jax.Array) -> jax.Array:
    patches = nnx.merge(definition, parameters).tokens(pixels, blocks)[:, 1:].astype(jnp.float32)
    return jnp.concatenate([patches.mean(axis=1), patches.std(axis=1)], axis=1)


def embed_texts(model: CLIP, texts: Sequence[str]) -> np.ndarray:
    """Embeds texts to (texts, dim) float32 of unit length; short ones together, so that a long one does not pad them.

    A model without a tokenizer is a ValueError.
    """
    if model.tokenizer is None:
        raise ValueError("The model has no tokenizer; load it from a checkpoint folder that holds one.")
    definition, parameters = nnx.split(model.text)
    ids = _token_ids(model.tokenizer, texts, model.tokenizer.model_max_length)
    order = np.argsort([len(row) for row in ids], kind="stable")
    # A power of two, so that a few texts are not padded to a whole batch and few shapes are compiled.
    rows = min(BATCH_SIZE, 1 << max(len(ids) - 1, 0).bit_length())
    embeddings = np.zeros((len(ids), model.architecture.projection_dim), np.float32)
    for start in range(0, len(ids), rows):
        chosen = order[start : start + rows]
        batch = [ids[number] for number in chosen]
        batch += batch[-1:] * (rows - len(batch))
        tokens = _padded(model.tokenizer, batch)
        embeddings[chosen] = np.asarray(_embed(definition, parameters, tokens))[: len(chosen)]
    return embeddings


def weights_digest(model: nnx.Module) -> str:
    """The SHA-256 of all parameters of a module, in the order of its tree, as hexadecimal digits."""
    digest = hashlib.sha256()
    for _, leaf in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        digest.update(np.asarray(jax.tree.leaves(leaf)[0]).tobytes())
    return digest.hexdigest()


def fingerprint(model: CLIP) -> str:
    """16 hexadecimal digits that two models share if they give one image, and one text, the same embedding.

    It covers the weights, what the configuration makes of them, and the preprocessing of the images; not the
    type that the transformers compute in, which moves embeddings by rounding alone.
    """
    towers = (model.architecture.vision, model.architecture.text)
    note = {
        "weights": weights_digest(model),
        # A field that came later and is False is left out, so that fingerprints of before stay what they were.
        "preprocessing": {name: value for name, value in asdict(model.preprocessing).items() if value is not False},
        "towers": [{name: getattr(tower, name) for name in _COMPUTES_OTHERWISE} for tower in towers],
    }
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:16]
