"""A run of the course: every notebook with one profile's parameters, results in one folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.course.execution import Outcome, run_in_order
from utils.course.ledger import Ledger
from utils.course.parameters import find_profile, load_profile, notebook_parameters, resolve_parameters
from utils.course.places import course_notebooks
from utils.course.reports import write_reports
from utils.course.results import check_results_folder, claim_folder, delete_results, is_of_a_run
from utils.course.values import check_places, check_values
from utils.files import FolderInUseError, disk_trouble_in_words, sole_owner


@dataclass(frozen=True)
class Plan:
    """What a run will do, checked before anything starts: parameters are what each notebook is given, by its stem."""

    profile: str
    output_dir: Path
    parameters: dict[str, dict[str, Any]]


def plan_course(root: Path, profile: str, overrides: dict[str, Any]) -> Plan:
    """Decides parameters and folder of a run; overrides replace the profile's parameters.

    Raises:
        CourseError: If profile or parameters cannot work.
    """
    name, notebooks = find_profile(root, profile).stem, course_notebooks(root)
    sections = load_profile(root, profile)
    resolve_parameters(notebooks, sections, overrides)  # refuses names and types before they name a folder
    folder = results_folder(root, name, sections.get("common", {}), overrides)
    check_results_folder(root, root / folder)
    if any("OUTPUT_DIR" in notebook_parameters(path) for path in notebooks):
        overrides = {**overrides, "OUTPUT_DIR": folder}
    parameters = resolve_parameters(notebooks, sections, overrides)
    for values in parameters.values():
        check_values(values)
        check_places(root, values)
    return Plan(name, root / folder, parameters)


def results_folder(root: Path, name: str, common: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """Where a run of the profile ``name`` leaves everything: a path from the top of the checkout, or an absolute one.

    Data or a model from the command line (``overrides``) that are not the profile's (``common``) get a folder of their
    own; an OUTPUT_DIR from there is taken as it is, ``~`` the home folder.
    """
    if "OUTPUT_DIR" in overrides:
        return str(Path(overrides["OUTPUT_DIR"]).expanduser())
    folder = str(Path(common.get("OUTPUT_DIR", f"runs/{name}")).expanduser())
    for parameter in ("DATASET", "MODEL"):
        ours, theirs = (str(values.get(parameter, "")) for values in (overrides, common))
        if ours and root / ours != root / theirs:
            path = Path(ours)  # pictures/captions.csv is called pictures
            short = (path.parent.name or path.stem) if path.suffix else path.name
            folder += "-" + re.sub(r"[^\w.-]+", "-", short)
    return folder


def run_course(
    root: Path, profile: str, overrides: dict[str, Any], only: str = "", fresh: bool = False
) -> list[Outcome]:
    """Runs the notebooks one after another, and writes what they gave.

    Args:
        root: Top of the checkout.
        profile: Name of a profile, or the path of one.
        overrides: Parameters that replace the profile's.
        only: Run only notebooks whose name begins so ('04').
        fresh: Delete what earlier runs have left in the folder, trained models included, and begin again.

    Returns:
        One outcome a notebook; the first failure is the last.

    Raises:
        CourseError: If profile, parameters, folder or selection cannot work, or another run is at work in the
            folder; nothing has run then.
        OSError: If the disk takes no more; what was written before is whole.
    """
    plan = plan_course(root, profile, overrides)
    notebooks, folder = course_notebooks(root), plan.output_dir
    if not any(path.name.startswith(only) for path in notebooks):
        raise CourseError(f"No notebook begins with {only!r}; there are {', '.join(p.stem for p in notebooks)}.")
    if fresh and only:
        raise CourseError("FRESH=1 begins the whole run again and NB= runs one notebook of it; give one of them.")
    if fresh and not is_of_a_run(root, folder):
        raise CourseError(
            f"FRESH=1 deletes what runs of the course have left, and none has left its stamp in {folder}; leave "
            "FRESH out, or name another OUTPUT_DIR."
        )
    try:
        with disk_trouble_in_words(folder), sole_owner(folder, "running the course"):
            if fresh and (gone := delete_results(root, folder)):
                print(f"Deleted, to begin again, from {folder}: {', '.join(gone)}.", flush=True)
            claim_folder(folder)
            outcomes = run_in_order(root, notebooks, plan.parameters, folder, only)
            ran = {outcome.stem for outcome in outcomes}
            copies = {path.stem for path in folder.glob("*.ipynb")} - ran
            outdated = [stem for stem in Ledger(root, folder, plan.parameters).outdated(notebooks) if stem in copies]
            write_reports(folder, plan.profile, outcomes, plan.parameters, outdated)
    except FolderInUseError as error:
        raise CourseError(str(error)) from None
    return outcomes
