"""Weights on the disk: one file or several, of safetensors, torch, TorchScript or Flax, as NumPy arrays.

Names and shapes come first, out of the header alone where there is one, so that a checkpoint which does not fit its
configuration is refused before its weights take memory.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from utils.clip.checkpoints import damage_in_words, read_json
from utils.clip.torchscript import is_torchscript, read_torchscript
from utils.files.hub import WEIGHT_SUFFIXES

# In the order of preference, the first ones that of transformers itself; an index names shards.
WEIGHT_FILES = (
    *(name + index for name in ("model.safetensors", "pytorch_model.bin") for index in ("", ".index.json")),
    *("flax_model.msgpack", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
)
# What training programs wrap weights into, and what wrappers put before every name.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "params")
# What training programs keep beside weights, and what holds values alone: settings, and scores as numbers of NumPy.
_PLAIN: list[Any] = [
    *(Namespace, np.dtype, *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64))),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
PREFIXES = re.compile(r"((module|_orig_mod|model)\.)+")

Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StoredWeights:
    """Weights of one checkpoint: their shapes, and what reads them, by the same names, of the dtype they are stored in.

    Out of pickles they come as float32. ``trained`` is what else a training program says of the model, its name.
    """

    shapes: Shapes
    read: Callable[[], Weights]
    trained: str = ""


def open_weights(files: Sequence[Path]) -> StoredWeights:
    """Opens all weights of a checkpoint, one file or its shards, by transformers' names, none of them by running code.

    Pickles are read with ``weights_only=True``, TorchScript by `read_torchscript`. Damage is a ValueError.
    """
    shards = [_OPENERS.get(file.suffix, _open_pickle)(file) for file in files]
    shapes = {name: shape for shard in shards for name, shape in shard.shapes.items()}
    prefixes = {found[0] if (found := PREFIXES.match(name)) else "" for name in shapes}
    prefix = prefixes.pop() if len(prefixes) == 1 else ""

    def read() -> Weights:
        return {name.removeprefix(prefix): array for shard in shards for name, array in shard.read().items()}

    without_prefix = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
    return StoredWeights(without_prefix, read, shards[0].trained)


def holds_weights(folder: Path) -> bool:
    """Whether a folder has weights by the name of a whole model."""
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def find_weights(folder: Path) -> list[Path]:
    """The files of a checkpoint folder that hold its weights: of transformers, Flax or open_clip, or the only one.

    None, several of which it may be any, or a lack of a file that an index names, are a FileNotFoundError.
    """
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None:
        others = sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES and path.is_file())
        if len(others) == 1:
            return others
        way_out = f"; of {', '.join(path.name for path in others[:3])} give one" if others else ""
        if inner := sorted(path.parent.name for path in folder.glob("*/config.json"))[:1]:
            way_out = f"; its folder {inner[0]!r} may: give that"
        raise FileNotFoundError(
            f"{folder} holds no weights by the name of a whole model: model.safetensors or pytorch_model.bin (or their "
            f"shards and index), flax_model.msgpack or open_clip_model.safetensors{way_out}."
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


def _open_safetensors(file: Path) -> StoredWeights:
    from safetensors import safe_open

    with damage_in_words(f"{file} cannot be read as safetensors"), safe_open(file, "np") as stored:
        shapes = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    return StoredWeights(shapes, lambda: _read_safetensors(file))


def _read_safetensors(file: Path) -> Weights:
    from safetensors import deserialize

    # safetensors' own reader for NumPy does not know bfloat16.
    dtypes = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": jnp.bfloat16, "I64": "i8", "I32": "i4"}
    dtypes |= {"U8": "u1", "BOOL": "?"}  # of masks among the weights
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


def _open_pickle(file: Path) -> StoredWeights:
    import torch

    with damage_in_words(f"{file} cannot be read as torch weights", "download it again, or as safetensors"):
        try:
            if is_torchscript(file):
                content: Any = read_torchscript(file)
            else:
                with torch.serialization.safe_globals(_PLAIN):
                    content = torch.load(file, map_location="cpu", weights_only=True)
        except (UnpicklingError, IndexError, EOFError) as error:
            # What torch says besides is how to run it all the same.
            if asked := re.search(r"GLOBAL ([\w.]+)", str(error)):
                reason = f"it asks for {asked[1]}, which may run code; whoever trusts it can save its state_dict alone"
                raise ValueError(reason) from None
            raise ValueError(_what_instead(file)) from None
    trained = str(content.get("name", "")) if isinstance(content, Mapping) else ""
    tensors = _unwrapped(content)
    if not tensors or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided
        for name, tensor in tensors.items()
    ):
        raise _no_weights(file, tensors or content)

    def read() -> Weights:
        return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}

    return StoredWeights({name: tuple(tensor.shape) for name, tensor in tensors.items()}, read, trained)


def _what_instead(file: Path) -> str:
    """What a file is that torch cannot unpickle, by how it begins."""
    with file.open("rb") as stream:
        start = stream.read(1024).lstrip()
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, which git lfs pull replaces by the file itself"
    return "it is a web page" if start.startswith(b"<") else "it is damaged, or holds something else"


def _open_msgpack(file: Path) -> StoredWeights:
    """Opens what ``FlaxPreTrainedModel.save_pretrained`` of transformers 4 wrote; a name is a path, joined by ``/``."""
    from flax.serialization import msgpack_restore

    with damage_in_words(f"{file} cannot be read as Flax's msgpack"):
        content = msgpack_restore(file.read_bytes())
        tree = _unwrapped(content)
        arrays = traverse_util.flatten_dict(tree, sep="/") if tree else {}
    if not arrays or not all(isinstance(array, np.ndarray | np.generic) for array in arrays.values()):
        raise _no_weights(file, content)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    return StoredWeights({name: array.shape for name, array in arrays.items()}, lambda: arrays)


_OPENERS = {".safetensors": _open_safetensors, ".msgpack": _open_msgpack}  # all others are torch's


def _unwrapped(content: object) -> Mapping[str, Any]:
    """What training programs wrap into a dictionary with optimizer and epoch; empty if that is no dictionary."""
    while isinstance(content, Mapping):
        within = (content.get(name) for name in WRAPPERS)
        if (inner := next((part for part in within if isinstance(part, Mapping)), None)) is None:
            return content
        content = inner
    return {}


def _no_weights(file: Path, content: object) -> ValueError:
    names = islice(content, 3) if isinstance(content, Mapping) else ()
    shown = ", ".join(map(repr, names)) or f"a {type(content).__name__}"
    return ValueError(
        f"{file} holds {shown} and not weights alone; save the model's state_dict() there, by itself or under "
        "'state_dict'."
    )


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
