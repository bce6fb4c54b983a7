"""An index in a folder: vectors, images, graph, and a note that says what belongs together.

    index.json                   the note: format, model, engine, and each file's size and digest
    generation-1/stamp.json      that the folder is ours
    generation-1/embeddings.npy  (images, dim) float32
    generation-1/images.jsonl    a line for each image or tile, in the vectors' order, see `utils.search.members`
    generation-1/graph           the engine's own, where it has one
    pieces/                      what an unfinished build has embedded, see `utils.search.pieces`

A new index is written as a further generation; then the note is replaced, which is one step for every reader; then
the earlier generation goes. Whenever the process dies, the folder holds the one index or the other, whole.

The folder may hold files of the user's, the images themselves even: nothing is removed but what carries our stamp, or,
as earlier versions left it, is named by the note.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets import CaptionDataset, ImageReading
from utils.datasets.images.reading import AS_STORED
from utils.files import (
    digest_of_file,
    disk_trouble_in_words,
    file_in_the_way,
    publish,
    sole_owner,
    workshop,
    write_whole,
)
from utils.search.catalog import Mark, Skipped
from utils.search.engines import ENGINES, Engine, make_engine
from utils.search.errors import SearchError
from utils.search.members import found_path, read_mark, read_members, stored_path, write_members
from utils.search.pieces import PIECES, check_pieces
from utils.search.tiles import Tiling

NOTE = "index.json"
KIND = "an image index of the CLIP course"
# Version 2 is written only where version 1, which earlier programs read, would be understood wrongly: its graph holds
# equal vectors once, or its members are tiles of scenes.
VERSIONS = (1, 2)
_GENERATION = "generation-"
_STAMP = "stamp.json"
_FILES = ("embeddings.npy", "images.jsonl", "graph")
_EXPECTED = ("model", "pictures", "name", "engine", "width", "recall", "skipped", "files", "generation")


@dataclass(frozen=True, eq=False, repr=False)
class Contents:
    """What an index holds.

    Attributes:
        dataset: The images, or tiles, in the order of the vectors.
        embeddings: (images, dim) float32, of unit length.
        engine: What finds the closest of them.
        recall: Share of the ten true neighbors that the engine finds, measured on held-out queries like images or like
            texts, whichever have less of it; 1 for exact search.
        skipped: Images that could not be read, with the reason.
        fingerprint: Over the names, sizes and times of the images that it was built from.
        missing: Members whose file was not there when the index was loaded; they are found, but cannot be shown.
        marks: By which an edited member is known; empty where they are not known.
        tiling: How the scenes were cut whose tiles are the members; None where these are whole images.
    """

    dataset: CaptionDataset
    embeddings: np.ndarray
    engine: Engine
    recall: float = 1.0
    skipped: tuple[Skipped, ...] = ()
    fingerprint: str = ""
    missing: tuple[Path, ...] = ()
    marks: tuple[Mark, ...] = ()
    tiling: Tiling | None = None

    @cached_property
    def reading(self) -> ImageReading:
        """How its images of more than 8 bits are read, if all are read alike."""
        readings = self.dataset.readings
        return readings[0] if len(readings) == 1 else AS_STORED


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing an index into a folder at the same time; reading needs no lock.

    Raises:
        OSError: If the folder cannot be written to; a FolderInUseError, which says who writes there.
    """
    with ExitStack() as stack:
        with disk_trouble_in_words(folder):
            stack.enter_context(sole_owner(folder, "building an index"))
        yield


def write_index(folder: Path, contents: Contents, model: str) -> None:
    """Writes an index in place of the one that the folder holds, if it holds one.

    The caller is `sole_writer` of the folder and has had it checked by `check_free`; ``model`` is a fingerprint.

    Raises:
        OSError: If the disk takes no more; the index that was there is as it was.
    """
    earlier = _named_generation(folder)
    place = folder / f"{_GENERATION}{max(map(_number, folder.iterdir()), default=0) + 1}"
    with disk_trouble_in_words(folder):
        # Of one name whatever the number, so that the next writer sweeps away what a killed one has left.
        with workshop(folder / f"{_GENERATION}0", "writing an index") as draft:
            (draft / _STAMP).write_text(json.dumps({"kind": KIND}), encoding="utf-8")
            _write_array(draft / "embeddings.npy", contents.embeddings)
            marks = contents.marks or (None,) * len(contents.dataset)
            write_members(draft / "images.jsonl", contents.dataset, marks, folder)
            contents.engine.save(draft / "graph")
            note = _note_of(contents, model, folder)
            note["files"] = {name: _file_mark(draft / name) for name in _FILES if (draft / name).is_file()}
            publish(draft, place)
        try:
            write_whole(folder / NOTE, json.dumps(note | {"generation": place.name}, indent=2) + "\n")
        finally:
            if _named_generation(folder) != place.name:
                _remove_generation(place)  # what a full disk cut short would fill it further
    remove_leftovers(folder, earlier)


def _note_of(contents: Contents, model: str, folder: Path) -> dict[str, Any]:
    """What the note says but for the files."""
    engine = contents.engine
    note = {
        "kind": KIND,
        "version": 2 if engine.merges_equals or contents.tiling else 1,
        "engine": engine.name,
        "width": engine.width,
        "widths": {str(count): width for count, width in engine.widths.items()},
        "model": model,
        "pictures": contents.fingerprint,
        "name": contents.dataset.name,
        "recall": contents.recall,
        "query_parameters": engine.query_parameters,
        "skipped": [[stored_path(one.path, folder), one.reason] for one in contents.skipped],
        "skipped_marks": [one.mark for one in contents.skipped],
    }
    if contents.reading != AS_STORED:
        note["reading"] = contents.reading.describe()
    if contents.tiling is not None:
        note["tiling"] = contents.tiling.describe()
    return note


def remove_leftovers(folder: Path, earlier: str = "") -> None:
    """Removes the `leftovers` of a folder, which the caller is `sole_writer` of."""
    for place in leftovers(folder, earlier):
        _remove_generation(place)


def leftovers(folder: Path, earlier: str = "") -> list[Path]:
    """The generations in a folder that are ours, or that the note named earlier, and are not those of its index."""
    current = _named_generation(folder)
    return [
        place
        for place in folder.iterdir()
        if _number(place) and place.name != current and place.is_dir() and not place.is_symlink()
        if place.name == earlier or _is_ours(place)
    ]


def _named_generation(folder: Path) -> str:
    """The generation that the note names; empty if there is no note that can be read."""
    try:
        return Path(read_note(folder)["generation"]).name
    except (SearchError, TypeError):
        return ""


def _is_ours(place: Path) -> bool:
    try:
        return json.loads((place / _STAMP).read_text(encoding="utf-8"))["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remove_generation(place: Path) -> None:
    """Removes our files from a folder, the stamp last, and the folder if nothing else is in it."""
    with suppress(OSError):
        for name in reversed(_FILES):
            (place / name).unlink(missing_ok=True)
        if {path.name for path in place.iterdir()} <= {_STAMP}:
            (place / _STAMP).unlink(missing_ok=True)
            place.rmdir()


def check_free(folder: Path) -> None:
    """Refuses a folder whose ``index.json`` or ``pieces`` are not ours to replace, with a `SearchError`."""
    if blocked := file_in_the_way(folder):
        raise SearchError(f"{blocked} is a file, and an index is a folder; name another place.")
    if (folder / NOTE).exists():
        with suppress(_UnreadableIndexError):
            read_note(folder)
    check_pieces(folder / PIECES)


def read_note(folder: Path) -> dict[str, Any]:
    """The note of an index folder.

    Raises:
        SearchError: If there is none, or it is of something else, of another version or incomplete.
    """
    path = folder / NOTE
    if not path.is_file():
        missing = "is no folder but a file" if file_in_the_way(folder) == folder else "is not there"
        found = "holds no finished index" if folder.is_dir() else missing
        raise SearchError(
            f"{folder} {found}; build one with ImageIndex.build(model, images, folder), which resumes an unfinished "
            "one."
        )
    try:
        note = json.loads(path.read_text())
        kind, version = note["kind"], note["version"]
    except (OSError, ValueError, KeyError, TypeError):
        kind, version = None, None
    if kind != KIND:
        raise SearchError(f"{path} was not written by ImageIndex.save; name the folder of an index.")
    if version not in VERSIONS:
        raise _UnreadableIndexError(
            f"{folder} holds an index of version {version}, and this course reads versions "
            f"{' and '.join(map(str, VERSIONS))}; build it again."
        )
    absent = [name for name in _EXPECTED if name not in note]
    if absent:
        raise _UnreadableIndexError(f"{path} lacks {', '.join(absent)}; copy the index again, or build it again.")
    return note


def recorded_reading(folder: str | Path | None) -> ImageReading | None:
    """How a folder's index had its deep images read; None if there is none, or no such image in it."""
    try:
        return None if folder is None else ImageReading(**read_note(Path(folder))["reading"])
    except (SearchError, KeyError, TypeError, ValueError):
        return None


class _UnreadableIndexError(SearchError):
    """An index, but not of today's form or not whole: it cannot be read, and may be replaced."""


def read_index(folder: Path, model: str) -> Contents:
    """Reads the index of a folder, which another process may replace meanwhile; ``model`` is a fingerprint.

    Raises:
        SearchError: If there is none, it is of another model, a file is missing or not as it was written, or the
            files do not fit together.
    """
    note = read_note(folder)
    while True:
        if note["model"] != model:
            raise SearchError(
                f"{folder} was built with another model (fingerprint {note['model']}, not {model}); load that model, "
                "or build the index again."
            )
        try:
            return _read_generation(folder, note)
        except SearchError:
            later = read_note(folder)
            if later["generation"] == note["generation"]:
                raise
            note = later  # it was replaced while it was read, and its files are gone


def _read_generation(folder: Path, note: dict[str, Any]) -> Contents:
    try:
        place, files = folder / Path(note["generation"]).name, note["files"]
        for name in sorted({"embeddings.npy", "images.jsonl", *files}):
            _check_file(place / Path(name).name, files.get(name))
        embeddings = np.load(place / "embeddings.npy", allow_pickle=False)
        items, marks = read_members(place / "images.jsonl", folder)
        graph = place / "graph" if "graph" in files else None
        if embeddings.ndim != 2 or embeddings.dtype != np.float32 or len(embeddings) != len(items):
            raise ValueError(f"{len(items)} images and vectors {embeddings.dtype}{embeddings.shape}")
        if note["engine"] not in ENGINES[1:] or (note["engine"] != "exact") != (graph is not None):
            raise ValueError(f"engine {note['engine']!r}")
        engine = make_engine(note["engine"], embeddings, graph, once=note["version"] > 1)
        # An index of an earlier version has one width for any number of hits.
        engine.width = note["width"]
        engine.widths = {int(count): int(width) for count, width in dict(note.get("widths", {})).items()}
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # the last one is the engines' own
        if isinstance(error, SearchError):
            raise
        raise SearchError(
            f"{folder / NOTE} does not fit the files beside it ({type(error).__name__}: {error}); build the index "
            "again."
        ) from None
    skipped_marks = note.get("skipped_marks", [None] * len(note["skipped"]))
    there = {path for path in {item.path for item in items} if path.is_file()}
    tiling = note.get("tiling")
    return Contents(
        dataset=CaptionDataset(items, note["name"]),
        embeddings=embeddings,
        engine=engine,
        recall=note["recall"],
        skipped=tuple(
            Skipped(found_path(path, folder), reason, read_mark(mark))
            for (path, reason), mark in zip(note["skipped"], skipped_marks, strict=True)
        ),
        fingerprint=note["pictures"],
        missing=tuple(item.path for item in items if item.path not in there),
        marks=marks,
        tiling=None if tiling is None else Tiling(tuple(tiling["tile_sizes"]), tiling["overlap"]),
    )


def _check_file(path: Path, mark: dict[str, Any] | None) -> None:
    if not path.is_file():
        raise SearchError(f"{path} of the index is missing; copy the folder as a whole, or build it again.")
    if mark is None or path.stat().st_size != mark["bytes"]:
        size = "unknown" if mark is None else f"{mark['bytes']:,}"
        raise SearchError(
            f"{path} has {path.stat().st_size:,} bytes, not the {size} that were written; copy the index again, or "
            "build it again."
        )
    if _file_mark(path) != mark:
        raise SearchError(f"{path} is not the file that was written; copy the index again, or build it again.")


def _file_mark(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": digest_of_file(path)}


def _number(path: Path) -> int:
    digits = path.name.removeprefix(_GENERATION)
    return int(digits) if path.name.startswith(_GENERATION) and digits.isdecimal() else 0


def _write_array(path: Path, array: np.ndarray) -> None:
    try:
        np.save(path, array, allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # NumPy counts what it could not write, and does not say why
            raise OSError(errno.ENOSPC, str(error), str(path)) from None
        raise
