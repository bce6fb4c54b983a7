"""What the first bytes of an image file say, and its end: nothing is decoded here."""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from utils.datasets.images.stretch import ImageError

HEAD = 26  # bytes, as far as a PNG's depth
JPEG_END = b"\xff\xd9"
STRIPS = ((273, 279), (324, 325))  # TIFF's tags of where its strips, or its tiles, lie and how long they are
# GDAL's driver for a file that begins so; not all that GDAL reads.
_DRIVERS = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "GTiff"),
    **dict.fromkeys((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), "JP2OpenJPEG"),
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"EHFA_HEADER_TAG": "HFA",
    b"NITF0": "NITF",
}


@dataclass(frozen=True)
class Header:
    """What the first bytes of a file say."""

    driver: str | None  # GDAL's name of the format; None for what rasterio is not asked to read
    needs_raster: bool  # Pillow would read it wrongly or not at all
    orientation: int = 1  # as EXIF numbers it; 1 is upright
    premultiplied: bool = False  # its colors are multiplied by its opacity already


@contextmanager
def open_regular(path: str | Path) -> Iterator[io.BufferedReader]:
    """Opens a file.

    What is not there, or is a folder, a pipe, a socket or a device, is an `ImageError`: a pipe would be waited for.
    """
    with ExitStack() as stack:
        try:
            flags = getattr(os, "O_NONBLOCK", 0)  # a pipe would otherwise open only when somebody writes into it
            file = stack.enter_context(open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)))
        except FileNotFoundError:
            advice = "the link leads nowhere" if Path(path).is_symlink() else "check the folder and the file's ending"
            raise ImageError(f"There is no image file at {path}; {advice}.", "no such file") from None
        except IsADirectoryError:
            raise ImageError(f"{path} is a folder, not an image; give the file of an image.", "a folder") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageError(
                f"{path} cannot be opened as an image ({reason}); replace or remove it.", str(reason)
            ) from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ImageError(f"{path} is not a regular file, so not an image; remove it.", "not a regular file")
        yield file


def read_header(file: io.BufferedReader, path: Path) -> Header:
    """Tells by the first bytes how an image is to be read; the file is at its beginning before and after."""
    head = file.peek(HEAD)[:HEAD]  # what was looked at need not be read again
    driver, deep, orientation, premultiplied = _driver_of(head, path), False, 1, False
    if driver == "GTiff":
        deep, orientation, premultiplied = _tiff_header(file)
    elif driver == "PNG":
        deep = head[24:25] == b"\x10" or too_many_pixels(*struct.unpack(">II", head[16:24].ljust(8, b"\0")))
    elif driver is not None:
        deep = driver not in ("JPEG", "WEBP")
    # GDAL keeps names of bands or a mask beside a file. Photographs have none, and asking adds a tenth to decoding.
    if driver in ("GTiff", "PNG") and not deep:
        deep = any(os.path.lexists(f"{path}{ending}") for ending in (".aux.xml", ".msk"))
    return Header(driver, deep, orientation, premultiplied)


def _driver_of(head: bytes, path: Path) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    driver = next((driver for start, driver in _DRIVERS.items() if head.startswith(start)), None)
    if driver is None:
        # A header of ENVI's stands beside a file of bare numbers.
        beside = (path.with_suffix(".hdr"), path.with_name(path.name + ".hdr"))
        if any(header.is_file() and header.read_bytes()[:4] == b"ENVI" for header in beside):
            return "ENVI"
    return driver


def _tiff_header(file: io.BufferedReader) -> tuple[bool, int, bool]:
    """Whether a TIFF needs rasterio, how it lies, and whether its opacity is applied already."""
    try:
        tags = _tiff_tags(file)
        # Inks and Lab are Pillow's alone.
        needs_raster = not _is_plain_tiff(tags) and tags.get(262) not in (5, 8, 9)
        return needs_raster, int(tags.get(274, 1)), 1 in _as_tuple(tags.get(338, 0))
    except Exception:  # of Pillow's parser, or of values that make no sense; GDAL then says what is wrong
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
        and not too_many_pixels(tags.get(256, 0), tags.get(257, 0))
        # Blocks that were never written: Pillow would decode the file's own header in their place.
        and all(0 not in _as_tuple(tags.get(sizes, 1)) for _, sizes in STRIPS)
    )


def too_many_pixels(width: int, height: int) -> bool:
    """Whether there are more pixels than Pillow opens without a warning."""
    return Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS


def _tiff_tags(file: io.BufferedReader) -> ImageFileDirectory_v2:
    """The first directory of a TIFF, also of a kind that Pillow opens no image of; it raises much if that is broken."""
    file.seek(0)
    head = file.read(16)
    try:
        tags = ImageFileDirectory_v2(head if head[2:4] in (b"+\0", b"\0+") else head[:8])
        file.seek(tags.next)
        tags.load(file)
        return tags
    finally:
        file.seek(0)


def _as_tuple(value: Any) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def png_breaks_off(file: io.BufferedReader) -> bool:
    """Whether a PNG lacks its end."""
    size, place, kind = file.seek(0, os.SEEK_END), 8, b""
    while kind != b"IEND" and place + 12 <= size:  # of each chunk its length, kind and check sum
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        place += 12 + length
    file.seek(0)
    return kind != b"IEND" or place > size


def ends_well(file: io.BufferedReader, header: Header) -> bool:
    """Whether the end of a file is where its format says; False where that cannot be told."""
    size = os.fstat(file.fileno()).st_size
    with suppress(Exception):  # Pillow raises many kinds, also of values that make no sense; decoding tells the rest
        if header.driver == "JPEG":
            file.seek(max(0, size - len(JPEG_END)))
            return file.read() == JPEG_END
        if header.driver == "PNG":
            with Image.open(file) as image:
                image.verify()
            return True
        if header.driver == "GTiff":
            tags = _tiff_tags(file)
            offsets, sizes = next(pair for pair in STRIPS if pair[0] in tags and pair[1] in tags)
            pairs = zip(_as_tuple(tags[offsets]), _as_tuple(tags[sizes]), strict=True)
            return all(offset + length <= size for offset, length in pairs)
    return False
