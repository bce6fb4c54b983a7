"""Which module imports which, and those that a notebook stands on.

Imports are read from the source, those inside of functions and under ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = {"utils": Path("utils"), "standins": Path("data") / "standins"}

_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)


@cache
def modules(root: Path) -> dict[str, Path]:
    """Files of the two packages by dotted name, a package's own under the name of its folder.

    Args:
        root: Top of the checkout.
    """
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imported_modules(source: str, known: Iterable[str]) -> set[str]:
    """Those of the known modules that a source imports, wherever in it."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return named & set(known)


@cache
def module_imports(root: Path) -> dict[str, frozenset[str]]:
    """The modules that each module imports directly; one in a folder has imported the folder's ``__init__`` too."""
    files = modules(root)
    return {
        name: frozenset(imported_modules(path.read_text(encoding="utf-8"), files) | _packages_above(name, files))
        - {name}
        for name, path in files.items()
    }


def _packages_above(name: str, known: Mapping[str, Path]) -> set[str]:
    parts = name.split(".")
    return {above for length in range(1, len(parts)) if (above := ".".join(parts[:length])) in known}


def used_modules(root: Path, cells: Iterable[str]) -> list[Path]:
    """Files of ``utils`` that a notebook runs through, directly or not; what stand-ins draw it sees as data.

    Args:
        root: Top of the checkout.
        cells: Sources of its code cells; one that is no Python counts for nothing, for it will not run.

    Returns:
        Sorted paths.
    """
    imports = module_imports(root)
    used: set[str] = set()
    waiting: list[str] = []
    for cell in cells:
        with suppress(SyntaxError):
            waiting.extend(imported_modules(_MAGIC.sub(r"\1pass", cell), imports))
    while waiting:
        name = waiting.pop()
        if name not in used and name.partition(".")[0] == "utils":
            used.add(name)
            waiting.extend(imports[name] - used)
    return sorted(modules(root)[name] for name in used)
