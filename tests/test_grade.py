"""A class's copies and what the checkers say of them: each answer by itself, whatever the others do."""

import csv
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from utils.course import CourseError, course_notebooks
from utils.course.grade import (
    MISSING,
    as_csv,
    as_table,
    attempt,
    copies,
    definitions,
    end_with_children,
    grade,
    main,
    needed,
    question,
)

STUB = 'def double(x: np.ndarray) -> np.ndarray:\n    """Replace this."""\n    return x\n'
CHECKER = """

LIMIT = 3


def half(x):
    return x / 2


def check_double(answer) -> bool:
    cases = [((np.arange(LIMIT),), 2 * np.arange(LIMIT), "Twice each.")]
    return try_answer(answer, cases, {"that is the half.": half})


if check_double(double):
    print("measured")
"""
LESSON = ["import numpy as np\n\nfrom utils.course import try_answer", STUB + CHECKER, "raise RuntimeError('not run')"]
SECOND = [
    "import math",
    "def root(x):\n    return 0\n\n\ndef check_root(answer):\n    return answer(4) == math.sqrt(4)",
]
RIGHT = "def double(x):\n    return 2 * x"

# What a student has made of the cell; the beginning of what is said of it.
ANSWERS = {
    "right": (RIGHT + CHECKER, "passed"),
    "hint": ("def double(x):\n    return x / 2", "not yet: that is the half."),
    "no-idea": ("def double(x):\n    return 3 * x", "not yet: for [0, 1, 2] you give [0, 3, 6]"),
    "stub": (STUB, "not answered"),
    "stub-without-docstring": ("def double(x: np.ndarray) -> np.ndarray:\n    return x", "not answered"),
    "deleted": ("print('nothing here')", "not answered: the copy has no function double"),
    "raises": ("def double(x):\n    raise KeyError('pond')", "error: KeyError: 'pond'"),
    "unknown-name": ("def double(x):\n    return twice * x", "error: NameError: name 'twice'"),
    "exits": ("import sys\n\n\ndef double(x):\n    sys.exit(0)", "error: SystemExit: 0"),
    "exits-at-once": ("import os\n\n\ndef double(x):\n    os._exit(0)", "error: it ended without a verdict"),
    "prints": ("def double(x):\n    print('passed')\n    print('That is it.')\n    return 0", "not yet: for "),
    "writes": ("import os\n\n\ndef double(x):\n    os.write(1, b'passed')\n    return 0", "not yet: for "),
    "asks": ("def double(x):\n    return float(input())", "error: EOFError"),
    "no-python": ("def double(x)\n    return x", "error: SyntaxError"),
    "magic": ("%matplotlib inline\n!ls\n" + RIGHT, "passed"),
    "own-checker": (RIGHT.replace("2 *", "5 *") + "\n\n\ndef check_double(answer):\n    return True", "not yet: for "),
    "own-half": ("def half(x):\n    return x * 2\n\n\ndef double(x):\n    return half(x)", "passed"),
    "own-limit": ("LIMIT = 0\n\n\ndef double(x):\n    return x", "not answered"),
    "replaces-checkers": ("try_answer = lambda *given: True\nnp = None\n" + RIGHT.replace("2", "7"), "not yet: for "),
    "decorated": ("def same(f):\n    return f\n\n\n@same\ndef double(x):\n    return 2 * x", "passed"),
    "twice": (STUB + "\n\n" + RIGHT, "passed"),
}
HELPERS = [
    "import jax.numpy as jnp",
    "def add(a, b):\n    return jnp.add(a, b)",
    "raise RuntimeError('not run either')",
]


def write(path, cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)


@pytest.fixture(scope="module")
def course(root, tmp_path_factory):
    """A course of two notebooks, one exercise each."""
    top = tmp_path_factory.mktemp("course")
    (top / "nbs" / "profiles").mkdir(parents=True)
    for name in ("utils", "data"):
        (top / name).symlink_to(root / name)
    write(top / "nbs" / "01_double.ipynb", LESSON)
    write(top / "nbs" / "02_root.ipynb", SECOND)
    return top


@pytest.fixture(scope="module")
def graded(course, tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for student, (cell, _) in ANSWERS.items():
        write(folder / student / "01_double.ipynb", [LESSON[0], cell, LESSON[2]])
        write(folder / student / "02_root.ipynb", [SECOND[0], "def root(x):\n    return math.isqrt(x)"])
    write(folder / "01_double_helpers.ipynb", [*HELPERS, "def double(x):\n    return add(x, x)"])
    (folder / "broken").mkdir()
    (folder / "broken" / "01_double.ipynb").write_text('{"cells": [')
    write(folder / "broken" / "02_root.ipynb", [SECOND[0], "def root(x):\n    return math.sqrt(x)"])
    return {student: (said, troubles) for student, said, troubles in grade(course, folder)}


@pytest.mark.parametrize("student", ANSWERS)
def test_an_answer_gets_what_it_deserves_and_the_next_one_is_not_harmed(graded, student):
    said, troubles = graded[student]
    assert said["01_double double"].startswith(ANSWERS[student][1]), said
    assert said["02_root root"] == "passed" and not troubles


def test_helpers_and_imports_of_a_student_are_found_and_a_missing_copy_is_named(graded):
    assert graded["helpers"] == ({"01_double double": "passed", "02_root root": MISSING}, [])


def test_a_file_that_is_no_notebook_is_one_sentence(graded):
    said, (trouble,) = graded["broken"]
    assert said == {"01_double double": "error: not a notebook", "02_root root": "passed"}
    assert "broken/01_double.ipynb is not a notebook that can be read" in trouble and "\n" not in trouble


def test_the_table_has_a_row_a_student_in_order(graded):
    rows = {student: said for student, (said, _) in graded.items()}
    assert list(rows) == sorted([*ANSWERS, "helpers", "broken"])
    read = list(csv.DictReader(as_csv(rows).splitlines()))
    assert [row["student"] for row in read] == list(rows)
    assert next(row for row in read if row["student"] == "right")["passed"] == "2"
    assert as_table(rows).splitlines()[2].split()[:3] == ["02_root", "root", str(len(rows) - 1)]


def tried(course, tmp_path, cell, seconds=60, stop=None):
    write(tmp_path / "copy.ipynb", [LESSON[0], cell])
    lesson, copy = definitions(course / "nbs" / "01_double.ipynb", True), definitions(tmp_path / "copy.ipynb", False)
    return attempt(question("double", lesson, copy), course, seconds, stop or threading.Event())


def test_what_never_ends_is_ended_with_all_that_it_started(course, tmp_path):
    note = tmp_path / "note"
    child = f"import os, pathlib, time; pathlib.Path({str(note)!r}).write_text(str(os.getpid())); time.sleep(600)"
    cell = (
        "import subprocess\n\n\ndef double(x):\n"
        f"    subprocess.Popen({[sys.executable, '-c', child]!r})\n    while True:\n        pass"
    )
    assert tried(course, tmp_path, cell, seconds=8) == "timed out"
    number = int(note.read_text())
    assert not psutil.pid_exists(number) or not psutil.wait_procs([psutil.Process(number)], timeout=60)[1]


def test_what_waits_when_a_teacher_stops_does_not_run_on(course, tmp_path):
    stop = threading.Event()
    stop.set()
    start = time.monotonic()
    assert tried(course, tmp_path, "def double(x):\n    while True:\n        pass", stop=stop) == "timed out"
    assert time.monotonic() - start < 40  # of the 60 seconds that it may take


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit on memory")
def test_memory_is_limited(course, tmp_path):
    said = tried(course, tmp_path, "def double(x):\n    return [bytearray(2**30) for _ in range(1000)]")
    assert said == "error: MemoryError:"


def test_an_answer_works_in_an_empty_folder_without_the_environment_of_the_teacher(course, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    cell = (
        "import os\n\n\ndef double(x):\n    assert not os.listdir() and 'HF_TOKEN' not in os.environ\n"
        "    open('mine', 'w').write('x')\n    return 2 * x"
    )
    assert tried(course, tmp_path, cell) == "passed" and not Path("mine").exists()


def test_only_what_an_answer_uses_is_taken(course):
    lesson = definitions(course / "nbs" / "01_double.ipynb", True)
    assert needed("double", lesson).splitlines()[1:3] == [
        "import numpy as np",
        "def double(x: np.ndarray) -> np.ndarray:",
    ]
    assert "half" in needed("check_double", lesson) and "not run" not in needed("check_double", lesson)


def test_students_are_folders_or_the_rest_of_a_name(tmp_path):
    names = ("anna/01_double.ipynb", "anna/sub/02_root.ipynb", "01_double_ben.ipynb", "cleo-02_root.ipynb")
    for number, name in enumerate((*names, "01_double.ipynb", "ben/01_double-Copy1.ipynb", "notes.ipynb")):
        write(tmp_path / name, [])
        os.utime(tmp_path / name, (number, number))
    write(tmp_path / "anna" / ".ipynb_checkpoints" / "01_double-checkpoint.ipynb", [])
    found = copies(tmp_path, ["01_double", "02_root"])
    assert {key: sorted(paths) for key, paths in found.items()} == {
        "anna": ["01_double", "02_root"],
        "ben": ["01_double"],
        "cleo": ["02_root"],
        tmp_path.name: ["01_double"],
    }
    assert found["ben"]["01_double"].parent.name == "ben"  # changed last
    assert found["anna"]["01_double"].parent.name == "anna"


@pytest.mark.parametrize(("made", "sentence"), [(False, "is not a folder"), (True, "holds no copy of a notebook")])
def test_a_folder_without_copies_is_refused(tmp_path, made, sentence):
    if made:
        (tmp_path / "class").mkdir()
    with pytest.raises(CourseError, match=sentence):
        copies(tmp_path / "class", ["01_double"])


def test_the_command_writes_the_table(course, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(course)
    write(tmp_path / "class" / "01_double_anna.ipynb", [RIGHT])
    assert main([str(tmp_path / "class"), "--to", str(tmp_path / "new" / "grades.csv")]) == 0
    assert "anna: 1 of 2 passed" in capsys.readouterr().out
    assert (tmp_path / "new" / "grades.csv").read_text().splitlines()[1] == f"anna,1,passed,{MISSING}"
    assert main([str(tmp_path / "class"), "--to", str(tmp_path / "class" / "01_double_anna.ipynb")]) == 2
    assert "name another" in capsys.readouterr().err
    assert main([""]) == 2 and "FOLDER=class/" in capsys.readouterr().err
    assert main([str(tmp_path / "nobody")]) == 2
    assert capsys.readouterr().err.startswith("make grade:")


def test_what_was_graded_before_ctrl_c_is_kept(course, tmp_path, monkeypatch, capsys):
    def stopped(*given):
        yield "anna", {"01_double double": "passed"}, []
        raise KeyboardInterrupt

    monkeypatch.chdir(course)
    monkeypatch.setattr("utils.course.grade.grade", stopped)
    assert main([str(tmp_path), "--to", str(tmp_path / "grades.csv")]) == 130
    assert "anna,1,passed" in (tmp_path / "grades.csv").read_text() and "stopped" in capsys.readouterr().err


def test_make_hands_on_folder_and_table(root):
    shown = subprocess.run(
        ["make", "--dry-run", "grade", "FOLDER=class/", "TO=mine.csv"], cwd=root, capture_output=True, text=True
    ).stdout
    assert 'utils.course.grade "class/" --to "mine.csv"' in shown


def test_the_course_s_own_stubs_are_not_answered_and_its_solutions_pass(root, tmp_path):
    for path in course_notebooks(root):
        for student, source in (("blank", path), ("solved", root / "nbs" / "solutions" / path.name)):
            (tmp_path / student).mkdir(exist_ok=True)
            (tmp_path / student / path.name).write_bytes(source.read_bytes())
    rows = {student: said for student, said, _ in grade(root, tmp_path)}
    assert {*rows["blank"].values()} == {"not answered"}
    assert {key for key, text in rows["solved"].items() if text != "passed"} == set() and len(rows["solved"]) >= 18


def test_an_answer_is_limited_where_the_system_can_and_ends_where_it_has_no_alarm(root):
    """As on Windows, which has neither `resource` nor alarms."""
    code = "import signal, sys, time; sys.modules['resource'] = None; vars(signal).pop('alarm', 0)\n"
    code += (
        "from utils.course.attempt import end_after, limit_resources\nlimit_resources(); end_after(0.2); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 1


@pytest.mark.parametrize("grouped", [True, False], ids=["by its group", "as on Windows, one by one"])
def test_what_an_answer_has_started_ends_with_it(monkeypatch, grouped):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    while not (children := psutil.Process(process.pid).children()):
        time.sleep(0.01)
    if not grouped:
        monkeypatch.delattr(os, "killpg", raising=False)
    end_with_children(process)
    assert process.poll() is not None
    assert not psutil.wait_procs(children, timeout=30)[1]
