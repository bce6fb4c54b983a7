#!/usr/bin/env bash
# One would guess: on a CPU with instructions for bfloat16 (AVX512-BF16, AMX), jax multiplies two bfloat16 matrices with
#   them, and asking for a float32 result can only cost more.
# What happens: the program for a bfloat16 result first converts both matrices to float32, multiplies those, and rounds
#   the product; on an EPYC (Zen 4) it took twice as long as the same product with preferred_element_type=float32, which
#   alone keeps the bfloat16 matrices as they are.
# Seen with: jax and jaxlib 0.10.2, Python 3.11, Linux on x86-64 with avx512_bf16. Source: the optimized programs that
#   the run below prints the types of.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
cat > "$folder/products.py" <<'END'
import re
from functools import partial

import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")
in_float32 = partial(jnp.matmul, preferred_element_type=jnp.float32)
rows, kernel = (jnp.ones(shape, jnp.bfloat16) for shape in ((256, 512), (512, 256)))
verdicts = []
for name, product in {"x @ w": jnp.matmul, "x @ w into float32": in_float32}.items():
    program = jax.jit(product).lower(rows, kernel).compile().as_text()
    computation = program.split(" dot(")[0].rsplit("{\n", 1)[1]  # what stands before the product in its computation
    types = re.findall(r"= (\w+)\[[\d,]*\]\S* parameter", computation)
    verdicts.append("/".join(types))
    print(f"  {name}: the matrices that are multiplied are {' and '.join(types)}")
print(f"jaxlib {jax.lib.__version__}:", *verdicts)
END
said=$(env -u XLA_FLAGS "$folder/venv/bin/python" "$folder/products.py")
echo "$said"
[ "$(tail -n 1 <<<"$said")" = "jaxlib 0.10.2: f32/f32 bf16/bf16" ]
