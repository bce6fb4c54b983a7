"""Parameters: what a profile and the command line give, and what each notebook declares of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from utils.course.places import CourseError
from utils.course.values import is_of_type
from utils.files import from_home


def load_profile(root: Path, profile: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Reads a profile, by its name or as the path ``mine.yaml``: its name, and its sections.

    They are ``common`` and one for each notebook that wants more. A profile that is not there or cannot be read raises
    a `CourseError`.
    """
    folder = root / "nbs" / "profiles"
    path = from_home(profile) if profile.endswith((".yaml", ".yml")) else folder / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise CourseError(
            f"There is no profile {profile!r}; choose one of {known}, or give the path of your own .yaml file."
        )
    wanted = "a profile: write a section common: with lines NAME: value below it, moved in by two spaces"
    return path.stem, read_sections(path, wanted)


def read_sections(path: Path, wanted: str) -> dict[str, dict[str, Any]]:
    """Reads a YAML file of named sections of parameters; ``wanted`` says what it should be, and how to write it."""
    sections = read_yaml(path)
    if not isinstance(sections, dict) or not all(isinstance(of, dict | None) for of in sections.values()):
        raise CourseError(f"{path} is not {wanted}.")
    return {str(name): values or {} for name, values in sections.items()}


def read_yaml(path: Path) -> Any:
    """Reads a YAML file, empty as a dict; one that cannot be read or gives a name twice raises a `CourseError`."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CourseError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}; mend it.") from error


_DECIMAL = r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_NUMBERS = {"int": r"[-+]?(0|[1-9][0-9]*)", "float": rf"{_DECIMAL}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"}


class _Loader(yaml.SafeLoader):
    """Refuses a name that stands twice in one mapping, and takes for numbers what people do.

    As in YAML 1.2, 1e-4 is one. PyYAML's YAML 1.1 makes it a text, and of names other values: 2024_11 is 202411 there,
    0010 is 8, 1:30 is 90, and 2024-11-30 a date.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        keys = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        names = [self.construct_object(key, deep=True) for key in keys]
        if twice := [name for number, name in enumerate(names) if name in names[:number]]:
            raise yaml.constructor.ConstructorError(
                problem=f"{twice[0]!r} is given twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((*_NUMBERS, "timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"({_pattern})$"), list("-+.0123456789"))


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The parameters that a notebook declares, as papermill reads its parameters cell."""
    from papermill import inspect_notebook

    return inspect_notebook(str(path))


def declared_values(path: Path) -> dict[str, Any]:
    """The values that a notebook declares, which it has where none are given; without those that are no literals."""
    values = {}
    for name, parameter in notebook_parameters(path).items():
        with suppress(ValueError, SyntaxError):
            values[name] = ast.literal_eval(parameter["default"])
    return values


def resolve_parameters(
    notebooks: Iterable[Path], profile: dict[str, dict[str, Any]], overrides: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Decides what each notebook, by its stem, is given: of ``common`` and overrides what it declares, and its section.

    It wants every notebook of the course, not only those to be run. A name that is declared nowhere (papermill alone
    would only warn, and run with defaults), or a value not of the type that a notebook declares, is a `CourseError`.
    """
    declared = {path.stem: notebook_parameters(path) for path in notebooks}
    everywhere = {name for known in declared.values() for name in known}
    sections = dict(profile)
    common = sections.pop("common", {})
    unknown = [f"{name} (common)" for name in common if name not in everywhere]
    unknown += [f"{name} (command line)" for name in overrides if name not in everywhere]
    for stem, values in sections.items():
        if stem not in declared:
            raise CourseError(f"The profile has a section {stem!r}, but no notebook has that name.")
        unknown += [f"{name} ({stem})" for name in values if name not in declared[stem]]
    if unknown:
        raise CourseError(f"No notebook has the parameters {', '.join(unknown)}; check their spelling.")
    resolved = {}
    for stem, known in declared.items():
        given = {**common, **sections.get(stem, {}), **overrides}
        resolved[stem] = {name: value for name, value in given.items() if name in known}
        for name, value in resolved[stem].items():
            if not is_of_type(value, wanted := known[name]["inferred_type_name"]):
                hint = "; put it in quotes" if wanted == "str" else ""
                raise CourseError(f"{name} is {value!r}, and {stem} declares it as {wanted}{hint}.")
    return resolved


def parse_overrides(assignments: Iterable[str], data_dir: str = "", model: str = "") -> dict[str, Any]:
    """Reads the parameters that a command line sets: NAME=VALUE each, the value as YAML, and DATA_DIR and MODEL.

    An assignment without a value, a value that is no YAML, or a name that is set twice raises a `CourseError`.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise CourseError(f"{assignment!r} sets nothing; write NAME=VALUE, for example EPOCHS=3.")
        if name in overrides:
            raise CourseError(f"{name} is set twice; set it once.")
        try:
            # YAML reads a lone tilde as nothing at all; here it is the home folder.
            overrides[name] = value if value in ("", "~") else yaml.load(value, _Loader)
        except (yaml.YAMLError, ValueError) as error:  # the latter of numbers with thousands of digits
            raise CourseError(f"{assignment!r} cannot be read: {' '.join(str(error).split())}.") from error
    # Notebooks run in nbs/, so a folder given relative to here must become absolute.
    if data_dir:
        overrides["DATA_DIR"] = str(from_home(data_dir).resolve())
    if model:
        folder = from_home(model)
        overrides["MODEL"] = str(folder.resolve()) if folder.exists() else model
    return overrides
