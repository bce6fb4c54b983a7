"""Reports: what a run leaves to read: metrics.json, parameters.json and summary.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.course.execution import LEFT_OUT, Outcome
from utils.course.metrics import read_metrics
from utils.course.places import read_json
from utils.course.results import MADE_BY, METRICS, PARAMETERS, SUMMARY
from utils.files import write_whole
from utils.files.provenance import PROVENANCE, versions

EVALUATION = Path("evaluation") / "evaluation.json"
KS = (1, 3, 5, 10)


def write_reports(
    output_dir: Path, profile: str, outcomes: list[Outcome], parameters: dict[str, dict[str, Any]], outdated: list[str]
) -> None:
    """Writes metrics.json, parameters.json and summary.md beside the executed notebooks.

    Noted are the parameters of the notebooks that ran, and metrics but for those of the notebooks, by stem, which are
    no longer what a run would give (``outdated``).
    """
    metrics = {
        path.stem: values
        for path in sorted(output_dir.glob("[0-9][0-9]_*.ipynb"))
        if path.stem not in outdated and (values := read_metrics(path))
    }
    content: dict[str, Any] = metrics | {PROVENANCE: _provenance(output_dir)}
    write_whole(output_dir / METRICS, json.dumps(content, indent=2) + "\n")
    noted = read_json(output_dir / PARAMETERS).get("parameters", {})
    noted |= {outcome.stem: parameters[outcome.stem] for outcome in outcomes}
    content = {"made_by": MADE_BY, "profile": profile, "parameters": dict(sorted(noted.items()))}
    write_whole(output_dir / PARAMETERS, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    lines = [f"# The course, profile {profile}", "", "| notebook | status | seconds |", "|---|---|---|"]
    lines += [f"| [{o.stem}]({o.stem}.html) | {o.status} | {o.seconds:.0f} |" for o in outcomes]
    lines += [f"\n{o.stem} was left out: {o.error}" for o in outcomes if o.status == LEFT_OUT]
    if outdated:
        lines += [f"\nNot in here, for they are of an earlier run: {', '.join(outdated)}; `make course` mends that."]
    if table := zero_shot_table(metrics, read_json(output_dir / EVALUATION)):
        lines += ["", "## Zero-shot, test split", "", table]
    write_whole(output_dir / SUMMARY, "\n".join(lines) + "\n")


def _provenance(output_dir: Path) -> dict[str, Any]:
    """The versions here, and of the training, if there was one, its device, data and starting model."""
    # The short one, which 05 to 08 may have made, comes second.
    runs = sorted(output_dir.glob("finetuned*/run.json"))
    noted = next(filter(None, (read_json(run).get(PROVENANCE) for run in runs)), None)
    of_training = {name: noted[-1][name] for name in ("device", "data", "model")} if noted else {}
    return {"versions": versions(), **of_training}


def zero_shot_table(metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Scores of an ``evaluation.json`` at k = 1, 3, 5, 10, as Markdown; empty if this run did not evaluate."""
    if "05_evaluate_zero_shot" not in metrics or not evaluation.get("zero_shot"):
        return ""
    of = evaluation["zero_shot"][evaluation.get("prompt", "documents")]
    rows = ["| model | k=1 | k=3 | k=5 | k=10 |", "|---|---|---|---|---|"]
    for name, by_k in of["scores"].items():
        figures = [by_k[str(k)] for k in KS]
        cells = [f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})" for figure in figures]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*rows, "", f'Prompt "{of["templates"][0]}"; in brackets: {evaluation["intervals"]}.'])
