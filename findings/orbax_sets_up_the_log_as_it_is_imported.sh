#!/usr/bin/env bash
# One would guess: a library for checkpoints leaves logging to the program, whichever of the two comes first; its
#   makers have mended it twice (google/orbax#699 and #1248).
# What happens: with orbax imported, logging.basicConfig(filename=..., level="INFO") does nothing and says nothing: no
#   file comes to be, and messages below a warning are lost. On its import orbax calls absl's logging.vlog, which calls
#   logging.basicConfig() where the root has no handler yet; the second call is then one too many. A program that
#   sets up its log first is not harmed.
# Seen with: orbax-checkpoint 0.12.8, absl-py 2.5.1, jax 0.10.2, Python 3.11, Linux. Source: ArrayHandler's __init__,
#   of which orbax makes one on import, absl/logging/__init__.py, and the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check orbax-checkpoint==0.12.8 absl-py==2.5.1 jax==0.10.2 \
  2>/dev/null
cd "$folder"
for first in "" "import orbax.checkpoint"; do
  rm -f log.txt
  "$folder/venv/bin/python" - <<END_OF_PROGRAM
import logging

$first
logging.basicConfig(filename="log.txt", level="INFO")
logging.info("step 1")
END_OF_PROGRAM
  echo "${first:-nothing imported}: $(cat log.txt 2>/dev/null || echo no log.txt)"
  if [ -z "$first" ]; then test -f log.txt; else test ! -f log.txt; fi
done
