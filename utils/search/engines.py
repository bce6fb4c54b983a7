"""Finds the vectors closest to another, exactly or by a graph, whose width is chosen in `utils.search.widths`.

Every engine takes unit vectors and ranks by cosine similarity, so that one can stand in for another.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import threading
import weakref
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from utils.search.coarse import CoarseVectors

# From so many vectors on a query through NMSLib's graph is faster than one matrix product: about as fast at 2,000
# vectors of 512 (8,100 and 8,600 queries a second, one by one on one thread of an AMD EPYC), 1.7 times as fast at
# 3,000, 13 times at 10,000; with 128 numbers a vector from 1,000 on. tests/benchmarks/bench_search.py measures it.
EXACT_BELOW = 2_000

# From so many vectors on, exact search keeps them in eight bits, too. Below, a query takes less than 20 ms as it is.
COARSE_FROM = 100_000
FEW = 4  # queries that one reading of the eight bits answers; more at once are as fast by one product of all
RERANKED = 1 / 32  # the share of vectors that is compared once more at most

BUILD_PARAMETERS = {"M": 16, "efConstruction": 200, "post": 0}
WIDTHS = (50, 100, 200, 400, 800, 1600, 3200)


class SearchError(ValueError):
    """An index or a query that cannot work; the message says what is wrong, where, and what to do."""


class ExactEngine:
    """Compares a query with every vector, (vectors, dim) float32 of unit length: one matrix product.

    Few queries over `COARSE_FROM` vectors and more are compared in eight bits first, and then with those vectors alone
    that rounding leaves in question: the same are found, in the order of similarities in float64. The bytes, a quarter
    of the vectors' memory, are made at the first such query. Where too many are left, all are compared.
    """

    name = "exact"  # one of `ENGINES` but auto
    merges_equals = False  # whether a graph holds equal vectors once

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors
        self._making = threading.Lock()
        self._coarse: CoarseVectors | None = None
        self._coarse_from = COARSE_FROM
        self.width = 0  # candidates that a query for ten keeps (HNSW's efSearch); one that is set holds for any number
        self.widths: dict[int, int] = {}  # for each number of hits that one was measured for, rising
        self.query_parameters: dict[str, int] = {}  # what queries for ten run with, as the library calls it

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers of the k closest vectors (or all) of each query (queries, dim), (queries, k) int64, ties in order."""
        if 0 < len(queries) <= FEW and (coarse := self._coarse_vectors()):
            pairs = zip(queries, coarse.candidates(queries, k), strict=True)
            found = [self._nearest_among(query, candidates, k) for query, candidates in pairs]
        else:
            # Blocks of queries bound the memory that the similarities take to about 256 MB.
            block = max(1, (1 << 26) // len(self._vectors))
            starts = range(0, len(queries), block)
            found = [largest(queries[start : start + block] @ self._vectors.T, k) for start in starts]
        return np.concatenate([np.zeros((0, min(k, len(self._vectors))), np.int64), *found])

    def _coarse_vectors(self) -> CoarseVectors | None:
        """The vectors in eight bits; None for few vectors, or where torch cannot multiply them."""
        with self._making:
            if self._coarse is None and len(self._vectors) >= self._coarse_from:
                try:
                    self._coarse = CoarseVectors(self._vectors)
                except (ArithmeticError, AttributeError, ImportError, RuntimeError):  # torch on another processor
                    self._coarse_from = sys.maxsize
            return self._coarse

    def _nearest_among(self, query: np.ndarray, candidates: np.ndarray, k: int) -> np.ndarray:
        """Numbers (1, k) of the closest among candidates; among all vectors if these are too many."""
        if len(candidates) > RERANKED * len(self._vectors):
            return largest(query[None] @ self._vectors.T, k)
        # Row by row, so that equal vectors are equally similar wherever they stand.
        similarities = np.einsum("cd,d->c", self._vectors[candidates], query.astype(np.float64))
        return candidates[largest(similarities[None], k)]

    def save(self, path: Path) -> None:
        """Writes nothing: the vectors are all there is."""


def largest(similarities: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest values in each row of (queries, vectors), the largest first and equal ones in order."""
    count = similarities.shape[1]
    numbers = np.zeros((len(similarities), min(k, count)), np.int64)
    for row, values in zip(numbers, similarities, strict=True):
        # A partition alone picks any of the values that equal the k-th, as those of near-duplicates do.
        chosen = np.flatnonzero(values >= np.partition(values, -k)[-k]) if k < count else np.arange(count)
        row[:] = chosen[np.argsort(-values[chosen], kind="stable")[:k]]
    return numbers


class _Graph:
    """An HNSW graph (Malkov and Yashunin 2018), approximate; attributes as those of `ExactEngine`.

    The closest of many equal vectors, as of blank tiles, are each other: linked to no others, they would end every walk
    that meets them. So each vector is in the graph once, and is found with all its equals; ``once`` is False for graphs
    of earlier versions, which hold each. ``saved`` is the file of a graph over the same vectors, to be loaded.
    """

    name: str
    _option: str  # what the library calls the width

    def __init__(self, vectors: np.ndarray, saved: Path | None = None, threads: int = 1, once: bool = True) -> None:
        self._asking = threading.Lock()  # a query of one width must not change that of another
        firsts = _first_equals(vectors) if once else np.arange(len(vectors))
        distinct, groups = np.unique(firsts, return_inverse=True)
        self.merges_equals = len(distinct) < len(vectors)
        # The members of group g, in the order of the vectors, are the part of these from the g-th edge to the next.
        self._members = np.argsort(groups, kind="stable")
        self._edges = np.append(0, np.cumsum(np.bincount(groups)))
        self._open(vectors[distinct] if self.merges_equals else vectors, saved, threads)
        self.width = WIDTHS[0]

    @property
    def width(self) -> int:
        """See `ExactEngine`."""
        return next(iter(self.widths.values()), self._width)

    @width.setter
    def width(self, width: int) -> None:
        self._width = width
        self.widths: dict[int, int] = {}

    def width_for(self, k: int) -> int:
        """The width of a query for k hits."""
        return width_for(self.widths, k) if self.widths else self._width

    @property
    def query_parameters(self) -> dict[str, int]:
        """See `ExactEngine`."""
        return {self._option: self.width}

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers of the k closest vectors of each query (queries, dim), (queries, k) int64; -1 where none is found."""
        with self._asking:
            found = self._search(queries, min(k, len(self._edges) - 1) if self.merges_equals else k)
        if not self.merges_equals:
            return found
        numbers = np.full((len(queries), k), -1, np.int64)
        for row, groups in zip(numbers, found, strict=True):
            parts = [self._members[self._edges[group] : self._edges[group + 1]][:k] for group in groups if group >= 0]
            members = np.concatenate([np.zeros(0, np.int64), *parts])[:k]
            row[: len(members)] = members
        return numbers

    def _open(self, vectors: np.ndarray, saved: Path | None, threads: int) -> None:
        raise NotImplementedError

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        raise NotImplementedError


def _first_equals(vectors: np.ndarray) -> np.ndarray:
    """The number of the first vector that is equal to each of (vectors, dim), bit by bit: (vectors,) int64."""
    seen: dict[bytes, int] = {}
    digests = (blake2b(row, digest_size=16).digest() for row in np.ascontiguousarray(vectors))
    return np.fromiter((seen.setdefault(digest, number) for number, digest in enumerate(digests)), np.int64)


def width_for(widths: Mapping[int, int], k: int) -> int:
    """The width for k hits, of those measured for rising numbers: the next one's; beyond the last it grows with k."""
    most, widest = list(widths.items())[-1]
    return next((width for count, width in widths.items() if count >= k), -(-widest * k // most))


class NmslibEngine(_Graph):
    """NMSLib's graph over cosine similarity; arguments as those of every graph.

    Built twice it may differ, and so may some hits: levels are drawn from a generator of the process. What was saved
    and loaded finds the same.
    """

    name = "nmslib"
    _option = "efSearch"

    def _open(self, vectors: np.ndarray, saved: Path | None, threads: int) -> None:
        self._graph: Any = _library("nmslib").init(method="hnsw", space="cosinesimil")
        self._loaded: BinaryIO | None = None
        if saved is None:
            self._graph.addDataPointBatch(vectors)
            self._graph.createIndex(BUILD_PARAMETERS | {"indexThreadQty": threads})
        else:
            # The saved graph holds the vectors in its own layout: added again, they would only take memory twice.
            # But without them NMSLib saves a graph that finds nothing, so the file is kept at hand to be copied.
            self._loaded = saved.open("rb")
            weakref.finalize(self, self._loaded.close)
            self._graph.loadIndex(str(saved), load_data=False)

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._graph.setQueryTimeParams({self._option: self.width_for(k)})
        numbers = np.full((len(queries), k), -1, np.int64)
        # One thread: to start more takes longer than a query.
        for row, (found, _) in zip(numbers, self._graph.knnQueryBatch(queries, k=k, num_threads=1), strict=True):
            row[: len(found)] = found
        return numbers

    def save(self, path: Path) -> None:
        """Writes the graph and in it the vectors; an OSError or a RuntimeError if the disk takes no more."""
        if self._loaded:
            self._loaded.seek(0)
            with path.open("wb") as file:
                shutil.copyfileobj(self._loaded, file)
        else:
            self._graph.saveIndex(str(path), save_data=False)


class HnswlibEngine(_Graph):
    """The same kind of graph by hnswlib, an optional extra: faster, and with one thread the same every time."""

    name = "hnswlib"
    _option = "ef"

    def _open(self, vectors: np.ndarray, saved: Path | None, threads: int) -> None:
        self._graph: Any = _library("hnswlib").Index("ip", vectors.shape[1])
        if saved is None:
            links, candidates = BUILD_PARAMETERS["M"], BUILD_PARAMETERS["efConstruction"]
            self._graph.init_index(len(vectors), M=links, ef_construction=candidates, random_seed=0)
            self._graph.add_items(vectors, num_threads=threads)
        else:
            self._graph.load_index(str(saved))

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        try:
            self._graph.set_ef(self.width_for(k))
            return self._graph.knn_query(queries, k, num_threads=1)[0].astype(np.int64)
        except RuntimeError:  # it finds fewer than k for one of the queries, and gives none for any
            return np.full((len(queries), k), -1, np.int64)

    def save(self, path: Path) -> None:
        """Writes the graph and in it the vectors; an OSError if the disk takes no more."""
        self._graph.save_index(str(path))
        if path.stat().st_size != self._graph.index_file_size():  # it does not notice a full disk
            raise OSError("hnswlib could not write the whole graph")


class RabitqlibEngine(_Graph):
    """SymphonyQG (Gou et al. 2025) by rabitqlib, an optional extra: a walk estimates all links of a vector at once.

    The estimates are by codes of one bit for each link, so the graph takes twice the memory of the others. Built twice
    it may differ.
    """

    name = "rabitqlib"
    _option = "ef"
    _LINKS = 32  # the fewest that it has

    def _open(self, vectors: np.ndarray, saved: Path | None, threads: int) -> None:
        index = _library("rabitqlib").SymqgIndex
        self._count, self._dim = len(vectors), max(64, vectors.shape[1])  # of fewer numbers it makes no codes
        if saved is None:
            self._graph: Any = index(self._dim, self._LINKS, metric="ip")
            missing = max(0, self._LINKS + 1 - self._count)  # it has more vectors than links
            padded = np.pad(self._padded(vectors), ((0, missing), (0, 0)))
            self._graph.build(padded, BUILD_PARAMETERS["efConstruction"], num_threads=threads)
        else:
            self._graph = index.load(str(saved))

    def _search(self, queries: np.ndarray, k: int) -> np.ndarray:
        most = self._graph.num_points
        asked = most if self._count <= self._LINKS else min(k, most)
        found = self._graph.search(self._padded(queries), asked, max(asked, self.width_for(k)))[0].astype(np.int64)
        numbers = np.full((len(queries), k), -1, np.int64)
        for row, some in zip(numbers, found, strict=True):
            some = some[some < self._count][:k]
            row[: len(some)] = some
        return numbers

    def _padded(self, vectors: np.ndarray) -> np.ndarray:
        return np.pad(vectors, ((0, 0), (0, self._dim - vectors.shape[1])))

    def save(self, path: Path) -> None:
        """Writes the graph and in it the vectors; an OSError or a RuntimeError if the disk takes no more."""
        self._graph.save(str(path))


Engine = ExactEngine | NmslibEngine | HnswlibEngine | RabitqlibEngine

_GRAPHS: dict[str, type[NmslibEngine | HnswlibEngine | RabitqlibEngine]] = {
    "nmslib": NmslibEngine,
    "hnswlib": HnswlibEngine,
    "rabitqlib": RabitqlibEngine,
}
ENGINES = ("auto", "exact", *_GRAPHS)


def choose_engine(name: str, count: int) -> str:
    """The engine that serves so many vectors, for ``auto``; a `SearchError` if it is unknown or not installed."""
    if name == "milvus":
        raise SearchError(
            "Milvus holds an index of its own: make this one with another engine, then index.to_milvus(uri), which "
            "ImageIndex.from_milvus(uri, model) opens."
        )
    if name not in ENGINES:
        raise SearchError(f"There is no search engine {name!r}; choose one of {', '.join(ENGINES)}.")
    if name == "auto":
        name = "exact" if count < EXACT_BELOW else "nmslib"
    if name != "exact":
        _library(name)
    return name


def make_engine(name: str, vectors: np.ndarray, saved: Path | None = None, once: bool = True) -> Engine:
    """An engine over unit vectors (vectors, dim) float32, built, or loaded from the file that its ``save`` wrote.

    The name is one of `ENGINES` but ``auto``; for the rest see `_Graph`. No library writes the width into its file.
    """
    return ExactEngine(vectors) if name == "exact" else _GRAPHS[name](vectors, saved, once=once)


def _library(name: str) -> Any:
    """Imports a library without standard error, where NMSLib's wheel prints advice on compiling it at every import."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        return importlib.import_module(name)
    except ImportError:
        raise SearchError(
            f"{name} is not installed, so there is no graph to search: pip install {name}, or take engine='exact'."
        ) from None
    finally:
        os.dup2(kept, 2)
        os.close(kept)
