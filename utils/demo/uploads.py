"""Pictures that strangers send: measured by their header first, decoded only where that is safe, one at a time.

A small file can hold a large picture, and a conversion of a large picture several copies of it. So a picture is
refused by what its decoder would take, decoded as it is stored, made smaller piece by piece, and only then
converted and turned.
"""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from utils.datasets import ImageError, ImageReading, to_rgb
from utils.datasets.images.rasters import open_dataset
from utils.datasets.images.reading import AS_STORED, Header, open_raster, open_regular, read_header

MAX_BYTES = 20 * 2**20  # of an uploaded file
MAX_PIXELS = 40_000_000
MAX_SIDE = 16_384
MIN_SIDE = 8  # pixels; less shows nothing
MAX_DECODED = 440 * 10**6  # bytes that a decoder may take at once
# Pillow's other decoders are rarely needed, and each is one more for a hostile file to try. With each, the bytes
# that it takes for a pixel, measured: 4 are the picture; progressive JPEG keeps every coefficient until the end,
# TIFF turns what it decoded into a copy, and WebP is decoded onto three canvases.
FORMATS = {"BMP": 5, "GIF": 6, "JPEG": 11, "PNG": 5, "TIFF": 8, "WEBP": 21}
NAMES = "a JPEG, PNG, WebP, GIF, BMP or TIFF picture"
RASTERS = ("GTiff", "PNG")  # GDAL's names of formats that are opened here, too
FOUR_BANDS = ("RGBA", "RGBa", "LA")  # the last of a TIFF may be infrared
BITS_PER_SAMPLE = 258  # the TIFF tag
ORIENTATION = 274  # the EXIF tag
MOST_SCANS = 100  # of a progressive JPEG; usual are ten, and each goes over the whole picture
STRIP_PIXELS = 2**20  # that are converted at a time


@dataclass(frozen=True)
class Upload:
    """A stranger's picture as it is worked with.

    Attributes:
        picture: Upright, RGB, perhaps smaller than what was sent.
        factor: How many pixels of what was sent, in each direction, one of these is.
        size: Width and height of what was sent, upright.
        content: What the file holds, as its SHA-256.
    """

    picture: Image.Image
    factor: int
    size: tuple[int, int]
    content: bytes


@dataclass(frozen=True)
class Reader:
    """Decodes strangers' pictures one after the other.

    Attributes:
        thread: The only one in which pictures are decoded. Several would each keep memory for the next picture.
    """

    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "pictures"))

    def read(self, path: Path, most_pixels: int, reading: ImageReading) -> Upload:
        """See `read_upload`."""
        return self.thread.submit(read_upload, path, most_pixels, reading).result()


def uploaded_path(payload: Any) -> Path:
    """The file behind what the browser sends for a picture.

    Args:
        payload: Gradio's description of an uploaded file, or None.

    Raises:
        ImageError: If there is none, or it does not lie where uploads do.
    """
    from gradio.utils import get_upload_folder

    if not payload:
        raise ImageError(f"There is no picture yet: drop {NAMES} on the field, or paste one.")
    named = payload.get("path") if isinstance(payload, dict) else getattr(payload, "path", None)
    if not isinstance(named, str) or not is_inside(named, get_upload_folder()):
        raise ImageError("The picture was not uploaded to this page; send the file itself.")
    return Path(named)


def is_inside(path: Any, folder: str | Path) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (TypeError, ValueError, OSError, RuntimeError):
        return False


def read_upload(path: Path, most_pixels: int = MAX_PIXELS, reading: ImageReading = AS_STORED) -> Upload:
    """Decodes a stranger's picture to RGB, upright, by the rules of `utils.datasets.read_image`.

    Of an animation it is the first picture. Whatever a hostile file makes a decoder say, the answer is one sentence.

    Args:
        path: The file.
        most_pixels: A picture of more is made smaller by a power of two, each pixel the mean of those in its place.
        reading: The range of values and the bands of deep pictures that this one is compared with.

    Raises:
        ImageError: If the file is no picture, broken, or larger than is safe or smaller than makes sense.
    """
    try:
        with open_regular(path) as (file, _, _):
            content = file_digest(file, "sha256").digest()
            file.seek(0)
            header = read_header(file, path)
            if header.needs_raster and header.driver in RASTERS:
                return Upload(*_decode_raster(file, path, header, most_pixels, reading), content)
            with Image.open(file, formats=tuple(FORMATS)) as image:
                check_size(*image.size)
                if image.format == "TIFF" and image.mode in FOUR_BANDS:
                    return Upload(*_decode_raster(file, path, header, most_pixels, reading), content)
                check_decoder(image, path)
                return Upload(*_decode(image, most_pixels), content)
    except ImageError as error:
        if path.exists():
            raise ImageError(str(error).replace(str(path), "The picture")) from None
        raise ImageError("The picture is no longer kept here; send it again.") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large("far more pixels than that")) from None
    except UnidentifiedImageError:
        raise ImageError(f"The file is not {NAMES}; send another one.") from None
    except Exception:
        raise ImageError("The picture is broken or of a rare kind and cannot be decoded; send another one.") from None


def check_size(width: int, height: int) -> None:
    """Refuses a picture by its header.

    Raises:
        ImageError: If it is too large to be decoded for a stranger, or too small to show anything.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(_too_large(f"{width:,} x {height:,} pixels"))
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The picture has {width:,} x {height:,} pixels; it needs at least {MIN_SIDE} in each direction to "
            "show anything."
        )


def check_decoder(image: Image.Image, path: Path) -> None:
    """Refuses a picture for what its decoder would take.

    Args:
        image: The picture, opened and not yet decoded.
        path: Its file.

    Raises:
        ImageError: If that is more memory than `MAX_DECODED`, or a JPEG goes over the picture again and again.
    """
    each = FORMATS[image.format]
    if image.format == "TIFF":  # one strip may hold all of the picture, beside what is made of it
        bits = image.tag_v2.get(BITS_PER_SAMPLE, (8,))
        each += sum(bits if isinstance(bits, tuple) else (bits,)) / 8
    most = int(MAX_DECODED / each)
    if image.width * image.height > most:
        raise ImageError(
            f"The picture has {image.width:,} x {image.height:,} pixels; of a {image.format} file of its kind up "
            f"to {most / 1e6:.0f} million are opened here: send a smaller one, or a JPEG."
        )
    if image.format == "JPEG" and _scans(path) > MOST_SCANS:
        raise ImageError(f"The picture is stored in more than {MOST_SCANS} scans; save it anew and send that.")


def _scans(path: Path) -> int:
    """How often a JPEG file's marker "start of scan" is in it; in the picture's own bytes it cannot be."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        count, place = 0, content.find(b"\xff\xda")
        while place >= 0 and count <= MOST_SCANS:
            count, place = count + 1, content.find(b"\xff\xda", place + 2)
    return count


def _decode_raster(
    file: BufferedReader, path: Path, header: Header, most_pixels: int, reading: ImageReading
) -> tuple[Image.Image, int, tuple[int, int]]:
    """The first three attributes of an `Upload` of more than 8 bits or other than three bands."""
    with open_dataset(path, header.driver, "The picture") as dataset:
        check_size(dataset.width, dataset.height)
        each = sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
        most = MAX_DECODED // each  # one strip or tile may hold all of the picture
        if dataset.width * dataset.height > most:
            raise ImageError(
                f"The picture has {dataset.width:,} x {dataset.height:,} pixels of {each} bytes; of such up to "
                f"{most / 1e6:.0f} million are opened here: send a smaller one."
            )
    with open_raster(file, path, "The picture", reading, header) as raster:
        factor = _factor(raster.size, most_pixels)
        colors, _ = raster.read((0, 0, *raster.size), -(-max(raster.size) // factor))
        return Image.fromarray(colors), factor, raster.size


def _factor(size: tuple[int, int], most_pixels: int) -> int:
    """The power of two by which a picture of a size is made smaller."""
    factor = 1
    while size[0] * size[1] > most_pixels * factor**2:
        factor *= 2
    return factor


def _decode(image: Image.Image, most_pixels: int) -> tuple[Image.Image, int, tuple[int, int]]:
    """The first three attributes of an `Upload`."""
    size, factor = image.size, _factor(image.size, most_pixels)
    if factor > 1:
        image.draft(None, (size[0] // factor, size[1] // factor))  # JPEG alone can decode to less
    image.load()
    left = max(1, factor // max(1, round(size[0] / image.width))) if image.format == "JPEG" else factor
    orientation = image.getexif().get(ORIENTATION)  # a TIFF was turned in loading, and says so no more
    if image.format == "TIFF":
        size = image.size
    if orientation not in range(2, 9):
        return _reduced(image, left), factor, size
    return _turned(_reduced(image, left), orientation), factor, size[::-1] if orientation > 4 else size


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """A decoded picture in RGB, made smaller by a factor, strip by strip, so that nothing large is there twice."""
    size = (-(-image.width // factor), -(-image.height // factor))
    reduced = Image.new("RGB", size)
    rows = max(1, STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        strip = to_rgb(image.crop((0, top, image.width, min(top + rows, image.height))))
        reduced.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return reduced


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    """A picture set upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture.info["exif"] = exif.tobytes()
    upright = ImageOps.exif_transpose(picture)
    upright.info.pop("exif", None)
    return upright


def _too_large(size: str) -> str:
    return (
        f"The picture has {size}; up to {MAX_PIXELS // 1_000_000} million pixels and {MAX_SIDE:,} a side are "
        "opened here: send a smaller one."
    )
