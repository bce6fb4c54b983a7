"""What a killed build has embedded: a folder of pieces, each a batch of images or tiles with vectors and a digest.

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

from utils.files import read_json, write_whole
from utils.search.catalog import Mark, found_path, read_mark, stored_path
from utils.search.engines import SearchError

PIECES = "pieces"  # the folder, inside that of the index
KIND = "pieces of an image index of the CLIP course"
_NOTE, _UNFINISHED_NOTE = "note.json", ".note.json.partial"
_OURS = re.compile(r"\d{9}\.safetensors|\.\d{9}\.safetensors\.partial|\.note\.json\.partial")


def remove_ours(folder: Path, names: re.Pattern[str], note: str) -> None:
    """Removes our files from a folder, and if nothing else is in it, the note that says whose it is, and the folder."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if names.fullmatch(path.name):
                path.unlink()
        if {path.name for path in folder.iterdir()} <= {note}:
            (folder / note).unlink(missing_ok=True)
            folder.rmdir()


def has_pieces(folder: Path) -> bool:
    """Whether a folder of pieces is ours: by its note, or empty, as a process killed at its start or end leaves it."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    marked = read_json(folder / _NOTE).get("kind") == KIND
    return marked or {path.name for path in folder.iterdir()} <= {_UNFINISHED_NOTE}


def check_pieces(folder: Path) -> None:
    """Refuses a folder of pieces that is somebody else's, with a `SearchError`."""
    if (folder.exists() or folder.is_symlink()) and not has_pieces(folder):
        raise SearchError(
            f"{folder} was not made by ImageIndex.build, which keeps unfinished work under that name; name another "
            "folder for the index, or rename this one."
        )


def claim_pieces(folder: Path, model: str) -> None:
    """Makes the folder ready for pieces of a model; those of another model go."""
    note = {"kind": KIND, "model": model}
    if read_json(folder / _NOTE) != note:
        drop_pieces(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / _NOTE, json.dumps(note))


def drop_pieces(folder: Path) -> None:
    """Removes the pieces, once a whole index holds what was in them; anything else in the folder stays."""
    if has_pieces(folder):
        remove_ours(folder, _OURS, _NOTE)


def read_pieces(folder: Path) -> Iterator[tuple[Path, Mark, np.ndarray | str]]:
    """Path and mark, as `write_piece` got them, and the vector (dim,) or reason of each image in undamaged pieces."""
    from safetensors import SafetensorError, safe_open

    for piece in sorted(folder.glob("[0-9]*.safetensors")):
        try:
            with safe_open(piece, framework="numpy") as file:
                text, embeddings = file.metadata()["pictures"], file.get_tensor("embeddings")
                if _digest(text, embeddings) != file.metadata()["digest"]:
                    continue
            rows = iter(embeddings)
            found = [
                (found_path(path, folder.parent), read_mark(mark), next(rows) if reason is None else reason)
                for path, mark, reason in json.loads(text)
            ]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            continue
        yield from found


def next_number(folder: Path) -> int:
    """The number behind those of the pieces that are in a folder."""
    return max((int(path.stem) for path in folder.glob("[0-9]*.safetensors") if path.stem.isdecimal()), default=0) + 1


def write_piece(
    folder: Path, number: int, images: Iterable[tuple[Path, Mark, str | None]], embeddings: np.ndarray
) -> None:
    """Adds a piece, of a number that is free, to a claimed folder; it appears whole or not at all.

    The images are given by path, mark before they were read, and why they have no vector; the embeddings (readable,
    dim) float32 are those of the others.
    """
    from safetensors.numpy import save

    text = json.dumps([(stored_path(path, folder.parent), *facts) for path, *facts in images])
    embeddings = np.ascontiguousarray(embeddings, np.float32)  # safetensors stores others wrongly, in silence
    content = save({"embeddings": embeddings}, {"pictures": text, "digest": _digest(text, embeddings)})
    write_whole(folder / f"{number:09d}.safetensors", content)


def _digest(text: str, embeddings: np.ndarray) -> str:
    return hashlib.sha256(text.encode() + repr(embeddings.shape).encode() + embeddings.tobytes()).hexdigest()
