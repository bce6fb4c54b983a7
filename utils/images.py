"""From image files to batches: decoding, torchvision transforms, and a deterministic Grain pipeline.

A batch is a dictionary of NumPy arrays. Images are NHWC float32, normalised per channel. The order of the
images, the crops, the flips and the captions drawn are functions of one seed and the position in the run:
the number of worker threads changes the speed and nothing else. torchvision's own random transforms draw from
torch's global generator, which threads would share, so each parameter is drawn here from the record's own
generator and applied with ``torchvision.transforms.v2.functional``.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    import grain
    import torch

    from utils.datasets import CaptionDataset

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

AUGMENTATIONS = ("none", "published", "aerial")
CAPTION_CHOICES = ("one", "all")

# The shorter side is resized to the model's size: a picture of 1 x 1,000,000 would grow beyond any memory.
LONGEST_SHAPE = 100

# The published training cut this many pixels out of RSICD's 224.
PUBLISHED_CROP, PUBLISHED_SIZE = 179, 224


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
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as image:
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
    except (OSError, SyntaxError, ValueError) as error:
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


def train_transform(
    image: Image.Image, preprocessing: ImagePreprocessing, augmentation: str, generator: np.random.Generator
) -> np.ndarray:
    """Applies one random draw of an augmentation, then normalises.

    ``none`` is the evaluation transform. ``published`` is CLIP-rsicd's, see `published_view`. ``aerial`` keeps
    what stays true from above: a crop of 80 to 100 % of the area, both flips, quarter turns (a picture taken
    from above has no up), and a jitter of brightness, contrast and saturation by up to 20 %.

    Args:
        image: An RGB picture of any size.
        preprocessing: Size, mean and deviation that the model expects.
        augmentation: One of `AUGMENTATIONS`.
        generator: The source of every random number used here.

    Returns:
        Pixels, (image_size, image_size, 3) float32.
    """
    if augmentation == "none":
        return eval_transform(image, preprocessing)
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    pixels = image_to_tensor(image)
    if augmentation == "published":
        draw = draw_published(pixels.shape[1], pixels.shape[2], generator)
        return normalize(published_view(pixels, draw, preprocessing.image_size), preprocessing)
    top, left, height, width = _random_crop_box(pixels.shape[1], pixels.shape[2], (0.8, 1.0), generator)
    size = [preprocessing.image_size] * 2
    pixels = functional.resized_crop(
        pixels, top, left, height, width, size, interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    if generator.random() < 0.5:
        pixels = functional.horizontal_flip(pixels)
    if generator.random() < 0.5:
        pixels = functional.vertical_flip(pixels)
    pixels = pixels.rot90(int(generator.integers(4)), dims=(1, 2))
    brightness, contrast, saturation = generator.uniform(0.8, 1.2, size=3)
    pixels = functional.adjust_brightness(pixels, brightness)
    pixels = functional.adjust_contrast(pixels, contrast)
    pixels = functional.adjust_saturation(pixels, saturation)
    return normalize(pixels, preprocessing)


def _random_crop_box(
    height: int, width: int, area: tuple[float, float], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draws a square-ish box of a share of the area: top, left, height, width in pixels.

    The aspect ratio of the box is drawn between 3:4 and 4:3, as torchvision's RandomResizedCrop does; a box
    that would stick out is clipped to the picture.
    """
    target = generator.uniform(*area) * height * width
    ratio = np.exp(generator.uniform(np.log(3 / 4), np.log(4 / 3)))
    box_width = min(width, round(np.sqrt(target * ratio)))
    box_height = min(height, round(np.sqrt(target / ratio)))
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
    it are dead: ColorJitter without arguments changes nothing, no scale above 1 can happen, and the centre crop
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


def normalize(pixels: torch.Tensor, preprocessing: ImagePreprocessing) -> np.ndarray:
    """Turns uint8 (3, height, width) into normalised float32 (height, width, 3)."""
    values = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy(), dtype=np.float32)
    mean = np.asarray(preprocessing.mean, np.float32)
    std = np.asarray(preprocessing.std, np.float32)
    return (values / 255 - mean) / std


def caption_table(dataset: CaptionDataset) -> tuple[list[str], np.ndarray]:
    """Numbers the distinct captions, so that equal texts, under whatever image, share a number.

    Returns:
        The distinct captions, and for each image the numbers of its distinct captions, (images, most captions)
        int32 with -1 behind the last.
    """
    numbers: dict[str, int] = {}
    rows = [
        [numbers.setdefault(caption, len(numbers)) for caption in dict.fromkeys(item.captions)]
        for item in dataset
    ]
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return list(numbers), table


def train_batches(
    dataset: CaptionDataset,
    preprocessing: ImagePreprocessing,
    tokenize: Callable[[Sequence[str]], np.ndarray],
    *,
    batch_size: int,
    epochs: int,
    seed: int,
    augmentation: str = "aerial",
    captions: str = "one",
    workers: int = 2,
) -> grain.DatasetIterator:
    """Builds the training stream: one caption drawn for each image at each visit, or each caption in turn.

    Every epoch is a new permutation of the records, cut to whole batches. The iterator's ``get_state`` and
    ``set_state`` make it resumable.

    Args:
        dataset: Images, each with at least one caption.
        preprocessing: Size, mean and deviation that the model expects.
        tokenize: Turns texts into token ids, (texts, length) int32.
        batch_size: Pairs in a batch.
        epochs: Passes over the records.
        seed: Governs the order, the augmentation and the captions drawn.
        augmentation: One of `AUGMENTATIONS`.
        captions: ``one``: a record is an image, and one of its captions is drawn at each visit. ``all``: a
            record is an image with one of its captions, so an image comes once for each caption in an epoch,
            repeated captions included, as published.
        workers: Threads that decode and transform.

    Returns:
        An iterator of ``images`` (batch, size, size, 3) float32, ``tokens`` (batch, length) int32,
        ``caption_ids`` (batch,) int32, equal for equal captions, ``caption_sets`` (batch, most captions) int32,
        every caption of the image, padded with -1, and ``index`` (batch,) int64, the position in the data set.

    Raises:
        ValueError: If an argument cannot work; the sentence says which.
    """
    import grain

    _check_train_arguments(dataset, batch_size, epochs, augmentation, captions)
    texts, caption_sets = caption_table(dataset)
    position = {text: number for number, text in enumerate(texts)}
    tokens = tokenize(texts)
    # Every record knows its own caption: images may have different numbers of them.
    pairs = [(index, caption) for index, item in enumerate(dataset) for caption in item.captions]

    def load(record: int, generator: np.random.Generator) -> dict[str, Any]:
        index, caption = pairs[int(record)] if captions == "all" else (record, None)
        item = dataset[int(index)]
        caption_id = position[caption if caption is not None else generator.choice(item.captions)]
        return {
            "images": train_transform(read_image(item.path), preprocessing, augmentation, generator),
            "tokens": tokens[caption_id],
            "caption_ids": np.int32(caption_id),
            "caption_sets": caption_sets[index],
            "index": np.int64(index),
        }

    count = _records(dataset, captions)
    whole_batches = count // batch_size * batch_size
    records = grain.MapDataset.range(count).seed(seed).shuffle()[:whole_batches]
    stream = records.repeat(epochs).random_map(load).to_iter_dataset(_read_options(workers, batch_size))
    return iter(stream.batch(batch_size, drop_remainder=True))


def steps_per_epoch(dataset: CaptionDataset, batch_size: int, captions: str = "one") -> int:
    """Whole batches in one pass over the records of `train_batches`."""
    return _records(dataset, captions) // batch_size


def _records(dataset: CaptionDataset, captions: str) -> int:
    return sum(len(item.captions) for item in dataset) if captions == "all" else len(dataset)


def eval_batches(
    dataset: CaptionDataset,
    preprocessing: ImagePreprocessing,
    *,
    batch_size: int = 64,
    workers: int = 2,
    unreadable: dict[int, str] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields every image once, in order, the last batch padded with repeats of its last image.

    Args:
        dataset: The images.
        preprocessing: Size, mean and deviation that the model expects.
        batch_size: Images in a batch.
        workers: Threads that decode and transform.
        unreadable: Receives the position and the reason of each image that cannot be decoded, before its batch
            comes. Without it, such an image raises an `ImageError`.

    Yields:
        ``images`` (batch, size, size, 3) float32, ``index`` (batch,) int64, ``mask`` (batch,) bool, False for
        padding and for what is unreadable.
    """
    import grain

    blank = np.zeros((preprocessing.image_size, preprocessing.image_size, 3), np.float32)

    def load(index: int) -> dict[str, Any]:
        try:
            return {
                "images": eval_transform(read_image(dataset[int(index)].path), preprocessing),
                "index": index,
                "mask": True,
            }
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable[int(index)] = str(error)
            return {"images": blank, "index": index, "mask": False}

    records = grain.MapDataset.range(len(dataset)).map(load)
    for batch in records.to_iter_dataset(_read_options(workers, batch_size)).batch(batch_size):
        count = len(batch["index"])
        padding = batch_size - count
        mask = np.pad(batch["mask"], (0, padding))
        yield {
            name: np.pad(a, [(0, padding)] + [(0, 0)] * (a.ndim - 1), "edge") for name, a in batch.items()
        } | {"mask": mask}


def _read_options(workers: int, batch_size: int) -> grain.ReadOptions:
    """Two batches ahead are enough to hide decoding, and keep memory bounded."""
    import grain

    return grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * batch_size)


def _check_train_arguments(
    dataset: CaptionDataset, batch_size: int, epochs: int, augmentation: str, captions: str
) -> None:
    if augmentation not in AUGMENTATIONS:
        raise ValueError(f"The augmentation {augmentation!r} is none of {', '.join(AUGMENTATIONS)}.")
    if captions not in CAPTION_CHOICES:
        raise ValueError(f"The choice of captions {captions!r} is none of {', '.join(CAPTION_CHOICES)}.")
    bare = [item.name for item in dataset if not item.captions]
    if bare:
        raise ValueError(
            f"{len(bare)} images have no caption to train on, the first is {bare[0]}; leave them out."
        )
    records, kind = _records(dataset, captions), "pairs" if captions == "all" else "images"
    if not 1 <= batch_size <= records:
        raise ValueError(
            f"A batch of {batch_size} {kind} cannot be drawn from {records}; "
            f"choose a batch size between 1 and the number of {kind}."
        )
    if epochs < 1:
        raise ValueError(f"Training needs at least one epoch, not {epochs}.")
