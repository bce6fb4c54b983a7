#!/usr/bin/env bash
# One would guess: to import the client of a database leaves the log file of the program as it is; and where orbax, and
#   with it absl, has been imported too, a stream that messages went to stays open.
# What happens: pymilvus configures its loggers by logging.config.dictConfig as it is imported, which closes every handler
#   of the process, although they stay where they are. A log file opened with mode "w" gets no line more, without a word.
#   absl's handler closes its stream with itself unless that is sys.stderr at this moment: if the import happens while
#   sys.stderr stands for something else, as under redirect_stderr in a notebook, what was sys.stderr before is closed,
#   and the next message to it raises. Ray, which did the same, has stopped (ray-project/ray#57169).
# Seen with: pymilvus 3.0.2, absl-py 2.5.1, Python 3.11, Linux. Source: pymilvus/settings.py, milvus-io/pymilvus#3794.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pymilvus==3.0.2 absl-py==2.5.1 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'END'
import contextlib
import io
import logging
import sys

# As in a notebook, whose kernel has put a stream of its own in the place of sys.stderr.
sys.stderr = of_the_kernel = io.StringIO()
import absl.logging

absl.logging.use_absl_handler()
program = logging.getLogger("program")
program.setLevel("INFO")
program.propagate = False  # nothing of it goes to absl's handler
program.addHandler(logging.FileHandler("log.txt", mode="w"))
program.info("before")
with contextlib.redirect_stderr(io.StringIO()):
    import pymilvus
sys.stderr = sys.__stderr__
program.info("after")
lines = open("log.txt").read().split()
print(f"the log file: {lines}; its handlers still: {program.handlers}")
print(f"the stream that was sys.stderr, and is again: closed is {of_the_kernel.closed}")
sys.exit(not (lines == ["before"] and of_the_kernel.closed))
END
