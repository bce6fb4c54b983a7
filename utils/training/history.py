"""What is noted of each step: a table in CSV, and TensorBoard's events."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from utils.files import write_whole
from utils.importing import hidden

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

Row = dict[str, float]
Report = Callable[[list[Row]], None]  # takes the whole history; what it had before, it skips


@contextmanager
def open_reports(
    output_dir: Path, history: list[Row], with_events: bool, figures: Sequence[str] = (), metrics: Sequence[str] = ()
) -> Iterator[Report]:
    """Opens ``history.csv`` and, if asked for events, ``tensorboard/``, and brings them to where the run resumes.

    ``history`` holds the steps before, of an earlier start; what was reported beyond them is revoked. Of the columns,
    ``figures`` are those of a validation and ``metrics`` those of a step that an `Objective` adds.
    """
    columns = ("step", "loss", *figures, "learning_rate", "gradient_norm", *metrics, "seconds", "seconds_waiting")
    events, events_step = None, 0
    if with_events:
        folder = output_dir / "tensorboard"
        suffix = f".{len(list(folder.glob('*')))}"  # two starts in one second are told apart, and read in order
        # Each start writes a file of its own, from the first step, and revokes the others.
        events = _summary_writer()(str(folder), purge_step=1, filename_suffix=suffix)

    def report(history: list[Row]) -> None:
        nonlocal events_step
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_whole(output_dir / "history.csv", table.getvalue())  # all of it each time: whole and of one run
        if events is not None:
            for row in history[events_step:]:
                for name in columns[1:]:
                    if name in row:
                        events.add_scalar(name, row[name], int(row["step"]))
            events.flush()
        events_step = len(history)

    try:
        report(history)
        yield report
    finally:
        if events is not None:
            with suppress(OSError):  # a full disk was reported where it mattered
                events.close()


def _summary_writer() -> type[SummaryWriter]:
    """The writer of tensorboardX, which imports torch if it can, for drawings of models; scalars need no 0.4 GB."""
    with hidden("torch"):
        from tensorboardX import SummaryWriter
    return SummaryWriter
