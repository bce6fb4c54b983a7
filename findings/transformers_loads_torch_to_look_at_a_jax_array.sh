#!/usr/bin/env bash
# One would guess: where only JAX is used, a tokenizer that decodes a few token numbers leaves PyTorch alone, installed
#   or not; an array of numbers is one, whether NumPy's or JAX's.
# What happens: an array that is not NumPy's is shown to every framework in turn, and to ask PyTorch it is imported:
#   hundreds of MB and seconds, at the first decode of a JAX array, whose text comes out right. Lists and NumPy's arrays
#   do not load it: tokens.tolist() first.
# Seen with: transformers 5.23.0, torch 2.12.1, jax 0.10.2, Python 3.11, Linux. Source: to_py_obj in
#   transformers/utils/generic.py, and the run below.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.12.1 jax==0.10.2 \
  psutil 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import sys

import jax.numpy as jnp
import numpy as np
import psutil
from transformers import CLIPTokenizer

words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "road</w>"]
tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
loaded = {}
for kind, tokens in {"a list": [2, 3], "NumPy's array": np.array([2, 3]), "JAX's array": jnp.array([2, 3])}.items():
    before = psutil.Process().memory_info().rss
    text = tokenizer.decode(tokens)
    loaded[kind] = "torch" in sys.modules
    grown = (psutil.Process().memory_info().rss - before) / 1e6
    print(f"{kind}: {text!r}, {grown:.0f} MB more memory, torch is loaded: {loaded[kind]}")
sys.exit(list(loaded.values()) != [False, False, True])
PYTHON
