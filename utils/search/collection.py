"""From images and scenes to vectors: a whole collection embedded, but for what is known already."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import (
    CaptionDataset,
    CaptionedImage,
    ImageError,
    ImageReading,
    eval_batches,
    load_dataset,
    reading_note,
)
from utils.finder.reading import open_scene
from utils.finder.scene import TileBatches, cut, with_data
from utils.finder.tiles import SMALLEST_SIDE, check_tiling, data_shares
from utils.progress import progress_bar
from utils.search.catalog import Mark, Skipped
from utils.search.engines import ExactEngine
from utils.search.errors import SearchError
from utils.search.members import stored_path
from utils.search.pieces import write_piece
from utils.search.storage import Contents
from utils.search.tiles import SceneTile, Tiling, address

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.finder.reading import OpenScene

PIECE = 512  # images or tiles whose vectors are kept together: what a kill costs at most

Result = np.ndarray | str  # the vector (dim,) of an image or tile, or the reason why it has none
Batches = Iterable[Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Known:
    """What need not be embedded again.

    Attributes:
        results: Of images and tiles, and reasons of scenes, by their `address` and mark.
        tiles: Of scenes that need not even be opened, by their path and mark.
    """

    results: dict[tuple[Path, Mark], Result] = field(default_factory=dict)
    tiles: dict[tuple[Path, Mark], list[SceneTile]] = field(default_factory=dict)


@dataclass(frozen=True)
class Collection:
    """What is to be indexed, as it is on the disk.

    Attributes:
        dataset: The images, or scenes, by absolute paths.
        marks: The size and time of change of each.
        tiling: How the scenes are cut; None for images that are indexed as a whole.
    """

    dataset: CaptionDataset
    marks: tuple[Mark, ...]
    tiling: Tiling | None = None

    @classmethod
    def of_images(cls, images: CaptionDataset | str | Path, reading: ImageReading | None = None) -> Collection:
        """A data set, or the images in a folder, at any depth; of a folder without a reading the range is measured."""
        if isinstance(images, str | Path):
            images = load_dataset(Path(images), check_files=False, **({} if reading is None else reading.describe()))
        items = [replace(item, path=Path(os.path.abspath(item.path))) for item in images]  # noqa: PTH100
        return cls(CaptionDataset(items, images.name), tuple(_mark_of(item.path) for item in items))

    @classmethod
    def of_scenes(cls, scenes: str | Path | Sequence[str | Path], reading: ImageReading, tiling: Tiling) -> Collection:
        """The scenes in a folder, at any depth, or some files, read and cut alike.

        Raises:
            ValueError: If tiles of these sizes and this overlap cannot be cut.
            DatasetError: If the folder is not there, or has no image.
        """
        side = max([*tiling.tile_sizes, SMALLEST_SIDE])
        check_tiling(side, side, tiling.tile_sizes, tiling.overlap)
        if isinstance(scenes, str | Path) and not Path(scenes).is_file():
            return replace(cls.of_images(scenes, reading), tiling=tiling)
        paths = [Path(one) for one in ([scenes] if isinstance(scenes, str | Path) else scenes)]
        items = [CaptionedImage(path, (), None, None, path.name) for path in dict.fromkeys(paths)]
        return replace(cls.of_images(CaptionDataset(items).with_reading(**reading.describe())), tiling=tiling)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of which images there are and in which order: names, sizes and times of change.

        Names count from the folder that holds them all, so that a collection may move as a whole.
        """
        top, digest = self.dataset.image_root, hashlib.sha256()
        for item, mark in zip(self.dataset, self.marks, strict=True):
            digest.update(repr((os.path.relpath(item.path, top), mark)).encode())
        digest.update(self.reading_mark.encode())
        return digest.hexdigest()[:16]

    @property
    def reading_mark(self) -> str:
        """What tells one way of reading and cutting from another; empty for images read as they are."""
        if self.tiling is not None:
            return json.dumps([self.tiling.describe(), [reading.describe() for reading in self.dataset.readings]])
        note = reading_note(self.dataset)
        return json.dumps(note["reading"]) if note else ""

    def embed(self, model: CLIP, known: Known, folder: Path | None, batch_size: int, progress: bool) -> Contents:
        """Embeds what has no known vector of this model, in pieces that are kept in the folder, if there is one.

        What cannot be read is left out.

        Raises:
            SearchError: If not one image or scene can be read, or a vector of the model is not finite.
            OSError: If the disk takes no more.
        """
        work = _Work(self, model, known, folder, batch_size, progress)
        members, marks, results = work.whole_images() if self.tiling is None else work.tiles_of_scenes(self.tiling)
        rows = [number for number, result in enumerate(results) if not isinstance(result, str)]
        pairs = zip(members, marks, results, strict=True)
        skipped = tuple(Skipped(one.path, result, mark) for one, mark, result in pairs if isinstance(result, str))
        if not rows:
            kind = "images" if self.tiling is None else "scenes"
            raise SearchError(f"Not one of the {len(skipped):,} {kind} can be read: {skipped[0].reason}")
        embeddings = np.stack([result for result in results if not isinstance(result, str)])
        if not np.isfinite(embeddings).all():
            raise SearchError("The model gives vectors that are not finite numbers; load one that has not diverged.")
        return Contents(
            dataset=CaptionDataset([members[row] for row in rows], self.dataset.name),
            embeddings=embeddings,
            engine=ExactEngine(embeddings),
            skipped=skipped,
            fingerprint=self.fingerprint,
            marks=tuple(marks[row] for row in rows),
            tiling=self.tiling,
        )


def _mark_of(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class _Work:
    """The embedding of a collection; its methods give members, their marks, and the vector or reason of each."""

    collection: Collection
    model: CLIP
    known: Known
    folder: Path | None
    batch_size: int
    progress: bool

    def whole_images(self) -> tuple[Sequence[CaptionedImage], Sequence[Mark], list[Result]]:
        dataset, marks = self.collection.dataset, self.collection.marks
        found = self._look_up(dataset, marks)
        total, new = len(found), sum(result is None for result in found)
        if self.progress and new < total:
            print(f"{new:,} of {total:,} images are new.")

        def batches_of(part: Sequence[int], reasons: dict[int, str]) -> Batches:
            images = CaptionDataset([dataset[number] for number in part])
            size = min(self.batch_size, len(part))
            return eval_batches(images, self.model.preprocessing, batch_size=size, unreadable=reasons)

        options: dict[str, Any] = {"desc": "Images", "unit": "image", "disable": not self.progress}
        with progress_bar(total=total, initial=total - new, **options) as bar:
            return dataset, marks, self._completed(found, dataset, marks, batches_of, bar.update)

    def tiles_of_scenes(self, tiling: Tiling) -> tuple[Sequence[CaptionedImage], Sequence[Mark], list[Result]]:
        members: list[CaptionedImage] = []
        marks: list[Mark] = []
        results: list[Result] = []
        with progress_bar(total=0, desc="Tiles", unit="tile", disable=not self.progress) as bar:
            for scene, mark in zip(self.collection.dataset, self.collection.marks, strict=True):
                tiles: Sequence[CaptionedImage]
                try:
                    tiles, found = self._tiles_of(scene, mark, tiling, bar)
                except ImageError as error:
                    tiles, found = [scene], [str(error)]
                members += tiles
                marks += [mark] * len(tiles)
                results += found
        return members, marks, results

    def _tiles_of(
        self, scene: CaptionedImage, mark: Mark, tiling: Tiling, bar: Any
    ) -> tuple[list[SceneTile], list[Result]]:
        """The tiles of a scene that have enough data, and their vectors.

        Raises:
            ImageError: If the scene cannot be read or cut, or has no data.
        """
        before = self.known.results.get((scene.path, mark))
        if isinstance(before, str):
            raise ImageError(before)
        if (scene.path, mark) in self.known.tiles:
            tiles = self.known.tiles[scene.path, mark]
            return tiles, [self.known.results[address(tile), mark] for tile in tiles]
        facts = (scene.path, (), None, None, scene.name, scene.reading)
        with open_scene(scene.path, scene.reading) as opened:
            boxes = self._boxes(opened, tiling)
            windows = [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes.tolist()]
            tiles = [SceneTile(*facts, window=window, place=opened.place) for window in windows]
            marks = [mark] * len(tiles)
            found = self._look_up(tiles, marks)
            bar.total += sum(result is None for result in found)

            def batches_of(part: Sequence[int], _reasons: dict[int, str]) -> Batches:
                return TileBatches(self.model, [(opened, boxes[part])], self.batch_size)

            return tiles, self._completed(found, tiles, marks, batches_of, bar.update)

    def _boxes(self, opened: OpenScene, tiling: Tiling) -> np.ndarray:
        """The boxes of the tiles that have enough data, (tiles, 4) int64."""
        sizes = [min(size, *opened.size) for size in tiling.tile_sizes]
        try:
            boxes = cut(self.model, opened, sizes, tiling.overlap)[0]
        except ValueError as error:
            raise ImageError(f"{opened.name}: {error}") from None
        return boxes[with_data(data_shares(opened.overview().data, boxes, opened.size), opened.name)]

    def _look_up(self, members: Sequence[CaptionedImage], marks: Sequence[Mark]) -> list[Result | None]:
        """What is known of each member; nothing of one whose mark is not."""
        pairs = zip(members, marks, strict=True)
        return [None if mark is None else self.known.results.get((address(one), mark)) for one, mark in pairs]

    def _completed(
        self,
        found: list[Result | None],
        members: Sequence[CaptionedImage],
        marks: Sequence[Mark],
        batches_of: Callable[[Sequence[int], dict[int, str]], Batches],
        advance: Callable[[int], object],
    ) -> list[Result]:
        """The results that were found, and those of all others, embedded piece by piece.

        Args:
            found: For each member its result; None for what is to be embedded.
            members: The members.
            marks: Their marks.
            batches_of: Batches of members by their numbers; notes in the dictionary, by their place among these, why
                some cannot be read.
            advance: Moves the bar by so many.
        """
        from utils.clip import embed_images

        results = dict(enumerate(found))
        new = [number for number, result in results.items() if result is None]
        for start in range(0, len(new), PIECE):
            part = new[start : start + PIECE]
            reasons: dict[int, str] = {}
            vectors = embed_images(self.model, _counted(batches_of(part, reasons), len(part), advance))
            rows = iter(vectors)
            for place, number in enumerate(part):
                results[number] = reasons[place] if place in reasons else next(rows)
            if self.folder is not None:
                paths = [stored_path(address(members[number]), self.folder.parent) for number in part]
                reason_of = [reasons.get(place) for place in range(len(part))]
                write_piece(
                    self.folder, zip(paths, [marks[number] for number in part], reason_of, strict=True), vectors
                )
        return [result for result in results.values() if result is not None]


def _counted(batches: Batches, total: int, advance: Callable[[int], object]) -> Iterator[Mapping[str, np.ndarray]]:
    """Passes batches on, and moves the bar by the images of each once it has been embedded."""
    for batch in batches:
        yield batch
        count = min(len(batch["mask"]), total)
        advance(count)
        total -= count
