"""A graph over vectors some of which are equal, as those of blank tiles are.

HNSW links a vector to its closest ones. Those of many equal vectors are each other, so that they become an island and
the walk to others breaks off. So each vector is in the graph once, and answers with all its equals.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from utils.search.engines import Engine


def first_equals(vectors: np.ndarray) -> np.ndarray:
    """For each vector (vectors, dim) the number of the first one that is equal to it, bit by bit: (vectors,) int64."""
    seen: dict[bytes, int] = {}
    digests = (blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(vectors))
    firsts = (seen.setdefault(digest, number) for number, digest in enumerate(digests))
    return np.fromiter(firsts, np.int64, len(vectors))


class DistinctEngine:
    """Searches distinct vectors by another engine, and gives each back with all that equal it.

    Args:
        vectors: (vectors, dim) float32, of unit length.
        firsts: (vectors,) int64, from `first_equals`.
        make: Makes the engine of (distinct, dim) vectors.
    """

    def __init__(self, vectors: np.ndarray, firsts: np.ndarray, make: Callable[[np.ndarray], Engine]) -> None:
        self._vectors = vectors
        self._distinct, groups = np.unique(firsts, return_inverse=True)
        # The members of group g, in the order of the vectors, are the part of these from the g-th edge to the next.
        self._members = np.argsort(groups, kind="stable")
        self._edges = np.append(0, np.cumsum(np.bincount(groups)))
        self._engine = make(vectors[self._distinct])
        self.name = self._engine.name

    @property
    def width(self) -> int:
        """How many distinct candidates a query keeps; see `utils.search.engines.Engine`."""
        return self._engine.width

    @width.setter
    def width(self, width: int) -> None:
        self._engine.width = width

    @property
    def widths(self) -> dict[int, int]:
        """The width of each number of answers that one was measured for."""
        return self._engine.widths

    @widths.setter
    def widths(self, widths: dict[int, int]) -> None:
        self._engine.widths = widths

    @property
    def query_parameters(self) -> dict[str, int]:
        """What the queries run with, as the library calls it."""
        return self._engine.query_parameters

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """See `Engine`; equal similarities stand in the order of the vectors."""
        found = self._engine.nearest(queries, min(k, len(self._distinct)))
        numbers = np.full((len(queries), k), -1, np.int64)
        for row, query, groups in zip(numbers, queries, found, strict=True):
            answer = self._expanded(query, groups[groups >= 0], k)
            row[: len(answer)] = answer
        return numbers

    def _expanded(self, query: np.ndarray, groups: np.ndarray, k: int) -> np.ndarray:
        """The first k members of some groups, closest first."""
        similarities = self._vectors[self._distinct[groups]] @ query
        starts, ends = self._edges[groups], self._edges[groups + 1]
        parts = [self._members[slice(*edges)] for edges in zip(starts, np.minimum(ends, starts + k), strict=True)]
        members = np.concatenate([np.zeros(0, np.int64), *parts])
        order = np.lexsort((members, -np.repeat(similarities, [len(part) for part in parts])))
        return members[order[:k]]

    def save(self, path: Path) -> None:
        """Writes the graph over the distinct vectors."""
        self._engine.save(path)
