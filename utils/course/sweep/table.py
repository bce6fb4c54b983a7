"""The table: mean and spread over seeds beside the published figures, as Markdown and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from utils.course.sweep.rows import EVALUATION, Row, Scale, run_parameters
from utils.course.sweep.runs import RowRun
from utils.evaluation import PUBLISHED_KS, aligned, as_protocol, bootstrap_runs, read_predictions, values_of
from utils.evaluation.intervals import DRAWS
from utils.files import write_whole


@dataclass(frozen=True)
class Line:
    """One row with its figures, by k; those of score@k that there are none of are left out."""

    run: str  # its name as published
    seeds: list[int]  # those that gave figures
    images: list[int]  # test images of each of these seeds
    mean: dict[int, float]  # of score@k over the seeds
    deviation: dict[int, float]  # of the sample; none of a single seed
    interval: dict[int, list[float]]  # what holds 95 % of bootstrap draws of seeds and the same test images together
    split_names: float | None  # mean score@1 with names such as "storage tanks" split
    published: dict[int, float]
    status: str  # ok, failed, or how many of the seeds failed
    note: str  # the reason of the first failure, or which row is the same run


@dataclass(frozen=True)
class Table:
    """The figures of a sweep, one line a row, and how they were measured; as `Scale` and `describe_protocol` say."""

    profile: str
    data: str
    model: str
    protocol: str
    caveat: str
    lines: list[Line]
    grid: str


def make_table(scale: Scale, rows: Sequence[Row], runs: dict[str, list[RowRun]]) -> Table:
    """Puts the runs of a sweep together, leaving out rows without one; only those on RSICD have published figures."""
    evaluation = run_parameters(scale, rows[0], 0, scale.folder)[EVALUATION]
    if evaluation["DATASET"] != "rsicd":
        rows = [replace(row, scores={}) for row in rows]
    # The values of the command line may contradict the caveat; where files lie is no matter.
    by_hand = {name: value for name, value in scale.overrides.items() if name not in ("DATA_DIR", "MODEL")}
    said = ", ".join(f"{name} {value}" for name, value in (by_hand | scale.settings).items())
    return Table(
        profile=scale.profile,
        data=evaluation["DATASET"],
        model=evaluation["MODEL"],
        protocol=describe_protocol(evaluation),
        caveat=f"{scale.caveat} Set by hand for every row: {said}." if said else scale.caveat,
        lines=[make_line(row, runs[row.name], scale.folder) for row in rows if runs.get(row.name)],
        grid=scale.grid.name if scale.grid else "",
    )


def describe_protocol(evaluation: dict[str, Any]) -> str:
    """Says in words how the evaluation notebook scores."""
    (template,) = as_protocol(evaluation.get("PROMPT", "documents")).templates
    protocol = (
        "zero-shot score@k, the share of test images whose category is among the k best by the prompt "
        f'"{template.replace("{}", "{category}")}", names unsplit; test images that have a category'
    )
    if images := evaluation.get("IMAGES_PER_SPLIT"):
        protocol += f"; only {images} images of each split, drawn by the seed, so that the spread includes the draw"
    return protocol


def make_line(row: Row, runs: list[RowRun], folder: Path) -> Line:
    """Mean and spread of a row's runs, one a seed, in the folder of a sweep."""
    good = [run for run in runs if run.status != "failed"]
    failed = [run for run in runs if run.status == "failed"]
    scores = {k: [run.metrics[f"{row.scored}_top{k}"] for run in good] for k in PUBLISHED_KS}
    split_names = [run.metrics[f"{row.scored}_split_names_top1"] for run in good]
    notes = [f"seed {run.seed}: {run.error}" for run in failed[:1]]
    kept = [read_predictions(folder / run.folder / "evaluation") for run in good if run.folder]
    intervals = {k: _joined_interval(kept, f"{row.scored}_top{k}", scores[k]) for k in PUBLISHED_KS}
    if kept and None in intervals.values():
        notes.append("no joined interval, for the seeds had other test images or kept no predictions")
    if row.same_as:
        notes.append(f"its known settings are those of {row.same_as.title}, so it is the same run")
    return Line(
        run=row.title,
        seeds=[run.seed for run in good],
        images=[int(run.metrics["test_images"]) for run in good],
        mean={k: statistics.mean(values) for k, values in scores.items() if values},
        deviation={k: statistics.stdev(values) for k, values in scores.items() if len(values) > 1},
        interval={k: bounds for k, bounds in intervals.items() if bounds},
        split_names=statistics.mean(split_names) if split_names else None,
        published=row.scores,
        status="ok" if not failed else f"{len(failed)} of {len(runs)} failed" if good else "failed",
        note="; ".join(notes),
    )


def _joined_interval(kept: Sequence[dict[str, Any]], metric: str, scores: Sequence[float]) -> list[float] | None:
    """Bounds of a mean score over seeds and images, see `bootstrap_runs`.

    None where the images are not the same, or what was kept of them does not give the scores that were recorded.
    """
    values = [of for predictions in kept if (of := values_of(predictions, metric))]
    if not values or len(values) != len(scores) or not np.allclose([of.mean for of in values], scores):
        return None
    if (rows := aligned(values)) is None:
        return None
    interval = bootstrap_runs(np.stack(rows)[..., 0])
    return [interval.low, interval.high]


def write_table(table: Table, runs: dict[str, list[RowRun]], folder: Path) -> None:
    """Writes table.md and table.json; the latter holds every run's metrics too."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "table.md", as_markdown(table))
    every_run = {name: [asdict(run) for run in row] for name, row in runs.items()}
    write_whole(folder / "table.json", json.dumps({**asdict(table), "runs": every_run}, indent=2) + "\n")


def as_markdown(table: Table) -> str:
    """The table with what it takes to read it."""
    has_published = any(line.published for line in table.lines)
    columns = ["run", "seeds", "images", *(f"k={k}" for k in PUBLISHED_KS), "k=1, names split"]
    columns += [f"published k={k}" for k in PUBLISHED_KS if has_published] + ["status"]
    what = f"The rows of {table.grid}" if table.grid else "The published runs, run again"
    head = [
        f"# {what}: profile {table.profile}",
        "",
        f"Data: {table.data}; start: {table.model}. Figures: {table.protocol}.",
        "Mean and sample standard deviation over the seeds; no deviation for a single one.",
    ]
    if any(line.interval for line in table.lines):
        head.append(f"In brackets: 95 % of {DRAWS:,} bootstrap draws of seeds and test images together.")
    if has_published:
        head.append("Published: one seed each, 1,027 test images of RSICD, ViT-B/32.")
    head += [table.caveat, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return "\n".join(head + [_markdown_line(line, has_published) for line in table.lines]) + "\n"


def _markdown_line(line: Line, has_published: bool) -> str:
    def score(k: int) -> str:
        if k not in line.mean:
            return "-"
        spread = f" ± {line.deviation[k]:.3f}" if k in line.deviation else ""
        bounds = " ({:.3f} to {:.3f})".format(*line.interval[k]) if k in line.interval else ""
        return f"{line.mean[k]:.3f}{spread}{bounds}"

    published = [f"{line.published[k]:.3f}" if k in line.published else "-" for k in PUBLISHED_KS]
    cells = [
        line.run,
        str(len(line.seeds)),
        " to ".join(f"{count:,}" for count in sorted({min(line.images), max(line.images)})) if line.images else "-",
        *(score(k) for k in PUBLISHED_KS),
        "-" if line.split_names is None else f"{line.split_names:.3f}",
        *(published if has_published else ()),
        (f"{line.status}: {line.note}" if line.note else line.status).replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |"
