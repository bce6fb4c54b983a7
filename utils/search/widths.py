"""The width of a graph's search: chosen by how much of the truth the graph finds.

A graph finds its own members however narrow its search, so that members as queries flatter it. Recall is measured on
queries that are not members: of the kind of images, and of the kind of texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from utils.search.engines import WIDTHS, Engine, ExactEngine

RECALL_WANTED = 0.99
# Numbers of hits that a width is measured for: 8,000 vectors of 512 like embeddings of images want a width of 100 for
# ten hits, and have a recall of 0.94 at a hundred with it; they want 200 for fifty and 400 for a hundred.
COUNTS = (10, 50, 100)


def held_out_queries(vectors: np.ndarray, count: int = 200, seed: int = 0) -> np.ndarray:
    """Queries (count, dim) float32 of unit length that are not among the vectors (vectors, dim) but like them.

    Half of them are midway between two members; the others are members moved by noise of their own length (cosine 0.7).
    """
    from utils.clip import unit_length

    generator = np.random.default_rng(seed)
    first, second = vectors[generator.integers(len(vectors), size=(2, count))]
    noise = unit_length(generator.normal(size=first.shape).astype(np.float32))
    return unit_length(first + np.where(np.arange(count)[:, None] % 2, second, noise))


def text_like_queries(vectors: np.ndarray, count: int = 200, seed: int = 0) -> np.ndarray:
    """Queries (count, dim) float32 of unit length that lie off the vectors (vectors, dim) as CLIP's texts off images.

    In CLIP's space texts and images fill two narrow cones, apart by a vector that is about the same for all pairs: the
    modality gap (Liang et al. 2022, "Mind the Gap"), of 0.82, with matching pairs at cosines of about 0.3. So the
    middle of two members is shifted by one direction drawn at random, twice as long as it, to a cosine of about 0.35.
    A graph's walk is led by a smaller part of the similarity, and needs a wider search for the same recall.
    """
    from utils.clip import unit_length

    generator = np.random.default_rng((seed, 1))
    direction = unit_length(generator.normal(size=(1, vectors.shape[1])))
    first, second = vectors[generator.integers(len(vectors), size=(2, count))]
    return unit_length(unit_length(first + second) + 2 * direction).astype(np.float32)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the true neighbors (queries, k) that was found, whatever the order; for vectors that all differ."""
    shared = [len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True)]
    return float(np.sum(shared)) / exact.size


def recall_by_similarity(found: np.ndarray, exact: np.ndarray, queries: np.ndarray, vectors: np.ndarray) -> float:
    """The share of hits as similar to the query as its true k-th neighbor, so that of equal vectors any is right.

    Numbers found, -1 for none, and true ones are (queries, k); queries and vectors (n, dim) have unit length.
    """
    similarities = np.einsum("qd,qkd->qk", queries, vectors[found])
    least = np.einsum("qd,qd->q", queries, vectors[exact[:, -1]])
    # Equal vectors differ by rounding where they stand in a product of other size.
    return float(np.mean((found >= 0) & (similarities >= least[:, None] - 1e-6)))


def choose_widths(engine: Engine, vectors: np.ndarray) -> float:
    """Sets an engine's width for each of `COUNTS` hits, so that both kinds of queries have the `RECALL_WANTED`.

    The vectors (vectors, dim) float32 are those that it searches. Returns the recall at the first count, of the kind of
    query that has less of it; 1 for exact search. Where not even the greatest width reaches the one wanted, as over a
    million vectors, a warning says so.
    """
    if not engine.width:
        return 1.0
    counts = counts_for(len(vectors))
    kinds = (held_out_queries(vectors), text_like_queries(vectors))
    exact = [ExactEngine(vectors).nearest(queries, counts[-1]) for queries in kinds]

    def reached(width: int, count: int) -> float:
        engine.width = width
        return min(
            recall_by_similarity(engine.nearest(queries, count), truth[:, :count], queries, vectors)
            for queries, truth in zip(kinds, exact, strict=True)
        )

    widths, recall_at_first = narrowest_widths(counts, reached)
    engine.widths = widths
    if recall_at_first < RECALL_WANTED:
        warnings.warn(
            f"{engine.name} finds {recall_at_first:.0%} of the {counts[0]} closest among {len(vectors):,} vectors, "
            "searching as widely as it may; engine='exact' finds all.",
            stacklevel=2,
        )
    return recall_at_first


def counts_for(members: int) -> list[int]:
    """For which of `COUNTS` hits the width of a graph over so many members is measured."""
    return [count for count in COUNTS if count < members] or [members]


def narrowest_widths(counts: Sequence[int], reached: Callable[[int, int], float]) -> tuple[dict[int, int], float]:
    """The narrowest of `WIDTHS` with the `RECALL_WANTED` for each of rising counts of hits, else the greatest.

    ``reached`` measures the recall at a width for a count. Returns the widths, and the recall at the first count.
    """
    widths: dict[int, int] = {}
    recalls = []
    for count in counts:
        # More hits never want a narrower search.
        for width in (width for width in WIDTHS if width >= max(widths.values(), default=0)):
            measured = reached(width, count)
            if measured >= RECALL_WANTED:
                break
        widths[count] = width
        recalls.append(measured)
    return widths, recalls[0]
