#!/usr/bin/env bash
# One would guess: an HNSW graph that NMSLib has loaded and that answers queries can be saved again.
# What happens: a graph saved with save_data=False and loaded without its vectors being added (they stand in the
#   graph's own file, so it answers just as before) is saved as an empty one: without an error, in a file of a few
#   bytes; a new process loads that without an error, too, and it finds nothing.
# Seen with: nmslib 2.1.2 (its wheel), Python 3.11, Linux. Source: the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nmslib==2.1.2 numpy==2.4.6 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import os
import sys

import nmslib
import numpy as np

vectors = np.random.default_rng(0).standard_normal((500, 16)).astype(np.float32)


def opened(name):
    index = nmslib.init(method="hnsw", space="cosinesimil")
    index.loadIndex(name, load_data=False)
    index.setQueryTimeParams({"efSearch": 100})
    return index


made = nmslib.init(method="hnsw", space="cosinesimil")
made.addDataPointBatch(vectors)
made.createIndex(print_progress=False)
made.setQueryTimeParams({"efSearch": 100})
made.saveIndex("first", save_data=False)
loaded = opened("first")
loaded.saveIndex("second", save_data=False)
again = opened("second")
answers = [len(index.knnQuery(vectors[0], k=10)[0]) for index in (made, loaded, again)]
sizes = [os.path.getsize(name) for name in ("first", "second")]
print(f"made: {answers[0]} answers, {sizes[0]:,} bytes saved")
print(f"loaded: {answers[1]} answers, {sizes[1]:,} bytes saved")
print(f"loaded once more: {answers[2]} answers")
sys.exit(not (answers == [10, 10, 0] and sizes[1] < 1000))
END
