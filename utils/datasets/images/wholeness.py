"""Whether a picture's file is whole, told without decoding it: what breaks off in a download lacks its end."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image

from utils.datasets.images.errors import ImageError
from utils.datasets.images.reading import Header, open_regular, read_header, read_image, tiff_tags

JPEG_END = b"\xff\xd9"
OFFSETS, SIZES = ((273, 324), (279, 325))  # TIFF's tags of where its strips, or its tiles, lie and how long they are


def damage(path: str | Path) -> str:
    """What is wrong with a file; empty if it is whole.

    A JPEG or TIFF that ends where its format says, and a PNG whose check sums are right, are taken for whole without
    being decoded: a data set of ten thousand is looked through in a second. Any other is decoded.
    """
    try:
        with open_regular(path) as (file, place, _):
            if _ends_well(file, read_header(file, place)):
                return ""
        read_image(path)
    except ImageError as error:
        return error.reason
    return ""


def _ends_well(file: io.BufferedReader, header: Header) -> bool:
    """Whether the end of a file is where its format says; False where that cannot be told."""
    size = os.fstat(file.fileno()).st_size
    if header.driver == "JPEG":
        file.seek(max(0, size - len(JPEG_END)))
        return file.read() == JPEG_END
    if header.driver == "PNG":
        return _sums_are_right(file)
    return header.driver == "GTiff" and _strips_are_there(file, size)


def _strips_are_there(file: io.BufferedReader, size: int) -> bool:
    """Whether all strips or tiles of a TIFF end within the file."""
    try:
        tags = tiff_tags(file)
        for offsets, sizes in zip(OFFSETS, SIZES, strict=True):
            if offsets in tags and sizes in tags:
                pairs = zip(_as_tuple(tags[offsets]), _as_tuple(tags[sizes]), strict=True)
                return all(offset + length <= size for offset, length in pairs)
    except Exception:  # of values that make no sense; decoding tells what is wrong
        return False
    return False


def _sums_are_right(file: io.BufferedReader) -> bool:
    """Whether each part of a PNG has the check sum that stands in it."""
    try:
        with Image.open(file) as image:
            image.verify()
    except Exception:  # Pillow's plug-ins raise many kinds; decoding tells what is wrong
        return False
    return True


def _as_tuple(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
