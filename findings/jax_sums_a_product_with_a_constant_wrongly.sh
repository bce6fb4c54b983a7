#!/usr/bin/env bash
# One would guess: jax.jit of the sum of a matrix product with jnp.ones, or with any array that is one number over and
#   over, gives what the same lines give without jit.
# What happens: on the CPU the sum is of other memory than the constant's: infinities, nan or numbers that change from
#   one start to the next, without an error or a warning. Seen for float32, the constant on the right, and a sum,
#   mean or max of the product, with and without vmap: from 64 by 64 on (63 by 63 is right) and for 512 by 32 times 32
#   by 32. A constant on the left, and a right side of different numbers, are right.
#   XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=-reduce makes it right.
# Seen with: jax and jaxlib 0.10.2, Python 3.11, Linux on x86-64; the same in 0.11.0, 0.11.1, 0.11.2 and 0.12.0 with
#   Python 3.12, and right in 0.10.1. One core or two make no difference, nor does --xla_cpu_max_isa from SSE4_2 to
#   AVX512. Source: the run below. jax's 39103 is of another pattern (a matrix-vector product under vmap) that is wrong
#   in 0.10.2 and right again by 0.12.0, where this one is not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 2>/dev/null
cat > "$folder/sums.py" <<'END'
import jax
import jax.numpy as jnp

jax.config.update("jax_platforms", "cpu")
left, size = jnp.ones((64, 64)), (64, 64)
programs = {
    "sum of squares, jnp.ones": (lambda a: jnp.sum(jnp.square(a @ jnp.ones(size))), left),
    "the same of four": (jax.vmap(lambda s: jnp.sum(jnp.square((s * jnp.ones(size)) @ jnp.ones(size)))), jnp.ones(4)),
    "mean of columns, jnp.full": (lambda a: jnp.mean(a @ jnp.full(size, 0.5), axis=0), left),
    "constant on the left": (lambda a: jnp.sum(jnp.ones(size) @ a), left),
}
verdicts = []
for name, (program, argument) in programs.items():
    right, got = (float(jnp.ravel(way(argument))[0]) for way in (program, jax.jit(program)))
    verdicts.append("right" if abs(got - right) <= 1e-3 * right else "wrong")
    print(f"  {name}: {got:g} with jit, {right:g} without: {verdicts[-1]}")
print(f"jaxlib {jax.lib.__version__}:", *verdicts)
END
flag=--xla_cpu_experimental_ynn_fusion_type=-reduce
plain=$(env -u XLA_FLAGS "$folder/venv/bin/python" "$folder/sums.py")
flagged=$(XLA_FLAGS=$flag "$folder/venv/bin/python" "$folder/sums.py")
printf 'as it is\n%s\nwith %s\n%s\n' "$plain" "$flag" "$flagged"
[ "$(tail -n 1 <<<"$plain")" = "jaxlib 0.10.2: wrong wrong wrong right" ] &&
  [ "$(tail -n 1 <<<"$flagged")" = "jaxlib 0.10.2: right right right right" ]
