"""From image files to the pixels that a model takes: decoding, resizing, normalisation."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    import torch


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The shorter side is resized to the model's size: a picture of 1 x 1,000,000 would grow beyond any memory.
LONGEST_SHAPE = 100


class ImageError(ValueError):
    """A file that cannot be decoded as a picture; the message names it."""


@dataclass(frozen=True)
class ImagePreprocessing:
    """What a CLIP model expects of its input pixels.

    Attributes:
        image_size: Height and width in pixels.
        mean: Channel means (R, G, B), on the scale 0 to 1.
        std: Channel standard deviations (R, G, B), on the scale 0 to 1.
    """

    image_size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


def read_image(path: str | Path | bytes) -> Image.Image:
    """Decodes a picture to 8-bit RGB, upright.

    EXIF turns are applied; grey, palette, CMYK and alpha images are converted (what is transparent becomes
    black, as pixels without data are drawn in maps); 16-bit values are scaled from their full range.

    Args:
        path: The image file, or its content.

    Returns:
        A picture of mode RGB.

    Raises:
        ImageError: If the file is missing, truncated, too large to be honest, or no picture at all.
    """
    source, name = (io.BytesIO(path), "What was given") if isinstance(path, bytes) else (path, path)
    try:
        with Image.open(source) as image:
            limit, pixels = Image.MAX_IMAGE_PIXELS, image.width * image.height
            if limit is not None and pixels > limit:  # here Pillow only warns
                raise Image.DecompressionBombError(f"{pixels:,}, where the limit is {limit:,}")
            return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise ImageError(
            f"There is no image file at {path}; check the folder and the file's ending."
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"{name} holds more pixels than is safe to decode at once ({error}).") from None
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is in no format that can be decoded as a picture; replace or remove it."
        ) from None
    except Exception as error:  # Pillow's plug-ins raise many kinds: OSError, SyntaxError, struct.error, ...
        raise ImageError(f"{name} cannot be decoded as a picture ({error}); replace or remove it.") from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a picture of any Pillow mode to 8-bit RGB (see `read_image`)."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float32)
        return Image.fromarray(np.clip(values / 257 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return image.convert("RGB")


def image_to_tensor(image: Image.Image) -> torch.Tensor:
    """Turns an RGB picture into a uint8 tensor of shape (3, height, width)."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def eval_transform(image: Image.Image, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Resizes the shorter side (bicubic, antialiased), crops the centre and normalises, as CLIP's own does.

    Args:
        image: An RGB picture of any size.
        preprocessing: Size, mean and deviation that the model expects.

    Returns:
        Pixels, (image_size, image_size, 3) float32.

    Raises:
        ImageError: If the picture is a thread, of which the square in the centre would show nothing.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    if max(image.size) > LONGEST_SHAPE * min(image.size):
        raise ImageError(
            f"The picture is {image.width:,} pixels wide and {image.height:,} high, a thread whose centre says "
            "nothing of it; cut it into pieces."
        )
    size = preprocessing.image_size
    pixels = image_to_tensor(image)
    if tuple(pixels.shape[1:]) != (size, size):
        pixels = functional.resize(pixels, [size], interpolation=InterpolationMode.BICUBIC, antialias=True)
        # Half a pixel too much goes to the bottom right, as in transformers (torchvision's own rounds).
        top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
        pixels = functional.crop(pixels, top, left, size, size)
    return normalize(pixels, preprocessing)


def normalize(pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Turns uint8 (3, height, width) into normalised float32 (height, width, 3)."""
    mean = np.array(preprocessing.mean, np.float32)[:, None, None]
    std = np.array(preprocessing.std, np.float32)[:, None, None]
    # A channel after the other, in memory too, is twice as fast as all three of a pixel at a time.
    values = np.divide(pixels.numpy(), 255, dtype=np.float32, order="C")
    values -= mean
    values /= std
    return np.ascontiguousarray(values.transpose(1, 2, 0))
