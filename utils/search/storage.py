"""An index in a folder: vectors, images, graph, and a note that says what belongs together.

    index.json                   the note: format, model, engine, and each file's size and digest
    generation-1/stamp.json      that the folder is ours
    generation-1/embeddings.npy  (images, dim) float32
    generation-1/images.jsonl    a line for each image or tile, in the vectors' order
    generation-1/graph           the engine's own, where it has one
    pieces/                      what an unfinished build has embedded, see `utils.search.pieces`

A new index is written as a further generation; then its note takes the place of the earlier one, in one step for every
reader; then the earlier generation goes. Nothing is removed but what carries our stamp, or was named by the note.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from utils import files
from utils.datasets import CaptionDataset, CaptionedImage, ImageReading
from utils.datasets.images.reading import AS_STORED
from utils.finder.place import Place
from utils.search.catalog import Mark, Skipped, WithoutFile, found_path, read_mark, stored_path
from utils.search.engines import Engine, SearchError, make_engine
from utils.search.pieces import PIECES, check_pieces, remove_ours
from utils.search.tiles import SceneTile, Tiling, place_as_json, place_of_json

NOTE = "index.json"
KIND = "an image index of the CLIP course"
# Version 2 is written only where version 1, which earlier programs read, would be understood wrongly: its graph holds
# equal vectors once, or its members are tiles of scenes. Version 3 has members without files, or vectors of nobody
# knows which model.
VERSIONS = (1, 2, 3)
_GENERATION = "generation-"
_DRAFT = f"{_GENERATION}0"  # whatever the number, so that what a killed writer left is found again
_STAMP = "stamp.json"
_FILES = ("embeddings.npy", "images.jsonl", "graph")
_OURS = re.compile("|".join(map(re.escape, (*_FILES, NOTE))))


@dataclass(frozen=True, eq=False, repr=False)
class Contents:
    """What an index holds."""

    dataset: CaptionDataset  # the images, or tiles, in the order of the vectors
    embeddings: np.ndarray  # (images, dim) float32, of unit length
    engine: Engine  # what finds the closest of them
    recall: float = 1.0  # share of the ten true neighbors that the engine finds, see `choose_widths`
    skipped: tuple[Skipped, ...] = ()
    fingerprint: str = ""  # over the names, sizes and times of the images that it was built from
    missing: tuple[Path, ...] = ()  # members without a file when the index was loaded: found, but not to be shown
    marks: tuple[Mark, ...] = ()  # by which an edited member is known; empty where they are not known
    tiling: Tiling | None = None  # how the scenes were cut whose tiles are the members; None for whole images
    made_by: str = ""  # the fingerprint of the model that gave the vectors; empty if nobody knows

    @cached_property
    def reading(self) -> ImageReading:
        """How its images of more than 8 bits are read, if all are read alike."""
        readings = self.dataset.readings
        return readings[0] if len(readings) == 1 else AS_STORED


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Keeps others from writing an index into a folder, and says in a sentence what its disk refuses, as an OSError."""
    with files.disk_trouble_in_words(folder), files.sole_owner(folder, "building an index"):
        yield


def write_index(folder: Path, contents: Contents, model: str) -> None:
    """Writes an index in place of the one that the folder holds, which an OSError leaves as it was.

    The caller is `sole_writer` of the folder and has had it checked by `check_free`; ``model`` is a fingerprint.
    """
    earlier = _named_generation(folder)
    place = folder / f"{_GENERATION}{max(map(_number, folder.iterdir()), default=0) + 1}"
    with files.workshop(folder / _DRAFT, "writing an index") as draft:
        (draft / _STAMP).write_text(json.dumps({"kind": KIND}), encoding="utf-8")
        write_members(draft / "images.jsonl", contents.dataset, contents.marks, folder)
        try:
            np.save(draft / "embeddings.npy", contents.embeddings, allow_pickle=False)
            contents.engine.save(draft / "graph")
        except (OSError, RuntimeError) as error:
            if getattr(error, "errno", None):
                raise
            raise OSError(errno.ENOSPC, str(error), str(draft)) from None  # the libraries do not say why they stopped
        note = _note_of(contents, model, folder)
        note["files"] = {name: _file_mark(draft / name) for name in _FILES if (draft / name).is_file()}
        note["generation"] = place.name
        (draft / NOTE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        files.publish(draft, place)
    files.move(place / NOTE, folder / NOTE)
    remove_leftovers(folder)
    if earlier:
        remove_ours(folder / earlier, _OURS, _STAMP)


def _note_of(contents: Contents, model: str, folder: Path) -> dict[str, Any]:
    """What the note says but for the files."""
    engine = contents.engine
    note = {
        "kind": KIND,
        "version": _version(contents, model),
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
        note["tiling"] = asdict(contents.tiling)
    return note


def _version(contents: Contents, model: str) -> int:
    if not model or any(isinstance(item, WithoutFile) for item in contents.dataset):
        return 3
    return 2 if contents.engine.merges_equals or contents.tiling else 1


def write_members(path: Path, items: Iterable[CaptionedImage], marks: Iterable[Mark], folder: Path) -> None:
    """Writes the members of an index, which lies in ``folder``, with their marks, if these are known."""
    # A name that is no UTF-8 holds lone surrogates, which are written as JSON writes them: \udce9.
    placed: set[Path] = set()
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for item, mark in zip_longest(items, marks):
            row = row_of(item, stored_path(item.path, folder)) | {"mark": mark}
            if isinstance(item, SceneTile):
                if item.path in placed:  # it is the same for all tiles of a scene, and long
                    del row["place"]
                placed.add(item.path)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def row_of(item: CaptionedImage, path: str) -> dict[str, Any]:
    """What is known of a member, for JSON; a file is at ``path``."""
    row: dict[str, Any] = {
        "path": item.given if isinstance(item, WithoutFile) else path,
        "captions": item.captions,
        "split": item.split,
        "category": item.category,
        "source": item.source,
    }
    if item.reading != AS_STORED:
        row["reading"] = item.reading.describe()
    if isinstance(item, WithoutFile):
        row["file"] = False
    if isinstance(item, SceneTile):
        row |= {"window": item.window, "place": place_as_json(item.place)}
    return row


def member_of(row: dict[str, Any], path: Path, places: dict[Path, Place]) -> CaptionedImage:
    """The member that `row_of` described, whose file is at ``path``.

    ``places`` are those of the scenes that came before; a place in the row is added to them.
    """
    reading = ImageReading(**row["reading"]) if "reading" in row else AS_STORED
    known = (path, tuple(row["captions"]), row["split"], row["category"], row["source"], reading)
    if stored := row.get("place"):
        places[path] = place_of_json(stored)
    if "window" in row:
        return SceneTile(*known, window=tuple(row["window"]), place=places[path])
    return WithoutFile(*known, given=row["path"]) if has_no_file(row) else CaptionedImage(*known)


def has_no_file(row: dict[str, Any]) -> bool:
    """Whether the path of a row is a name alone."""
    return not row.get("file", True)


def has_drafts(folder: Path) -> bool:
    """Whether a killed writer has left its hidden folder, which may hold the vectors of a whole index."""
    return any(folder.glob(f".{_DRAFT}-*"))


def remove_leftovers(folder: Path) -> None:
    """Removes what killed writers have left in a folder, which the caller is `sole_writer` of."""
    files.sweep_workshops(folder / _DRAFT)
    current = _named_generation(folder)
    for place in list(folder.iterdir()):
        ours = _number(place) and not place.is_symlink() and files.read_json(place / _STAMP).get("kind") == KIND
        if ours and place.name != current:
            remove_ours(place, _OURS, _STAMP)


def _named_generation(folder: Path) -> str:
    """The generation that the note names; empty if there is none."""
    return Path(str(read_note(folder).get("generation", ""))).name


def check_free(folder: Path) -> None:
    """Refuses a folder whose ``index.json`` or ``pieces`` are not ours to replace, with a `SearchError`."""
    if blocked := files.file_in_the_way(folder):
        raise SearchError(f"{blocked} is a file, and an index is a folder; name another place.")
    read_note(folder)
    check_pieces(folder / PIECES)


def read_note(folder: Path) -> dict[str, Any]:
    """The note of an index folder, empty if there is none; a `SearchError` if ``index.json`` is something else."""
    note = files.read_json(folder / NOTE)
    if note.get("kind") != KIND and (folder / NOTE).exists():
        raise SearchError(f"{folder / NOTE} was not written by ImageIndex.save; name the folder of an index.")
    return note


def recorded_reading(folder: str | Path | None) -> ImageReading | None:
    """How a folder's index had its images read, so that a further one changes none of the others; None without one."""
    try:
        note = {} if folder is None else read_note(Path(folder))
        return ImageReading(**note.get("reading", AS_STORED.describe())) if note else None
    except (TypeError, ValueError):
        return None


def read_index(folder: Path, model: str) -> Contents:
    """Reads the index of a folder, which another process may replace meanwhile; ``model`` is a fingerprint, or empty.

    A `SearchError` says that there is none, it is of another model, or what is missing or not as it was written. Where
    either model is not known, that is not asked.
    """
    note = read_note(folder)
    while True:
        try:
            return _read_generation(folder, note, model)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # the last one is the engines' own
            later = read_note(folder)
            if later.get("generation") != note.get("generation"):
                note = later  # it was replaced while it was read, and its files are gone
                continue
            if isinstance(error, SearchError):
                raise
            raise SearchError(
                f"{folder / NOTE} does not fit the files beside it ({type(error).__name__}: {error}); build the index "
                "again."
            ) from None


def _read_generation(folder: Path, note: dict[str, Any], model: str) -> Contents:
    if not note:
        raise SearchError(
            f"{folder} holds no finished index; build one with ImageIndex.build(model, images, folder), which resumes "
            "an unfinished one."
        )
    if note["version"] not in VERSIONS:
        raise SearchError(f"{folder} holds an index of version {note['version']}, of a later course; build it again.")
    if model and note["model"] and note["model"] != model:
        raise SearchError(
            f"{folder} was built with another model (fingerprint {note['model']}, not {model}); load that model, or "
            "build the index again."
        )
    place, marks_of_files = folder / Path(note["generation"]).name, note["files"]
    for name in sorted({"embeddings.npy", "images.jsonl", *marks_of_files}):
        path = place / Path(name).name
        if not path.is_file() or _file_mark(path) != marks_of_files.get(name):
            raise SearchError(f"{path} is missing or not as it was written; copy the index again, or build it again.")
    embeddings = np.load(place / "embeddings.npy", allow_pickle=False)
    items, marks = read_members(place / "images.jsonl", folder)
    graph = None if note["engine"] == "exact" else place / "graph"
    engine = make_engine(note["engine"], embeddings, graph, once=note["version"] > 1)
    # An index of an earlier version has one width for any number of hits.
    engine.width = note["width"]
    engine.widths = {int(count): int(width) for count, width in note.get("widths", {}).items()}
    skipped_marks = note.get("skipped_marks", [None] * len(note["skipped"]))
    expected = [item.path for item in items if not isinstance(item, WithoutFile)]
    there = {path for path in set(expected) if path.is_file()}
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
        missing=tuple(path for path in expected if path not in there),
        marks=marks,
        tiling=None if tiling is None else Tiling(tuple(tiling["tile_sizes"]), tiling["overlap"]),
        made_by=note["model"],
    )


def read_members(path: Path, folder: Path) -> tuple[list[CaptionedImage], tuple[Mark, ...]]:
    """Reads what `write_members` wrote; marks are None each in an index of an earlier version."""
    items: list[CaptionedImage] = []
    marks, places = [], dict[Path, Place]()
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            place = Path(row["path"]) if has_no_file(row) else found_path(row["path"], folder)
            items.append(member_of(row, place, places))
            marks.append(read_mark(row.get("mark")))
    return items, tuple(marks)


def _file_mark(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": files.digest_of_file(path)}


def _number(path: Path) -> int:
    found = re.fullmatch(rf"{_GENERATION}(\d+)", path.name)
    return int(found[1]) if found else 0
