"""What a class gets: every notebook, no outputs, no way to a solution, and still whole."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
import yaml

from utils.course import CourseError, course_notebooks
from utils.course.handout import BADGE, LEFT_OUT, MEASURED, with_values, write_handout
from utils.course.parameters import notebook_parameters


@pytest.fixture(scope="module")
def handout(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("class") / "student"
    return folder, write_handout(root, folder)


def test_every_notebook_is_there_without_outputs_and_solutions(root, handout):
    folder, notebooks = handout
    assert [path.name for path in notebooks] == [path.name for path in course_notebooks(root)]
    assert (folder / "glossary.md").is_file() and not (folder / "solutions").exists()
    linked = {name for path in notebooks for name in re.findall(r"\]\((images/[^)]+)\)", path.read_text("utf-8"))}
    assert len(linked) >= 3 and all((folder / name).is_file() for name in linked)
    assert [path.name for path in folder.parent.iterdir()] == ["student"]  # nothing half-written beside it
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
        assert not any("solutions/" in cell.source for cell in notebook.cells)


def test_with_the_defaults_only_outputs_and_tagged_cells_are_gone(root, tmp_path):
    for path in write_handout(root, tmp_path / "class", "miniature"):
        before = nbformat.read(root / "nbs" / path.name, as_version=4).cells
        left_out = [cell for cell in before if LEFT_OUT in cell.metadata.get("tags", [])]
        kept = [(cell.id, BADGE.sub("", cell.source)) for cell in before if cell not in left_out]
        assert [(cell.id, cell.source) for cell in nbformat.read(path, as_version=4).cells] == kept
        assert [cell.cell_type for cell in left_out] == ["markdown"], path.name
        assert "](solutions/" in left_out[0].source and len(left_out[0].source.split()) < 12


def test_what_sets_a_copy_up_is_folded_away_and_no_badge_leads_to_the_courses_own(handout):
    for path in handout[1]:
        notebook = nbformat.read(path, as_version=4)
        assert not any("colab-badge" in cell.source or "colab.research" in cell.source for cell in notebook.cells[:2])
        bootstrap, parameters = [cell.metadata for cell in notebook.cells if cell.cell_type == "code"][:2]
        assert bootstrap.jupyter.source_hidden and parameters.jupyter.source_hidden
        assert "hide-input" in bootstrap.tags and set(parameters.tags) == {"parameters", "hide-input"}


def test_what_was_measured_with_other_values_is_not_said(root, handout):
    """Of the workshop's profile 04 is the first notebook with a value of its own."""
    told = {path.name[:2]: path.read_text("utf-8").count("<!--measured-->") for path in handout[1]}
    marked = {path.name[:2]: path.read_text("utf-8").count("<!--measured-->") for path in course_notebooks(root)}
    assert sum(marked.values()) >= 20 and all(marked.values()), "every lesson reads some of its own figures"
    assert told == {number: count if number < "04" else 0 for number, count in marked.items()}
    text = "\n".join(cell.source for cell in nbformat.read(handout[1][4], as_version=4).cells)
    assert "Read both panels together" not in text and "## 8. Train" in text and "Do both fall?" in text


def test_a_measured_paragraph_ends_at_an_empty_line():
    text = "Before.\n\n<!--measured-->\n- one\n- two\n\nAfter.\n\n<!--measured-->\nThe end."
    assert MEASURED.sub("", text).rstrip() == "Before.\n\nAfter."


def test_a_class_trains_shortly_and_beside_the_course(root, handout):
    profile = yaml.safe_load((root / "nbs" / "profiles" / "workshop.yaml").read_text())
    for path in handout[1]:
        before, after = (notebook_parameters(file) for file in (root / "nbs" / path.name, path))
        values = {name: ast.literal_eval(parameter["default"]) for name, parameter in after.items()}
        if "OUTPUT_DIR" in values:
            assert values["OUTPUT_DIR"] == profile["common"]["OUTPUT_DIR"]
        for name, value in profile.get(path.stem, {}).items():
            assert values[name] == value != ast.literal_eval(before[name]["default"])
        same = [name for name in before if name not in ("OUTPUT_DIR", *profile.get(path.stem, {}))]
        assert all(after[name] == before[name] for name in same)  # comments, too
        assert len(after) == len(before)


def test_values_are_written_into_their_lines():
    source = 'NAME: str = "a"  # "b" or "c"\nRATE: float = 1.0e-3  # peak\nMORE: dict = {}  # others\nON: bool = True'
    values = {"NAME": 'C:\\d "e"', "RATE": 0.001, "MORE": {"lora_rank": 8}, "ON": False, "NOT_HERE": 1}
    written = with_values(source, values)
    assert written.splitlines()[1:] == [
        "RATE: float = 1.0e-3  # peak",
        "MORE: dict = {'lora_rank': 8}  # others",
        "ON: bool = False",
    ]
    told: dict = {}
    exec(written, told)
    assert told["NAME"] == 'C:\\d "e"' and written.splitlines()[0].endswith('  # "b" or "c"')


def test_a_profile_that_cannot_work_is_refused_and_nothing_is_left(root, tmp_path):
    wrong = tmp_path / "mine.yaml"
    wrong.write_text("common:\n  EPOHCS: 3\n")
    with pytest.raises(CourseError, match="EPOHCS"):
        write_handout(root, tmp_path / "class", str(wrong))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_folder_that_is_there_is_left_alone(root, tmp_path):
    (tmp_path / "answers.ipynb").write_text("a student's work")
    with pytest.raises(CourseError, match="there already"):
        write_handout(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["answers.ipynb"]


def test_a_folder_that_comes_while_copies_are_written_is_left_alone(root, tmp_path, monkeypatch):
    folder = tmp_path / "class"

    def and_somebody_works_there(*paths):
        folder.mkdir()
        (folder / "answers.ipynb").write_text("a student's work")

    monkeypatch.setattr("utils.course.handout.shutil.copy", and_somebody_works_there)
    with pytest.raises(OSError, match=r"not empty|already exists"):  # as Windows says it
        write_handout(root, folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["class", "answers.ipynb"]


def test_the_command_says_what_it_did(root, tmp_path):
    command = [sys.executable, "-m", "utils.course.handout", str(tmp_path / "class")]
    assert "for a class" in subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert again.returncode == 2 and again.stderr.startswith("make student:")


@pytest.mark.parametrize(("asked", "profile"), [([], "workshop"), (["PROFILE=mine.yaml"], "mine.yaml")])
def test_make_hands_on_the_profile(root, asked, profile):
    shown = subprocess.run(
        ["make", "--dry-run", "student", *asked], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert f'--profile "{profile}"' in shown
