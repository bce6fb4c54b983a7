"""What a data set holds and what is wrong with it: its table, verification, fingerprint, and notes of its readings."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.images.stretch import AS_STORED, ImageReading
from utils.files import digest_of_file, printable

NAMES_SHOWN = 3


@dataclass(frozen=True)
class VerificationReport:
    """What `CaptionDataset.verify` found about files."""

    image_count: int
    missing: tuple[str, ...]  # names that are listed but not on the disk
    unreadable: tuple[tuple[Path, str], ...]  # with the reason
    equal_content: tuple[tuple[Path, ...], ...]  # groups of files that are the same, byte for byte
    equal_across_splits: tuple[tuple[Path, ...], ...]  # those in more than one split: training data in a test

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, unreadable, or in several splits."""
        return not (self.missing or self.unreadable or self.equal_across_splits)

    def __str__(self) -> str:
        """Returns a line for every kind of finding, with the first few names."""
        findings: dict[str, Iterable[str]] = {
            "listed but not on the disk": self.missing,
            "unreadable": (f"{path.name} ({reason})" for path, reason in self.unreadable),
            "the same file twice": (" = ".join(path.name for path in group) for group in self.equal_content),
            "the same file in several splits": (
                " = ".join(path.name for path in group) for group in self.equal_across_splits
            ),
        }
        lines = [f"{self.image_count:,} images read: {'all is well' if self.ok else 'something needs a look'}"]
        for label, found in findings.items():
            lines.append(f"  {label:<31}  {count_and_name([printable(name) for name in found])}")
        return "\n".join(lines)


def verify_images(items: Sequence[CaptionedImage], missing: Iterable[str]) -> VerificationReport:
    """Reads and decodes every image, and gathers what is wrong; nothing raises because of an image."""
    splits: dict[Path, set[str | None]] = {}
    for item in items:
        splits.setdefault(item.path, set()).add(item.split)
    by_path = {item.path: item for item in items}
    by_content: dict[str, list[Path]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        reasons = dict(zip(by_path, pool.map(CaptionedImage.reason_against, by_path.values()), strict=True))
        whole = [path for path, reason in reasons.items() if not reason]
        for path, digest in zip(whole, pool.map(digest_of_file, whole), strict=True):
            by_content.setdefault(digest, []).append(path)
    equal = [tuple(group) for group in by_content.values() if len(group) > 1]
    return VerificationReport(
        image_count=len(by_path),
        missing=tuple(missing),
        unreadable=tuple((path, reason) for path, reason in reasons.items() if reason),
        equal_content=tuple(equal),
        equal_across_splits=tuple(group for group in equal if len(set().union(*(splits[path] for path in group))) > 1),
    )


def name_a_few(names: Sequence[str]) -> str:
    """Joins the first few of many names: "10.tif, 11.tif, 12.tif and 601 more"."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def count_and_name(names: Sequence[str]) -> str:
    """Says how many names there are, and the first few: "604: 10.tif, 11.tif, 12.tif and 601 more"."""
    return f"{len(names):,}: {name_a_few(names)}" if names else "0"


def summary_table(
    name: str,
    splits: Sequence[str],
    items: Sequence[CaptionedImage],
    missing: Sequence[CaptionedImage],
    damaged: Sequence[CaptionedImage],
) -> str:
    """Returns images, captions, unique captions and categories of every split, and a line for what is amiss."""
    known = [*splits, None] if any(item.split is None for item in (*items, *missing)) else splits
    rows: list[tuple[str, ...]] = [("split", "images", "captions", "unique", "per image", "categories", "missing")]
    for split in known:
        of_split = [[item for item in part if item.split == split] for part in (items, missing)]
        rows.append(_row(split or "no split", *of_split))
    if len(known) != 1:
        rows.append(_row("all", items, missing))
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = [[label.ljust(first), *map(str.rjust, cells, others)] for label, *cells in rows]
    notes = {
        "without captions": count_and_name([item.name for item in items if not item.captions]),
        "without a category": f"{sum(item.category is None for item in items):,}",
        "listed but not on the disk": count_and_name([item.name for item in missing]),
        "damaged": count_and_name([item.name for item in damaged]),
    }
    for program, number in Counter(item.written_by for item in items if item.written_by).items():
        notes[f"captions by a machine ({program})"] = f"{number:,}"
    lines = [name or "data set", *("  " + "  ".join(row) for row in table)]
    lines += [f"  {label} {found}" for label, found in notes.items() if found != "0"]
    readings = dict.fromkeys(item.reading for item in items)
    return "\n".join(lines + [f"  read {reading}" for reading in readings if reading != AS_STORED])


def _row(label: str, items: Sequence[CaptionedImage], missing: Sequence[CaptionedImage]) -> tuple[str, ...]:
    lengths = sorted({len(item.captions) for item in items}) or [0]
    per_image = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else f"{lengths[0]}"
    captions = [caption for item in items for caption in item.captions]
    categories = {item.category for item in items} - {None}
    numbers = (len(items), len(captions), len(set(captions)), len(categories), len(missing))
    images, total, unique, *rest = (f"{number:,}" for number in numbers)
    return (label, images, total, unique, per_image, *rest)


def data_fingerprint(dataset: Iterable[CaptionedImage]) -> str:
    """Returns sixteen hexadecimal digits of a data set's file names, sizes, captions, and how its files are read."""
    digest = hashlib.sha256()
    for item in dataset:
        size = item.path.stat().st_size if item.path.is_file() else None
        digest.update(repr((item.path.name, size, item.captions)).encode())
        if item.reading != AS_STORED:
            digest.update(repr(item.reading.describe()).encode())
    return digest.hexdigest()[:16]


def reading_note(dataset: Iterable[CaptionedImage]) -> dict[str, list[dict[str, Any]]]:
    """Returns ``{"reading": [...]}`` to be noted beside what is made of a data set; empty for plain images."""
    readings = [one.describe() for one in dict.fromkeys(item.reading for item in dataset) if one != AS_STORED]
    return {"reading": readings} if readings else {}


def shown_reading(note: dict[str, Any]) -> str:
    """Returns the reading in a note for people: "from 0 to 3000, bands 4, 3, 2"; empty where there is none."""
    return "; ".join(str(ImageReading(**reading)) for reading in note.get("reading", ()))
