"""Files that appear whole and are read if they can be, names that can be printed, disks that take no more."""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

_NO_MORE_WRITING = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "no room is left",
    errno.EROFS: "it is read-only",
}
# What Windows says where another program, such as a virus scanner or one that syncs, has a file open for a moment.
_HELD = (5, 32, 33)
_PATIENCE = 5.0  # seconds


def printable(name: str | os.PathLike) -> str:
    r"""A file name for people and for UTF-8: bytes that are not UTF-8, as other systems left them, as ``\udce9``.

    Python holds such bytes as lone surrogates, which no UTF-8 file takes and many a console refuses.
    """
    return os.fspath(name).encode("utf-8", "backslashreplace").decode()


def write_whole(path: Path, content: str | bytes) -> None:
    r"""Writes under a temporary name first, so that a reader never sees half a file; text in UTF-8.

    Lone surrogates, which stand for file names that are not UTF-8, are written as ``\udce9``: in JSON, which knows
    that very escape, the name comes back exactly.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(printable(content).encode() if isinstance(content, str) else content)
        move(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Renames a file, in place of one that is there, or a folder, to a name that is free.

    Windows refuses that while somebody has either open, so there it is tried for a few seconds.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            # Of folders Windows replaces none, and says of one that is there that access is denied.
            (source.rename if source.is_dir() else source.replace)(target)
            return
        except PermissionError as error:
            if not is_held(error) or time.monotonic() > end:
                raise
        time.sleep(0.05)


def is_held(error: OSError) -> bool:
    """Whether Windows, and no other system, says that a file is open somewhere, or may not be touched."""
    return getattr(error, "winerror", None) in _HELD


def leads_out(name: str, kind: type[PurePath] = PurePath) -> bool:
    r"""Whether a name that others gave names a place outside of the folder that it is appended to, on this system.

    On Windows ``..\image.png`` and ``C:image.png`` do, which elsewhere are plain names.
    """
    path = kind(name)
    return bool(path.anchor) or ".." in path.parts


def read_json(path: Path) -> dict[str, Any]:
    """What stands in a file of JSON, a mapping; empty if it cannot be read or is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def disk_trouble(said: str) -> str:
    """What an OSError's text, ``[Errno 28] ...``, says of a disk that takes no more; empty if it says none of that."""
    found = re.match(r"\[Errno (\d+)\]", said)
    return _NO_MORE_WRITING.get(int(found[1]), "") if found else ""


class DiskError(OSError):
    """A disk that takes no more, or a file where a folder should be; the message is a sentence."""

    def __str__(self) -> str:
        """The sentence alone."""
        return self.strerror or ""


def file_in_the_way(folder: str | os.PathLike) -> Path | None:
    """The file that stands where a folder, or one above it, should be; else None."""
    folder = Path(folder)
    return next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)


def refuse_file(folder: str | os.PathLike) -> None:
    """Refuses to make a folder where a file stands, with a `DiskError`."""
    if blocked := file_in_the_way(folder):
        raise DiskError(
            errno.ENOTDIR,
            f"{folder} should be a folder, but {blocked} is a file; name another folder, or move the file away.",
        )


@contextmanager
def disk_trouble_in_words(folder: Path) -> Iterator[None]:
    """Turns what the system says of a full or forbidden disk, or a file in the way, into a `DiskError` in words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            refuse_file(folder)
        if error.errno not in _NO_MORE_WRITING and not isinstance(error, PermissionError):
            raise
        forbidden = "this user may not write there"
        if is_held(error):
            forbidden += f", or a program has {error.filename} open, such as a notebook, a virus scanner or OneDrive"
        reason = _NO_MORE_WRITING.get(error.errno or 0, forbidden)
        raise DiskError(
            error.errno,
            f"Files could not be written into {folder}, {reason}; what was written before is whole: make room, or "
            "name another folder, and start the same run again.",
        ) from None
