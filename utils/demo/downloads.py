"""Findings as files to take home, of which only the last few are kept."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from utils.finder import Finding

KEPT = 64  # findings; a picture has one or two megabytes


@dataclass(frozen=True)
class Downloads:
    """Where findings are written.

    Attributes:
        cache: The folder that Gradio serves files from.
        folders: Those of the findings kept, the oldest first.
    """

    cache: Path
    folders: deque[Path] = field(default_factory=deque)

    def save(self, finding: Finding, overlay: Image.Image) -> tuple[str, str]:
        """Writes a finding as JSON and its overlay as PNG, deletes what is too old, and gives the two files."""
        self.cache.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="finding-", dir=self.cache))
        self.folders.append(folder)  # now, so that what a full disk cuts short is deleted later, too
        while len(self.folders) > KEPT:
            shutil.rmtree(self.folders.popleft(), ignore_errors=True)
        overlay.save(folder / "finding.png", compress_level=1)  # a third of the time and hardly larger
        finding.save_json(folder / "finding.json")
        return str(folder / "finding.json"), str(folder / "finding.png")
