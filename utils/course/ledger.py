"""The ledger of a run: which executed notebooks are current, and what each has left for those after it.

An executed copy notes both in its metadata: a stamp over all that it was made from, the data, models and files that
its parameters name included, and digests of what it has left.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from utils.course.imports import used_modules
from utils.course.parameters import declared_values
from utils.course.places import is_bare
from utils.course.schedule import BESIDE, waits_for
from utils.files import digest_of_file, digest_of_folder, expanded, find_checkpoint, from_home, read_json
from utils.files.hub import checkpoint_source

STAMP = "course_stamp"  # in the metadata of a notebook that ran to its end
LEFT = "course_results"  # what it left in the folder for results, with a digest each
SOURCE = "course_source"  # in the metadata of every executed copy: the notebook that it is of
# What notebooks leave that others and the page read.
PASSED_ON = ("backtranslated.jsonl", "finetuned/model", "evaluation", "index", "presence.json", "scene.jpg")
# Parameters that name what is read from outside the folder for results.
DATA = ("DATASET", "OTHER_DATASET")
CHECKPOINTS = ("MODEL", "TO_ROMANCE", "TO_ENGLISH")
FILES = ("CAPTIONS_FILE", "SCENE")


class Ledger:
    """Knows of each notebook what it reads, what those that it waits for have left, and what it leaves itself.

    ``output_dir`` holds the executed copies and what notebooks leave; parameters are what each is given, by its stem.
    """

    def __init__(self, root: Path, output_dir: Path, parameters: Mapping[str, dict[str, Any]]) -> None:
        self.output_dir = output_dir
        self._root, self._parameters = root, parameters
        self._mark = cache(_mark)  # each input is looked at once in a run
        # By path and state, so that a file is read again only when it was written again.
        self._digest = cache(lambda path, _: digest_of_folder(path) if path.is_dir() else digest_of_file(path))

    def stamp(self, path: Path) -> str:
        """Over all that a notebook depends on if it runs now, behind those that it waits for.

        That is its source, the modules that it stands on, its parameters, and marks over what it reads.
        """
        import nbformat

        inputs = self._input_marks(path)
        for stem in waits_for(path.stem, self._parameters):
            inputs |= results_left(self.output_dir / f"{stem}.ipynb")
        digest = hashlib.sha256(json.dumps([self._parameters[path.stem], inputs], sort_keys=True).encode())
        cells = nbformat.read(path, as_version=4).cells
        for cell in cells:
            digest.update(cell.source.encode())
        for module in used_modules(self._root, (cell.source for cell in cells if cell.cell_type == "code")):
            digest.update(module.read_bytes())
        return digest.hexdigest()[:16]

    def _input_marks(self, path: Path) -> dict[str, str]:
        """Marks over what a notebook's parameters, or their defaults, name outside the folder for results, by name.

        Data and models that are not on this machine yet are fetched, as the notebook would fetch them.
        """
        values = {name: of for name, of in (declared_values(path) | self._parameters[path.stem]).items() if of}
        data_dir = self._root / from_home(values["DATA_DIR"]) if "DATA_DIR" in values else None
        marks = {}
        for name in values.keys() & {*DATA, *CHECKPOINTS, *FILES}:
            value, place = values[name], self._root / from_home(values[name])
            if name in CHECKPOINTS:
                marks[name] = self._mark(_mark_of_checkpoint, str(place) if place.exists() else value)
            elif name in DATA:
                is_path = _exists(place) and not (data_dir and _exists(data_dir / value))
                marks[name] = self._mark(_mark_of_data, str(place) if is_path else value, data_dir)
            elif not is_bare(value):  # a bare name lies in the folder for results
                marks[name] = self._mark(digest_of_file, place)
        return marks

    def is_current(self, path: Path) -> bool:
        """Whether the executed copy is what a run would give now, and all that it has left is there."""
        output = self.output_dir / path.name
        left = results_left(output)
        return finished_stamp(output) == self.stamp(path) and self._digests_of(left) == left

    def outdated(self, notebooks: Iterable[Path]) -> list[str]:
        """Stems of those notebooks whose copy is there and is not current."""
        there = (path for path in notebooks if (self.output_dir / path.name).is_file())
        return [path.stem for path in there if not self.is_current(path)]

    def states(self) -> dict[str, tuple]:
        """When and how large each file of each result was written; empty where there is none."""
        return {name: self._state(name) for name in PASSED_ON}

    def left_since(self, before: Mapping[str, tuple], path: Path) -> dict[str, str]:
        """Digests of the results that a notebook has left: those written since ``before``, the earlier `states`.

        Those that an earlier run of it had left count too; what others leave beside it does not.
        """
        earlier, now = results_left(self.output_dir / path.name), self.states()
        own = BESIDE[path.stem].leaves if path.stem in BESIDE else PASSED_ON
        return self._digests_of(name for name in own if name in earlier or now[name] != before[name])

    def _state(self, name: str) -> tuple:
        path = self.output_dir / name
        files = [file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
        return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)

    def _digests_of(self, names: Iterable[str]) -> dict[str, str]:
        """Digests of those results that are there."""
        states = {name: self._state(name) for name in names}
        return {name: self._digest(self.output_dir / name, state) for name, state in states.items() if state}


def _mark(content: Callable[..., str], *what: Any) -> str:
    """The mark of a content; empty over what cannot be had: the notebook says so in its own words."""
    try:
        return content(*what)
    except (OSError, ValueError):
        return ""


def _exists(path: Path) -> bool:
    """Whether a path, or a shard of a pattern, is there."""
    return any(Path(one).exists() for one in expanded(str(path)))


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
    """Over the content of files and of what they stand on; for a name on the Hub the revision that is here."""
    place = find_checkpoint(name)
    if "revision" in (source := checkpoint_source(place)):
        return source["revision"]
    if place.is_dir():
        named = str(read_json(place / "adapter_config.json").get("base_model_name_or_path") or "")
        bases = (from_home(named), place / named) if named else ()  # where an adapter's is looked for
        base = next((one for one in bases if one.exists()), None)
        marks = [] if base is None else [digest_of_folder(base) if base.is_dir() else digest_of_file(base)]
        return "".join([digest_of_folder(place), *marks])
    beside = place.with_name("open_clip_config.json")  # which says how its weights are to be read
    return digest_of_file(place) + (digest_of_file(beside) if beside.is_file() else "")


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
