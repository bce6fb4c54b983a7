#!/usr/bin/env bash
# One would guess: a pair of flax and jax that pip resolves, and that `pip check` finds nothing broken in, can be
#   imported.
# What happens: flax 0.12.8 asks for jax>=0.10.0, with no upper bound, and jax 0.11.1 took MutableHiType from its
#   experimental hijax. `import flax` and flax.linen still pass; `from flax import nnx` raises an AttributeError. flax
#   0.12.9 is right with jax 0.11.1; with 0.11.2 it fails likewise, on HiPrimitive. flax 0.12.12 is right with 0.12.0.
# Seen with: flax 0.12.8 and jax 0.11.1, Python 3.12 (jax 0.11 needs it), Linux. Source: the run below;
#   flax/nnx/variablelib.py; flax's 5596 for 0.12.9 and jax 0.11.2.
set -eu
python3.12 -c "" 2>/dev/null || { echo "This one needs a python3.12 on the path." >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.12 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" --disable-pip-version-check "$@" 2>/dev/null; }
try() { JAX_PLATFORMS=cpu "$folder/venv/bin/python" -c "$1; print('imported')" 2>&1 | tail -n 1; }
pip install --quiet flax==0.12.8 jax==0.11.1 jaxlib==0.11.1
checked=$(pip check)
asks=$(grep -m 1 "^Requires-Dist: jax>" "$folder"/venv/lib/python3.12/site-packages/flax-0.12.8.dist-info/METADATA)
whole=$(try "import flax, flax.linen")
nnx=$(try "from flax import nnx")
pip install --quiet --no-deps flax==0.12.9
next=$(try "from flax import nnx")
printf 'pip check: %s\nflax 0.12.8: %s\nimport flax, flax.linen: %s\n' "$checked" "$asks" "$whole"
printf 'from flax import nnx: %s\nthe same with flax 0.12.9: %s\n' "$nnx" "$next"
[ "$checked" = "No broken requirements found." ] && [ "$whole" = imported ] && [ "$next" = imported ] &&
  [[ "$nnx" == AttributeError*MutableHiType* ]] && [[ "$asks" != *"<"* ]]
