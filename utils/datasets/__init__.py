"""Images with captions: RSICD, UCM, Sydney, the miniature and your own, in one form, and their way to a model.

`load_dataset` is the door, `CaptionDataset` what comes out of it: it opens its own images, through the one reader in
`images/`, and `data_fingerprint` tells it from another. `transforms` makes a model's pixels of an image, `batches`
brings them on.
"""

from utils.datasets.batches import CAPTION_CHOICES, caption_table, eval_batches, steps_per_epoch, train_batches
from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.captions import DatasetError
from utils.datasets.images.colors import ImageError, ImageReading, ReducedImageWarning, image_of_array
from utils.datasets.images.reading import measure_reading, read_image, read_with_data, to_rgb
from utils.datasets.loading import find_dataset, load_dataset
from utils.datasets.reports import VerificationReport, data_fingerprint, reading_note, shown_reading
from utils.datasets.transforms import (
    AUGMENTATIONS,
    CLIP_MEAN,
    CLIP_STD,
    ImagePreprocessing,
    PublishedDraw,
    draw_published,
    eval_transform,
    image_to_tensor,
    normalize_pixels,
    published_view,
    train_transform,
)

__all__ = [
    "AUGMENTATIONS",
    "CAPTION_CHOICES",
    "CLIP_MEAN",
    "CLIP_STD",
    "CaptionDataset",
    "CaptionedImage",
    "DatasetError",
    "ImageError",
    "ImagePreprocessing",
    "ImageReading",
    "PublishedDraw",
    "ReducedImageWarning",
    "VerificationReport",
    "caption_table",
    "data_fingerprint",
    "draw_published",
    "eval_batches",
    "eval_transform",
    "find_dataset",
    "image_of_array",
    "image_to_tensor",
    "load_dataset",
    "measure_reading",
    "normalize_pixels",
    "published_view",
    "read_image",
    "read_with_data",
    "reading_note",
    "shown_reading",
    "steps_per_epoch",
    "to_rgb",
    "train_batches",
    "train_transform",
]
