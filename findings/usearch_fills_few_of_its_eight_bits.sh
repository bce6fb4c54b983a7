#!/usr/bin/env bash
# One would guess: dtype="i8" of usearch keeps embeddings as eight bits of other libraries do, scaled so that all values
#   are used, and costs one or two points of recall; and where the metric is the cosine, longer vectors are kept finer.
# What happens: each vector is first made to be of length 1, however long it was, and then multiplied by 127. Of 512
#   numbers such as CLIP's each is then about 6, and few of the 256 values are used. Recall@10 of an exact search over
#   them is 0.83, and a graph can do no better; eight bits scaled by each vector's largest number give 0.97, float16
#   1.00. And get() gives those small integers back, not the vector.
# Seen with: usearch 2.26.6, NumPy 2.4.6, Python 3.11, Linux. Source: cast_to_i8_gt in usearch's index_plugins.hpp,
#   whose comment advises against casting floats to integers this way. What helps: dtype="f16".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - <<'END'
import sys

import numpy as np
from usearch.index import Index

generator = np.random.default_rng(0)
centers = generator.normal(size=(50, 512))


def unit_vectors(count: int) -> np.ndarray:
    drawn = centers[generator.integers(0, len(centers), count)] + 0.5 * generator.normal(size=(count, 512))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


vectors, queries = unit_vectors(5000), unit_vectors(200)
truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]


def recall(found: np.ndarray) -> float:
    return float(np.mean([len(set(row) & set(right)) / 10 for row, right in zip(found, truth)]))


def in_usearch(dtype: str, scale: float = 1) -> tuple[float, int]:
    index = Index(ndim=512, metric="cos", dtype=dtype)
    index.add(np.arange(len(vectors)), vectors * scale)
    kept = np.asarray(index.get(0))
    return recall(index.search(queries * scale, 10, exact=True).keys), len(np.unique(kept))


largest = np.abs(vectors).max(axis=1, keepdims=True) / 127
eight_bits = np.round(vectors / largest).astype(np.int8) * largest
numpy_recall = recall(np.argsort(-(queries @ eight_bits.T), axis=1)[:, :10])
(half, _), (usual, values), (scaled, _) = in_usearch("f16"), in_usearch("i8"), in_usearch("i8", 20)
print(f"recall@10, exact: float16 {half:.3f}, NumPy's eight bits {numpy_recall:.3f}, usearch's {usual:.3f}")
print(f"of vectors 20 times as long {scaled:.3f}; the first vector has {values} different values of 256")
sys.exit(not (half > 0.98 and numpy_recall > 0.95 and 0.7 < usual < 0.9 and scaled == usual and values < 64))
END
