"""A look at every picture of a data set: which are missing, broken, without captions, or there twice."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.datasets.captions import has_words
from utils.datasets.images.errors import ImageError
from utils.datasets.images.reading import read_image
from utils.datasets.images.stretch import ImageReading
from utils.files import printable

if TYPE_CHECKING:
    from utils.datasets import CaptionedImage

NAMES_SHOWN = 3


@dataclass(frozen=True)
class VerificationReport:
    """What `CaptionDataset.verify` found.

    Attributes:
        image_count: Number of pictures that were read.
        missing: Names that the captions file lists and the disk lacks.
        unreadable: Path and reason of each picture that does not decode to its end.
        without_captions: Paths of pictures that have no caption.
        without_words: Path and caption of each caption that holds no word, such as " .".
        repeated_paths: Paths that stand in the data set more than once.
        shared_names: File names that several pictures in different folders have. Harmless here, because a
            picture is known by its path; a trap for whoever joins tables by file name.
        equal_content: Groups of pictures whose files are the same, byte for byte.
        equal_across_splits: Those of the groups that stand in more than one split: training data in a test.
    """

    image_count: int
    missing: tuple[str, ...]
    unreadable: tuple[tuple[Path, str], ...]
    without_captions: tuple[Path, ...]
    without_words: tuple[tuple[Path, str], ...]
    repeated_paths: tuple[Path, ...]
    shared_names: tuple[str, ...]
    equal_content: tuple[tuple[Path, ...], ...]
    equal_across_splits: tuple[tuple[Path, ...], ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, unreadable, without captions, listed twice, or in several splits."""
        return not (
            self.missing or self.unreadable or self.without_captions or self.repeated_paths or self.equal_across_splits
        )

    def __str__(self) -> str:
        """Return a line for every kind of finding, with the first few names."""
        findings = [
            ("listed but not on the disk", self.missing),
            ("unreadable", [f"{printable(path.name)} ({reason})" for path, reason in self.unreadable]),
            ("without captions", [printable(path.name) for path in self.without_captions]),
            ("captions without a word", [printable(path.name) for path, _ in self.without_words]),
            ("listed more than once", [printable(path) for path in self.repeated_paths]),
            ("file names in several folders", [printable(name) for name in self.shared_names]),
            ("the same file twice", [_names(group) for group in self.equal_content]),
            ("the same file in several splits", [_names(group) for group in self.equal_across_splits]),
        ]
        width = max(len(label) for label, _ in findings)
        lines = [f"{self.image_count:,} images read: {'all is well' if self.ok else 'something needs a look'}"]
        lines += [f"  {label:<{width}}  {count_and_name(found)}" for label, found in findings]
        return "\n".join(lines)


def verify_images(
    items: Sequence["CaptionedImage"], missing: Iterable[str], workers: int | None = None
) -> VerificationReport:
    """Read and decode every picture, in parallel, and gather what is wrong.

    Args:
        items: The pictures.
        missing: Names that are listed but not on the disk, to be reported.
        workers: Threads; Pillow decodes outside Python's lock. None takes one a core.

    Returns:
        The report. Nothing raises because of a picture.
    """
    readings = {item.path: item.reading for item in items}
    paths = list(readings)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        inspected = dict(zip(paths, pool.map(_inspect_file, paths, readings.values()), strict=True))
    splits: dict[Path, set[str | None]] = {}
    for item in items:
        splits.setdefault(item.path, set()).add(item.split)
    by_content: dict[str, list[Path]] = {}
    for path, (digest, _) in inspected.items():
        if digest:
            by_content.setdefault(digest, []).append(path)
    equal = [tuple(group) for group in by_content.values() if len(group) > 1]
    listed = Counter(item.path for item in items)
    names = Counter(path.name for path in paths)
    return VerificationReport(
        image_count=len(paths),
        missing=tuple(missing),
        unreadable=tuple((path, reason) for path, (_, reason) in inspected.items() if reason),
        without_captions=tuple(item.path for item in items if not item.captions),
        without_words=tuple(
            (item.path, caption) for item in items for caption in item.captions if not has_words(caption)
        ),
        repeated_paths=tuple(path for path, count in listed.items() if count > 1),
        shared_names=tuple(name for name, count in names.items() if count > 1),
        equal_content=tuple(equal),
        equal_across_splits=tuple(group for group in equal if len(set().union(*(splits[path] for path in group))) > 1),
    )


def reasons_against(items: Sequence["CaptionedImage"], workers: int | None = None) -> dict[int, str]:
    """Decode every picture, and say of each that does not decode, by its position, why; see `verify_images`."""
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        reasons = pool.map(lambda item: _reason_against(item.path, item.reading), items)
        return {number: reason for number, reason in enumerate(reasons) if reason}


def name_a_few(names: Sequence[str]) -> str:
    """Join the first few of many names: "10.tif, 11.tif, 12.tif and 601 more"."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def count_and_name(names: Sequence[str]) -> str:
    """Say how many names there are, and the first few: "604: 10.tif, 11.tif, 12.tif and 601 more"."""
    return f"{len(names):,}: {name_a_few(names)}" if names else "0"


def _names(paths: Iterable[Path]) -> str:
    """Join file names with an equals sign."""
    return " = ".join(printable(path.name) for path in paths)


def _inspect_file(path: Path, reading: ImageReading) -> tuple[str, str]:
    """Return the SHA-256 of a file ("" if it cannot be read) and why it does not decode ("" if it does)."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        return "", "no regular file"
    try:
        content = path.read_bytes()
    except OSError as error:
        return "", error.strerror or type(error).__name__
    return hashlib.sha256(content).hexdigest(), _reason_against(path, reading)


def _reason_against(path: Path, reading: ImageReading) -> str:
    """Return why a file does not decode as a picture, "" if it does."""
    try:
        read_image(path, reading)
    except ImageError as error:
        return printable(error.reason)
    return ""
