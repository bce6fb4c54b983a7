"""An index in a folder: vectors, pictures, graph, and a note that says what belongs together.

    index.json                   the note: format, model, engine, and each file's size and digest
    generation-1/embeddings.npy  (images, dim) float32
    generation-1/images.jsonl    path, captions, split, category and source of each, in the order of the vectors
    generation-1/graph           the engine's own, where it has one

A new index is written as a further generation; then the note is replaced, which is one step for every reader; then
the earlier generation goes. Whenever the process dies, the folder holds the one index or the other, whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets import CaptionedImage
from utils.files import disk_trouble_in_words, write_whole
from utils.search.engines import ENGINES, Engine, make_engine
from utils.search.errors import SearchError

NOTE = "index.json"
KIND, VERSION = "an image index of the CLIP course", 1
_GENERATION = "generation-"
_EXPECTED = (
    "model",
    "pictures",
    "name",
    "engine",
    "width",
    "recall",
    "skipped",
    "files",
    "generation",
)


def write_index(
    folder: Path,
    embeddings: np.ndarray,
    items: Iterable[CaptionedImage],
    engine: Engine,
    facts: dict[str, Any],
) -> None:
    """Writes an index in place of the one that the folder holds, if it holds one.

    Args:
        folder: Where to; made if it is not there.
        embeddings: (images, dim) float32, of unit length.
        items: The pictures, in the order of the vectors.
        engine: What searches them.
        facts: What else the note shall hold, as JSON.

    Raises:
        SearchError: If the folder has an ``index.json`` of something else.
        OSError: If the disk takes no more; the index that was there is as it was.
    """
    check_free(folder)
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with disk_trouble_in_words(folder):
            partial.mkdir(parents=True)
            _write_array(partial / "embeddings.npy", embeddings)
            _write_items(partial / "images.jsonl", items, folder)
            engine.save(partial / "graph")
            note = {"kind": KIND, "version": VERSION, "engine": engine.name, "width": engine.width, **facts}
            note["files"] = {path.name: _mark(path) for path in sorted(partial.iterdir())}
            earlier = sorted(folder.glob(f"{_GENERATION}*"), key=_number)
            note["generation"] = f"{_GENERATION}{_number(earlier[-1]) + 1 if earlier else 1}"
            partial.rename(folder / note["generation"])
            write_whole(folder / NOTE, json.dumps(note, indent=2) + "\n")
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # what a full disk cut short would fill it further
    for path in earlier:
        shutil.rmtree(path, ignore_errors=True)


def check_free(folder: Path) -> None:
    """Refuses a folder whose ``index.json`` is not ours to replace.

    Raises:
        SearchError: If it is not.
    """
    if folder.exists() and not folder.is_dir():
        raise SearchError(f"{folder} is a file, and an index is a folder; name another place.")
    if (folder / NOTE).exists():
        with suppress(_UnreadableIndexError):
            read_note(folder)


def read_note(folder: Path) -> dict[str, Any]:
    """The note of an index folder.

    Raises:
        SearchError: If there is none, or it is of something else, of another version or incomplete.
    """
    path = folder / NOTE
    if not path.is_file():
        there = "holds no finished index" if folder.is_dir() else "is not there"
        raise SearchError(
            f"{folder} {there}; build one with ImageIndex.build(model, pictures, folder), which goes on from what "
            "an unfinished one has left."
        )
    try:
        note = json.loads(path.read_text())
        kind, version = note["kind"], note["version"]
    except (OSError, ValueError, KeyError, TypeError):
        kind, version = None, None
    if kind != KIND:
        raise SearchError(f"{path} was not written by ImageIndex.save; name the folder of an index.")
    if version != VERSION:
        raise _UnreadableIndexError(
            f"{folder} holds an index of version {version}, and this course reads version {VERSION}; build it "
            "anew."
        )
    absent = [name for name in _EXPECTED if name not in note]
    if absent:
        raise _UnreadableIndexError(
            f"{path} lacks {', '.join(absent)}; copy the index again, or build it anew."
        )
    return note


class _UnreadableIndexError(SearchError):
    """An index, but not of today's form or not whole: it cannot be read, and may be replaced."""


def read_index(folder: Path, note: dict[str, Any]) -> tuple[np.ndarray, list[CaptionedImage], Engine]:
    """Reads what a note describes: embeddings (images, dim) float32, the pictures, and the engine.

    Raises:
        SearchError: If a file is missing or not as it was written, or the files do not fit together.
    """
    try:
        place, marks = folder / Path(note["generation"]).name, note["files"]
        for name in sorted({"embeddings.npy", "images.jsonl", *marks}):
            _check_file(place / Path(name).name, marks.get(name))
        embeddings = np.load(place / "embeddings.npy", allow_pickle=False)
        items = _read_items(place / "images.jsonl", folder)
        name, width = note["engine"], note["width"]
        graph = place / "graph" if "graph" in marks else None
        if embeddings.ndim != 2 or embeddings.dtype != np.float32 or len(embeddings) != len(items):
            raise ValueError(f"{len(items)} pictures and vectors {embeddings.dtype}{embeddings.shape}")
        if name not in ENGINES[1:] or (name != "exact") != (graph is not None):
            raise ValueError(f"engine {name!r}")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, SearchError):
            raise
        raise SearchError(
            f"{folder / NOTE} does not fit the files beside it ({type(error).__name__}: {error}); build the index "
            "anew."
        ) from None
    return embeddings, items, make_engine(name, embeddings, graph, width)


def _check_file(path: Path, mark: dict[str, Any] | None) -> None:
    if not path.is_file():
        raise SearchError(f"{path} of the index is missing; copy the folder as a whole, or build it anew.")
    if mark is None or path.stat().st_size != mark["bytes"]:
        size = "unknown" if mark is None else f"{mark['bytes']:,}"
        raise SearchError(
            f"{path} has {path.stat().st_size:,} bytes, not the {size} that were written; copy the index again, or "
            "build it anew."
        )
    if _mark(path) != mark:
        raise SearchError(f"{path} is not the file that was written; copy the index again, or build it anew.")


def _mark(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _number(path: Path) -> int:
    digits = path.name.removeprefix(_GENERATION)
    return int(digits) if digits.isdecimal() else 0


def _write_array(path: Path, array: np.ndarray) -> None:
    try:
        np.save(path, array, allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # NumPy counts what it could not write, and does not say why
            raise OSError(errno.ENOSPC, str(error), str(path)) from None
        raise


def _write_items(path: Path, items: Iterable[CaptionedImage], folder: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for item in items:
            row = {
                "path": stored_path(item.path, folder),
                "captions": item.captions,
                "split": item.split,
                "category": item.category,
                "source": item.source,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def stored_path(path: Path, folder: Path) -> str:
    """From the index folder where the picture is below it or beside it, so that both can move; else absolute."""
    picture, place = Path(os.path.abspath(path)), Path(os.path.abspath(folder))  # noqa: PTH100
    if picture.is_relative_to(place.parent):
        return Path(os.path.relpath(picture, place)).as_posix()
    return str(picture)


def found_path(stored: str, folder: Path) -> Path:
    """Where a picture is by the path that `stored_path` gave."""
    return Path(os.path.abspath(folder / stored))  # noqa: PTH100


def _read_items(path: Path, folder: Path) -> list[CaptionedImage]:
    items = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            place, captions = found_path(row["path"], folder), tuple(row["captions"])
            items.append(CaptionedImage(place, captions, row["split"], row["category"], row["source"]))
    return items
