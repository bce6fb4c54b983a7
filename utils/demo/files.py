"""The files of visitors: where uploads and downloads lie, which paths are theirs, and when they are deleted."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.datasets import ImageError
from utils.demo.decoding import FORMAT_NAMES
from utils.demo.limits import SECONDS_KEPT

if TYPE_CHECKING:
    from PIL import Image

    from utils.finder import Finding

FINDINGS_KEPT = 64  # an image has one or two megabytes


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Sets a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@contextmanager
def temporary_cache() -> Iterator[Path]:
    """Gives Gradio a folder for uploads and downloads that is deleted afterwards; enter before making a page."""
    with (
        tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder,
        environment("GRADIO_TEMP_DIR", folder),
    ):
        yield Path(folder)


def is_visitor_file(path: Any) -> bool:
    """Whether a path, with all links followed, lies in the folder of uploads and downloads."""
    from gradio.utils import get_upload_folder

    try:
        return Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    except (TypeError, ValueError, OSError, RuntimeError):
        return False


def uploaded_path(payload: Any) -> Path:
    """The file behind Gradio's description of an upload; an ImageError if it does not lie where uploads do."""
    if not payload:
        raise ImageError(f"There is no image yet: drop {FORMAT_NAMES} on the field, or paste one.")
    path = payload.get("path") if isinstance(payload, dict) else None
    if not isinstance(path, str) or not is_visitor_file(path):
        raise ImageError("The image was not uploaded to this page; send the file itself.")
    return Path(path)


def sweep(folder: Path) -> None:
    """Deletes by age what broken uploads, which Gradio forgets, have left in a folder, and empty folders."""
    oldest = time.time() - SECONDS_KEPT
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.lstat().st_mtime > oldest:
                    continue
                if path.is_dir():
                    path.rmdir()  # fails where something is in it
                elif path.name.startswith("tmp"):
                    path.unlink()


@dataclass(frozen=True)
class Downloads:
    """Findings as files to download, of which only the last few are kept."""

    cache: Path  # that Gradio serves files from
    folders: deque[Path] = field(default_factory=deque)  # those kept, the oldest first

    def save(self, finding: Finding, overlay: Image.Image) -> tuple[str, str, str | None]:
        """Writes a finding as JSON, its overlay as PNG, and its tiles as GeoJSON where they have a place on the Earth.

        What is too old is deleted. Returns the three files, None in place of the last where there is no place.
        """
        folder = self.new_folder("finding-")
        overlay.save(folder / "finding.png", compress_level=1)  # a third of the time and hardly larger
        finding.save_json(folder / "finding.json")
        places = None
        if finding.scene.place.crs is not None:
            places = str(finding.save_geojson(folder / "finding.geojson"))
        return str(folder / "finding.json"), str(folder / "finding.png"), places

    def new_folder(self, prefix: str) -> Path:
        """A folder to write in, in place of the oldest one of many."""
        self.cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.cache))
        self.folders.append(folder)  # now, so that what a full disk cuts short is deleted later, too
        while len(self.folders) > FINDINGS_KEPT:
            shutil.rmtree(self.folders.popleft(), ignore_errors=True)
        return folder
