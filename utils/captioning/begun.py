"""Captions that are written before their file is: kept in a hidden folder beside it, so that a stopped run resumes.

.captions.jsonl-begun/note.json       what writes them
.captions.jsonl-begun/written.jsonl   a line for each image: what it is known by, and its caption, or null if damaged
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.datasets import CaptionedImage
from utils.files import read_json, sole_owner, write_whole

_NOTE, _WRITTEN = "note.json", "written.jsonl"


class Begun:
    """The captions of a file that is not whole yet, None for what cannot be decoded, by what an image is known by."""

    def __init__(self, folder: Path, writer: str) -> None:
        self._path = folder / _WRITTEN
        note = {"writer": writer}
        self.captions: dict[str, str | None] = {}
        if read_json(folder / _NOTE) == note:
            self.captions = dict(_read(self._path))
        lines = [_line(mark, text) for mark, text in self.captions.items()]
        write_whole(self._path, "".join(lines))  # without the half line that a kill may have left
        write_whole(folder / _NOTE, json.dumps(note))

    def add(self, captions: Iterable[tuple[str, str | None]]) -> None:
        """Keeps captions of further images, on the disk too."""
        new = dict(captions)
        with self._path.open("a", encoding="utf-8") as file:
            file.write("".join(_line(mark, text) for mark, text in new.items()))
        self.captions |= new


@contextmanager
def begun(file: Path, writer: str) -> Iterator[Begun]:
    """What an earlier run has left for a file, if ``writer`` is the same; it goes once the block has ended well.

    A FolderInUseError says that another process is at work on the file.
    """
    folder = file.with_name(f".{file.name}-begun")
    with sole_owner(folder, "describing images"):
        yield Begun(folder, writer)
        for name in (_NOTE, _WRITTEN):
            (folder / name).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def mark_of(item: CaptionedImage) -> str:
    """What an image is known by: path, size and time of change of its file, and how it is read."""
    status = None
    with suppress(OSError):
        found = item.path.stat()
        status = found.st_size, found.st_mtime_ns
    return json.dumps([str(item.path.absolute()), status, repr(item.reading)])


def _read(path: Path) -> Iterator[tuple[str, str | None]]:
    """The lines of a file, up to the first that is not whole."""
    with suppress(OSError, ValueError, TypeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            mark, text = json.loads(line)
            yield mark, text


def _line(mark: str, text: str | None) -> str:
    return json.dumps([mark, text]) + "\n"
