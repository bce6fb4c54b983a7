"""The runner, on small notebooks of its own: parameters, failures, resuming, reports."""

import html
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import nbformat
import pytest
from jupyter_core.utils import run_sync
from nbformat import v4

from utils.course import CourseError, course_notebooks, output_folder
from utils.course.compare import read_run
from utils.course.execution import as_page, run_notebooks
from utils.course.kernels import Kernels
from utils.course.parameters import load_profile, resolve_parameters
from utils.course.run import run_course, zero_shot_table


def write_notebook(path, code: str, parameters: str = "TIMES: int = 2  # how often") -> None:
    cells = [nbformat.v4.new_code_cell(parameters), nbformat.v4.new_code_cell(code)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


RECORD = "from utils.course import record\nrecord(baseline_top1=0.25 * TIMES)"


@pytest.fixture
def small_course(tmp_path):
    """A course of two notebooks with one profile."""
    (tmp_path / "nbs" / "profiles").mkdir(parents=True)
    (tmp_path / "utils").mkdir()
    write_notebook(tmp_path / "nbs" / "01_count.ipynb", RECORD)
    write_notebook(tmp_path / "nbs" / "02_count_again.ipynb", RECORD, "WORD: str = 'a'  # which\nTIMES: int = 1")
    (tmp_path / "nbs" / "profiles" / "small.yaml").write_text("common:\n  TIMES: 3\n02_count_again:\n  WORD: b\n")
    return tmp_path


def metrics(root):
    return read_run(root / "runs" / "small").metrics


def test_profile_and_overrides_reach_the_notebooks_that_declare_them(small_course):
    notebooks = course_notebooks(small_course)
    name, profile = load_profile(small_course, "small")
    assert name == "small"
    assert resolve_parameters(notebooks, profile, {"TIMES": 4}) == {
        "01_count": {"TIMES": 4},
        "02_count_again": {"TIMES": 4, "WORD": "b"},
    }


@pytest.mark.parametrize(
    ("profile", "overrides", "sentence"),
    [
        ({"common": {"TIMS": 1}}, {}, r"TIMS \(common\)"),
        ({"01_count": {"WORD": "b"}}, {}, r"WORD \(01_count\)"),
        ({"07_none": {}}, {}, "07_none"),
        ({}, {"EPOCS": 1}, r"EPOCS \(command line\)"),
    ],
)
def test_unknown_names_are_refused(small_course, profile, overrides, sentence):
    with pytest.raises(CourseError, match=sentence):
        resolve_parameters(course_notebooks(small_course), profile, overrides)


def test_a_run_leaves_notebooks_pages_metrics_and_summary_and_is_kept(small_course):
    first = run_course(small_course, "small", {})
    assert [outcome.status for outcome in first] == ["ok", "ok"]
    assert metrics(small_course) == {"01_count": {"baseline_top1": 0.75}, "02_count_again": {"baseline_top1": 0.75}}
    folder = small_course / "runs" / "small"
    assert "baseline_top1 = 0.75" in (folder / "01_count.html").read_text()
    assert "02_count_again" in (folder / "summary.md").read_text()

    assert [outcome.status for outcome in run_course(small_course, "small", {})] == ["kept", "kept"]
    changed = run_course(small_course, "small", {"WORD": "c"})
    assert [outcome.status for outcome in changed] == ["kept", "ok"]
    assert [o.status for o in run_course(small_course, "small", {}, only="01")] == ["ok"]
    # It has left nothing new to those after it.
    assert [o.status for o in run_course(small_course, "small", {})] == ["kept", "ok"]
    assert metrics(small_course)["02_count_again"] == {"baseline_top1": 0.75}


def test_only_a_change_of_what_a_notebook_stands_on_makes_its_copy_stale(small_course):
    modules = {
        "utils/__init__.py": "",
        "utils/course.py": "def record():\n    from utils import below\n",
        "utils/below.py": "import standins",
        "utils/beside.py": "import utils.course",
        "data/standins/__init__.py": "",
    }
    for name, source in modules.items():
        (small_course / name).parent.mkdir(parents=True, exist_ok=True)
        (small_course / name).write_text(source)
    write_notebook(small_course / "nbs" / "01_count.ipynb", "1")  # it imports nothing
    run_course(small_course, "small", {})
    for name in modules:
        (small_course / name).write_text(f"{modules[name]}\n# changed")
        statuses = [outcome.status for outcome in run_course(small_course, "small", {})]
        stands_on_it = name.startswith("utils/") and "beside" not in name
        assert statuses == ["kept", "ok" if stands_on_it else "kept"], name


def test_the_first_failure_ends_the_run_and_is_kept_to_look_at(small_course, capsys):
    write_notebook(small_course / "nbs" / "01_count.ipynb", "print('so far')\nraise ValueError('broken here')")
    outcomes = run_course(small_course, "small", {})
    assert [outcome.status for outcome in outcomes] == ["failed"]
    assert "cell" in outcomes[0].error and "broken here" in outcomes[0].error
    said = capsys.readouterr().out
    assert "broken here" in said and "\x1b" not in said
    kept = (small_course / "runs" / "small" / "01_count.ipynb").read_text()
    assert "so far" in kept
    write_notebook(small_course / "nbs" / "01_count.ipynb", RECORD)
    assert [o.status for o in run_course(small_course, "small", {})] == ["ok", "ok"]


def test_too_little_memory_is_one_sentence_whether_the_system_or_python_says_so(small_course):
    notebook = small_course / "nbs" / "01_count.ipynb"
    write_notebook(notebook, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")  # as Linux does
    (failed,) = run_course(small_course, "small", {})
    assert failed.error.startswith("its kernel died: most often there is not enough memory")
    assert "SIGKILL" in (small_course / "runs" / "small" / "01_count.ipynb").read_text()
    write_notebook(notebook, "bytearray(2**62)")
    (failed,) = run_course(small_course, "small", {})
    assert failed.error.startswith("cell 3: MemoryError: ") and "\x1b" not in failed.error


def test_fresh_forgets_what_earlier_runs_left(small_course):
    run_course(small_course, "small", {})
    model = small_course / "runs" / "small" / "finetuned"
    model.mkdir()
    outcomes = run_course(small_course, "small", {}, fresh=True)
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"] and not model.exists()
    with pytest.raises(CourseError, match="give one of them"):
        run_course(small_course, "small", {}, only="01", fresh=True)


def test_an_unknown_profile_or_notebook_is_one_sentence(small_course):
    with pytest.raises(CourseError, match="choose one of small"):
        load_profile(small_course, "large")
    with pytest.raises(CourseError, match="No notebook begins with '09'"):
        run_course(small_course, "small", {}, only="09")


def test_command_line_says_what_is_wrong_without_a_traceback(root):
    call = [sys.executable, "-m", "utils.course", "--set", "NONSENSE=1"]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True)
    assert done.returncode == 2
    assert "NONSENSE" in done.stderr and "Traceback" not in done.stderr


def test_a_failure_prints_no_colors_and_a_full_disk_one_sentence(small_course):
    notebook = small_course / "nbs" / "01_count.ipynb"
    write_notebook(notebook, "raise ValueError('\x1b[31mred\x1b[0m here')")
    assert "ValueError: red here" in (error := run_course(small_course, "small", {})[0].error) and "\x1b" not in error
    write_notebook(notebook, "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), '/far/away')")
    (failed,) = run_course(small_course, "small", {})
    assert failed.error.startswith("cell 3: the disk is full; make room, and start the same run again: ")
    assert failed.error.endswith("'/far/away'") and "\n" not in failed.error


def test_a_package_of_the_users_own_that_comes_first_is_not_taken_for_the_courses(small_course, tmp_path, monkeypatch):
    for name in ("utils", "standins"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "__init__.py").write_text("")
    write_notebook(small_course / "nbs" / "01_count.ipynb", f"import standins.scenes, seaside\n{RECORD}")
    (tmp_path / "mine" / "seaside.py").write_text("")  # what else lies there is still found
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "mine"), os.environ.get("PYTHONPATH", "")]))
    outcomes = run_course(small_course, "small", {}, only="01")
    assert [(outcome.status, outcome.error) for outcome in outcomes] == [("ok", "")]


def course_command(*options: str) -> list[str]:
    return [sys.executable, *options, "-m", "utils.course", "--profile", "small"]


def test_ctrl_c_ends_with_one_sentence_and_no_kernel(small_course):
    waiting = small_course / "waiting"
    note = f"Path({str(waiting)!r}).write_text(str(os.getpid()))"
    code = f"import os, time\nfrom pathlib import Path\n{note}\ntime.sleep(60)"
    write_notebook(small_course / "nbs" / "02_count_again.ipynb", code, "WORD: str = 'a'  # which")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(course_command(), cwd=small_course, start_new_session=True, **streams)
    while not (waiting.exists() and waiting.read_text()) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    said, complained = process.communicate(timeout=60)
    assert process.returncode == 130 and "01_count                     ok" in said
    assert complained.strip() == "make course: stopped; what has finished is kept, and the same command resumes it."
    with pytest.raises(ProcessLookupError):
        os.kill(int(waiting.read_text()), 0)


def test_the_next_kernel_has_imported_what_its_notebook_will_and_knows_no_name(small_course):
    code = """import sys
assert "colorsys" in sys.modules and not {"colorsys", "utils", "importlib"} & globals().keys()
import colorsys
"""
    write_notebook(small_course / "nbs" / "02_count_again.ipynb", code, "WORD: str = 'a'  # which")
    assert [outcome.status for outcome in run_course(small_course, "small", {})] == ["ok", "ok"]


def test_no_kernel_is_left_behind(small_course):
    first, second = course_notebooks(small_course)
    with closing(Kernels()) as kernels:
        kernels.start_ahead(first)
        taken = kernels.take(first)
        kernels.start_ahead(second)
        replaced = kernels._ahead[1]
        kernels.start_ahead(first)
        kernels.give_back(taken)
        cut_off, waiting = kernels.take(second), kernels._ahead[1]
        assert [run_sync(one.is_alive)() for one in (taken, replaced, cut_off, waiting)] == [False, False, True, True]
    deadline = time.monotonic() + 60
    while any(run_sync(one.is_alive)() for one in (cut_off, waiting)):
        assert time.monotonic() < deadline


def test_nobody_listens_to_a_kernel_that_is_gone(small_course, tmp_path):
    before = set(threading.enumerate())
    paths = course_notebooks(small_course)
    outcomes = run_notebooks(small_course, paths, {path.stem: {} for path in paths}, tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == ["ok"] * len(paths)
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has ports alone")
def test_kernels_are_spoken_to_by_files_of_their_own(small_course):
    path = course_notebooks(small_course)[0]
    with closing(Kernels()) as kernels:
        one, other = kernels.take(path), kernels.take(path)
        assert one.transport == other.transport == "ipc" and one.ip != other.ip
        folder = Path(one.connection_file).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


@pytest.mark.parametrize("length", [40, 4])
def test_where_no_socket_can_be_a_file_kernels_have_ports(small_course, monkeypatch, tmp_path, length):
    place = tmp_path.joinpath(*["deep"] * length)
    place.mkdir(parents=True)
    if length == 4:
        monkeypatch.delattr(socket, "AF_UNIX")  # as on Windows
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with closing(Kernels()) as kernels:
        assert kernels.take(course_notebooks(small_course)[0]).transport == "tcp"
    assert not list(place.iterdir())


def test_a_kernel_is_gone_after_its_hooks_and_takes_nothing_apart(small_course):
    code = f"""assert not {{"atexit", "os"}} & globals().keys()
import atexit
from pathlib import Path

class Kept:
    def __del__(self):
        Path({str(small_course / "taken_apart")!r}).touch()

kept = Kept()
_ = atexit.register(Path({str(small_course / "hook")!r}).touch)
"""
    write_notebook(small_course / "nbs" / "01_count.ipynb", code)
    (outcome,) = run_course(small_course, "small", {}, only="01")
    assert (outcome.status, outcome.error) == ("ok", "")
    assert (small_course / "hook").exists() and not (small_course / "taken_apart").exists()


def test_the_course_runs_in_odd_environments(small_course):
    """ASCII alone, a home that takes no file, files for their owner alone, one core, no assertions, a dead proxy."""
    text = "Überflug · 俯瞰 · a·b"
    write_notebook(small_course / "nbs" / "01_count.ipynb", f"print({text!r})\n{RECORD}")
    (small_course / "home").mkdir(mode=0o500)  # root may write there nevertheless
    odd = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "HOME": str(small_course / "home")}
    odd |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")

    def one_core() -> None:
        os.umask(0o077)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:1]))

    command = course_command("-O")
    done = subprocess.run(command, cwd=small_course, env=os.environ | odd, capture_output=True, preexec_fn=one_core)
    assert (done.returncode, done.stderr.count(b"Traceback")) == (0, 0), done.stderr
    assert metrics(small_course)["01_count"] == {"baseline_top1": 0.75}
    assert text in (small_course / "runs" / "small" / "01_count.ipynb").read_text(encoding="utf-8")


def test_zero_shot_table_has_both_models_prompt_and_intervals():
    metrics: dict = {"05_evaluate_zero_shot": {}}
    figures = {str(k): {"value": k / 20, "low": 0.04, "high": 0.625} for k in (1, 3, 5, 10)}
    of = {"templates": ["A {}"], "scores": {"baseline": figures, "fine-tuned": figures}}
    evaluation = {"intervals": "bootstrap", "zero_shot": {"documents": of}}  # as before there was a choice
    for prompt in ({}, {"prompt": "A {}", "zero_shot": {"A {}": of}}):
        table = zero_shot_table(metrics, evaluation | prompt)
        assert "| baseline | 0.050 (0.040 to 0.625) | 0.150 (" in table and table.count(" to 0.625) ") == 8
        assert table.endswith('\n\nPrompt "A {}"; in brackets: bootstrap.')
    assert zero_shot_table({}, evaluation) == "" == zero_shot_table(metrics, {})


def test_results_go_to_the_drive_only_on_colab_with_a_drive(monkeypatch):
    monkeypatch.setattr("pathlib.Path.is_dir", lambda path: str(path) == "/content/drive/MyDrive")
    assert output_folder("runs/miniature") == Path("runs/miniature")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert output_folder("runs/x") == Path("/content/drive/MyDrive/clip-earth-course/runs/x")
    assert output_folder("/elsewhere") == Path("/elsewhere")


def test_a_page_holds_drawings_and_tells_what_figures_show(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "towers.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
    alts = ({"image/png": {"alt": 'a "dot" < two'}}, {}, {"image/png": {"alt": "another"}})
    outputs = [v4.new_output("display_data", data={"image/png": dot}, metadata=metadata) for metadata in alts]
    cells = [v4.new_markdown_cell("![Two towers.](images/towers.svg)"), v4.new_code_cell("1", outputs=outputs)]
    page = as_page(v4.new_notebook(cells=cells), tmp_path / "01.ipynb")
    told = [html.unescape(alt) for alt in re.findall(r'<img alt="([^"]*)"', page)]
    assert told == ["Two towers.", 'a "dot" < two', "No description has been provided for this image", "another"]
    assert page.count('src="data:image/svg+xml;base64') == 1 and "images/towers.svg" not in page
