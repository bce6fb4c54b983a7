"""Pictures that strangers send: measured by their header first, decoded only where that is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from utils.images import ImageError, to_rgb

MAX_BYTES = 20 * 2**20  # of an uploaded file
MAX_PIXELS = 40_000_000  # decoded, 120 MB
MAX_SIDE = 16_384
MIN_SIDE = 8  # pixels; less shows nothing
# Pillow's other decoders are rarely needed, and each is one more for a hostile file to try.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
NAMES = "a JPEG, PNG, WebP, GIF, BMP or TIFF picture"


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
    if not is_inside(named, get_upload_folder()):
        raise ImageError("The picture was not uploaded to this page; send the file itself.")
    return Path(named)


def is_inside(path: Any, folder: str | Path) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (TypeError, ValueError, OSError, RuntimeError):
        return False


def read_upload(path: Path) -> Image.Image:
    """Decodes a stranger's picture to RGB, upright; of an animation its first picture.

    Whatever a hostile file makes a decoder say, the answer is one sentence.

    Raises:
        ImageError: If the file is no picture, broken, or larger than is safe or smaller than makes sense.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            check_size(*image.size)
            return to_rgb(ImageOps.exif_transpose(image))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(_too_large("far more pixels than that")) from None
    except UnidentifiedImageError:
        raise ImageError(f"The file is not {NAMES}; send another one.") from None
    except FileNotFoundError:
        raise ImageError("The picture is no longer kept here; send it again.") from None
    except Exception:
        raise ImageError(
            "The picture is broken or of a rare kind and cannot be decoded; send another one."
        ) from None


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


def _too_large(size: str) -> str:
    return (
        f"The picture has {size}; up to {MAX_PIXELS // 1_000_000} million pixels and {MAX_SIDE:,} a side are "
        "opened here: send a smaller one."
    )
