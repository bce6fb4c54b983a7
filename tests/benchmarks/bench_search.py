"""How fast is a search here: exact search and NMSLib beside other libraries' graphs, up to a million vectors.

    python tests/benchmarks/bench_search.py --sizes 1000 --engines exact nmslib       # a few seconds
    python tests/benchmarks/bench_search.py --sizes 10000 100000
    nice python tests/benchmarks/bench_search.py --sizes 1000000 --build-only        # an hour, resumes; then without it

The vectors are made to be like embeddings of pictures: unit vectors of `--dim` numbers from 200 clusters of uneven
size; within a cluster they spread over 24 directions of its own, and a little noise goes into all. (Random vectors of
512 numbers have no neighbors to find.) The queries are of two kinds, and none is in the index: "pictures" come from
the same clusters; "texts" lie off the pictures to one side, as CLIP's do (`utils.search.widths.text_like_queries`).
Every HNSW graph has 16 links and 200 candidates on building, rabitqlib's SymphonyQG 32 links and as many candidates;
each keeps for each kind as few candidates on asking (the width) as give a recall@10 of 0.99.

Graphs are built one after another by all cores, or by `--threads`, and kept in `--cache` with their seconds: what is
finished is not built again, and a killed build begins that engine alone again. Every engine works in a process of its
own, so that its memory is its own: what is resident after the last query, the graph with its vectors, less what was
before it was loaded. The engines are asked in turns, `--rounds` times, queries one by one, as people ask, by one thread
(exact search by as many as OMP_NUM_THREADS says); a rate is that of the median round, in seconds of the processor, so
that other work on the machine counts less (with more threads than one, of the clock on the wall).

hnswlib, FAISS, usearch and rabitqlib are asked where they are installed. NMSLib is here twice: as its wheel
comes, and from the folder `--nmslib-source`, into which it was built for this processor, which wants pybind11 2:
`pip install --no-binary nmslib --no-build-isolation --target FOLDER nmslib`.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported: the matrix product must not take all cores

import numpy as np  # noqa: E402

from utils.search import SearchError  # noqa: E402
from utils.search.engines import BUILD_PARAMETERS, ExactEngine, HnswlibEngine, NmslibEngine, RabitqlibEngine, largest  # noqa: E402
from utils.search.widths import recall_by_similarity, text_like_queries  # noqa: E402

K, WANTED = 10, 0.99
WIDTHS = (10, 20, 30, 50, 70, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 9600, 12800, 25600)
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


class Product(ExactEngine):
    """Exact search as it was: one matrix product of float32 for any number of vectors."""

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        return largest(queries @ self._vectors.T, k)


class Faiss:
    """FAISS's IndexHNSWFlat, over inner products of unit vectors; arguments as those of `utils.search.engines`."""

    def __init__(self, vectors: np.ndarray, saved: Path | None = None, threads: int = 1) -> None:
        import faiss

        faiss.omp_set_num_threads(threads)
        if saved:
            self._index = faiss.read_index(str(saved))
        else:
            self._index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
            self._index.hnsw.efConstruction = CANDIDATES
            self._index.add(vectors)
        self.width = WIDTHS[0]

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._index.hnsw.efSearch = self.width
        return self._index.search(queries, k)[1]

    def save(self, path: Path) -> None:
        import faiss

        faiss.write_index(self._index, str(path))


class Usearch:
    """usearch in float32, over inner products of unit vectors."""

    def __init__(self, vectors: np.ndarray, saved: Path | None = None, threads: int = 1) -> None:
        from usearch.index import Index

        if saved:
            self._index = Index.restore(str(saved))
        else:
            self._index = Index(
                ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=CANDIDATES
            )
            self._index.add(np.arange(len(vectors)), vectors, threads=threads)
        self.width = WIDTHS[0]

    def nearest(self, queries: np.ndarray, k: int) -> np.ndarray:
        self._index.expansion_search = self.width
        return np.atleast_2d(self._index.search(queries, k, threads=1).keys).astype(np.int64)

    def save(self, path: Path) -> None:
        self._index.save(str(path))


# The cheapest to build first.
ENGINES: dict[str, Callable[..., Any]] = {
    "exact": ExactEngine,
    "exact_product": Product,
    "rabitqlib": RabitqlibEngine,
    "hnswlib": HnswlibEngine,
    "faiss": Faiss,
    "usearch": Usearch,
    "nmslib_source": NmslibEngine,
    "nmslib": NmslibEngine,
}
EXACT = ("exact", "exact_product")


def resident_bytes() -> int:
    """Memory that this process holds and no file lies behind; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a new process; None if it is not installed there, or the process dies, which is said."""
    try:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            return pool.submit(function, *arguments).result()
    except (ImportError, SearchError, BrokenProcessPool) as error:
        print(f"{arguments[0]} is left out: {error}", flush=True)
        return None


def take_source(name: str, source: Path | None) -> None:
    """Lets this process import the NMSLib that was built from source, if that is the engine."""
    if name == "nmslib_source":
        if not source or not any(source.glob("nmslib*.so")):
            raise SearchError("name the folder that NMSLib was built into with --nmslib-source")
        sys.path.insert(0, str(source))


def draw(place: Path, size: int, dim: int, queries: int) -> None:
    """Writes vectors, both kinds of queries and their true neighbors, unless they are there."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "vectors.npy").exists():
        np.save(place / "draft.npy", draw_vectors(size, dim, 1))
        (place / "draft.npy").rename(place / "vectors.npy")
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    kinds = {"pictures": draw_vectors(queries, dim, 2), "texts": text_like_queries(vectors, queries)}
    for kind, drawn in kinds.items():
        path = place / f"{kind}_{queries}.npz"
        if not path.exists():
            truth = np.concatenate([largest(some @ vectors.T, K) for some in np.array_split(drawn, -(-queries // 20))])
            np.savez(place / "draft.npz", queries=drawn, truth=truth)
            (place / "draft.npz").rename(path)


def build(name: str, place: Path, threads: int, source: Path | None) -> None:
    """Builds an engine's graph and saves it with its seconds, of the processor and of the clock."""
    take_source(name, source)
    vectors = np.load(place / "vectors.npy")
    begin, clock = time.process_time(), time.perf_counter()
    engine = ENGINES[name](vectors, threads=threads)
    facts = {"seconds": time.process_time() - begin, "clock": time.perf_counter() - clock, "threads": threads}
    engine.save(place / f"{name}.draft")
    (place / f"{name}.draft").rename(place / f"{name}.graph")
    (place / f"{name}.json").write_text(json.dumps(facts))
    print(f"  {name} built in {facts['seconds']:.0f} s of the processor, {facts['clock']:.0f} s", flush=True)


def load(name: str, place: Path, source: Path | None) -> tuple[Any, np.ndarray, dict[str, float]]:
    """An engine, the vectors in a file, and its facts: seconds of the building, bytes."""
    take_source(name, source)
    vectors = np.load(place / "vectors.npy", mmap_mode=None if name in EXACT else "r")
    before = resident_bytes() - (vectors.nbytes if name in EXACT else 0)
    if name not in EXACT:
        engine, facts = ENGINES[name](vectors, saved=place / f"{name}.graph"), json.loads(note(place, name).read_text())
    else:
        engine, begin = ENGINES[name](vectors), time.process_time()
        engine.nearest(vectors[:1], K)
        facts = {"seconds": time.process_time() - begin}
    return engine, vectors, facts | {"before": before}


def note(place: Path, name: str) -> Path:
    """Where what is known about a graph that is finished stands."""
    return place / f"{name}.json"


def narrow(name: str, place: Path, kind: str, queries: int, source: Path | None) -> tuple[int, float]:
    """The smallest width of `WIDTHS` that reaches the recall wanted, or the largest, and the recall."""
    engine, vectors, _ = load(name, place, source)
    asked = np.load(place / f"{kind}_{queries}.npz")
    for width in WIDTHS if name not in EXACT else (0,):
        engine.width = width
        found = np.concatenate([engine.nearest(query[None], K) for query in asked["queries"]])
        reached = recall_by_similarity(found, asked["truth"], asked["queries"], vectors)
        if reached >= WANTED:
            break
    return width, reached


def ask(
    name: str, place: Path, kinds: dict[str, tuple[int, float]], queries: int, source: Path | None, wall: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Queries a second of each kind, each at its width, and the engine's facts."""
    engine, _, facts = load(name, place, source)
    clock = time.perf_counter if wall else time.process_time
    rates = {}
    for kind, (width, _) in kinds.items():
        engine.width = width
        asked = np.load(place / f"{kind}_{queries}.npz")["queries"]
        for query in asked[:20]:  # what is asked first waits for memory
            engine.nearest(query[None], K)
        begin = clock()
        for query in asked:
            engine.nearest(query[None], K)
        rates[kind] = len(asked) / (clock() - begin)
    return rates, facts | {"bytes": resident_bytes() - facts["before"]}


def measure(size: int, arguments: argparse.Namespace) -> list[str]:
    """The rows of one size."""
    place, queries, source = arguments.cache / f"{size}x{arguments.dim}", arguments.queries, arguments.nmslib_source
    in_own_process(draw, place, size, arguments.dim, queries)
    names = []
    for name in arguments.engines:
        if name not in EXACT and not note(place, name).exists():
            in_own_process(build, name, place, arguments.threads, source)
        if name in EXACT or note(place, name).exists():
            names.append(name)
    if arguments.build_only:
        return []
    kinds = ("pictures", "texts")
    widths: dict[str, dict[str, tuple[int, float]]] = {}
    for name in names:
        widths[name] = {kind: in_own_process(narrow, name, place, kind, queries, source) for kind in kinds}
        print(f"  {name}: widths and recalls {widths[name]}", flush=True)
    wall = os.environ["OMP_NUM_THREADS"] != "1"
    rounds = [
        {name: in_own_process(ask, name, place, widths[name], queries, source, wall) for name in names}
        for _ in range(arguments.rounds)
    ]
    medians = {
        (name, kind): statistics.median(one[name][0][kind] for one in rounds) for name in names for kind in kinds
    }
    rows = []
    for name in names:
        facts = rounds[-1][name][1]
        cells = [f"{size:,}", name, f"{facts['seconds']:,.0f}", f"{facts['bytes'] / 2**20:,.0f}"]
        for kind in kinds:
            width, recall = widths[name][kind]
            ratio = f"{medians[name, kind] / medians['nmslib', kind]:.2f}" if "nmslib" in names else ""
            rate = medians[name, kind]
            cells += [str(width or ""), f"{recall:.3f}", f"{rate:,.0f}" if rate > 100 else f"{rate:.1f}", ratio]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def main() -> None:
    """Prints build time, memory and queries a second of every engine at every size, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="vectors")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--dim", type=int, default=512, help="numbers a vector")
    parser.add_argument("--queries", type=int, default=200, help="queries of each kind")
    parser.add_argument("--rounds", type=int, default=5, help="turns that the engines are asked in")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads that build")
    parser.add_argument("--build-only", action="store_true", help="builds the graphs that are missing, and asks none")
    parser.add_argument("--cache", type=Path, default=Path("runs/bench_search"), help="where graphs are kept")
    parser.add_argument("--nmslib-source", type=Path, help="folder of an NMSLib built from source")
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        print(f"{size:,} vectors of {arguments.dim}", flush=True)
        rows += measure(size, arguments)
    print(f"\nLoad of the machine over the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    kinds = "".join(f" width, {kind} | recall@10 | a second | times nmslib |" for kind in ("pictures", "texts"))
    print(f"| vectors | engine | built in, s | MB |{kinds}\n|{'---|' * 12}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
