"""What a class gets: every notebook, no outputs, no way to a solution, and still whole."""

import subprocess
import sys

import nbformat
import pytest

from utils.course import CourseError, course_notebooks
from utils.handout import write_handout


@pytest.fixture(scope="module")
def handout(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "student"
    return folder, write_handout(root, folder)


def test_every_notebook_is_there_without_outputs_and_solutions(root, handout):
    folder, notebooks = handout
    assert [path.name for path in notebooks] == [path.name for path in course_notebooks(root)]
    assert (folder / "glossary.md").is_file() and not (folder / "solutions").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["student"]  # nothing half-written beside it
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
        assert not any("solutions/" in cell.source for cell in notebook.cells)


def test_only_outputs_and_pointers_are_gone(root, handout):
    for path in handout[1]:
        before = nbformat.read(root / "nbs" / path.name, as_version=4).cells
        after = {cell.id: cell.source for cell in nbformat.read(path, as_version=4).cells}
        assert all(after[cell.id] == cell.source for cell in before if cell.cell_type == "code")
        lost = [cell for cell in before if after.get(cell.id) != cell.source.strip()]
        assert all("](solutions/" in cell.source for cell in lost if cell.cell_type == "markdown")
        kept = sum(len(after.get(cell.id, "").split()) for cell in before)
        assert kept > sum(len(cell.source.split()) for cell in before) - 20, path.name


def test_a_folder_that_is_there_is_left_alone(root, tmp_path):
    (tmp_path / "answers.ipynb").write_text("a student's work")
    with pytest.raises(CourseError, match="there already"):
        write_handout(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.ipynb"]


def test_the_command_says_what_it_did(root, tmp_path):
    command = [sys.executable, "-m", "utils.handout", str(tmp_path / "class")]
    assert (
        "for a class" in subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    )
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and again.stderr.startswith("make student:")
