"""Who may read what was written: a umask for a while, and what it gives to new files."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Sets what new files of this process are not to permit."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def assert_as_new(folder: Path, mask: int) -> None:
    """A folder, and all in it at any depth, has the permissions that a umask gives to new files and folders."""
    for path in [folder, *folder.rglob("*")]:
        usual = 0o777 if path.is_dir() else 0o666
        assert oct(stat.S_IMODE(path.stat().st_mode)) == oct(usual & ~mask), path
