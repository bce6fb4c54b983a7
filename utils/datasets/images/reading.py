"""The one reader of images that come from outside: data sets, training, evaluation, search, finder and page.

Pillow decodes images of 8 bits a channel. What it cannot do, or does wrongly, goes through rasterio: more bits, floats,
other bands than it knows, no data, masks, infrared that is marked as opacity, JPEG 2000, and more pixels than should be
decoded at once.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from utils.datasets.images import stretch
from utils.datasets.images.headers import Header, ends_well, open_regular, png_breaks_off, read_header, too_many_pixels
from utils.datasets.images.rasters import Raster, broken, open_dataset
from utils.datasets.images.stretch import AS_STORED, ImageError, ImageReading

LARGEST_SIDE = 4096  # pixels of what is read of a raster as a whole; models see a few hundred
SAMPLED_IMAGES = 64  # over which a data set's range of values is measured
SAMPLED_VALUES = 65_536  # of each
_EXIF_READERS: dict[str | None, Any] = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}


def read_image(path: str | Path, reading: ImageReading = AS_STORED) -> Image.Image:
    """Decodes an image file to 8-bit RGB, upright.

    EXIF turns are applied; gray, palette, CMYK and alpha images are converted (what is transparent, or has no data,
    becomes black). Deeper values are stretched, and bands chosen, as the reading says. What rasterio reads, and so what
    has more pixels than Pillow opens without a warning, is averaged down to about `LARGEST_SIDE` pixels a side where it
    has more than the square of that, with a warning. A file that is missing, truncated, too large to be honest, or not
    an image at all is an `ImageError`.
    """
    return read_with_data(path, reading)[0]


def read_with_data(path: str | Path, reading: ImageReading = AS_STORED) -> tuple[Image.Image, np.ndarray | None]:
    """Decodes as `read_image` does, and says where there are data: (height, width) bool, None if everywhere."""
    with open_regular(path) as file:
        header = read_header(file, Path(path))
        opened = file, Path(path), reading, header
        if header.needs_raster or (header.driver and reading.bands):
            return _by_rasterio(*opened)
        return _by_pillow(*opened) or _by_rasterio(*opened)


def _by_pillow(
    file: io.BufferedReader, path: Path, reading: ImageReading, header: Header
) -> tuple[Image.Image, np.ndarray | None] | None:
    """Decodes an image of 8 bits; None where rasterio has to: of too large or unknown a kind."""
    try:
        with Image.open(file) as image:
            if too_many_pixels(*image.size):  # here Pillow only warns
                pixels = f"{image.width * image.height:,}, where the limit is {Image.MAX_IMAGE_PIXELS:,}"
                raise Image.DecompressionBombError(pixels)
            ImageOps.exif_transpose(image, in_place=True)
            rgb, valid = rgb_with_data(image, reading, doubtful=header.driver == "GTiff")
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, UnidentifiedImageError) as error:
        if header.driver is not None:
            return None
        if isinstance(error, UnidentifiedImageError):
            raise _unknown_format(str(path)) from None
        raise ImageError(f"{path} holds more pixels than is safe to decode at once ({error}).") from None
    except Exception as error:  # Pillow's plug-ins raise many kinds: OSError, SyntaxError, struct.error, ...
        raise ImageError(f"{path} cannot be decoded as an image ({error}); replace or remove it.", str(error)) from None
    if reading.bands is not None:  # red, green and blue are 1, 2 and 3
        stretch.check_bands(reading.bands, 3, str(path))
        rgb = _merged([rgb.getchannel(band - 1) for band in reading.bands])
    return rgb, valid


def _unknown_format(name: str) -> ImageError:
    return ImageError(f"{name} is in no format that can be decoded as an image; replace or remove it.", "not an image")


def _merged(channels: Sequence[Image.Image]) -> Image.Image:
    return Image.merge("RGB", channels if len(channels) == 3 else [channels[0]] * 3)


def rgb_with_data(
    image: Image.Image, reading: ImageReading = AS_STORED, doubtful: bool = False
) -> tuple[Image.Image, np.ndarray | None]:
    """Converts an upright image of any Pillow mode to 8-bit RGB, and says where it has data, see `read_with_data`.

    Its alpha is doubtful where it may be another band, as in TIFFs that GDAL writes: then its values decide.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if values.dtype == np.int32 and values.min() >= 0 and values.max() <= 65535:
            values = values.astype(np.uint16)  # 16 bits, of which Pillow's older mode makes 32
        return stretch.image_of_array(values, reading)
    if doubtful and image.mode in ("RGBA", "RGBa", "LA"):
        *colors, opacity = image.split()
        if not stretch.is_opacity(np.asarray(opacity)):
            return _merged(colors), None
    if image.has_transparency_data:
        return stretch.composed(image.convert("RGBA"))
    return image.convert("RGB"), None


def to_rgb(image: Image.Image, reading: ImageReading = AS_STORED) -> Image.Image:
    """Converts an image of any Pillow mode to 8-bit RGB, by the rules of `read_image`."""
    return rgb_with_data(image, reading)[0]


@contextmanager
def open_raster(
    file: io.BufferedReader, path: Path, name: str, reading: ImageReading, header: Header
) -> Iterator[Raster]:
    """Opens an image for reading windows of it, upright; an `ImageError` if rasterio cannot."""
    if header.driver is None:  # GDAL would try all that it knows, and a VRT may point to any address
        raise _unknown_format(name)
    if header.driver == "PNG" and png_breaks_off(file):  # what is missing GDAL would take from whatever lies in memory
        raise broken(name, ValueError("the file is truncated"))
    with open_dataset(path, header.driver, name) as dataset:
        # A place on the Earth is that of the pixels as they are stored, however the camera was held.
        try:
            orientation = 1 if dataset.crs else _orientation(file, header)
            raster = Raster(dataset, name, reading, orientation, header.premultiplied)
        except ImageError:
            raise
        except Exception as error:  # of tags that make no sense
            raise broken(name, error) from None
        yield raster


def _orientation(file: io.BufferedReader, header: Header) -> int:
    if header.driver not in _EXIF_READERS:
        return header.orientation
    file.seek(0)
    try:  # by the plug-in itself, which does not mind how many pixels there are
        return int(_EXIF_READERS[header.driver](file).getexif().get(0x0112, 1))
    except Exception:  # Pillow's plug-ins raise many kinds; without a turn the image is still one
        return 1


def _by_rasterio(
    file: io.BufferedReader, path: Path, reading: ImageReading, header: Header
) -> tuple[Image.Image, np.ndarray | None]:
    with open_raster(file, path, str(path), reading, header) as raster:
        width, height = raster.size
        longest = None
        if width * height > LARGEST_SIDE**2:
            longest = int(max(raster.size) * LARGEST_SIDE / (width * height) ** 0.5)
        colors, data = raster.read((0, 0, width, height), longest)
        if longest is not None:
            warnings.warn(
                f"{path} has {width:,} x {height:,} pixels; it is read at {colors.shape[1]:,} x "
                f"{colors.shape[0]:,}, each the mean of those under it.",
                stacklevel=4,
            )
        return Image.fromarray(colors), None if data.all() else data > 0


def measure_reading(paths: Sequence[Path], reading: ImageReading = AS_STORED) -> ImageReading:
    """Measures one range of values for images of one sensor, so that bright and dark ones stay so.

    Some files that are evenly spread are looked at. Returns the reading with that range; as it was, if it has one, or
    the images have 8 bits, or not all one type.
    """
    if reading.stretch != "auto":
        return reading
    count = min(SAMPLED_IMAGES, len(paths))
    samples = (_sample(paths[number * len(paths) // count], reading) for number in range(count))
    found = [values for values in samples if values is not None and values.size]
    if len({values.dtype for values in found}) != 1:
        return reading
    low, high = stretch.value_range(np.concatenate(found))
    return reading if low == high else replace(reading, stretch=(low, high))


def _sample(path: Path, reading: ImageReading) -> np.ndarray | None:
    """Some values of an image of more than 8 bits; None of any other and of what cannot be read."""
    unmeasured = replace(reading, stretch=(0, 1))  # a range that is given
    with suppress(ImageError), open_regular(path) as file:
        header = read_header(file, path)
        if header.needs_raster:
            with open_raster(file, path, str(path), unmeasured, header) as raster:
                if raster.limits is not None:
                    values = raster.sample()
                    return values[:: -(-len(values) // SAMPLED_VALUES) or 1]
    return None


def damage(path: Path) -> str:
    """What is wrong with a file; empty if it is whole.

    JPEG, TIFF and PNG are looked at from both ends, ten thousand in a second; what leaves a doubt is decoded.
    """
    try:
        with open_regular(path) as file:
            if ends_well(file, read_header(file, path)):
                return ""
        read_image(path)
    except ImageError as error:
        return error.reason
    return ""
