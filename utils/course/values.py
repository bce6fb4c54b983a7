"""Values: what parameters may be, refused with a sentence before anything heavy starts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.choices import (
    AUGMENTATIONS,
    COMPUTE_DTYPES,
    LARGEST_SEED,
    LARGEST_VAL_SHARE,
    PROMPTS,
    SETTINGS,
    TRANSLATION_ENGINES,
)
from utils.course.places import CourseError
from utils.files import expanded, file_in_the_way, from_home, read_json
from utils.files.hub import looks_like_clip

FEW_STEPS = 100  # below them a training has hardly left its start
# What papermill calls the annotation of a parameter, and what its value may then be.
TYPES: dict[str, Any] = {"str": str, "int": int, "float": float | int, "bool": bool, "dict": dict, "list": list}

Rule = tuple[Callable[[Any], object], str]  # true of a value that can work, and what it must be


def is_of_type(value: Any, declared: str) -> bool:
    """Whether a value fits an annotation; true for annotations other than `TYPES`."""
    if isinstance(value, bool) and declared in ("int", "float"):
        return False
    return declared not in TYPES or isinstance(value, TYPES[declared])


def _is_number(value: Any) -> bool:
    return is_of_type(value, "float") and math.isfinite(value)


def _whole_number(least: int) -> Rule:
    return lambda value: is_of_type(value, "int") and value >= least, f"a whole number, {least} or more"


def _number(fits: Callable[[float], bool], wanted: str) -> Rule:
    return lambda value: _is_number(value) and fits(value), f"a number{wanted}"


def _list(fits: Callable[[list], bool], wanted: str) -> Rule:
    return lambda value: isinstance(value, list) and (not value or fits(value)), f"empty, or {wanted}"


_NAMES: Rule = (
    lambda names: isinstance(names, dict) and all(isinstance(one, str) for one in (*names, *names.values())),
    "empty, or names of categories, each with another one, such as {BareLand: bare land}",
)
_SETTINGS = (
    lambda value: (
        isinstance(value, dict)
        and value.keys() <= SETTINGS.keys()
        and all(one in SETTINGS[name] for name, one in value.items() if SETTINGS[name])
    ),
    "empty, or of these, each with a value: "
    + ", ".join(f"{name} ({' or '.join(words)})" if words else name for name, words in sorted(SETTINGS.items())),
)
CHOICES = {"ENGINE": TRANSLATION_ENGINES, "AUGMENTATION": AUGMENTATIONS, "COMPUTE_DTYPE": COMPUTE_DTYPES}
# Parameters that mean the same in every notebook.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("BATCH_SIZE", "EPOCHS", "VALIDATE_EVERY", "TRAINING_IMAGES", "TRAINING_BATCH"), _whole_number(1)),
    **dict.fromkeys(("HELD_OUT", "K", "LAYERS", "WIDTH", "PREFIX_LENGTH", "BEAM_SIZE", "SCENES"), _whole_number(1)),
    "CAPTION_TOKENS": _whole_number(2),
    **dict.fromkeys(("IMAGES_PER_SPLIT", "COMPARED_IMAGES", "WARMUP_STEPS", "NUM_BEAMS"), _whole_number(0)),
    "SEED": (
        lambda seed: is_of_type(seed, "int") and 0 <= seed <= LARGEST_SEED,
        f"a whole number from 0 to {LARGEST_SEED:,}",
    ),
    "LEARNING_RATE": _number(lambda rate: rate > 0, " above zero, such as 1.0e-4"),
    **dict.fromkeys(("METERS", "MEMORY"), _number(lambda value: value > 0, " above zero")),
    "PRICE": _number(lambda price: price >= 0, ", zero or more"),
    "WEIGHT_DECAY": _number(lambda decay: decay >= 0, ", zero or more"),
    "VAL_FROM_TRAIN": _number(
        lambda share: 0 <= share <= LARGEST_VAL_SHARE, f" from 0 to {LARGEST_VAL_SHARE}, such as 0.1"
    ),
    "STRETCH": _list(
        lambda ends: len(ends) == 2 and all(map(_is_number, ends)) and ends[0] < ends[1],
        "two numbers, the lower first: the values that become black and white, such as [0, 3000]",
    ),
    "BANDS": _list(
        lambda bands: len(bands) in (1, 3) and all(is_of_type(band, "int") and band >= 1 for band in bands),
        "three whole numbers, red, green and blue, or one for gray, counted from 1, such as [4, 3, 2]",
    ),
    **dict.fromkeys(("RENAME", "OTHER_RENAME"), _NAMES),
    "SETTINGS": _SETTINGS,
    "PROMPT": (
        # Another brace would be a place written wrongly.
        lambda value: value in PROMPTS or (isinstance(value, str) and re.fullmatch(r"[^{}]*\{\}[^{}]*", value)),
        f"{', '.join(PROMPTS)}, or a text with one {{}} for the name and no other brace: 'a photo of {{}}'",
    ),
    **{name: (choices.__contains__, f"one of {', '.join(choices)}") for name, choices in CHOICES.items()},
}


def check_values(values: Mapping[str, Any]) -> None:
    """Refuses numbers and words that cannot work, in values by name such as the ``globals()`` of a notebook.

    A `CourseError` names the parameter, its value and what it may be.
    """
    for name, value in values.items():
        can_work, wanted = RULES.get(name, (bool, ""))
        if wanted and not can_work(value):
            raise CourseError(f"{name} is {value!r}; it must be {wanted}.")


def few_steps_warning(steps: float, epochs: int) -> str:
    """What to say of so many steps of the optimizer in so many epochs; empty for `FEW_STEPS` or more."""
    if not 0 < steps < FEW_STEPS:
        return ""
    enough = math.ceil(FEW_STEPS * epochs / steps)
    return (
        f"Warning: {steps:.0f} steps of the optimizer are too few to learn much; EPOCHS: {enough} would give about "
        f"{FEW_STEPS}."
    )


def check_places(root: Path, values: Mapping[str, Any]) -> None:
    """Refuses data and a model that are not where the parameters say with a `CourseError`, by a look at the disk.

    Names of published data sets and of models on the Hub are left to those who fetch them. Relative paths begin at
    the top of the checkout.
    """
    data_dir, dataset, model = (str(values.get(name) or "") for name in ("DATA_DIR", "DATASET", "MODEL"))
    data_folder = root / from_home(data_dir or "data")
    if data_dir and not data_folder.is_dir():
        raise CourseError(f"DATA_DIR is {data_dir!r}, and there is no folder {data_folder}.")
    is_path = re.search(r"[/\\]|\.(csv|tsv|jsonl?|parquet|tar)$", dataset, re.IGNORECASE)
    if is_path and not any((top / one).exists() for top in (root, data_folder) for one in expanded(dataset)):
        raise CourseError(
            f"DATASET is {dataset!r}, and there is no {root / dataset}: give the path of a .csv, .json or .jsonl of "
            "captions, of a .parquet or .tar, or of a folder of images."
        )
    pictures = str(values.get("PICTURES") or "")
    if pictures and not (root / from_home(pictures)).is_dir():
        raise CourseError(f"PICTURES is {pictures!r}, and there is no folder {root / pictures}: give one of images.")
    decoder = str(values.get("DECODER") or "")
    place = root / from_home(decoder)
    has_settings = (place / "config.json").is_file()
    is_gpt2 = has_settings and read_json(place / "config.json").get("model_type", "gpt2") == "gpt2"
    if decoder and not is_gpt2 and (place.is_dir() or (decoder[0] in "/~." and not place.exists())):
        raise CourseError(
            f"DECODER is {decoder!r}, and there is no GPT-2 in {place}: give its folder, with its tokenizer, or a name "
            "on the Hub, such as openai-community/gpt2."
        )
    place = root / from_home(model)
    if model and (blocked := file_in_the_way(place)) and blocked != place:
        raise CourseError(f"MODEL is {model!r}, and {blocked} is a file: give the folder with config.json and weights.")
    if model and place.exists() and not looks_like_clip(place):
        raise CourseError(
            f"MODEL is {model!r}, and {place} holds no CLIP: give a folder whose config.json says "
            '"model_type": "clip", one of open_clip or peft, or a file of weights; docs/checkpoints.md lists them.'
        )
