"""A run of the course: every notebook with one profile's parameters, results in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError
from utils.course.execution import Outcome, run_in_order
from utils.course.parameters import load_profile, resolve_parameters
from utils.course.places import course_notebooks
from utils.course.reports import write_reports


def run_course(
    root: Path, profile: str, overrides: dict[str, Any], only: str = "", fresh: bool = False
) -> list[Outcome]:
    """Runs the notebooks one after another and writes what they gave.

    Args:
        root: Top of the checkout.
        profile: Name of a profile.
        overrides: Parameters that replace the profile's.
        only: Run only notebooks whose name begins so ('04').
        fresh: Delete what earlier runs of the profile have left, trained models included, and begin anew.

    Returns:
        One outcome a notebook; the first failure is the last.

    Raises:
        CourseError: If profile, parameters or selection cannot work; nothing has run then.
    """
    notebooks = course_notebooks(root)
    parameters = resolve_parameters(notebooks, load_profile(root, profile), overrides)
    chosen = [path for path in notebooks if path.name.startswith(only)]
    if not chosen:
        raise CourseError(
            f"No notebook begins with {only!r}; there are {', '.join(p.stem for p in notebooks)}."
        )
    output_dir = root / "runs" / profile
    if fresh and only:
        raise CourseError(
            "FRESH=1 begins the whole run anew and NB= runs one notebook of it; give one of them."
        )
    if fresh:
        shutil.rmtree(output_dir, ignore_errors=True)
    outcomes = run_in_order(root, chosen, parameters, output_dir, keep=not only)
    write_reports(output_dir, profile, outcomes)
    return outcomes
