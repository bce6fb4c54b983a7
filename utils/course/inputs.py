"""Inputs: marks over the data, models and files that a notebook's parameters name.

What a notebook has given is out of date as soon as one of them has changed, though its parameters are the same.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.course.parameters import declared_values
from utils.files import digest_of_file, digest_of_folder, find_checkpoint

DATA = ("DATASET", "OTHER_DATASET")
CHECKPOINTS = ("MODEL", "TO_ROMANCE", "TO_ENGLISH")
FILES = ("CAPTIONS_FILE", "SCENE")


def input_marks(root: Path, notebook: Path, parameters: Mapping[str, Any], mark: Callable[..., str]) -> dict[str, str]:
    """Marks over all that a notebook reads from outside the folder for results, by parameter.

    Where it is given no parameter, its default holds. Data and models that are not on this machine yet are fetched,
    as the notebook would fetch them. Relative paths begin at ``root``, the top of the checkout; ``mark`` is `mark_of`,
    or remembers what that gave.
    """
    values = {name: value for name, value in (declared_values(notebook) | dict(parameters)).items() if value}
    data_dir = root / Path(values["DATA_DIR"]).expanduser() if "DATA_DIR" in values else None
    marks = {}
    for name in values.keys() & {*DATA, *CHECKPOINTS, *FILES}:
        value, place = values[name], root / Path(values[name]).expanduser()
        if name in CHECKPOINTS:
            marks[name] = mark(_mark_of_checkpoint, str(place) if place.exists() else value)
        elif name in DATA:
            is_path = place.exists() and not (data_dir and (data_dir / value).exists())
            marks[name] = mark(_mark_of_data, str(place) if is_path else value, data_dir)
        elif "/" in value:  # a bare name lies in the folder for results
            marks[name] = mark(digest_of_file, place)
    return marks


def mark_of(content: Callable[..., str], *what: Any) -> str:
    """The mark of a content; empty over what cannot be had: the notebook says so in its own words."""
    try:
        return content(*what)
    except (OSError, ValueError):
        return ""


def _mark_of_data(name: str, data_dir: Path | None) -> str:
    """Over names, captions, splits and categories, and over the size and time of change of each image."""
    from utils.datasets import load_dataset

    digest = hashlib.sha256()
    with warnings.catch_warnings(action="ignore"):  # the notebooks name what is missing
        dataset = load_dataset(name, data_dir)
    for item in dataset:
        status = item.path.stat() if item.path.is_file() else None
        state = status and (status.st_size, status.st_mtime_ns)
        digest.update(repr((item.path.name, state, item.captions, item.split, item.category)).encode())
    return digest.hexdigest()


def _mark_of_checkpoint(name: str) -> str:
    """Over the content of a folder's files; for a name on the Hub the revision that is here."""
    folder = find_checkpoint(name)
    return folder.name if folder.parent.name == "snapshots" else digest_of_folder(folder)
