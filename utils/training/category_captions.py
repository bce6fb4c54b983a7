"""Captions made of categories, for images that nobody has described, such as those in a folder for each category."""

from __future__ import annotations

from dataclasses import replace

from utils.datasets import CaptionDataset, DatasetError
from utils.evaluation import PROTOCOLS

# CLIP's 18 published aerial prompts with a category in words: "satellite imagery of storage tanks." and so on.
_captions = PROTOCOLS["ensemble"].prompts


def caption_by_category(dataset: CaptionDataset) -> CaptionDataset:
    """The same images, each with CLIP's published aerial prompts for its category in place of any captions.

    All images of a category own the same captions, so the loss, which knows that, holds none of them against another.
    It teaches a model the names of the categories, and no other language. An image without a category gets no caption;
    if none has one, that is a DatasetError.
    """
    if not dataset.categories:
        raise DatasetError(
            f"{dataset.name or 'this data set'}: no image has a category to make captions of; give a folder with a "
            "folder for each category, or captions"
        )
    items = (replace(item, captions=_captions(item.category) if item.category else ()) for item in dataset)
    return CaptionDataset(items, dataset.name, dataset.missing, dataset.splits, dataset.damaged)


def is_captioned_by_category(dataset: CaptionDataset) -> bool:
    """Whether all that is said of the images was made by `caption_by_category`."""
    return all(item.category and item.captions == _captions(item.category) for item in dataset)
