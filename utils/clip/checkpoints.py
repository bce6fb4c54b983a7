"""Checkpoint folders in transformers' format: their tokenizers, and how a folder is written whole.

A checkpoint folder holds ``config.json`` (`utils.clip.configuration`), the weights (`weight_files`), a tokenizer and
``preprocessor_config.json`` (`image_processor`). The weights carry transformers' names and torch's layouts;
`utils.clip.weight_names` turns them into JAX's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from utils.clip.configuration import TextConfig
from utils.clip.json_files import damage_in_words, read_json, write_json
from utils.files import publish, workshop

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CONFIGURATIONS = ("config.json", "open_clip_config.json")  # by which a folder is known to hold a model


def read_tokenizer(folder: Path, text: TextConfig) -> PreTrainedTokenizerBase | None:
    """Reads the tokenizer of a checkpoint folder, which truncates at the positions of the model; None if it has none.

    A damaged one, or one that is not of the model, is a ValueError.
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return None
    for name in ("tokenizer.json", "vocab.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            read_json(folder / name)
    from transformers import AutoTokenizer

    with damage_in_words(f"The tokenizer in {folder} cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        sample = tokenizer("a b")["input_ids"]
        largest = max([*tokenizer.get_vocab().values(), *sample])
        tokenizer.model_max_length = min(tokenizer.model_max_length, text.max_position_embeddings)
    if tokenizer.pad_token_id is None or tokenizer.model_max_length < 2:
        raise ValueError(
            f"The tokenizer in {folder} has the padding token {tokenizer.pad_token!r} and the greatest length "
            f"{tokenizer.model_max_length}; it must have a padding token, and a length of 2 or more."
        )
    largest = max(largest, tokenizer.pad_token_id)
    if largest >= text.vocab_size:
        raise ValueError(
            f"The tokenizer in {folder} gives token ids up to {largest}, but the model has embeddings for "
            f"{text.vocab_size} tokens; take the tokenizer that the model was trained with."
        )
    if text.eos_token_id != 2 and text.eos_token_id not in sample:
        raise ValueError(
            f"The tokenizer in {folder} ends texts without the token {text.eos_token_id}, at which the model reads "
            "them (eos_token_id); take the tokenizer that the model was trained with."
        )
    return tokenizer


# What a tokenizer remembers of its loading and of its last call, and writes into its settings.
TOKENIZER_TRACES = {"is_local", "local_files_only", "max_length", "stride", "truncation_side", "truncation_strategy"}


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes a tokenizer as published ones are: without the traces of the calls that it has served."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    write_json(path, {name: value for name, value in settings.items() if name not in TOKENIZER_TRACES})


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to write to, whose files become those of ``folder`` once all are written; others stay.

    A disk that takes no more, or a file where the folder should be, is an OSError, and the folder stays as it was.
    """
    try:
        with workshop(folder, "writing a model") as draft:
            yield draft
            if folder.exists():
                _replace_files(draft, folder)
            else:
                publish(draft, folder)
    except Exception as error:  # safetensors and tokenizers, written in Rust, have errors of their own for a disk
        if (found := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(folder)) from None


def _replace_files(new: Path, folder: Path) -> None:
    """Moves files into a folder that holds others; while those are mixed, no configuration calls them a model."""
    for name in CONFIGURATIONS:
        if (new / name).is_file():
            (folder / name).unlink(missing_ok=True)
    for file in sorted(new.iterdir(), key=lambda file: file.name in CONFIGURATIONS):
        file.replace(folder / file.name)
