#!/usr/bin/env bash
# One would guess: a search for k of n rows, without a filter, gives k if there are that many, or says why it does not.
# What happens: over an HNSW graph milvus-lite walks as wide as ef, 64 unless it is given, however large k is, and gives
#   what it met: for 2,000 of 2,000 rows a few hundred, without a word. A cluster refuses ef below k with an error.
#   With ef = k it finds them all here.
# Seen with: pymilvus 3.0.2, milvus-lite 3.2.2, Python 3.11, Linux. Source: the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymilvus==3.0.2 milvus-lite==3.2.2 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import numpy as np
from pymilvus import DataType, MilvusClient

vectors = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
client = MilvusClient("graph.db")
schema = client.create_schema(auto_id=False)
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("vector", DataType.FLOAT_VECTOR, dim=16)
client.create_collection("rows", schema=schema)
client.upsert("rows", [{"id": number, "vector": vector} for number, vector in enumerate(vectors)])
client.flush("rows")
graph = client.prepare_index_params()
graph.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
client.create_index("rows", graph)
client.load_collection("rows")
found = {}
for ef in (None, 2000):
    params = {} if ef is None else {"params": {"ef": ef}}
    found[ef] = len(client.search("rows", [vectors[0]], limit=2000, search_params={"metric_type": "COSINE", **params})[0])
    print(f"ef {ef or 'not given'}: {found[ef]:,} of 2,000 rows")
sys.exit(not (found[None] < 1500 and found[2000] >= 1990))
END
