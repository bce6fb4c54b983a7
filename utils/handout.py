"""Copies of the notebooks for a class, without outputs and without the way to the solutions: ``make student``."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from utils.course import CourseError, course_notebooks, find_root

POINTER = re.compile(r"[^.\n]*\[[^\]]*\]\(solutions/[^)]*\)[^.\n]*\. ?")  # a sentence that links a solution


def write_handout(root: Path, folder: Path) -> list[Path]:
    """Writes the numbered notebooks and the glossary as a class gets them.

    The copies run where they are as long as that is somewhere inside the course, for their first cell looks for
    its top. The folder appears only when it is whole.

    Args:
        root: Top of the checkout.
        folder: Where; it must not be there yet, for students may have worked in it.

    Returns:
        The notebooks written.

    Raises:
        CourseError: If the folder is there.
    """
    import nbformat

    if folder.exists():
        raise CourseError(f"{folder} is there already: name another with TO=, or delete it.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path in course_notebooks(root):
            nbformat.write(without_answers(nbformat.read(path, as_version=4)), partial / path.name)
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


def main(arguments: list[str] | None = None) -> int:
    """Writes the copies into the folder that the command line names."""
    (target,) = sys.argv[1:] if arguments is None else arguments
    folder = Path(target).absolute()
    try:
        notebooks = write_handout(find_root(), folder)
    except CourseError as error:
        print(f"make student: {error}", file=sys.stderr)
        return 2
    print(f"{len(notebooks)} notebooks and the glossary, for a class: {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
