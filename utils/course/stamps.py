"""Stamps: whether an executed notebook is still what its source, the package and its parameters would give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STAMP = "course_stamp"


def stamp_of(root: Path, path: Path, parameters: dict[str, Any], inputs: Iterable[Path] = ()) -> str:
    """What an execution depends on: the notebook's source, the package, the parameters, the files it reads."""
    import nbformat

    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for cell in nbformat.read(path, as_version=4).cells:
        digest.update(cell.source.encode())
    package = root / "utils"
    for module in sorted(package.rglob("*.py")):
        if module.relative_to(package).parts[0] != "sweep":  # it runs notebooks; none of them reads it
            digest.update(module.read_bytes())
    for file in inputs:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def finished_stamp(output: Path) -> str | None:
    """The stamp of an executed notebook; None if it is not there or did not finish."""
    import nbformat

    if not output.is_file():
        return None
    return nbformat.read(output, as_version=4).metadata.get(STAMP)
