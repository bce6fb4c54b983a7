"""Near-duplicate pictures: a perceptual hash sifts all pairs, aligned detail decides, embeddings may add theirs.

A hash alone cannot do it. A copy from which 5 % was cropped off differs in about 80 of 256 bits, and among the
60 million pairs of RSICD's 10,921 pictures thousands of strangers come as near, deserts, meadows and beaches most
of all. So the hash is a wide sieve, and what passes it is laid on top of each other and compared in its detail.
The thresholds were measured on RSICD, UCM and the miniature, with copies that were halved, enlarged, stored as
JPEG of quality 60, cropped by 5 and 10 % at the middle and at a corner, and all of it together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
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
# The copies lie at 0.84 and above, the miniature's strangers at 0.70 and below; of RSICD's 60 million pairs nine lie
# above 0.75, each of one place, and of UCM's 2.2 million seven, six of them stripes of runways. Below, pictures of one
# place at other times mix with strangers that look alike, round stadiums above all.
MIN_DETAIL_CORRELATION = 0.75
# Small models crowd their pictures: of the miniature's 1.2 million pairs, all strangers, 430 to 830 reach 0.99 and 7
# reach 0.999, while a copy cropped by 5 % may fall to 0.7. Embeddings add to the pixels and do not replace them.
MIN_EMBEDDING_SIMILARITY = 0.999

SMALL, COARSE, VIEW = 48, 8, 32  # pixels a side: what is kept of a picture, compared first, compared last
KEPT_SHARES = (1.0, 0.975, 0.95, 0.925, 0.9)  # of height and width, where one picture is a crop of the other
DETAIL_DEVIATION = 2.0  # pixels of the view; what is smoother than this is shading, which strangers share
# Pictures a side in one block of pairs; pairs whose kept pictures are compared at once; pairs aligned at once.
TILE, CHUNK, BATCH = 2048, 4096, 64


@dataclass(frozen=True)
class DuplicatePair:
    """Two pictures that show the same.

    Attributes:
        first: The one that stands earlier in the data set.
        second: The other.
        hash_distance: Bits of 256 in which their perceptual hashes differ.
        detail_correlation: Of their aligned detail, 1 for equal pictures.
        embedding_similarity: Cosine of their embeddings; None where no embeddings were given.
    """

    first: CaptionedImage
    second: CaptionedImage
    hash_distance: int
    detail_correlation: float
    embedding_similarity: float | None = None

    @property
    def crosses_splits(self) -> bool:
        """Whether the two stand in different splits."""
        return self.first.split != self.second.split

    @property
    def crosses_datasets(self) -> bool:
        """Whether the two come from different data sets."""
        return self.first.source != self.second.source

    def __str__(self) -> str:
        """Return both pictures with what was measured, for a line of a report."""
        first, second = (f"{item.source} {item.split or 'no split'} {item.name}" for item in (self.first, self.second))
        cosine = "" if self.embedding_similarity is None else f", cosine {self.embedding_similarity:.3f}"
        measured = f"{self.hash_distance} of 256 bits, detail {self.detail_correlation:.2f}"
        return f"{first} and {second} ({measured}{cosine})"


@dataclass(frozen=True)
class Fingerprints:
    """What is kept of each picture: 2.3 kB, so a hundred thousand take 230 MB.

    Attributes:
        hashes: (images, 4) uint64, the bits of the perceptual hash.
        small: (images, SMALL, SMALL) uint8, gray.
    """

    hashes: np.ndarray
    small: np.ndarray


def find_near_duplicates(
    dataset: CaptionDataset,
    *,
    embeddings: np.ndarray | None = None,
    min_embedding_similarity: float = MIN_EMBEDDING_SIMILARITY,
    workers: int | None = None,
) -> tuple[DuplicatePair, ...]:
    """Finds the pairs of pictures that show the same, within and between splits and data sets.

    Copies are found that were resized, recompressed, recolored, or cropped by up to a tenth. Mirrored and turned
    ones are not, unless by their embeddings. RSICD's 10,921 pictures take half a minute on two cores.

    Args:
        dataset: The pictures; ``one + other`` compares two data sets. What cannot be decoded is left out, with a
            warning.
        embeddings: (images, dim) of any length but zero. With them a pair counts too, whatever its pixels say, if
            its cosine is `min_embedding_similarity` or more.
        min_embedding_similarity: From what cosine on. Models differ in this: look at the pairs.
        workers: Threads that decode; None takes one a core.

    Returns:
        The pairs, those with the most equal detail first.

    Raises:
        ValueError: If the embeddings are not one finite row other than zero for each picture, or there are pictures
            and not one can be decoded.
    """
    if embeddings is not None:
        embeddings = _unit_rows(embeddings, len(dataset))
    unreadable: dict[int, str] = {}
    prints = fingerprints(list(dataset), workers, unreadable)
    if unreadable and embeddings is not None:
        embeddings = np.delete(embeddings, list(unreadable), axis=0)
    dataset = dataset.without_unreadable(unreadable)
    rows = [_by_pixels(prints)]
    if embeddings is not None:
        rows.append(_by_embeddings(prints, embeddings, min_embedding_similarity))
    found = {(int(i), int(j)): (int(distance), float(detail)) for i, j, distance, detail in np.concatenate(rows)}
    pairs = (
        DuplicatePair(
            dataset[i],
            dataset[j],
            distance,
            detail,
            None if embeddings is None else float(embeddings[i] @ embeddings[j]),
        )
        for (i, j), (distance, detail) in sorted(found.items())
    )
    return tuple(sorted(pairs, key=lambda pair: -pair.detail_correlation))


def fingerprints(
    pictures: Sequence[CaptionedImage | Path], workers: int | None = None, unreadable: dict[int, str] | None = None
) -> Fingerprints:
    """Decodes pictures in parallel and keeps a perceptual hash and a small gray version of each.

    The hash is ImageHash's ``phash``: the signs of the lowest frequencies of a cosine transform.

    Args:
        pictures: Of a data set, or image files.
        workers: Threads; None takes one a core.
        unreadable: Receives the position and the reason of each picture that cannot be decoded, which then has no
            row. Without it, such a picture raises an `ImageError`.
    """
    hashes = np.zeros((len(pictures), HASH_SIDE**2 // 64), np.uint64)
    small = np.zeros((len(pictures), SMALL, SMALL), np.uint8)

    def take(number: int) -> None:
        try:
            hashes[number], small[number] = _fingerprint(pictures[number])
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable[number] = str(error)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        list(pool.map(take, range(len(pictures))))
    kept = [number for number in range(len(pictures)) if not unreadable or number not in unreadable]
    return Fingerprints(hashes[kept], small[kept])


def _fingerprint(picture: CaptionedImage | Path) -> tuple[np.ndarray, np.ndarray]:
    import imagehash
    from PIL import Image

    image = read_image(picture) if isinstance(picture, Path) else read_image(picture.path, picture.reading)
    gray = image.convert("L")
    bits = np.packbits(imagehash.phash(gray, hash_size=HASH_SIDE).hash)
    return bits.view(np.uint64), np.asarray(gray.resize((SMALL, SMALL), Image.Resampling.BOX))


def _by_pixels(prints: Fingerprints) -> np.ndarray:
    """The pairs whose hash, coarse and detailed pictures agree: (pairs, 4), two indices, distance, correlation."""
    coarse = _centered(_shrunk(prints.small, COARSE))
    found = [np.zeros((0, 4))]
    for rows, columns in _tiles(len(prints.hashes)):
        distances = _hash_distances(prints.hashes[rows], prints.hashes[columns])
        for pairs in _pairs_of_tile(distances <= MAX_HASH_DISTANCE, rows, columns):
            alike = np.einsum("nd,nd->n", coarse[pairs[:, 0]], coarse[pairs[:, 1]]) >= MIN_COARSE_CORRELATION
            # A picture without any detail correlates with nothing; those that are quite equal must not get lost.
            alike |= (prints.small[pairs[:, 0]] == prints.small[pairs[:, 1]]).all(axis=(1, 2))
            measured = _measured(prints, pairs[alike])
            found.append(measured[measured[:, 3] >= MIN_DETAIL_CORRELATION])
    return np.concatenate(found)


def _by_embeddings(prints: Fingerprints, embeddings: np.ndarray, least: float) -> np.ndarray:
    """The pairs with a cosine of at least ``least``, measured as `_by_pixels` does, whatever comes out."""
    found = [np.zeros((0, 4))]
    for rows, columns in _tiles(len(embeddings)):
        similar = embeddings[rows] @ embeddings[columns].T >= least
        found += [_measured(prints, pairs) for pairs in _pairs_of_tile(similar, rows, columns)]
    return np.concatenate(found)


def _tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """The blocks on and above the diagonal of all pairs, so that memory is bounded whatever the number."""
    starts = range(0, count, TILE)
    for first in starts:
        for second in starts:
            if second >= first:
                yield slice(first, first + TILE), slice(second, second + TILE)


def _pairs_of_tile(marks: np.ndarray, rows: slice, columns: slice) -> Iterator[np.ndarray]:
    """The marked pairs (pairs, 2) of a block, in indices of the data set, each pair once, not too many at a time."""
    pairs = np.argwhere(marks) + np.array([rows.start, columns.start])
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    for start in range(0, len(pairs), CHUNK):
        yield pairs[start : start + CHUNK]


def _hash_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Differing bits of hashes (n, words) and (m, words) uint64: (n, m) uint16."""
    distances = np.zeros((len(first), len(second)), np.uint16)
    for word in range(first.shape[1]):
        distances += np.bitwise_count(first[:, word, None] ^ second[None, :, word])
    return distances


def _measured(prints: Fingerprints, pairs: np.ndarray) -> np.ndarray:
    """Pairs (pairs, 2) with their hash distance and detail correlation: (pairs, 4) float64."""
    differing = np.bitwise_count(prints.hashes[pairs[:, 0]] ^ prints.hashes[pairs[:, 1]])
    details = [np.zeros(0)]
    for start in range(0, len(pairs), BATCH):
        first, second = (prints.small[column] for column in pairs[start : start + BATCH].T)
        details.append(detail_correlation(first, second))
    return np.column_stack([pairs, differing.sum(axis=1, dtype=np.int64), np.concatenate(details)])


def detail_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How well the detail of two pictures agrees, where one may be a crop of the other.

    Each picture is compared with 37 views of the other: crops of 90 to 100 % of its height and width in nine
    places. Detail is what is left when a Gaussian blur is taken off; without that two beaches with the sea on one
    side would agree.

    Args:
        first: (pairs, SMALL, SMALL) uint8, gray.
        second: The same.

    Returns:
        (pairs,) the best correlation, from -1 to 1; 1 for equal pictures.
    """
    views = [_detail_views(pictures) for pictures in (first, second)]
    correlations = [np.einsum("nvd,nd->nv", some, other[:, 0]).max(axis=1) for some, other in (views, reversed(views))]
    equal = (first == second).all(axis=(1, 2))
    return np.where(equal, 1.0, np.maximum(*correlations))


def _detail_views(pictures: np.ndarray) -> np.ndarray:
    """The detail of each view, the whole first: (pictures, views, VIEW * VIEW) float32 of unit length."""
    down, across = _view_weights()
    views = down @ pictures[:, None].astype(np.float32) @ across
    return _centered(views - _blur() @ views @ _blur().T)


@cache
def _view_weights() -> tuple[np.ndarray, np.ndarray]:
    """What cuts and shrinks each view when it is multiplied: (views, VIEW, SMALL) and (views, SMALL, VIEW)."""
    places = [
        (share, top, left)
        for share in KEPT_SHARES
        for top in np.unique([0, (1 - share) / 2, 1 - share])
        for left in np.unique([0, (1 - share) / 2, 1 - share])
    ]
    down = np.stack([_area_weights(share, top) for share, top, _ in places])
    across = np.stack([_area_weights(share, left).T for share, _, left in places])
    return down, across


def _area_weights(share: float, start: float, size: int = VIEW) -> np.ndarray:
    """The weights (size, SMALL) that average the pixels under each of ``size`` equal parts of a stretch.

    Args:
        share: Length of the stretch, of the whole side.
        start: Where it begins, from 0 to 1.
        size: Into how many parts it is divided.
    """
    edges = start + share * np.arange(size + 1) / size
    borders = np.arange(SMALL + 1) / SMALL
    ends = np.minimum(edges[1:, None], borders[1:])
    overlap = np.clip(ends - np.maximum(edges[:-1, None], borders[:-1]), 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


@cache
def _blur() -> np.ndarray:
    """The weights (VIEW, VIEW) of a Gaussian blur that takes the edge for a mirror."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(np.eye(VIEW, dtype=np.float32), DETAIL_DEVIATION, axis=0)


def _shrunk(small: np.ndarray, side: int) -> np.ndarray:
    weights = _area_weights(1.0, 0.0, side)
    return weights @ small.astype(np.float32) @ weights.T


def _centered(pictures: np.ndarray) -> np.ndarray:
    """Pictures (..., side, side) as rows (..., side * side) of mean 0 and length 1; flat ones stay 0."""
    rows = pictures.reshape(*pictures.shape[:-2], pictures.shape[-2] * pictures.shape[-1])
    rows = rows - rows.mean(axis=-1, keepdims=True)
    # One part in a thousand of a gray level is rounding, not a picture.
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-3 * rows.shape[-1] ** 0.5)


def _unit_rows(embeddings: np.ndarray, count: int) -> np.ndarray:
    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise ValueError(f"Embeddings of shape {embeddings.shape} are not one row for each of {count} pictures.")
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    broken = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
    if len(broken):
        raise ValueError(
            f"{len(broken)} embeddings are zero or not finite, the first in row {broken[0]}: embed these again."
        )
    return embeddings / lengths
