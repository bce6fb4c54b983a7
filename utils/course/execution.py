"""Execution: notebooks in kernels of their own, in this process never JAX."""

from __future__ import annotations

import html
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi

from utils.course.kernels import Kernel, Kernels
from utils.course.ledger import LEFT, SOURCE, STAMP, Ledger
from utils.course.places import LeftOut
from utils.course.schedule import next_to_start
from utils.files import disk_trouble, write_whole

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


@dataclass(frozen=True)
class Started:
    """A notebook that has been given a kernel, and what was noted then."""

    path: Path
    kernel: Kernel
    stamp: str  # of what it is made from
    before: dict[str, tuple]  # the states of all results


def run_notebooks(
    root: Path, notebooks: Iterable[Path], parameters: dict[str, dict[str, Any]], output_dir: Path, only: str = ""
) -> list[Outcome]:
    """Executes notebooks in the order of their `schedule`; one that is current (`Ledger`) is kept.

    With ``only`` those whose name begins so are executed, finished or not, and none of the others. Returns one outcome
    a notebook that was chosen, failures the last: behind the first none is started. Raises an OSError if the disk takes
    no more.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    # What one notebook has compiled the next one reads back, small programs too: there are hundreds.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(root / "runs" / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    _put_first_on_the_path(str(HERE), str(HERE / "data"))
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # outcomes tell of a kernel that died
    ledger, notebooks = Ledger(root, output_dir, parameters), list(notebooks)
    for path in notebooks:
        (output_dir / RUNNING.format(path.stem)).unlink(missing_ok=True)  # what a killed run was writing
    waiting = [path for path in notebooks if path.name.startswith(only)]
    outcomes: list[Outcome] = []
    running: dict[Future[tuple[Any, Outcome]], Started] = {}
    with ThreadPoolExecutor() as threads, closing(Kernels()) as kernels:
        while waiting or running:
            while chosen := next_to_start(waiting, _paths(running), output_dir):
                waiting.remove(chosen)
                if not only and ledger.is_current(chosen):
                    outcomes.append(_tell(Outcome(chosen.stem, "kept")))
                    continue
                started = Started(chosen, kernels.take(chosen), ledger.stamp(chosen), ledger.states())
                running[threads.submit(_execute, started, parameters[chosen.stem], output_dir, kernels)] = started
            # When one of those that run has ended.
            kernels.start_ahead(next_to_start(waiting, _paths(running)[1:], output_dir))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                notebook, outcome = future.result()
                _keep(running.pop(future), notebook, outcome, ledger)
                outcomes.append(_tell(outcome))
            if any(outcome.status == "failed" for outcome in outcomes):
                waiting.clear()
    return sorted(outcomes, key=lambda outcome: (outcome.status == "failed", outcome.stem))


def _paths(running: Mapping[Any, Started]) -> list[Path]:
    return [started.path for started in running.values()]


def _tell(outcome: Outcome) -> Outcome:
    seconds = "finished before, unchanged" if outcome.status == "kept" else f"{outcome.seconds:6.0f} s"
    print(f"{outcome.stem:<28} {outcome.status:<8} {seconds}", flush=True)
    if outcome.error:
        print(outcome.error, flush=True)
    return outcome


def _put_first_on_the_path(*places: str) -> None:
    """Lets kernels import what runs them, and not a package of the user's that has its name, such as ``utils``."""
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place not in places]
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *others])


def _keep(started: Started, notebook: Any, outcome: Outcome, ledger: Ledger) -> None:
    """Writes an executed copy and its page, whatever has happened."""
    path, output = started.path, ledger.output_dir / started.path.name
    drop_widgets(notebook)
    notebook.metadata.update({SOURCE: path.name, LEFT: ledger.left_since(started.before, path)})
    if outcome.status != "failed":
        notebook.metadata[STAMP] = started.stamp
    # A notebook with a stamp has its page: a kill between the two leaves the page alone new.
    write_whole(output.with_suffix(".html"), as_page(notebook, path))
    write_whole(output, nbformat.writes(notebook) + "\n")


def _execute(started: Started, parameters: dict[str, Any], output_dir: Path, kernels: Kernels) -> tuple[Any, Outcome]:
    """Executes one notebook into a hidden copy, which is read and deleted."""
    path, running = started.path, output_dir / RUNNING.format(started.path.stem)
    start = time.perf_counter()
    try:
        status, error = _run_cells(path, running, parameters, kernels, started.kernel)
        outcome = Outcome(path.stem, status, time.perf_counter() - start, error)
        return nbformat.read(running, as_version=4), outcome
    finally:
        running.unlink(missing_ok=True)


def _run_cells(
    path: Path, output: Path, parameters: dict[str, Any], kernels: Kernels, kernel: Kernel, again: bool = True
) -> tuple[str, str]:
    """Runs a notebook under papermill; returns its status, and the error of one that failed or was left out.

    A kernel that dies before it has begun is started ``again``: where it has ports, another may have been faster.
    """
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
        return _run_cells(path, output, parameters, kernels, kernels.take(path), again=False)
    finally:
        kernels.give_back(kernel)
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
