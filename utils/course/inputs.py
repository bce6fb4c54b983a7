"""Inputs: marks over the data, models and files that a notebook's parameters name.

What a notebook has given is out of date as soon as one of them has changed, though its parameters are the same.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.course.parameters import declared_values
from utils.files import digest_of_file, digest_of_folder, find_checkpoint

DATA = ("DATASET", "OTHER_DATASET")
CHECKPOINTS = ("MODEL", "TO_ROMANCE", "TO_ENGLISH")
FILES = ("CAPTIONS_FILE", "SCENE")


@dataclass
class InputMarks:
    """Marks over inputs, each made once in a run of the course.

    Attributes:
        root: Top of the checkout, where relative paths begin.
        known: The marks made so far.
    """

    root: Path
    known: dict[tuple, str] = field(default_factory=dict)

    def of(self, notebook: Path, parameters: Mapping[str, Any]) -> dict[str, str]:
        """Marks over all that a notebook reads from outside the folder for results, by its parameters.

        Data and models that are not on this machine yet are fetched, as the notebook would fetch them. What
        cannot be had has an empty mark: the notebook says so in its own words.

        Args:
            notebook: Its file; the defaults of its parameters hold where nothing else is given.
            parameters: What it is given.
        """
        values = {**declared_values(notebook), **parameters}
        data_dir = self._place(values["DATA_DIR"]) if values.get("DATA_DIR") else None
        marks = {}
        for name in DATA:
            if values.get(name):
                marks[name] = self._once(_mark_of_data, self._named(values[name], data_dir), data_dir)
        for name in CHECKPOINTS:
            if values.get(name):
                marks[name] = self._once(_mark_of_checkpoint, self._named(values[name]))
        for name in FILES:
            if "/" in str(values.get(name, "")):  # a bare name lies in the folder for results
                marks[name] = self._once(_mark_of_file, self._place(values[name]))
        return marks

    def _place(self, path: str) -> Path:
        return self.root / Path(path).expanduser()

    def _named(self, name: str, data_dir: Path | None = None) -> str:
        """A path from the top of the checkout where there is one, else the name of something published."""
        place = self._place(name)
        is_path = place.exists() and not (data_dir and (data_dir / name).exists())
        return str(place) if is_path else name

    def _once(self, mark_of: Callable[..., str], *what: Any) -> str:
        key = (mark_of.__name__, *what)
        if key not in self.known:
            try:
                self.known[key] = mark_of(*what)
            except (OSError, ValueError):  # what the notebook will say, too
                self.known[key] = ""
        return self.known[key]


def _mark_of_data(name: str, data_dir: Path | None) -> str:
    """Over names, captions, splits and categories, and over the size and time of change of each picture."""
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


def _mark_of_file(path: Path) -> str:
    return digest_of_file(path) if path.is_file() else ""
