"""Reports: what a run leaves to read, metrics.json and summary.md."""

from __future__ import annotations

import json
from pathlib import Path

from utils.course.execution import Outcome
from utils.course.metrics import read_metrics
from utils.files import write_whole


def write_reports(output_dir: Path, profile: str, outcomes: list[Outcome]) -> None:
    """Writes metrics.json and summary.md beside the executed notebooks."""
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
