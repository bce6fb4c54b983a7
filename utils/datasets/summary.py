"""A data set as a table: how many images, captions and categories each split has, and what was left out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.datasets.checks import count_and_name
from utils.datasets.images.reading import AS_STORED

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset, CaptionedImage

HEADER = ("split", "images", "captions", "unique", "per image", "categories", "missing")


def summary_table(dataset: "CaptionDataset") -> str:
    """Return images, captions, unique captions and categories of every split, and a line for what is amiss."""
    unsplit = any(item.split is None for item in (*dataset, *dataset.missing))
    names = [*dataset.splits, None] if unsplit else dataset.splits
    parts = [(name or "no split", *_of_split(dataset, name)) for name in names]
    if len(parts) != 1:
        parts.append(("all", list(dataset), dataset.missing))
    rows = [HEADER, *(_row(*part) for part in parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [dataset.name or "data set"]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, len(HEADER)))]
        lines.append("  " + "  ".join(cells))
    uncategorised = sum(item.category is None for item in dataset)
    if uncaptioned := [item.name for item in dataset if not item.captions]:
        lines.append(f"  without captions {count_and_name(uncaptioned)}")
    if uncategorised:
        lines.append(f"  without a category {uncategorised:,}")
    if dataset.missing:
        lines.append(f"  listed but not on the disk {count_and_name([m.name for m in dataset.missing])}")
    if dataset.damaged:
        lines.append(f"  damaged {count_and_name([item.name for item, _ in dataset.damaged])}")
    lines += [f"  read {reading}" for reading in dataset.readings if reading != AS_STORED]
    return "\n".join(lines)


def _of_split(dataset: "CaptionDataset", split: str | None) -> tuple[list["CaptionedImage"], list["CaptionedImage"]]:
    """Return the pictures and the missing ones of a split, or of none."""
    return tuple([item for item in part if item.split == split] for part in (dataset, dataset.missing))


def _row(label: str, items: Sequence["CaptionedImage"], missing: Sequence["CaptionedImage"]) -> tuple[str, ...]:
    """Return the cells of one row of the summary."""
    lengths = sorted({len(item.captions) for item in items}) or [0]
    per_image = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else f"{lengths[0]}"
    captions = [caption for item in items for caption in item.captions]
    categories = {item.category for item in items} - {None}
    numbers = (len(items), len(captions), len(set(captions)), len(categories), len(missing))
    images, total, unique, *rest = (f"{number:,}" for number in numbers)
    return (label, images, total, unique, per_image, *rest)
