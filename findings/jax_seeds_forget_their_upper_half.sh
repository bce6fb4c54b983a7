#!/usr/bin/env bash
# One would guess: jax.random.key, whose key has 64 bits, makes another key of every seed that it takes, as NumPy's
#   default_rng does; a seed too large for it is refused.
# What happens: without 64-bit types, the default, only the lower 32 bits of a seed are looked at, and nothing is said:
#   seeds composed as run << 32 | worker give every run the same numbers, and flax's nnx.Rngs, which passes the seed on,
#   the same first weights; key(-1) is key(2**32 - 1). Only from 2**63 on a seed is refused. With JAX_ENABLE_X64 all of
#   these differ.
# Seen with: jax 0.10.2, flax 0.12.7, NumPy 2.4.6, Python 3.11, Linux. Source: threefry_seed in jax/_src/prng.py;
#   google/jax's pull request 4877 chose it, issue 16808 asks for longer seeds. What helps: seeds below 2**32, and
#   jax.random.fold_in(key, number) for the parts of a composed one.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 flax==0.12.7 numpy==2.4.6 2>/dev/null
cat > "$folder/seeds.py" <<'END'
import sys
import warnings

import jax
import numpy as np
from flax import nnx

warnings.simplefilter("error")
SEEDS = {"worker 7": 7, "run 1, worker 7": 1 << 32 | 7, "run 2, worker 7": 2 << 32 | 7}


def first_weight(seed: int) -> float:
    return float(nnx.Linear(4, 4, rngs=nnx.Rngs(seed)).kernel[0, 0])


drawn = {name: float(jax.random.normal(jax.random.key(seed))) for name, seed in SEEDS.items()}
weights = {name: first_weight(seed) for name, seed in SEEDS.items()}
numpy_drawn = {name: float(np.random.default_rng(seed).normal()) for name, seed in SEEDS.items()}
for name in SEEDS:
    print(f"{name}: {drawn[name]:.3f}, first weight {weights[name]:.3f}; NumPy {numpy_drawn[name]:.3f}")
different = len(set(drawn.values())), len(set(weights.values())), len(set(numpy_drawn.values()))
negative = bool((jax.random.key_data(jax.random.key(-1)) == jax.random.key_data(jax.random.key(2**32 - 1))).all())
wide = jax.config.jax_enable_x64
sys.exit(different != ((3, 3, 3) if wide else (1, 1, 3)) or negative == wide)
END
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/seeds.py"
echo "With 64-bit types:"
JAX_ENABLE_X64=1 JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/seeds.py"
