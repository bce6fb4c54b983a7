"""Small images of the index as files that the page serves, made when they are first shown.

An image's address is ``thumbnails/<token>/<row>.jpg``. The token is of this index in this process, so that a browser
may keep what it has seen; a row is no path, so that nothing else can be asked for.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from utils.datasets import ImageError, read_image
from utils.files import write_whole
from utils.search import SceneTile, WithoutFile
from utils.search.tiles import cut_out

if TYPE_CHECKING:
    from PIL import Image

    from utils.datasets import CaptionDataset

SIDE = 256  # pixels
MOST_FILES = 8192  # of some ten kilobytes each
ROUTE = "/thumbnails/"
NAME = re.compile(r"/thumbnails/(?P<token>[0-9a-f]{16})/(?P<row>[0-9]{1,9})\.jpg")


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """The thumbnails of a data set; only the last few thousand are kept as files."""

    dataset: CaptionDataset
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _kept: dict[int, None] = field(default_factory=dict)  # rows whose files are there, the oldest first
    _lock: Lock = field(default_factory=Lock)

    def addresses(self, rows: Sequence[int]) -> list[str]:
        """The addresses of members by their rows; empty where there is no image to show.

        A scene is opened once for all its tiles.
        """
        there = {row for row in dict.fromkeys(rows) if row in self._kept and self._file(row).is_file()}
        scenes: dict[Path, list[int]] = {}
        for row in dict.fromkeys(rows):
            if row not in there and not isinstance(self.dataset[row], WithoutFile):
                scenes.setdefault(self.dataset[row].path, []).append(row)
        for missing in scenes.values():
            with suppress(ImageError, OSError):
                self._make(missing)
                there.update(missing)
        return [f"{ROUTE[1:]}{self.token}/{row}.jpg" if row in there else "" for row in rows]

    def find(self, path: str) -> Path | None:
        """The file behind the path of an address, made again if need be; None if it is none of this index's."""
        asked = NAME.fullmatch(path)
        if asked is None or asked["token"] != self.token or int(asked["row"]) >= len(self.dataset):
            return None
        row = int(asked["row"])
        return self._file(row) if self.addresses([row])[0] else None

    def _make(self, rows: Sequence[int]) -> None:
        first = self.dataset[rows[0]]
        if isinstance(first, SceneTile):
            windows = [tile.window for tile in map(self.dataset.__getitem__, rows) if isinstance(tile, SceneTile)]
            images = cut_out(first.path, first.reading, windows, SIDE)
        else:
            images = [read_image(first.path, first.reading)] * len(rows)
        for row, image in zip(rows, images, strict=True):
            write_whole(self._file(row), _jpeg(image))
            with self._lock:
                self._kept[row] = None
                while len(self._kept) > MOST_FILES:
                    oldest = next(iter(self._kept))
                    del self._kept[oldest]
                    self._file(oldest).unlink(missing_ok=True)

    def _file(self, row: int) -> Path:
        return self._folder / f"{row}.jpg"

    @cached_property
    def _folder(self) -> Path:
        from gradio.utils import get_upload_folder

        cache = Path(get_upload_folder())
        cache.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="thumbnails-", dir=cache))


def _jpeg(image: Image.Image) -> bytes:
    import io

    stored, small = io.BytesIO(), image.copy()
    small.thumbnail((SIDE, SIDE))
    small.save(stored, "jpeg", quality=80)
    return stored.getvalue()
