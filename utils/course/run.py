"""A run of the course: every notebook with one profile's parameters, results in one folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.course.execution import Outcome, run_in_order
from utils.course.parameters import (
    load_profile,
    notebook_parameters,
    profile_name,
    resolve_parameters,
)
from utils.course.places import course_notebooks
from utils.course.reports import write_reports
from utils.course.values import check_places, check_values


@dataclass(frozen=True)
class Plan:
    """What a run will do, checked before anything starts.

    Attributes:
        profile: Name of the profile.
        output_dir: Receives executed notebooks, pages and reports beside what the notebooks leave.
        parameters: What each notebook is given, by its stem.
    """

    profile: str
    output_dir: Path
    parameters: dict[str, dict[str, Any]]


def plan_course(root: Path, profile: str, overrides: dict[str, Any]) -> Plan:
    """Decides parameters and folder of a run, and refuses what cannot work.

    Args:
        root: Top of the checkout.
        profile: Name of a profile, or the path of one.
        overrides: Parameters that replace the profile's.

    Raises:
        CourseError: If profile or parameters cannot work.
    """
    name, notebooks, sections = profile_name(profile), course_notebooks(root), load_profile(root, profile)
    resolve_parameters(notebooks, sections, overrides)  # refuses names and types before they name a folder
    folder = results_folder(root, name, sections.get("common", {}), overrides)
    if any("OUTPUT_DIR" in notebook_parameters(path) for path in notebooks):
        overrides = {**overrides, "OUTPUT_DIR": folder}
    parameters = resolve_parameters(notebooks, sections, overrides)
    for values in parameters.values():
        check_values(values)
        check_places(root, values)
    return Plan(name, root / folder, parameters)


def results_folder(root: Path, name: str, common: Mapping[str, Any], overrides: Mapping[str, Any]) -> str:
    """Where a run leaves everything: data or a model that are not the profile's get a folder of their own.

    Args:
        root: Top of the checkout.
        name: Of the profile.
        common: What the profile gives to all notebooks.
        overrides: Parameters from the command line; its OUTPUT_DIR is taken as it is.

    Returns:
        A path from the top of the checkout, or an absolute one.
    """
    if "OUTPUT_DIR" in overrides:
        return overrides["OUTPUT_DIR"]
    folder = str(common.get("OUTPUT_DIR", f"runs/{name}"))
    for parameter in ("DATASET", "MODEL"):
        ours, theirs = (str(values.get(parameter, "")) for values in (overrides, common))
        if ours and root / ours != root / theirs:
            folder += f"-{_short_name(ours)}"
    return folder


def _short_name(place: str) -> str:
    """What a data set or a model is called in the name of a folder: pictures/captions.csv is 'pictures'."""
    path = Path(place)
    name = path.parent.name or path.stem if path.suffix else path.name
    return re.sub(r"[^\w.-]+", "-", name)


def run_course(
    root: Path, profile: str, overrides: dict[str, Any], only: str = "", fresh: bool = False
) -> list[Outcome]:
    """Runs the notebooks one after another and writes what they gave.

    Args:
        root: Top of the checkout.
        profile: Name of a profile, or the path of one.
        overrides: Parameters that replace the profile's.
        only: Run only notebooks whose name begins so ('04').
        fresh: Delete what earlier runs have left in the folder, trained models included, and begin anew.

    Returns:
        One outcome a notebook; the first failure is the last.

    Raises:
        CourseError: If profile, parameters or selection cannot work; nothing has run then.
    """
    plan = plan_course(root, profile, overrides)
    notebooks = course_notebooks(root)
    chosen = [path for path in notebooks if path.name.startswith(only)]
    if not chosen:
        raise CourseError(
            f"No notebook begins with {only!r}; there are {', '.join(p.stem for p in notebooks)}."
        )
    if fresh and only:
        raise CourseError(
            "FRESH=1 begins the whole run anew and NB= runs one notebook of it; give one of them."
        )
    if fresh:
        _delete(root, plan.output_dir)
    outcomes = run_in_order(root, chosen, plan.parameters, plan.output_dir, keep=not only)
    write_reports(plan.output_dir, plan.profile, outcomes, plan.parameters)
    return outcomes


def _delete(root: Path, folder: Path) -> None:
    """Deletes what a run has left, and nothing that other runs or people have.

    Raises:
        CourseError: If the folder is not below runs/.
    """
    if (root / "runs").resolve() not in folder.resolve().parents:
        raise CourseError(
            f"FRESH=1 deletes folders below {root / 'runs'} only; delete {folder} by hand to begin anew."
        )
    shutil.rmtree(folder, ignore_errors=True)
