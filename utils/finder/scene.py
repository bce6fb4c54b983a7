"""A scene cut into tiles that are embedded once, so that any number of texts can be asked afterwards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets import AS_STORED, ImageError
from utils.finder.place import Place
from utils.finder.reading import OpenScene, open_scene
from utils.finder.tiles import (
    FULL,
    LEAST_DATA,
    OVERLAP,
    SMALLEST_SIDE,
    boxes_of_scales,
    data_shares,
    default_tile_sizes,
    tile_boxes,
)

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP
    from utils.datasets import ImageReading

BATCH_SHAPES = 8  # in which tiles are embedded: for each a program is compiled
READ_FACTOR = 4  # times the model's input; a larger tile is reduced to that when it is read


@dataclass(frozen=True, eq=False)
class SceneEmbeddings:
    """The tiles of one scene that have enough data, and their embeddings."""

    boxes: np.ndarray  # (tiles, 4) int64: left, top, right, bottom in pixels, right and bottom exclusive
    embeddings: np.ndarray  # (tiles, dim) float32, of unit length
    size: tuple[int, int]  # width and height of the scene in pixels
    tile_sizes: tuple[int, ...]  # of the scales, in pixels
    thumbnail: Image.Image  # the scene with a longer side of at most 1,024 pixels, to draw on
    model_fingerprint: str  # of the model that embedded the tiles
    name: str  # of its file, or empty
    place: Place  # where it lies on the Earth, or why nobody knows
    data_shares: np.ndarray  # (tiles,) float32, the share of each tile that has data
    left_out: int  # how many tiles had less than `LEAST_DATA`

    def squares(self) -> list[Image.Image]:
        """Squares of the shorter side, cut from the thumbnail, to ask whether they are images from above.

        None of a scene that lies on the Earth, or of which a part has no data, or that is too narrow to tell.
        """
        partly_empty = self.left_out > 0 or bool((self.data_shares < FULL).any())
        return squares_of(self.thumbnail, self.place, partly_empty)


def squares_of(thumbnail: Image.Image, place: Place, partly_empty: bool) -> list[Image.Image]:
    """The squares of `SceneEmbeddings.squares`."""
    size = thumbnail.size
    if place.crs is not None or partly_empty or min(size) < SMALLEST_SIDE:
        return []
    return [thumbnail.crop(tuple(box)) for box in tile_boxes(*size, min(size)).tolist()]


def embed_scene(
    model: CLIP,
    source: str | Path | Image.Image | np.ndarray,
    tile_sizes: Sequence[int] | None = None,
    overlap: float = OVERLAP,
    batch_size: int = 64,
    progress: bool = False,
    reading: ImageReading = AS_STORED,
) -> SceneEmbeddings:
    """Cuts an image into overlapping square tiles at several scales and embeds each of them.

    Large and georeferenced files are read window by window, so their size is bounded by the disk alone. Tiles larger
    than `READ_FACTOR` times the model's input are averaged down to that first. Tiles of which less than `LEAST_DATA`
    has data are left out.

    Args:
        model: The CLIP model.
        source: A path, a Pillow image, or an array (height, width) or (height, width, channels).
        tile_sizes: In pixels, by default `default_tile_sizes`; much smaller features will not be found.
        overlap: The share of a tile that the next one sees too, 0 to less than 1.
        batch_size: Tiles encoded at once.
        progress: Whether to show a bar.
        reading: The range of values of what is deeper than 8 bits, and the bands to show; by default the scene's own.

    Raises:
        ImageError: If the image is missing, cannot be decoded, or has no data.
        ValueError: If tiles of these sizes and this overlap cannot be cut from it.
    """
    from utils.clip import embed_images, fingerprint

    with open_scene(source, reading) as opened:
        boxes, sizes = cut(model, opened, tile_sizes, overlap)
        overview = opened.overview()
        shares = data_shares(overview.data, boxes, opened.size)
        kept = with_data(shares, opened.name)
        batches = TileBatches(model, [(opened, boxes[kept])], batch_size)
        return SceneEmbeddings(
            boxes=boxes[kept],
            embeddings=embed_images(model, batches, progress=progress),
            size=opened.size,
            tile_sizes=sizes,
            thumbnail=overview.image,
            model_fingerprint=fingerprint(model),
            name=opened.name,
            place=opened.place,
            data_shares=shares[kept],
            left_out=int((~kept).sum()),
        )


def with_data(shares: np.ndarray, name: str) -> np.ndarray:
    """Which tiles have enough data, (tiles,) bool; an ImageError if none has."""
    kept = shares >= LEAST_DATA
    if kept.any():
        return kept
    raise ImageError(
        f"{name or 'The image'} has data in at most {shares.max():.0%} of a tile, and tiles with less than "
        f"{LEAST_DATA:.0%} are not searched; check its nodata value, cut it to where the data are, or give smaller "
        "tile sizes."
    )


def cut(
    model: CLIP, scene: OpenScene, tile_sizes: Sequence[int] | None = None, overlap: float = OVERLAP
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The boxes of a scene's tiles, (tiles, 4) int64, and the sizes of its scales; see `embed_scene`."""
    width, height = scene.size
    if tile_sizes is None:
        tile_sizes = default_tile_sizes(width, height, model.preprocessing.image_size)
    return boxes_of_scales(width, height, tile_sizes, overlap), tuple(dict.fromkeys(map(int, tile_sizes)))


def even_batch_size(count: int, most: int) -> int:
    """The size of as few batches as can be, with ``most`` tiles each, that leaves the fewest places empty.

    Whatever the count, it is one of some `BATCH_SHAPES` sizes.
    """
    step = max(1, most // BATCH_SHAPES)
    fullest = math.ceil(count / max(1, math.ceil(count / most)))
    return min(most, max(1, math.ceil(fullest / step)) * step)


class TileBatches:
    """The tiles of scenes, given with their boxes, in batches of one shape for `utils.clip.embed_images`.

    Places that stay empty are computed, too: 65 tiles are two batches of 40 rather than of 64.
    """

    def __init__(self, model: CLIP, scenes: Iterable[tuple[OpenScene, np.ndarray]], batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"The batch size is {batch_size}; at least one tile must go through at once.")
        self._preprocessing = model.preprocessing
        self._tiles = [(scene, tuple(box)) for scene, boxes in scenes for box in boxes.tolist()]
        self._batch_size = even_batch_size(len(self._tiles), batch_size)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-len(self._tiles) // self._batch_size)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields ``images`` (batch, size, size, 3) float32 and ``mask`` (batch,) bool, False for padding."""
        from utils.datasets import eval_transform

        side = self._preprocessing.image_size
        for start in range(0, len(self._tiles), self._batch_size):
            batch = self._tiles[start : start + self._batch_size]
            images = np.zeros((self._batch_size, side, side, 3), np.float32)
            for number, (scene, box) in enumerate(batch):
                images[number] = eval_transform(scene.crop(box, READ_FACTOR * side), self._preprocessing)
            yield {"images": images, "mask": np.arange(self._batch_size) < len(batch)}
