#!/usr/bin/env bash
# One would guess: embeddings in bfloat16, which JAX computes and which numpy.asarray gives as an array that can be
#   added and compared, come back from numpy.save and numpy.load as they were, or are refused when they are saved.
# What happens: the file says V2, two bytes without a meaning, and so does what is loaded: no warning at either end, the
#   right shape, and an error only where somebody counts with it. float16 of the same values is whole. Whoever knows can
#   write .view(ml_dtypes.bfloat16) behind the load; nothing in the file tells.
# Seen with: numpy 2.4.6, ml_dtypes 0.5.4, Python 3.11, Linux. Source: the run below; ml_dtypes' issue 41, open.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 ml_dtypes==0.5.4
"$folder/venv/bin/python" -W error - "$folder" <<'PYTHON'
import sys

import ml_dtypes
import numpy as np

folder, values = sys.argv[1], np.linspace(-1, 1, 6).reshape(2, 3)
loaded = {}
for kind in (np.float16, ml_dtypes.bfloat16):
    vectors = values.astype(kind)
    np.save(f"{folder}/vectors.npy", vectors)
    again = np.load(f"{folder}/vectors.npy")
    loaded[vectors.dtype.name] = again
    print(f"saved {vectors.dtype.name}, loaded {again.dtype} {again.shape}: {again.ravel()[0]!r}")
known = loaded["bfloat16"].view(ml_dtypes.bfloat16)
print(f"viewed as bfloat16: {known.ravel()[0]!r}")
same = np.array_equal(known, values.astype(ml_dtypes.bfloat16))
sys.exit(not (same and loaded["float16"].dtype == np.float16 and loaded["bfloat16"].dtype == np.dtype("V2")))
PYTHON
