#!/usr/bin/env bash
# One would guess: truncation=True, max_length=5 in one call of a tokenizer is about that call.
# What happens: the tokenizer keeps it. Saved afterwards, its tokenizer.json holds a truncation at 5 tokens; loaded by
#   AutoTokenizer it is without effect (a text is cut at model_max_length where one asks for truncation, else not at
#   all), but CLIPProcessor(text=...) on the same files cuts at 5 tokens without being asked to, and at 5 again with
#   truncation=True, without a warning. max_length=77 beside it brings the rest back.
# Seen with: transformers 5.23.0, Python 3.11, Linux. Source: the run below, offline, with a vocabulary of eight tokens.
#   TokenizersBackend in tokenization_utils_tokenizers.py makes the truncation of tokenizer.json a max_length among the
#   tokenizer's init_kwargs, which no call of a tokenizer reads, but ProcessorMixin._merge_kwargs does.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 \
  pillow==12.3.0 numpy==2.4.6 2>/dev/null
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" "$folder/venv/bin/python" - 2>/dev/null <<'END'
import json
import sys

import transformers
from transformers import AutoTokenizer, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

pieces = ["a", "b", "c", "a</w>", "b</w>", "c</w>", "<|startoftext|>", "<|endoftext|>"]
text = ["a b c " * 40]  # 120 words, 122 tokens with the two that CLIP adds


def saved(name, called):
    tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=77)
    if called:
        tokenizer(["a b"], truncation=True, max_length=5)
    CLIPProcessor(image_processor=CLIPImageProcessorPil(), tokenizer=tokenizer).save_pretrained(name)
    with open(f"{name}/tokenizer.json") as file:
        return (json.load(file)["truncation"] or {}).get("max_length")


def lengths(load, name, **options):
    """Tokens of the text without and with truncation asked for, and with the options."""
    asked = ({}, {"truncation": True}, *([options] if options else []))
    return [len(load(name)(text=text, **one)["input_ids"][0]) for one in asked]


print("transformers", transformers.__version__)
found = {}
for name, called in (("untouched", False), ("called", True)):
    kept = saved(name, called)
    auto = lengths(AutoTokenizer.from_pretrained, name)
    processor = lengths(CLIPProcessor.from_pretrained, name, truncation=True, max_length=77)
    found[name] = (kept, auto, processor)
    print(f"{name}: tokenizer.json truncates at {kept}; AutoTokenizer gives {auto[0]} tokens, {auto[1]} with "
          f"truncation=True; CLIPProcessor {processor[0]}, {processor[1]}, and {processor[2]} with max_length=77, too")
expected = {"untouched": (None, [122, 77], [122, 77, 77]), "called": (5, [122, 77], [5, 5, 77])}
sys.exit(found != expected)
END
