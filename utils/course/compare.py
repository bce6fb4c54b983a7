"""Metrics of several runs side by side: ``python -m utils.course.compare runs/a runs/b --to runs/comparison.md``."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.course.places import CourseError, from_here
from utils.course.results import METRICS, PARAMETERS
from utils.evaluation import aligned, paired_bootstrap, read_predictions, values_of
from utils.evaluation.intervals import DRAWS
from utils.evaluation.per_image import is_mean_over_images
from utils.files import disk_trouble_in_words, read_json, write_whole
from utils.files.provenance import PROVENANCE

TITLE = "# Runs of the course, side by side"
HEADER = ("notebook", "metric")
LEGEND = (
    f"Differences are to the first run. In brackets: 95 % of {DRAWS:,} paired bootstrap draws of the test images; "
    "other seeds of the training are not in it."
)
# What a run was made with; the other parameters stand in its parameters.json.
DESCRIBED = (
    *("DATASET", "STRETCH", "BANDS", "RENAME", "MODEL", "IMAGES_PER_SPLIT", "CAPTIONS_FILE", "EPOCHS", "BATCH_SIZE"),
    *("LEARNING_RATE", "SEED", "PROMPT"),
)


@dataclass(frozen=True)
class RunMetrics:
    """What a run of the course has left to compare."""

    name: str  # of its folder, below runs/ if it lies there
    made_with: dict[str, Any]  # the profile and parameters, as far as they were noted
    metrics: dict[str, dict[str, float]]  # by notebook and name
    predictions: dict[str, Any]  # as from `read_predictions`


def read_run(folder: Path) -> RunMetrics:
    """Reads the metrics that `make course` has left in a folder; a `CourseError` says if there are none."""
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        metrics.pop(PROVENANCE, None)
        metrics = {stem: {name: float(value) for name, value in of.items()} for stem, of in metrics.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise CourseError(
            f"{folder} has no {METRICS} that can be read ({error}); give folders that a run of the course has left."
        ) from error
    parts = folder.resolve().parts
    below = parts[len(parts) - parts[::-1].index("runs") :] if "runs" in parts else ()
    noted = read_json(folder / PARAMETERS)
    made_with: dict[str, Any] = {"profile": noted["profile"]} if "profile" in noted else {}
    sections = noted.get("parameters", {})
    for stem in sorted(sections, key=lambda stem: not stem.startswith("04_")):  # what the training had, or the first
        made_with = sections[stem] | made_with
    return RunMetrics("/".join(below) or parts[-1], made_with, metrics, read_predictions(folder / "evaluation"))


def table_of(runs: Iterable[RunMetrics]) -> list[list[str]]:
    """Rows of cells, the header first: notebook, metric, the runs, their differences to the first; empty if missing."""
    first, *others = runs = list(runs)
    rows = [[*HEADER, *(run.name for run in runs), *(f"{run.name} - {first.name}" for run in others)]]
    for name in ("profile", *DESCRIBED):
        if any(name in run.made_with for run in runs):
            rows.append(["", name, *(str(run.made_with.get(name, "")) for run in runs), *[""] * len(others)])
    for stem in sorted({stem for run in runs for stem in run.metrics}):
        for name in dict.fromkeys(name for run in runs for name in run.metrics.get(stem, {})):
            values = (run.metrics.get(stem, {}).get(name) for run in runs)
            figures = ["" if value is None else f"{value:.6g}" for value in values]
            rows.append([stem, name, *figures, *(_difference(first, run, stem, name) for run in others)])
    return rows


def _difference(before: RunMetrics, after: RunMetrics, stem: str, name: str) -> str:
    """How much more a run has of a metric, with its interval, or why there is none."""
    old, new = (run.metrics.get(stem, {}).get(name) for run in (before, after))
    if old is None or new is None:
        return ""
    kept = [of for run in (before, after) if (of := values_of(run.predictions, name))]
    if not is_mean_over_images(name) or not stem.startswith("05_"):
        reason = "one figure a run"
    elif len(kept) < 2:
        reason = "predictions not kept"
    elif not np.allclose([of.mean for of in kept], [old, new]):
        reason = "predictions of another run"
    elif (rows := aligned(kept)) is None:
        reason = "other images"
    else:
        return f"{paired_bootstrap(rows[0], rows[1], kept[0].weights):+.4f}"
    return f"{new - old:+.6g} (no interval: {reason})"


def as_markdown(rows: list[list[str]]) -> str:
    """The table for people: figures with four digits."""

    def cell(text: str) -> str:
        try:
            return text if float(text).is_integer() else f"{float(text):.4g}"
        except ValueError:
            return text.replace("|", "\\|")

    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) + "\n"


def write_comparison(rows: list[list[str]], path: Path) -> tuple[Path, Path]:
    """Writes a table as from `table_of` as Markdown, and as CSV beside it; returns both files.

    It raises a `CourseError` if one of them is there and is something else, and an OSError for a full disk.
    """
    page, sheet = path.with_suffix(".md"), path.with_suffix(".csv")
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    for file, beginning in ((page, TITLE), (sheet, ",".join(HEADER))):
        if file.exists() and not file.read_bytes().startswith(beginning.encode()):
            raise CourseError(f"{file} is not a comparison of runs, so it is not replaced; name another with TO=.")
    with disk_trouble_in_words(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(page, f"{TITLE}\n\n{as_markdown(rows)}\n{LEGEND}\n")
        write_whole(sheet, lines.getvalue())
    return page, sheet


def main(argv: list[str] | None = None) -> int:
    """Compares runs from the command line; the exit status is 2 if a folder holds none."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.course.compare", description="Sets the metrics of runs side by side."
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders that make course has left")
    parser.add_argument("--to", type=Path, default=Path("runs/comparison.md"), help="the file to write")
    arguments = parser.parse_args(argv)
    try:
        rows = table_of([read_run(folder) for folder in arguments.runs])
        page, sheet = write_comparison(rows, arguments.to)
    except (CourseError, OSError) as error:
        print(f"make compare: {error}", file=sys.stderr)
        return 2
    print(f"{as_markdown(rows)}\n{LEGEND}")
    print(f"Written: {from_here(page)} and {from_here(sheet)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
