"""JSON of a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object; any other content is a ValueError."""
    raw = path.read_bytes()
    if raw.lstrip()[:1] == b"<":
        raise ValueError(
            f"{path} is a web page and not JSON, such as a login or error page; download it again, signed in."
        )
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object; download it again.")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON for people to read, its names in order."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
