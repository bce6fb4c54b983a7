"""What the cells of the exercises define: checkers and solutions, without executing a notebook."""

import ast
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "nbs"


def definitions(path: Path) -> dict[str, Any]:
    """What the code cells of a notebook import and define; nothing that loads or computes is run."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "COLAB_RELEASE_TAG" in cell.source:
            continue
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.Assign):
                with contextlib.suppress(ValueError):  # a call or a comparison
                    names[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
            elif isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef):
                exec(ast.unparse(node), names)
    return names


SOLVED = {path.stem: definitions(path) for path in sorted((NOTEBOOKS / "solutions").glob("[0-9]*.ipynb"))}
CHECKERS = {
    name: stem for stem, names in SOLVED.items() for name in names if name.startswith("check_")
}  # each with its notebook


def solution_of(checker: str) -> Callable:
    return SOLVED[CHECKERS[checker]][checker.removeprefix("check_")]
