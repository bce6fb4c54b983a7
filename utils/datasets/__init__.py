"""Pictures with captions: RSICD, UCM, Sydney, the miniature and your own, in one form.

`load_dataset` is the door, `CaptionDataset` what comes out of it, and `data_fingerprint` tells one from another.
"""

from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.checks import VerificationReport
from utils.datasets.fingerprint import data_fingerprint, reading_note, shown_reading
from utils.datasets.formats import DatasetError
from utils.datasets.loading import find_dataset, load_dataset

__all__ = [
    "CaptionDataset",
    "CaptionedImage",
    "DatasetError",
    "VerificationReport",
    "data_fingerprint",
    "find_dataset",
    "load_dataset",
    "reading_note",
    "shown_reading",
]
