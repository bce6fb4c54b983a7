"""The splits of a data set as a notebook's parameters say: one line where every notebook would need eight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from utils.course.values import check_values

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset


def open_splits(parameters: Mapping[str, Any], *names: str) -> list[CaptionDataset]:
    """Checks a notebook's parameters, its ``globals()``, and opens splits of the data set they name, such as "val".

    Images without splits are divided at random by the SEED, and of each split IMAGES_PER_SPLIT images are taken, 0 for
    all. A `CourseError` names a parameter that cannot work; a DatasetError says that there is no such data set or
    split, or that it cannot be read.
    """
    from utils.datasets import load_dataset

    check_values(parameters)
    data, folder, seed, most = (parameters[name] for name in ("DATASET", "DATA_DIR", "SEED", "IMAGES_PER_SPLIT"))
    how = {name.lower(): parameters[name] for name in ("STRETCH", "BANDS", "VAL_FROM_TRAIN", "RENAME")}
    dataset = load_dataset(data, folder or None, seed=seed, **how)
    if not dataset.splits:
        dataset = dataset.with_random_splits(seed=seed)
    return [dataset.split(name).subset(most or len(dataset), seed) for name in names]
