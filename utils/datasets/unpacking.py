"""Images out of shards and tables: written down once as files beside a captions file, as your own data would be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.datasets.captions import Annotation, DatasetError, Listing
from utils.datasets.files import IMAGE_ENDINGS
from utils.datasets.formats import read_jsonl
from utils.files import disk_trouble_in_words, printable, publish, read_json, workshop, write_whole

UNPACKED_FOLDER = Path(__file__).resolve().parents[2] / "runs" / "data" / "unpacked"
IMAGES, CAPTIONS, NOTE = "images", "captions.jsonl", "made_of.json"
_BEGINNINGS = {b"\x89PNG": ".png", b"GIF8": ".gif", b"II*\0": ".tif", b"MM\0*": ".tif", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass
class Draft:
    """What a reader fills: files in a folder, what is said of them, and sentences on what is left out."""

    folder: Path
    annotations: list[Annotation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def unpack_once(title: str, identity: Sequence[object], content: object, fill: Callable[[Draft], None]) -> Listing:
    """Returns the listing of what ``fill`` writes; it is asked only if that has not been done, or of another content.

    Args:
        title: What is unpacked, for people.
        identity: What it is known by: there is one folder for each, which another content replaces.
        content: What shows whether that has changed, in terms of JSON.
        fill: Writes images into the folder of a draft and gives it annotations relative to that.

    Raises:
        DatasetError: If no image is in it, or it cannot be read; nothing half-written stays.
        OSError: If the disk takes no more.
    """
    digest = hashlib.sha256(repr(identity).encode("utf-8", "backslashreplace")).hexdigest()[:8]
    folder = UNPACKED_FOLDER / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', title).strip('.-')[:60] or 'data'}-{digest}"
    if _content(folder) != content:
        print(f"{printable(title)}: its images are written once into {folder}", flush=True)
        with disk_trouble_in_words(folder), workshop(folder, f"unpacking {title}") as place:
            draft = Draft(place / IMAGES)
            draft.folder.mkdir()
            fill(draft)
            if not draft.annotations:
                raise DatasetError(f"{title}: no images are in it")
            lines = [json.dumps(vars(entry), ensure_ascii=False) + "\n" for entry in draft.annotations]
            write_whole(place / CAPTIONS, "".join(lines))
            write_whole(place / NOTE, json.dumps({"content": content, "notes": draft.notes}))
            if _content(folder) != content:  # or else another process was first
                publish(place, folder)
    notes = tuple(read_json(folder / NOTE).get("notes", ()))
    return Listing(read_jsonl(folder / CAPTIONS), [folder / IMAGES], notes)


def _content(folder: Path) -> object:
    return read_json(folder / NOTE).get("content", "")


def state_of(paths: Sequence[Path]) -> list[list[int]]:
    """Size and time of change of each file, in terms of JSON: what shows that one was written again."""
    states = [path.stat() for path in paths]
    return [[state.st_size, state.st_mtime_ns] for state in states]


def image_ending(name: str, content: bytes) -> str:
    """The ending of an image's name, or else what its first bytes tell; .jpg where they tell nothing."""
    ending = Path(name).suffix.lower()
    if ending in IMAGE_ENDINGS:
        return ending
    return next((of for start, of in _BEGINNINGS.items() if content.startswith(start)), ".jpg")
