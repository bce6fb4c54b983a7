"""Metrics: a notebook notes them in the output of a cell, the runner and the tests read them there."""

from __future__ import annotations

from pathlib import Path

from utils.files import read_json

METRIC_MIME = "application/vnd.clip-course.metric+json"


def record(**metrics: float) -> None:
    """Notes metrics in the output of the notebook cell; a name stands once in a notebook."""
    from IPython.display import display

    values = {name: float(value) for name, value in metrics.items()}
    text = "\n".join(f"{name} = {value:.4g}" for name, value in values.items())
    display({METRIC_MIME: values, "text/plain": text}, raw=True)


def read_metrics(path: Path) -> dict[str, float]:
    """The metrics that an executed notebook has recorded; none if a full disk has cut it short."""
    metrics: dict[str, float] = {}
    for cell in read_json(path).get("cells", []):
        for output in cell.get("outputs", []):
            metrics.update(output.get("data", {}).get(METRIC_MIME, {}))
    return metrics
