#!/usr/bin/env bash
# One would guess: where JAX_PLATFORMS asks for a device that is not there, JAX says so, as its message for any word it
#   does not know does: "Unable to initialize backend 'x': Backend 'x' is not in the list of known backends".
# What happens: for cuda, which people ask for most, a JAX without its plugin stops with an AssertionError that has no
#   words at all, at whatever line first needed a device; with python -O as "'NoneType' object has no attribute
#   'devices'". Who reads the traceback looks for a bug in that line.
# Seen with: jax 0.10.2, Python 3.11. Source: the run below; jax/_src/xla_bridge.py, backends, which passes over
#   platforms whose plugin is not installed and then asserts that one was left.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
for platform in cpu nonsense cuda; do
  said=$(JAX_PLATFORMS=$platform "$folder/venv/bin/python" -c 'import jax; print(jax.devices())' 2>&1 | tail -1)
  echo "JAX_PLATFORMS=$platform: $said" | tee -a "$folder/said"
done
grep -q "^JAX_PLATFORMS=nonsense: RuntimeError: Unable to initialize backend" "$folder/said"
grep -qx "JAX_PLATFORMS=cuda: AssertionError" "$folder/said"
