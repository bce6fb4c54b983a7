"""From pictures to vectors: a whole collection embedded, but for the pictures whose vectors are known already."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from utils.datasets import reading_note
from utils.progress import progress_bar
from utils.search.errors import SearchError
from utils.search.members import found_path, stored_path
from utils.search.pieces import Mark, Picture, read_pieces, write_piece

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset, CaptionedImage, ImageReading
    from utils.search.index import ImageIndex
    from utils.search.tiles import SceneTile, Tiling

PIECE = 512  # pictures whose vectors are kept together: what a kill costs at most

# By address and mark the vector (dim,) of a picture or tile, or the reason why it has none; by path and mark the tiles
# of a scene.
Known = Mapping[tuple[Path, Mark], "np.ndarray | str | list[SceneTile]"]


@dataclass(frozen=True)
class Skipped:
    """A picture that is not in the index.

    Attributes:
        path: The file.
        reason: Why it could not be read, a sentence.
        mark: Its size in bytes and its time of change in nanoseconds when it was tried; None if it was not there.
    """

    path: Path
    reason: str
    mark: Mark = None


@dataclass(frozen=True)
class Collection:
    """Pictures to be indexed, as they are on the disk.

    Attributes:
        dataset: The pictures, by absolute paths.
        marks: The size and time of change of each.
    """

    dataset: CaptionDataset
    marks: tuple[Mark, ...]
    tiling: ClassVar[Tiling | None] = None  # pictures are not cut

    @classmethod
    def of(cls, pictures: CaptionDataset | str | Path, reading: ImageReading | None = None) -> Collection:
        """A data set, or the pictures in a folder, at any depth, with captions or without.

        Args:
            pictures: The data set, which says how it is read, or the folder.
            reading: How to read what is in the folder; by default its range of values is measured.
        """
        from utils.datasets import CaptionDataset, load_dataset

        dataset = pictures
        if isinstance(pictures, str | Path):
            how = {} if reading is None else reading.describe()
            dataset = load_dataset(Path(pictures), check_files=False, **how)
        items = [replace(item, path=Path(os.path.abspath(item.path))) for item in dataset]  # noqa: PTH100
        return cls(CaptionDataset(items, dataset.name), tuple(picture_mark(item.path) for item in items))

    @cached_property
    def digest(self) -> str:
        """A mark over which pictures there are and in which order: names, sizes and times of change.

        Names count from the folder that holds them all, so that a collection may move as a whole.
        """
        top, digest = self.dataset.image_root, hashlib.sha256()
        for item, mark in zip(self.dataset, self.marks, strict=True):
            digest.update(repr((os.path.relpath(item.path, top), mark)).encode())
        digest.update(self.reading_mark.encode())
        return digest.hexdigest()[:16]

    @property
    def reading_mark(self) -> str:
        """What tells one way of reading deep pictures from another; empty for files read as they are."""
        note = reading_note(self.dataset)
        return json.dumps(note["reading"]) if note else ""

    def kept_of(self, saved: ImageIndex) -> tuple[list[CaptionedImage], tuple[Mark, ...]]:
        """Those of an index of the same pictures, with the captions that they have here; and their marks."""
        left_out = {one.path for one in saved.skipped}
        pairs = zip(self.dataset, self.marks, strict=True)
        kept = [(item, mark) for item, mark in pairs if item.path not in left_out]
        return [item for item, _ in kept], tuple(mark for _, mark in kept)


@dataclass(frozen=True)
class Embedded:
    """A collection's vectors.

    Attributes:
        embeddings: (readable, dim) float32 of unit length.
        members: Their pictures, or tiles of these.
        marks: The size and time of change of each one's file.
        skipped: The pictures that cannot be read.
    """

    embeddings: np.ndarray
    members: tuple[CaptionedImage, ...]
    marks: tuple[Mark, ...]
    skipped: tuple[Skipped, ...]


def picture_mark(path: Path) -> Mark:
    """What tells an edited picture from itself: its size and time of change; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def known_from_pieces(folder: Path) -> dict[tuple[Path, Mark], np.ndarray | str]:
    """What a killed build has embedded; the paths in ``folder``'s pieces count from the folder above it."""
    known: dict[tuple[Path, Mark], np.ndarray | str] = {}
    for piece in read_pieces(folder):
        rows = iter(piece.embeddings)
        for picture in piece.pictures:
            found = next(rows) if picture.reason is None else picture.reason
            known[found_path(picture.path, folder.parent), picture.mark] = found
    return known


def embed_collection(
    model: CLIP, collection: Collection, known: Known, folder: Path | None, *, batch_size: int, progress: bool
) -> Embedded:
    """Embeds every picture that can be read and whose vector is not known.

    Args:
        model: The CLIP model.
        collection: The pictures, at least one.
        known: Vectors of the same model; what is not in the collection is passed over.
        folder: Where the pieces go that outlive this process; None keeps nothing.
        batch_size: Pictures encoded at once.
        progress: Whether to show a bar.

    Raises:
        SearchError: If not one picture can be read, or the model gives no numbers.
        OSError: If the disk takes no more.
    """
    dataset, results = collection.dataset, _look_up(collection, known)
    new = [number for number, result in enumerate(results) if result is None]
    if progress and len(new) < len(results):
        print(f"{len(new):,} of {len(results):,} pictures are new.")
    with progress_bar(
        total=len(results), initial=len(results) - len(new), desc="Images", unit="image", disable=not progress
    ) as bar:
        for start in range(0, len(new), PIECE):
            part = new[start : start + PIECE]
            vectors, reasons = _embed_part(model, collection, part, batch_size, bar.update)
            rows = iter(vectors)
            for place, number in enumerate(part):
                results[number] = reasons[place] if place in reasons else next(rows)
            if folder is not None:
                write_piece(folder, _pictures(collection, part, reasons, folder.parent), vectors)
    skipped = tuple(
        Skipped(dataset[number].path, result, collection.marks[number])
        for number, result in enumerate(results)
        if isinstance(result, str)
    )
    if len(skipped) == len(dataset):
        raise SearchError(f"Not one of the {len(skipped):,} pictures can be read: {skipped[0].reason}")
    positions = [number for number, result in enumerate(results) if not isinstance(result, str)]
    return Embedded(
        check_numbers(np.stack([results[number] for number in positions])),
        tuple(dataset[number] for number in positions),
        tuple(collection.marks[number] for number in positions),
        skipped,
    )


def check_numbers(vectors: np.ndarray) -> np.ndarray:
    """Returns the vectors (images, dim) if all their values are finite.

    Raises:
        SearchError: If one is not.
    """
    if not np.isfinite(vectors).all():
        raise SearchError("The model gives pictures vectors that are no numbers; load one that has not diverged.")
    return vectors


def _look_up(collection: Collection, known: Known) -> list[np.ndarray | str | None]:
    """What is known of each picture; nothing of one whose mark is not."""
    return [
        None if mark is None else known.get((item.path, mark))
        for item, mark in zip(collection.dataset, collection.marks, strict=True)
    ]


def _pictures(
    collection: Collection, part: Sequence[int], reasons: Mapping[int, str], folder: Path
) -> Iterator[Picture]:
    for place, number in enumerate(part):
        path = stored_path(collection.dataset[number].path, folder)
        yield Picture(path, collection.marks[number], reasons.get(place))


def _embed_part(
    model: CLIP, collection: Collection, part: Sequence[int], batch_size: int, advance
) -> tuple[np.ndarray, dict[int, str]]:
    """Embeddings (readable, dim) of some pictures, and by their place in the part why others have none."""
    from utils.clip import embed_images
    from utils.datasets import CaptionDataset, eval_batches

    reasons: dict[int, str] = {}
    dataset = CaptionDataset([collection.dataset[number] for number in part])
    batches = eval_batches(dataset, model.preprocessing, batch_size=min(batch_size, len(part)), unreadable=reasons)
    return embed_images(model, _counted(batches, len(part), advance)), reasons


def _counted(batches: Iterable[dict], total: int, advance) -> Iterator[dict]:
    """Passes batches on, and moves the bar by the pictures of each once it has been embedded."""
    for batch in batches:
        yield batch
        count = min(len(batch["mask"]), total)
        advance(count)
        total -= count
