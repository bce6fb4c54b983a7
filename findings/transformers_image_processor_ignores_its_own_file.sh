#!/usr/bin/env bash
# One would guess: an image processor saved into a model's folder is what from_pretrained of its class then reads there.
# What happens: CLIPImageProcessor.save_pretrained writes preprocessor_config.json, but from_pretrained obeys the
#   image_processor in processor_config.json where a processor was ever saved in that folder; so the change is lost
#   without a warning. At the most talkative verbosity the log even names preprocessor_config.json as the file that it
#   loads. Given the path of that file itself, it reads it.
# Seen with: transformers 5.23.0, Python 3.11, Linux. Source: the run below, offline; the comment "Priority goes as
#   (nested config if found -> image processor config)" in get_image_processor_dict of image_processing_base.py, where
#   the line is logged, too.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 \
  pillow==12.3.0 numpy==2.4.6 2>/dev/null
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" "$folder/venv/bin/python" - 2>/dev/null <<'END'
import io
import logging
import os
import sys
import warnings

import transformers
from transformers import AutoImageProcessor, CLIPImageProcessor, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

pieces = ["a", "a</w>", "<|startoftext|>", "<|endoftext|>"]
tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[])


def of_size(side):
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


CLIPProcessor(image_processor=of_size(224), tokenizer=tokenizer).save_pretrained("model")
of_size(336).save_pretrained("model")
print(f"transformers {transformers.__version__}, in the folder:", *sorted(os.listdir("model")))

log = io.StringIO()
handler = logging.StreamHandler(log)
handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
transformers.utils.logging.add_handler(handler)
transformers.utils.logging.set_verbosity_debug()
sides = {}
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for name, loader in (("CLIPImageProcessor", CLIPImageProcessor), ("AutoImageProcessor", AutoImageProcessor)):
        sides[name] = loader.from_pretrained("model").size["shortest_edge"]
    path = "model/preprocessor_config.json"
    sides["the path of its file"] = CLIPImageProcessor.from_pretrained(path).size["shortest_edge"]
print("saved last: 336; loaded:", sides)
lines = log.getvalue().splitlines()
about = sorted({line for line in lines if "_config.json" in line})
loud = [line for line in lines if line.startswith(("WARNING", "ERROR"))]
print(f"warnings: {len(told) + len(loud)}; the log says:", *about, sep="\n  ")
expected = {"CLIPImageProcessor": 224, "AutoImageProcessor": 224, "the path of its file": 336}
named = any(line.endswith(path) for line in about) and "model/processor_config.json" not in str(about)
sys.exit(not (sides == expected and not told and not loud and named))
END
