"""What a killed build has embedded: a folder of pieces, each some pictures with their vectors and a digest.

pieces/note.json               whose pieces these are: ours, and of which model
pieces/000000001.safetensors   embeddings, and in its metadata the pictures, why some have none, the digest
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.files import disk_trouble_in_words, write_whole
from utils.search.errors import SearchError

if TYPE_CHECKING:
    from safetensors import safe_open

PIECES = "pieces"  # the folder, inside that of the index
KIND = "pieces of an image index of the CLIP course"
_NOTE, _UNFINISHED_NOTE = "note.json", ".note.json.partial"
# The note of an earlier version, whose pieces hold neither digests nor the names of their pictures.
_EARLIER_NOTE = {"model", "pictures", "piece"}
_PIECE_FILE = re.compile(r"\d{9}\.safetensors|\.\d{9}\.safetensors\.partial")

Mark = tuple[int, int] | None  # a picture's size in bytes and time of change in nanoseconds; None if it is not known


@dataclass(frozen=True)
class Picture:
    """A picture that was embedded, or could not be.

    Attributes:
        path: The file, as `stored_path` gives it.
        mark: Its size and time of change, taken before it was read.
        reason: Why it has no vector, a sentence; None if it has one.
    """

    path: str
    mark: Mark
    reason: str | None


@dataclass(frozen=True)
class Piece:
    """Some pictures, and the vectors (readable, dim) float32 of those that could be read, in their order."""

    pictures: tuple[Picture, ...]
    embeddings: np.ndarray


def has_pieces(folder: Path) -> bool:
    """Whether there is a folder of pieces that is ours."""
    note = None if folder.is_symlink() else _note(folder)
    return note is not None and (note.get("kind") == KIND or set(note) == _EARLIER_NOTE)


def check_pieces(folder: Path) -> None:
    """Refuses a folder of pieces that is somebody else's.

    Raises:
        SearchError: If it is.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and (has_pieces(folder) or {path.name for path in folder.iterdir()} <= {_UNFINISHED_NOTE}):
        return
    raise SearchError(
        f"{folder} was not made by ImageIndex.build, which keeps unfinished work under that name; name another folder "
        "for the index, or rename this one."
    )


def claim_pieces(folder: Path, model: str) -> None:
    """Makes the folder ready for pieces of a model; those of another model, or of an earlier version, go.

    Raises:
        SearchError: If it is somebody else's.
        OSError: If the disk takes no more.
    """
    check_pieces(folder)
    note = {"kind": KIND, "model": model}
    if _note(folder) != note:
        drop_pieces(folder)
        with disk_trouble_in_words(folder.parent):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / _NOTE, json.dumps(note))


def drop_pieces(folder: Path) -> None:
    """Removes the pieces, once a whole index holds what was in them; anything else in the folder stays."""
    if not has_pieces(folder):
        return
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if _PIECE_FILE.fullmatch(path.name) or path.name == _UNFINISHED_NOTE:
                path.unlink()
        if [path.name for path in folder.iterdir()] == [_NOTE]:
            (folder / _NOTE).unlink()
            folder.rmdir()


def read_pieces(folder: Path) -> Iterator[Piece]:
    """The whole pieces of a folder; what is damaged is passed over, to be embedded again."""
    for path in sorted(folder.glob("[0-9]*.safetensors")):
        if path.is_file() and (piece := _read_piece(path)) is not None:
            yield piece


def write_piece(folder: Path, pictures: Iterable[Picture], embeddings: np.ndarray) -> None:
    """Adds a piece behind the others; it appears whole or not at all.

    Raises:
        OSError: If the disk takes no more.
    """
    from safetensors.numpy import save

    text = json.dumps([[picture.path, picture.mark, picture.reason] for picture in pictures])
    numbers = [int(path.stem) for path in folder.glob("[0-9]*.safetensors") if path.stem.isdecimal()]
    path = folder / f"{max(numbers, default=0) + 1:09d}.safetensors"
    embeddings = np.ascontiguousarray(embeddings, np.float32)  # safetensors stores others wrongly, in silence
    metadata = {"pictures": text, "digest": _digest(text, embeddings)}
    with disk_trouble_in_words(folder):
        write_whole(path, save({"embeddings": embeddings}, metadata))


def _read_piece(path: Path) -> Piece | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return _checked(file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _checked(file: safe_open) -> Piece | None:
    """The piece of an open file, or None if a bit of it is not as it was written."""
    text, embeddings = file.metadata()["pictures"], file.get_tensor("embeddings")
    if _digest(text, embeddings) != file.metadata()["digest"]:
        return None
    rows = json.loads(text)
    return Piece(
        tuple(Picture(path, None if mark is None else (mark[0], mark[1]), reason) for path, mark, reason in rows),
        embeddings,
    )


def _digest(text: str, embeddings: np.ndarray) -> str:
    digest = hashlib.sha256(text.encode())
    digest.update(repr(embeddings.shape).encode() + embeddings.tobytes())
    return digest.hexdigest()


def _note(folder: Path) -> dict | None:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8")) if (folder / _NOTE).is_file() else None
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None
