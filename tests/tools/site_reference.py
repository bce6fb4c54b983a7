"""The reference of `utils` and of the stand-ins: every public name of each room, from the sources and docstrings.

A room has a page: what the room offers, and then its modules, each with its own public functions, classes and values in
the order of the file. Sphinx's autodoc reads the docstrings; which names there are is read from the sources.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

Statement = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Module:
    """A module by its full name, with its source read."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The room it belongs to: a folder or a file right below the package."""
        return ".".join(self.name.split(".")[:2])

    @property
    def imported(self) -> dict[str, str]:
        """The names that it takes from other modules of ours: the full name of each."""
        return {
            alias.asname or alias.name: f"{statement.module}.{alias.name}"
            for statement in self.tree.body
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(("utils", "standins"))
            for alias in statement.names
            if not (alias.asname or alias.name).startswith("_")
        }

    @property
    def public(self) -> dict[str, Statement]:
        """What it defines without an underscore, in the order of the file."""
        found: dict[str, Statement] = {}
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                found[statement.name] = statement
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
                found |= dict.fromkeys(names, statement)
        return {name: statement for name, statement in found.items() if not name.startswith("_")}


def modules(root: Path) -> list[Module]:
    """Every module of `utils` and `standins` that one can import, the room itself before its parts."""
    found = []
    for base, package in ((root, "utils"), (root / "data", "standins")):
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if parts[-1] != "__main__":
                found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return sorted(found, key=lambda module: module.name)


def offered(room: Module, known: dict[str, Module]) -> dict[str, str]:
    """The names that a room hands on from its modules: where each is defined."""
    if room.path.name != "__init__.py":
        return {}
    found = room.imported
    for name, target in found.items():
        module, _, inside = target.rpartition(".")
        while module in known and inside in known[module].imported:
            target = known[module].imported[inside]
            module, _, inside = target.rpartition(".")
        found[name] = target
    return found


def pages(root: Path) -> dict[str, str]:
    """A page for each room, by its place in the site, and one that lists them."""
    known = {module.name: module for module in modules(root)}
    rooms: dict[str, list[Module]] = {}
    for module in known.values():
        rooms.setdefault(module.room, []).append(module)
    texts = {f"reference/{room}.rst": _room(room, inside, known) for room, inside in rooms.items()}
    order = sorted(rooms, key=lambda room: (room.startswith("standins"), room))  # what the lessons stand on comes first
    texts["reference/index.rst"] = "\n".join(
        [
            *_title("Reference", "="),
            "Every public name of each room, from its docstring. The notebooks show them at work.",
            "",
            *(f":doc:`{room}`\n   {_about(known[room])}\n" for room in order),
            *(".. toctree::", "   :hidden:", ""),
            *(f"   {room}" for room in order),
            "",
        ]
    )
    return texts


def _about(module: Module) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(module.tree) or "").partition("\n")[0]


def _room(room: str, inside: list[Module], known: dict[str, Module]) -> str:
    lines = _title(room, "=")
    for number, module in enumerate(inside):
        if number:
            lines += _title(module.name, "-")
        lines += [f".. automodule:: {module.name}", ""]
        if handed_on := offered(module, known):
            links = [f":py:obj:`{name} <{target}>`" for name, target in sorted(handed_on.items())]
            lines += ["Offered here: " + ", ".join(links), ""]
        source = module.path.read_text(encoding="utf-8").splitlines()
        for name, statement in module.public.items():
            lines += [*_entry(module.name, name, statement, source), ""]
    return "\n".join(lines)


def _entry(module: str, name: str, statement: Statement, source: list[str]) -> list[str]:
    """A function and a class as autodoc has them; a value with the comment at its line, where it has one."""
    if isinstance(statement, ast.FunctionDef):
        return [f".. autofunction:: {module}.{name}"]
    if isinstance(statement, ast.ClassDef):
        return [f".. autoclass:: {module}.{name}", "   :members:"]
    value = ast.unparse(statement.value) if statement.value else ""
    lines = [f".. py:data:: {name}", *([f"   :value: {value}"] if 0 < len(value) < 100 else [])]
    comment = re.search(r"  # (.+)$", source[statement.lineno - 1])
    above: list[str] = []
    for line in reversed(source[: statement.lineno - 1]):
        if not line.startswith("# "):
            break
        above.insert(0, line[2:])
    said = " ".join(above) or (comment[1] if comment else "")
    return [*lines, "", f"   {said}"] if said else lines


def _title(words: str, underline: str) -> list[str]:
    return [words, underline * len(words), ""]
