"""The files of a GPT-2 in the format of transformers' ``GPT2LMHeadModel``: what its weights are called, read, written.

Its linear layers lie as JAX has them, (inputs, outputs), so nothing is turned; layers, apart in a file, are stacked
along a first axis here. The head that scores tokens is the table of token embeddings and is stored once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from utils.captioning.gpt2_config import GPT2Config
from utils.clip.checkpoints import read_json, write_json, written_whole
from utils.clip.weight_files import check_values, find_weights, open_weights
from utils.clip.weight_names import Shape, compare_shapes
from utils.files import from_home

_HEAD = "transformer."  # before the names of all weights, but not in the first published files
_TABLE = _HEAD + "wte.weight"
_MASKS = re.compile(r"\.attn\.(bias|masked_bias)$")  # no weights, though older files hold them


def open_gpt2(folder: Path) -> tuple[GPT2Config, Callable[[], dict[str, np.ndarray]]]:
    """Reads the configuration, checks weights by names and shapes, and gives what reads them, as in `parameters_of`.

    Raises:
        FileNotFoundError: If the folder lacks configuration or weights.
        ValueError: If a file is damaged, is of another model, or configuration and weights do not belong together.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no config.json; give the folder of a GPT-2, or a name on the Hub.")
    config = GPT2Config.from_settings(read_json(path), path)
    stored = open_weights(find_weights(folder))
    shapes = {_full_name(name): shape for name, shape in stored.shapes.items() if not _MASKS.search(name)}
    table = shapes.pop("lm_head.weight", None)
    expected = ((name, shape) for _, name, shape in _named_weights(config))
    compare_shapes(shapes, dict(islice(expected, len(shapes) + 10_000)))  # as in `utils.clip.weight_names`

    def read() -> dict[str, np.ndarray]:
        weights = {_full_name(name): array for name, array in stored.read().items() if not _MASKS.search(name)}
        head = weights.pop("lm_head.weight", weights[_TABLE])
        if table is not None and not np.array_equal(head, weights[_TABLE]):
            raise ValueError(
                f"{folder} holds a head (lm_head.weight) other than its token embeddings; take a GPT-2 that ties them."
            )
        check_values(weights)
        return parameters_of(weights, config)

    return config, read


def write_gpt2(folder: str | os.PathLike, config: GPT2Config, parameters: Mapping[str, Any], dtype: Any) -> Path:
    """Writes what ``GPT2LMHeadModel.from_pretrained`` opens, all or nothing, beside other files of the folder."""
    from safetensors.numpy import save_file

    folder, dtype = from_home(folder), np.dtype(dtype)
    with written_whole(folder) as draft:
        weights = {name: np.ascontiguousarray(a, dtype) for name, a in weights_of(parameters, config).items()}
        save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})
        write_json(draft / "config.json", config.settings() | {"dtype": dtype.name})
    return folder


def parameters_of(weights: Mapping[str, np.ndarray], config: GPT2Config) -> dict[str, np.ndarray]:
    """Turns arrays by transformers' names into float32 parameters by their paths in `utils.captioning.gpt2.GPT2`."""
    layers: dict[str, list[np.ndarray]] = {}
    for path, name, _ in _named_weights(config):
        layers.setdefault(path, []).append(weights[name].astype(np.float32))
    return {path: np.stack(arrays) if path.startswith("blocks.") else arrays[0] for path, arrays in layers.items()}


def weights_of(parameters: Mapping[str, Any], config: GPT2Config) -> dict[str, np.ndarray]:
    """The inverse of `parameters_of`."""
    arrays = {path: iter(np.asarray(a) if path.startswith("blocks.") else [a]) for path, a in parameters.items()}
    return {name: np.asarray(next(arrays[path])) for path, name, _ in _named_weights(config)}


def _named_weights(config: GPT2Config) -> Iterator[tuple[str, str, Shape]]:
    """Each weight of a file: the path of its parameter, its name and its shape; layers in their order."""
    width = config.n_embd
    yield "token_embedding.embedding", _TABLE, (config.vocab_size, width)
    yield "position_embedding", f"{_HEAD}wpe.weight", (config.n_positions, width)
    yield from _layer("last_norm", f"{_HEAD}ln_f", (width,))
    for number in range(config.n_layer):
        layer = f"{_HEAD}h.{number}"
        yield from _layer("blocks.attention_norm", f"{layer}.ln_1", (width,))
        yield from _layer("blocks.attention", f"{layer}.attn.c_attn", (width, 3 * width))
        yield from _layer("blocks.output", f"{layer}.attn.c_proj", (width, width))
        yield from _layer("blocks.mlp_norm", f"{layer}.ln_2", (width,))
        yield from _layer("blocks.expand", f"{layer}.mlp.c_fc", (width, config.inner))
        yield from _layer("blocks.contract", f"{layer}.mlp.c_proj", (config.inner, width))


def _layer(path: str, name: str, shape: Shape) -> Iterator[tuple[str, str, Shape]]:
    """The weight, of this shape, and the bias of a linear layer or a layer norm."""
    yield f"{path}.{'kernel' if len(shape) == 2 else 'scale'}", f"{name}.weight", shape
    yield f"{path}.bias", f"{name}.bias", shape[-1:]


def _full_name(name: str) -> str:
    return name if name.startswith((_HEAD, "lm_head.")) else _HEAD + name
