#!/usr/bin/env bash
# One would guess: nnx.merge makes a model of a structure and a state, so merging the same state twice gives two models,
#   and training one of them leaves the other, the state and the model that was split as they were; it did so for years.
# What happens: all of them hold the very same variables. Whoever keeps a state to begin again from, or merges it once
#   for a student and once for a teacher, finds both trained. No error, no warning. nnx.merge(..., copy=True) makes a
#   model of its own; recreate_variables=True, which sounds like it and is the default, does not.
# Seen with: flax 0.12.8, jax 0.10.2, Python 3.11; with flax 0.10.4 each model had variables of its own. Source: the run
#   below; flax/nnx/graphlib.py, merge, whose parameter copy is False.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/merge.py" <<'END'
import flax
import jax

jax.config.update("jax_platforms", "cpu")
from flax import nnx

model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
definition, state = nnx.split(model)
student, teacher = nnx.merge(definition, state), nnx.merge(definition, state)
before = float(teacher.kernel.value[0, 0])
student.kernel.value = student.kernel.value + 1  # what a step of training does
verdicts = []
for name, other in {"teacher": teacher, "model that was split": model}.items():
    moved = float(other.kernel.value[0, 0]) - before
    verdicts.append("changed" if moved else "kept")
    print(f"  the student's weight moves by 1, that of the {name} by {moved:g}")
print(f"flax {flax.__version__}:", *verdicts)
END
for version in 0.10.4 0.12.8; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install --quiet --disable-pip-version-check flax=="$version" jax==0.10.2 jaxlib==0.10.2 \
    numpy==2.4.6 2>/dev/null
  "$folder/$version/bin/python" -W ignore "$folder/merge.py"
done | tee "$folder/said"
[ "$(grep '^flax' "$folder/said")" = "flax 0.10.4: kept kept
flax 0.12.8: changed changed" ]
