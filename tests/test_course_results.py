"""What a run may delete, what makes a result out of date, and what is left after a kill or on a full disk."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from test_course import write_notebook

from utils.course import CourseError, course_notebooks, execution, results
from utils.course.compare import read_run
from utils.course.ledger import finished_stamp
from utils.course.metrics import read_metrics
from utils.course.results import check_results_folder
from utils.course.run import run_course
from utils.files import FolderInUseError, sole_owner
from utils.files.locks import LOCK, OWNER
from utils.files.provenance import versions

MAKE = """
from pathlib import Path
from utils.course import output_folder, record
folder = output_folder(OUTPUT_DIR)
(folder / "finetuned" / "model").mkdir(parents=True, exist_ok=True)
(folder / "finetuned" / "model" / "model.safetensors").write_text(str(SEED))
(folder / "finetuned" / "model" / "README.md").write_text("a card")
"""
USE = """
from pathlib import Path
from utils.course import output_folder, record
model = output_folder(OUTPUT_DIR) / "finetuned" / "model"
(model / "README.md").write_text("a card with scores")
record(seed=float((model / "model.safetensors").read_text()))
"""
PARAMETERS = 'OUTPUT_DIR: str = "runs/small"  # results\nSEED: int = 1  # seed\n'
READS = 'DATASET: str = "captions.csv"  # data\nMODEL: str = "model"  # model\nDATA_DIR: str = ""  # pictures'


@pytest.fixture
def passing_on(tmp_path, monkeypatch):
    """A course whose first notebook reads data and a model and leaves a model, which the second one reads."""
    (tmp_path / "nbs" / "profiles").mkdir(parents=True)
    (tmp_path / "nbs" / "profiles" / "small.yaml").write_text("common:\n  SEED: 1\n")
    (tmp_path / "utils").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    (tmp_path / "captions.csv").write_text("filename,caption\na.png,A lake.\nb.png,A road.\n")
    top = "import os\nos.chdir(os.path.abspath('..'))\n"
    write_notebook(tmp_path / "nbs" / "01_make.ipynb", top + MAKE, PARAMETERS + READS)
    write_notebook(tmp_path / "nbs" / "02_use.ipynb", top + USE, PARAMETERS)
    return tmp_path


def statuses(root, overrides=None, **options) -> list[str]:
    return [outcome.status for outcome in run_course(root, "small", overrides or {}, **options)]


def rewrite_caption(root):
    (root / "captions.csv").write_text("filename,caption\na.png,A lake.\nb.png,A path.\n")


def drop_row(root):
    (root / "captions.csv").write_text("filename,caption\na.png,A lake.\n")


def repaint(root):
    Image.new("RGB", (8, 8), "red").save(root / "b.png")


def exchange_weights(root):
    (root / "model" / "model.safetensors").write_bytes(b"WEIGHTS")


def test_changed_inputs_and_lost_results_are_made_again_and_nothing_else(passing_on):
    folder = passing_on / "runs" / "small"
    assert statuses(passing_on) == ["ok", "ok"]
    assert statuses(passing_on) == ["kept", "kept"]
    for change in (rewrite_caption, repaint, exchange_weights, drop_row):
        change(passing_on)
        # The first reads them; it leaves the same model, so what the second gave still holds.
        assert (change, statuses(passing_on)) == (change, ["ok", "kept"])
    shutil.rmtree(folder / "finetuned")
    assert statuses(passing_on) == ["ok", "kept"]
    (folder / "finetuned" / "model" / "model.safetensors").write_text("7")
    (folder / "02_use.html").unlink()
    assert statuses(passing_on) == ["ok", "ok"]


def test_one_notebook_run_again_leaves_the_others_and_no_old_figure_stands_in_the_report(passing_on):
    statuses(passing_on)
    folder = passing_on / "runs" / "small"
    assert read_run(folder).metrics == {"02_use": {"seed": 1.0}}
    assert statuses(passing_on, {"SEED": 2}, only="01") == ["ok"]
    assert (folder / "02_use.ipynb").is_file() and (folder / "02_use.html").is_file()
    assert read_run(folder).metrics == {}
    assert "earlier run: 02_use" in (folder / "summary.md").read_text()
    assert statuses(passing_on, {"SEED": 2}) == ["kept", "ok"]
    assert read_run(folder).metrics == {"02_use": {"seed": 2.0}}


def test_metrics_say_what_they_were_made_with(passing_on):
    folder = passing_on / "runs" / "small"
    statuses(passing_on)
    noted = json.loads((folder / "metrics.json").read_text())["provenance"]
    assert noted.keys() == {"versions"} and noted["versions"]["jax"] == versions()["jax"]
    of_training = {"device": {"platform": "cpu"}, "data": {"name": "x"}, "model": {"name": "start"}}
    entry = {"from_step": 0, "versions": {}, **of_training}
    (folder / "finetuned" / "run.json").write_text(json.dumps({"provenance": [entry]}))
    statuses(passing_on)
    noted = json.loads((folder / "metrics.json").read_text())["provenance"]
    noted.pop("versions")
    assert noted == of_training


# --- nothing of the user's is deleted --------------------------------------------------------------------------


def every_file(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nbs", "part of the course itself"),
        ("nbs/profiles", "part of the course itself"),
        ("utils", "part of the course itself"),
        (".git", "part of the course itself"),
        (".", "more than results"),
        ("..", "more than results"),
        ("/", "more than results"),
        ("~", "more than results"),
        ("runs", "what all runs share"),
        ("runs/data", "what all runs share"),
        ("runs/student", "no run of the course has left, 01_make.ipynb the first"),
        ("mine", "no run of the course has left, 01_own.ipynb the first"),
        ("album", "holds scene.jpg"),
        ("a.png", "is a file"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"only": "01"}, {"fresh": True}], ids=str)
def test_a_folder_that_holds_other_things_is_refused_and_untouched(passing_on, place, reason, options):
    for folder in ("mine", "album", "runs/data", "runs/student"):
        (passing_on / folder).mkdir(parents=True)
    write_notebook(passing_on / "mine" / "01_own.ipynb", "1")
    shutil.copy(passing_on / "nbs" / "01_make.ipynb", passing_on / "runs" / "student")
    (passing_on / "album" / "scene.jpg").write_bytes(b"mine")
    before = every_file(passing_on)
    with pytest.raises(CourseError, match=reason):
        run_course(passing_on, "small", {"OUTPUT_DIR": place}, **options)
    assert every_file(passing_on) == before


def test_the_tilde_is_the_home_folder(passing_on, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert statuses(passing_on, {"OUTPUT_DIR": "~/results"}) == ["ok", "ok"]
    assert (tmp_path / "home" / "results" / "02_use.ipynb").is_file()
    assert not (passing_on / "~").exists()


def test_fresh_deletes_what_the_course_has_left_names_it_and_nothing_else(passing_on, tmp_path, capsys):
    folder = tmp_path / "elsewhere" / "results"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(CourseError, match="none has left its stamp"):
        statuses(passing_on, {"OUTPUT_DIR": str(folder)}, fresh=True)
    statuses(passing_on, {"OUTPUT_DIR": str(folder)})
    (folder / "my_own.ipynb").write_text((folder / "02_use.ipynb").read_text())
    capsys.readouterr()
    assert statuses(passing_on, {"OUTPUT_DIR": str(folder)}, fresh=True) == ["ok", "ok"]
    said = capsys.readouterr().out
    assert "Deleted" in said and "finetuned" in said and "01_make.ipynb" in said and "notes" not in said
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "my_own.ipynb").is_file()


def test_a_comparison_replaces_comparisons_alone(tmp_path):
    from utils.course.compare import write_comparison

    rows = [["notebook", "metric", "a"], ["05", "top1", "0.5"]]
    write_comparison(rows, tmp_path / "comparison.md")
    write_comparison(rows, tmp_path / "comparison.md")
    for name in ("README.md", "sheet.csv"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(CourseError, match="is not a comparison"):
            write_comparison(rows, tmp_path / name)
        assert (tmp_path / name).read_text() == "mine"


def test_every_name_that_the_notebooks_leave_is_known(root):
    """What FRESH=1 deletes is what the default run has left."""
    folder = root / "runs" / "miniature"
    if "CI" not in os.environ or not (folder / "summary.md").is_file():
        pytest.skip("the course has not just run here; who works in runs/miniature may keep more in it")
    copies = {path.name for path in course_notebooks(root)}
    copies |= {Path(name).with_suffix(".html").name for name in copies}
    known = copies | {LOCK, OWNER} | {path.name for path in results.results_in(folder)}
    assert {path.name for path in folder.iterdir()} <= known


# --- one run at a time, whole files ------------------------------------------------------------------------------


def test_a_second_run_in_a_folder_is_told_of_the_first(passing_on):
    with (
        sole_owner(passing_on / "runs" / "small", "running the course"),
        pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()} .*, running the course"),
    ):
        statuses(passing_on)


def test_half_a_notebook_of_an_earlier_run_does_not_stop_the_next(passing_on):
    statuses(passing_on)
    copy = passing_on / "runs" / "small" / "01_make.ipynb"
    copy.write_text(copy.read_text()[:200])
    (copy.parent / "parameters.json").write_text('{"profile": ')
    assert statuses(passing_on) == ["ok", "kept"]


def test_half_a_notebook_in_a_folder_of_a_run_elsewhere_does_not_stop_the_next(passing_on, tmp_path):
    elsewhere = {"OUTPUT_DIR": str(tmp_path / "elsewhere")}
    statuses(passing_on, elsewhere)
    copy = tmp_path / "elsewhere" / "02_use.ipynb"
    for length in (len(copy.read_text()) - 20, 200, 0):
        copy.write_text(copy.read_text()[:length])
        assert read_metrics(copy) == {}
        check_results_folder(passing_on, copy.parent)
    assert statuses(passing_on, elsewhere) == ["kept", "ok"]


def test_a_notebook_appears_with_its_page_or_not_at_all(passing_on, monkeypatch):
    folder = passing_on / "runs" / "small"
    written = execution.write_whole

    def cut_short(path, content):
        if path.suffix == ".ipynb":
            raise KeyboardInterrupt
        written(path, content)

    monkeypatch.setattr(execution, "write_whole", cut_short)
    with pytest.raises(KeyboardInterrupt):
        statuses(passing_on)
    assert not list(folder.glob("*.ipynb")) and not list(folder.glob(".*.ipynb"))
    monkeypatch.undo()
    monkeypatch.chdir(passing_on)
    statuses(passing_on)
    assert finished_stamp(folder / "02_use.ipynb")
    (folder / "02_use.html").unlink()
    assert finished_stamp(folder / "02_use.ipynb") is None


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "may not write there")],
)
def test_a_disk_that_takes_no_more_is_one_sentence_and_the_run_goes_on_later(passing_on, monkeypatch, number, reason):
    def refuse(path, content):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(execution, "write_whole", refuse)
    with pytest.raises(OSError, match=f"runs/small, .*{reason}") as caught:
        statuses(passing_on)
    assert str(caught.value).count("\n") == 0
    monkeypatch.undo()
    monkeypatch.chdir(passing_on)
    assert statuses(passing_on) == ["ok", "ok"]


RUN = """
import sys
from pathlib import Path
from utils.course.run import run_course
run_course(Path(sys.argv[1]), "small", {})
"""


def test_a_killed_run_leaves_no_kernel_and_the_next_one_ends_as_ever(passing_on):
    waiting = passing_on / "waiting"
    write = f"Path({str(waiting)!r}).write_text(str(os.getpid()))"
    code = f"import os, time\nfrom pathlib import Path\n{write}\ntime.sleep(60)"
    notebook = passing_on / "nbs" / "02_use.ipynb"
    source = notebook.read_text()
    write_notebook(notebook, code)
    process = subprocess.Popen([sys.executable, "-c", RUN, str(passing_on)], cwd=passing_on, stdout=subprocess.DEVNULL)
    wait_until(waiting.exists)
    process.kill()
    process.wait()
    kernel = int(waiting.read_text())
    wait_until(lambda: not Path(f"/proc/{kernel}").exists() or "\tZ" in Path(f"/proc/{kernel}/status").read_text())
    notebook.write_text(source)
    assert statuses(passing_on) == ["kept", "ok"]
    assert not list((passing_on / "runs" / "small").glob(".*.ipynb"))


def wait_until(holds, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_an_executed_copy_is_a_valid_notebook(passing_on):
    statuses(passing_on)
    nbformat.validate(nbformat.read(passing_on / "runs" / "small" / "02_use.ipynb", as_version=4))


def test_a_kernel_that_dies_before_it_has_begun_is_started_again(passing_on, monkeypatch):
    execute, starts = execution.papermill.execute_notebook, []

    def at_the_second_try(path, *arguments, **options):
        starts.append(Path(path).stem)
        if starts.count(Path(path).stem) < 2:  # as where another kernel has drawn the same port
            raise RuntimeError("Kernel died before replying to kernel_info")
        return execute(path, *arguments, **options)

    monkeypatch.setattr(execution.papermill, "execute_notebook", at_the_second_try)
    assert statuses(passing_on) == ["ok", "ok"] and len(starts) == 4


def test_a_kernel_that_never_starts_is_one_sentence(passing_on, monkeypatch):
    def never(source, output, **options):
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(execution.papermill, "execute_notebook", never)
    (failed,) = run_course(passing_on, "small", {})
    assert failed.status == "failed" and failed.error.count("\n") == 0
    assert failed.error.startswith("its kernel did not start: ")
