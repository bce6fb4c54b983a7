"""From decoded images to the pixels that a model takes: resizing, normalization, and random views for training.

torchvision's random transforms draw from a generator that threads share, so each parameter is drawn here from the
record's own and applied with ``torchvision.transforms.v2.functional``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from utils.choices import AUGMENTATIONS
from utils.datasets.images.stretch import ImageError

if TYPE_CHECKING:
    import torch
    from PIL import Image

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The shorter side is resized to the model's size: an image of 1 x 1,000,000 would grow beyond any memory.
LARGEST_ASPECT_RATIO = 100
# The published training cut this many pixels out of RSICD's 224.
PUBLISHED_CROP, PUBLISHED_SIZE = 179, 224

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


@dataclass(frozen=True)
class ImagePreprocessing:
    """What a CLIP model expects of its input pixels."""

    image_size: int = 224  # height and width in pixels
    mean: tuple[float, float, float] = CLIP_MEAN  # of the channels R, G, B, on the scale 0 to 1
    std: tuple[float, float, float] = CLIP_STD
    squash: bool = False  # oblong images are pressed into the square; otherwise its center is cut out of them


def image_to_tensor(image: Image.Image) -> torch.Tensor:
    """Turns an RGB image into uint8 (3, height, width)."""
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def eval_transform(image: Image.Image, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Resizes the shorter side (bicubic, antialiased), crops the center and normalizes, as CLIP's own does.

    Returns (image_size, image_size, 3) float32. An extreme aspect ratio is an `ImageError`: the square in the center
    would show nothing of the image.
    """
    from torchvision.transforms.v2 import functional

    if max(image.size) > LARGEST_ASPECT_RATIO * min(image.size):
        raise ImageError(
            f"The image is {image.width:,} pixels wide and {image.height:,} high, an aspect ratio so extreme that its "
            "center shows nothing of it; cut it into parts."
        )
    size = preprocessing.image_size
    pixels = image_to_tensor(image)
    if tuple(pixels.shape[1:]) != (size, size):
        # One side is the shorter one of the result, two are both.
        pixels = _resized(pixels, [size, size] if preprocessing.squash else [size])
        # Half a pixel too much goes to the bottom right, as in transformers (torchvision's own rounds).
        top, left = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
        pixels = functional.crop(pixels, top, left, size, size)
    return normalize_pixels(pixels, preprocessing)


def normalize_pixels(pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Turns uint8 (3, height, width) into normalized float32 (height, width, 3)."""
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (preprocessing.mean, preprocessing.std))
    # A channel after the other, in memory too, is twice as fast as all three of a pixel at a time.
    values = np.divide(pixels.numpy(), 255, dtype=np.float32, order="C")
    values -= mean
    values /= std
    return np.ascontiguousarray(values.transpose(1, 2, 0))


def train_transform(
    image: Image.Image, preprocessing: ImagePreprocessing, augmentation: str, generator: np.random.Generator
) -> np.ndarray:
    """Applies one random draw of an augmentation, then normalizes: (image_size, image_size, 3) float32.

    ``none`` is `eval_transform`. ``published`` is CLIP-rsicd's, see `published_view`. ``aerial`` keeps what stays true
    from above: a crop of 80 to 100 % of the area, both flips, quarter turns (an image taken from above has no up), and
    a jitter of brightness, contrast and saturation by up to 20 %. Where the model squashes oblong images, each
    augmentation squashes them too, and crops are parts of the squashed image. Any other is a ValueError.
    """
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"The augmentation {augmentation!r} is not one of {', '.join(AUGMENTATIONS)}.")
    if augmentation == "none":
        return eval_transform(image, preprocessing)
    pixels = image_to_tensor(image)
    if augmentation == "aerial":
        return normalize_pixels(_aerial_view(pixels, preprocessing, generator), preprocessing)
    if preprocessing.squash and pixels.shape[1] != pixels.shape[2]:
        pixels = _resized(pixels, [PUBLISHED_SIZE, PUBLISHED_SIZE])
    draw = draw_published(pixels.shape[1], pixels.shape[2], generator)
    return normalize_pixels(published_view(pixels, draw, preprocessing.image_size), preprocessing)


def _resized(pixels: torch.Tensor, sides: list[int]) -> torch.Tensor:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    return functional.resize(pixels, sides, interpolation=InterpolationMode.BICUBIC, antialias=True)


def _aerial_view(
    pixels: torch.Tensor, preprocessing: ImagePreprocessing, generator: np.random.Generator
) -> torch.Tensor:
    """One draw of ``aerial``, from (3, height, width) uint8 to (3, image_size, image_size) uint8."""
    from torchvision.transforms.v2 import functional

    side = preprocessing.image_size
    box = _random_crop_box(pixels.shape[1], pixels.shape[2], generator, preprocessing.squash)
    pixels = _resized(functional.crop(pixels, *box), [side, side])
    pixels = _flipped(pixels, bool(generator.random() < 0.5), bool(generator.random() < 0.5))
    pixels = pixels.rot90(int(generator.integers(4)), dims=(1, 2))
    brightness, contrast, saturation = generator.uniform(0.8, 1.2, size=3)
    pixels = functional.adjust_brightness(pixels, brightness)
    pixels = functional.adjust_contrast(pixels, contrast)
    return functional.adjust_saturation(pixels, saturation)


def _flipped(pixels: torch.Tensor, left_right: bool, top_bottom: bool) -> torch.Tensor:
    return pixels.flip([side for side, flip in ((2, left_right), (1, top_bottom)) if flip])


def _random_crop_box(height: int, width: int, generator: np.random.Generator, squash: bool) -> Box:
    """Draws a box of 80 to 100 % of the area, of 3:4 to 4:3, clipped to the image, as RandomResizedCrop does.

    For a model that squashes images, its aspect ratio is that in the square that the image is pressed into.
    """
    share = generator.uniform(0.8, 1.0)
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    box_width = min(width, round(np.sqrt(share * (width if squash else height) * width * ratio)))
    box_height = min(height, round(np.sqrt(share * height * (height if squash else width) / ratio)))
    top = int(generator.integers(height - box_height + 1))
    left = int(generator.integers(width - box_width + 1))
    return top, left, box_height, box_width


class PublishedDraw(NamedTuple):
    """One draw of the published augmentation's parameters."""

    first_crop: Box
    flips: tuple[bool, bool]  # left and right, top and bottom
    second_crop: Box  # of the first


def draw_published(height: int, width: int, generator: np.random.Generator) -> PublishedDraw:
    """Draws the parameters of `published_view` for an image of a size in pixels, as torchvision's classes do.

    An image smaller than RSICD's 224 is cut in proportion.
    """
    side = min(PUBLISHED_CROP, max(1, round(min(height, width) * PUBLISHED_CROP / PUBLISHED_SIZE)))
    top, left = (int(generator.integers(length - side + 1)) for length in (height, width))
    first, flips = (top, left, side, side), (bool(generator.random() < 0.5), bool(generator.random() < 0.5))
    for _ in range(10):  # RandomResizedCrop draws again where a scale above 1 does not fit, and then takes the whole
        drawn = round(np.sqrt(side * side * generator.uniform(0.8, 1.2)))
        if drawn <= side:
            top, left = (int(value) for value in generator.integers(side - drawn + 1, size=2))
            return PublishedDraw(first, flips, (top, left, drawn, drawn))
    return PublishedDraw(first, flips, (0, 0, side, side))


def published_view(pixels: torch.Tensor, draw: PublishedDraw, image_size: int) -> torch.Tensor:
    """Returns what CLIP-rsicd's training saw of (3, height, width) uint8, (3, image_size, image_size) uint8.

    The published list is RandomCrop(179), ColorJitter(), RandomHorizontalFlip(0.5), RandomVerticalFlip(0.5),
    RandomResizedCrop(179, scale=(0.8, 1.2), ratio=(1, 1)), Resize(224, bicubic), CenterCrop(224). Three parts of
    it are dead: ColorJitter without arguments changes nothing, no scale above 1 can happen, and the center crop
    finds a square of its own size. Together the crops show 58 % of an RSICD image, never all of it.
    """
    from torchvision.transforms.v2 import functional

    side = draw.first_crop[2]
    pixels = _flipped(functional.crop(pixels, *draw.first_crop), *draw.flips)
    pixels = functional.resized_crop(pixels, *draw.second_crop, size=[side, side], antialias=True)
    return _resized(pixels, [image_size])
