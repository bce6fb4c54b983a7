"""Pictures on their way to a model: `decoding` reads them, `augmentation` varies them, `batches` brings them on."""

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
    ImageError,
    ImagePreprocessing,
    eval_transform,
    image_to_tensor,
    normalize,
    read_image,
    to_rgb,
)

__all__ = [
    "AUGMENTATIONS",
    "CAPTION_CHOICES",
    "CLIP_MEAN",
    "CLIP_STD",
    "ImageError",
    "ImagePreprocessing",
    "PublishedDraw",
    "caption_table",
    "draw_published",
    "eval_batches",
    "eval_transform",
    "image_to_tensor",
    "keeping_pictures",
    "normalize",
    "published_view",
    "read_image",
    "steps_per_epoch",
    "to_rgb",
    "train_batches",
    "train_transform",
]
