"""Copies of the notebooks for a class: ``make student``.

They have no outputs and no way to the solutions, and a profile's values stand in them as if they were the notebooks'
own: those of ``workshop``, which trains shortly, or of a teacher's own pictures.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from utils.course import CourseError, course_notebooks, find_root, plan_course
from utils.files import disk_trouble_in_words

POINTER = re.compile(r"[^.\n]*\[[^\]]*\]\(solutions/[^)]*\)[^.\n]*\. ?")  # a sentence that links a solution


def write_handout(root: Path, folder: Path, profile: str = "workshop") -> list[Path]:
    """Writes the numbered notebooks and the glossary as a class gets them.

    The copies run where they are as long as that is somewhere inside the course, for their first cell looks for
    its top. The folder appears only when it is whole.

    Args:
        root: Top of the checkout.
        folder: Where; it must not be there yet, for students may have worked in it.
        profile: Name of a profile, or the path of one; its values replace those of the parameters cells.

    Returns:
        The notebooks written.

    Raises:
        CourseError: If the folder is there, or the profile cannot work.
        OSError: If the disk takes no more; then nothing is left there.
    """
    import nbformat

    plan = plan_course(root, profile, {})
    if folder.exists():
        raise CourseError(f"{folder} is there already: name another with TO=, or delete it.")
    with disk_trouble_in_words(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for path in course_notebooks(root):
                notebook = without_answers(nbformat.read(path, as_version=4))
                set_parameters(notebook, plan.parameters[path.stem])
                nbformat.write(notebook, partial / path.name)
            shutil.copy(root / "nbs" / "glossary.md", partial)
            partial.chmod(0o755)  # made for its owner alone, and meant for a class
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(folder.glob("*.ipynb"))


def without_answers(notebook: Any) -> Any:
    """Clears outputs and counts, and drops the sentences that link a solution; changes the notebook given."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = POINTER.sub("", cell.source).strip()
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def set_parameters(notebook: Any, values: dict[str, Any]) -> None:
    """Writes other values into the parameters cell and leaves the rest of its lines; changes the notebook given."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = with_values(cell.source, values)


def with_values(source: str, values: dict[str, Any]) -> str:
    """Replaces what is assigned to some names in lines of ``NAME: type = value  # comment``."""
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and getattr(statement.target, "id", None) in values:
            old, row = statement.value, statement.lineno - 1
            new = values[statement.target.id]
            if new != ast.literal_eval(old):  # 1.0e-3 stays as it is written
                written = json.dumps(new, ensure_ascii=False) if isinstance(new, str) else repr(new)
                lines[row] = lines[row][: old.col_offset] + written + lines[row][old.end_col_offset :]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Writes the copies from the command line."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.handout", description="Writes copies for a class.")
    parser.add_argument("folder", help="where; it must not be there yet")
    parser.add_argument("--profile", default="workshop", help="a file of nbs/profiles/, or a .yaml of your own")
    arguments = parser.parse_args(argv)
    folder = Path(arguments.folder).absolute()
    try:
        notebooks = write_handout(find_root(), folder, arguments.profile)
    except (CourseError, OSError) as error:
        print(f"make student: {error}", file=sys.stderr)
        return 2
    print(f"{len(notebooks)} notebooks and the glossary, for a class, profile {arguments.profile}: {arguments.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
