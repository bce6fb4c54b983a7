"""Near-duplicate images: low frequencies sift all pairs, registered detail decides.

Aerial images are cropped, turned and mirrored when data sets are made of data sets: RSICD's are the middle of AID's.
So one image is compared with 16 views of the other, in all eight orientations, first by 32 of its cosine coefficients,
which is one matrix product; what is alike is registered (`registration`), at half size and then with all its detail.

The thresholds were measured on 4,000 copies of RSICD's training images: cropped to 80 to 100 % of each side, at the
middle, anywhere or in a corner, turned or mirrored, resized by 0.5 to 1.5 and stored as JPEG of quality 40 to 95.
`tests/benchmarks/bench_audit.py` measures copies of the other splits, and counts false alarms.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from utils.datasets import ImageError, read_image
from utils.evaluation.registration import WHOLE, Level, agreement, gaussian_blur, register, stretch_weights

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset, CaptionedImage

SMALL = 64  # pixels a side: what is kept of an image
# Share and start of a side: each with each makes 16 views, so near each other that any crop down to 0.8 is like one.
STRETCHES = ((0.96, 0.02), (0.83, 0.0), (0.83, 0.085), (0.83, 0.17))
HIGHEST_FREQUENCY = 5  # half waves along a side; down and across together 6
MIN_OUTLINE_CORRELATION = 0.77  # 99.8 of 100 copies, and 1.5 of a thousand pairs of other images
# At half size the views are found: 99.6 of 100 copies get beyond 0.93, and a few thousandths of the other pairs.
COARSE, COARSE_BARS = Level(16, 4.0), (-1, 0.65, 0.75, 0.8, 0.85, 0.9)
# A copy's middle must agree; then either the whole does, or the middle so well that only a shift beyond the edge can
# be why the whole does not. Of RSICD's 60 million pairs no others than of one place come so far, of UCM's two million
# four: stripes of runways. Stadiums of one kind reach 0.82 and 0.77.
FINE, FINE_BARS = Level(32, 2.0, noise=2.0), (-1, -1, -1, 0.8)
MIN_WHOLE_CORRELATION, SURE_CORRELATION = 0.8, 0.88

# Of `orientations`; whether left or right is not said, so that they hold for both images of a pair.
ORIENTATIONS = (
    *("as it is", "mirrored", "mirrored", "upside down"),
    *("mirrored and turned by a quarter", "turned by a quarter", "turned by a quarter"),
    "mirrored and turned by a quarter",
)
HALF_OF_ORIENTATIONS = np.array([0, 2, 4, 6])  # turned by a half, each is the one whose last two bits are the others
BLOCK, COLUMNS, CHUNK = 64, 256, 256  # images and outlines in one block of pairs; pairs that are registered at once


@dataclass(frozen=True)
class DuplicatePair:
    """Two images that show the same, the earlier one first.

    The detail of the copy's middle correlates, by 1 for equal images, where it shows a ``share`` of the sides of the
    other (the mean of height and width), in one of `ORIENTATIONS`.
    """

    first: CaptionedImage
    second: CaptionedImage
    detail_correlation: float
    share: float = 1.0
    orientation: str = ORIENTATIONS[0]

    def __str__(self) -> str:
        """Returns both images with what was measured, for a line of a report."""
        first, second = (f"{item.source} {item.split or 'no split'} {item.name}" for item in (self.first, self.second))
        how = [f"detail {self.detail_correlation:.2f}"]
        how += [f"{self.share:.0%} of a side"] if self.share < 0.995 else []
        how += [self.orientation] if self.orientation != ORIENTATIONS[0] else []
        return f"{first} and {second} ({', '.join(how)})"


def find_near_duplicates(dataset: CaptionDataset) -> tuple[DuplicatePair, ...]:
    """Finds the pairs of images that show the same, within and between splits, those with the most equal detail first.

    Copies are found that were resized, recompressed, made brighter or darker, turned, mirrored, cropped down to 0.8 of
    each side, or moved by a little. RSICD's 10,921 images take half a minute on two cores. What cannot be decoded is
    left out, with a warning, or a DatasetError if nothing else is there; ``one + other`` compares two data sets.
    """
    small, unreadable = shrink_images(list(dataset))
    dataset = dataset.without_unreadable(unreadable)
    best: dict[tuple[int, int], tuple[float, float, str]] = {}
    # Those that are quite equal, as empty tiles are by the thousand, are registered as one.
    groups: dict[bytes, list[int]] = {}
    for number, image in enumerate(small):
        groups.setdefault(image.tobytes(), []).append(number)
    members = list(groups.values())
    alike = _registered_pairs(small[[group[0] for group in members]])
    found: list[Found] = [(*pair, 0, 1.0, 1.0) for group in members for pair in combinations(group, 2)]
    for image, copy, orientation, correlation, share in alike:
        found += [(*pair, orientation, correlation, share) for pair in product(members[image], members[copy])]
    for image, copy, orientation, correlation, share in found:
        pair = (min(image, copy), max(image, copy))
        if pair not in best or correlation > best[pair][0]:
            best[pair] = (correlation, share, ORIENTATIONS[orientation])
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple(DuplicatePair(dataset[first], dataset[second], *how) for (first, second), how in ranked)


def shrink_images(items: Sequence[CaptionedImage]) -> tuple[np.ndarray, dict[int, str]]:
    """Decodes images in parallel: what is left of them, (images, SMALL, SMALL) gray uint8.

    Of images that cannot be decoded these are the reasons, by their positions.
    """
    from PIL import Image

    small = np.zeros((len(items), SMALL, SMALL), np.uint8)
    unreadable: dict[int, str] = {}

    def take(number: int) -> None:
        item = items[number]
        try:
            gray = read_image(item.path, item.reading).convert("L")
            small[number] = np.asarray(gray.resize((SMALL, SMALL), Image.Resampling.BOX))
        except ImageError as error:
            unreadable[number] = str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(take, range(len(items))))
    return np.delete(small, list(unreadable), axis=0), unreadable


def turned(images: np.ndarray, orientation: int) -> np.ndarray:
    """A view of images (images, side, side) in one of `ORIENTATIONS`, by its number."""
    transposed, down, across = orientation // 4, orientation // 2 % 2, orientation % 2
    return (images.swapaxes(1, 2) if transposed else images)[:, :: 1 - 2 * down, :: 1 - 2 * across]


Found = tuple[int, int, int, float, float]  # image, copy, orientation of the copy, correlation, share of a side


def _registered_pairs(small: np.ndarray) -> list[Found]:
    """The pairs of which one shows a view of the other, some of them more than once."""
    from threadpoolctl import threadpool_limits

    if not len(small):
        return []
    half = stretch_weights(WHOLE[:, :2], SMALL // 2, SMALL)[0] @ gaussian_blur(SMALL, 2.0)
    halves = half @ small.astype(np.float32) @ half.T
    copies = np.concatenate([outlines(turned(small, way), WHOLE) for way in HALF_OF_ORIENTATIONS], axis=1)

    def take(start: int) -> list[Found]:
        pairs = _alike(small[start : start + BLOCK], copies)
        pairs[:, 0] += start
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        chunks = (pairs[at : at + CHUNK] for at in range(0, len(pairs), CHUNK))
        return [found for some in chunks for found in _confirmed(small, halves, some)]

    # Threads of the matrix product as well would wait for each other, ten times as long as they work on busy machines.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return [found for some in pool.map(take, range(0, len(small), BLOCK)) for found in some]


def _alike(images: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """The pairs whose outlines correlate: rows (pairs, 4) of image, copy, its orientation, and the view most alike.

    ``copies`` are the outlines (copies, 4, dim) of whole copies in half of the orientations. A half turn changes the
    sign of odd coefficients and of no others, so that two products of half the length serve two orientations.
    """
    odd = _frequencies().sum(axis=1) % 2 == 1
    views = outlines(images, _views()).swapaxes(0, 1).reshape(-1, len(odd))
    columns = copies.reshape(-1, len(odd)).T
    found = []
    for start in range(0, columns.shape[1], COLUMNS):  # few at a time: correlations must stay in the processor's cache
        block = columns[:, start : start + COLUMNS]
        turning = views[:, odd] @ block[odd]
        correlations = np.abs(turning)
        correlations += views[:, ~odd] @ block[~odd]
        row, column = np.divmod(np.flatnonzero(correlations >= MIN_OUTLINE_CORRELATION), block.shape[1])
        found.append([row, column + start, turning[row, column] < 0, correlations[row, column]])
    row, column, half_turned, correlation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    (view, image), (copy, way) = np.divmod(row, len(images)), np.divmod(column, len(HALF_OF_ORIENTATIONS))
    pairs = np.column_stack([image, copy, HALF_OF_ORIENTATIONS[way] ^ (3 * half_turned), view])
    pairs = pairs[np.argsort(-correlation, kind="stable")]
    return pairs[np.unique(pairs[:, :3], axis=0, return_index=True)[1]]


def _confirmed(small: np.ndarray, halves: np.ndarray, pairs: np.ndarray) -> list[Found]:
    """Registers pairs, the rows of `_alike`, at half size and then with all their detail."""

    def oriented(images: np.ndarray) -> np.ndarray:
        copies = np.empty_like(images, shape=(len(pairs), *images.shape[1:]))
        for way in range(len(ORIENTATIONS)):
            chosen = pairs[:, 2] == way
            copies[chosen] = turned(images[pairs[chosen, 1]], way)
        return copies

    views = _views()[pairs[:, 3]]
    left, _, views = register(halves[pairs[:, 0]], oriented(halves), views, COARSE, COARSE_BARS)
    pairs = pairs[left]
    images, copies = small[pairs[:, 0]], oriented(small)
    left, correlations, views = register(images, copies, views, FINE, FINE_BARS)
    whole = agreement(images[left], copies[left], views, FINE)
    sure = (whole >= MIN_WHOLE_CORRELATION) | (correlations >= SURE_CORRELATION)
    found = zip(pairs[left[sure]].tolist(), correlations[sure].tolist(), views[sure].tolist(), strict=True)
    return [
        (image, copy, orientation, min(1.0, correlation), min(1.0, (height + width) / 2))
        for (image, copy, orientation, _), correlation, (height, _, width, _) in found
    ]


def outlines(images: np.ndarray, views: np.ndarray) -> np.ndarray:
    """The low frequencies of views: (images, views, dim) float32 of unit length, without the mean brightness.

    They are the two-dimensional cosine coefficients, of which the lowest, the largest in any image, weigh less.
    """
    from scipy.fft import dct

    down, across = _frequencies().T
    side = images.shape[-1]
    waves = dct(np.eye(side // 2, dtype=np.float32), axis=0, norm="ortho")[: HIGHEST_FREQUENCY + 1]
    rows, columns = (waves @ stretch_weights(part, side // 2, side) for part in (views[:, :2], views[:, 2:]))
    found = np.zeros((len(images), len(views), len(down)), np.float32)
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        found[:, number] = (row @ images.astype(np.float32) @ column.T)[:, down, across] * np.hypot(down, across) ** 0.5
    return found / np.maximum(np.linalg.norm(found, axis=-1, keepdims=True), 0.1)


@cache
def _frequencies() -> np.ndarray:
    """The half waves down and across of each cosine coefficient that counts, (dim, 2)."""
    waves = np.indices((HIGHEST_FREQUENCY + 1, HIGHEST_FREQUENCY + 1)).reshape(2, -1).T
    return waves[(waves.any(axis=1)) & (np.hypot(*waves.T) <= HIGHEST_FREQUENCY + 1)]


@cache
def _views() -> np.ndarray:
    """The views that an image is compared by, (views, 4)."""
    return np.array([(*height, *width) for height, width in product(STRETCHES, STRETCHES)], np.float32)
