"""Checkpoint folders in transformers' format: finding, reading and writing them, with NumPy arrays only.

A checkpoint folder holds ``config.json``, the weights, a tokenizer and ``preprocessor_config.json``. The weights
carry transformers' names and torch's layouts; `utils.clip.weight_names` turns them into JAX's.
"""

from __future__ import annotations

import errno
import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.images import ImagePreprocessing

if TYPE_CHECKING:
    from transformers import CLIPConfig, PreTrainedTokenizerBase

# In the order of preference of transformers itself.
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
WEIGHT_FILES += ("pytorch_model.bin", "pytorch_model.bin.index.json")
DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
CONFIGURATIONS = ("config.json", "open_clip_config.json")  # by which a folder is known to hold a model
BICUBIC = 3  # Pillow's number, which ``preprocessor_config.json`` speaks in


def read_config(folder: Path) -> CLIPConfig:
    """Reads ``config.json``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it describes something else than a CLIP.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json; give the folder of a CLIP checkpoint.")
    from transformers import CLIPConfig

    kind = _read_json(path).get("model_type")
    if kind != "clip":
        raise ValueError(f"{path} describes a model of type {kind!r}; give the folder of a 'clip'.")
    return CLIPConfig.from_pretrained(folder)


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Reads all weights of a checkpoint: one file or several, safetensors or pickled by torch.

    Pickles are loaded with ``weights_only=True``, so that they cannot run code.

    Args:
        folder: A checkpoint folder.

    Returns:
        Arrays by transformers' names; of the dtype they are stored in, out of pickles float32.

    Raises:
        FileNotFoundError: If the folder holds no weights, or lacks a file that its index names.
        ValueError: If a file is damaged.
    """
    main = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if main is None:
        raise FileNotFoundError(
            f"{folder} holds no weights; it must have model.safetensors or pytorch_model.bin (or their shards "
            "and index)."
        )
    files = [main]
    if main.suffix == ".json":
        files = [folder / name for name in sorted(set(_read_json(main).get("weight_map", {}).values()))]
        if not files:
            raise ValueError(f"{main} names no files under 'weight_map'; download it again.")
    weights: dict[str, np.ndarray] = {}
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing, though {main.name} names it; download it again.")
        weights |= _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    return weights


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    import ml_dtypes
    from safetensors import deserialize

    # safetensors' own reader for NumPy does not know bfloat16.
    dtypes = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}
    dtypes |= {"I64": np.int64, "I32": np.int32}
    try:
        entries = deserialize(file.read_bytes())
        return {
            name: np.frombuffer(entry["data"], dtypes[entry["dtype"]]).reshape(entry["shape"])
            for name, entry in entries
        }
    except Exception as error:
        raise ValueError(f"{file} cannot be read as safetensors ({error}); download it again.") from error


def _read_pickle(file: Path) -> dict[str, np.ndarray]:
    import torch

    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{file} cannot be read as torch weights ({first_line}); download it again, or as safetensors."
        ) from error
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in tensors.items()
    }


def read_tokenizer(folder: Path, max_length: int) -> PreTrainedTokenizerBase | None:
    """Reads the tokenizer of a checkpoint, or gives None if it has none.

    Args:
        folder: A checkpoint folder.
        max_length: The number of positions of the text model: the tokenizer will truncate there.
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = min(tokenizer.model_max_length, max_length)
    return tokenizer


def read_preprocessing(folder: Path, image_size: int) -> ImagePreprocessing:
    """Reads what the image processor of a checkpoint does; without one it is CLIP's own at the model's size.

    Args:
        folder: A checkpoint folder.
        image_size: Height and width of the model's input, in pixels.

    Raises:
        ValueError: If the processor does what `ImagePreprocessing` cannot, so that the model would see other pixels.
    """
    path = folder / "preprocessor_config.json"
    if path.is_file():
        settings = _read_json(path)
    elif (path := folder / "processor_config.json").is_file():  # where transformers 5 writes it
        settings = _read_json(path).get("image_processor", {})
    else:
        return ImagePreprocessing(image_size)
    _refuse_other_processing(settings, path)
    resized = _side(settings.get("size"), path)
    cropped = _side(settings.get("crop_size"), path) if settings.get("do_center_crop", True) else None
    if resized and cropped and resized != cropped:
        raise ValueError(
            f"{path} asks for size {resized} and crop_size {cropped}; only a crop as large as the shorter side is "
            "supported."
        )
    values = {new: settings.get(f"image_{new}") for new in ("mean", "std")}
    return ImagePreprocessing(
        cropped or resized or image_size, **{name: tuple(value) for name, value in values.items() if value}
    )


def _refuse_other_processing(settings: Mapping[str, Any], path: Path) -> None:
    always = {"do_normalize": True, "do_rescale": True, "do_resize": True, "resample": BICUBIC}
    others = [
        f"{name} {settings[name]}" for name, ours in always.items() if settings.get(name) not in (None, ours)
    ]
    if others:
        raise ValueError(
            f"{path} asks for {', '.join(others)}; only pictures that are resized ({BICUBIC}, bicubic), brought to the "
            "scale from 0 to 1 and normalised are supported."
        )


def _side(size: int | Mapping[str, int] | None, path: Path) -> int | None:
    """The side of square images, in pixels, in any of transformers' spellings."""
    sides = set(size.values()) if isinstance(size, Mapping) else {size}
    if len(sides) != 1:
        raise ValueError(f"{path} asks for images of {size}; only square images are supported.")
    side = sides.pop()
    return None if side is None else int(side)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no JSON object; download it again.")
    return content


def write_folder(
    folder: str | os.PathLike,
    config: CLIPConfig,
    weights: Mapping[str, np.ndarray],
    tokenizer: PreTrainedTokenizerBase | None,
    preprocessing: ImagePreprocessing,
    weights_dtype: Any = np.float32,
) -> Path:
    """Writes a checkpoint folder for transformers' ``CLIPModel`` and ``CLIPProcessor``.

    Everything is written beside the folder first, so that a crash leaves no half of a checkpoint. Other files
    of an existing folder stay.

    Args:
        folder: Where to write.
        config: The model's configuration.
        weights: Arrays by transformers' names.
        tokenizer: The tokenizer, or None to write none.
        preprocessing: What the model expects of its images.
        weights_dtype: The type in which weights are stored; float16 halves the file.

    Returns:
        The folder.
    """
    from safetensors.numpy import save_file

    dtype = np.dtype(weights_dtype)
    folder = Path(folder).expanduser()
    with written_whole(folder) as temporary:
        settings = config.to_dict() | {"architectures": ["CLIPModel"], "dtype": dtype.name}
        write_json(temporary / "config.json", settings)
        stored = {name: array.astype(dtype) for name, array in weights.items()}
        save_file(stored, temporary / "model.safetensors", metadata={"format": "pt"})
        if tokenizer is not None:
            write_tokenizer(tokenizer, temporary)
        write_json(temporary / "preprocessor_config.json", processor_settings(preprocessing))
    return folder


# What a tokenizer remembers of its loading and of its last call, and writes into its settings.
TOKENIZER_TRACES = {
    "is_local",
    "local_files_only",
    "max_length",
    "stride",
    "truncation_side",
    "truncation_strategy",
}


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes a tokenizer as published ones are: without the traces of the calls that it has served."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = _read_json(path)
    write_json(path, {name: value for name, value in settings.items() if name not in TOKENIZER_TRACES})


def processor_settings(preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """What ``preprocessor_config.json`` says, in the words of transformers 4 and 5."""
    size = preprocessing.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": BICUBIC,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to write to, whose files become those of ``folder`` once all are written.

    Raises:
        OSError: If the disk takes no more; the folder is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # mkdtemp makes it private
        if folder.exists():
            _replace_files(temporary, folder)
        else:
            temporary.replace(folder)
    except (
        Exception
    ) as error:  # safetensors and tokenizers, written in Rust, have errors of their own for a disk
        number = next((number for number in DISK_TROUBLE if f"(os error {number})" in str(error)), None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_files(new: Path, folder: Path) -> None:
    """Moves files into a folder that holds others; while those are mixed, no configuration calls them a model.

    Files that are equal stay untouched, so that whoever reads them meanwhile is not disturbed.
    """
    changed = [file for file in sorted(new.iterdir()) if not _equal(file, folder / file.name)]
    last = [new / name for name in CONFIGURATIONS if changed and (new / name).is_file()]
    for file in last:
        (folder / file.name).unlink(missing_ok=True)
    for file in [*(file for file in changed if file not in last), *last]:
        file.replace(folder / file.name)


def _equal(one: Path, other: Path) -> bool:
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON for people to read, its names in order."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
