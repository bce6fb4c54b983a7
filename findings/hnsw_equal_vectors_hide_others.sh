#!/usr/bin/env bash
# One would guess: an HNSW index half of which is the same vector over and over (the blank tiles of a survey, say)
#   gives more equals where one asks for them, and is as good as ever for all that lie elsewhere.
# What happens: it loses the others. With 2,000 distinct vectors and 2,000 equal ones, only seven or eight in ten of
#   the true ten nearest of a query beside a distinct vector are found at width 200, in NMSLib and in hnswlib, though
#   the equal vector is not among the ten; each value indexed once, it is ten in ten.
# Seen with: nmslib 2.1.2 and hnswlib 0.8.0, Python 3.11, Linux. Source: the run below, against exact search in numpy.
#   getNeighborsByHeuristic2 in hnswlib/hnswalg.h drops a neighbor only if one that was kept is strictly closer to it
#   than the vector is; equal ones are never dropped and take all links, so that a search among them does not leave,
#   neither while the graph is built nor afterwards. Qdrant's pull request 10239 tells the same of its own HNSW.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nmslib==2.1.2 hnswlib==0.8.0 numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import hnswlib
import nmslib
import numpy as np

DIMENSIONS, WIDTH = 128, 200
generator = np.random.default_rng(2)


def units(count):
    vectors = generator.standard_normal((count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recall(vectors, queries, answers):
    """Share of the answers that are as similar as the tenth of the exact search."""
    similarities = queries @ vectors.T
    tenth = np.sort(similarities, axis=1)[:, -10]
    found = [(row[ids] >= least - 1e-5).sum() for row, ids, least in zip(similarities, answers, tenth)]
    return float(np.mean(found)) / 10


def with_nmslib(vectors, queries):
    index = nmslib.init(method="hnsw", space="cosinesimil")
    index.addDataPointBatch(vectors)
    index.createIndex({"M": 16, "efConstruction": WIDTH, "indexThreadQty": 1})
    index.setQueryTimeParams({"efSearch": WIDTH})
    return [ids for ids, _ in index.knnQueryBatch(queries, k=10, num_threads=1)]


def with_hnswlib(vectors, queries):
    index = hnswlib.Index(space="cosine", dim=DIMENSIONS)
    index.init_index(max_elements=len(vectors), M=16, ef_construction=WIDTH, random_seed=1)
    index.set_num_threads(1)
    index.add_items(vectors)
    index.set_ef(WIDTH)
    return index.knn_query(queries, k=10)[0].astype(int)


distinct, blank = units(2000), units(1)
many = np.concatenate([distinct, np.repeat(blank, 2000, axis=0)])[generator.permutation(4000)]
once = np.concatenate([distinct, blank])
queries = distinct[:300] + 0.5 * units(300)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)
queries = queries[(queries @ distinct.T > queries @ blank.T).sum(axis=1) >= 10]
print(f"{len(queries)} queries, each with ten or more distinct vectors more similar to it than the equal ones")
agrees = len(queries) > 200
for name, search in (("nmslib", with_nmslib), ("hnswlib", with_hnswlib)):
    lost, whole = (recall(vectors, queries, search(vectors, queries)) for vectors in (many, once))
    print(f"{name}: recall@10 {lost:.2f} with 2,000 equal vectors, {whole:.2f} with one of them")
    agrees = agrees and lost < 0.95 and whole > 0.99
sys.exit(not agrees)
END
