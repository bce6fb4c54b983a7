#!/usr/bin/env bash
# One would guess: by inner products a query of a tenth of the length has the same ten closest, in the same order, and a
#   search for them takes the same walk; so a query need not be of unit length where metric="ip", as in hnswlib.
# What happens: rabitqlib's SymqgIndex walks by estimates of a distance to the query, whose errors do not shrink with
#   the query. At a tenth of the length and the same ef it finds half of what it found, and wants a search five to ten
#   times as wide for the same recall; a query ten times as long costs nothing. Nothing says so: the inner products
#   that are returned are right for what was found. It is the same with metric="l2" over vectors of unit length.
# Seen with: rabitqlib 0.7.1, NumPy 2.4.6, Python 3.11, Linux. Source: the run below, against exact search; hnswlib
#   0.8.0 finds as many for both. What helps: queries of unit length, or longer.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rabitqlib==0.7.1 hnswlib==0.8.0 \
  numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - <<'END'
import sys

import hnswlib
import numpy as np
import rabitqlib

DIM, CLUSTERS = 512, 200
generator = np.random.default_rng(0)
centers, spreads = generator.normal(size=(CLUSTERS, DIM)), generator.normal(size=(CLUSTERS, 24, DIM))


def draw(count: int) -> np.ndarray:
    belongs = generator.integers(CLUSTERS, size=count)
    within = np.einsum("nk,nkd->nd", 0.18 * generator.normal(size=(count, 24)), spreads[belongs])
    drawn = centers[belongs] + within + 0.2 * generator.normal(size=(count, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


vectors, queries = np.concatenate([draw(1000) for _ in range(10)]), draw(200)
truth = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
quantized = rabitqlib.SymqgIndex(DIM, 32, metric="ip")
quantized.build(vectors, 200, num_threads=1)
graph = hnswlib.Index("ip", DIM)
graph.init_index(len(vectors), ef_construction=200, M=16)
graph.add_items(vectors, num_threads=1)
graph.set_ef(20)


def recall(found: np.ndarray) -> float:
    return float(np.mean([len(set(row) & set(right)) / 10 for row, right in zip(found, truth)]))


table = {}
for length in (0.1, 0.3, 1.0, 10.0):
    asked = queries * np.float32(length)
    found = {"rabitqlib": quantized.search(asked, 10, 20)[0], "hnswlib": graph.knn_query(asked, 10, num_threads=1)[0]}
    table[length] = {name: recall(numbers) for name, numbers in found.items()}
    print(f"queries of length {length}: recall@10 at ef 20", {name: round(of, 3) for name, of in table[length].items()})
shorter, usual, longer = (table[length]["rabitqlib"] for length in (0.1, 1.0, 10.0))
sys.exit(not (shorter < 0.7 and min(usual, longer) > 0.95 and table[0.1]["hnswlib"] > 0.95))
END
