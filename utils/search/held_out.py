"""How much of the truth a graph finds: queries that are no members of an index, and the recall of the answers.

A graph finds its own members however narrow its search, so its recall is measured on others: of the kind of pictures,
and of the kind of texts.
"""

from __future__ import annotations

import numpy as np


def strangers(vectors: np.ndarray, count: int = 200, seed: int = 0) -> np.ndarray:
    """Queries that are not in the index but of its kind, to measure recall with.

    A graph finds its own members however narrow its search, so members as queries flatter it. Half of these are
    midway between two members drawn at random; the other half are members moved by noise of their own length,
    which puts them at a cosine of about 0.7. Texts lie further off, see `text_like`.

    Args:
        vectors: (vectors, dim) float32, of unit length.
        count: How many.
        seed: The same seed gives the same strangers.

    Returns:
        (count, dim) float32, of unit length.
    """
    generator = np.random.default_rng(seed)
    first, second = vectors[generator.integers(len(vectors), size=(2, count))]
    noise = generator.normal(size=first.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return _unit(first + np.where(np.arange(count)[:, None] % 2, second, noise))


def text_like(vectors: np.ndarray, count: int = 200, seed: int = 0) -> np.ndarray:
    """Queries that lie off the pictures as CLIP's texts do, made without a model.

    In CLIP's space texts and pictures fill two narrow cones, apart by a vector that is about the same for all pairs:
    the modality gap (Liang et al. 2022, "Mind the Gap", whose figures for CLIP are a gap of 0.82 and matching pairs at
    cosines of about 0.3). So what a query has of the pictures, here the middle of two members, is shifted by one
    fixed direction drawn at random, twice as long as it: a cosine of about 0.35 to the closest picture. A graph's walk
    is led by a smaller part of the similarity, and needs a wider search for the same recall.

    Args:
        vectors: (vectors, dim) float32, of unit length.
        count: How many.
        seed: The same seed gives the same queries.

    Returns:
        (count, dim) float32, of unit length.
    """
    generator = np.random.default_rng((seed, 1))
    direction = _unit(generator.normal(size=(1, vectors.shape[1])))
    first, second = vectors[generator.integers(len(vectors), size=(2, count))]
    return _unit(_unit(first + second) + 2 * direction).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the true neighbors (queries, k) that was found, whatever the order; for vectors that all differ."""
    shared = [len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True)]
    return float(np.sum(shared)) / exact.size


def recall_by_similarity(found: np.ndarray, exact: np.ndarray, queries: np.ndarray, vectors: np.ndarray) -> float:
    """The share of answers that are as similar to the query as its true k-th neighbor.

    Of vectors that are equal, as those of blank tiles are, any is right; `recall` takes all but those that exact
    search happens to name for misses.

    Args:
        found: (queries, k) numbers of the vectors that were found, each once a row, -1 for none.
        exact: (queries, k) numbers of the k closest, the k-th last.
        queries: (queries, dim) float32, of unit length.
        vectors: (vectors, dim) float32, of unit length.
    """
    similarities = np.einsum("qd,qkd->qk", queries, vectors[found])
    least = np.einsum("qd,qd->q", queries, vectors[exact[:, -1]])
    # Equal vectors differ by rounding where they stand in a product of other size.
    return float(np.mean((found >= 0) & (similarities >= least[:, None] - 1e-6)))
