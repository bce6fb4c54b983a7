"""JSON files of a checkpoint folder, and one sentence for whatever cannot be read there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def damage_in_words(problem: str, way_out: str = "download it again") -> Iterator[None]:
    """Turns whatever a reader raises into a ValueError that says the problem, the reader's reason and the way out."""
    try:
        yield
    except BaseException as error:  # a panic of tokenizers, written in Rust, is not an Exception
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{problem} ({reason}); {way_out}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object; any other content is a ValueError."""
    raw = path.read_bytes()
    if raw.lstrip()[:1] == b"<":
        raise ValueError(
            f"{path} is a web page and not JSON, such as a login or error page; download it again, signed in."
        )
    with damage_in_words(f"{path} is not valid JSON"):
        content = json.loads(raw)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object; download it again.")
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON for people to read, its names in order."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
