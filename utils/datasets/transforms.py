"""From decoded pictures to the pixels that a model takes: resizing, normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets.images.errors import ImageError

if TYPE_CHECKING:
    import torch
    from PIL import Image


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The shorter side is resized to the model's size: a picture of 1 x 1,000,000 would grow beyond any memory.
LONGEST_SHAPE = 100


@dataclass(frozen=True)
class ImagePreprocessing:
    """What a CLIP model expects of its input pixels.

    Attributes:
        image_size: Height and width in pixels.
        mean: Channel means (R, G, B), on the scale 0 to 1.
        std: Channel standard deviations (R, G, B), on the scale 0 to 1.
        squash: Whether oblong pictures are pressed into the square; by default its center is cut out of them.
    """

    image_size: int = 224
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    squash: bool = False


def image_to_tensor(image: Image.Image) -> torch.Tensor:
    """Turns an RGB picture into a uint8 tensor of shape (3, height, width)."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def eval_transform(image: Image.Image, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Resizes the shorter side (bicubic, antialiased), crops the center and normalizes, as CLIP's own does.

    Args:
        image: An RGB picture of any size.
        preprocessing: Size, mean and deviation that the model expects.

    Returns:
        Pixels, (image_size, image_size, 3) float32.

    Raises:
        ImageError: If the picture is a thread, of which the square in the center would show nothing.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    if max(image.size) > LONGEST_SHAPE * min(image.size):
        raise ImageError(
            f"The picture is {image.width:,} pixels wide and {image.height:,} high, a thread whose center says "
            "nothing of it; cut it into pieces."
        )
    size = preprocessing.image_size
    pixels = image_to_tensor(image)
    if tuple(pixels.shape[1:]) != (size, size):
        # One side is the shorter one of the result, two are both.
        sides = [size, size] if preprocessing.squash else [size]
        pixels = functional.resize(pixels, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)
        # Half a pixel too much goes to the bottom right, as in transformers (torchvision's own rounds).
        top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
        pixels = functional.crop(pixels, top, left, size, size)
    return normalize(pixels, preprocessing)


def normalize(pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Turns uint8 (3, height, width) into normalized float32 (height, width, 3)."""
    mean = np.array(preprocessing.mean, np.float32)[:, None, None]
    std = np.array(preprocessing.std, np.float32)[:, None, None]
    # A channel after the other, in memory too, is twice as fast as all three of a pixel at a time.
    values = np.divide(pixels.numpy(), 255, dtype=np.float32, order="C")
    values -= mean
    values /= std
    return np.ascontiguousarray(values.transpose(1, 2, 0))
