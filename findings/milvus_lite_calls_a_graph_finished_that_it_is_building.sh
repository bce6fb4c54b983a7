#!/usr/bin/env bash
# One would guess: after flush(), the graph of a loaded collection is there once describe_index says Finished, with as
#   many indexed rows as there are, so that a recall measured then is that of the graph.
# What happens: milvus-lite builds the graph of what was flushed later, in a thread of its own, and says Finished all
#   along. Until then the rows are compared one by one, and every search finds all neighbors, whatever ef is; when the
#   thread is done, the same search finds fewer. Releasing and loading the collection waits for it.
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

vectors = np.random.default_rng(0).normal(size=(12000, 128)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
queries = np.random.default_rng(1).normal(size=(50, 128)).astype(np.float32)
truth = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
client = MilvusClient("rows.db")
schema = client.create_schema(auto_id=False)
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("vector", DataType.FLOAT_VECTOR, dim=128)
client.create_collection("rows", schema=schema)
graph = client.prepare_index_params()
graph.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 16, "efConstruction": 200})
client.create_index("rows", graph)
client.load_collection("rows")
client.upsert("rows", [{"id": number, "vector": vector} for number, vector in enumerate(vectors)])


def recall():
    found = client.search("rows", list(queries), limit=10, search_params={"metric_type": "COSINE", "params": {"ef": 10}})
    return np.mean([len({hit["id"] for hit in hits} & {*row}) / 10 for hits, row in zip(found, truth.tolist())])


client.flush("rows")
said = client.describe_index("rows", "vector")
recalls = [recall()]
client.release_collection("rows")
client.load_collection("rows")
recalls.append(recall())
print(f"after flush: {said['state']}, {said['indexed_rows']:,} rows indexed, recall@10 at ef 10 {recalls[0]:.2f}")
print(f"after release and load: recall@10 at ef 10 {recalls[1]:.2f}")
sys.exit(not (said["state"] == "Finished" and recalls[0] == 1 and recalls[1] < 0.5))
END
