"""The data set itself: an unchangeable row of images, each with its captions, split and category."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from utils.choices import LARGEST_VAL_SHARE
from utils.datasets.captioned_image import CaptionedImage, ImageCache
from utils.datasets.captions import SPLITS, DatasetError, split_name
from utils.datasets.images.reading import damage, measure_reading
from utils.datasets.images.stretch import ImageReading
from utils.datasets.reports import VerificationReport, name_a_few, summary_table, verify_images


class CaptionDataset(Sequence[CaptionedImage]):
    """An unchangeable row of images with captions.

    Those that are `missing` or `damaged` are counted and named, and are not part of the row; a slice or a subset does
    not carry them on.
    """

    def __init__(
        self,
        items: Iterable[CaptionedImage],
        name: str = "",  # in its summary
        missing: Iterable[CaptionedImage] = (),  # listed but without a file, with the path where it was expected
        splits: Iterable[str] = (),  # that belong to it even if no image is in them; train, val and test come first
        damaged: Iterable[tuple[CaptionedImage, str]] = (),  # what cannot be decoded, with the reason
        cache: ImageCache | None = None,  # of decoded images; every data set that is made of this one shares it
    ) -> None:
        self._items = tuple(items)
        self.name = name
        self.missing = tuple(missing)
        self.damaged = tuple(damaged)
        self.cache = cache
        known = self._items + self.missing + tuple(item for item, _ in self.damaged)
        present = dict.fromkeys([*splits, *(item.split for item in known if item.split is not None)])
        usual = [split for split in SPLITS if split in present]
        self.splits = (*usual, *(split for split in present if split not in SPLITS))

    def _with(self, items: Iterable[CaptionedImage], **changes: Any) -> CaptionDataset:
        """Returns a data set of other images that is like this one, but for what is given."""
        kept = {name: getattr(self, name) for name in ("name", "missing", "splits", "damaged", "cache")}
        return CaptionDataset(items, **kept | changes)

    def _choice(self, items: Iterable[CaptionedImage]) -> CaptionDataset:
        """Returns some of the images under the same name, with the same known splits."""
        return self._with(items, missing=(), damaged=())

    @property
    def _title(self) -> str:
        return self.name or "this data set"

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._items)

    def __iter__(self) -> Iterator[CaptionedImage]:
        """Goes through the images in order."""
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> CaptionedImage: ...

    @overload
    def __getitem__(self, index: slice) -> CaptionDataset: ...

    def __getitem__(self, index):
        """Returns one image, or the data set of a slice."""
        return self._choice(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __add__(self, other: CaptionDataset) -> CaptionDataset:
        """Puts another data set behind this one; images of one file name stay apart by path and source."""
        if not isinstance(other, CaptionDataset):
            return NotImplemented
        return CaptionDataset(
            self._items + other._items,
            name=" + ".join(name for name in (self.name, other.name) if name),
            missing=self.missing + other.missing,
            splits=self.splits + other.splits,
            damaged=self.damaged + other.damaged,
            cache=self.cache or other.cache,
        )

    def __repr__(self) -> str:
        """Returns the summary: a notebook cell shows it."""
        return self.summary()

    def open(self, index: int) -> Image.Image:
        """Decodes one image to 8-bit RGB, or takes it from the cache; an `ImageError` names its file."""
        item = self._items[index]
        return item.open() if self.cache is None else self.cache.open(item)

    def with_cache(self, cache: ImageCache | None = None) -> CaptionDataset:
        """Returns the same data set, which keeps the images that it decodes in memory, up to 256 MiB in all.

        Every data set that is made of it shares its cache, and so does another one that the cache is given to.
        """
        return self._with(self._items, cache=cache or self.cache or ImageCache())

    @property
    def categories(self) -> tuple[str, ...]:
        """Sorted names of the categories that images have."""
        return tuple(sorted({item.category for item in self._items if item.category is not None}))

    @property
    def readings(self) -> tuple[ImageReading, ...]:
        """The ways in which images are read, each once: one, but for data sets that were put together."""
        return tuple(dict.fromkeys(item.reading for item in self._items))

    @property
    def image_root(self) -> Path:
        """The deepest folder that holds every image; Python's ValueError if there is none, as on two drives."""
        return Path(os.path.commonpath([item.path.parent.absolute() for item in self._items]))

    def split(self, name: str) -> CaptionDataset:
        """Returns the images of one split; "valid" means "val". A `DatasetError` lists those that there are."""
        wanted = name if name in self.splits else split_name(name)
        if not self.splits:
            raise DatasetError(
                f"{self._title} has no splits, so none is called {name!r}: make some with dataset.with_random_splits()"
            )
        if wanted not in self.splits:
            raise DatasetError(
                f"{self._title} has no split {name!r}; it has {', '.join(self.splits)}: name the splits train, val and "
                "test, or none, and with_random_splits() draws all three; load_dataset(..., val_from_train=0.1) draws "
                "val from train, in notebooks VAL_FROM_TRAIN = 0.1"
            )
        return self._with(
            (item for item in self._items if item.split == wanted),
            name=f"{self.name} {wanted}".strip(),
            missing=(item for item in self.missing if item.split == wanted),
            splits=[wanted],
            damaged=(pair for pair in self.damaged if pair[0].split == wanted),
        )

    def named(self) -> CaptionDataset:
        """Returns the images whose category is known."""
        return self._choice(item for item in self._items if item.category is not None)

    def captioned(self) -> CaptionDataset:
        """Returns what can be learned from: the images that have captions with words, and these captions.

        What is left out is counted and named in a warning. If images are there and all are, a `DatasetError` says so.
        """
        kept = [item for item in self._items if item.captions_with_words]
        bare = [item.name for item in self._items if not item.captions_with_words]
        wordless = [item.name for item in kept for _ in range(len(item.captions) - len(item.captions_with_words))]
        if not bare and not wordless:
            return self
        if not kept:
            raise DatasetError(
                f"{self._title}: none of its {len(self):,} images has a caption; give a .csv with the columns filename "
                "and caption, or another captions file"
            )
        captions = sum(len(item.captions) for item in kept)
        self._say_left_out(bare, f"{len(self):,} images have no caption and are left out:")
        self._say_left_out(wordless, f"{captions:,} captions have no words and are left out, under")
        return self._choice(replace(item, captions=item.captions_with_words) for item in kept)

    def without_categories(self, names: Iterable[str]) -> CaptionDataset:
        """Returns the images that are not of some categories, each of which must be here; the uncategorized stay."""
        if isinstance(names, str):
            raise DatasetError(f"categories are a list of names, not one text: write [{names!r}]")
        unwanted = set(names)
        if unknown := sorted(unwanted - set(self.categories)):
            raise DatasetError(
                f"{self._title} has no images of {', '.join(unknown)}; it has "
                f"{', '.join(self.categories) or 'no categories'}"
            )
        return self._choice(item for item in self._items if item.category not in unwanted)

    def with_categories_renamed(self, names: Mapping[str, str]) -> CaptionDataset:
        """Returns the same images with other names for some categories; two of one name become one.

        A `DatasetError` lists the categories that there are, if one of those to be renamed is not among them.
        """
        known = {item.category for item in (*self, *self.missing)} - {None}
        if unknown := sorted(set(names) - known):
            raise DatasetError(
                f"{self._title} has no category {', '.join(unknown)} to rename; it has "
                f"{', '.join(sorted(filter(None, known))) or 'none'}"
            )
        if wrong := [new for new in names.values() if not isinstance(new, str) or not new.strip()]:
            raise DatasetError(f"a category cannot be called {wrong[0]!r}; give a text")

        def renamed(item: CaptionedImage) -> CaptionedImage:
            return replace(item, category=names.get(item.category or "", item.category))

        return self._with(
            map(renamed, self._items),
            missing=map(renamed, self.missing),
            damaged=((renamed(item), reason) for item, reason in self.damaged),
        )

    def subset(self, n: int, seed: int = 0) -> CaptionDataset:
        """Draws n images at random, in the order in which they stand here; all, if there are no more than that.

        Every category, also the unknown one, gives its share to within one image. The same seed draws the same images
        on every machine. A negative n is a `DatasetError`.
        """
        if n < 0:
            raise DatasetError(f"a subset of {n} images cannot be drawn: n must be 0 or more")
        total = len(self)
        if n >= total:
            return self
        rng = np.random.default_rng(seed)
        # Systematic sampling (Madow 1944): n evenly spaced steps with a random start through the categories.
        steps = (np.arange(n, dtype=np.int64) * total + rng.integers(total)) // max(n, 1)
        chosen = np.sort(self._shuffled_by_category(rng)[steps])
        return self._choice(self._items[index] for index in chosen)

    def _shuffled_by_category(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the indices (len(self),) int64 sorted by category, in random order within each."""
        order = rng.permutation(len(self))
        return np.array(sorted(order, key=lambda index: self._items[index].category or ""), dtype=np.int64)

    def with_random_splits(self, fractions: Mapping[str, float] | None = None, seed: int = 0) -> CaptionDataset:
        """Returns the same images with splits drawn at random, in place of any that they have.

        Every category is divided in the same proportion, as far as whole images allow, by default in 0.8 train, 0.1 val
        and 0.1 test. The same seed gives the same splits on every machine. Fractions that are negative or do not sum to
        1 are a `DatasetError`.
        """
        fractions = {"train": 0.8, "val": 0.1, "test": 0.1} if fractions is None else dict(fractions)
        if min(fractions.values(), default=-1.0) < 0 or abs(sum(fractions.values()) - 1) > 1e-6:
            raise DatasetError(f"the fractions of the splits must be 0 or more and sum to 1, not {fractions}")
        names, shares = [split_name(name) or name for name in fractions], np.array(list(fractions.values()))
        given = np.zeros(len(names))
        items = list(self._items)
        order = self._shuffled_by_category(np.random.default_rng(seed))
        for position, index in enumerate(order, start=1):
            # The split that lags furthest behind its share: any run of images is divided evenly.
            chosen = int(np.argmax(shares * position - given))
            given[chosen] += 1
            items[index] = replace(items[index], split=names[chosen])
        missing = (replace(item, split=None) for item in self.missing)
        damaged = ((replace(item, split=None), reason) for item, reason in self.damaged)
        return self._with(items, missing=missing, splits=names, damaged=damaged)

    def with_validation(self, share: float, seed: int = 0) -> CaptionDataset:
        """Moves a share of the train images, above 0 and at most `LARGEST_VAL_SHARE`, into a new val split.

        They are drawn as by `subset`. If that cannot be, a `DatasetError` says why.
        """
        if not 0 < share <= LARGEST_VAL_SHARE:
            raise DatasetError(
                f"val_from_train is {share!r}; it must be a share of train above 0 and at most "
                f"{LARGEST_VAL_SHARE}, or 0 to draw nothing"
            )
        advice = "leave val_from_train out"
        if not self.splits:
            raise DatasetError(f"{self._title} has no splits, so all three are drawn: {advice}")
        if "val" in self.splits:
            raise DatasetError(f"{self._title} has a val split, so none is drawn from train: {advice}")
        train = self.split("train")
        if len(train) < 2:
            raise DatasetError(f"{self._title} has too few train images ({len(train)}) to spare one for val: {advice}")
        drawn = {item.path for item in train.subset(max(1, round(share * len(train))), seed)}
        return self._with(
            replace(item, split="val") if item.split == "train" and item.path in drawn else item for item in self
        )

    def with_reading(
        self, stretch: str | Sequence[float] = "auto", bands: Sequence[int] | None = None, *, measured: bool = True
    ) -> CaptionDataset:
        """Returns the same images, those of more than 8 bits or three bands read alike; see `ImageReading`.

        Give it before the data set is divided. A stretch of "auto" is measured over a sample of the images, if these
        are of one type, and so presumably of one sensor; if it is not to be ``measured``, each has its own. What cannot
        be is a ValueError.
        """
        reading = ImageReading(stretch, bands)
        if measured:
            reading = measure_reading([item.path for item in self._items], reading)
        return self._with(
            (replace(item, reading=reading) for item in self._items),
            damaged=((replace(item, reading=reading), reason) for item, reason in self.damaged),
        )

    def without_damaged(self) -> CaptionDataset:
        """Returns the images whose files are whole; the others stand in `damaged`, with the reason.

        That is enough for downloads that broke off and pages saved as images; `verify` decodes each.
        """
        return self._without({n: reason for n, item in enumerate(self._items) if (reason := damage(item.path))})

    def without_unreadable(self, reasons: Mapping[int, str]) -> CaptionDataset:
        """Returns the images except those that turned out not to decode, with a warning that counts and names them.

        The reasons are by position, as `eval_batches` tells them. If no image is left, a `DatasetError` says so.
        """
        if not reasons:
            return self
        if len(reasons) == len(self):
            reason = reasons[0].rstrip(".")
            raise DatasetError(f"{self._title}: not one of its {len(self):,} images can be decoded ({reason})")
        names = [self._items[number].name for number in sorted(reasons)]
        self._say_left_out(names, f"{len(self):,} images cannot be decoded and are left out:")
        return self._without(reasons)

    def decodable(self) -> CaptionDataset:
        """Returns the images that decode to their end; each is decoded, see `without_unreadable`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
            reasons = enumerate(pool.map(CaptionedImage.reason_against, self._items))
            return self.without_unreadable({number: reason for number, reason in reasons if reason})

    def _say_left_out(self, names: Sequence[str], of_how_many: str) -> None:
        if names:
            said = f"{self._title}: {len(names):,} of {of_how_many} {name_a_few(names)}"
            warnings.warn(said, stacklevel=3)  # where the data set was asked

    def _without(self, reasons: Mapping[int, str]) -> CaptionDataset:
        """Moves images, by their positions, to `damaged` with the reason."""
        if not reasons:
            return self
        items = (item for number, item in enumerate(self._items) if number not in reasons)
        damaged = ((self._items[number], reasons[number]) for number in sorted(reasons))
        return self._with(items, damaged=(*self.damaged, *damaged))

    def summary(self) -> str:
        """Returns a table of images, captions, unique captions and categories for every split."""
        return summary_table(self.name, self.splits, self._items, self.missing, [item for item, _ in self.damaged])

    def verify(self) -> VerificationReport:
        """Reads and decodes every image, by a thread a core, and reports what is missing, damaged or there twice."""
        items = (*self._items, *(item for item, _ in self.damaged))
        return verify_images(items, [item.name for item in self.missing])
