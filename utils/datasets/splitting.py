"""A validation split for data sets that were published without one, such as RSITMD."""

from dataclasses import replace

from utils.choices import LARGEST_VAL_SHARE
from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.formats import DatasetError


def draw_validation(dataset: CaptionDataset, share: float, seed: int = 0) -> CaptionDataset:
    """Moves a share of the train images into a new val split; the test images stay as they are.

    Images are drawn with all their captions, of every category in the same proportion to within one image, as
    `CaptionDataset.subset` draws.

    Args:
        dataset: With a train split and without a val split.
        share: Above 0, at most `LARGEST_VAL_SHARE`.
        seed: The same seed draws the same images on every machine.

    Raises:
        DatasetError: The share is out of its bounds, there is a val split, or train has fewer than two images.
    """
    name = dataset.name or "this data set"
    if not 0 < share <= LARGEST_VAL_SHARE:
        raise DatasetError(
            f"val_from_train is {share!r}; it must be a share of train above 0 and at most {LARGEST_VAL_SHARE}, or 0 "
            "to draw nothing"
        )
    if not dataset.splits:
        raise DatasetError(f"{name} has no splits, so all three are drawn: leave val_from_train out")
    if "val" in dataset.splits:
        raise DatasetError(f"{name} has a val split, so none is drawn from train: leave val_from_train out")
    train = dataset.split("train")
    if len(train) < 2:
        raise DatasetError(
            f"{name} has too few train images ({len(train)}) to spare one for val: leave val_from_train out"
        )
    drawn = {item.path for item in train.subset(max(1, round(share * len(train))), seed)}
    items = (replace(item, split="val") if item.split == "train" and item.path in drawn else item for item in dataset)
    return CaptionDataset(items, dataset.name, dataset.missing, dataset.splits, dataset.damaged)
