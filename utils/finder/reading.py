"""Pictures of any size: small ones decoded whole, large and georeferenced ones read window by window.

A file goes through windows (rasterio) where it has a place on the Earth, more than `PIXELS_AT_ONCE` pixels, more
than 8 bits or more than four channels; everything else is what `utils.images.read_image` makes of it. In windows
one channel becomes grey, of four or more the first three are taken as red, green and blue, and pixels without
data are black. Values of more than 8 bits are stretched: the 2nd percentile of each channel becomes 0 and the
98th 255, measured over the whole picture.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from utils.images import ImageError, read_image, to_rgb

if TYPE_CHECKING:
    from affine import Affine

PIXELS_AT_ONCE = 4096 * 4096
PERCENTILES = (2, 98)
SAMPLE_SIDE = 1024  # pixels of the longer side over which the percentiles are measured
CACHE_BYTES = 128 * 2**20  # what GDAL may keep of decoded blocks
# Not all that GDAL reads: a VRT, for one, may point to any other file or address.
DRIVERS = ("GTiff", "JPEG", "PNG", "JP2OpenJPEG", "WEBP", "HFA", "ENVI", "NITF")
# For each EXIF orientation, how upright pixels lie in the file: axes swapped, then mirrored in x, in y.
EXIF_ORIENTATIONS = {
    "1": (False, False, False),
    "2": (False, True, False),
    "3": (False, True, True),
    "4": (False, False, True),
    "5": (True, False, False),
    "6": (True, False, True),
    "7": (True, True, True),
    "8": (True, True, False),
}

Box = tuple[int, int, int, int]


class WholePicture:
    """A picture in memory.

    Attributes:
        name: Of its file, or empty.
        size: Width and height in pixels.
        crs: None: it has no place on the Earth.
        transform: None.
    """

    crs = transform = None

    def __init__(self, image: Image.Image, name: str = "") -> None:
        self._image, self.name, self.size = image, name, image.size

    def crop(self, box: Box, longest: int | None = None) -> Image.Image:
        """Cuts out a box (left, top, right, bottom); a longer side than ``longest`` pixels is reduced to it."""
        image = self._image.crop(tuple(map(int, box)))
        if longest is not None and max(image.size) > longest:
            image = image.resize(_reduced(image.size, longest), Image.Resampling.BOX)
        return image


class WindowedPicture:
    """A picture on the disk, of which only the windows asked for are decoded, large ones at a lower resolution.

    Attributes:
        name: Of its file.
        size: Width and height in pixels, upright; of a georeferenced picture as it is stored.
        crs: The reference system of its coordinates as WKT, or None.
        transform: From pixels (column, row) to those coordinates, or None.
    """

    def __init__(self, dataset: Any, name: str) -> None:
        self._dataset, self.name = dataset, name
        # A place on the Earth is that of the pixels as they are stored, however the camera was held.
        orientation = "1" if dataset.crs else dataset.tags().get("EXIF_Orientation")
        self._turn = EXIF_ORIENTATIONS.get(orientation, EXIF_ORIENTATIONS["1"])
        self.size = dataset.shape if self._turn[0] else dataset.shape[::-1]
        self.crs: str | None = dataset.crs.to_wkt() if dataset.crs else None
        self.transform: Affine | None = dataset.transform if dataset.crs else None
        self._channels = (1, 2, 3) if dataset.count >= 3 else (1,)
        self._palette = _palette(dataset)
        self._limits = None
        if dataset.dtypes[0] != "uint8":
            self._limits = percentile_limits(self._read((0, 0, *self.size), SAMPLE_SIDE))

    def crop(self, box: Box, longest: int | None = None) -> Image.Image:
        """Cuts out a box (left, top, right, bottom); a longer side than ``longest`` pixels is reduced to it.

        Raises:
            ImageError: If the file breaks off there.
        """
        values = self._read(box, longest)
        if self._palette is not None:
            return Image.fromarray(self._palette[values.filled(0)[..., 0]])
        return Image.fromarray(_three_channels(to_eight_bits(values, self._limits)))

    def _read(self, box: Box, longest: int | None) -> np.ma.MaskedArray:
        """(height, width, channels) of the file's own type, upright, what has no data masked."""
        from rasterio.enums import Resampling
        from rasterio.errors import RasterioIOError
        from rasterio.windows import Window

        left, top, right, bottom = self._stored(box)
        size = _reduced((right - left, bottom - top), longest)
        # Neighbouring numbers in a palette are no neighbouring colours.
        resampling = Resampling.nearest if self._palette is not None else Resampling.average
        try:
            values = self._dataset.read(
                self._channels,
                window=Window(left, top, right - left, bottom - top),
                out_shape=(len(self._channels), *size[::-1]),
                resampling=resampling,
                masked=True,
            )
        except RasterioIOError as error:
            raise _broken(self.name, error) from None
        return self._upright(values.transpose(1, 2, 0))

    def _stored(self, box: Box) -> Box:
        """Where an upright box lies in the file."""
        swapped, mirror_x, mirror_y = self._turn
        left, top, right, bottom = map(int, box)
        if swapped:
            left, top, right, bottom = top, left, bottom, right
        height, width = self._dataset.shape
        if mirror_x:
            left, right = width - right, width - left
        if mirror_y:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom

    def _upright(self, values: np.ma.MaskedArray) -> np.ma.MaskedArray:
        swapped, mirror_x, mirror_y = self._turn
        values = values[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        return values.transpose(1, 0, 2) if swapped else values


Picture = WholePicture | WindowedPicture


@contextmanager
def open_picture(picture: str | Path | Image.Image | np.ndarray) -> Iterator[Picture]:
    """Opens a picture for cutting: a file, a Pillow picture, or an array.

    Args:
        picture: A path, a Pillow picture of any mode, or an array (height, width) or (height, width, channels):
            uint8 as it is, other types stretched as files of more than 8 bits are.

    Raises:
        ImageError: One sentence, if it is missing, broken or no picture.
    """
    if isinstance(picture, np.ndarray):
        yield WholePicture(_array_to_image(picture))
    elif isinstance(picture, Image.Image):
        yield WholePicture(_decoded(picture), Path(getattr(picture, "filename", "") or "").name)
    else:
        with _open_file(Path(picture)) as opened:
            yield opened


@contextmanager
def _open_file(path: Path) -> Iterator[Picture]:
    import rasterio

    settings = {"GDAL_CACHEMAX": CACHE_BYTES, "GDAL_ERROR_ON_LIBJPEG_WARNING": True}
    with rasterio.Env(**settings):
        dataset = _open_raster(path)
        if dataset is None:
            yield WholePicture(read_image(path), path.name)
            return
        with dataset:
            if not _wants_windows(dataset):
                yield WholePicture(read_image(path), path.name)
            elif dataset.driver == "PNG":
                with _tiled_copy(dataset, path.name) as copy:
                    yield WindowedPicture(copy, path.name)
            else:
                yield WindowedPicture(dataset, path.name)


@contextmanager
def _tiled_copy(dataset: Any, name: str) -> Iterator[Any]:
    """A temporary copy that can be read anywhere: a PNG is decoded from its first row on at every step back."""
    import rasterio
    import rasterio.shutil
    from rasterio.errors import NotGeoreferencedWarning

    options = {"driver": "GTiff", "tiled": True, "compress": "deflate", "zlevel": 1, "bigtiff": "if_safer"}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        path = Path(folder) / "picture.tif"
        try:
            rasterio.shutil.copy(dataset, path, **options)
        except Exception as error:  # GDAL's own, which have no public name in rasterio
            raise _broken(name, error) from None
        with rasterio.open(path) as copy:
            yield copy


def _broken(name: str, error: Exception) -> ImageError:
    reason = str(error.__cause__ or error).rstrip(".")
    return ImageError(f"{name} cannot be decoded as a picture ({reason}); replace it.")


def _open_raster(path: Path) -> Any | None:
    """The file as rasterio sees it, or None where it sees none: Pillow then says what it is."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    if not path.is_file():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for driver in DRIVERS:
            with suppress(RasterioIOError):
                return rasterio.open(path, driver=driver)
    return None


def _wants_windows(dataset: Any) -> bool:
    if dataset.dtypes[0].startswith("complex"):
        raise ImageError(f"{Path(dataset.name).name} holds complex numbers, which are no colours.")
    large = dataset.width * dataset.height > PIXELS_AT_ONCE
    return bool(dataset.crs) or large or dataset.count > 4 or dataset.dtypes[0] != "uint8"


def _palette(dataset: Any) -> np.ndarray | None:
    """(256, 3) uint8 colours of a picture that stores their numbers."""
    try:
        colors = dataset.colormap(1)
    except ValueError:
        return None
    table = np.zeros((256, 3), np.uint8)
    for number, color in colors.items():
        table[number] = color[:3]
    return table


def _decoded(image: Image.Image) -> Image.Image:
    try:
        if image.mode.startswith("I") or image.mode == "F":
            return _array_to_image(np.asarray(image))
        return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"The picture cannot be decoded ({error}); give another one.") from None


def _array_to_image(values: np.ndarray) -> Image.Image:
    channels = values[..., None] if values.ndim == 2 else values
    if channels.ndim != 3 or not channels.size or channels.dtype.kind not in "buif":
        raise ImageError(
            f"An array of shape {values.shape} and type {values.dtype} is no picture; give (height, width) or "
            "(height, width, channels) of numbers, none of them zero."
        )
    channels = channels[..., :3] if channels.shape[2] >= 3 else channels[..., :1]
    if channels.dtype == bool:
        channels = channels * np.uint8(255)
    limits = None if channels.dtype == np.uint8 else percentile_limits(np.ma.masked_invalid(channels))
    return Image.fromarray(_three_channels(to_eight_bits(np.ma.masked_invalid(channels), limits)))


def percentile_limits(values: np.ma.MaskedArray) -> np.ndarray:
    """The `PERCENTILES` of each channel of (height, width, channels): (2, channels) float64."""
    channels = np.ma.masked_invalid(values).reshape(-1, values.shape[2])
    columns = (channels[:, number].compressed() for number in range(channels.shape[1]))
    return np.array([np.percentile(c, PERCENTILES) if c.size else (0, 1) for c in columns]).T


def to_eight_bits(values: np.ma.MaskedArray, limits: np.ndarray | None) -> np.ndarray:
    """Stretches (height, width, channels) from limits (2, channels) to uint8; without limits it is uint8."""
    if limits is None:
        return np.ma.filled(values, 0)
    low, high = limits
    stretched = (np.ma.masked_invalid(values).astype(np.float64) - low) / np.maximum(high - low, 1e-12)
    return np.clip(stretched * 255 + 0.5, 0, 255).filled(0).astype(np.uint8)


def _three_channels(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def _reduced(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """A size in the same proportion whose longer side is at most so many pixels."""
    if longest is None or max(size) <= longest:
        return size
    return tuple(max(1, round(length * longest / max(size))) for length in size)
