"""Finding the vectors closest to another: exactly, or by a graph that is asked how much of the truth it finds.

Every engine takes unit vectors and answers by cosine similarity, so that one can stand in for another. A graph
is approximate: `widen` raises its width of search until it finds what exact search finds, for each number of answers
that people ask for.
"""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from utils.search.distinct import DistinctEngine, first_equals
from utils.search.errors import SearchError
from utils.search.held_out import recall as recall  # for those who measure an engine beside these
from utils.search.held_out import recall_by_similarity, strangers, text_like

ENGINES = ("auto", "exact", "nmslib", "hnswlib")

# From so many vectors on a query through NMSLib's graph is faster than one matrix product: about as fast at 2,000
# vectors of 512 (8,100 and 8,600 queries a second, one by one on one thread of an AMD EPYC), 1.7 times as fast at
# 3,000, 13 times at 10,000; with 128 numbers a vector from 1,000 on. tests/benchmarks/bench_search.py measures it.
EXACT_BELOW = 2_000

BUILD_PARAMETERS = {"M": 16, "efConstruction": 200, "post": 0}
RECALL_WANTED = 0.99
WIDTHS = (50, 100, 200, 400, 800, 1600, 3200)
# Numbers of answers that a width is measured for: 8,000 vectors of 512 like embeddings of pictures want a width of 100
# for ten answers, and have a recall of 0.94 at a hundred with it; they want 200 for fifty and 400 for a hundred.
COUNTS = (10, 50, 100)


class Engine(Protocol):
    """What answers a search.

    Attributes:
        name: One of `ENGINES` but ``auto``.
        width: How many candidates a query for ten keeps (HNSW's efSearch); 0 where nothing is approximate. Writable:
            what is set holds for any number of answers.
        widths: The width of each number of answers that one was measured for, in rising order; empty where ``width``
            holds for all. Writable.
    """

    name: str
    width: int
    widths: dict[int, int]

    @property
    def query_parameters(self) -> dict[str, int]:
        """What the queries run with, as the library calls it."""

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Numbers of the k closest vectors of each query (queries, dim): (queries, k) int64, -1 for none."""

    def save(self, path: Path) -> None:
        """Writes what took time to build; an engine that has nothing such writes nothing.

        Raises:
            OSError: If the disk takes no more.
        """


class ExactEngine:
    """Compares a query with every vector: one matrix product.

    Args:
        vectors: (vectors, dim) float32, of unit length.
    """

    name = "exact"
    width = 0
    widths: dict[int, int] = {}  # noqa: RUF012
    query_parameters: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """See `Engine`; equal similarities stand in the order of the vectors."""
        # Blocks of queries bound the memory that the similarities take to about 256 MB.
        block = max(1, (1 << 26) // len(self._vectors))
        parts = [
            largest(queries[start : start + block] @ self._vectors.T, k) for start in range(0, len(queries), block)
        ]
        return np.concatenate([np.zeros((0, min(k, len(self._vectors))), np.int64), *parts])

    def save(self, path: Path) -> None:
        """Writes nothing: the vectors are all there is."""


def largest(similarities: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest values of each row, largest first, of equal ones the first.

    Args:
        similarities: (queries, vectors) float32.
        k: How many; all of them if there are no more.

    Returns:
        (queries, k) int64.
    """
    k = min(k, similarities.shape[1])
    return np.array([_largest(row, k) for row in similarities], np.int64).reshape(len(similarities), k)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    # A partition alone picks any of the values that equal the k-th, which pictures kept twice do.
    chosen = np.arange(len(values))
    if k < len(values):
        chosen = np.flatnonzero(values >= np.partition(values, -k)[-k])
    return chosen[np.argsort(-values[chosen], kind="stable")[:k]]


class _Graph:
    """The width of a graph's search; no library writes it into its file, so it is set again on loading."""

    _option: str  # what the library calls the width

    def __init__(self, width: int) -> None:
        self._asking = threading.Lock()  # a query of one width must not change that of another
        self.width = width

    @property
    def width(self) -> int:
        """How many candidates a query keeps, a query for ten where that depends on the number."""
        return self._width

    @width.setter
    def width(self, width: int) -> None:
        self._width, self._widths = width, {}

    @property
    def widths(self) -> dict[int, int]:
        """The width of each number of answers that one was measured for."""
        return self._widths

    @widths.setter
    def widths(self, widths: dict[int, int]) -> None:
        self._widths = dict(sorted(widths.items()))
        self._width = next(iter(self._widths.values()), self._width)

    def width_for(self, k: int) -> int:
        """The width that a query for k runs with: that of the next number it was measured for.

        For more than all of these the last width grows with k.
        """
        if not self._widths:
            return self._width
        most, widest = list(self._widths.items())[-1]
        return next((width for count, width in self._widths.items() if count >= k), -(-widest * k // most))

    @property
    def query_parameters(self) -> dict[str, int]:
        """What queries for ten run with, as the library calls it."""
        return {self._option: self._width}


class NmslibEngine(_Graph):
    """NMSLib's HNSW graph (Malkov and Yashunin 2018) over cosine similarity.

    Args:
        vectors: (vectors, dim) float32, of unit length.
        saved: A graph over the same vectors to load instead of building one.
        width: efSearch, the candidates that a query keeps.
        threads: Threads that build. With more than one, the order in which vectors enter differs from run to run.

    A graph that is built twice is not always the same graph, nor are all its answers: NMSLib draws the level of each
    vector from a generator that belongs to the process and goes on, so that with one thread too the second graph of a
    process differs from its first. What was saved and loaded answers alike.
    """

    name = "nmslib"
    _option = "efSearch"

    def __init__(
        self, vectors: np.ndarray, saved: Path | None = None, width: int = WIDTHS[0], threads: int = 1
    ) -> None:
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
        super().__init__(width)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """See `Engine`; a graph may find fewer than k."""
        numbers = np.full((len(queries), k), -1, np.int64)
        with self._asking:
            self._graph.setQueryTimeParams({self._option: self.width_for(k)})
            # One thread: to start more takes longer than a query.
            answers = self._graph.knnQueryBatch(queries, k=k, num_threads=1)
        for row, (found, _) in zip(numbers, answers, strict=True):
            row[: len(found)] = found
        return numbers

    def save(self, path: Path) -> None:
        """Writes the graph and in it the vectors, so that a loaded graph needs no others."""
        if self._loaded:
            self._loaded.seek(0)
            with path.open("wb") as file:
                shutil.copyfileobj(self._loaded, file)
            return
        try:
            self._graph.saveIndex(str(path), save_data=False)
        except RuntimeError as error:  # "iostream error", whatever stops the writing
            raise OSError(errno.ENOSPC, str(error), str(path)) from None


class HnswlibEngine(_Graph):
    """The same kind of graph by hnswlib, an optional extra, faster because it is compiled for the machine it is on.

    Args:
        vectors: (vectors, dim) float32, of unit length.
        saved: A graph over the same vectors to load instead of building one.
        width: ef, the candidates that a query keeps.
        threads: Threads that build; one gives the same graph every time.
    """

    name = "hnswlib"
    _option = "ef"

    def __init__(
        self, vectors: np.ndarray, saved: Path | None = None, width: int = WIDTHS[0], threads: int = 1
    ) -> None:
        self._graph: Any = _library("hnswlib").Index("ip", vectors.shape[1])
        if saved is None:
            links, candidates = BUILD_PARAMETERS["M"], BUILD_PARAMETERS["efConstruction"]
            self._graph.init_index(len(vectors), M=links, ef_construction=candidates, random_seed=0)
            self._graph.add_items(vectors, num_threads=threads)
        else:
            self._graph.load_index(str(saved))
        super().__init__(width)

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        """See `Engine`; where hnswlib finds fewer than k for any of the queries, it gives none."""
        try:
            with self._asking:
                self._graph.set_ef(self.width_for(k))
                return self._graph.knn_query(queries, k, num_threads=1)[0].astype(np.int64)
        except RuntimeError:
            return np.full((len(queries), k), -1, np.int64)

    def save(self, path: Path) -> None:
        """Writes the graph, and with it the vectors once more."""
        self._graph.save_index(str(path))
        if path.stat().st_size != self._graph.index_file_size():  # it does not notice a full disk
            raise OSError(errno.ENOSPC, "hnswlib could not write the whole graph", str(path))


def choose_engine(name: str, count: int) -> str:
    """The name of the engine that serves so many vectors, where ``auto`` is asked for.

    Raises:
        SearchError: If there is no engine of that name, or its library is not installed.
    """
    if name not in ENGINES:
        raise SearchError(f"There is no search engine {name!r}; choose one of {', '.join(ENGINES)}.")
    if name == "auto":
        name = "exact" if count < EXACT_BELOW else "nmslib"
    if name != "exact":
        _library(name)
    return name


def make_engine(
    name: str, vectors: np.ndarray, saved: Path | None = None, width: int = WIDTHS[0], once: bool = True
) -> Engine:
    """An engine over unit vectors (vectors, dim), built, or loaded from what `Engine.save` has written.

    Two graphs over the same vectors may differ in an answer, see `NmslibEngine`.

    Args:
        name: One of `ENGINES` but ``auto``.
        vectors: (vectors, dim) float32, of unit length.
        saved: The file that `Engine.save` wrote; None builds.
        width: The candidates that a query keeps.
        once: Whether a graph holds equal vectors once; those of earlier versions hold each.
    """
    if name == "exact":
        return ExactEngine(vectors)
    graph = {"nmslib": NmslibEngine, "hnswlib": HnswlibEngine}[name]
    firsts = first_equals(vectors) if once else np.arange(len(vectors))
    if np.array_equal(firsts, np.arange(len(vectors))):
        return graph(vectors, saved, width)
    return DistinctEngine(vectors, firsts, lambda distinct: graph(distinct, saved, width))


def widen(engine: Engine, vectors: np.ndarray, wanted: float = RECALL_WANTED, counts: Sequence[int] = COUNTS) -> float:
    """Chooses the width of an engine's search for each number of answers, so that its recall is as wanted.

    Measured on `strangers`, which are like pictures, and on `text_like` queries: both kinds must reach what is wanted.

    Args:
        engine: The engine; its widths are changed. Exact search is left as it is.
        vectors: (vectors, dim) float32, the vectors that it searches.
        wanted: The recall to reach.
        counts: Numbers of answers, rising, each of which gets a width.

    Returns:
        The recall reached at the first count, of the kind of query that has less of it; under ``wanted`` where not even
        the greatest width finds so many.
    """
    if not engine.width:
        return 1.0
    counts = [count for count in counts if count < len(vectors)] or [len(vectors)]
    kinds = (strangers(vectors), text_like(vectors))
    exact = [ExactEngine(vectors).nearest(queries, counts[-1]) for queries in kinds]
    widths, recalls = {}, []
    for count in counts:
        # More answers never want a narrower search.
        for engine.width in (width for width in WIDTHS if width >= max(widths.values(), default=0)):
            reached = min(
                recall_by_similarity(engine.nearest(queries, count), truth[:, :count], queries, vectors)
                for queries, truth in zip(kinds, exact, strict=True)
            )
            if reached >= wanted:
                break
        widths[count] = engine.width
        recalls.append(reached)
    engine.widths = widths
    return recalls[0]


def _library(name: str) -> Any:
    """The module of an engine."""
    try:
        with _silent_stderr():  # NMSLib's wheel prints advice on compiling it at every import
            return importlib.import_module(name)
    except ImportError:
        raise SearchError(
            f"{name} is not installed, so there is no graph to search: pip install {name}, or take engine='exact'."
        ) from None


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Closes the process's standard error for a moment, to what compiled code prints there too."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
