#!/usr/bin/env bash
# One would guess: an entry of JAX's compilation cache on the disk that was cut short, as a killed process or a
#   full disk leaves it, is noticed once, compiled again and replaced.
# What happens: it is noticed at every start. JAX warns, compiles again, and leaves the half entry where it is, for
#   an entry is only ever written where there is none; so that program is compiled at each start from then on.
# Seen with: jax and jaxlib 0.10.2 on a CPU, Python 3.11, Linux. Source: LRUCache.put in jax/_src/lru_cache.py
#   returns as soon as the file exists, and writes it in place, not under another name first.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat > "$folder/compile.py" <<'END'
import logging
import sys

import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(float(jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((4, 4))).sum()))
END
start() { "$folder/venv/bin/python" "$folder/compile.py" "$folder/cache" 2>&1; }

first=$(start)
for entry in "$folder"/cache/*-cache; do
  size=$(stat -c %s "$entry")
  truncate -s $((size / 2)) "$entry"
done
before=$(cd "$folder/cache" && sha256sum -- *-cache)
second=$(start)
third=$(start)
after=$(cd "$folder/cache" && sha256sum -- *-cache)
warnings() { grep -c "Error reading persistent compilation cache entry" <<<"$1" || true; }

echo "whole cache: $(warnings "$first") warnings, result $(tail -n 1 <<<"$first")"
echo "entries cut short, second start: $(warnings "$second") warnings, result $(tail -n 1 <<<"$second")"
echo "third start: $(warnings "$third") warnings, result $(tail -n 1 <<<"$third")"
[ "$before" = "$after" ] && echo "the half entries are as they were" || echo "the half entries were replaced"
[ "$(warnings "$first")" = 0 ] && [ "$(warnings "$third")" -gt 0 ] && [ "$before" = "$after" ] &&
  [ "$(tail -n 1 <<<"$first")" = "$(tail -n 1 <<<"$third")" ]
