"""Runs the course: every notebook under papermill with one profile's parameters, results in one folder.

``python -m utils.course`` is what ``make course`` calls. Notebooks use two functions from here: `record` notes a
metric in the notebook's own output, and `find_root` finds the top of the checkout. This module never imports
JAX: the kernels do, and on a TPU only one process may.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.files import write_whole

METRIC_MIME = "application/vnd.clip-course.metric+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
STAMP = "course_stamp"
# A local kernel need not warn of its unencrypted port, nor trace how it was stopped; errors of cells come as ever.
QUIET_KERNEL = ["--IPKernelApp.log_level=CRITICAL"]

EXPECTED_TIME = {
    "miniature": "5 to 6 minutes on two cores, without a network.",
    "rsicd_cpu": "15 to 20 minutes on two cores.",
    "rsicd": "for one GPU.",
    "colab_tpu": "for a TPU.",
}


class CourseError(Exception):
    """Something that stops a run of the course; the message says what, where and what to do."""


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes:
        stem: File name without its ending.
        status: ``ok``, ``kept`` (an equal earlier run was kept) or ``failed``.
        seconds: Wall-clock time of the execution.
        error: For a failure, the cell and the end of its error.
    """

    stem: str
    status: str
    seconds: float = 0.0
    error: str = ""


# --- for the notebooks ---------------------------------------------------------------------------------------


def find_root() -> Path:
    """The top of the checkout, from anywhere inside it.

    Raises:
        CourseError: If no folder above has the course in it.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "nbs" / "profiles").is_dir():
            return folder
    raise CourseError(f"{here} is not inside the course; change into the folder that holds nbs/ and utils/.")


def output_folder(path: str) -> Path:
    """Where results go: as the parameter says, and on Colab with Drive mounted, into the Drive.

    What lies there outlives the machine, so a training goes on after a disconnect.

    Args:
        path: The parameter OUTPUT_DIR, or a file below it; an absolute path is taken as it is.
    """
    drive = Path("/content/drive/MyDrive")
    if "COLAB_RELEASE_TAG" in os.environ and drive.is_dir():
        return drive / "clip-earth-course" / path
    return Path(path)


def record(**metrics: float) -> None:
    """Notes metrics in the output of the notebook cell, where the runner and the tests find them.

    Args:
        metrics: Names and numbers; a name stands once in a notebook.
    """
    from IPython.display import display

    values = {name: float(value) for name, value in metrics.items()}
    text = "\n".join(f"{name} = {value:.4g}" for name, value in values.items())
    display({METRIC_MIME: values, "text/plain": text}, raw=True)


# --- profiles and parameters ---------------------------------------------------------------------------------


def load_profile(root: Path, profile: str) -> dict[str, dict[str, Any]]:
    """Reads nbs/profiles/<profile>.yaml: a section ``common`` and one for each notebook that wants more.

    Raises:
        CourseError: If there is no such profile.
    """
    import yaml

    path = root / "nbs" / "profiles" / f"{profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise CourseError(f"There is no profile {profile!r}; choose one of {known}.")
    return yaml.safe_load(path.read_text()) or {}


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The parameters that a notebook declares, by papermill's own reading of its parameters cell."""
    from papermill import inspect_notebook

    return inspect_notebook(str(path))


def resolve_parameters(
    notebooks: Iterable[Path], profile: dict[str, dict[str, Any]], overrides: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Decides what each notebook is given.

    A notebook gets of ``common`` and of the overrides what it declares, and all of its own section.

    Args:
        notebooks: Every notebook of the course, not only those to be run.
        profile: As from `load_profile`.
        overrides: Values from the command line.

    Returns:
        Parameters by notebook stem.

    Raises:
        CourseError: If a name is declared nowhere: papermill alone would only warn, and run with defaults.
    """
    declared = {path.stem: set(notebook_parameters(path)) for path in notebooks}
    everywhere = set().union(*declared.values())
    sections = {name: values or {} for name, values in profile.items()}
    common = sections.pop("common", {})
    unknown = [f"{name} (common)" for name in common if name not in everywhere]
    unknown += [f"{name} (command line)" for name in overrides if name not in everywhere]
    for stem, values in sections.items():
        if stem not in declared:
            raise CourseError(f"The profile has a section {stem!r}, but no notebook has that name.")
        unknown += [f"{name} ({stem})" for name in values if name not in declared[stem]]
    if unknown:
        raise CourseError(f"No notebook has the parameters {', '.join(unknown)}; check their spelling.")
    return {
        stem: {
            name: value
            for name, value in {**common, **sections.get(stem, {}), **overrides}.items()
            if name in names
        }
        for stem, names in declared.items()
    }


# --- running -------------------------------------------------------------------------------------------------


def course_notebooks(root: Path) -> list[Path]:
    """The numbered notebooks, in reading order."""
    return sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb"))


def run_course(
    root: Path, profile: str, overrides: dict[str, Any], only: str = "", fresh: bool = False
) -> list[Outcome]:
    """Runs the notebooks one after another and writes what they gave.

    Args:
        root: Top of the checkout.
        profile: Name of a profile.
        overrides: Parameters that replace the profile's.
        only: Run only notebooks whose name begins so ('04').
        fresh: Delete what earlier runs of the profile have left, trained models included, and begin anew.

    Returns:
        One outcome a notebook; the first failure is the last.

    Raises:
        CourseError: If profile, parameters or selection cannot work; nothing has run then.
    """
    notebooks = course_notebooks(root)
    parameters = resolve_parameters(notebooks, load_profile(root, profile), overrides)
    chosen = [path for path in notebooks if path.name.startswith(only)]
    if not chosen:
        raise CourseError(
            f"No notebook begins with {only!r}; there are {', '.join(p.stem for p in notebooks)}."
        )
    output_dir = root / "runs" / profile
    if fresh and only:
        raise CourseError(
            "FRESH=1 begins the whole run anew and NB= runs one notebook of it; give one of them."
        )
    if fresh:
        shutil.rmtree(output_dir, ignore_errors=True)
    outcomes = run_in_order(root, chosen, parameters, output_dir, keep=not only)
    _write_reports(output_dir, profile, outcomes)
    return outcomes


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
    """Executes one notebook in a kernel of its own; the executed copy is kept whatever happens."""
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    output = output_dir / path.name
    _forget(output)
    start = time.perf_counter()
    error = ""
    try:
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=parameters,
            kernel_name="python3",
            cwd=str(path.parent),
            progress_bar=False,
            extra_arguments=QUIET_KERNEL,
        )
    except papermill.PapermillExecutionError as failure:
        error = _describe_failure(failure)
    except DeadKernelError:
        error = "its kernel died: most often there is not enough memory; a smaller BATCH_SIZE needs less."
    seconds = time.perf_counter() - start
    notebook = nbformat.read(output, as_version=4)
    drop_widgets(notebook)
    if not error:
        notebook.metadata[STAMP] = stamp
    nbformat.write(notebook, output)
    _write_html(notebook, output.with_suffix(".html"))
    return Outcome(path.stem, "failed" if error else "ok", seconds, error)


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


def read_metrics(path: Path) -> dict[str, float]:
    """The metrics that an executed notebook has recorded."""
    import nbformat

    metrics: dict[str, float] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            metrics.update(output.get("data", {}).get(METRIC_MIME, {}))
    return metrics


def stamp_of(root: Path, path: Path, parameters: dict[str, Any], inputs: Iterable[Path] = ()) -> str:
    """What an execution depends on: the notebook's source, the package, the parameters, the files it reads."""
    import nbformat

    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for cell in nbformat.read(path, as_version=4).cells:
        digest.update(cell.source.encode())
    package = root / "utils"
    for module in sorted(package.rglob("*.py")):
        if module.relative_to(package).parts[0] != "sweep":  # it runs notebooks; none of them reads it
            digest.update(module.read_bytes())
    for file in inputs:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def finished_stamp(output: Path) -> str | None:
    """The stamp of an executed notebook; None if it is not there or did not finish."""
    import nbformat

    if not output.is_file():
        return None
    return nbformat.read(output, as_version=4).metadata.get(STAMP)


def _forget(output: Path) -> None:
    """Drops the earlier run of this notebook, and the claim of later ones to be up to date with it."""
    for later in output.parent.glob("[0-9][0-9]_*.ipynb"):
        if later.name >= output.name:
            later.unlink()
            later.with_suffix(".html").unlink(missing_ok=True)


def _describe_failure(failure: Any) -> str:
    traceback = [line for line in "\n".join(failure.traceback).splitlines() if line.strip()]
    return f"cell {failure.cell_index + 1}: {failure.ename}: {failure.evalue}\n" + "\n".join(traceback[-12:])


def _write_html(notebook: Any, path: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(notebook, resources={"metadata": {"name": path.stem}})
    write_whole(path, page)


# --- reports -------------------------------------------------------------------------------------------------


def _write_reports(output_dir: Path, profile: str, outcomes: list[Outcome]) -> None:
    metrics = {
        path.stem: values
        for path in sorted(output_dir.glob("[0-9][0-9]_*.ipynb"))
        if (values := read_metrics(path))
    }
    write_whole(output_dir / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    lines = [f"# The course, profile {profile}", "", "| notebook | status | seconds |", "|---|---|---|"]
    lines += [f"| [{o.stem}]({o.stem}.html) | {o.status} | {o.seconds:.0f} |" for o in outcomes]
    if table := zero_shot_table(metrics):
        lines += ["", "## Zero-shot, test split", "", table]
    write_whole(output_dir / "summary.md", "\n".join(lines) + "\n")


def zero_shot_table(metrics: dict[str, dict[str, float]]) -> str:
    """Baseline beside fine-tuned at k = 1, 3, 5, 10, as Markdown; empty if nothing was evaluated."""
    scores = metrics.get("05_evaluate_zero_shot", {})
    if "finetuned_top1" not in scores:
        return ""
    rows = ["| model | k=1 | k=3 | k=5 | k=10 |", "|---|---|---|---|---|"]
    for name, prefix in (("baseline", "baseline"), ("fine-tuned", "finetuned")):
        cells = " | ".join(f"{scores[f'{prefix}_top{k}']:.3f}" for k in (1, 3, 5, 10))
        rows.append(f"| {name} | {cells} |")
    return "\n".join(rows)


def _print_outcome(outcome: Outcome) -> None:
    seconds = f"{outcome.seconds:6.0f} s" if outcome.status != "kept" else "finished before, unchanged"
    print(f"{outcome.stem:<28} {outcome.status:<7} {seconds}", flush=True)
    if outcome.error:
        print(outcome.error, flush=True)


def parse_overrides(assignments: Iterable[str], data_dir: str = "", model: str = "") -> dict[str, Any]:
    """Reads the parameters that a command line sets.

    Args:
        assignments: NAME=VALUE each, the value as YAML.
        data_dir: For the parameter DATA_DIR; empty sets none.
        model: For the parameter MODEL; empty sets none.

    Raises:
        CourseError: If an assignment is none.
    """
    import yaml

    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise CourseError(f"{assignment!r} sets nothing; write NAME=VALUE, for example EPOCHS=3.")
        overrides[name] = yaml.safe_load(value)
    # Notebooks run in nbs/, so a folder given relative to here must become absolute.
    if data_dir:
        overrides["DATA_DIR"] = str(Path(data_dir).resolve())
    if model:
        overrides["MODEL"] = str(Path(model).resolve()) if Path(model).is_dir() else model
    return overrides


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m utils.course", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="miniature", help="a file of nbs/profiles/, without its ending")
    parser.add_argument("--data-dir", default="", help="the folder that holds the data sets")
    parser.add_argument("--model", default="", help="a CLIP checkpoint: a folder or a Hub name")
    parser.add_argument("--notebook", default="", help="run only notebooks whose name begins so, e.g. 04")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters")
    parser.add_argument("--fresh", action="store_true", help="delete earlier runs of the profile first")
    parser.add_argument(
        "--refresh", action="store_true", help="execute the committed notebooks in place instead"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs the course from the command line; the exit status is 0 if every notebook ran."""
    arguments = _arguments(argv)
    try:
        root = find_root()
        if arguments.refresh:
            refresh_notebooks(root)
            return 0
        overrides = parse_overrides(arguments.set, arguments.data_dir, arguments.model)
        start = time.perf_counter()
        print(
            f"Running the course, profile {arguments.profile}: {EXPECTED_TIME.get(arguments.profile, '')}",
            flush=True,
        )
        outcomes = run_course(root, arguments.profile, overrides, arguments.notebook, arguments.fresh)
    except CourseError as error:
        print(f"make course: {error}", file=sys.stderr)
        return 2
    output_dir = root / "runs" / arguments.profile
    failed = outcomes[-1].status == "failed"
    if not failed and (table := zero_shot_table(json.loads((output_dir / "metrics.json").read_text()))):
        print("\n" + table)
    where = os.path.relpath(output_dir)
    print(
        f"\n{time.perf_counter() - start:.0f} s. Executed notebooks and pages, summary.md and metrics.json: {where}"
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
