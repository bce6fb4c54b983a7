"""Views of a training picture: none, the published list, and one that suits pictures from above.

torchvision's own random transforms draw from torch's global generator, which threads would share, so each parameter
is drawn here from the record's own generator and applied with ``torchvision.transforms.v2.functional``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from utils.choices import AUGMENTATIONS
from utils.datasets.transforms import ImagePreprocessing, eval_transform, image_to_tensor, normalize

if TYPE_CHECKING:
    import torch

# The published training cut this many pixels out of RSICD's 224.
PUBLISHED_CROP, PUBLISHED_SIZE = 179, 224


def train_transform(
    image: Image.Image, preprocessing: ImagePreprocessing, augmentation: str, generator: np.random.Generator
) -> np.ndarray:
    """Applies one random draw of an augmentation, then normalizes.

    ``none`` is the evaluation transform. ``published`` is CLIP-rsicd's, see `published_view`. ``aerial`` keeps
    what stays true from above: a crop of 80 to 100 % of the area, both flips, quarter turns (a picture taken
    from above has no up), and a jitter of brightness, contrast and saturation by up to 20 %. Where the model
    squashes oblong pictures, each augmentation squashes them too, and crops are parts of the squashed picture.

    Args:
        image: An RGB picture of any size.
        preprocessing: Size, mean and deviation that the model expects.
        augmentation: One of `AUGMENTATIONS`.
        generator: The source of every random number used here.

    Returns:
        Pixels, (image_size, image_size, 3) float32.

    Raises:
        ValueError: If there is no such augmentation.
        ImageError: Under ``none``, as `eval_transform`.
    """
    check_augmentation(augmentation)
    if augmentation == "none":
        return eval_transform(image, preprocessing)
    pixels, size = image_to_tensor(image), preprocessing.image_size
    if augmentation == "published":
        if preprocessing.squash:
            pixels = _squashed(pixels, PUBLISHED_SIZE)
        draw = draw_published(pixels.shape[1], pixels.shape[2], generator)
        return normalize(published_view(pixels, draw, size), preprocessing)
    return normalize(_aerial_view(pixels, preprocessing, generator), preprocessing)


def check_augmentation(augmentation: str) -> None:
    """Refuses what is none of `AUGMENTATIONS`, with a ValueError."""
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"The augmentation {augmentation!r} is none of {', '.join(AUGMENTATIONS)}.")


def _squashed(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Presses an oblong picture into a square, as `eval_transform` does for models that see all of it."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    if pixels.shape[1] == pixels.shape[2]:
        return pixels
    return functional.resize(pixels, [side, side], interpolation=InterpolationMode.BICUBIC, antialias=True)


def _aerial_view(
    pixels: torch.Tensor, preprocessing: ImagePreprocessing, generator: np.random.Generator
) -> torch.Tensor:
    """One draw of ``aerial``, from (3, height, width) uint8 to (3, image_size, image_size) uint8."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    side = preprocessing.image_size
    box = _random_crop_box(*pixels.shape[1:], (0.8, 1.0), generator, preprocessing.squash)
    pixels = functional.resized_crop(
        pixels, *box, size=[side, side], interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    if generator.random() < 0.5:
        pixels = functional.horizontal_flip(pixels)
    if generator.random() < 0.5:
        pixels = functional.vertical_flip(pixels)
    pixels = pixels.rot90(int(generator.integers(4)), dims=(1, 2))
    brightness, contrast, saturation = generator.uniform(0.8, 1.2, size=3)
    pixels = functional.adjust_brightness(pixels, brightness)
    pixels = functional.adjust_contrast(pixels, contrast)
    return functional.adjust_saturation(pixels, saturation)


def _random_crop_box(
    height: int, width: int, area: tuple[float, float], generator: np.random.Generator, squash: bool = False
) -> tuple[int, int, int, int]:
    """Draws a square-ish box of a share of the area: top, left, height, width in pixels.

    The aspect ratio of the box is drawn between 3:4 and 4:3, as torchvision's RandomResizedCrop does; a box
    that would stick out is clipped to the picture. For a model that squashes pictures the box is square-ish in the
    square that the picture is pressed into, so its two sides are shares of the picture's own.
    """
    share = generator.uniform(*area)
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    box_width = min(width, round(np.sqrt(share * (width if squash else height) * width * ratio)))
    box_height = min(height, round(np.sqrt(share * height * (height if squash else width) / ratio)))
    top = int(generator.integers(height - box_height + 1))
    left = int(generator.integers(width - box_width + 1))
    return top, left, box_height, box_width


@dataclass(frozen=True)
class PublishedDraw:
    """One draw of the published augmentation's parameters.

    Attributes:
        first_crop: Top, left, height, width in pixels of the picture.
        flips: Whether to mirror left and right, and top and bottom.
        second_crop: Top, left, height, width in pixels of the first crop.
    """

    first_crop: tuple[int, int, int, int]
    flips: tuple[bool, bool]
    second_crop: tuple[int, int, int, int]


def draw_published(height: int, width: int, generator: np.random.Generator) -> PublishedDraw:
    """Draws the parameters of `published_view` for a picture of a size in pixels, as torchvision's classes do.

    A picture smaller than RSICD's 224 is cut in proportion, as far as its shorter side goes.
    """
    side = min(PUBLISHED_CROP, max(1, round(min(height, width) * PUBLISHED_CROP / PUBLISHED_SIZE)))
    top, left = (int(generator.integers(length - side + 1)) for length in (height, width))
    flips = (bool(generator.random() < 0.5), bool(generator.random() < 0.5))
    return PublishedDraw((top, left, side, side), flips, _published_second_crop(side, generator))


def _published_second_crop(side: int, generator: np.random.Generator) -> tuple[int, int, int, int]:
    """RandomResizedCrop's box for scale (0.8, 1.2) and ratio (1, 1) in a square.

    A scale above 1 does not fit: torchvision draws anew, ten times, and then takes the whole.
    """
    for _ in range(10):
        drawn = round(np.sqrt(side * side * generator.uniform(0.8, 1.2)))
        if drawn <= side:
            top, left = (int(value) for value in generator.integers(side - drawn + 1, size=2))
            return top, left, drawn, drawn
    return 0, 0, side, side


def published_view(pixels: torch.Tensor, draw: PublishedDraw, image_size: int) -> torch.Tensor:
    """What CLIP-rsicd's training saw of a picture.

    The published list is RandomCrop(179), ColorJitter(), RandomHorizontalFlip(0.5), RandomVerticalFlip(0.5),
    RandomResizedCrop(179, scale=(0.8, 1.2), ratio=(1, 1)), Resize(224, bicubic), CenterCrop(224). Three parts of
    it are dead: ColorJitter without arguments changes nothing, no scale above 1 can happen, and the center crop
    finds a square of its own size. Together the crops show 58 % of an RSICD picture, never all of it.

    Args:
        pixels: (3, height, width) uint8.
        draw: The parameters.
        image_size: Height and width that the model expects, 224 where the list was written.

    Returns:
        (3, image_size, image_size) uint8.
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    pixels = functional.crop(pixels, *draw.first_crop)
    if draw.flips[0]:
        pixels = functional.horizontal_flip(pixels)
    if draw.flips[1]:
        pixels = functional.vertical_flip(pixels)
    side = draw.first_crop[2]
    pixels = functional.resized_crop(pixels, *draw.second_crop, size=[side, side], antialias=True)
    return functional.resize(pixels, [image_size], interpolation=InterpolationMode.BICUBIC, antialias=True)
