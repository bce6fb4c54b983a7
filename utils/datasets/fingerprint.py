"""Which pictures and captions a data set holds, and how they are read: marks and notes that change with them."""

from __future__ import annotations

import hashlib
from typing import Any

from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.images.reading import AS_STORED
from utils.datasets.images.stretch import ImageReading


def data_fingerprint(dataset: CaptionDataset) -> str:
    """Sixteen hexadecimal digits that stand for a data set: file names, sizes, captions, and how files are read."""
    digest = hashlib.sha256()
    for item in dataset:
        size = item.path.stat().st_size if item.path.is_file() else None
        digest.update(repr((item.path.name, size, item.captions)).encode())
        if item.reading != AS_STORED:
            digest.update(repr(item.reading.describe()).encode())
    return digest.hexdigest()[:16]


def reading_note(dataset: CaptionDataset) -> dict[str, list[dict[str, Any]]]:
    """What is to be noted beside all that is made of a data set: its readings, as JSON knows them.

    Returns:
        ``{"reading": [...]}``; empty where files are read as they are, so that notes of plain pictures stay short.
    """
    readings = [reading.describe() for reading in dataset.readings if reading != AS_STORED]
    return {"reading": readings} if readings else {}


def shown_reading(note: dict[str, Any]) -> str:
    """A noted reading for people: "from 0 to 3000, bands 4, 3, 2"; empty where there is none.

    Args:
        note: Any note that `reading_note` is a part of.
    """
    return "; ".join(str(ImageReading(**reading)) for reading in note.get("reading", ()))
