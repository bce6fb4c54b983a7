"""Results: which folder may receive them, what of it is the course's own, and what of that later notebooks read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.course.places import course_notebooks
from utils.course.stamps import is_executed_copy, read_metadata
from utils.files import digest_of_file, digest_of_folder, file_in_the_way, is_too_long, write_whole

METRICS, PARAMETERS, SUMMARY = "metrics.json", "parameters.json", "summary.md"
MADE_BY = "the CLIP course"  # in parameters.json: the folder is one of ours
# What notebooks leave that others and the page read.
PASSED_ON = ("backtranslated.jsonl", "finetuned/model", "evaluation", "index", "presence.json", "scene.jpg")
# All that notebooks and runs leave, as patterns.
LEFT_BY_NOTEBOOKS = (
    *("translations.sqlite*", "backtranslated.jsonl", "compared", "finetuned", "finetuned-short-*"),
    *("evaluation", "index", "presence.json", "scene.jpg", "scene.json", "scene.tif", "found.geojson"),
    *("beyond", "icons_*", ".icons_*"),
)
LEFT_BY_RUNS = (METRICS, PARAMETERS, SUMMARY, ".*.partial", ".*.running.ipynb")
# Of the checkout and of a system, what is no place for results.
OF_THE_COURSE = ("nbs", "utils", "data", "tests", "findings")
OF_RUNS = ("data", "compiled", "reports")
OF_THE_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr", "System", "Windows")
OF_EVERYBODY = ("home", "media", "mnt", "opt", "srv", "tmp", "Users", "var")  # themselves, not what is in them


def check_results_folder(root: Path, folder: Path) -> None:
    """Refuses a folder where results would lie among other things, or in their place.

    Args:
        root: Top of the checkout.
        folder: Where results are to go; it need not be there.

    Raises:
        CourseError: Saying what it holds, and what to name instead.
    """
    place, top, runs = folder.resolve(), root.resolve(), (root / "runs").resolve()
    reason = ""
    if is_too_long(place):
        raise CourseError(
            f"Results would go to {str(folder)[:60]}..., a longer path than this system takes; shorten OUTPUT_DIR."
        )
    if blocked := file_in_the_way(place):
        reason = "is a file" if blocked == place else f"lies in no folder, for {blocked} is a file"
    elif place == top or place in top.parents or place == Path.home():
        reason = "holds more than results"
    elif place.is_relative_to(top) and _is_of_the_course(place.relative_to(top).parts[0]):
        reason = "is a part of the course itself"
    elif place == runs or any(place.is_relative_to(runs / name) for name in OF_RUNS):
        reason = "holds what all runs share"
    elif place.parts[1] in OF_THE_SYSTEM or (len(place.parts) == 2 and place.parts[1] in OF_EVERYBODY):
        reason = "belongs to the system"
    elif foreign := _foreign_notebooks(root, place):
        reason = f"holds notebooks that no run of the course has left, {foreign[0].name} the first"
    elif not (place.is_relative_to(runs) or is_of_a_run(root, place)) and (there := _results_in(place)):
        reason = f"holds {there[0].name}, which no run of the course has left and which results would replace"
    if reason:
        raise CourseError(
            f"OUTPUT_DIR is {folder}, which {reason}; name a folder for results alone, such as runs/mine."
        )


def _is_of_the_course(name: str) -> bool:
    return name in OF_THE_COURSE or name.startswith(".")


def _foreign_notebooks(root: Path, folder: Path) -> list[Path]:
    """Notebooks in a folder that are no executed copies; one that a full disk cut short is known by its name."""
    ours = {path.name for path in course_notebooks(root)}
    in_runs = folder.is_relative_to((root / "runs").resolve())
    return [
        path
        for path in sorted(folder.glob("[!.]*.ipynb"))
        if not is_executed_copy(path) and not (in_runs and path.name in ours and not read_metadata(path))
    ]


def is_of_a_run(root: Path, folder: Path) -> bool:
    """Whether a run of the course has left its stamp in a folder."""
    noted = read_json(folder / PARAMETERS).get("made_by") == MADE_BY
    return noted or any(is_executed_copy(folder / path.name) for path in course_notebooks(root))


def claim_folder(folder: Path) -> None:
    """Makes a folder for results, and puts the stamp of the course into it."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = read_json(folder / PARAMETERS)
    if noted.get("made_by") != MADE_BY:
        write_whole(folder / PARAMETERS, json.dumps({"made_by": MADE_BY, **noted}, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What an earlier run has noted; empty if nothing can be read."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def _results_in(folder: Path) -> list[Path]:
    """What of a folder has a name of results, sorted; executed notebooks are looked at elsewhere."""
    patterns = (*LEFT_BY_NOTEBOOKS, *LEFT_BY_RUNS)
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def check_deletable(root: Path, folder: Path) -> None:
    """Refuses to delete results where no run of the course has left any.

    Args:
        root: Top of the checkout.
        folder: As `check_results_folder` has allowed it.

    Raises:
        CourseError: If it is not below runs/ and no run has left its stamp there.
    """
    if not (folder.resolve().is_relative_to((root / "runs").resolve()) or is_of_a_run(root, folder)):
        raise CourseError(
            f"FRESH=1 deletes what runs of the course have left, and none has left its stamp in {folder}; leave "
            "FRESH out, or name another OUTPUT_DIR."
        )


def delete_results(root: Path, folder: Path) -> list[str]:
    """Deletes what runs of the course have left in a folder, and nothing else; gives the names of what is gone.

    Args:
        root: Top of the checkout.
        folder: As `check_deletable` has allowed it.

    Raises:
        OSError: If something cannot be deleted.
    """
    copies = [folder / path.name for path in course_notebooks(root)]
    left = [*_results_in(folder), *copies, *(copy.with_suffix(".html") for copy in copies)]
    left = [path for path in left if path.exists()]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return [path.name for path in left]


class ResultDigests:
    """Digests of what notebooks have left in a folder; a file is read again only when it was written again.

    Args:
        folder: The folder for results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple, str]] = {}

    def of(self, names: Iterable[str] = PASSED_ON) -> dict[str, str]:
        """Digests of those that are there, by name."""
        found = {}
        for name in names:
            if state := self.state(name):
                if self._known.get(name, ((), ""))[0] != state:
                    path = self._folder / name
                    digest = digest_of_folder(path) if path.is_dir() else digest_of_file(path)
                    self._known[name] = (state, digest)
                found[name] = self._known[name][1]
        return found

    def state(self, name: str) -> tuple:
        """When and how large each file of a result was written; empty where there is none."""
        path = self._folder / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return tuple(
            (file.name, status.st_size, status.st_mtime_ns)
            for file in files
            if file.is_file() and (status := file.stat())
        )

    def hold(self, left: Mapping[str, str]) -> bool:
        """Whether results are still what a notebook has left."""
        return self.of(left) == dict(left)
