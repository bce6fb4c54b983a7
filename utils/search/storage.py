"""An index in a folder: vectors, pictures, graph, and a note that says what belongs together.

    index.json                   the note: format, model, engine, and each file's size and digest
    generation-1/stamp.json      that the folder is ours
    generation-1/embeddings.npy  (images, dim) float32
    generation-1/images.jsonl    path, captions, split, category, source, size and time of each, in the vectors' order
    generation-1/graph           the engine's own, where it has one
    pieces/                      what an unfinished build has embedded, see `utils.search.pieces`

A new index is written as a further generation; then the note is replaced, which is one step for every reader; then
the earlier generation goes. Whenever the process dies, the folder holds the one index or the other, whole.

The folder may hold files of the user's, the pictures themselves even: nothing is removed but what carries our stamp,
or, as earlier versions left it, is named by the note or holds nothing but files of ours.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets import CaptionedImage, ImageReading
from utils.files import disk_trouble_in_words, file_in_the_way, sole_owner, write_whole
from utils.search.distinct import DistinctEngine
from utils.search.engines import ENGINES, Engine, make_engine
from utils.search.errors import SearchError
from utils.search.members import read_members, write_members
from utils.search.pieces import PIECES, Mark, check_pieces

NOTE = "index.json"
KIND = "an image index of the CLIP course"
# Version 2 is written only where version 1, which earlier programs read, would be understood wrongly: its graph holds
# equal vectors once, or its members are tiles of scenes.
VERSIONS = (1, 2)
_GENERATION = "generation-"
_STAMP = "stamp.json"
_FILES = ("embeddings.npy", "images.jsonl", "graph")
# What a killed process leaves: a generation without a stamp, as mkdtemp names it, or the draft of an earlier version.
_UNSTAMPED = re.compile(rf"\.{_GENERATION}[a-z0-9_]{{8}}")
_EARLIER_DRAFT = ".partial"
_EXPECTED = ("model", "pictures", "name", "engine", "width", "recall", "skipped", "files", "generation")


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing an index into a folder at the same time; reading needs no lock.

    Raises:
        FolderInUseError: If somebody writes there; an OSError whose sentence says who.
        OSError: If the folder cannot be written to.
    """
    with ExitStack() as stack:
        with disk_trouble_in_words(folder):
            stack.enter_context(sole_owner(folder, "building an index"))
        yield


def write_index(
    folder: Path,
    embeddings: np.ndarray,
    items: Sequence[CaptionedImage],
    marks: Sequence[Mark],
    engine: Engine,
    facts: dict[str, Any],
) -> None:
    """Writes an index in place of the one that the folder holds, if it holds one.

    Args:
        folder: Where to, `owned`; made if it is not there.
        embeddings: (images, dim) float32, of unit length.
        items: The pictures, in the order of the vectors.
        marks: Their sizes and times of change, as far as they are known.
        engine: What searches them.
        facts: What else the note shall hold, as JSON.

    Raises:
        SearchError: If the folder has an ``index.json`` of something else.
        OSError: If the disk takes no more; the index that was there is as it was.
    """
    check_free(folder)
    earlier = _named_generation(folder)
    with disk_trouble_in_words(folder):
        place = _new_generation(folder)
        try:
            _write_array(place / "embeddings.npy", embeddings)
            write_members(place / "images.jsonl", items, marks, folder)
            engine.save(place / "graph")
            version = 2 if isinstance(engine, DistinctEngine) or "tiling" in facts else 1
            note = {"kind": KIND, "version": version, "engine": engine.name, "width": engine.width}
            note |= {"widths": {str(count): width for count, width in engine.widths.items()}, **facts}
            note["files"] = {name: _mark(place / name) for name in _FILES if (place / name).is_file()}
            note["generation"] = place.name
            write_whole(folder / NOTE, json.dumps(note, indent=2) + "\n")
        finally:
            if _named_generation(folder) != place.name:
                _remove_generation(place)  # what a full disk cut short would fill it further
    remove_leftovers(folder, earlier)


def remove_leftovers(folder: Path, earlier: str = "") -> None:
    """Removes what earlier indexes and killed processes have left, as far as it is ours.

    Args:
        folder: The folder of an index, `owned`.
        earlier: Name of the generation that the note named before.
    """
    for place in leftovers(folder, earlier):
        _remove_generation(place)


def leftovers(folder: Path, earlier: str = "") -> list[Path]:
    """The generations in a folder that are ours and not those of its index."""
    current = _named_generation(folder)
    return [
        place
        for place in folder.iterdir()
        if _number(place) or place.name == _EARLIER_DRAFT or _UNSTAMPED.fullmatch(place.name)
        if place.name != current
        if place.is_dir() and not place.is_symlink()
        if place.name == earlier or _is_ours(place)
    ]


def _new_generation(folder: Path) -> Path:
    """A new folder for an index, stamped as ours and numbered behind all that are there, whoever's they are."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{_GENERATION}{max(map(_number, folder.iterdir()), default=0) + 1}"
    # Renamed when it is stamped, so that none of ours is ever without.
    unstamped = Path(tempfile.mkdtemp(prefix=f".{_GENERATION}", dir=folder))
    (unstamped / _STAMP).write_text(json.dumps({"kind": KIND}), encoding="utf-8")
    unstamped.chmod(0o755)  # mkdtemp made it private
    return unstamped.rename(place)


def _named_generation(folder: Path) -> str:
    """The generation that the note names; empty if there is no note that can be read."""
    try:
        return Path(read_note(folder)["generation"]).name
    except (SearchError, TypeError):
        return ""


def _is_ours(place: Path) -> bool:
    try:
        names = {path.name for path in place.iterdir()}
        if _UNSTAMPED.fullmatch(place.name):
            return names <= {_STAMP}
        if _STAMP in names:
            return json.loads((place / _STAMP).read_text(encoding="utf-8"))["kind"] == KIND
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return "embeddings.npy" in names and names.issubset(_FILES)  # of an earlier version, which had no stamp


def _remove_generation(place: Path) -> None:
    """Removes our files from a folder, the stamp last, and the folder if nothing else is in it."""
    with suppress(OSError):
        for name in reversed(_FILES):
            (place / name).unlink(missing_ok=True)
        if {path.name for path in place.iterdir()} <= {_STAMP}:
            (place / _STAMP).unlink(missing_ok=True)
            place.rmdir()


def check_free(folder: Path) -> None:
    """Refuses a folder whose ``index.json`` or ``pieces`` are not ours to replace.

    Raises:
        SearchError: If one of them is not.
    """
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
            f"{folder} {found}; build one with ImageIndex.build(model, pictures, folder), which goes on from what "
            "an unfinished one has left."
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
            f"{' and '.join(map(str, VERSIONS))}; build it anew."
        )
    absent = [name for name in _EXPECTED if name not in note]
    if absent:
        raise _UnreadableIndexError(f"{path} lacks {', '.join(absent)}; copy the index again, or build it anew.")
    return note


def recorded_reading(folder: str | Path | None) -> ImageReading | None:
    """How a folder's index had its deep pictures read; None if there is none, or no such picture in it."""
    try:
        return None if folder is None else ImageReading(**read_note(Path(folder))["reading"])
    except (SearchError, KeyError, TypeError, ValueError):
        return None


def holds(folder: Path, model: str, pictures: str) -> bool:
    """Whether the note says that the folder holds the index of a model and of pictures, both by their marks."""
    try:
        note = read_note(folder)
    except SearchError:
        return False
    return (note["model"], note["pictures"]) == (model, pictures)


class _UnreadableIndexError(SearchError):
    """An index, but not of today's form or not whole: it cannot be read, and may be replaced."""


@dataclass(frozen=True)
class SavedIndex:
    """What a folder holds.

    Attributes:
        note: The note.
        embeddings: (images, dim) float32.
        items: The pictures.
        marks: Their sizes and times of change; None each in an index of an earlier version.
        engine: What searches them.
    """

    note: dict[str, Any]
    embeddings: np.ndarray
    items: list[CaptionedImage]
    marks: tuple[Mark, ...]
    engine: Engine


def read_index(folder: Path, model: str) -> SavedIndex:
    """Reads the index of a folder, which another process may replace meanwhile.

    Args:
        folder: The folder.
        model: The mark of the model that it must have been built with.

    Raises:
        SearchError: If there is none, it is of another model, a file is missing or not as it was written, or the
            files do not fit together.
    """
    note = read_note(folder)
    while True:
        if note["model"] != model:
            raise SearchError(
                f"{folder} was built with another model (mark {note['model']}, not {model}); load that model, or "
                "build the index anew."
            )
        try:
            return _read_generation(folder, note)
        except SearchError:
            later = read_note(folder)
            if later["generation"] == note["generation"]:
                raise
            note = later  # it was replaced while it was read, and its files are gone


def _read_generation(folder: Path, note: dict[str, Any]) -> SavedIndex:
    try:
        place, marks = folder / Path(note["generation"]).name, note["files"]
        for name in sorted({"embeddings.npy", "images.jsonl", *marks}):
            _check_file(place / Path(name).name, marks.get(name))
        embeddings = np.load(place / "embeddings.npy", allow_pickle=False)
        items, picture_marks = read_members(place / "images.jsonl", folder)
        name, width = note["engine"], note["width"]
        graph = place / "graph" if "graph" in marks else None
        if embeddings.ndim != 2 or embeddings.dtype != np.float32 or len(embeddings) != len(items):
            raise ValueError(f"{len(items)} pictures and vectors {embeddings.dtype}{embeddings.shape}")
        if name not in ENGINES[1:] or (name != "exact") != (graph is not None):
            raise ValueError(f"engine {name!r}")
        engine = make_engine(name, embeddings, graph, width, once=note["version"] > 1)
        # An index of an earlier version has one width for any number of answers.
        engine.widths = {int(count): int(width) for count, width in dict(note.get("widths", {})).items()}
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:  # the last one is the engines' own
        if isinstance(error, SearchError):
            raise
        raise SearchError(
            f"{folder / NOTE} does not fit the files beside it ({type(error).__name__}: {error}); build the index anew."
        ) from None
    return SavedIndex(note, embeddings, items, picture_marks, engine)


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
    return int(digits) if path.name.startswith(_GENERATION) and digits.isdecimal() else 0


def _write_array(path: Path, array: np.ndarray) -> None:
    try:
        np.save(path, array, allow_pickle=False)
    except OSError as error:
        if error.errno is None:  # NumPy counts what it could not write, and does not say why
            raise OSError(errno.ENOSPC, str(error), str(path)) from None
        raise
