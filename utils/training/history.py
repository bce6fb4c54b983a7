"""What is noted of each step: CSV always, TensorBoard events, and Weights & Biases on request."""

from __future__ import annotations

import csv
import importlib.util
import io
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from utils.files import write_whole
from utils.training.settings import TrainingSettings

COLUMNS = (
    *("step", "loss", "validation_loss", "validation_recall", "validation_recall_low", "validation_recall_high"),
    *("learning_rate", "gradient_norm", "logit_scale", "seconds", "seconds_waiting"),
)
WANDB_NOTE = "wandb_run.txt"  # under which name Weights & Biases knows the run of a folder

Row = dict[str, float]


class Reporter(Protocol):
    """Where rows of history go."""

    def report(self, history: list[Row]) -> None:
        """Takes the whole history; what it had before, it skips."""


def check_reporters(settings: TrainingSettings) -> None:
    """Raises ModuleNotFoundError, which says what to do, if a run would report to a package that is not there."""
    for setting, package, off in (("wandb_project", "wandb", None), ("tensorboard", "tensorboardX", False)):
        if getattr(settings, setting) and importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"{setting} is set but the package {package} is not installed; run `pip install {package}`, or "
                f"set {setting} to {off}."
            )


@contextmanager
def open_reporters(
    output_dir: Path, settings: TrainingSettings, history: list[Row], finished: bool
) -> Iterator[list[Reporter]]:
    """Opens all that the settings ask for, and brings them to where the run resumes.

    Args:
        output_dir: Receives ``history.csv`` and ``tensorboard/``.
        settings: Which reporters, and what they note of the run.
        history: The steps before, of an earlier start; what was reported beyond them is revoked.
        finished: Whether nothing will follow; then all was reported before, and the table alone is written.
    """
    reporters: list[Reporter] = [CsvReporter(output_dir / "history.csv")]
    with ExitStack() as stack:
        if settings.tensorboard and not finished:
            events = TensorBoardReporter(output_dir / "tensorboard")
            stack.callback(events.close)
            reporters.append(events)
        if settings.wandb_project and not finished:
            page = WandbReporter(output_dir, settings, len(history))
            stack.callback(page.run.finish)
            reporters.append(page)
        for reporter in reporters:
            reporter.report(history)
        yield reporters


class CsvReporter:
    """Writes the whole history each time, so the file is whole and of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def report(self, history: list[Row]) -> None:
        """Replaces the file."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_whole(self.path, text.getvalue())


class TensorBoardReporter:
    """Adds events to a folder. Each start writes a file of its own, from the first step, and revokes the others."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        start = len(list(folder.glob("*")))  # two starts in one second are told apart, and read in order
        self.writer = SummaryWriter(str(folder), purge_step=1, filename_suffix=f".{start}")
        self.step = 0

    def report(self, history: list[Row]) -> None:
        """Adds the rows that are new."""
        for row in history[self.step :]:
            for name in COLUMNS[1:]:
                if name in row:
                    self.writer.add_scalar(name, row[name], int(row["step"]))
        self.step = len(history)
        self.writer.flush()

    def close(self) -> None:
        """Writes what is left."""
        with suppress(OSError):  # a full disk was reported where it mattered
            self.writer.close()


class WandbReporter:
    """Reports to Weights & Biases; a run that is resumed there is the one that was stopped."""

    def __init__(self, output_dir: Path, settings: TrainingSettings, first_step: int) -> None:
        import wandb

        note = output_dir / WANDB_NOTE
        if not note.is_file():
            write_whole(note, uuid.uuid4().hex[:12])
        self.run = wandb.init(
            project=settings.wandb_project,
            id=note.read_text(),
            resume="allow",
            dir=str(output_dir),
            config=settings.identity,
        )
        self.step = first_step

    def report(self, history: list[Row]) -> None:
        """Sends the rows that are new."""
        for row in history[self.step :]:
            self.run.log(row, step=int(row["step"]))
        self.step = len(history)
