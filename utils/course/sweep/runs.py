"""Running: each row and seed through the training and the evaluation notebook, one after another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.course import CourseError, course_notebooks
from utils.course.execution import Outcome, run_in_order
from utils.course.ledger import Ledger
from utils.course.metrics import read_metrics
from utils.course.parameters import resolve_parameters
from utils.course.sweep.grid import BACKTRANSLATED, trouble_of_python
from utils.course.sweep.rows import (
    EVALUATION,
    TRAINING,
    TRANSLATION,
    Row,
    Scale,
    load_rows,
    run_parameters,
    training_parameters,
)

INTERRUPTED = ("TrainingStopped", "KeyboardInterrupt")
LONGEST_REASON = 240
SAVE_UNTRAINED = (
    "import sys; from utils.clip import CLIP; CLIP.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])"
)


@dataclass(frozen=True)
class RowRun:
    """How one row ended with one seed.

    Attributes:
        seed: The seed.
        status: ``ok``, ``kept`` (an equal earlier run) or ``failed``.
        seconds: Wall-clock time of what was executed now.
        error: For a failure, one line.
        metrics: What the notebooks recorded.
        folder: What it has left, below the folder of the sweep.
    """

    seed: int
    status: str
    seconds: float = 0.0
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    folder: str = ""


def sweep_folder(root: Path, scale: Scale) -> Path:
    """Where a sweep leaves everything."""
    return root / "runs" / "sweep" / scale.name


def run_sweep(
    root: Path, scale: Scale, rows: Iterable[Row], seeds: list[int], report: Callable[[dict[str, list[RowRun]]], Any]
) -> dict[str, list[RowRun]]:
    """Runs rows over seeds, one that is not trained over the first alone; a failure leaves the others alone.

    Args:
        root: Top of the checkout.
        scale: As from `load_scale`.
        rows: What to run, as `check_rows` lets it pass.
        seeds: One run each.
        report: Called after every run with all runs so far, so that a sweep that is stopped has a table too.

    Returns:
        The runs of each row, by its name.

    Raises:
        KeyboardInterrupt: If it was interrupted; a training in progress resumes from its last checkpoint.
    """
    first_equal = first_equal_rows(root, scale)
    captions: str | CourseError | None = None
    finished: dict[tuple[str, int], RowRun] = {}
    runs: dict[str, list[RowRun]] = {}
    for row in rows:
        runs[row.name] = []
        if row.needs_captions and captions is None:
            captions = _captions_or_reason(root, scale)
        for seed in seeds if row.is_trained else seeds[:1]:
            equal = (first_equal[row.name], seed)
            if row.needs_captions and isinstance(captions, CourseError):
                finished[equal] = RowRun(seed, "failed", error=_one_line(str(captions)))
            elif equal not in finished:
                print(f"\n{row.title}, seed {seed}", flush=True)
                folder = sweep_folder(root, scale) / equal[0]
                finished[equal] = run_once(root, scale, row, seed, folder, str(captions or ""))
            runs[row.name].append(finished[equal])
            report(runs)
    return runs


def first_equal_rows(root: Path, scale: Scale) -> dict[str, str]:
    """For each row the first row whose parameters are the same: the two are one run, trained once."""
    first: dict[str, str] = {}
    return {
        row.name: first.setdefault(
            json.dumps([training_parameters(scale, row), row.needs_captions, row.is_trained], sort_keys=True), row.name
        )
        for row in load_rows(root, grid=scale.grid)
    }


def run_once(root: Path, scale: Scale, row: Row, seed: int, of_row: Path, captions: str) -> RowRun:
    """Trains and evaluates one row with one seed, or keeps what an equal earlier run gave.

    The folder, in that of the row, is named by all that the training depends on, so a run that was stopped resumes
    in it, and one with other settings, code, data or captions goes into another and leaves what was paid for.
    """
    captions = captions if row.needs_captions else ""
    stems = (TRAINING, EVALUATION) if row.is_trained else (EVALUATION,)
    notebooks = [path for path in course_notebooks(root) if path.stem in stems]
    draft = run_parameters(root, scale, row, seed, of_row, captions)
    folder = of_row / f"seed-{seed}-{Ledger(root, of_row, draft).stamp(notebooks[0])[:8]}"
    parameters = run_parameters(root, scale, row, seed, folder, captions)
    model_dir = folder / "finetuned" / "model"
    if not model_dir.is_dir():
        _forget_training(root, folder, notebooks, parameters)
        if not row.is_trained and (trouble := _save_untrained(root, parameters[EVALUATION]["MODEL"], model_dir)):
            return RowRun(seed, "failed", error=_one_line(trouble))
    outcomes = run_in_order(root, notebooks, parameters, folder, results_may_go=True)
    seconds = sum(outcome.seconds for outcome in outcomes)
    if outcomes[-1].status == "failed":
        return RowRun(seed, "failed", seconds, _reason(outcomes[-1]))
    shutil.rmtree(folder / "finetuned" / "checkpoints", ignore_errors=True)  # gigabytes; the model stays
    metrics = {name: value for path in notebooks for name, value in read_metrics(folder / path.name).items()}
    if f"{row.scored}_top1" not in metrics:
        left_out = (_reason(outcome) for outcome in outcomes if outcome.error)
        return RowRun(seed, "failed", seconds, next(left_out, "no test image has a category, so there is no score"))
    status = "kept" if all(outcome.status == "kept" for outcome in outcomes) else "ok"
    return RowRun(seed, status, seconds, metrics=metrics, folder=f"{of_row.name}/{folder.name}")


def _forget_training(root: Path, folder: Path, notebooks: list[Path], parameters: dict[str, dict[str, Any]]) -> None:
    """Has a training whose model is gone run again, unless its scores are there too and up to date.

    The evaluation would else train a short model in its place, and the table would show that one's scores.
    """
    ledger = Ledger(root, folder, parameters, results_may_go=True)
    for path in notebooks:
        if not ledger.is_current(path):
            (folder / notebooks[0].name).unlink(missing_ok=True)
            return
        ledger.pass_on(path)


def _save_untrained(root: Path, model: str, folder: Path) -> str:
    """Puts the starting model where the evaluation looks for a fine-tuned one; returns a reason if it cannot."""
    return trouble_of_python(root, SAVE_UNTRAINED, model, str(folder))


def _captions_or_reason(root: Path, scale: Scale) -> str | CourseError:
    """The captions, or why there are none: only the rows that want them fail for it."""
    try:
        return find_captions(root, scale)
    except CourseError as error:
        print(f"\n{error}", flush=True)
        return error


def find_captions(root: Path, scale: Scale) -> str:
    """Finds the back-translated captions, or has the notebook make them.

    Returns:
        The file, as the training notebook is given it: from the top of the checkout if it lies in there.

    Raises:
        CourseError: If they are not there and cannot be made; it says what to do.
    """
    if scale.captions_file:
        named = Path(scale.captions_file).expanduser().resolve()
        if not named.is_file():
            raise CourseError(f"CAPTIONS_FILE names {scale.captions_file}, which is not there.")
        # A bare name would be looked for in the folder of the run.
        return f"./{named.relative_to(root).as_posix()}" if named.is_relative_to(root) else str(named)
    file = Path(scale.output_dir) / BACKTRANSLATED
    if not (root / file).is_file():
        _translate(root, scale, file)
    _check_whole(root, scale, file)
    return file.as_posix()


def _check_whole(root: Path, scale: Scale, file: Path) -> None:
    """Refuses captions of fewer training images than a run is to have: a trial run may have left them."""
    from utils.datasets import DatasetError, load_dataset
    from utils.datasets.formats import read_jsonl

    given = scale.sections["common"] | scale.overrides
    try:
        data_dir, share = given.get("DATA_DIR") or None, given.get("VAL_FROM_TRAIN", 0.0)
        wanted = len(load_dataset(given["DATASET"], data_dir, split="train", val_from_train=share))
        found = sum(entry.split == "train" for entry in read_jsonl(root / file))
    except DatasetError:
        return  # the notebooks meet it too, and say it in the same words
    wanted = min(wanted, given.get("IMAGES_PER_SPLIT") or wanted)
    if found < wanted:
        raise CourseError(
            f"{file} has captions of {found:,} training images, and a run is to have {wanted:,}: delete the file, so "
            "that it is made whole."
        )


def _translate(root: Path, scale: Scale, file: Path) -> None:
    notebook = root / "nbs" / f"{TRANSLATION}.ipynb"
    if not notebook.is_file():
        raise CourseError(
            f"Rows with textaugs want back-translated captions, and {file} is not there: put a JSONL of filename, "
            'captions and split there, name yours with SET="CAPTIONS_FILE=...", or leave these rows out with ROWS=.'
        )
    print(f"\nBack-translating captions into {file}", flush=True)
    # All images, whatever part of them a run takes: the file serves every run.
    overrides = {name: value for name, value in scale.overrides.items() if name != "IMAGES_PER_SPLIT"}
    sections = {name: scale.sections[name] for name in ("common", TRANSLATION) if name in scale.sections}
    parameters = resolve_parameters(course_notebooks(root), sections, overrides)
    outcome = run_in_order(root, [notebook], parameters, sweep_folder(root, scale) / "captions")[-1]
    if outcome.status == "failed":
        raise CourseError(_reason(outcome))
    if not (root / file).is_file():
        raise CourseError(f"{TRANSLATION} ran but left no {file}; see what it says and run it by itself.")


def _reason(outcome: Outcome) -> str:
    """One line about a notebook that failed or was left out.

    Raises:
        KeyboardInterrupt: If it did not fail, but was told to stop.
    """
    if any(f": {kind}:" in outcome.error.splitlines()[0] for kind in INTERRUPTED):
        raise KeyboardInterrupt
    return _one_line(f"{outcome.stem}, {outcome.error}")


def _one_line(text: str) -> str:
    line = " ".join(text.splitlines()[0].split()) if text.strip() else "no reason given"
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."
