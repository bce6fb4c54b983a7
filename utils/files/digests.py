"""Digests of files and folders."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def digest_of_folder(folder: Path) -> str:
    """Over names and content of the files in a folder, at any depth: not of hidden ones, nor of pages to read."""
    digest = hashlib.sha256()
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(top, name)
            if path.is_file() and path.suffix != ".md" and not name.startswith("."):
                digest.update(repr((path.relative_to(folder).as_posix(), digest_of_file(path))).encode())
    return digest.hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
