"""Weights on the disk: one file or several, safetensors or pickled by torch, as NumPy arrays.

Names and shapes come first, out of the header alone where there is one, so that a checkpoint which does not fit its
configuration is refused before its weights take memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from utils.clip.checkpoints import damage_in_words, read_json

# In the order of preference of transformers itself; an index names shards.
WEIGHT_FILES = tuple(
    name + index for name in ("model.safetensors", "pytorch_model.bin") for index in ("", ".index.json")
)
# What training programs wrap weights into, and what wrappers put before every name.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
PREFIXES = re.compile(r"((module|_orig_mod|model)\.)+")

Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, np.ndarray]


def open_weights(folder: Path) -> tuple[Shapes, Callable[[], Weights]]:
    """Opens all weights of a checkpoint folder; pickles with ``weights_only=True``, so that they cannot run code.

    Returns the shapes by transformers' names, and what reads the arrays by the same names: of the dtype they are stored
    in, out of pickles float32. No weights, or a lack of a file that their index names, are a FileNotFoundError, and
    damage is a ValueError.
    """
    files = _weight_files(folder)
    shards = [_open_safetensors(file) if file.suffix == ".safetensors" else _open_pickle(file) for file in files]
    shapes = {name: shape for shapes, _ in shards for name, shape in shapes.items()}
    prefixes = {found[0] if (found := PREFIXES.match(name)) else "" for name in shapes}
    prefix = prefixes.pop() if len(prefixes) == 1 else ""

    def read() -> Weights:
        return {name.removeprefix(prefix): array for _, read in shards for name, array in read().items()}

    return {name.removeprefix(prefix): shape for name, shape in shapes.items()}, read


def _weight_files(folder: Path) -> list[Path]:
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None:
        flax = any(folder.glob("*.msgpack"))
        way_out = "; Flax's .msgpack is not read: convert it with transformers 4, from_flax=True" if flax else ""
        raise FileNotFoundError(
            f"{folder} holds no weights; it must have model.safetensors or pytorch_model.bin (or their shards and "
            f"index){way_out}."
        )
    if main.suffix != ".json":
        return [main]
    names = read_json(main).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ValueError(f"{main} names no files under 'weight_map'; download it again.")
    names = sorted({str(name) for name in names.values()})
    for name in names:
        if (folder / name).parent != folder or not (folder / name).is_file():
            raise FileNotFoundError(f"{main} names {name!r}, which is not a file beside it; download it again.")
    return [folder / name for name in names]


def _open_safetensors(file: Path) -> tuple[Shapes, Callable[[], Weights]]:
    from safetensors import safe_open

    with damage_in_words(f"{file} cannot be read as safetensors"), safe_open(file, "np") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    return shapes, lambda: _read_safetensors(file)


def _read_safetensors(file: Path) -> Weights:
    from safetensors import deserialize

    # safetensors' own reader for NumPy does not know bfloat16.
    dtypes = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": jnp.bfloat16, "I64": "i8", "I32": "i4"}
    with damage_in_words(f"{file} cannot be read as safetensors"):
        entries = deserialize(file.read_bytes())
    for name, entry in entries:
        if entry["dtype"] not in dtypes:
            raise ValueError(
                f"{file} stores {name} as {entry['dtype']}, a type that cannot be read here; take a checkpoint "
                "whose weights are not quantized."
            )
    return {
        name: np.frombuffer(entry["data"], dtypes[entry["dtype"]]).reshape(entry["shape"]) for name, entry in entries
    }


def _open_pickle(file: Path) -> tuple[Shapes, Callable[[], Weights]]:
    import torch

    with damage_in_words(f"{file} cannot be read as torch weights", "download it again, or as safetensors"):
        content = torch.load(file, map_location="cpu", weights_only=True)
    while isinstance(content, Mapping):
        within = (content.get(name) for name in WRAPPERS)
        if (inner := next((part for part in within if isinstance(part, Mapping)), None)) is None:
            break
        content = inner
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        for name, tensor in tensors.items()
    ):
        shown = ", ".join(map(repr, islice(tensors, 3))) or f"a {type(content).__name__}"
        raise ValueError(
            f"{file} holds {shown} and not weights alone; save the model's state_dict() there, by itself or under "
            "'state_dict'."
        )

    def read() -> Weights:
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}

    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}, read


def check_values(weights: Mapping[str, np.ndarray]) -> None:
    """Refuses, with a ValueError, weights that give no embedding.

    Those are not of real numbers, not finite in float32, or in all matrices of a tower zero.
    """
    for name, array in weights.items():
        if name.endswith("position_ids"):
            continue
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(
                f"The checkpoint's weight {name} is of {array.dtype}; take one with floating-point weights."
            )
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, copy=False)).all()
        if not finite:
            raise ValueError(
                f"The checkpoint's weight {name} holds NaN or infinite values, as a training run that diverged leaves "
                "them; take an earlier checkpoint, or download it again."
            )
    for part in ("vision_model.", "text_model.", "visual_projection.", "text_projection."):
        matrices = [a for name, a in weights.items() if name.startswith(part) and a.ndim > 1]
        if matrices and not any(map(np.any, matrices)):
            raise ValueError(
                f"The checkpoint's weights of {part[:-1]} are all zero, so every embedding would be the same; download "
                "it again."
            )
