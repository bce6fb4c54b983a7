"""The members of an index on the disk: one line of JSON for each image or tile, in the order of the vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from utils.datasets import CaptionedImage, ImageReading
from utils.datasets.images.reading import AS_STORED
from utils.finder.place import Place
from utils.search.catalog import Mark
from utils.search.tiles import SceneTile


def write_members(path: Path, items: Iterable[CaptionedImage], marks: Iterable[Mark], folder: Path) -> None:
    """Writes the members of an index, which lies in ``folder``, with their marks, if these are known."""
    # A name that is no UTF-8 holds lone surrogates, which are written as JSON writes them: \udce9.
    placed: set[Path] = set()
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for item, mark in zip_longest(items, marks):
            row: dict[str, Any] = {
                "path": stored_path(item.path, folder),
                "captions": item.captions,
                "split": item.split,
                "category": item.category,
                "source": item.source,
                "mark": mark,
            }
            if item.reading != AS_STORED:
                row["reading"] = item.reading.describe()
            if isinstance(item, SceneTile):
                row["window"] = item.window
                if item.path not in placed:  # it is the same for all tiles of a scene, and long
                    place = item.place
                    corners = None if place.transform is None else list(place.transform)[:6]
                    row["place"] = {"crs": place.crs, "transform": corners, "reason": place.reason}
                    placed.add(item.path)
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_members(path: Path, folder: Path) -> tuple[list[CaptionedImage], tuple[Mark, ...]]:
    """Reads what `write_members` wrote; marks are None each in an index of an earlier version."""
    from affine import Affine

    items: list[CaptionedImage] = []
    marks, places = [], {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            place = found_path(row["path"], folder)
            reading = ImageReading(**row["reading"]) if "reading" in row else AS_STORED
            known = (place, tuple(row["captions"]), row["split"], row["category"], row["source"], reading)
            if stored := row.get("place"):
                transform = None if stored["transform"] is None else Affine(*stored["transform"])
                places[place] = Place(stored["crs"], transform, stored["reason"])
            if "window" in row:
                items.append(SceneTile(*known, window=tuple(row["window"]), place=places[place]))
            else:
                items.append(CaptionedImage(*known))
            marks.append(read_mark(row.get("mark")))
    return items, tuple(marks)


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
