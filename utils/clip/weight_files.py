"""Weights on the disk: one file or several, safetensors or pickled by torch, as NumPy arrays.

Names and shapes come first, out of the header alone where there is one, so that a checkpoint which does not fit its
configuration is refused before its weights take memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.clip.json_files import read_json

if TYPE_CHECKING:
    import torch

# In the order of preference of transformers itself; an index names shards.
WEIGHT_FILES = tuple(
    name + index for name in ("model.safetensors", "pytorch_model.bin") for index in ("", ".index.json")
)
# What training programs wrap weights into, and what wrappers put before every name.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
PREFIXES = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class StoredWeights:
    """Weights whose values are read when they are asked for.

    Attributes:
        shapes: By transformers' names, without what a wrapper put before them.
        read: Gives the arrays by the same names; of the dtype they are stored in, out of pickles float32.
    """

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[], dict[str, np.ndarray]]


def open_weights(folder: Path) -> StoredWeights:
    """Opens all weights of a checkpoint folder; pickles with ``weights_only=True``, so that they cannot run code.

    Raises:
        FileNotFoundError: If the folder holds no weights, or lacks a file that its index names.
        ValueError: If a file is damaged.
    """
    files = _weight_files(folder)
    shards = [_open_safetensors(file) if file.suffix == ".safetensors" else _open_pickle(file) for file in files]
    shapes = {name: shape for shard in shards for name, shape in shard.shapes.items()}
    prefix = ""
    while more := next((p for p in PREFIXES if shapes and all(n.startswith(prefix + p) for n in shapes)), ""):
        prefix += more

    def read() -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): array for shard in shards for name, array in shard.read().items()}

    return StoredWeights({name.removeprefix(prefix): shape for name, shape in shapes.items()}, read)


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
    for name in names.values():
        if not isinstance(name, str) or PurePosixPath(name).name != name or "\\" in name or "\0" in name:
            raise ValueError(f"{main} names {name!r}, which is not a file beside it; download it again.")
    files = [folder / name for name in sorted(set(names.values()))]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing, though {main.name} names it; download it again.")
    return files


def _open_safetensors(file: Path) -> StoredWeights:
    from safetensors import safe_open

    with _damage_in_words(file, "safetensors", "download it again"), safe_open(file, "np") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    return StoredWeights(shapes, lambda: _read_safetensors(file))


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    import ml_dtypes
    from safetensors import deserialize

    # safetensors' own reader for NumPy does not know bfloat16.
    dtypes = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    dtypes |= {"I64": np.int64, "I32": np.int32}
    with _damage_in_words(file, "safetensors", "download it again"):
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


@contextmanager
def _damage_in_words(file: Path, kind: str, way_out: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ValueError(f"{file} cannot be read as {kind} ({reason}); {way_out}.") from error


def _open_pickle(file: Path) -> StoredWeights:
    import torch

    with _damage_in_words(file, "torch weights", "download it again, or as safetensors"):
        content = torch.load(file, map_location="cpu", weights_only=True)
    tensors = _unwrapped(content, file)

    def read() -> dict[str, np.ndarray]:
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}

    return StoredWeights({name: tuple(tensor.shape) for name, tensor in tensors.items()}, read)


def _unwrapped(content: Any, file: Path) -> Mapping[str, torch.Tensor]:
    """The weights themselves, by name, out of what a training program put beside and around them."""
    import torch

    def inner(content: Any) -> Any:
        names = WRAPPERS if isinstance(content, Mapping) else ()
        return next((content[name] for name in names if isinstance(content.get(name), Mapping)), None)

    while (within := inner(content)) is not None:
        content = within
    if isinstance(content, Mapping) and content:
        if all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
            for name, tensor in content.items()
        ):
            return content
        shown = ", ".join(map(repr, list(content)[:3])) + (" and more" if len(content) > 3 else "")
    else:
        shown = f"a {type(content).__name__}" + (" without content" if content == {} else "")
    raise ValueError(
        f"{file} holds {shown} and not weights alone; save the model's state_dict() there, by itself or under "
        "'state_dict'."
    )


def check_values(weights: Mapping[str, np.ndarray]) -> None:
    """Refuses weights that give no embedding.

    Raises:
        ValueError: If one does not hold real numbers, is not finite in float32, or all matrices of a tower are zero.
    """
    from ml_dtypes import bfloat16

    for name, array in weights.items():
        if name.endswith("position_ids"):
            continue
        if not np.issubdtype(array.dtype, np.floating) and array.dtype != bfloat16:
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
