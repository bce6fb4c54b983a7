"""What people ask with, texts and images of any form, as unit vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from utils.datasets import ImageError, ImageReading, eval_transform, image_of_array, read_image, to_rgb
from utils.datasets.images.reading import AS_STORED
from utils.search.errors import SearchError

if TYPE_CHECKING:
    from utils.clip import CLIP

AnyImage = str | Path | Image.Image | np.ndarray


def embed_text(model: CLIP, text: str | Sequence[str]) -> np.ndarray:
    """Embeds a text, or the mean of several, (dim,) float32 of unit length; a `SearchError` if one is empty."""
    from utils.clip import embed_texts, unit_length

    texts = [text] if isinstance(text, str) else list(text)
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise SearchError("The text to search for is empty; write what the image shows.")
    return unit_length(embed_texts(model, texts).mean(axis=0))


def embed_image(model: CLIP, image: AnyImage, reading: ImageReading = AS_STORED) -> np.ndarray:
    """Embeds an image, (dim,) float32 of unit length; a `SearchError` if it cannot be decoded."""
    from utils.clip import embed_images

    try:
        pixels = eval_transform(_decoded(image, reading), model.preprocessing)
    except ImageError as error:
        raise SearchError(f"This is not an image to search with: {error}") from None
    return embed_images(model, [{"images": pixels[None]}])[0]


def mix(text: np.ndarray, image: np.ndarray, text_weight: float) -> np.ndarray:
    """``text_weight * text + (1 - text_weight) * image`` at unit length; a `SearchError` for a weight beyond 0 to 1."""
    from utils.clip import unit_length

    if not 0 <= text_weight <= 1:
        raise SearchError(f"text_weight is {text_weight}; it goes from 0, the image alone, to 1, the text alone.")
    return unit_length(np.float32(text_weight) * text + np.float32(1 - text_weight) * image)


def _decoded(image: AnyImage, reading: ImageReading) -> Image.Image:
    """An upright 8-bit RGB image from whatever was given; an `ImageError` says why there is none."""
    if isinstance(image, str | Path):
        return read_image(image, reading)
    if isinstance(image, np.ndarray):
        return image_of_array(image, reading)[0]
    if not isinstance(image, Image.Image):
        raise ImageError(f"a {type(image).__name__} was given; give a path, a Pillow image or an array.")
    try:
        return to_rgb(ImageOps.exif_transpose(image), reading)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it cannot be decoded ({error}); open it again.") from None
