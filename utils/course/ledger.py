"""The ledger of a run: which executed notebooks are current, and what each has left for those after it.

An executed copy notes both in its metadata: a stamp over all that it was made from, and digests of what it has left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from utils.course.imports import used_modules
from utils.course.inputs import input_marks, mark_of
from utils.course.places import read_json
from utils.files import digest_of_file, digest_of_folder

STAMP = "course_stamp"  # in the metadata of a notebook that ran to its end
LEFT = "course_results"  # what it left in the folder for results, with a digest each
SOURCE = "course_source"  # in the metadata of every executed copy: the notebook that it is of
# What notebooks leave that others and the page read.
PASSED_ON = ("backtranslated.jsonl", "finetuned/model", "evaluation", "index", "presence.json", "scene.jpg")


class Ledger:
    """Goes through notebooks in their order, and knows at each what it reads and what was left before it.

    ``output_dir`` holds the executed copies and what notebooks leave; parameters are what each is given, by its stem.
    """

    def __init__(self, root: Path, output_dir: Path, parameters: Mapping[str, dict[str, Any]]) -> None:
        self.output_dir = output_dir
        self._root, self._parameters = root, parameters
        self._left: dict[str, str] = {}
        self._mark = cache(mark_of)  # each input is looked at once in a run
        self._digest = cache(_digest)  # a file is read again only when it was written again

    def stamp(self, path: Path) -> str:
        """Over all that a notebook depends on if it runs now, behind those passed so far.

        That is its source, the modules that it stands on, its parameters, and marks over what it reads.
        """
        import nbformat

        given = self._parameters[path.stem]
        inputs = input_marks(self._root, path, given, self._mark) | self._left
        digest = hashlib.sha256(json.dumps([given, inputs], sort_keys=True).encode())
        cells = nbformat.read(path, as_version=4).cells
        for cell in cells:
            digest.update(cell.source.encode())
        for module in used_modules(self._root, (cell.source for cell in cells if cell.cell_type == "code")):
            digest.update(module.read_bytes())
        return digest.hexdigest()[:16]

    def is_current(self, path: Path) -> bool:
        """Whether the executed copy is what a run would give now, and all that it has left is there."""
        output = self.output_dir / path.name
        left = results_left(output)
        return finished_stamp(output) == self.stamp(path) and self._digests_of(left) == left

    def pass_on(self, path: Path) -> None:
        """Notes what a notebook has left, for the stamps of those after it."""
        self._left |= results_left(self.output_dir / path.name)

    def outdated(self, notebooks: Iterable[Path]) -> list[str]:
        """Stems of those notebooks, all of them in their order, whose copy is not current or not there."""
        outdated = []
        for path in notebooks:
            if not self.is_current(path):
                outdated.append(path.stem)
            self.pass_on(path)
        return outdated

    def states(self) -> dict[str, tuple]:
        """When and how large each file of each result was written; empty where there is none."""
        return {name: self._state(name) for name in PASSED_ON}

    def left_since(self, before: Mapping[str, tuple], output: Path) -> dict[str, str]:
        """Digests of the results written since ``before``, the earlier `states`.

        Those that an earlier run of the same notebook, whose executed copy is ``output``, had left count too.
        """
        earlier, now = results_left(output), self.states()
        return self._digests_of(name for name in PASSED_ON if name in earlier or now[name] != before[name])

    def _state(self, name: str) -> tuple:
        path = self.output_dir / name
        files = [file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
        return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)

    def _digests_of(self, names: Iterable[str]) -> dict[str, str]:
        """Digests of those results that are there."""
        states = {name: self._state(name) for name in names}
        return {name: self._digest(self.output_dir / name, state) for name, state in states.items() if state}


def _digest(path: Path, state: tuple) -> str:
    """The digest of a file or a folder in a state."""
    return digest_of_folder(path) if path.is_dir() else digest_of_file(path)


def finished_stamp(output: Path) -> str | None:
    """The stamp of an executed notebook; None if it or its page is not there, is damaged, or did not finish."""
    return read_metadata(output).get(STAMP) if output.with_suffix(".html").is_file() else None


def results_left(output: Path) -> dict[str, str]:
    """What an executed notebook has left in the folder for results, with digests; empty if nothing is known."""
    return dict(read_metadata(output).get(LEFT, {}))


def is_executed_copy(path: Path) -> bool:
    """Whether a notebook was written by a run of the course, finished or not."""
    metadata = read_metadata(path)
    source = Path(str(metadata.get("papermill", {}).get("input_path", "")))
    # Copies from before copies were marked are known by what papermill notes of their source.
    return bool({SOURCE, STAMP} & metadata.keys()) or source.parts[-2:] == ("nbs", path.name)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a notebook; empty if none can be read."""
    metadata = read_json(path).get("metadata")
    return metadata if isinstance(metadata, dict) else {}
