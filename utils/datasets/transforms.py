"""From decoded images to the pixels that a model takes: resizing, normalization, and random views for training.

Pillow does it, as in OpenAI's CLIP, in open_clip, and in torchvision's transforms of Pillow images. Those are not used:
they draw from a generator that threads share, where here each record has its own, and torch would take 0.5 GB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from utils.choices import AUGMENTATIONS
from utils.datasets.images.stretch import ImageError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

# The shorter side is resized to the model's size: an image of 1 x 1,000,000 would grow beyond any memory.
LARGEST_ASPECT_RATIO = 100
# The published training cut this many pixels out of RSICD's 224.
PUBLISHED_CROP, PUBLISHED_SIZE = 179, 224

# The least share of an image's area that a crop of an augmentation from above shows, and how far its colors move.
SMALLEST_CROP = {"aerial": 0.8, "zoom": 0.3}
COLOR_JITTER = 0.2

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


@dataclass(frozen=True)
class ImagePreprocessing:
    """What a CLIP model expects of its input pixels."""

    image_size: int = 224  # height and width in pixels
    mean: tuple[float, float, float] = CLIP_MEAN  # of the channels R, G, B, on the scale 0 to 1
    std: tuple[float, float, float] = CLIP_STD
    squash: bool = False  # oblong images are pressed into the square; otherwise its center is cut out of them


def eval_transform(image: Image.Image, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Resizes the shorter side (bicubic, antialiased), crops the center and normalizes, as CLIP's own does.

    Returns (image_size, image_size, 3) float32. An extreme aspect ratio is an `ImageError`: the square in the center
    would show nothing of the image.
    """
    return normalize_pixels(square(image, preprocessing.image_size, preprocessing.squash), preprocessing)


def square(image: Image.Image, size: int, squash: bool) -> Image.Image:
    """An image as a square of ``size`` pixels: its center, or with ``squash`` all of it; see `eval_transform`."""
    if max(image.size) > LARGEST_ASPECT_RATIO * min(image.size):
        raise ImageError(
            f"The image is {image.width:,} pixels wide and {image.height:,} high, an aspect ratio so extreme that its "
            "center shows nothing of it; cut it into parts."
        )
    if squash or image.width == image.height:
        return _resized(image, (size, size))
    shorter = min(image.size)
    image = _resized(image, (image.width * size // shorter, image.height * size // shorter))
    # Half a pixel too much goes to the bottom right, as in transformers (torchvision's own rounds).
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def normalize_pixels(image: Image.Image, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Turns an RGB image into normalized float32 (height, width, 3)."""
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (preprocessing.mean, preprocessing.std))
    # A channel after the other, in memory too, is twice as fast as all three of a pixel at a time.
    values = np.divide(np.asarray(image).transpose(2, 0, 1), 255, dtype=np.float32, order="C")
    values -= mean
    values /= std
    return np.ascontiguousarray(values.transpose(1, 2, 0))


def train_transform(
    image: Image.Image, preprocessing: ImagePreprocessing, augmentation: str, generator: np.random.Generator
) -> np.ndarray:
    """Applies one random draw of an augmentation, then normalizes: (image_size, image_size, 3) float32.

    ``none`` is `eval_transform`. ``published`` is CLIP-rsicd's, see `published_view`. ``aerial`` keeps what stays true
    from above: a crop of 80 to 100 % of the area, both flips, quarter turns (an image taken from above has no up), and
    a jitter of brightness, contrast and saturation by up to 20 %. ``zoom`` is the same with crops from 30 % of the area
    on: for a model that starts from nothing and has to learn that things come in many sizes. Where the model squashes
    oblong images, each augmentation squashes them too, and crops are parts of the squashed image. Any other is a
    ValueError.
    """
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"The augmentation {augmentation!r} is not one of {', '.join(AUGMENTATIONS)}.")
    if augmentation == "none":
        return eval_transform(image, preprocessing)
    if augmentation in SMALLEST_CROP:
        view = _aerial_view(image, preprocessing, SMALLEST_CROP[augmentation], generator)
        return normalize_pixels(view, preprocessing)
    if preprocessing.squash and image.width != image.height:
        image = _resized(image, (PUBLISHED_SIZE, PUBLISHED_SIZE))
    draw = draw_published(image.height, image.width, generator)
    return normalize_pixels(published_view(image, draw, preprocessing.image_size), preprocessing)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image in a size of (width, height): bicubic, antialiased."""
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _cropped(image: Image.Image, box: Box) -> Image.Image:
    """Cuts a box out. Pillow could resize a box of an image, but then what lies beside it colors its edge."""
    top, left, height, width = box
    return image.crop((left, top, left + width, top + height))


def _flipped(image: Image.Image, left_right: bool, top_bottom: bool) -> Image.Image:
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if left_right else image
    return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if top_bottom else image


def _aerial_view(
    image: Image.Image, preprocessing: ImagePreprocessing, smallest_crop: float, generator: np.random.Generator
) -> Image.Image:
    """One draw of ``aerial`` or ``zoom``: an image of the model's size."""
    side = preprocessing.image_size
    box = _random_crop_box(image.height, image.width, smallest_crop, generator, preprocessing.squash)
    image = _resized(_cropped(image, box), (side, side))
    image = _flipped(image, generator.random() < 0.5, generator.random() < 0.5)
    image = image.rotate(90 * int(generator.integers(4)))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(generator.uniform(1 - COLOR_JITTER, 1 + COLOR_JITTER))
    return image


def _random_crop_box(height: int, width: int, smallest: float, generator: np.random.Generator, squash: bool) -> Box:
    """Draws a box of 3:4 to 4:3 and of at least the ``smallest`` share of the area, clipped to the image.

    It is drawn as RandomResizedCrop does. For a model that squashes images, the aspect ratio is that
    in the square that the image is pressed into.
    """
    share = generator.uniform(smallest, 1.0)
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


def published_view(image: Image.Image, draw: PublishedDraw, image_size: int) -> Image.Image:
    """Returns what CLIP-rsicd's training saw of an image, a square of ``image_size`` pixels.

    The published list is RandomCrop(179), ColorJitter(), RandomHorizontalFlip(0.5), RandomVerticalFlip(0.5),
    RandomResizedCrop(179, scale=(0.8, 1.2), ratio=(1, 1)), Resize(224, bicubic), CenterCrop(224). Three parts of
    it are dead: ColorJitter without arguments changes nothing, no scale above 1 can happen, and the center crop
    finds a square of its own size. Together the crops show 58 % of an RSICD image, never all of it.
    """
    side = draw.first_crop[2]
    image = _flipped(_cropped(image, draw.first_crop), *draw.flips)
    image = _cropped(image, draw.second_crop).resize((side, side), Image.Resampling.BILINEAR)
    return _resized(image, (image_size, image_size))
