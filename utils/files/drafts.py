"""Folders that appear whole: made in a hidden folder beside, then renamed; its maker is known to be alive or dead."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from utils.files.locks import LOCK, OWNER, FolderInUseError, sole_owner
from utils.files.writing import move, refuse_file

DRAFT, REPLACED, PROBE = "draft", "replaced", "probe"
_OURS = {DRAFT, REPLACED, PROBE, LOCK, OWNER, f".{OWNER}.partial"}


@contextmanager
def workshop(folder: Path, doing: str) -> Iterator[Path]:
    """Yields an empty folder to make ``folder`` in, on the same disk, which `publish` moves into place.

    It lies in a hidden folder beside ``folder``, which is gone at the end, with a note of what is done in it. What
    killed processes have left of such folders goes first; those of living ones, which hold a lock, stay.
    """
    refuse_file(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_workshops(folder)
    with ExitStack() as stack:
        while True:
            place = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            stack.callback(shutil.rmtree, place, ignore_errors=True)  # after the lock has been given back
            # Between the lines another process may sweep it, since nobody holds it: then once more.
            with suppress(FolderInUseError, FileNotFoundError):
                stack.enter_context(sole_owner(place, doing))
                break
        draft = place / DRAFT
        draft.mkdir()
        yield draft


def publish(draft: Path, folder: Path) -> None:
    """Moves the folder that a `workshop` gave into place; what is there already goes with the workshop."""
    share_as_new(draft)
    replaced = draft.parent / REPLACED
    if folder.exists():
        move(folder, replaced)
    try:
        move(draft, folder)
    except BaseException:
        if replaced.is_dir():  # it would go with the workshop
            move(replaced, folder)
        raise


def share_as_new(draft: Path) -> None:
    """Gives the folder of a `workshop`, and all in it, the permissions of new files and folders, as the umask says.

    safetensors 0.8 writes files that nobody but their owner may read, and a copy has those of what was copied.
    """
    probe = draft.with_name(PROBE)
    probe.mkdir()
    (probe / "file").touch()
    for_folders, for_files = probe.stat().st_mode, (probe / "file").stat().st_mode
    shutil.rmtree(probe)
    for top, _, names in os.walk(draft):
        for path, usual in ((Path(top), for_folders), *((Path(top, name), for_files) for name in names)):
            if not path.is_symlink() and path.stat().st_mode != usual:
                path.chmod(stat.S_IMODE(usual))


def sweep_workshops(folder: Path) -> None:
    """Removes the workshops of this folder that nobody holds, and puts back what one of them has moved aside."""
    name = re.compile(rf"\.{re.escape(folder.name)}-[a-z0-9_]{{8}}")  # as mkdtemp gives them
    for place in [path for path in folder.parent.iterdir() if name.fullmatch(path.name)]:
        with suppress(OSError):
            if place.is_symlink() or not _OURS.issuperset(path.name for path in place.iterdir()):
                continue  # somebody else's
            with sole_owner(place, "removing what a killed process has left"):
                if not folder.exists() and (place / REPLACED).is_dir():
                    (place / REPLACED).rename(folder)
                shutil.rmtree(place, ignore_errors=True)
            place.rmdir()  # where an open lock cannot be removed, as on Windows
