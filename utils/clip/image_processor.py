"""``preprocessor_config.json``: what a checkpoint's image processor does, read and written in transformers' words.

Only what `ImagePreprocessing` does to the letter is read; every other setting is refused, since a model that sees
other pixels than it was trained on silently gives other embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL.Image import Resampling

from utils.clip.checkpoints import read_json
from utils.datasets import CLIP_MEAN, CLIP_STD, ImagePreprocessing

Channels = tuple[float, float, float]  # red, green, blue
BICUBIC = Resampling.BICUBIC.value  # ``preprocessor_config.json`` has Pillow's number
_CLIP_PROCESSORS = ("CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor")
_DEFAULT_SIDE = 224  # of transformers' CLIPImageProcessor, for a size or a crop_size that is not given
_DEFAULTS: dict[str, Any] = {
    "do_resize": True,
    "do_pad": False,
    "do_center_crop": True,
    "do_rescale": True,
    "do_normalize": True,
    "use_square_size": False,
    "default_to_square": False,
    "resample": BICUBIC,
    "rescale_factor": 1 / 255,
    "image_mean": list(CLIP_MEAN),
    "image_std": list(CLIP_STD),
}


def read_preprocessing(folder: Path, image_size: int) -> ImagePreprocessing:
    """Reads what the image processor of a checkpoint does; without one it is CLIP's own at the model's size.

    Another scale (``rescale_factor``, ``do_rescale``) and a normalization left out become a mean and a deviation
    that give the same pixels. A processor that does what `ImagePreprocessing` cannot, gives images of another size, or
    is written down twice with different settings, is a ValueError.
    """
    found = {path: _read(settings, image_size, path) for path, settings in _settings(folder)}
    if len(set(found.values())) > 1:
        one, other = found
        raise ValueError(
            f"{one} and {other.name} beside it ask for different pixels; keep the one that the model was trained with."
        )
    return next(iter(found.values()), ImagePreprocessing(image_size))


def _settings(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """What either file says of images: transformers 5 writes the second, and reads it before the first."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        yield path, read_json(path)
    path = folder / "processor_config.json"
    if path.is_file() and (settings := read_json(path).get("image_processor")):
        if not isinstance(settings, Mapping):
            raise ValueError(f"{path} holds no settings under 'image_processor'; download it again.")
        yield path, settings


def _read(settings: Mapping[str, Any], image_size: int, path: Path) -> ImagePreprocessing:
    kind = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    if kind is not None and kind not in _CLIP_PROCESSORS:
        raise ValueError(
            f"{path} is of a {kind!r}, whose steps are not CLIP's; only those of a CLIPImageProcessor are supported."
        )
    asked = _DEFAULTS | {name: value for name, value in settings.items() if value is not None}
    for name, default in _DEFAULTS.items():
        if isinstance(default, bool) and asked[name] not in (True, False):
            raise ValueError(f"{path} asks for {name} {asked[name]!r}; it must be true or false.")
    for name in ("do_resize", "do_pad", "resample"):
        if asked[name] != _DEFAULTS[name]:
            raise ValueError(
                f"{path} asks for {name} {asked[name]!r}; only images that are resized with resample {BICUBIC} "
                "(bicubic), and not padded, are supported."
            )
    squash = _squash(asked, image_size, path)
    return ImagePreprocessing(image_size, *_mean_and_deviation(asked, path), squash)


def _squash(asked: Mapping[str, Any], image_size: int, path: Path) -> bool:
    """Whether images are squashed into the model's input, and not cropped to it; any other size is refused."""
    size, crop_size = asked.get("size"), asked.get("crop_size")
    to_square = isinstance(size, int) and asked["default_to_square"]
    if asked["use_square_size"]:
        size = {"height": _DEFAULT_SIDE, "width": _DEFAULT_SIDE}  # whatever size says, in transformers too
    elif size is None:
        size = image_size if crop_size is None else _DEFAULT_SIDE
        crop_size = crop_size or size
    side, both = _side(size, "size", path)
    squash = bool(both or to_square)
    cropped = _side(crop_size or _DEFAULT_SIDE, "crop_size", path)[0] if asked["do_center_crop"] else side
    if not asked["do_center_crop"] and not squash:
        raise ValueError(
            f"{path} asks for size {size} without a crop, so images stay oblong; the model takes squares: set "
            "do_center_crop to true, or size to a height and a width."
        )
    if not side == cropped == image_size:
        raise ValueError(
            f"{path} asks for size {side} and crop_size {cropped} ({_DEFAULT_SIDE} where one is not given), but the "
            f"model's configuration for images of {image_size} pixels; take both from one checkpoint."
        )
    return squash


def _side(size: Any, name: str, path: Path) -> tuple[int, bool]:
    """The side of square images in any of transformers' spellings, and whether both sides are given."""
    edges = size if isinstance(size, Mapping) else {"shortest_edge": size}
    if isinstance(size, list) and len(size) == 2:
        edges = dict(zip(("height", "width"), size, strict=True))
    edges = {edge: side for edge, side in edges.items() if side is not None}
    sides = list(edges.values())
    known = set(edges) in ({"shortest_edge"}, {"height", "width"})
    if not known or any(type(side) is not int or side < 1 or side != sides[0] for side in sides):
        raise ValueError(
            f"{path} asks for {name} {size!r}; only square images are supported: a number of pixels, such as 224, as "
            "'shortest_edge', or as 'height' and 'width'."
        )
    return sides[0], len(sides) == 2


def _mean_and_deviation(asked: Mapping[str, Any], path: Path) -> tuple[Channels, Channels]:
    """What to subtract from values of 0 to 1 and to divide them by, for the pixels that the processor gives."""
    mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if asked["do_normalize"]:
        mean, deviation = (channels(asked[name], name, path) for name in ("image_mean", "image_std"))
    if not all(deviation):
        raise ValueError(f"{path} asks for image_std {asked['image_std']}, by which nothing can be divided.")
    factor = asked["rescale_factor"] if asked["do_rescale"] else 1
    if not _is_number(factor) or factor <= 0:
        raise ValueError(f"{path} asks for rescale_factor {factor!r}; it must be a positive number, such as 1 / 255.")
    scale = 255 * factor
    if math.isclose(scale, 1, rel_tol=1e-6):
        return mean, deviation
    mean, deviation = ((red / scale, green / scale, blue / scale) for red, green, blue in (mean, deviation))
    return mean, deviation


def channels(values: Any, name: str, path: Path) -> Channels:
    """Values for red, green and blue, given as three or as one for all; any other is a ValueError."""
    three = [values] * 3 if _is_number(values) else values
    if not isinstance(three, list) or len(three) != 3 or not all(map(_is_number, three)):
        raise ValueError(f"{path} asks for {name} {values!r}; it must be a number, or three for red, green and blue.")
    red, green, blue = three
    return red, green, blue


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def processor_settings(preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """What ``preprocessor_config.json`` says, in the words of transformers 4 and 5."""
    size = preprocessing.image_size
    square = {"height": size, "width": size}
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": square if preprocessing.squash else {"shortest_edge": size},
        "resample": BICUBIC,
        "do_center_crop": True,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
