"""Results: which folder may receive them, and what in it is the course's own and may be deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from utils.course.ledger import is_executed_copy, read_metadata
from utils.course.places import CourseError, course_notebooks
from utils.files import file_in_the_way, read_json, write_whole

METRICS, PARAMETERS, SUMMARY = "metrics.json", "parameters.json", "summary.md"
MADE_BY = "the CLIP course"  # in parameters.json: the folder is one of ours
# All that notebooks and runs leave, as patterns.
RESULTS = (
    *("translations.sqlite*", "backtranslated.jsonl", "captioner", "compared", "finetuned", "finetuned-short-*"),
    *("evaluation", "index", "presence.json", "scene.jpg", "scene.json", "scene.tif", "found.geojson"),
    *("beyond", "icons_*", ".icons_*", "archive"),
    *(METRICS, PARAMETERS, SUMMARY, ".*.partial", ".*.running.ipynb"),
)
# Of the checkout, what is no place for results.
OF_THE_COURSE = ("nbs", "utils", "data", "tests", "findings")
OF_RUNS = ("data", "compiled", "reports")


def check_results_folder(root: Path, folder: Path) -> None:
    """Refuses a folder, there or not, where results would lie among other things or in their place: a `CourseError`."""
    place, top, runs = folder.resolve(), root.resolve(), (root / "runs").resolve()
    of_the_checkout = place.relative_to(top).parts[0] if top in place.parents else ""
    if blocked := file_in_the_way(place):
        reason = "is a file" if blocked == place else f"lies in no folder, for {blocked} is a file"
    elif place == top or place in top.parents or place == Path.home():
        reason = "holds more than results"
    elif of_the_checkout in OF_THE_COURSE or of_the_checkout.startswith("."):
        reason = "is a part of the course itself"
    elif place == runs or any(place.is_relative_to(runs / name) for name in OF_RUNS):
        reason = "holds what all runs share"
    elif foreign := _foreign_notebooks(root, place):
        reason = f"holds notebooks that no run of the course has left, {foreign[0].name} the first"
    elif not is_of_a_run(root, place) and (there := results_in(place)):
        reason = f"holds {there[0].name}, which no run of the course has left and which results would replace"
    else:
        return
    raise CourseError(f"OUTPUT_DIR is {folder}, which {reason}; name a folder for results alone, such as runs/mine.")


def _foreign_notebooks(root: Path, folder: Path) -> list[Path]:
    """Notebooks in a folder that are no executed copies; one that a full disk cut short is known by its name."""
    ours = {path.name for path in course_notebooks(root)} if is_of_a_run(root, folder) else set()
    return [
        path
        for path in sorted(folder.glob("[!.]*.ipynb"))
        if not is_executed_copy(path) and not (path.name in ours and not read_metadata(path))
    ]


def _is_below_runs(root: Path, folder: Path) -> bool:
    return folder.resolve().is_relative_to((root / "runs").resolve())


def is_of_a_run(root: Path, folder: Path) -> bool:
    """Whether a folder lies below runs/, or a run of the course has left its stamp in it."""
    noted = read_json(folder / PARAMETERS).get("made_by") == MADE_BY
    copies = (folder / path.name for path in course_notebooks(root))
    return _is_below_runs(root, folder) or noted or any(map(is_executed_copy, copies))


def claim_folder(folder: Path) -> None:
    """Makes a folder for results, and puts the stamp of the course into it."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = read_json(folder / PARAMETERS)
    if noted.get("made_by") != MADE_BY:
        write_whole(folder / PARAMETERS, json.dumps({"made_by": MADE_BY, **noted}, indent=2) + "\n")


def results_in(folder: Path) -> list[Path]:
    """What in a folder has a name of results, sorted; executed notebooks are not looked at."""
    return sorted({path for pattern in RESULTS for path in folder.glob(pattern)})


def delete_results(root: Path, folder: Path) -> list[str]:
    """Deletes what runs of the course have left in a folder, and nothing else; returns the names of what is gone."""
    copies = [folder / path.name for path in course_notebooks(root)]
    left = [*results_in(folder), *copies, *(copy.with_suffix(".html") for copy in copies)]
    left = [path for path in left if path.exists()]
    for path in left:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return [path.name for path in left]
