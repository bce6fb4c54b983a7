"""Running: each row and seed through the training and the evaluation notebook, one after another."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.course import CourseError, course_notebooks
from utils.course.execution import Outcome, run_notebooks
from utils.course.ledger import Ledger
from utils.course.metrics import read_metrics
from utils.course.sweep.rows import BACKTRANSLATED, EVALUATION, TRAINING, Row, Scale, run_parameters
from utils.files import find_checkpoint, from_home, publish, workshop

INTERRUPTED = ("TrainingStopped", "KeyboardInterrupt")
LONGEST_REASON = 240


@dataclass(frozen=True)
class RowRun:
    """How one row ended with one seed."""

    seed: int
    status: str  # ok, kept (an equal earlier run) or failed
    seconds: float = 0.0  # of what was executed now
    error: str = ""  # for a failure, one line
    metrics: dict[str, float] = field(default_factory=dict)  # what the notebooks recorded
    folder: str = ""  # what it has left, below the folder of the sweep


def run_sweep(
    scale: Scale, rows: Sequence[Row], seeds: list[int], report: Callable[[dict[str, list[RowRun]]], Any]
) -> dict[str, list[RowRun]]:
    """Runs rows over seeds, one that is not trained over the first alone; a failure leaves the others alone.

    After every run ``report`` is given the runs so far by name of the row: a sweep that is stopped has a table too, and
    a training that a KeyboardInterrupt stopped resumes from its last checkpoint. A `CourseError` says that rows want
    back-translated captions and there are none; nothing has run then.
    """
    captions = find_captions(scale) if any(row.needs_captions for row in rows) else ""
    finished: dict[tuple[str, int], RowRun] = {}
    runs: dict[str, list[RowRun]] = {}
    for row in rows:
        runs[row.name] = []
        first = row.same_as or row
        for seed in seeds if row.is_trained else seeds[:1]:
            if (first.name, seed) not in finished:
                print(f"\n{row.title}, seed {seed}", flush=True)
                of_row = scale.folder / first.name
                finished[first.name, seed] = run_once(scale, row, seed, of_row, captions if row.needs_captions else "")
            runs[row.name].append(finished[first.name, seed])
            report(runs)
    return runs


def run_once(scale: Scale, row: Row, seed: int, of_row: Path, captions: str) -> RowRun:
    """Trains and evaluates one row with one seed, or keeps what an equal earlier run gave.

    The folder, in that of the row, is named by all that the training depends on, so a run that was stopped resumes
    in it, and one with other settings, code, data or captions goes into another and leaves what was paid for.
    """
    stems = (TRAINING, EVALUATION) if row.is_trained else (EVALUATION,)
    notebooks = [path for path in course_notebooks(scale.root) if path.stem in stems]
    draft = run_parameters(scale, row, seed, of_row, captions)
    folder = of_row / f"seed-{seed}-{Ledger(scale.root, of_row, draft).stamp(notebooks[0])[:8]}"
    parameters = run_parameters(scale, row, seed, folder, captions)
    model_dir = folder / "finetuned" / "model"
    if not row.is_trained and not model_dir.is_dir():
        try:
            _copy_untrained(scale.root, parameters[EVALUATION]["MODEL"], model_dir)
        except FileNotFoundError as error:
            return RowRun(seed, "failed", error=_one_line(str(error)))
    outcomes = run_notebooks(scale.root, notebooks, parameters, folder)
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


def _copy_untrained(root: Path, model: str, folder: Path) -> None:
    """Puts the starting model where the evaluation looks for a fine-tuned one, without its card."""
    named = root / from_home(model)
    with workshop(folder, "copying the starting model") as draft:
        source = find_checkpoint(named if named.exists() else model)
        if source.is_dir():
            shutil.copytree(source, draft, ignore=shutil.ignore_patterns("*.md", ".*"), dirs_exist_ok=True)
        else:  # the settings beside a file belong to it
            for file in (source, *source.parent.glob("*.json")):
                shutil.copy(file, draft)
        publish(draft, folder)


def find_captions(scale: Scale) -> str:
    """The file of back-translated captions, as the training notebook is given it: from the top of the checkout.

    A `CourseError` says if it is not there, or has captions of fewer training images than a run is to have.
    """
    root = scale.root
    if scale.captions_file:
        named = from_home(scale.captions_file).resolve()
        if not named.is_file():
            raise CourseError(f"CAPTIONS_FILE names {scale.captions_file}, which is not there.")
        # A bare name would be looked for in the folder of the run.
        return f"./{named.relative_to(root).as_posix()}" if named.is_relative_to(root) else str(named)
    file = Path(scale.output_dir) / BACKTRANSLATED
    if not (root / file).is_file():
        raise CourseError(
            f"Some rows want back-translated captions, and {file} is not there: make course NB=02 makes it, with the "
            'same PROFILE=; or name yours with SET="CAPTIONS_FILE=...", or leave these rows out with ROWS=.'
        )
    _check_whole(scale, file)
    return file.as_posix()


def _check_whole(scale: Scale, file: Path) -> None:
    """Refuses captions of fewer training images than a run is to have: a trial run may have left them."""
    from utils.datasets import DatasetError, load_dataset
    from utils.datasets.formats import read_jsonl

    given = scale.sections["common"] | scale.overrides
    try:
        data_dir, share = given.get("DATA_DIR") or None, given.get("VAL_FROM_TRAIN", 0.0)
        wanted = len(load_dataset(given["DATASET"], data_dir, split="train", val_from_train=share))
        found = sum(entry.split == "train" for entry in read_jsonl(scale.root / file))
    except DatasetError:
        return  # the notebooks meet it too, and say it in the same words
    wanted = min(wanted, given.get("IMAGES_PER_SPLIT") or wanted)
    if found < wanted:
        raise CourseError(
            f"{file} has captions of {found:,} training images, and a run is to have {wanted:,}: delete the file, so "
            "that it is made whole."
        )


def _reason(outcome: Outcome) -> str:
    """One line about a notebook that failed or was left out; one that was told to stop raises KeyboardInterrupt."""
    if any(f": {kind}:" in outcome.error.splitlines()[0] for kind in INTERRUPTED):
        raise KeyboardInterrupt
    return _one_line(f"{outcome.stem}, {outcome.error}")


def _one_line(text: str) -> str:
    return textwrap.shorten(text.partition("\n")[0], LONGEST_REASON, placeholder="...") or "no reason given"
