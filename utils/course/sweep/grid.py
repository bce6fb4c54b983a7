"""A grid: rows of your own settings, by name, in one YAML file; ``make sweep GRID=mine.yaml``.

    low-rate:
      LEARNING_RATE: 5.0e-4
    low-rank:
      SETTINGS: {lora_rank: 8}
    untrained:
      EPOCHS: 0

A row is how its run differs, as parameters of the training notebook, from what the profile gives to all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.course import CourseError
from utils.course.parameters import read_sections

BACKTRANSLATED = "backtranslated.jsonl"
CATEGORIES = "categories"  # as CAPTIONS_FILE: captions made of the names of categories
# What the sweep sets itself, and what a table has once for all rows.
ELSEWHERE = {
    "SEED": "set it with SEEDS=",
    "OUTPUT_DIR": "leave it out, the sweep does",
    **dict.fromkeys(
        ("DATASET", "DATA_DIR", "MODEL", "IMAGES_PER_SPLIT"),
        "a table has one for all rows: set it in the profile or with SET=",
    ),
}


def read_grid(path: Path) -> dict[str, dict[str, Any]]:
    """Reads the rows of a grid by name, in their order.

    Raises:
        CourseError: If the file is missing or is not a grid, or a row has a name or parameters that it cannot have.
    """
    if not path.is_file():
        raise CourseError(f"GRID is {str(path)!r}, and there is no such file; give the path of a .yaml of rows.")
    wanted = "a grid: write the name of a row and a colon, and below it lines NAME: value, moved in by two spaces"
    rows = read_sections(path, wanted)
    if not rows:
        raise CourseError(f"{path} is not {wanted}.")
    for name, parameters in rows.items():
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise CourseError(f"{path}: {name!r} cannot be the name of a row; use letters, digits, '-' and '.' alone.")
        _check_row(f"{path}: the row {name}", parameters)
    return rows


def _check_row(where: str, parameters: Mapping[str, Any]) -> None:
    for name in parameters:
        if name in ELSEWHERE:
            raise CourseError(f"{where} sets {name}; {ELSEWHERE[name]}.")
    if not isinstance(settings := parameters.get("SETTINGS", {}), dict):
        raise CourseError(f"{where} has SETTINGS {settings!r}; it must be a mapping, as {{patience: 2}}.")
    if parameters.get("CAPTIONS_FILE") not in (None, "", BACKTRANSLATED, CATEGORIES):
        raise CourseError(
            f"{where} sets CAPTIONS_FILE to {parameters['CAPTIONS_FILE']!r}; a row takes {BACKTRANSLATED}, "
            f"{CATEGORIES} or nothing: name your own file with SET=."
        )
