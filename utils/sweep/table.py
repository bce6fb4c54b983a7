"""The table: mean and spread over seeds beside the published figures, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from utils.course import CourseError
from utils.evaluation import PROMPT_TEMPLATES, PUBLISHED_KS
from utils.files import write_whole
from utils.sweep.rows import Row, Scale
from utils.sweep.runs import Run


@dataclass(frozen=True)
class Line:
    """One row with its figures.

    Attributes:
        run: Name as published.
        seeds: Those that gave figures.
        images: Test images of each of these seeds.
        mean: Mean score@k over the seeds, by k; empty if none gave figures.
        deviation: Sample standard deviation of score@k, by k; empty with fewer than two seeds.
        split_names: Mean score@1 with names such as "storage tanks" split; None without figures.
        published: The published score@k by k; empty for a row of your own.
        status: ``ok``, ``failed``, or how many of the seeds failed.
        note: The reason of the first failure, or which row is the same run.
    """

    run: str
    seeds: list[int] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    mean: dict[int, float] = field(default_factory=dict)
    deviation: dict[int, float] = field(default_factory=dict)
    split_names: float | None = None
    published: dict[int, float] = field(default_factory=dict)
    status: str = "ok"
    note: str = ""


@dataclass(frozen=True)
class Table:
    """The figures of a sweep, and how they were measured.

    Attributes:
        profile: Name of the profile.
        data: Name of the data set.
        model: The starting model.
        protocol: How the score was measured, in a sentence.
        caveat: What a reader must know.
        lines: One a row.
    """

    profile: str
    data: str
    model: str
    protocol: str
    caveat: str
    lines: list[Line]


def make_table(
    scale: Scale,
    evaluation: dict[str, Any],
    rows: Sequence[Row],
    runs: dict[str, list[Run]],
    homes: dict[str, str],
) -> Table:
    """Puts the runs of a sweep together.

    Args:
        scale: As from `utils.sweep.rows.load_scale`.
        evaluation: What the evaluation notebook was given, but for seed and folder.
        rows: The rows; those without a run yet are left out.
        runs: The runs of each row.
        homes: For each row the first row that is the same run.
    """
    titles = {row.name: row.title for row in rows}
    lines = [
        make_line(row, runs[row.name], titles.get(homes[row.name], homes[row.name]))
        for row in rows
        if runs.get(row.name)
    ]
    data, model = evaluation["DATASET"], evaluation["MODEL"]
    caveat = " ".join([scale.caveat, *_set_by_hand(scale)])
    return Table(scale.profile, data, model, describe_protocol(evaluation), caveat, lines)


def _set_by_hand(scale: Scale) -> list[str]:
    """A sentence about the command line's values, as they may contradict the caveat; where files lie is no matter."""
    values = {name: value for name, value in scale.overrides.items() if name not in ("DATA_DIR", "MODEL")}
    values |= scale.settings
    said = ", ".join(f"{name} {value}" for name, value in values.items())
    return [f"Set by hand for every row: {said}."] if said else []


def describe_protocol(evaluation: dict[str, Any]) -> str:
    """Says in words how the evaluation notebook scores.

    Raises:
        CourseError: If there is no such prompt.
    """
    template = PROMPT_TEMPLATES.get(evaluation["PROMPT"])
    if template is None:
        known = ", ".join(PROMPT_TEMPLATES)
        raise CourseError(f"There is no prompt {evaluation['PROMPT']!r}; choose one of {known}.")
    protocol = (
        "zero-shot score@k, the share of test images whose category is among the k best of the prompts "
        f'"{template.replace("{}", "{category}")}", names unsplit; test images whose file name tells their category'
    )
    if images := evaluation.get("IMAGES_PER_SPLIT"):
        protocol += (
            f"; only {images} images of each split, drawn by the seed, so that the spread includes the draw"
        )
    return protocol


def make_line(row: Row, runs: list[Run], same_run: str) -> Line:
    """Mean and spread of a row's runs.

    Args:
        row: The row.
        runs: Its runs, one a seed.
        same_run: The row of which these runs are: its own title, or that of an earlier row with equal settings.
    """
    good = [run for run in runs if run.status != "failed"]
    failed = [run for run in runs if run.status == "failed"]
    model = "finetuned" if row.is_trained else "baseline"
    scores = {k: [run.metrics[f"{model}_top{k}"] for run in good] for k in PUBLISHED_KS}
    split_names = [run.metrics[f"{model}_split_names_top1"] for run in good]
    notes = [f"seed {run.seed}: {run.error}" for run in failed[:1]]
    if same_run != row.title:
        notes.append(f"its known settings are those of {same_run}, so it is the same run")
    return Line(
        run=row.title,
        seeds=[run.seed for run in good],
        images=[int(run.metrics["test_images"]) for run in good],
        mean={k: statistics.mean(values) for k, values in scores.items() if values},
        deviation={k: statistics.stdev(values) for k, values in scores.items() if len(values) > 1},
        split_names=statistics.mean(split_names) if split_names else None,
        published=row.published,
        status="ok" if not failed else f"{len(failed)} of {len(runs)} failed" if good else "failed",
        note="; ".join(notes),
    )


def write_table(table: Table, runs: dict[str, list[Run]], folder: Path) -> None:
    """Writes table.md, table.csv and table.json; the last holds every run's metrics too."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "table.md", as_markdown(table))
    write_whole(folder / "table.csv", as_csv(table))
    every_run = {name: [asdict(run) for run in row] for name, row in runs.items()}
    write_whole(folder / "table.json", json.dumps({**asdict(table), "runs": every_run}, indent=2) + "\n")


def read_table(path: Path) -> Table:
    """Reads a table.json back."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content.pop("runs")
    lines = []
    for line in content.pop("lines"):
        for name in ("mean", "deviation", "published"):  # JSON's keys are text
            line[name] = {int(k): value for k, value in line[name].items()}
        lines.append(Line(**line))
    return Table(**content, lines=lines)


def as_markdown(table: Table) -> str:
    """The table with what it takes to read it."""
    ours = " | ".join(f"k={k}" for k in PUBLISHED_KS)
    theirs = " | ".join(f"published k={k}" for k in PUBLISHED_KS)
    head = [
        f"# The published runs, run again: profile {table.profile}",
        "",
        f"Data: {table.data}; start: {table.model}. Figures: {table.protocol}.",
        "Mean and sample standard deviation over the seeds; no deviation for a single one.",
        "Published: one seed each, 1,027 test images of RSICD, ViT-B/32.",
        table.caveat,
        "",
        f"| run | seeds | images | {ours} | k=1, names split | {theirs} | status |",
        "|---" * (len(PUBLISHED_KS) * 2 + 5) + "|",
    ]
    return "\n".join(head + [_markdown_line(line) for line in table.lines]) + "\n"


def _markdown_line(line: Line) -> str:
    def score(k: int) -> str:
        if k not in line.mean:
            return "-"
        spread = f" ± {line.deviation[k]:.3f}" if k in line.deviation else ""
        return f"{line.mean[k]:.3f}{spread}"

    split_names = "-" if line.split_names is None else f"{line.split_names:.3f}"
    published = [f"{line.published[k]:.3f}" if k in line.published else "-" for k in PUBLISHED_KS]
    status = f"{line.status}: {line.note}" if line.note else line.status
    cells = [
        line.run,
        str(len(line.seeds)),
        _range(line.images),
        *(score(k) for k in PUBLISHED_KS),
        split_names,
        *published,
        status.replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _range(images: list[int]) -> str:
    if not images:
        return "-"
    low, high = min(images), max(images)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def as_csv(table: Table) -> str:
    """One line a row, with data and protocol in each, so that lines of several sweeps can stand in one file."""
    columns = ["run", "status", "seeds", "images"]
    columns += [f"{kind}_top{k}" for kind in ("mean", "deviation", "published") for k in PUBLISHED_KS]
    columns += ["mean_split_names_top1", "note", "profile", "data", "model", "protocol"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for line in table.lines:
        figures = {
            f"{kind}_top{k}": getattr(line, kind).get(k, "")
            for kind in ("mean", "deviation", "published")
            for k in PUBLISHED_KS
        }
        writer.writerow(
            {
                "run": line.run,
                "status": line.status,
                "seeds": " ".join(map(str, line.seeds)),
                "images": " ".join(map(str, line.images)),
                **figures,
                "mean_split_names_top1": "" if line.split_names is None else line.split_names,
                "note": line.note,
                "profile": table.profile,
                "data": table.data,
                "model": table.model,
                "protocol": table.protocol,
            }
        )
    return buffer.getvalue()
