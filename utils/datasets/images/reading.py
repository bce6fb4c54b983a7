"""The one reader of pictures that come from outside: data sets, training, evaluation, search, finder and page.

Pictures of 8 bits a channel are what Pillow decodes. What Pillow cannot do, or does wrongly, goes through rasterio:
more than 8 bits, floats, two or more than four bands, values that stand for no data, masks, infrared that is marked as
opacity, JPEG 2000, and more pixels than should be decoded at once, which are averaged down while they are read.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from PIL.WebPImagePlugin import WebPImageFile

from utils.datasets.images.errors import ImageError, ReducedImageWarning
from utils.datasets.images.rasters import Raster, broken, driver_of, open_dataset
from utils.datasets.images.stretch import ImageReading, check_bands, composed, image_of_array, is_opacity, value_range

LARGEST_SIDE = 4096  # pixels of what is read of a raster as a whole; models see a few hundred
SAMPLED_PICTURES = 64  # over which a data set's range of values is measured
SAMPLED_VALUES = 65_536  # of each
LOOKED_AT = 16  # of a data set, to tell whether it has more than 8 bits
HEAD = 26  # bytes, as far as a PNG's depth
AS_STORED = ImageReading()


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file say.

    Attributes:
        driver: GDAL's name of the format; None for what rasterio is not asked to read.
        needs_raster: Whether Pillow would read it wrongly or not at all.
        companion: Whether GDAL keeps more of it in a file beside it.
        orientation: As EXIF numbers it; 1 is upright.
        premultiplied: Whether its colors are multiplied by its opacity already.
    """

    driver: str | None
    needs_raster: bool
    companion: bool = False
    orientation: int = 1
    premultiplied: bool = False


def read_image(source: str | Path | bytes, reading: ImageReading = AS_STORED) -> Image.Image:
    """Decodes a picture to 8-bit RGB, upright.

    EXIF turns are applied; gray, palette, CMYK and alpha images are converted (what is transparent, or has no data,
    becomes black). Deeper values than 8 bits are stretched as `stretch` says. Of several bands those
    are shown that the file calls red, green and blue, else the first three. What has more pixels than Pillow
    decodes is averaged down to `LARGEST_SIDE` pixels, with a `ReducedImageWarning`.

    Args:
        source: The image file, or its content.
        reading: Another range of values, or other bands.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: If the file is missing, truncated, too large to be honest, or no picture at all.
    """
    return read_with_data(source, reading)[0]


def read_with_data(
    source: str | Path | bytes, reading: ImageReading = AS_STORED
) -> tuple[Image.Image, np.ndarray | None]:
    """Decodes as `read_image` does, and says where the picture has data.

    Returns:
        The picture, and (height, width) bool, False where the file has no data or nothing but transparency; None
        where it has data everywhere.
    """
    with open_regular(source) as (file, path, name):
        header = read_header(file, path)
        content = source if path is None else path
        if not header.needs_raster and not (header.driver and reading.bands):
            if header.companion and _companion_matters(file, content, name, reading, header):
                return _by_rasterio(file, content, name, reading, header)
            found = _by_pillow(file, name, reading, header)
            if found is not None:
                return found
        return _by_rasterio(file, content, name, reading, header)


@contextmanager
def open_regular(source: str | Path | bytes) -> Iterator[tuple[io.BufferedReader, Path | None, str]]:
    """Opens a file, but never one that would wait for a writer.

    Yields:
        The open file, its path or None for content, and what to call it.

    Raises:
        ImageError: If there is no such file, or it is a folder, a pipe, a socket or a device.
    """
    if isinstance(source, bytes):
        yield io.BufferedReader(io.BytesIO(source)), None, "What was given"
        return
    path = Path(source)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", opener=_without_waiting))
        except FileNotFoundError:
            link = "the link leads nowhere" if path.is_symlink() else "check the folder and the file's ending"
            raise ImageError(f"There is no image file at {path}; {link}.", "no such file") from None
        except IsADirectoryError:
            raise ImageError(f"{path} is a folder, not a picture; give the file of a picture.", "a folder") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(
                f"{path} cannot be opened as a picture ({reason}); replace or remove it.", str(reason)
            ) from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ImageError(f"{path} is no regular file and so no picture; remove it.", "no regular file")
        yield file, path, str(source)


def _without_waiting(path: str, flags: int) -> int:
    """A pipe would otherwise open only when somebody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_header(file: io.BufferedReader, path: Path | None) -> Header:
    """Tells by the first bytes how a picture is to be read; the file is at its beginning before and after."""
    head = file.peek(HEAD)[:HEAD]  # what was looked at need not be read again
    driver, deep, orientation, premultiplied = driver_of(head, path), False, 1, False
    if driver == "GTiff":
        deep, orientation, premultiplied = _tiff_header(file)
    elif driver == "PNG":
        deep = head[24:25] == b"\x10" or _too_many(*struct.unpack(">II", head[16:24].ljust(8, b"\0")))
    elif driver is not None:
        deep = driver not in ("JPEG", "WEBP")
    # Photographs have none; to ask for it would take a tenth of the time that decoding them takes.
    companion = driver in ("GTiff", "PNG") and not deep and path is not None and _has_companion(path)
    return Header(driver, deep, companion, orientation, premultiplied)


def _tiff_header(file: io.BufferedReader) -> tuple[bool, int, bool]:
    """Whether a TIFF needs rasterio, how it lies, and whether its opacity is applied already."""
    tags = tiff_tags(file)
    if tags is None:  # GDAL then says what is wrong
        return True, 1, False
    try:
        # Inks and Lab are Pillow's alone.
        needs_raster = not _is_plain_tiff(tags) and tags.get(262) not in (5, 8, 9)
        return needs_raster, int(tags.get(274, 1)), 1 in _as_tuple(tags.get(338, 0))
    except Exception:  # of values that make no sense
        return True, 1, False


def _is_plain_tiff(tags: ImageFileDirectory_v2) -> bool:
    """Whether Pillow reads all that there is to a TIFF."""
    return (
        max(_as_tuple(tags.get(258, 1))) <= 8
        and set(_as_tuple(tags.get(339, 1))) == {1}  # unsigned
        and tags.get(277, 1) <= 4
        and not tags.next  # GDAL keeps a mask as a second page
        and 42112 not in tags  # GDAL's names of bands and what they are
        and 42113 not in tags  # GDAL's value for no data
        and not _too_many(tags.get(256, 0), tags.get(257, 0))
        # Blocks that were never written: Pillow would decode the file's own header in their place.
        and all(0 not in _as_tuple(tags.get(sizes, 1)) for sizes in (279, 325))
    )


def _too_many(width: int, height: int) -> bool:
    """Whether there are more pixels than Pillow opens without a warning."""
    return Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS


def tiff_tags(file: io.BufferedReader) -> ImageFileDirectory_v2 | None:
    """The first directory of a TIFF, also of a kind that Pillow opens no picture of; None if it is broken."""
    file.seek(0)
    head = file.read(16)
    try:
        tags = ImageFileDirectory_v2(head if head[2:4] in (b"+\0", b"\0+") else head[:8])
        file.seek(tags.next)
        tags.load(file)
    except Exception:  # of Pillow's parser: SyntaxError, struct.error, ...
        return None
    finally:
        file.seek(0)
    return tags


def _as_tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def _has_companion(path: Path) -> bool:
    """Whether GDAL keeps more of a picture, such as names of bands or a mask, in a file beside it."""
    return any(os.path.lexists(f"{path}{ending}") for ending in (".aux.xml", ".msk"))


def _by_pillow(
    file: io.BufferedReader, name: str, reading: ImageReading, header: Header
) -> tuple[Image.Image, np.ndarray | None] | None:
    """Decodes a picture of 8 bits; None where rasterio has to: of too large or unknown a kind."""
    try:
        with Image.open(file) as image:
            limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
            if limit is not None and pixels > limit:  # here Pillow only warns
                raise Image.DecompressionBombError(f"{pixels:,}, where the limit is {limit:,}")
            ImageOps.exif_transpose(image, in_place=True)
            picture, valid = rgb_with_data(image, reading, doubtful=header.driver == "GTiff")
            return _in_bands(picture, reading.bands, name), valid
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if header.driver is not None:
            return None
        raise ImageError(f"{name} holds more pixels than is safe to decode at once ({error}).") from None
    except UnidentifiedImageError:
        if header.driver is not None:
            return None
        raise ImageError(
            f"{name} is in no format that can be decoded as a picture; replace or remove it.", "not a picture"
        ) from None
    except Exception as error:  # Pillow's plug-ins raise many kinds: OSError, SyntaxError, struct.error, ...
        raise ImageError(
            f"{name} cannot be decoded as a picture ({error}); replace or remove it.", str(error)
        ) from None


def _in_bands(picture: Image.Image, bands: Sequence[int] | None, name: str) -> Image.Image:
    """Chooses among the bands of a picture that Pillow alone reads: red, green and blue are 1, 2 and 3."""
    if bands is None:
        return picture
    check_bands(bands, 3, name)
    channels = [picture.getchannel(band - 1) for band in bands]
    return Image.merge("RGB", channels if len(channels) == 3 else channels * 3)


def rgb_with_data(
    image: Image.Image, reading: ImageReading = AS_STORED, doubtful: bool = False
) -> tuple[Image.Image, np.ndarray | None]:
    """Converts a picture of any Pillow mode to 8-bit RGB, and says where it has data, see `read_with_data`.

    Args:
        image: The picture, upright.
        reading: For what is deeper than 8 bits.
        doubtful: Whether its alpha may be another band, as in TIFFs that GDAL writes, and its values decide.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if values.dtype == np.int32 and values.min() >= 0 and values.max() <= 65535:
            values = values.astype(np.uint16)  # 16 bits, of which Pillow's older mode makes 32
        return image_of_array(values, reading)
    if doubtful and image.mode in ("RGBA", "RGBa", "LA"):
        *colors, opacity = image.split()
        if not is_opacity(np.asarray(opacity)):
            return Image.merge("RGB", colors if len(colors) == 3 else colors * 3), None
    if image.has_transparency_data:
        return composed(image.convert("RGBA"))
    return image.convert("RGB"), None


def to_rgb(image: Image.Image, reading: ImageReading = AS_STORED) -> Image.Image:
    """Converts a picture of any Pillow mode to 8-bit RGB, by the rules of `read_image`."""
    return rgb_with_data(image, reading)[0]


@contextmanager
def open_raster(
    file: io.BufferedReader, source: Path | bytes, name: str, reading: ImageReading, header: Header
) -> Iterator[Raster]:
    """Opens a picture for reading windows of it, upright.

    Raises:
        ImageError: If rasterio cannot open it.
    """
    with open_dataset(source, header.driver, name) as dataset:
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
    except Exception:  # Pillow's plug-ins raise many kinds; without a turn the picture is still one
        return 1


_EXIF_READERS = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile}


def _by_rasterio(
    file: io.BufferedReader, source: Path | bytes, name: str, reading: ImageReading, header: Header
) -> tuple[Image.Image, np.ndarray | None]:
    with open_raster(file, source, name, reading, header) as raster:
        width, height = raster.size
        longest = None
        if width * height > LARGEST_SIDE**2:
            longest = int(max(raster.size) * LARGEST_SIDE / (width * height) ** 0.5)
        colors, data = raster.read((0, 0, width, height), longest)
        if longest is not None:
            warnings.warn(
                f"{name} has {width:,} x {height:,} pixels; it is read at {colors.shape[1]:,} x "
                f"{colors.shape[0]:,}, each the mean of those under it.",
                ReducedImageWarning,
                stacklevel=4,
            )
        return Image.fromarray(colors), None if data.all() else data > 0


def _companion_matters(
    file: io.BufferedReader, source: Path | bytes, name: str, reading: ImageReading, header: Header
) -> bool:
    """Whether what stands beside a picture changes how it looks: Pillow decodes it if not."""
    with open_raster(file, source, name, reading, header) as raster:
        return not raster.is_plain


def measured(sources: Sequence[str | Path], reading: ImageReading = AS_STORED) -> ImageReading:
    """Measures one range of values for pictures of one sensor, so that bright and dark ones stay so.

    Args:
        sources: The image files, of which some that are evenly spread are looked at.
        reading: The bands; a stretch that is given stays.

    Returns:
        The reading with the range of values; as it was, if the pictures have 8 bits, or not all one type.
    """
    if reading.stretch != "auto" or not any(
        _sample(source, reading) is not None for source in _spread(sources, LOOKED_AT)
    ):
        return reading
    samples = [_sample(source, reading) for source in _spread(sources, SAMPLED_PICTURES)]
    samples = [values for values in samples if values is not None and values.size]
    if len({values.dtype for values in samples}) != 1:
        return reading
    low, high = value_range(np.concatenate(samples))
    return reading if low == high else replace(reading, stretch=(low, high))


def _spread(sources: Sequence[str | Path], count: int) -> list[str | Path]:
    count = min(count, len(sources))
    return [sources[number * len(sources) // count] for number in range(count)]


def _sample(source: str | Path, reading: ImageReading) -> np.ndarray | None:
    """Some values of a picture of more than 8 bits; None of any other and of what cannot be read."""
    try:
        with open_regular(source) as (file, path, name):
            header = read_header(file, path)
            if not header.needs_raster:
                return None
            # A range that is given is not measured.
            with open_raster(file, path, name, replace(reading, stretch=(0, 1)), header) as raster:
                if raster.limits is None:
                    return None
                values = raster.sample()
                return values[:: -(-len(values) // SAMPLED_VALUES) or 1]
    except ImageError:
        return None
