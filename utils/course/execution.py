"""Execution: notebooks in kernels of their own, one after another, in this process never JAX."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.course.errors import CourseError, LeftOut
from utils.course.places import course_notebooks
from utils.course.stamps import STAMP, finished_stamp, stamp_of
from utils.files import write_whole

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
# A local kernel need not warn of its unencrypted port, nor trace how it was stopped; errors of cells come as ever.
QUIET_KERNEL = ["--IPKernelApp.log_level=CRITICAL"]

START_TIMEOUT = 300  # seconds that a kernel may take to answer: slow disks and virus scanners exist

LEFT_OUT = "left out"


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes:
        stem: File name without its ending.
        status: ``ok``, ``kept`` (an equal earlier run was kept), ``left out`` (the data give it nothing to work
            on) or ``failed``.
        seconds: Wall-clock time of the execution.
        error: For a failure, the cell and the end of its error; for what was left out, why.
    """

    stem: str
    status: str
    seconds: float = 0.0
    error: str = ""


def run_in_order(
    root: Path,
    notebooks: Iterable[Path],
    parameters: dict[str, dict[str, Any]],
    output_dir: Path,
    keep: bool = True,
    inputs: Iterable[Path] = (),
) -> list[Outcome]:
    """Executes notebooks of which each may use what those before it left; says how each of them ended.

    Args:
        root: Top of the checkout.
        notebooks: What to execute, in this order.
        parameters: What each is given, by its stem.
        output_dir: Receives the executed copies and pages.
        keep: Keep the finished notebooks at the beginning whose source, package, parameters and inputs are
            what they were.
        inputs: Files that the notebooks read, whose content has a say in what they give.

    Returns:
        One outcome a notebook; the first failure is the last.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    # What one notebook has compiled the next one reads back.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(root / "runs" / "compiled"))
    outcomes = []
    for path in notebooks:
        stamp = stamp_of(root, path, parameters[path.stem], inputs)
        keep = keep and finished_stamp(output_dir / path.name) == stamp
        if keep:
            outcomes.append(Outcome(path.stem, "kept"))
        else:
            outcomes.append(run_notebook(path, output_dir, parameters[path.stem], stamp))
        _print_outcome(outcomes[-1])
        if outcomes[-1].status == "failed":
            break
    return outcomes


def run_notebook(path: Path, output_dir: Path, parameters: dict[str, Any], stamp: str) -> Outcome:
    """Executes one notebook in a kernel of its own; the executed copy is kept whatever happens.

    Raises:
        CourseError: If no kernel answers.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    output = output_dir / path.name
    _forget(output)
    start = time.perf_counter()
    status, error = "ok", ""
    try:
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=parameters,
            kernel_name="python3",
            cwd=str(path.parent),
            progress_bar=False,
            start_timeout=START_TIMEOUT,
            extra_arguments=QUIET_KERNEL,
        )
    except papermill.PapermillExecutionError as failure:
        status, error = _describe_failure(failure)
    except DeadKernelError:
        status = "failed"
        error = "its kernel died: most often there is not enough memory; a smaller BATCH_SIZE needs less."
    except RuntimeError as failure:
        if "respond" not in str(failure):
            raise
        raise CourseError(
            f"{path.name}: its kernel did not answer in {START_TIMEOUT} seconds; see that nothing keeps programs of "
            "this machine from talking to each other on 127.0.0.1 (a firewall, a network without loopback)."
        ) from None
    seconds = time.perf_counter() - start
    notebook = nbformat.read(output, as_version=4)
    drop_widgets(notebook)
    if status != "failed":
        notebook.metadata[STAMP] = stamp
    nbformat.write(notebook, output)
    _write_html(notebook, output.with_suffix(".html"))
    return Outcome(path.stem, status, seconds, error)


def refresh_notebooks(root: Path) -> None:
    """Executes every notebook in place with its own defaults, for committing: no parameters, no widgets."""
    import nbformat
    from nbclient import NotebookClient

    extra = [root / "nbs" / "template.ipynb", *sorted((root / "nbs" / "solutions").glob("*.ipynb"))]
    for path in [*course_notebooks(root), *extra]:
        start = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(
            notebook,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            record_timing=False,
            extra_arguments=QUIET_KERNEL,
        ).execute()
        drop_widgets(notebook)
        notebook.metadata.language_info = {"name": "python"}  # its version would change with every machine
        nbformat.write(notebook, path)
        _print_outcome(Outcome(path.stem, "ok", time.perf_counter() - start))


def drop_widgets(notebook: Any) -> None:
    """Removes what progress bars leave behind: live widgets mean nothing without their kernel."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET_MIME not in o.get("data", {})]


def _forget(output: Path) -> None:
    """Drops the earlier run of this notebook, and the claim of later ones to be up to date with it."""
    for later in output.parent.glob("[0-9][0-9]_*.ipynb"):
        if later.name >= output.name:
            later.unlink()
            later.with_suffix(".html").unlink(missing_ok=True)


def _describe_failure(failure: Any) -> tuple[str, str]:
    """How a notebook ended that did not run to its end, and why."""
    if failure.ename == LeftOut.__name__:
        return LEFT_OUT, failure.evalue
    traceback = [line for line in "\n".join(failure.traceback).splitlines() if line.strip()]
    where = f"cell {failure.cell_index + 1}: {failure.ename}: {failure.evalue}\n"
    return "failed", where + "\n".join(traceback[-12:])


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    write_whole(path, page)


def _print_outcome(outcome: Outcome) -> None:
    seconds = f"{outcome.seconds:6.0f} s" if outcome.status != "kept" else "finished before, unchanged"
    print(f"{outcome.stem:<28} {outcome.status:<8} {seconds}", flush=True)
    if outcome.error:
        print(outcome.error, flush=True)
