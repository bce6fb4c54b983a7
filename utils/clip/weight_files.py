"""Weights on the disk, safetensors or pickled by torch, as NumPy arrays.

Names and shapes come first, out of the header alone where there is one, so that a checkpoint which does not fit its
configuration is refused before its weights take memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from utils.clip.json_files import damage_in_words

Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, np.ndarray]


def open_weights(folder: Path) -> tuple[Shapes, Callable[[], Weights]]:
    """Opens the weights of a checkpoint folder; a pickle with ``weights_only=True``, so that it cannot run code.

    Returns:
        The shapes by transformers' names, and what reads the arrays by the same names: of the dtype they are stored
        in, out of pickles float32.

    Raises:
        FileNotFoundError: If the folder holds no weights.
        ValueError: If the file is damaged.
    """
    if (file := folder / "model.safetensors").is_file():
        return _open_safetensors(file)
    if (file := folder / "pytorch_model.bin").is_file():
        return _open_pickle(file)
    way_out = ""
    if any(folder.glob("*.msgpack")):
        way_out = "; Flax's .msgpack is not read: convert it with transformers 4, from_flax=True"
    elif any(folder.glob("*.index.json")):
        way_out = "; weights in several files are not read: save them with transformers, max_shard_size='100GB'"
    raise FileNotFoundError(f"{folder} holds no weights; it must have model.safetensors or pytorch_model.bin{way_out}.")


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
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        for name, tensor in tensors.items()
    ):
        shown = ", ".join(map(repr, islice(tensors, 3))) or f"a {type(content).__name__}"
        raise ValueError(f"{file} holds {shown} and not weights alone; save the model's state_dict() there, by itself.")

    def read() -> Weights:
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}

    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}, read


def check_values(weights: Mapping[str, np.ndarray]) -> None:
    """Refuses weights that give no embedding.

    Raises:
        ValueError: If one does not hold real numbers, or is not finite in float32.
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
