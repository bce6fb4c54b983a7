"""Which pictures and captions a data set holds: a mark that changes with them."""

from __future__ import annotations

import hashlib

from utils.datasets.caption_dataset import CaptionDataset
from utils.images.reading import AS_STORED


def data_fingerprint(dataset: CaptionDataset) -> str:
    """Sixteen hexadecimal digits that stand for a data set: file names, sizes, captions, and how files are read."""
    digest = hashlib.sha256()
    for item in dataset:
        size = item.path.stat().st_size if item.path.is_file() else None
        digest.update(repr((item.path.name, size, item.captions)).encode())
        if item.reading != AS_STORED:
            digest.update(repr(item.reading.describe()).encode())
    return digest.hexdigest()[:16]
