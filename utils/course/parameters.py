"""Parameters: what a profile and the command line give, and what each notebook declares of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError


def load_profile(root: Path, profile: str) -> dict[str, dict[str, Any]]:
    """Reads nbs/profiles/<profile>.yaml: a section ``common`` and one for each notebook that wants more.

    Raises:
        CourseError: If there is no such profile.
    """
    import yaml

    path = root / "nbs" / "profiles" / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise CourseError(f"There is no profile {profile!r}; choose one of {known}.")
    return yaml.safe_load(path.read_text()) or {}


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The parameters that a notebook declares, by papermill's own reading of its parameters cell."""
    from papermill import inspect_notebook

    return inspect_notebook(str(path))


def resolve_parameters(
    notebooks: Iterable[Path], profile: dict[str, dict[str, Any]], overrides: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Decides what each notebook is given.

    A notebook gets of ``common`` and of the overrides what it declares, and all of its own section.

    Args:
        notebooks: Every notebook of the course, not only those to be run.
        profile: As from `load_profile`.
        overrides: Values from the command line.

    Returns:
        Parameters by notebook stem.

    Raises:
        CourseError: If a name is declared nowhere: papermill alone would only warn, and run with defaults.
    """
    declared = {path.stem: set(notebook_parameters(path)) for path in notebooks}
    everywhere = set().union(*declared.values())
    sections = {name: values or {} for name, values in profile.items()}
    common = sections.pop("common", {})
    unknown = [f"{name} (common)" for name in common if name not in everywhere]
    unknown += [f"{name} (command line)" for name in overrides if name not in everywhere]
    for stem, values in sections.items():
        if stem not in declared:
            raise CourseError(f"The profile has a section {stem!r}, but no notebook has that name.")
        unknown += [f"{name} ({stem})" for name in values if name not in declared[stem]]
    if unknown:
        raise CourseError(f"No notebook has the parameters {', '.join(unknown)}; check their spelling.")
    return {
        stem: {
            name: value
            for name, value in {**common, **sections.get(stem, {}), **overrides}.items()
            if name in names
        }
        for stem, names in declared.items()
    }


def parse_overrides(assignments: Iterable[str], data_dir: str = "", model: str = "") -> dict[str, Any]:
    """Reads the parameters that a command line sets.

    Args:
        assignments: NAME=VALUE each, the value as YAML.
        data_dir: For the parameter DATA_DIR; empty sets none.
        model: For the parameter MODEL; empty sets none.

    Raises:
        CourseError: If an assignment is none.
    """
    import yaml

    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise CourseError(f"{assignment!r} sets nothing; write NAME=VALUE, for example EPOCHS=3.")
        overrides[name] = yaml.safe_load(value)
    # Notebooks run in nbs/, so a folder given relative to here must become absolute.
    if data_dir:
        overrides["DATA_DIR"] = str(Path(data_dir).resolve())
    if model:
        overrides["MODEL"] = str(Path(model).resolve()) if Path(model).is_dir() else model
    return overrides
