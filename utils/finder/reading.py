"""Images for cutting, of any size: small ones decoded whole, large and georeferenced ones read window by window.

Files are opened by the course's one reader, so an image looks here as it does in a data set or an index. Windows are
read where a file has a place on the Earth, more than `PIXELS_AT_ONCE` pixels, or what only rasterio reads; a scene's
windows share the scene's stretch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from utils.datasets import AS_STORED, ImageError, ImageReading, image_of_array
from utils.datasets.images.rasters import SAMPLE_SIDE, Raster, broken, open_dataset, reduced, zero_frame
from utils.datasets.images.reading import open_raster, open_regular, read_header, read_with_data, rgb_with_data
from utils.finder.place import NO_PLACE, place_of

PIXELS_AT_ONCE = 4096 * 4096

Box = tuple[int, int, int, int]


class Overview(NamedTuple):
    """A whole image, at most `SAMPLE_SIDE` pixels wide and high."""

    image: Image.Image  # RGB
    # (height, width) float32, the share of each pixel that has data, 0 to 1; what the file marks as no data, what is
    # quite transparent, and a frame of zeros have none.
    data: np.ndarray


class WholeScene:
    """An image in memory; (height, width) bool, where it has data; its size; and its file's name, or empty."""

    place = NO_PLACE

    def __init__(self, image: Image.Image, valid: np.ndarray | None = None, name: str = "") -> None:
        self._image, self._valid, self.name, self.size = image, valid, name, image.size

    def crop(self, box: Box, longest: int | None = None) -> Image.Image:
        """Cuts out a box (left, top, right, bottom); a longer side than ``longest`` pixels is reduced to it."""
        image = self._image.crop(box)
        if longest is not None and max(image.size) > longest:
            image = image.resize(reduced(image.size, longest), Image.Resampling.BOX)
        return image

    def overview(self) -> Overview:
        """The whole image, made small."""
        valid = ~zero_frame(np.asarray(self._image))
        if self._valid is not None:
            valid &= self._valid
        image = self.crop((0, 0, *self.size), SAMPLE_SIDE)
        shares = Image.fromarray(valid.astype(np.float32)).resize(image.size, Image.Resampling.BOX)
        return Overview(image, np.asarray(shares))


class WindowedScene:
    """An image on the disk, of which only the windows asked for are decoded, large ones at a lower resolution.

    Its size is upright, unless it is georeferenced: then it is as it is stored. A damaged file is an ImageError.
    """

    def __init__(self, raster: Raster) -> None:
        self._raster, self.name, self.size = raster, raster.name, raster.size
        self.place = place_of(raster.dataset)

    def crop(self, box: Box, longest: int | None = None) -> Image.Image:
        """As `WholeScene.crop`."""
        return Image.fromarray(self._raster.read(box, longest)[0])

    def overview(self) -> Overview:
        """As `WholeScene.overview`."""
        colors, data = self._raster.overview()
        return Overview(Image.fromarray(colors), data)


OpenScene = WholeScene | WindowedScene


@contextmanager
def open_scene(source: str | Path | Image.Image | np.ndarray, reading: ImageReading = AS_STORED) -> Iterator[OpenScene]:
    """Opens a file, a Pillow image of any mode, or an array (height, width) or (height, width, channels) for cutting.

    What is missing or cannot be decoded is an `ImageError` of one sentence.
    """
    if isinstance(source, np.ndarray):
        yield WholeScene(*image_of_array(source, reading))
    elif isinstance(source, Image.Image):
        try:
            image, valid = rgb_with_data(ImageOps.exif_transpose(source), reading)
        except (OSError, SyntaxError, ValueError) as error:
            raise ImageError(f"The image cannot be decoded ({error}); give another one.") from None
        yield WholeScene(image, valid, Path(getattr(source, "filename", "") or "").name)
    else:
        with _open_file(Path(source), reading) as opened:
            yield opened


def stored_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a file's pixels as they are stored, by its header alone; None where rasterio cannot tell."""
    with suppress(ImageError), open_regular(path) as file:
        header = read_header(file, path)
        if header.driver is not None:
            with open_dataset(path, header.driver, path.name) as dataset:
                return dataset.width, dataset.height
    return None


@contextmanager
def _open_file(path: Path, reading: ImageReading) -> Iterator[OpenScene]:
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        header = read_header(file, path)
        if header.driver is not None:
            raster = stack.enter_context(open_raster(file, path, path.name, reading, header))
            placed = raster.dataset.crs or raster.dataset.gcps[0] or raster.dataset.rpcs
            if placed or header.needs_raster or raster.size[0] * raster.size[1] > PIXELS_AT_ONCE:
                if header.driver == "PNG":
                    raster = stack.enter_context(_tiled_copy(raster, reading))
                yield WindowedScene(raster)
                return
    yield WholeScene(*read_with_data(path, reading), path.name)


@contextmanager
def _tiled_copy(raster: Raster, reading: ImageReading) -> Iterator[Raster]:
    """A temporary copy that can be read anywhere: a PNG is decoded from its first row on at every step back."""
    import rasterio.shutil

    options = {"driver": "GTiff", "tiled": True, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.tif"
        try:
            rasterio.shutil.copy(raster.dataset, path, **options)
        except Exception as error:  # GDAL's own, which have no public name in rasterio
            raise broken(raster.name, error) from None
        with open_dataset(path, "GTiff", raster.name) as copy:
            yield Raster(copy, raster.name, reading, raster.orientation)
