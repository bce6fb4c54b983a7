"""Checkpoint folders in transformers' format: their JSON, one sentence for damage, and how a folder is written whole.

A checkpoint folder holds ``config.json`` and a tokenizer (`utils.clip.configuration`), the weights (`weight_files`) and
``preprocessor_config.json`` (`image_processor`). The weights carry transformers' names and torch's layouts;
`utils.clip.weight_names` turns them into JAX's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from utils.files import move, publish, share_as_new, workshop

CONFIGURATIONS = ("config.json", "open_clip_config.json")  # by which a folder is known to hold a model


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


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to write to, whose files become those of ``folder`` once all are written; others stay.

    A disk that takes no more, or a file where the folder should be, is an OSError, and the folder stays as it was.
    """
    try:
        with workshop(folder, "writing a model") as draft:
            yield draft
            if folder.exists():
                _replace_files(draft, folder)
            else:
                publish(draft, folder)
    except Exception as error:  # safetensors and tokenizers, written in Rust, have errors of their own for a disk
        if (found := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        number = int(found[1])  # on Windows one of its own, which the last place below turns into Python's
        raise OSError(number, os.strerror(number), str(folder), number) from None


def _replace_files(new: Path, folder: Path) -> None:
    """Moves files into a folder that holds others; while those are mixed, no configuration calls them a model."""
    share_as_new(new)
    for name in CONFIGURATIONS:
        if (new / name).is_file():
            (folder / name).unlink(missing_ok=True)
    files = [file for file in new.rglob("*") if file.is_file()]
    # That of the folder comes last of all: a model of several has others in folders below.
    for file in sorted(files, key=lambda file: (file.name in CONFIGURATIONS, -len(file.parts))):
        place = folder / file.relative_to(new)
        place.parent.mkdir(exist_ok=True)
        move(file, place)
