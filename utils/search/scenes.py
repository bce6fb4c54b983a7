"""Scenes of any size in an index: cut into tiles as the finder cuts, each embedded once, read window by window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionDataset, CaptionedImage, ImageError, ImageReading
from utils.finder.finding import write_file
from utils.finder.place import Place
from utils.finder.reading import Picture, open_picture
from utils.finder.scene import TileBatches, cut, with_data
from utils.finder.tiles import SMALLEST_SIDE, check_tiling, data_shares
from utils.progress import progress_bar
from utils.search import pieces
from utils.search.collection import PIECE, Collection, Embedded, Known, Skipped, check_numbers
from utils.search.errors import SearchError
from utils.search.members import stored_path
from utils.search.pieces import Mark
from utils.search.tiles import SceneTile, TileHit, Tiling, address

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.search.index import ImageIndex

Scenes = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class SceneCollection(Collection):
    """Scenes to be indexed, as they are on the disk; ``dataset`` has one record for each.

    Attributes:
        tiling: How they are cut.
    """

    tiling: Tiling

    @classmethod
    def of_scenes(cls, scenes: Scenes, reading: ImageReading, tiling: Tiling) -> SceneCollection:
        """The pictures in a folder, at any depth, or some files, cut alike.

        Args:
            scenes: The folder, or the files.
            reading: How to read them all; ``auto`` measures one range of values over them.
            tiling: How to cut them.

        Raises:
            ValueError: If tiles of these sizes and this overlap cannot be cut.
            DatasetError: If the folder is not there, or has no picture.
        """
        side = max([*tiling.tile_sizes, SMALLEST_SIDE])
        check_tiling(side, side, tiling.tile_sizes, tiling.overlap)
        if isinstance(scenes, str | Path) and not Path(scenes).is_file():
            found = Collection.of(scenes, reading)
        else:
            paths = [Path(one) for one in ([scenes] if isinstance(scenes, str | Path) else scenes)]
            items = [CaptionedImage(path, (), None, None, path.name) for path in dict.fromkeys(paths)]
            found = Collection.of(CaptionDataset(items).with_reading(**reading.describe()))
        return cls(found.dataset, found.marks, tiling)

    @property
    def reading_mark(self) -> str:
        """What tells one way of cutting and reading scenes from another."""
        readings = [reading.describe() for reading in self.dataset.readings]
        return json.dumps([self.tiling.describe(), readings])

    def kept_of(self, saved: ImageIndex) -> tuple[list[CaptionedImage], tuple[Mark, ...]]:
        """The members of an index of the same scenes, cut and read alike, with their marks."""
        return list(saved.dataset), saved.marks


def embed_scenes(
    model: CLIP, scenes: SceneCollection, known: Known, folder: Path | None, *, batch_size: int, progress: bool
) -> Embedded:
    """Embeds every tile that has enough data and no known vector; scenes that cannot be read are left out.

    Args:
        model: The CLIP model.
        scenes: The scenes, at least one.
        known: Vectors of tiles by their `address`, and the tiles of scenes that need not even be opened.
        folder: Where the pieces go that outlive this process; None keeps nothing.
        batch_size: Tiles encoded at once.
        progress: Whether to show a bar.

    Raises:
        SearchError: If not one scene can be read, or the model gives no numbers.
        OSError: If the disk takes no more.
    """
    members, marks, vectors, skipped = [], [], [], []
    with progress_bar(total=0, desc="Tiles", unit="tile", disable=not progress) as bar:
        embedder = _Embedder(model, scenes.tiling, known, folder, batch_size, bar)
        for scene, mark in zip(scenes.dataset, scenes.marks, strict=True):
            try:
                tiles, rows = embedder.embed(scene, mark)
            except ImageError as error:
                skipped.append(Skipped(scene.path, str(error), mark))
                continue
            members += tiles
            marks += [mark] * len(tiles)
            vectors.append(rows)
    if not members:
        raise SearchError(f"Not one of the {len(skipped):,} scenes can be read: {skipped[0].reason}")
    return Embedded(check_numbers(np.concatenate(vectors)), tuple(members), tuple(marks), tuple(skipped))


@dataclass(frozen=True)
class _Embedder:
    model: CLIP
    tiling: Tiling
    known: Known
    folder: Path | None
    batch_size: int
    bar: Any

    def embed(self, scene: CaptionedImage, mark: Mark) -> tuple[list[SceneTile], np.ndarray]:
        """The tiles of a scene that have enough data, and their vectors (tiles, dim) float32.

        Raises:
            ImageError: If the scene cannot be read or cut, or has no data.
        """
        before = self.known.get((scene.path, mark))
        if isinstance(before, str):
            raise ImageError(before)
        if isinstance(before, list):
            return before, np.stack([self.known[address(tile), mark] for tile in before])
        with open_picture(scene.path, scene.reading) as picture:
            boxes = self._boxes(picture)
            tiles = [
                SceneTile(
                    scene.path,
                    (),
                    None,
                    None,
                    scene.name,
                    scene.reading,
                    window=(left, top, right - left, bottom - top),
                    place=picture.place,
                )
                for left, top, right, bottom in boxes.tolist()
            ]
            return tiles, self._vectors(picture, boxes, tiles, mark)

    def _boxes(self, picture: Picture) -> np.ndarray:
        """The boxes of the tiles that have enough data, (tiles, 4) int64."""
        sizes = [min(size, *picture.size) for size in self.tiling.tile_sizes]
        try:
            boxes = cut(self.model, picture, sizes, self.tiling.overlap)[0]
        except ValueError as error:
            raise ImageError(f"{picture.name}: {error}") from None
        return boxes[with_data(data_shares(picture.overview().data, boxes, picture.size), picture.name)]

    def _vectors(self, picture: Picture, boxes: np.ndarray, tiles: list[SceneTile], mark: Mark) -> np.ndarray:
        from utils.clip import embed_images

        results = [None if mark is None else self.known.get((address(tile), mark)) for tile in tiles]
        new = [number for number, result in enumerate(results) if result is None]
        self.bar.total += len(new)
        for start in range(0, len(new), PIECE):
            part = new[start : start + PIECE]
            rows = embed_images(self.model, TileBatches(self.model, [(picture, boxes[part])], self.batch_size))
            for number, row in zip(part, rows, strict=True):
                results[number] = row
            if self.folder is not None:
                places = [stored_path(address(tiles[number]), self.folder.parent) for number in part]
                pieces.write_piece(self.folder, [pieces.Picture(one, mark, None) for one in places], rows)
            self.bar.update(len(part))
        return np.stack(results)


def save_geojson(hits: Sequence[TileHit], path: str | Path) -> Path:
    """Writes the footprints of tiles that were found as GeoJSON in longitude and latitude (WGS 84, RFC 7946).

    A tile without a place on the Earth has no geometry there.

    Args:
        hits: Of an index of scenes.
        path: The file, which appears whole or not at all.

    Raises:
        SearchError: If there are none, or none of them has a place on the Earth.
    """
    if not hits:
        raise SearchError("No tiles were found, so there are no footprints to save; ask another question.")
    outlines = [getattr(hit, "footprint", None) for hit in hits]
    if not any(outlines):
        place = hits[0].tile.place if isinstance(hits[0], TileHit) else Place(reason="is no tile of a scene")
        reason = place.reason or "lies beyond the edge of the Earth on its map"
        raise SearchError(f"{hits[0].name} {reason}, so nobody knows where it lies; index georeferenced scenes.")
    features = [
        {
            "type": "Feature",
            "geometry": outline,
            "properties": {"rank": hit.rank, "score": hit.score, "scene": str(hit.path), "window": list(hit.window)},
        }
        for hit, outline in zip(hits, outlines, strict=True)
        if isinstance(hit, TileHit)
    ]
    return write_file(path, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")
