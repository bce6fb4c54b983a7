"""From a data set to batches, dictionaries of NumPy arrays: a deterministic Grain pipeline.

All chance is a function of one seed and the position in the run; the number of threads changes the speed alone.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.choices import CAPTION_CHOICES
from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.images.stretch import ImageError
from utils.datasets.transforms import ImagePreprocessing, eval_transform, train_transform

if TYPE_CHECKING:
    import grain


MOST_DAMAGED = 100  # in a row; more are no accident
RECORDS_AHEAD = 8  # for each worker


def caption_table(dataset: CaptionDataset) -> tuple[list[str], np.ndarray]:
    """Numbers the distinct captions, so that equal texts, under whatever image, share a number.

    Returns them, and for each image the numbers of its own, (images, most captions) int32, padded with -1.
    """
    numbers: dict[str, int] = {}
    rows = [[numbers.setdefault(caption, len(numbers)) for caption in dict.fromkeys(item.captions)] for item in dataset]
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
    share: tuple[int, int] = (0, 1),
) -> grain.DatasetIterator | OwnRows:
    """Builds the training stream: one caption drawn for each image at each visit, or each caption in turn.

    With captions ``one``, a record is an image, and one of its captions is drawn at each visit; with ``all``, it is an
    image with one of its captions, repeated ones included, as published. Every epoch is a new permutation of the
    records, cut to whole batches. For augmentations see `train_transform`; ``tokenize`` turns texts into token ids,
    (texts, length) int32; the workers are threads. An image that turns out to be damaged is named in a warning, and
    the next one takes its place. The iterator's ``get_state`` and ``set_state`` make it resumable; its ``close`` ends
    its threads. A ``share`` of (1, 4) is of each batch the rows 1, 5, 9 and so on, for one of four processes, which
    decodes no others; it must divide the batch. An argument that cannot work is a ValueError, `MOST_DAMAGED` images in
    a row that cannot be decoded are an `ImageError`.

    Returns:
        An iterator of ``images`` (batch, size, size, 3) float32, ``tokens`` (batch, length) int32,
        ``caption_ids`` (batch,) int32, equal for equal captions, ``caption_sets`` (batch, most captions) int32,
        every caption of the image, padded with -1, and ``index`` (batch,) int64, the position in the data set.
    """
    grain = _import_grain()
    _check_train_arguments(dataset, batch_size, captions)
    texts, caption_sets = caption_table(dataset)
    position = {text: number for number, text in enumerate(texts)}
    tokens = tokenize(texts)
    # Every record knows its own caption: images may have different numbers of them.
    pairs = [(index, caption) for index, item in enumerate(dataset) for caption in item.captions]
    count = _records(dataset, captions)

    def load(record: int, generator: np.random.Generator) -> dict[str, Any]:
        tries, reason = min(MOST_DAMAGED, count), ""
        for place in ((int(record) + number) % count for number in range(tries)):
            index, caption = pairs[place] if captions == "all" else (place, None)
            caption_id = position[generator.choice(dataset[index].captions) if caption is None else caption]
            try:
                return {
                    "images": _pixels(dataset, index, train_transform, preprocessing, augmentation, generator),
                    "tokens": tokens[caption_id],
                    "caption_ids": np.int32(caption_id),
                    "caption_sets": caption_sets[index],
                    "index": np.int64(index),
                }
            except ImageError as error:
                reason = str(error)
                # Once for each file: Python shows equal warnings once.
                warnings.warn(f"{reason} The next image takes its place.", stacklevel=2)
        raise ImageError(f"{tries:,} images in a row cannot be decoded, so none takes their place: {reason}")

    whole_batches = count // batch_size * batch_size
    records = grain.MapDataset.range(count).seed(seed).shuffle()[:whole_batches]
    loaded, (number, parts) = records.repeat(epochs).random_map(load), share
    if parts == 1:
        return _in_batches(loaded, batch_size, workers)
    # Cut after chance was drawn, so that a row is the same whoever loads it.
    return OwnRows(_in_batches(loaded[number::parts], batch_size // parts, workers), parts)


class OwnRows(Iterator[dict[str, Any]]):
    """A share of the rows of each batch; its state is that of all rows, so any number of processes may resume it."""

    def __init__(self, batches: grain.DatasetIterator, parts: int) -> None:
        self.batches, self.parts, self.close = batches, parts, batches.close

    def __next__(self) -> dict[str, Any]:
        """Returns the next batch, (batch / parts, ...)."""
        return next(self.batches)

    def get_state(self) -> dict[str, int]:
        """The position in the run, as the iterator over all rows has it."""
        return {name: records * self.parts for name, records in self.batches.get_state().items()}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes to a position in the run."""
        self.batches.set_state({name: records // self.parts for name, records in state.items()})


def steps_per_epoch(dataset: CaptionDataset, batch_size: int, captions: str = "one") -> int:
    """Returns the number of whole batches in one pass over the records of `train_batches`."""
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

    Batches hold ``images`` (batch, size, size, 3) float32, ``index`` (batch,) int64, and ``mask`` (batch,) bool, False
    for padding and for what cannot be decoded. Of that, ``unreadable`` receives the position and the reason before its
    batch comes; without it, an `ImageError` is raised.
    """
    grain = _import_grain()
    blank = np.zeros((preprocessing.image_size, preprocessing.image_size, 3), np.float32)

    def load(index: int) -> dict[str, Any]:
        try:
            return {"images": _pixels(dataset, int(index), eval_transform, preprocessing), "index": index, "mask": True}
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable[int(index)] = str(error)
            return {"images": blank, "index": index, "mask": False}

    records = grain.MapDataset.range(len(dataset)).map(load)
    for batch in _in_batches(records, batch_size, workers):
        padding = batch_size - len(batch["index"])
        yield {
            "images": np.pad(batch["images"], ((0, padding), (0, 0), (0, 0), (0, 0)), "edge"),
            "index": np.pad(batch["index"], (0, padding), "edge"),
            "mask": np.pad(batch["mask"], (0, padding)),
        }


def _pixels(dataset: CaptionDataset, index: int, transform: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray:
    """Decodes and transforms an image; whatever is wrong with it, the message names its file."""
    image = dataset.open(index)
    try:
        return transform(image, *arguments)
    except ImageError as error:
        raise ImageError(f"{dataset[index].path}: {error}", str(error)) from None


def _import_grain() -> Any:
    # Grain tells at its import what a jaxlib before 0.11 cannot profile.
    logging.getLogger("absl").setLevel(logging.ERROR)
    import grain

    return grain


def _in_batches(records: grain.MapDataset, batch_size: int, workers: int) -> grain.DatasetIterator:
    """Batches, of which the next is made while one is used; `close` ends its threads."""
    grain = _import_grain()
    # Few records wait, and one batch: Grain looks through all that wait each time that it hands one out.
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=RECORDS_AHEAD * max(workers, 1))
    batches = records.to_iter_dataset(options).batch(batch_size)
    return iter(grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=1))


def _check_train_arguments(dataset: CaptionDataset, batch_size: int, captions: str) -> None:
    if captions not in CAPTION_CHOICES:
        raise ValueError(f"The choice of captions {captions!r} is not one of {', '.join(CAPTION_CHOICES)}.")
    if bare := [item.name for item in dataset if not item.captions]:
        raise ValueError(
            f"{len(bare)} images have no caption to train on, the first is {bare[0]}; leave them out with "
            "dataset.captioned()."
        )
    records, kind = _records(dataset, captions), "pairs" if captions == "all" else "images"
    if not 1 <= batch_size <= records:
        raise ValueError(f"A batch of {batch_size} {kind} cannot be drawn from {records}; choose 1 to {records}.")
