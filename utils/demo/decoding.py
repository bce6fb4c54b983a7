"""Images that visitors send: measured by their header first, decoded only where that is safe, one at a time.

A small file can hold a large image, and a conversion of a large image several copies of it. So an image is refused
by what its decoder would take, decoded as it is stored, reduced strip by strip, and only then converted and turned.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base as Exif
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from utils.datasets import ImageError, ImageReading, to_rgb
from utils.datasets.images.rasters import open_dataset
from utils.datasets.images.reading import AS_STORED, Header, open_raster, open_regular, read_header
from utils.demo.limits import MAX_PIXELS, MAX_SCENE_PIXELS, MAX_SCENE_SIDE, MAX_SIDE
from utils.finder.place import NO_PLACE, Place, place_of

MIN_SIDE = 8  # pixels; less shows nothing
MAX_DECODED = 440 * 10**6  # bytes that a decoder may take at once
MAX_BLOCK = 100 * 10**6  # bytes of a strip or tile of a GeoTIFF, of which GDAL decodes one after another
# Pillow's other decoders are rarely needed, and each is one more for a hostile file to try. With each, the bytes
# that it takes for a pixel, measured: 4 are the image; progressive JPEG keeps every coefficient until the end,
# TIFF turns what it decoded into a copy, and WebP is decoded onto three canvases.
FORMATS = {"BMP": 5, "GIF": 6, "JPEG": 11, "PNG": 5, "TIFF": 8, "WEBP": 21}
TOO_LARGE = f"up to {MAX_PIXELS // 10**6} million pixels and {MAX_SIDE:,} a side are opened here: send a smaller one."
FORMAT_NAMES = "a JPEG, PNG, WebP, GIF, BMP or TIFF image"
RASTERS = ("GTiff", "PNG")  # GDAL's names of formats that are opened here, too
FOUR_BANDS = ("RGBA", "RGBa", "LA")  # the last of a TIFF may be infrared
START_OF_SCAN = b"\xff\xda"  # the JPEG marker, which the compressed pixels cannot contain
MAX_SCANS = 100  # of a progressive JPEG; usual are ten, and each goes over the whole image
STRIP_PIXELS = 2**20  # that are converted at a time
# Of glibc's <malloc.h> M_ARENA_MAX, heaps that threads share; M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, bytes.
MALLOC_OPTIONS = {-8: 2, -3: 2**20, -1: 2**20}


@dataclass(frozen=True)
class DecodedUpload:
    """A visitor's image as it is worked with."""

    image: Image.Image  # upright, RGB, perhaps smaller than what was sent
    factor: int  # how many pixels of what was sent, in each direction, one of these is
    size: tuple[int, int]  # width and height of what was sent, upright
    place: Place = NO_PLACE  # where it lies on the Earth, by the pixels of what was sent


def read_upload(path: Path, max_pixels: int = MAX_PIXELS, reading: ImageReading = AS_STORED) -> DecodedUpload:
    """Decodes a visitor's image to RGB, upright, by the rules of `utils.datasets.read_image`.

    Of an animation it is the first frame. An image of more pixels than ``max_pixels`` is reduced by a power of two,
    each pixel the mean of those in its place. A GeoTIFF is read strip by strip, may be larger than what is decoded as
    a whole, and is transparent (RGBA) where it has no data. A file that is not an image, damaged, larger than is safe
    or smaller than makes sense raises an ImageError of one sentence, whatever a hostile file makes a decoder say.
    """
    try:
        with open_regular(path) as file:
            header = read_header(file, path)
            if (header.needs_raster and header.driver in RASTERS) or _is_placed(path, header):
                return _decode_raster(file, path, header, max_pixels, reading)
            with Image.open(file, formats=tuple(FORMATS)) as image:
                if image.format == "TIFF" and image.mode in FOUR_BANDS:
                    return _decode_raster(file, path, header, max_pixels, reading)
                check_decoder(image, path)
                return _decode(image, max_pixels)
    except ImageError as error:
        if path.exists():
            raise ImageError(str(error).replace(str(path), "The image")) from None
        raise ImageError("The image is no longer kept here; send it again.") from None
    except Image.DecompressionBombError:
        raise ImageError(f"The image is far too large; {TOO_LARGE}") from None
    except UnidentifiedImageError:
        raise ImageError(f"The file is not {FORMAT_NAMES}; send another one.") from None
    except Exception:
        raise ImageError("The image is damaged or of a rare kind and cannot be decoded; send another one.") from None


def check_decoder(image: Image.Image, path: Path) -> None:
    """Refuses an opened image, with an ImageError, for the memory or the time that its decoder would take."""
    kind = image.format or ""
    pixel_bytes: float = FORMATS[kind]
    if isinstance(image, TiffImageFile):  # one strip may hold all of the image, beside what is made of it
        bits = image.tag_v2.get(BITSPERSAMPLE, (8,))
        pixel_bytes += sum(bits if isinstance(bits, tuple) else (bits,)) / 8
    _check_size(*image.size, pixel_bytes, f"in a {kind} file of its kind")
    if kind == "JPEG" and path.read_bytes().count(START_OF_SCAN) > MAX_SCANS:
        raise ImageError(f"The image is stored in more than {MAX_SCANS} scans; save it again and send that.")


def _check_size(width: int, height: int, pixel_bytes: float, kind: str) -> None:
    pixels = f"The image has {width:,} x {height:,} pixels"
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(f"{pixels}; {TOO_LARGE}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{pixels}; it needs at least {MIN_SIDE} in each direction to show anything.")
    most = int(MAX_DECODED / pixel_bytes)
    if width * height > most:
        opened = f"of such up to {most / 1e6:.0f} million are opened here"
        raise ImageError(f"{pixels} {kind}; {opened}: send a smaller one, or a JPEG.")


def _decode_raster(
    file: BufferedReader, path: Path, header: Header, max_pixels: int, reading: ImageReading
) -> DecodedUpload:
    """Decodes an image of more than 8 bits, other than three bands, or with a place on the Earth."""
    with open_dataset(path, header.driver or "", "The image") as dataset:
        pixel_bytes = sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
        if _has_place(dataset):
            _check_scene(dataset, pixel_bytes)
        else:  # one strip or tile may hold all of the image
            _check_size(dataset.width, dataset.height, pixel_bytes, f"of {pixel_bytes} bytes")
    with open_raster(file, path, "The image", reading, header) as raster:
        factor = _factor(raster.size, max_pixels)
        colors, data = raster.read((0, 0, *raster.size), -(-max(raster.size) // factor))
        image = Image.fromarray(colors)
        if _has_place(raster.dataset) and not data.all():
            image.putalpha(Image.fromarray(((data > 0) * 255).astype(np.uint8)))
        return DecodedUpload(image, factor, raster.size, place_of(raster.dataset))


def _is_placed(path: Path, header: Header) -> bool:
    """Whether a file is a TIFF with a place on the Earth."""
    if header.driver != "GTiff":
        return False
    with ExitStack() as stack:
        try:
            return _has_place(stack.enter_context(open_dataset(path, "GTiff", "The image")))
        except ImageError:  # which Pillow may read nevertheless
            return False


def _has_place(dataset: Any) -> bool:
    return bool(dataset.driver == "GTiff" and (dataset.crs or dataset.gcps[0] or dataset.rpcs is not None))


def _check_scene(dataset: Any, pixel_bytes: int) -> None:
    """Refuses a GeoTIFF for its size, or for that of the pieces that it is stored in."""
    pixels = f"The image has {dataset.width:,} x {dataset.height:,} pixels"
    if dataset.width * dataset.height > MAX_SCENE_PIXELS or max(dataset.shape) > MAX_SCENE_SIDE:
        raise ImageError(
            f"{pixels}; of a GeoTIFF up to {MAX_SCENE_PIXELS // 10**6} million and {MAX_SCENE_SIDE:,} a side are read "
            "here: send a part of it."
        )
    if min(dataset.shape) < MIN_SIDE:
        raise ImageError(f"{pixels}; it needs at least {MIN_SIDE} in each direction to show anything.")
    if max(height * width for height, width in dataset.block_shapes) * pixel_bytes > MAX_BLOCK:
        raise ImageError(f"{pixels} in pieces too large to be read one by one; store it in tiles (TILED=YES).")


def _decode(image: Image.Image, max_pixels: int) -> DecodedUpload:
    size, factor = image.size, _factor(image.size, max_pixels)
    if factor > 1:
        image.draft(None, (size[0] // factor, size[1] // factor))  # JPEG alone can decode to less
    image.load()
    if image.format == "TIFF":  # was turned while it was loaded, and says so no more
        size = image.size
    orientation = image.getexif().get(Exif.Orientation, 1)
    reduced = _reduced(image, max(1, factor // max(1, round(size[0] / image.width))))
    reduced.getexif()[Exif.Orientation] = orientation
    ImageOps.exif_transpose(reduced, in_place=True)
    return DecodedUpload(reduced, factor, size[::-1] if orientation in (5, 6, 7, 8) else size)


def _factor(size: tuple[int, int], max_pixels: int) -> int:
    """The power of two by which an image is reduced."""
    factor = 1
    while size[0] * size[1] > max_pixels * factor**2:
        factor *= 2
    return factor


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """A decoded image in RGB, reduced strip by strip, so that nothing large is there twice."""
    reduced = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    rows = max(1, STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        strip = to_rgb(image.crop((0, top, image.width, min(top + rows, image.height))))
        reduced.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return reduced


def return_freed_memory() -> None:
    """Tells glibc, before threads are started, to keep little of what they free: else it is their largest image."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        for option, value in MALLOC_OPTIONS.items():
            set_option(option, value)
