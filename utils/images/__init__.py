"""Pictures on their way to a model.

`reading` is the one reader of files of any kind, with `stretch`, `bands` and `rasters` for those that are deeper, have
other bands or are larger than a photograph; `decoding` turns them into a model's pixels, `augmentation` varies them,
`batches` brings them on.
"""

from utils.images.augmentation import (
    AUGMENTATIONS,
    PublishedDraw,
    draw_published,
    published_view,
    train_transform,
)
from utils.images.batches import (
    CAPTION_CHOICES,
    caption_table,
    eval_batches,
    keeping_pictures,
    steps_per_epoch,
    train_batches,
)
from utils.images.decoding import (
    CLIP_MEAN,
    CLIP_STD,
    ImagePreprocessing,
    eval_transform,
    image_to_tensor,
    normalize,
)
from utils.images.errors import ImageError, ReducedImageWarning
from utils.images.reading import measured, read_image, read_with_data, to_rgb
from utils.images.stretch import ImageReading, image_of_array

__all__ = [
    "AUGMENTATIONS",
    "CAPTION_CHOICES",
    "CLIP_MEAN",
    "CLIP_STD",
    "ImageError",
    "ImagePreprocessing",
    "ImageReading",
    "PublishedDraw",
    "ReducedImageWarning",
    "caption_table",
    "draw_published",
    "eval_batches",
    "eval_transform",
    "image_of_array",
    "image_to_tensor",
    "keeping_pictures",
    "measured",
    "normalize",
    "published_view",
    "read_image",
    "read_with_data",
    "steps_per_epoch",
    "to_rgb",
    "train_batches",
    "train_transform",
]
