"""Which module imports which, and those that a notebook stands on.

Imports are read from the source, those inside of functions and under ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

PACKAGES = {"utils": Path("utils"), "standins": Path("data") / "standins"}

_MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)


def modules(root: Path) -> dict[str, Path]:
    """Files of the two packages by dotted name, a folder's ``__init__`` under the name of the folder."""
    return {
        ".".join((package, *path.relative_to(root / folder).with_suffix("").parts)).removesuffix(".__init__"): path
        for package, folder in PACKAGES.items()
        for path in sorted((root / folder).rglob("*.py"))
    }


def imported_modules(source: str | bytes, known: Collection[str]) -> set[str]:
    """Those of the known modules that a source imports, wherever in it."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return named.intersection(known)


def module_imports(root: Path) -> dict[str, frozenset[str]]:
    """The modules that each module of a checkout imports; one in a folder imports the folder's ``__init__`` too."""
    files = modules(root)
    known = frozenset(files)
    return {
        name: (_imports_of(path.read_bytes(), known) | {name.rpartition(".")[0]}) & known - {name}
        for name, path in files.items()
    }


@cache  # a run of hours asks again and again, and meanwhile somebody may write into a module
def _imports_of(source: bytes, known: frozenset[str]) -> frozenset[str]:
    """Nothing for what is not Python: whoever runs it is told so by Python itself."""
    with suppress(SyntaxError, ValueError):  # the second of a null byte
        return frozenset(imported_modules(source, known))
    return frozenset()


def used_modules(root: Path, cells: Iterable[str]) -> list[Path]:
    """Files of the two packages, sorted, that a notebook with these code cells runs through, directly or not.

    Stand-ins count where its own cells import them; what modules of ``utils`` have them draw, it sees as data. For a
    cell that cannot be read as Python all of ``utils`` counts.
    """
    imports, files = module_imports(root), modules(root)
    waiting: set[str] = set()
    for cell in cells:
        try:
            waiting |= imported_modules(_MAGIC.sub(r"\1pass", cell), imports)
        except (SyntaxError, ValueError):
            waiting |= {name for name in imports if _package(name) == "utils"}
    used: set[str] = set()
    while waiting:
        used |= waiting
        reached = {(name, other) for name in waiting for other in imports[name]}
        waiting = {other for name, other in reached if _package(other) in ("utils", _package(name))} - used
    return sorted(files[name] for name in used)


def _package(module: str) -> str:
    return module.partition(".")[0]
