"""Execution: notebooks in kernels of their own, one after another, in this process never JAX."""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi

from utils.course.kernels import Kernels, end
from utils.course.ledger import LEFT, SOURCE, STAMP, Ledger
from utils.course.places import LeftOut
from utils.files import disk_trouble, write_whole

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
START_TIMEOUT = 300  # seconds that a kernel may take to answer: slow disks and virus scanners exist
LEFT_OUT = "left out"
IMAGES, UNTOLD = ("image/png", "image/jpeg"), "No description has been provided for this image"  # as nbconvert says
HERE = Path(__file__).resolve().parents[2]
RUNNING = ".{}.running.ipynb"  # what an executed copy is called while its notebook runs


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended."""

    stem: str  # its file name without the ending
    status: str  # ok, kept (an equal earlier run), left out (no data to work on) or failed
    seconds: float = 0.0  # wall-clock time of the execution
    error: str = ""  # of a failure the cell and the end of its error; of what was left out, why


def run_in_order(
    root: Path, notebooks: Iterable[Path], parameters: dict[str, dict[str, Any]], output_dir: Path, only: str = ""
) -> list[Outcome]:
    """Executes notebooks of which each may use what those before it left; one that is current (`Ledger`) is kept.

    With ``only`` those whose name begins so are executed, finished or not, and none of the others. Returns one outcome
    a notebook that was chosen, the first failure the last; raises an OSError if the disk takes no more.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    # What one notebook has compiled the next one reads back, small programs too: there are hundreds.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(root / "runs" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    _put_first_on_the_path(str(HERE), str(HERE / "data"))
    ledger, notebooks = Ledger(root, output_dir, parameters), list(notebooks)
    chosen = [path for path in notebooks if path.name.startswith(only)]
    following = dict(pairwise(chosen))
    outcomes = []
    with closing(Kernels()) as kernels:
        for path in notebooks:
            (output_dir / RUNNING.format(path.stem)).unlink(missing_ok=True)  # what a killed run was writing
            if path in chosen:
                if not only and ledger.is_current(path):
                    outcome = Outcome(path.stem, "kept")
                else:
                    take_kernel = partial(kernels.take, path, following.get(path))
                    outcome = run_notebook(path, parameters[path.stem], ledger, take_kernel)
                outcomes.append(outcome)
                _tell(outcome)
                if outcome.status == "failed":
                    break
            ledger.pass_on(path)
    return outcomes


def _tell(outcome: Outcome) -> None:
    seconds = "finished before, unchanged" if outcome.status == "kept" else f"{outcome.seconds:6.0f} s"
    print(f"{outcome.stem:<28} {outcome.status:<8} {seconds}", flush=True)
    if outcome.error:
        print(outcome.error, flush=True)


def _put_first_on_the_path(*places: str) -> None:
    """Lets kernels import what runs them, and not a package of the user's that has its name, such as ``utils``."""
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place not in places]
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *others])


def run_notebook(
    path: Path, parameters: dict[str, Any], ledger: Ledger, take_kernel: Callable[[], AsyncKernelManager]
) -> Outcome:
    """Executes one notebook in a kernel of its own; its copy, hidden while it runs, is kept whatever happens."""
    output = ledger.output_dir / path.name
    running = output.with_name(RUNNING.format(path.stem))
    before, stamp = ledger.states(), ledger.stamp(path)
    start = time.perf_counter()
    try:
        status, error = _execute(path, running, parameters, take_kernel)
        seconds = time.perf_counter() - start
        notebook = nbformat.read(running, as_version=4)
    finally:
        running.unlink(missing_ok=True)
    drop_widgets(notebook)
    notebook.metadata.update({SOURCE: path.name, LEFT: ledger.left_since(before, output)})
    if status != "failed":
        notebook.metadata[STAMP] = stamp
    # A notebook with a stamp has its page: a kill between the two leaves the page alone new.
    write_whole(output.with_suffix(".html"), as_page(notebook, path))
    write_whole(output, nbformat.writes(notebook) + "\n")
    return Outcome(path.stem, status, seconds, error)


def _execute(
    path: Path,
    output: Path,
    parameters: dict[str, Any],
    take_kernel: Callable[[], AsyncKernelManager],
    again: bool = True,
) -> tuple[str, str]:
    """Runs a notebook under papermill; returns its status, and the error of one that failed or was left out.

    A kernel that dies before it has begun is started ``again``: two that start at once may have drawn one port.
    """
    kernel = take_kernel()
    try:
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=parameters,
            kernel_name="python3",
            km=kernel,
            cwd=str(path.parent),
            progress_bar=False,
            request_save_on_cell_execute=False,  # a copy that is not finished is of no use to anybody
            start_timeout=START_TIMEOUT,
        )
    except papermill.PapermillExecutionError as failure:
        if failure.ename == LeftOut.__name__:
            return LEFT_OUT, failure.evalue
        # Colors are noise in a log.
        cell, evalue = f"cell {failure.cell_index + 1}", strip_ansi(failure.evalue)
        if reason := disk_trouble(evalue):
            return "failed", f"{cell}: {reason}; make room, and start the same run again: {evalue}"
        traceback = [line for line in strip_ansi("\n".join(failure.traceback)).splitlines() if line.strip()]
        return "failed", f"{cell}: {failure.ename}: {evalue}\n" + "\n".join(traceback[-12:])
    except DeadKernelError:
        _copy_without_outputs(path, output)
        return "failed", "its kernel died: most often there is not enough memory; a smaller BATCH_SIZE needs less."
    except RuntimeError as failure:
        if "before replying" not in str(failure):
            raise
        if not again:
            _copy_without_outputs(path, output)
            return "failed", "its kernel did not start: above stands what it said; `make check` says what is missing."
        return _execute(path, output, parameters, take_kernel, again=False)
    finally:
        end(kernel)
    return "ok", ""


def _copy_without_outputs(path: Path, output: Path) -> None:
    """Writes what papermill does not where a kernel is gone: a copy, without the outputs that are committed."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, output)


def as_page(notebook: Any, path: Path) -> str:
    """A notebook as HTML, its drawings within, and each figure with the sentence that nbconvert leaves out."""
    resources = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    page, _ = _exporter().from_notebook_node(notebook, resources=resources)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    images = ((output.metadata, kind) for output in outputs for kind in IMAGES if kind in output.data)
    texts = (metadata.get(kind, {}).get("alt", UNTOLD) for metadata, kind in images)
    return re.sub(UNTOLD, lambda _: html.escape(next(texts, UNTOLD)), page)


@cache  # its templates are compiled once for all notebooks
def _exporter() -> HTMLExporter:
    return HTMLExporter(embed_images=True)


def drop_widgets(notebook: Any) -> None:
    """Removes what progress bars leave behind: live widgets mean nothing without their kernel."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET_MIME not in output.get("data", {})]
