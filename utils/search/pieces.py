"""What a killed build has embedded: a folder of pieces, each some images or tiles with their vectors and a digest.

pieces/note.json               whose pieces these are: ours, and of which model
pieces/000000001.safetensors   embeddings, and in its metadata the images, why some have none, the digest
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from utils.files import disk_trouble_in_words, write_whole
from utils.search.catalog import Mark
from utils.search.errors import SearchError

PIECES = "pieces"  # the folder, inside that of the index
KIND = "pieces of an image index of the CLIP course"
_NOTE, _UNFINISHED_NOTE = "note.json", ".note.json.partial"
# The note of an earlier version, whose pieces hold neither digests nor the names of their images.
_EARLIER_NOTE = {"model", "pictures", "piece"}
_PIECE_FILE = re.compile(r"\d{9}\.safetensors|\.\d{9}\.safetensors\.partial")


def has_pieces(folder: Path) -> bool:
    """Whether there is a folder of pieces that is ours, or an empty one, as a process killed at its end leaves."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    note = _note(folder)
    return not any(folder.iterdir()) if note is None else note.get("kind") == KIND or set(note) == _EARLIER_NOTE


def check_pieces(folder: Path) -> None:
    """Refuses a folder of pieces that is somebody else's, with a `SearchError`."""
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
        if {path.name for path in folder.iterdir()} <= {_NOTE}:
            (folder / _NOTE).unlink(missing_ok=True)
            folder.rmdir()


def read_pieces(folder: Path) -> Iterator[tuple[str, Mark, np.ndarray | str]]:
    """Path and mark, as `write_piece` got them, and the vector (dim,) of each image, or why it has none.

    Pieces that are damaged are passed over, to be embedded again.
    """
    from safetensors import SafetensorError, safe_open

    for piece in sorted(folder.glob("[0-9]*.safetensors")):
        try:
            with safe_open(piece, framework="numpy") as file:
                text, embeddings = file.metadata()["pictures"], file.get_tensor("embeddings")
                if _digest(text, embeddings) != file.metadata()["digest"]:
                    continue
            images, rows = json.loads(text), iter(embeddings)
            found = [
                (path, mark and (mark[0], mark[1]), next(rows) if reason is None else reason)
                for path, mark, reason in images
            ]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            continue
        yield from found


def write_piece(folder: Path, images: Iterable[tuple[str, Mark, str | None]], embeddings: np.ndarray) -> None:
    """Adds a piece behind the others; it appears whole or not at all.

    Args:
        folder: The folder of pieces, claimed.
        images: The path of each, its mark before it was read, and why it has no vector.
        embeddings: (readable, dim) float32, of those that have one.

    Raises:
        OSError: If the disk takes no more.
    """
    from safetensors.numpy import save

    text = json.dumps(list(images))
    numbers = [int(path.stem) for path in folder.glob("[0-9]*.safetensors") if path.stem.isdecimal()]
    path = folder / f"{max(numbers, default=0) + 1:09d}.safetensors"
    embeddings = np.ascontiguousarray(embeddings, np.float32)  # safetensors stores others wrongly, in silence
    with disk_trouble_in_words(folder):
        write_whole(path, save({"embeddings": embeddings}, {"pictures": text, "digest": _digest(text, embeddings)}))


def _digest(text: str, embeddings: np.ndarray) -> str:
    return hashlib.sha256(text.encode() + repr(embeddings.shape).encode() + embeddings.tobytes()).hexdigest()


def _note(folder: Path) -> dict | None:
    try:
        note = json.loads((folder / _NOTE).read_text(encoding="utf-8")) if (folder / _NOTE).is_file() else None
    except (OSError, ValueError):
        return None
    return note if isinstance(note, dict) else None
