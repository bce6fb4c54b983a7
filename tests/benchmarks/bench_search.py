"""How fast is a search here: exact search and NMSLib beside hnswlib, FAISS and usearch, in one run.

    python tests/benchmarks/bench_search.py --sizes 10000 100000
    python tests/benchmarks/bench_search.py --sizes 1000 --engines exact nmslib       # a few seconds

The vectors are made to be like embeddings of pictures: unit vectors of `--dim` numbers from 200 clusters of uneven
size; within a cluster they spread over 24 directions of its own, and a little noise goes into all. (Random vectors of
512 numbers have no neighbors to find.) The queries are of two kinds, and none is in the index: "pictures" come from
the same clusters; "texts" lie off the pictures to one side, as CLIP's do (`utils.search.widths.text_like_queries`).
Every graph is HNSW with 16 links, 200 candidates on building, and for each kind as few candidates on asking (the
width) as give a recall@10 of 0.99. Queries come one by one, as people ask, in blocks that the engines take in turn; a
rate is that of the median block. Building and asking take one thread each, unless `--threads` gives the building more.
Seconds are of the processor, not of the clock on the wall, so that other work on the machine counts less.

A million vectors (`--sizes 1000000`) want about 14 GB of memory for all engines together. A graph over 100,000 took 100
to 260 s to build with one thread of a busy two-core machine, and one over a million takes more than ten times as long:
name one or two engines, and threads.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before NumPy is imported: the matrix product must not take all cores

import numpy as np  # noqa: E402

from utils.search import SearchError  # noqa: E402
from utils.search.engines import BUILD_PARAMETERS, Engine, ExactEngine, HnswlibEngine, NmslibEngine  # noqa: E402
from utils.search.widths import recall_by_similarity, text_like_queries  # noqa: E402

K, WANTED = 10, 0.99
WIDTHS = (10, 20, 30, 50, 70, 100, 150, 200, 300, 400, 600, 800, 1600)
LINKS, CANDIDATES = BUILD_PARAMETERS["M"], BUILD_PARAMETERS["efConstruction"]
CLUSTERS, DIRECTIONS = 200, 24


def draw_vectors(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors (count, dim) float32 of clusters that are the same whatever the seed."""
    world, generator = np.random.default_rng(0), np.random.default_rng(seed)
    centers = world.normal(size=(CLUSTERS, dim)).astype(np.float32)
    shares = world.dirichlet(np.full(CLUSTERS, 2.0))
    belongs = generator.choice(CLUSTERS, size=count, p=shares)
    vectors = generator.standard_normal((count, dim), np.float32)
    vectors *= 0.2
    for cluster in range(CLUSTERS):
        rows = np.flatnonzero(belongs == cluster)
        directions = world.normal(size=(DIRECTIONS, dim)).astype(np.float32)
        places = 0.18 * generator.standard_normal((len(rows), DIRECTIONS), np.float32)
        vectors[rows] += centers[cluster] + places @ directions
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class Faiss:
    """FAISS's IndexHNSWFlat, over inner products of unit vectors."""

    def __init__(self, vectors: np.ndarray, threads: int) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        self._index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = CANDIDATES
        self._index.add(vectors)
        faiss.omp_set_num_threads(1)

    @property
    def width(self) -> int:
        return self._index.hnsw.efSearch

    @width.setter
    def width(self, width: int) -> None:
        self._index.hnsw.efSearch = width

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self._index.search(queries, k)[1]


class Usearch:
    """usearch in float32, over inner products of unit vectors."""

    def __init__(self, vectors: np.ndarray, threads: int) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=CANDIDATES
        )
        self._index.add(np.arange(len(vectors)), vectors, threads=threads)

    @property
    def width(self) -> int:
        return self._index.expansion_search

    @width.setter
    def width(self, width: int) -> None:
        self._index.expansion_search = width

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        return np.atleast_2d(self._index.search(queries, k, threads=1).keys).astype(np.int64)


ENGINES: dict[str, Callable] = {
    "exact": lambda vectors, threads: ExactEngine(vectors),
    "nmslib": lambda vectors, threads: NmslibEngine(vectors, threads=threads),
    "hnswlib": lambda vectors, threads: HnswlibEngine(vectors, threads=threads),
    "faiss": Faiss,
    "usearch": Usearch,
}


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def build(names: list[str], vectors: np.ndarray, threads: int) -> dict[str, tuple]:
    """Engine, seconds and bytes of each name; what is not installed is named and left out."""
    built = {}
    for name in names:
        before, begin = resident_bytes(), time.process_time()
        try:
            engine = ENGINES[name](vectors, threads)
        except (ImportError, SearchError) as error:
            print(f"{name} is left out: {error}")
            continue
        built[name] = engine, time.process_time() - begin, resident_bytes() - before
        print(f"  {name} built in {built[name][1]:.1f} s", flush=True)
    return built


def narrow(engine: Engine, queries: np.ndarray, exact: np.ndarray, vectors: np.ndarray) -> float:
    """Sets the smallest width of `WIDTHS` that reaches the recall wanted, or the largest; gives the recall."""
    if not engine.width:
        return recall_by_similarity(engine.nearest(queries, K), exact, queries, vectors)
    for engine.width in WIDTHS:
        reached = recall_by_similarity(engine.nearest(queries, K), exact, queries, vectors)
        if reached >= WANTED:
            break
    return reached


def ask(engines: dict[str, Engine], queries: np.ndarray, rounds: int) -> dict[str, float]:
    """Queries a second of each engine, which take the blocks of queries in turn."""
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for block in np.array_split(queries, rounds):
        for name, engine in engines.items():
            begin = time.process_time()
            for query in block:
                engine.nearest(query[None], K)
            rates[name].append(len(block) / (time.process_time() - begin))
    return {name: statistics.median(values) for name, values in rates.items()}


def measure(size: int, arguments: argparse.Namespace) -> list[str]:
    """The rows of one size."""
    vectors = draw_vectors(size, arguments.dim, 1)
    kinds = {
        "pictures": draw_vectors(arguments.queries, arguments.dim, 2),
        "texts": text_like_queries(vectors, arguments.queries),
    }
    built = build(arguments.engines, vectors, arguments.threads)
    engines = {name: engine for name, (engine, *_) in built.items()}
    rows = []
    for kind, queries in kinds.items():
        truth = ExactEngine(vectors).nearest(queries, K)
        recalls = {name: narrow(engine, queries, truth, vectors) for name, engine in engines.items()}
        rates = ask(engines, queries, arguments.rounds)
        for name, (engine, seconds, more) in built.items():
            ratio = f"{rates[name] / rates['nmslib']:.2f}" if "nmslib" in rates else ""
            cells = (f"{size:,}", name, f"{seconds:.1f}", f"{more / 2**20:,.0f}", kind, engine.width or "")
            speed = (f"{recalls[name]:.3f}", f"{rates[name]:,.0f}", ratio)
            rows.append(f"| {' | '.join(map(str, cells + speed))} |")
    return rows


def main() -> None:
    """Prints build time, memory and queries a second of every engine at every size, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="vectors")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--dim", type=int, default=512, help="numbers a vector")
    parser.add_argument("--queries", type=int, default=300, help="queries timed")
    parser.add_argument("--rounds", type=int, default=10, help="blocks that the queries are timed in")
    parser.add_argument("--threads", type=int, default=1, help="threads that build")
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        print(f"{size:,} vectors of {arguments.dim}", flush=True)
        rows += measure(size, arguments)
    print(f"\nLoad of the machine over the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    print("| vectors | engine | build s | MB more | queries | width | recall@10 | a second | times nmslib |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
