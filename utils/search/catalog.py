"""What an index says of its images and their files, and which rows have a name, a path, a category or a source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, ImageError, ImageReading
from utils.datasets.images.reading import AS_STORED
from utils.files import printable
from utils.search.engines import SearchError

# By which an edited file is known: its size in bytes and time of change in nanoseconds; None if they are not known.
Mark = tuple[int, int] | None

Key = TypeVar("Key", int, str)  # by which a member is known: its row, or its identifier elsewhere


@dataclass(frozen=True)
class Hit:
    """One of the images that a search found."""

    rank: int  # 1 for the best
    score: float  # cosine similarity to the query, -1 to 1
    path: Path
    captions: tuple[str, ...]
    category: str | None
    source: str  # the data set that it comes from
    reading: ImageReading = AS_STORED  # how its file is read, as the model saw it
    given: str | None = None  # its name as it was given, such as an address, if its vector alone is known and no file

    @property
    def has_file(self) -> bool:
        """Whether the path is more than a name."""
        return self.given is None

    @property
    def name(self) -> str:
        """The file name, for people to read."""
        return printable(self.path.name)


@dataclass(frozen=True, kw_only=True)
class WithoutFile(CaptionedImage):
    """A member whose vector alone is known: ``path`` is made of its name, and no file is ever looked for there."""

    given: str  # its name as it was given; a path has no // as addresses have

    def open(self) -> Image.Image:
        """Raises an `ImageError`: there is nothing to open."""
        raise ImageError(f"{printable(self.given)}: its vector alone is known, so there is no image to show.")


@dataclass(frozen=True)
class Skipped:
    """An image that is not in the index."""

    path: Path
    reason: str  # why it could not be read, a sentence
    mark: Mark = None  # of the file when it was tried


class Catalog:
    """The rows of an index by what is known of its images, which are in their order."""

    def __init__(self, dataset: CaptionDataset) -> None:
        self._dataset = dataset
        self._rows: dict[str, dict[str | None, list[int]]] = {"category": {}, "source": {}, "name": {}}
        for row, item in enumerate(dataset):
            for kind, found in self._rows.items():
                found.setdefault(getattr(item, kind), []).append(row)

    def names(self, kind: str) -> tuple[str, ...]:
        """Sorted names of the ``category`` or ``source`` that images have."""
        return tuple(sorted(name for name in self._rows[kind] if name is not None))

    def rows_of(self, category: str | None, source: str | None) -> np.ndarray | None:
        """Rows (count,) int64 of a category and of a source, None for all; a `SearchError` if no image has that one."""
        rows = None
        for kind, name in (("category", category), ("source", source)):
            if name is None:
                continue
            if name not in self._rows[kind]:
                raise SearchError(f"No image has the {kind} {name!r}{_suggestion(name, self.names(kind))}.")
            found = np.array(self._rows[kind][name])
            rows = found if rows is None else np.intersect1d(rows, found)
        return rows

    def rows_at(self, path: Path) -> list[int]:
        """Rows of the images that a path leads to, through links too, whatever they are called."""
        rows = [row for name in names_at(path) for row in self._rows["name"].get(name, ())]
        return those_at(path, {row: self._dataset[row] for row in rows})

    def find(self, file_name: str) -> int:
        """The row of the one image of a name, which may have folders before it; a `SearchError` unless it is one."""
        rows = self._rows["name"].get(last_part(file_name), ())
        return the_one_called(file_name, {row: self._dataset[row] for row in rows}, filter(None, self._rows["name"]))


def last_part(file_name: str) -> str:
    """The name without the folders before it; empty if it has none."""
    return next(reversed(Path(printable(file_name)).parts), "")


def names_at(path: Path) -> set[str]:
    """The names that members at a path can have: its own, and that of the file that it leads to."""
    return {printable(path.name), printable(path.resolve().name)}


def those_at(path: Path, items: Mapping[Key, CaptionedImage]) -> list[Key]:
    """The keys of the items whose file a path leads to, through links too."""
    place = path.resolve()
    return [key for key, item in items.items() if not isinstance(item, WithoutFile) and item.path.resolve() == place]


def the_one_called(file_name: str, items: Mapping[Key, CaptionedImage], known: Iterable[str] = ()) -> Key:
    """The key of the one item of a name, which may have folders before it; a `SearchError` unless it is one.

    The items are those whose name ends alike; ``known`` are names of which near ones are told if there is none.
    """
    wanted = Path(printable(file_name)).parts
    paths = {key: Path(printable(item.path)).with_name(item.name) for key, item in items.items()}
    keys = [key for key, path in paths.items() if path.parts[-len(wanted) :] == wanted]
    keys = [key for key in keys if paths[key].parts == wanted] or keys  # names need no folder
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise SearchError(
            f"{len(keys)} images are called {file_name!r}, {paths[keys[0]]} and {paths[keys[1]]} among them; "
            "write as much of the path as tells them apart."
        )
    near = [str(path) for path in paths.values()] or known
    raise SearchError(f"No image of the index is called {file_name!r}{_suggestion(file_name, near)}.")


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0)
    return f"; the nearest are {', '.join(near)}" if near else ""


def stored_path(path: Path, folder: Path) -> str:
    """From the index folder where the file is below it or beside it, so that both can move; else absolute."""
    file, place = Path(os.path.abspath(path)), Path(os.path.abspath(folder))  # noqa: PTH100
    return Path(os.path.relpath(file, place)).as_posix() if file.is_relative_to(place.parent) else str(file)


def found_path(stored: str, folder: Path) -> Path:
    """Where a file is by the path that `stored_path` gave."""
    return Path(os.path.abspath(folder / stored))  # noqa: PTH100


def read_mark(stored: Sequence[int] | None) -> Mark:
    """A file's mark out of JSON; None where there is none."""
    return None if stored is None else (int(stored[0]), int(stored[1]))
