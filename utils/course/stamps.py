"""Stamps: whether an executed notebook is still what its source, the package and all that it reads would give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.course.imports import used_modules

STAMP = "course_stamp"  # in the metadata of a notebook that ran to its end
LEFT = "course_results"  # what it left in the folder for results, with a digest each
SOURCE = "course_source"  # in the metadata of every executed copy: the notebook that it is of


def stamp_of(root: Path, path: Path, parameters: dict[str, Any], inputs: Mapping[str, str]) -> str:
    """What an execution depends on: its source, the modules below it, the parameters, and marks of what it reads.

    Args:
        root: Top of the checkout.
        path: The notebook.
        parameters: What it is given.
        inputs: As from `utils.course.inputs.InputMarks`, and of what earlier notebooks have left.
    """
    import nbformat

    digest = hashlib.sha256(json.dumps([parameters, dict(inputs)], sort_keys=True).encode())
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        digest.update(cell.source.encode())
    for module in used_modules(root, (cell.source for cell in notebook.cells if cell.cell_type == "code")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


def finished_stamp(output: Path) -> str | None:
    """The stamp of an executed notebook; None if it or its page is not there, is damaged, or did not finish."""
    if not output.with_suffix(".html").is_file():
        return None
    return read_metadata(output).get(STAMP)


def results_left(output: Path) -> dict[str, str]:
    """What an executed notebook has left in the folder for results, with digests; empty if nothing is known."""
    return dict(read_metadata(output).get(LEFT, {}))


def is_executed_copy(path: Path) -> bool:
    """Whether a notebook was written by a run of the course, finished or not."""
    metadata = read_metadata(path)
    source = Path(str(metadata.get("papermill", {}).get("input_path", "")))
    # Copies from before copies were marked are known by what papermill notes of their source.
    return bool({SOURCE, STAMP} & metadata.keys()) or source.parts[-2:] == ("nbs", path.name)


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a notebook; empty if there is none that can be read."""
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}
