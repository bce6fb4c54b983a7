#!/usr/bin/env bash
# One would guess: clip-retrieval pairs a.jpg with the caption in a.txt beside it, as its README says of --input_format
#   files, and as img2dataset lays them out.
# What happens: both are known by their whole names, so that a pair has two keys. With texts enabled, the default, the
#   samples are those of the texts alone, `a.txt`, and no image has such a key: whatever the folder holds, the first
#   sample ends `clip-retrieval inference` with KeyError: 'a.txt'. Without texts (--enable_text False) images are read,
#   and captions must come from elsewhere; webdataset shards are paired rightly.
# Seen with: clip-retrieval 2.45.0, the newest, Python 3.11, Linux. Source: the run below, of folder_to_keys alone, so
#   that neither torch nor a model is needed; clip_retrieval/clip_inference/reader.py; its issues 345, 352, 385, open.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" clip-retrieval==2.45.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import ast
import sys
import zipfile
from pathlib import Path

folder = Path(sys.argv[1])
(wheel,) = folder.glob("*.whl")
source = zipfile.ZipFile(wheel).read("clip_retrieval/clip_inference/reader.py").decode()
functions = [node for node in ast.parse(source).body if getattr(node, "name", "") == "folder_to_keys"]
exec(compile(ast.Module(functions, []), "reader.py", "exec"))
(folder / "pairs").mkdir()
for name in ("a", "b"):
    (folder / "pairs" / f"{name}.jpg").touch()
    (folder / "pairs" / f"{name}.txt").touch()
samples, texts, images, _ = folder_to_keys(folder / "pairs")
print(f"samples: {samples}\ntexts: {sorted(texts)}\nimages: {sorted(images)}")
print(f"samples with an image: {[sample for sample in samples if sample in images]}")
sys.exit(not (samples == ["a.txt", "b.txt"] and sorted(images) == ["a.jpg", "b.jpg"]))
PYTHON
