"""Near-duplicate images: a perceptual hash sifts all pairs, aligned detail decides.

A hash alone cannot do it. A copy from which 5 % was cropped off differs in about 80 of 256 bits, and thousands of the
60 million pairs of RSICD's images come as near, deserts, meadows and beaches most of all. The thresholds were measured
on RSICD, UCM and the miniature, with copies that were halved, enlarged, stored as JPEG of quality 60, cropped by 5 and
10 % at the middle and at a corner, and all of it together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets import ImageError, read_image

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset, CaptionedImage

HASH_SIDE = 16  # 256 bits
# Of copies cropped by 5 % at a corner and stored as JPEG 60, 97 of 100 stay within 104 bits; chance is at 128.
MAX_HASH_DISTANCE = 104
# Of those copies 99 of 100 correlate by more than 0.5 in 8x8 pixels; of the pairs that the hash lets through, 4.
MIN_COARSE_CORRELATION = 0.5
# The copies lie at 0.84 and above, unrelated images of the miniature at 0.70 and below; of RSICD's 60 million pairs
# nine lie above 0.75, each of one place, and of UCM's 2.2 million seven, six of them stripes of runways. Below, images
# of one place at other times mix with unrelated ones that look alike, round stadiums above all.
MIN_DETAIL_CORRELATION = 0.75

SMALL, COARSE, VIEW = 48, 8, 32  # pixels a side: what is kept of an image, compared first, compared last
KEPT_SHARES = (1.0, 0.975, 0.95, 0.925, 0.9)  # of height and width, where one image is a crop of the other
DETAIL_DEVIATION = 2.0  # pixels of the view; what is smoother than this is shading, which unrelated images share
BLOCK, CHUNK = 2048, 256  # images a side in one block of pairs; pairs whose small images are compared at once


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that show the same, the earlier one first.

    Their perceptual hashes differ in so many of 256 bits, and their aligned detail correlates, by 1 for equal images.
    """

    first: CaptionedImage
    second: CaptionedImage
    hash_distance: int
    detail_correlation: float

    def __str__(self) -> str:
        """Returns both images with what was measured, for a line of a report."""
        first, second = (f"{item.source} {item.split or 'no split'} {item.name}" for item in (self.first, self.second))
        return f"{first} and {second} ({self.hash_distance} of 256 bits, detail {self.detail_correlation:.2f})"


def find_near_duplicates(dataset: CaptionDataset) -> tuple[DuplicatePair, ...]:
    """Finds the pairs of images that show the same, within and between splits, those with the most equal detail first.

    Copies are found that were resized, recompressed, recolored, or cropped by up to a tenth; mirrored and turned ones
    are not. RSICD's 10,921 images take half a minute on two cores. What cannot be decoded is left out, with a warning,
    or a DatasetError if nothing else is there; ``one + other`` compares two data sets.
    """
    hashes, small, unreadable = hash_images(list(dataset))
    dataset = dataset.without_unreadable(unreadable)
    found = np.concatenate([np.zeros((0, 4)), *_measured_pairs(hashes, small)])
    order = np.lexsort((found[:, 1], found[:, 0], -found[:, 3]))
    return tuple(
        DuplicatePair(dataset[int(first)], dataset[int(second)], int(distance), float(detail))
        for first, second, distance, detail in found[order]
    )


def hash_images(items: Sequence[CaptionedImage]) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Decodes images in parallel and keeps 3.3 kB of each.

    Of those that decode these are the bits of ImageHash's ``phash``, (images, 256) float32, as 1 and -1, and what is
    left of the image, (images, SMALL, SMALL) gray uint8; of the others the reasons by their positions.
    """
    import imagehash
    from PIL import Image

    hashes = np.zeros((len(items), HASH_SIDE**2), np.float32)
    small = np.zeros((len(items), SMALL, SMALL), np.uint8)
    unreadable: dict[int, str] = {}

    def take(number: int) -> None:
        item = items[number]
        try:
            gray = read_image(item.path, item.reading).convert("L")
        except ImageError as error:
            unreadable[number] = str(error)
            return
        hashes[number] = np.where(imagehash.phash(gray, hash_size=HASH_SIDE).hash.ravel(), 1, -1)
        small[number] = np.asarray(gray.resize((SMALL, SMALL), Image.Resampling.BOX))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(take, range(len(items))))
    kept = [number for number in range(len(items)) if number not in unreadable]
    return hashes[kept], small[kept], unreadable


def _measured_pairs(hashes: np.ndarray, small: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the pairs whose hash, coarse and detailed images agree: (pairs, 4), two indices, distance, correlation."""
    shrink = _area_weights(1.0, 0.0, COARSE)
    coarse = _centered(shrink @ small.astype(np.float32) @ shrink.T)
    for pairs, distances in _pairs_of_close_hashes(hashes):
        first, second = pairs.T
        alike = np.einsum("nd,nd->n", coarse[first], coarse[second]) >= MIN_COARSE_CORRELATION
        # An image without any detail correlates with nothing; those that are quite equal must not get lost.
        alike |= (small[first] == small[second]).all(axis=(1, 2))
        details = detail_correlation(small[first[alike]], small[second[alike]])
        found = np.column_stack([pairs[alike], distances[alike], details])
        yield found[details >= MIN_DETAIL_CORRELATION]


def _pairs_of_close_hashes(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (pairs, 2) indices and (pairs,) distances, each pair once, few at a time, so that memory is bounded."""
    for row, column in combinations_with_replacement(range(0, len(hashes), BLOCK), 2):
        # Two bits that agree add 1 to the product, and two that differ take 1 off.
        distances = (HASH_SIDE**2 - hashes[row : row + BLOCK] @ hashes[column : column + BLOCK].T) / 2
        close = np.argwhere(distances <= MAX_HASH_DISTANCE)
        close = close[close[:, 0] + row < close[:, 1] + column]
        for start in range(0, len(close), CHUNK):
            some = close[start : start + CHUNK]
            yield some + np.array([row, column]), distances[tuple(some.T)]


def detail_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How well the detail of two images agrees, where one may be a crop of the other: (pairs,), 1 for equal images.

    Each of two images (pairs, SMALL, SMALL), gray uint8, is compared with 37 views of the other: crops of 90 to 100 %
    of its height and width in nine places; the best correlation counts. Detail is what is left when a Gaussian blur is
    taken off; without that two beaches with the sea on one side would agree.
    """
    views = [_detail_views(images) for images in (first, second)]
    correlations = [np.einsum("nvd,nd->nv", some, other[:, 0]).max(axis=1) for some, other in (views, reversed(views))]
    equal = (first == second).all(axis=(1, 2))
    return np.where(equal, 1.0, np.maximum(*correlations))


def _detail_views(images: np.ndarray) -> np.ndarray:
    """The detail of each view, the whole first: (images, views, VIEW * VIEW) float32 of unit length."""
    down, across = _view_weights()
    views = down @ images[:, None].astype(np.float32) @ across
    return _centered(views - _blur() @ views @ _blur().T)


@cache
def _view_weights() -> tuple[np.ndarray, np.ndarray]:
    """What cuts and shrinks each view when it is multiplied: (views, VIEW, SMALL) and (views, SMALL, VIEW)."""
    views: list[tuple[np.ndarray, np.ndarray]] = []
    for share in KEPT_SHARES:
        stretches = [_area_weights(share, start, VIEW) for start in np.unique([0, (1 - share) / 2, 1 - share])]
        views += product(stretches, stretches)
    return np.stack([top for top, _ in views]), np.stack([left.T for _, left in views])


def _area_weights(share: float, start: float, size: int) -> np.ndarray:
    """The weights (size, SMALL) that average the pixels under each of ``size`` equal parts of a stretch of the side.

    The stretch begins at ``start`` and is ``share`` long, both of the whole side, from 0 to 1.
    """
    edges = start + share * np.arange(size + 1) / size
    borders = np.arange(SMALL + 1) / SMALL
    ends = np.minimum(edges[1:, None], borders[1:])
    overlap = np.clip(ends - np.maximum(edges[:-1, None], borders[:-1]), 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _blur() -> np.ndarray:
    """The weights (VIEW, VIEW) of a Gaussian blur that mirrors at the edge."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.eye(VIEW, dtype=np.float32), DETAIL_DEVIATION, axis=0)


def _centered(images: np.ndarray) -> np.ndarray:
    """Images (..., side, side) as rows (..., side * side) of mean 0 and length 1; flat ones stay near 0."""
    rows = images.reshape(*images.shape[:-2], images.shape[-2] * images.shape[-1])
    rows = rows - rows.mean(axis=-1, keepdims=True)
    # Not `unit_length`: one part in a thousand of a gray level is rounding, which that would take for an image.
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-3 * rows.shape[-1] ** 0.5)
