"""What is noted of each step: CSV always, TensorBoard events, and Weights & Biases on request."""

from __future__ import annotations

import csv
import importlib.util
import io
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from utils.files import write_whole
from utils.training.settings import TrainingSettings

COLUMNS = (
    *("step", "loss", "validation_loss", "validation_recall", "validation_recall_low", "validation_recall_high"),
    *("learning_rate", "gradient_norm", "logit_scale", "seconds", "seconds_waiting"),
)
WANDB_NOTE = "wandb_run.txt"  # under which name Weights & Biases knows the run of a folder

Row = dict[str, float]
Report = Callable[[list[Row]], None]  # takes the whole history; what it had before, it skips


def check_reporters(settings: TrainingSettings) -> None:
    """Raises ModuleNotFoundError, which says what to do, if a run would report to a package that is not there."""
    for setting, package, off in (("wandb_project", "wandb", None), ("tensorboard", "tensorboardX", False)):
        if getattr(settings, setting) and importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"{setting} is set but the package {package} is not installed; run `pip install {package}`, or "
                f"set {setting} to {off}."
            )


@contextmanager
def open_reports(output_dir: Path, settings: TrainingSettings, history: list[Row], finished: bool) -> Iterator[Report]:
    """Opens all that the settings ask for, and brings it to where the run resumes.

    Args:
        output_dir: Receives ``history.csv`` and ``tensorboard/``.
        settings: Where to report, and what to note of the run.
        history: The steps before, of an earlier start; what was reported beyond them is revoked.
        finished: Whether nothing will follow; then all was reported before, and the table alone is written.
    """
    events_step, page_step = 0, len(history)
    with ExitStack() as stack:
        events = _open_tensorboard(output_dir / "tensorboard", stack) if settings.tensorboard and not finished else None
        page = _open_wandb(output_dir, settings, stack) if settings.wandb_project and not finished else None

        def report(history: list[Row]) -> None:
            nonlocal events_step, page_step
            _write_table(output_dir / "history.csv", history)
            if events is not None:
                for row in history[events_step:]:
                    for name in COLUMNS[1:]:
                        if name in row:
                            events.add_scalar(name, row[name], int(row["step"]))
                events.flush()
            if page is not None:
                for row in history[page_step:]:
                    page.log(row, step=int(row["step"]))
            events_step = page_step = len(history)

        report(history)
        yield report


def _write_table(path: Path, history: list[Row]) -> None:
    """Writes the whole history each time, so the file is whole and of one run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_whole(path, text.getvalue())


def _open_tensorboard(folder: Path, stack: ExitStack) -> Any:
    """Each start writes a file of its own, from the first step, and revokes the others."""
    from tensorboardX import SummaryWriter

    start = len(list(folder.glob("*")))  # two starts in one second are told apart, and read in order
    writer = SummaryWriter(str(folder), purge_step=1, filename_suffix=f".{start}")

    def close() -> None:
        with suppress(OSError):  # a full disk was reported where it mattered
            writer.close()

    stack.callback(close)
    return writer


def _open_wandb(output_dir: Path, settings: TrainingSettings, stack: ExitStack) -> Any:
    """A run that is resumed there is the one that was stopped."""
    import wandb

    note = output_dir / WANDB_NOTE
    if not note.is_file():
        write_whole(note, uuid.uuid4().hex[:12])
    page = wandb.init(
        project=settings.wandb_project,
        id=note.read_text(),
        resume="allow",
        dir=str(output_dir),
        config=settings.identity,
    )
    stack.callback(page.finish)
    return page
