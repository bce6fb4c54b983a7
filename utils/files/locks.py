"""One process at a time in a folder: a lock that ends with its owner, and a note that says who that is."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from utils.files.writing import write_whole

LOCK, OWNER = ".lock", ".owner.json"


class FolderInUseError(OSError):
    """Another process works in the folder; the message names it and says what to do."""


@contextmanager
def sole_owner(folder: Path, doing: str) -> Iterator[None]:
    """Keeps all other processes, and other calls in this one, from working in a folder at the same time.

    The system gives the lock back when its process ends, however it ends, so none is ever left behind. The folder is
    made if it is not there; what is done in it, such as ``training``, is told to the others.

    Raises:
        FolderInUseError: If somebody else is at work there; it says who, what and since when.
        OSError: If the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise FolderInUseError(f"{folder} is in use by {_owner(folder)}.") from None
    note = folder / OWNER
    try:
        mine = {"process": os.getpid(), "machine": platform.node(), "doing": doing}
        write_whole(note, json.dumps({**mine, "since": f"{datetime.now():%Y-%m-%d %H:%M}"}))
        yield
    finally:
        try:
            with suppress(PermissionError):  # on Windows, while somebody reads it to say who we are
                note.unlink(missing_ok=True)
        finally:
            lock.release()


def _owner(folder: Path) -> str:
    try:
        note = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        who = f"process {note['process']} on {note['machine']}, {note['doing']} there since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return f"{who}; wait until it has ended, or choose another folder"
