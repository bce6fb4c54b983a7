"""Captions as a decoder reads and writes them: token ids that end with an end, and back to words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from utils.captioning.gpt2_config import GPT2Config
from utils.clip.checkpoints import damage_in_words
from utils.clip.configuration import tokenizer_class

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Reads the tokenizer of a decoder's folder, CLIP's or any other of transformers; none is a FileNotFoundError."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise FileNotFoundError(
            f"{folder} holds no tokenizer (tokenizer.json, or vocab.json and merges.txt); put the decoder's there."
        )
    with damage_in_words(f"The tokenizer in {folder} cannot be read"):
        return tokenizer_class(folder).from_pretrained(folder, trust_remote_code=False)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase | None, config: GPT2Config) -> None:
    """Refuses, with a ValueError, a tokenizer that is not the decoder's."""
    if tokenizer is None:
        raise ValueError("A captioner needs the tokenizer of its decoder; give the one that it was trained with.")
    if len(tokenizer) != config.vocab_size:
        raise ValueError(
            f"The tokenizer has {len(tokenizer):,} tokens and the decoder {config.vocab_size:,}; give the tokenizer "
            "that the decoder was trained with."
        )
    if tokenizer.eos_token_id is None or config.eos_token_id not in (None, tokenizer.eos_token_id):
        raise ValueError(
            f"The tokenizer ends texts with the token {tokenizer.eos_token_id} and the decoder with "
            f"{config.eos_token_id}; give the tokenizer that the decoder was trained with."
        )


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, without a beginning, which is the prefix, and with the end."""
    if not len(texts):
        return []
    # Without `verbose` transformers would warn of the first long text, which is cut here.
    ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [[*row, tokenizer.eos_token_id] for row in ids]


def caption_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], length: int) -> np.ndarray:
    """Turns captions into token ids, (texts, length) int32, filled with ends.

    What is too long is cut and has no end, so that nobody learns to end in the middle of a sentence. A caption without
    a token is a ValueError.
    """
    ids = token_ids(tokenizer, texts)
    for text, row in zip(texts, ids, strict=True):
        if len(row) == 1:
            raise ValueError(f"The caption {text!r} is empty; leave it out with dataset.captioned().")
    filled = np.full((len(ids), length), tokenizer.eos_token_id, np.int32)
    for place, tokens in zip(filled, ids, strict=True):
        place[: len(tokens)] = tokens[:length]
    return filled


def words_of(tokenizer: PreTrainedTokenizerBase, tokens: np.ndarray) -> list[str]:
    """The text of each row of token ids (texts, length), up to its end."""
    return [text.strip() for text in tokenizer.batch_decode(np.asarray(tokens), skip_special_tokens=True)]


def counted(tokens: Any, end: int) -> jax.Array:
    """Which of tokens (..., length) a loss counts: those of the caption and its first end, not what fills up."""
    ends = tokens == end
    return jnp.cumsum(ends, axis=-1) - ends == 0
