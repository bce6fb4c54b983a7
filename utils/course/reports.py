"""Reports: what a run leaves to read: metrics.json, parameters.json and summary.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from utils.course.execution import LEFT_OUT, Outcome
from utils.course.metrics import read_metrics
from utils.course.results import MADE_BY, METRICS, PARAMETERS, SUMMARY, read_json
from utils.files import write_whole


def write_reports(
    output_dir: Path,
    profile: str,
    outcomes: list[Outcome],
    parameters: dict[str, dict[str, Any]],
    outdated: list[str],
) -> None:
    """Writes metrics.json, parameters.json and summary.md beside the executed notebooks.

    Args:
        output_dir: Where the notebooks are.
        profile: Name of the profile.
        outcomes: How each notebook of this run ended.
        parameters: What each notebook is given, by its stem; those of notebooks that were not run are not noted.
        outdated: Stems of executed notebooks that no longer are what a run would give; nothing is said of theirs.
    """
    metrics = {
        path.stem: values
        for path in sorted(output_dir.glob("[0-9][0-9]_*.ipynb"))
        if path.stem not in outdated and (values := read_metrics(path))
    }
    write_whole(output_dir / METRICS, json.dumps(metrics, indent=2) + "\n")
    noted = read_json(output_dir / PARAMETERS).get("parameters", {})
    noted |= {outcome.stem: parameters[outcome.stem] for outcome in outcomes}
    content = {"made_by": MADE_BY, "profile": profile, "parameters": dict(sorted(noted.items()))}
    write_whole(output_dir / PARAMETERS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    lines = [f"# The course, profile {profile}", "", "| notebook | status | seconds |", "|---|---|---|"]
    lines += [f"| [{o.stem}]({o.stem}.html) | {o.status} | {o.seconds:.0f} |" for o in outcomes]
    lines += [f"\n{o.stem} was left out: {o.error}" for o in outcomes if o.status == LEFT_OUT]
    if outdated:
        lines += [
            f"\nNot in here, for they are of an earlier run: {', '.join(outdated)}; `make course` mends that."
        ]
    if table := zero_shot_table(metrics):
        lines += ["", "## Zero-shot, test split", "", table]
    write_whole(output_dir / SUMMARY, "\n".join(lines) + "\n")


def zero_shot_table(metrics: dict[str, dict[str, float]]) -> str:
    """Baseline and what was fine-tuned at k = 1, 3, 5, 10, as Markdown; empty if nothing was evaluated."""
    scores = metrics.get("05_evaluate_zero_shot", {})
    if "baseline_top1" not in scores:
        return ""
    rows = ["| model | k=1 | k=3 | k=5 | k=10 |", "|---|---|---|---|---|"]
    for name, prefix in (("baseline", "baseline"), ("fine-tuned", "finetuned")):
        if f"{prefix}_top1" in scores:
            cells = " | ".join(f"{scores[f'{prefix}_top{k}']:.3f}" for k in (1, 3, 5, 10))
            rows.append(f"| {name} | {cells} |")
    return "\n".join(rows)
