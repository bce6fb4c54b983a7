"""Small files that hold large images, made here: each decodes to as much as it may, or is refused for more."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIDE = 6_320  # pixels: 39.9 million in a square, just what is opened


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """An image as a file."""
    stored = io.BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


def deep_png(side: int, channels: int) -> bytes:
    """A PNG of 16 bits a channel, all of one value, which Pillow itself writes in gray alone."""
    color = {1: 0, 3: 2, 4: 6}[channels]
    row = b"\0" + struct.pack(">H", 40_000) * channels * side
    packer = zlib.compressobj(9)
    content = b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()])

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", side, side, 16, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def turned() -> Image.Exif:
    """What a camera that was held upright writes."""
    exif = Image.Exif()
    exif[274] = 6
    return exif


# Name of the file: what makes it with a side in pixels.
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "deep-gray.png": lambda side: deep_png(side, 1),
    "deep-colors.png": lambda side: deep_png(side, 4),
    "clear.png": lambda side: encoded(Image.new("RGBA", (side, side), (9, 9, 9, 9)), "png"),
    "palette.gif": lambda side: encoded(Image.new("P", (side, side)), "gif", transparency=0),
    "turned.jpg": lambda side: encoded(
        Image.new("RGB", (side, side), "gray"), "jpeg", progressive=True, exif=turned(), subsampling=0
    ),
    "print.jpg": lambda side: encoded(Image.new("CMYK", (side, side)), "jpeg", progressive=True),
    "floats.tif": lambda side: encoded(Image.new("F", (side, side)), "tiff", compression="tiff_deflate"),
    "deep-gray.tif": lambda side: encoded(
        Image.fromarray(np.full((side, side), 40_000, np.uint16)), "tiff", compression="tiff_deflate"
    ),
    "strip.tif": lambda side: encoded(
        Image.new("RGBA", (side, side)), "tiff", compression="tiff_deflate", tiffinfo={278: side, 274: 6}
    ),
    "canvas.webp": lambda side: encoded(Image.new("RGBA", (side, side), (9, 9, 9, 9)), "webp", quality=10, method=0),
}
