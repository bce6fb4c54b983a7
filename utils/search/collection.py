"""From images and scenes to vectors: a whole collection embedded, but for what is known already."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import (
    AS_STORED,
    CaptionDataset,
    CaptionedImage,
    ImageError,
    eval_batches,
    load_dataset,
    reading_note,
)
from utils.finder.reading import open_scene
from utils.finder.scene import TileBatches, with_data
from utils.finder.tiles import SMALLEST_SIDE, boxes_of_scales, check_tiling, data_shares
from utils.progress import progress_bar
from utils.search.catalog import Mark, Skipped
from utils.search.engines import EXACT_BELOW, SearchError, choose_engine, make_engine
from utils.search.pieces import PIECES, claim_pieces, drop_pieces, next_number, read_pieces, write_piece
from utils.search.storage import (
    Contents,
    check_free,
    has_drafts,
    read_index,
    remove_leftovers,
    sole_writer,
    write_index,
)
from utils.search.tiles import SceneTile, Tiling, address
from utils.search.widths import choose_widths

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import ImageReading
    from utils.finder.reading import OpenScene

Result = np.ndarray | str  # the vector (dim,) of an image or tile, or the reason why it has none
Embedded = tuple[CaptionedImage, Mark, Result]
Batches = Iterable[Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Known:
    """What need not be embedded again: results by `address` and mark, and tiles of scenes that need not be opened."""

    results: dict[tuple[Path, Mark], Result] = field(default_factory=dict)
    tiles: dict[tuple[Path, Mark], list[SceneTile]] = field(default_factory=dict)

    def new(self, files: Iterable[tuple[CaptionedImage, Mark]]) -> int:
        """How many of these files are not known."""
        return len({(item.path, mark) for item, mark in files} - self.results.keys() - self.tiles.keys())


@dataclass(frozen=True)
class Collection:
    """What is to be indexed, as it is on the disk."""

    dataset: CaptionDataset  # the images, or scenes, by absolute paths
    marks: tuple[Mark, ...]
    tiling: Tiling | None = None  # how the scenes are cut; None for images that are indexed as a whole

    @classmethod
    def of_images(
        cls,
        images: CaptionDataset | str | Path,
        recorded: ImageReading | None = None,
        reading: ImageReading = AS_STORED,
    ) -> Collection:
        """A data set, or the images in a folder at any depth.

        These are read as the index that they go into has recorded. Where there is none, or another reading is asked
        for, their range of values is measured if the reading has none.
        """
        if isinstance(images, str | Path):
            images = load_dataset(Path(images), check_files=False, **(recorded or reading).describe())
            if recorded is not None:
                images = images.with_reading(**recorded.describe(), measured=False)
        items = [replace(item, path=Path(os.path.abspath(item.path))) for item in images]  # noqa: PTH100
        return cls(CaptionDataset(items, images.name), tuple(mark_of(item.path) for item in items))

    @classmethod
    def of_scenes(
        cls,
        scenes: str | Path | Sequence[str | Path],
        reading: ImageReading,
        tiling: Tiling,
        recorded: ImageReading | None = None,
    ) -> Collection:
        """The scenes in a folder, at any depth, or some files, read and cut alike; see `of_images`.

        A ValueError says that tiles of these sizes cannot be cut, or, as a DatasetError, that the folder has no image.
        """
        side = max([*tiling.tile_sizes, SMALLEST_SIDE])
        check_tiling(side, side, tiling.tile_sizes, tiling.overlap)
        if isinstance(scenes, str | Path):
            if not Path(scenes).is_file():
                return replace(cls.of_images(scenes, recorded, reading), tiling=tiling)
            scenes = [scenes]
        items = [CaptionedImage(path, (), None, None, path.name) for path in dict.fromkeys(map(Path, scenes))]
        how, measured = (recorded or reading).describe(), recorded is None
        return replace(cls.of_images(CaptionDataset(items).with_reading(**how, measured=measured)), tiling=tiling)

    @property
    def kind(self) -> str:
        """What its files are called."""
        return "image" if self.tiling is None else "scene"

    @property
    def files(self) -> list[tuple[CaptionedImage, Mark]]:
        """Its images, or scenes, with their marks."""
        return list(zip(self.dataset, self.marks, strict=True))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of names, sizes and times of change, in order; names count from the folder that holds them all."""
        top, digest = self.dataset.image_root, hashlib.sha256()
        for item, mark in self.files:
            digest.update(repr((os.path.relpath(item.path, top), mark)).encode())
        digest.update(self.reading_mark.encode())
        return digest.hexdigest()[:16]

    @property
    def reading_mark(self) -> str:
        """What tells one way of reading and cutting from another; empty for images read as they are."""
        if self.tiling is not None:
            return json.dumps([asdict(self.tiling), [reading.describe() for reading in self.dataset.readings]])
        note = reading_note(self.dataset)
        return json.dumps(note["reading"]) if note else ""

    def embed(
        self, model: CLIP, known: Known, folder: Path | None, engine: str, batch_size: int, progress: bool
    ) -> Contents:
        """Embeds what has no known vector, but for unreadable files; each batch is kept in the folder, if there is one.

        A `SearchError` says that not one can be read, or a vector is not finite; an OSError, that the disk is full.
        """
        files = self.files
        numbers = count() if folder is None else count(next_number(folder))
        silent, unit = not (progress and known.new(files)), "image" if self.tiling is None else "tile"
        with progress_bar(total=0, desc="Embedding", unit=unit, disable=silent) as bar:
            work = Work(model, batch_size, bar, known, folder, numbers)
            if self.tiling is None:
                embedded = work.images(files)
            else:
                embedded = [one for scene, mark in files for one in work.tiles(scene, mark, self.tiling)]
        skipped = tuple(Skipped(one.path, result, mark) for one, mark, result in embedded if isinstance(result, str))
        read = [one for one in embedded if not isinstance(one[2], str)]
        if not read:
            raise SearchError(f"Not one of the {len(skipped):,} {self.kind}s can be read: {skipped[0].reason}")
        members, marks, vectors = zip(*read, strict=True)
        embeddings = np.stack(vectors)
        if not np.isfinite(embeddings).all():
            raise SearchError("The model gives vectors that are not finite numbers; load one that has not diverged.")
        searched_by = make_engine(choose_engine(engine, len(embeddings)), embeddings)
        return Contents(
            dataset=CaptionDataset(members, self.dataset.name),
            embeddings=embeddings,
            engine=searched_by,
            recall=choose_widths(searched_by, embeddings),
            skipped=skipped,
            fingerprint=self.fingerprint,
            marks=marks,
            tiling=self.tiling,
        )


def mark_of(path: Path) -> Mark:
    """Size and time of change of a file; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Work:
    """The embedding of a collection, each batch of which is kept in the folder; the bar counts what is embedded."""

    model: CLIP
    batch_size: int
    bar: Any
    known: Known = field(default_factory=Known)
    folder: Path | None = None
    numbers: Iterator[int] = field(default_factory=count)  # of the pieces
    cut: dict[tuple[Path, Mark], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # the last scene

    def images(self, files: Sequence[tuple[CaptionedImage, Mark]]) -> list[Embedded]:
        """Images, in order, each with its vector or the reason why it has none."""

        def batches_of(part: Sequence[int], reasons: dict[int, str]) -> Batches:
            images = CaptionDataset([files[number][0] for number in part])
            size = min(self.batch_size, len(part))
            return eval_batches(images, self.model.preprocessing, batch_size=size, unreadable=reasons)

        return self._embedded(files, batches_of)

    def tiles(self, scene: CaptionedImage, mark: Mark, tiling: Tiling, part: slice = slice(None)) -> list[Embedded]:
        """The tiles of a scene that have enough data; the scene itself, with the reason, if there are none.

        Of the part, which counts all tiles in the order of `boxes_of_scales`, those alone.
        """
        before = self.known.results.get((scene.path, mark))
        if isinstance(before, str):
            return [(scene, mark, before)]
        if (scene.path, mark) in self.known.tiles:
            tiles = self.known.tiles[scene.path, mark]
            return [(tile, mark, self.known.results[address(tile), mark]) for tile in tiles]
        facts = (scene.path, (), None, None, scene.name, scene.reading)
        try:
            with open_scene(scene.path, scene.reading) as opened:
                boxes = self._boxes(scene, mark, opened, tiling, part)
                windows = [(left, top, right - left, bottom - top) for left, top, right, bottom in boxes.tolist()]
                tiles = [SceneTile(*facts, window=window, place=opened.place) for window in windows]

                def batches_of(part: Sequence[int], _: dict[int, str]) -> Batches:
                    return TileBatches(self.model, [(opened, boxes[part])], self.batch_size)

                return self._embedded([(tile, mark) for tile in tiles], batches_of)
        except ImageError as error:
            return [(scene, mark, str(error))]

    def _boxes(self, scene: CaptionedImage, mark: Mark, opened: OpenScene, tiling: Tiling, part: slice) -> np.ndarray:
        """The boxes of the tiles that have enough data, (tiles, 4) int64; an `ImageError` if the scene has none."""
        if (scene.path, mark) not in self.cut:  # where data are is seen by a look over the whole scene
            self.cut.clear()
            boxes = all_boxes(opened.size, tiling, opened.name)
            shares = data_shares(opened.overview().data, boxes, opened.size)
            self.cut[scene.path, mark] = boxes, with_data(shares, opened.name)
        boxes, kept = self.cut[scene.path, mark]
        return boxes[part][kept[part]]

    def _embedded(
        self,
        files: Sequence[tuple[CaptionedImage, Mark]],
        batches_of: Callable[[Sequence[int], dict[int, str]], Batches],
    ) -> list[Embedded]:
        """What is known of images or tiles, and the others embedded batch by batch.

        ``batches_of`` gives batches of some by number, and notes by place among these why some cannot be read.
        """
        from utils.clip import embed_images

        results = [self.known.results.get((address(one), mark)) for one, mark in files]
        new = [number for number, result in enumerate(results) if result is None]
        self.bar.total += len(new)
        self.bar.refresh()  # the first batch takes long where it is compiled for
        done, reasons = 0, {}  # type: int, dict[int, str]
        for batch in batches_of(new, reasons) if new else ():
            part, piece = new[done : done + len(batch["mask"])], []
            vectors = embed_images(self.model, [batch])
            rows = iter(vectors)
            for place, number in enumerate(part, start=done):
                results[number] = reasons[place] if place in reasons else next(rows)
                piece.append((address(files[number][0]), files[number][1], reasons.get(place)))
            if self.folder is not None:
                write_piece(self.folder, next(self.numbers), piece, vectors)
            done += len(part)
            self.bar.update(len(part))
        return [(*file, result) for file, result in zip(files, results, strict=True) if result is not None]


def all_boxes(size: tuple[int, int], tiling: Tiling, name: str) -> np.ndarray:
    """The boxes of a scene's tiles, (tiles, 4) int64, by its width and height; an `ImageError` if none can be cut."""
    try:
        return boxes_of_scales(*size, tiling.sizes_for(size), tiling.overlap)
    except ValueError as error:
        raise ImageError(f"{name}: {error}") from None


def build_index(
    model: CLIP, collection: Collection, where: str | Path | None, engine: str, batch_size: int, progress: bool
) -> Contents:
    """Builds the index of a collection, kept in a folder or in none; see `utils.search.ImageIndex.build`."""
    from utils.clip import fingerprint

    if not len(collection.dataset):
        raise SearchError(f"There is no {collection.kind} to index in {collection.dataset.name or 'what was given'}.")
    # Refuses what cannot be before hours of embedding.
    choose_engine(engine, len(collection.dataset) if collection.tiling is None else EXACT_BELOW)
    if where is None:
        return collection.embed(model, Known(), None, engine, batch_size, progress)
    folder, pieces, mark = Path(where), Path(where, PIECES), fingerprint(model)
    check_free(folder)
    before = None
    with suppress(SearchError):  # it is of another model, or not whole
        before = read_index(folder, mark)
    index = _unchanged(before, collection, engine)
    if index and not pieces.exists() and not has_drafts(folder):
        return index  # needs no lock and no writable disk
    with sole_writer(folder):
        if index is None:
            claim_pieces(pieces, mark + collection.reading_mark)
            known = _known(pieces, before, collection)
            if progress and (said := _changes(known, before, collection)):
                print(said)
            index = collection.embed(model, known, pieces, engine, batch_size, progress)
            write_index(folder, index, mark)
        remove_leftovers(folder)
        drop_pieces(pieces)
        return index


def _changes(known: Known, saved: Contents | None, collection: Collection) -> str:
    """A line on what has to be embedded, is known and has gone since the last time; empty if there was none."""
    files = collection.files
    before = {one.path for one in (*saved.dataset, *saved.skipped)} if saved else set()
    if not (known.results or known.tiles or before):
        return ""
    new, gone = known.new(files), len(before - {item.path for item, _ in files})
    said = f"New or changed: {new:,} of {len(files):,} {collection.kind}s; kept from before: {len(files) - new:,}"
    return f"{said}; gone: {gone:,}." if gone else f"{said}."


def _unchanged(saved: Contents | None, collection: Collection, engine: str) -> Contents | None:
    """The saved index if it is that of the collection, captions and engine included; else None."""
    if saved is None or saved.fingerprint != collection.fingerprint:
        return None
    left_out = {one.path for one in saved.skipped}
    items = [item for item in collection.dataset if item.path not in left_out]
    same = collection.tiling is not None or items == list(saved.dataset)
    if not same or saved.engine.name != choose_engine(engine, len(saved.dataset)):
        return None
    return replace(saved, dataset=CaptionDataset(saved.dataset, collection.dataset.name), missing=())


def _known(pieces: Path, saved: Contents | None, collection: Collection) -> Known:
    """What need not be embedded again: nothing of an index of an earlier version, nor what was read otherwise."""
    known = Known({(path, mark): result for path, mark, result in read_pieces(pieces) if mark})
    if saved is None:
        return known
    readings = {item.path: item.reading for item in collection.dataset}
    for item, mark, row in zip(saved.dataset, saved.marks, saved.embeddings, strict=True):
        if mark and readings.get(item.path) == item.reading:
            known.results[address(item), mark] = row
            if isinstance(item, SceneTile) and saved.tiling == collection.tiling:
                known.tiles.setdefault((item.path, mark), []).append(item)
    if saved.tiling == collection.tiling:  # what cannot be cut so may be cut otherwise
        known.results.update({(one.path, one.mark): one.reason for one in saved.skipped if one.mark is not None})
    return known
