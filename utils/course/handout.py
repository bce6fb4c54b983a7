"""Copies of the notebooks for a class: ``make student``.

They have no outputs, no badge that leads elsewhere and no cell that is tagged ``not-in-handout``, and a profile's
values stand in them as if they were the notebooks' own: those of ``workshop``, which trains shortly, or of a teacher's
own images. Once a value is another, paragraphs behind ``<!--measured-->``, which read what came out with the course's
own values, are true no longer, and go. What sets a notebook up is folded away.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat

from utils.course import CourseError, course_notebooks, find_root
from utils.course.parameters import declared_values
from utils.course.run import plan_course
from utils.files import disk_trouble_in_words, move, workshop

LEFT_OUT = "not-in-handout"
MEASURED = re.compile(r"^<!--measured-->\n(?:.+\n?)+\n*", re.MULTILINE)  # up to the next empty line
BADGE = re.compile(r"^\[!\[Open in Colab\].*\n+", re.MULTILINE)


def write_handout(root: Path, folder: Path, profile: str = "workshop") -> list[Path]:
    """Writes the numbered notebooks, the glossary and the drawings as a class gets them, and returns the notebooks.

    A `CourseError` says that the folder is there, for students may have worked in it, or that the profile cannot work.
    """
    plan = plan_course(root, profile, {})
    if folder.exists():
        raise CourseError(f"{folder} is there already: name another with TO=, or delete it.")
    with disk_trouble_in_words(folder.parent), workshop(folder, "writing copies for a class") as draft:
        as_measured = True
        for path in course_notebooks(root):
            values, own = plan.parameters[path.stem], declared_values(path)
            as_measured &= all(own[name] == values[name] for name in own.keys() & values.keys() - {"OUTPUT_DIR"})
            nbformat.write(as_copy(nbformat.read(path, as_version=4), values, as_measured), draft / path.name)
        shutil.copy(root / "nbs" / "glossary.md", draft)
        shutil.copytree(root / "nbs" / "images", draft / "images")
        move(draft, folder)  # not `publish`, which would replace a folder that has come meanwhile
    return sorted(folder.glob("*.ipynb"))


def as_copy(notebook: Any, values: dict[str, Any], as_measured: bool) -> Any:
    """The notebook as a class gets it, with these parameters; ``as_measured`` keeps what was read from the course's."""
    notebook.cells = [cell for cell in notebook.cells if LEFT_OUT not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        elif not as_measured:
            cell.source = MEASURED.sub("", cell.source).rstrip()
        if number == 0:
            cell.source = BADGE.sub("", cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = with_values(cell.source, values)
            cell.metadata.setdefault("jupyter", {})["source_hidden"] = True
            cell.metadata.tags = [*cell.metadata.tags, "hide-input"]
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def with_values(source: str, values: dict[str, Any]) -> str:
    """Replaces what is assigned to some names in lines of ``NAME: type = value  # comment``."""
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and statement.value and isinstance(statement.target, ast.Name):
            old, name, row = statement.value, statement.target.id, statement.lineno - 1
            if name in values and values[name] != ast.literal_eval(old):  # 1.0e-3 stays as it is written
                new = values[name]
                written = json.dumps(new, ensure_ascii=False) if isinstance(new, str) else repr(new)
                lines[row] = lines[row][: old.col_offset] + written + lines[row][old.end_col_offset :]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Writes the copies from the command line."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.handout", description="Writes copies for a class.")
    parser.add_argument("folder", help="must not exist yet")
    parser.add_argument("--profile", default="workshop", help="a file of nbs/profiles/, or your own .yaml")
    arguments = parser.parse_args(argv)
    try:
        notebooks = write_handout(find_root(), Path(arguments.folder).absolute(), arguments.profile)
    except (CourseError, OSError) as error:
        print(f"make student: {error}", file=sys.stderr)
        return 2
    print(f"{len(notebooks)} notebooks and the glossary, for a class, profile {arguments.profile}: {arguments.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
