"""Which pictures and captions a data set holds: a mark that changes with them."""

from __future__ import annotations

import hashlib

from utils.datasets.caption_dataset import CaptionDataset


def data_fingerprint(dataset: CaptionDataset) -> str:
    """Sixteen hexadecimal digits that stand for a data set: its file names, their sizes and the captions."""
    digest = hashlib.sha256()
    for item in dataset:
        size = item.path.stat().st_size if item.path.is_file() else None
        digest.update(repr((item.path.name, size, item.captions)).encode())
    return digest.hexdigest()[:16]
