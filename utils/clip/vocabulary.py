"""CLIP's own tokenizer for weights that come without one, as the files of open_clip and OpenAI do."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.configuration import TextConfig, read_tokenizer
from utils.files.hub import fetch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TOKENS = 49408  # two for each byte, the merges, and the two ends of a text
_FILE = "bpe_simple_vocab_16e6.txt.gz"  # OpenAI's, in open_clip too: a heading, then more merges than were used
_ON_THE_HUB = "openai/clip-vit-base-patch32"


def find_tokenizer(folder: Path, text: TextConfig) -> PreTrainedTokenizerBase | None:
    """The tokenizer in a folder, or CLIP's own for a model of as many tokens: of the installed open_clip, or the Hub's.

    None for a model of another vocabulary; where none of the three has CLIP's, that is a FileNotFoundError.
    """
    if (tokenizer := read_tokenizer(folder, text)) or text.vocab_size != _TOKENS:
        return tokenizer
    found = find_spec("open_clip")
    for place in (found and found.submodule_search_locations) or ():
        if (file := Path(place) / _FILE).is_file():
            return clip_tokenizer(file, text.max_position_embeddings)
    try:
        return read_tokenizer(fetch(_ON_THE_HUB, ["*.json", "merges.txt"]), text)
    except Exception as error:
        raise FileNotFoundError(
            f"There is no tokenizer in {folder}, and CLIP's own is neither here nor to be had from the Hugging Face "
            f"Hub ({_ON_THE_HUB}): put its vocab.json and merges.txt beside the weights, or install open_clip_torch, "
            "which brings it."
        ) from error


def clip_tokenizer(file: Path, length: int) -> PreTrainedTokenizerBase:
    """Makes CLIP's tokenizer, for texts of so many tokens, of OpenAI's file of merges."""
    from transformers import CLIPTokenizer

    lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(byte) for byte in printable] + [chr(256 + number) for number in range(256 - len(printable))]
    merges: list[Any] = [tuple(line.split()) for line in lines[1 : 1 + _TOKENS - 2 * len(letters) - 2]]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)
