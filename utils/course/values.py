"""Values: what parameters may be, refused with a sentence before anything heavy starts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.files import file_in_the_way, is_too_long

# Parameters that mean the same in every notebook, with the least that each may be.
AT_LEAST: dict[str, int] = {
    **dict.fromkeys(("BATCH_SIZE", "EPOCHS", "VALIDATE_EVERY", "TRAINING_IMAGES", "TRAINING_BATCH"), 1),
    **dict.fromkeys(("HELD_OUT", "K"), 1),
    **dict.fromkeys(("IMAGES_PER_SPLIT", "COMPARED_IMAGES", "WARMUP_STEPS", "NUM_BEAMS", "SEED"), 0),
}
ABOVE_ZERO = ("LEARNING_RATE",)
ZERO_OR_MORE = ("WEIGHT_DECAY",)
# Lists that may be empty: whether another one can work, and what it must be.
LISTS: dict[str, tuple[Callable[[list], bool], str]] = {
    "STRETCH": (
        lambda ends: len(ends) == 2 and all(map(_is_number, ends)) and ends[0] < ends[1],
        "empty, or two numbers, the lower first: the values that become black and white, such as [0, 3000]",
    ),
    "BANDS": (
        lambda bands: len(bands) in (1, 3) and all(is_of_type(band, "int") and band >= 1 for band in bands),
        "empty, or three whole numbers, red, green and blue, or one for gray, counted from 1, such as [4, 3, 2]",
    ),
}
LARGEST_SHARES = {"VAL_FROM_TRAIN": 0.5}
# Steps below which a training has hardly left its start.
FEW_STEPS = 100
# The published prompts by name; any other is a text of one's own.
PROMPTS = ("documents", "script", "notebook")
CHOICES: dict[str, tuple[str, ...]] = {
    "ENGINE": ("auto", "ctranslate2", "ctranslate2-int8", "transformers"),
    "AUGMENTATION": ("aerial", "published", "none"),
    "COMPUTE_DTYPE": ("float32", "bfloat16"),
}
# What papermill calls the annotation of a parameter, and what its value may then be.
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "dict": (dict,),
    "list": (list,),
}


def is_of_type(value: Any, declared: str) -> bool:
    """Whether a value fits an annotation; true for annotations that are none of `TYPES`."""
    if isinstance(value, bool) and declared in ("int", "float"):
        return False
    return declared not in TYPES or isinstance(value, TYPES[declared])


def _is_number(value: Any) -> bool:
    return is_of_type(value, "float") and math.isfinite(value)


def check_values(values: Mapping[str, Any]) -> None:
    """Refuses numbers and words that cannot work.

    Args:
        values: Values by name, such as the ``globals()`` of a notebook; names that are no parameters are passed by.

    Raises:
        CourseError: Naming the parameter, its value and what it may be.
    """
    for name, value in values.items():
        if name in AT_LEAST:
            allowed = is_of_type(value, "int") and value >= AT_LEAST[name]
            wanted = f"a whole number, {AT_LEAST[name]} or more"
        elif name in ABOVE_ZERO:
            allowed, wanted = (
                is_of_type(value, "float") and 0 < value < math.inf,
                "a number above zero, such as 1.0e-4",
            )
        elif name in ZERO_OR_MORE:
            allowed, wanted = is_of_type(value, "float") and 0 <= value < math.inf, "a number, zero or more"
        elif name in LARGEST_SHARES:
            allowed = _is_number(value) and 0 <= value <= LARGEST_SHARES[name]
            wanted = f"a number from 0 to {LARGEST_SHARES[name]}, such as 0.1"
        elif name in LISTS:
            can_work, wanted = LISTS[name]
            allowed = isinstance(value, list) and (not value or can_work(value))
        elif name == "PROMPT":
            allowed = value in PROMPTS or _is_prompt(value)
            wanted = f"{', '.join(PROMPTS)}, or a text with one {{}} for the name and no other brace: 'a photo of {{}}'"
        elif name in CHOICES:
            allowed, wanted = value in CHOICES[name], f"one of {', '.join(CHOICES[name])}"
        else:
            continue
        if not allowed:
            raise CourseError(f"{name} is {value!r}; it must be {wanted}.")


def few_steps_warning(steps: float, epochs: int) -> str:
    """What to say of a training too short to learn from; empty if it has `FEW_STEPS` steps.

    Args:
        steps: Steps of the optimizer, in all.
        epochs: Passes over the data that they are.
    """
    if not 0 < steps < FEW_STEPS:
        return ""
    enough = math.ceil(FEW_STEPS * epochs / steps)
    return (
        f"Mind: {steps:.0f} steps of the optimizer are too few to learn much; EPOCHS: {enough} would give about "
        f"{FEW_STEPS}."
    )


def _is_prompt(value: Any) -> bool:
    """Whether a text has one place for a name, and no other brace, which would be a place written wrongly."""
    parts = value.split("{}") if isinstance(value, str) else []
    return len(parts) == 2 and not any(brace in part for part in parts for brace in "{}")


def check_places(root: Path, values: Mapping[str, Any]) -> None:
    """Refuses data and a model that are not where the parameters say, as far as a look at the disk can tell.

    Names of published data sets and of models on the Hub are left to those who fetch them.

    Args:
        root: Top of the checkout, where relative paths begin.
        values: DATA_DIR, DATASET and MODEL, as far as they are given.

    Raises:
        CourseError: Naming the parameter and the place.
    """
    for name in ("DATA_DIR", "DATASET", "MODEL"):
        if is_too_long(root / str(values.get(name) or "")):
            raise CourseError(f"{name} is {values[name][:60]!r}..., a longer path than this system takes.")
    data_dir = root / Path(values.get("DATA_DIR") or "data").expanduser()
    if values.get("DATA_DIR") and not data_dir.is_dir():
        raise CourseError(f"DATA_DIR is {values['DATA_DIR']!r}, and there is no folder {data_dir}.")
    dataset = str(values.get("DATASET", ""))
    if _is_path(dataset) and not (root / dataset).exists() and not (data_dir / dataset).exists():
        raise CourseError(
            f"DATASET is {dataset!r}, and there is no {root / dataset}: give the path of a .csv, .json or .jsonl of "
            "captions, or of a folder with a folder for each category."
        )
    folder = root / Path(values.get("MODEL", "")).expanduser()
    if values.get("MODEL") and (blocked := file_in_the_way(folder)):
        raise CourseError(
            f"MODEL is {values['MODEL']!r}, and {blocked} is a file: give the folder with config.json and weights."
        )
    if values.get("MODEL") and folder.is_dir() and _model_type(folder) != "clip":
        raise CourseError(
            f"MODEL is {values['MODEL']!r}, and {folder} holds no CLIP: its config.json must be there and say "
            '"model_type": "clip", as transformers\' CLIPModel.save_pretrained writes it.'
        )


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or Path(name).suffix.lower() in (".csv", ".tsv", ".json", ".jsonl")


def _model_type(folder: Path) -> str | None:
    try:
        return json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
