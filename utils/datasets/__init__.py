"""Images with captions: RSICD, UCM, Sydney, the miniature and your own, in one form, and their way to a model.

`load_dataset` gives a `CaptionDataset`, which opens its own images through the one reader in `images/`; `transforms`
makes a model's pixels of them, `batches` brings them on.
"""

from utils.datasets.batches import CAPTION_CHOICES, caption_table, eval_batches, steps_per_epoch, train_batches
from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.captions import DatasetError
from utils.datasets.images.reading import read_image, to_rgb
from utils.datasets.images.stretch import AS_STORED, ImageError, ImageReading, image_of_array
from utils.datasets.loading import find_dataset, load_dataset
from utils.datasets.reports import data_fingerprint, reading_note, shown_reading
from utils.datasets.transforms import (
    AUGMENTATIONS,
    CLIP_MEAN,
    CLIP_STD,
    ImagePreprocessing,
    eval_transform,
    train_transform,
)
