#!/usr/bin/env bash
# One would guess: where a tokenizer fills up with the token that ends a text, as CLIP's does and as one is told to set
#   it for GPT-2, the collator for language models leaves out of the loss what fills up, and counts the end of each text.
# What happens: DataCollatorForLanguageModeling leaves out every token that is the padding token, the end of each text
#   too, of a batch without any padding as well. A model that is trained on these labels never learns to end, and
#   nothing is said. Only a tokenizer whose padding token is another one keeps the end.
# Seen with: transformers 5.23.0, Python 3.11, Linux. Source: the run below, offline; "labels[labels ==
#   self.tokenizer.pad_token_id] = -100" in numpy_call of data/data_collator.py.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3 \
  numpy==2.4.6 2>/dev/null
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" "$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys
import warnings

import transformers
from transformers import CLIPTokenizer, DataCollatorForLanguageModeling

letters = "abcdefghijklmnopqrstuvwxyz"
pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>", "<pad>"]
vocabulary = {piece: number for number, piece in enumerate(pieces)}
texts = ["a b", "c d e"]
learned = {}
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for padding in ("<|endoftext|>", "<pad>"):
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], pad_token=padding)
        collate = DataCollatorForLanguageModeling(tokenizer, mlm=False, return_tensors="np")
        for name, chosen in (("texts of two lengths", texts), ("one text, nothing to fill up", texts[:1])):
            batch = collate([tokenizer(text) for text in chosen])
            ends = batch["input_ids"] == tokenizer.eos_token_id
            true_ends = ends & batch["attention_mask"].astype(bool)
            learned[padding, name] = int((batch["labels"][true_ends] != -100).sum())
            print(f"padding {padding}, {name}: {int(true_ends.sum())} ends, {learned[padding, name]} in the labels")
print(f"transformers {transformers.__version__}, warnings: {len(told)}")
sys.exit(not (list(learned.values()) == [0, 0, 2, 1] and not told))
END
