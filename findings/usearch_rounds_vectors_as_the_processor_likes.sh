#!/usr/bin/env bash
# One would guess: usearch.index.Index(ndim=512) keeps the float32 vectors that it is given, as FAISS's, hnswlib's and
#   NMSLib's indexes do, and a script makes the same index on every machine.
# What happens: without dtype= it takes bfloat16 where the processor computes fast with it, else float16, else float32,
#   and says nothing. bfloat16 has 8 bits where float32 has 24: what comes back differs from what was added, and even an
#   exact search misses one in a hundred of the ten closest. The file carries its type along, and is twice as large
#   from a machine that has neither. The width of the search, expansion_search, is not in it: restored it is 64 again.
# Seen with: usearch 2.26.6, NumPy 2.4.6, Python 3.11, Linux, a processor with AVX512-BF16. Source: _normalize_dtype in
#   usearch/index.py. What helps: dtype="f32" or "f16", and expansion_search set again after Index.restore.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'END'
import sys

import numpy as np
from usearch.index import Index, ScalarKind

generator = np.random.default_rng(0)
centers = generator.normal(size=(50, 512))


def unit_vectors(count: int) -> np.ndarray:
    drawn = centers[generator.integers(0, len(centers), count)] + 0.5 * generator.normal(size=(count, 512))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


vectors, queries = unit_vectors(5000), unit_vectors(200)
truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
table = {}
for dtype in (None, "f32"):
    index = Index(ndim=512, metric="ip", dtype=dtype, expansion_search=512)
    index.add(np.arange(len(vectors)), vectors)
    found = index.search(queries, 10, exact=True).keys
    recall = float(np.mean([len(set(row) & set(right)) / 10 for row, right in zip(found, truth)]))
    same = np.array_equal(index.get(0), vectors[0])
    table[dtype] = recall, index.dtype, same
    print(f"dtype={dtype}: {index.dtype.name}, recall@10 of an exact search {recall:.3f}, a vector comes back: {same}")
index.save("saved.usearch")
restored = Index.restore("saved.usearch").expansion_search
print(f"expansion_search: {index.expansion_search}, restored {restored}")
rounded = table[None][1] in (ScalarKind.BF16, ScalarKind.F16) and not table[None][2]
sys.exit(not (rounded and table["f32"][2] and table[None][0] < table["f32"][0] and restored == 64))
END
