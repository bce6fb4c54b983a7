"""How fast is Milvus in a file, beside exact search and NMSLib over the same vectors?

    python tests/benchmarks/bench_milvus.py --sizes 10000 100000

The vectors are those of bench_search.py, like embeddings of images, and so are the queries: of images and of texts,
half of each, and none is in the index. Every index is what people use: `ImageIndex` with exact search or NMSLib, and
`MilvusIndex` over a file (HNSW of milvus-lite), each as wide as it has measured for itself at building. They are opened
in a process of their own and asked for ten hits, query by query. Seconds are of the processor, so that other work on
the machine counts less; milvus-lite works in threads of the same process, which are counted. A rate is that of the
median of `--rounds`. Building is with the measuring of the width. Memory is what is resident after the last query and
no file lies behind, less what was before the index was opened.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported, as in bench_search.py

import numpy as np  # noqa: E402
from bench_search import draw_vectors, in_own_process, resident_bytes  # noqa: E402

from utils.search import ImageIndex  # noqa: E402
from utils.search.engines import ExactEngine  # noqa: E402
from utils.search.widths import recall_by_similarity, text_like_queries  # noqa: E402

ENGINES = ("exact", "nmslib", "milvus")
K = 10


def where(name: str, place: Path) -> Path:
    """The folder of an index, or the file of Milvus."""
    return place / ("milvus.db" if name == "milvus" else name)


def build(name: str, place: Path) -> float:
    """Builds an index; the seconds that it took, writing included."""
    vectors = np.load(place / "vectors.npy")
    names = [f"{number:07d}.jpg" for number in range(len(vectors))]
    begin = time.process_time()
    index = ImageIndex.from_vectors(vectors, names, engine="exact" if name == "milvus" else name)
    if name == "milvus":
        index.to_milvus(where(name, place), progress=False).close()
    else:
        index.save(where(name, place))
    return time.process_time() - begin


def ask(name: str, place: Path, rounds: int) -> dict[str, float]:
    """Width, recall, queries a second and bytes of memory of an index that is there."""
    queries = np.load(place / "queries.npy")
    import utils.clip  # noqa: F401  # which every index imports when it is opened, counts for none of them

    before = resident_bytes()
    index = ImageIndex.from_milvus(where(name, place)) if name == "milvus" else ImageIndex.load(where(name, place))
    rates, found = [], []
    for _ in range(rounds + 1):  # the first one waits for memory
        begin = time.process_time()
        found = [[int(hit.path.stem) for hit in index.query_vector(query, K)] for query in queries]
        rates.append(len(queries) / (time.process_time() - begin))
    memory = resident_bytes() - before
    vectors = np.load(place / "vectors.npy", mmap_mode="r")
    recall = recall_by_similarity(np.array(found), ExactEngine(vectors).nearest(queries, K), queries, vectors)
    width = index.widths[K] if name == "milvus" else index.engine.width
    return {"width": width, "recall": recall, "rate": statistics.median(rates[1:]), "memory": memory}


def measure(size: int, arguments: argparse.Namespace, place: Path) -> list[str]:
    """The rows of one size."""
    vectors = draw_vectors(size, arguments.dim, 1)
    half = arguments.queries // 2
    queries = np.concatenate([draw_vectors(half, arguments.dim, 2), text_like_queries(vectors, half)])
    np.save(place / "vectors.npy", vectors)
    np.save(place / "queries.npy", queries)
    rows = []
    for name in arguments.engines:
        seconds = in_own_process(build, name, place)
        facts = in_own_process(ask, name, place, arguments.rounds) if seconds else None
        if facts is None:
            continue
        disk = sum(path.stat().st_size for path in where(name, place).rglob("*") if path.is_file())
        cells = [f"{size:,}", name, f"{seconds:,.0f}", str(facts["width"] or ""), f"{facts['recall']:.3f}"]
        cells += [f"{facts['rate']:,.0f}", f"{facts['memory'] / 2**20:,.0f}", f"{disk / 2**20:,.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Prints a table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000], help="vectors")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--dim", type=int, default=512, help="numbers a vector")
    parser.add_argument("--queries", type=int, default=200, help="half of images, half of texts")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        place = Path(tempfile.mkdtemp(prefix="bench_milvus_"))
        try:
            rows += measure(size, arguments, place)
        finally:
            shutil.rmtree(place)
    print(f"\nLoad of the machine over the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.\n")
    print(f"| vectors | engine | built in, s | width | recall@{K} | queries a second | MB | MB on the disk |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
