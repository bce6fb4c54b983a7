"""Images with captions: RSICD, UCM, Sydney, the miniature and your own, in one form, and their way to a model.

`load_dataset` is the door, `CaptionDataset` what comes out of it, and `data_fingerprint` tells one from another. Every
file is opened by the one reader in `images/`; `transforms` makes a model's pixels of it, `augmentation` varies them,
`batches` brings them on.
"""

from utils.datasets.augmentation import AUGMENTATIONS, PublishedDraw, draw_published, published_view, train_transform
from utils.datasets.batches import CAPTION_CHOICES, caption_table, eval_batches, steps_per_epoch, train_batches
from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.checks import VerificationReport
from utils.datasets.fingerprint import data_fingerprint, reading_note, shown_reading
from utils.datasets.formats import DatasetError
from utils.datasets.images.errors import ImageError, ReducedImageWarning
from utils.datasets.images.reading import measured, read_image, read_with_data, to_rgb
from utils.datasets.images.stretch import ImageReading, image_of_array
from utils.datasets.loading import find_dataset, load_dataset
from utils.datasets.transforms import (
    CLIP_MEAN,
    CLIP_STD,
    ImagePreprocessing,
    eval_transform,
    image_to_tensor,
    normalize,
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
    "measured",
    "normalize",
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
