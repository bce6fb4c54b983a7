"""Which notebook waits for which, and two that run beside each other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_course import write_notebook
from test_course_results import wait_until

from utils.course import course_notebooks, schedule
from utils.course.ledger import PASSED_ON, results_left
from utils.course.run import run_course
from utils.course.schedule import BESIDE, next_to_start, waits_for

TOP = """import os, time
from pathlib import Path
os.chdir(os.path.abspath(".."))
folder = Path(OUTPUT_DIR)
"""
PARAMETERS = 'OUTPUT_DIR: str = "runs/small"  # results'
TRAIN = """
(folder / "finetuned" / "model").mkdir(parents=True, exist_ok=True)
(folder / "finetuned" / "model" / "model.safetensors").write_text("weights")
"""
MEET = """
(folder / "{own}").write_text("here")
end = time.monotonic() + 60
while not (folder / "{other}").exists():
    assert time.monotonic() < end, "nobody came"
    time.sleep(0.02)
"""
LEAVE = """
(folder / "{name}").mkdir(exist_ok=True)
(folder / "{name}" / "numbers.json").write_text("{{}}")
"""


@pytest.fixture
def three(tmp_path, monkeypatch):
    """A training, and two notebooks that wait for each other after it."""
    (tmp_path / "nbs" / "profiles").mkdir(parents=True)
    (tmp_path / "nbs" / "profiles" / "small.yaml").write_text("common: {}\n")
    (tmp_path / "utils").mkdir()
    evaluate = MEET.format(own="first", other="second") + LEAVE.format(name="evaluation")
    for name, code in (
        ("04_finetune_clip", TRAIN),
        ("05_evaluate_zero_shot", evaluate),
        ("08_beyond_rsicd", MEET.format(own="second", other="first")),
    ):
        write_notebook(tmp_path / "nbs" / f"{name}.ipynb", TOP + code, PARAMETERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schedule, "has_room_beside", lambda running, _: len(running) < 2)
    return tmp_path


def statuses(root: Path) -> list[tuple[str, str]]:
    return [(outcome.stem[:2], outcome.status) for outcome in run_course(root, "small", {})]


def test_two_run_at_once_each_keeps_what_it_has_left_and_the_next_run_keeps_both(three):
    assert statuses(three) == [("04", "ok"), ("05", "ok"), ("08", "ok")]
    left = {path.stem[:2]: list(results_left(path)) for path in sorted((three / "runs" / "small").glob("0*.ipynb"))}
    assert left == {"04": ["finetuned/model"], "05": ["evaluation"], "08": []}
    assert statuses(three) == [("04", "kept"), ("05", "kept"), ("08", "kept")]
    (three / "runs" / "small" / "evaluation" / "numbers.json").write_text("[]")
    (three / "runs" / "small" / "second").write_text("here")
    assert statuses(three) == [("04", "kept"), ("05", "ok"), ("08", "kept")]  # 08 reads nothing of 05


def test_a_failure_ends_the_course_behind_what_runs_beside_it(three):
    for name, code in (
        ("05_evaluate_zero_shot", "raise ValueError('broken here')"),
        ("08_beyond_rsicd", "time.sleep(1.5)"),
        ("10_scale_out", "pass"),
    ):
        write_notebook(three / "nbs" / f"{name}.ipynb", TOP + code, PARAMETERS)
    assert statuses(three) == [("04", "ok"), ("08", "ok"), ("05", "failed")]


def test_ctrl_c_ends_both_with_all_that_they_have_started_and_keeps_neither(three):
    start = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\n"
    for name, own in (("05_evaluate_zero_shot", "first"), ("08_beyond_rsicd", "second")):
        note = f"(folder / '{own}').write_text(f'{{os.getpid()}} {{child.pid}}')\ntime.sleep(120)"
        write_notebook(three / "nbs" / f"{name}.ipynb", TOP + start + note, PARAMETERS)
    code = """from utils.course import schedule, __main__
schedule.has_room_beside = lambda running, _: len(running) < 2
raise SystemExit(__main__.main(["--profile", "small"]))"""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=three, start_new_session=True, **streams)
    notes = [three / "runs" / "small" / name for name in ("first", "second")]
    wait_until(lambda: all(note.exists() and " " in note.read_text() for note in notes))
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    complained = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert complained.strip() == "make course: stopped; what has finished is kept, and the same command resumes it."
    started = [int(number) for note in notes for number in note.read_text().split()]
    wait_until(lambda: not any(map(is_alive, started)), seconds=10)
    assert sorted(path.stem for path in (three / "runs" / "small").glob("*.ipynb")) == ["04_finetune_clip"]
    assert not list((three / "runs" / "small").glob(".*.ipynb"))


def is_alive(number: int) -> bool:
    status = Path(f"/proc/{number}/status")
    return status.exists() and "\tZ" not in status.read_text()


def test_the_schedule_knows_the_notebooks_and_their_results(root):
    stems = [path.stem for path in course_notebooks(root)]
    for stem, beside in BESIDE.items():
        assert {stem, *beside.waits_for} <= set(stems) and set(beside.leaves) <= set(PASSED_ON)
    for alone in set(stems) - BESIDE.keys():
        assert waits_for(alone, stems) == stems[: stems.index(alone)]
    assert waits_for("09_caption_images", stems) == ["04_finetune_clip"]


def test_notebooks_start_in_their_order_and_what_measures_time_starts_alone(root, monkeypatch):
    monkeypatch.setattr(schedule, "has_room_beside", lambda running, _: len(running) < 2)
    waiting, running, started = list(course_notebooks(root)), [], []
    while waiting or running:
        while chosen := next_to_start(waiting, running, root):
            waiting.remove(chosen)
            running.append(chosen)
        started.append(tuple(path.stem[:2] for path in running))
        running.pop(0)
    one_by_one = [("00",), ("01",), ("02",), ("03",), ("04",)]
    assert started == [*one_by_one, ("05", "07"), ("07", "08"), ("08", "09"), ("09",), ("06",), ("10",)]


def test_a_second_one_needs_cores_memory_and_no_accelerator(tmp_path, monkeypatch):
    running = [Path("05_evaluate_zero_shot.ipynb")]
    monkeypatch.setattr(schedule, "usable_cores", lambda: 2)
    monkeypatch.setattr(schedule, "find_spec", lambda name: None)
    monkeypatch.setattr(schedule, "MEMORY_BESIDE", 0)
    model = tmp_path / "finetuned" / "model" / "model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"weights")
    assert schedule.has_room_beside(running, tmp_path) and not schedule.has_room_beside(running * 2, tmp_path)
    too_little = (("MEMORY_BESIDE", 2**60), ("MEMORY_OF_WEIGHTS", 2**60))
    for name, value in (("usable_cores", lambda: 1), ("find_spec", lambda name: name), *too_little):
        with monkeypatch.context() as patch:
            patch.setattr(schedule, name, value)
            assert not schedule.has_room_beside(running, tmp_path), name
