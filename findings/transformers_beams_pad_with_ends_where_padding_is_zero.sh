#!/usr/bin/env bash
# One would guess: generate() fills rows that have ended with the padding token, by greedy and by beam search alike.
# What happens: by beam search not if the padding token is 0, as T5, BERT and BLIP have it: rows are filled with the end
#   token. So one text is "14 3 </s> <pad> <pad>" by greedy search and "14 3 </s> </s> </s>" by beams, and what is told
#   by padding is wrong of beams alone: lengths counted by it, and labels whose padding becomes -100, for training on
#   what a larger model wrote, then teach ends after ends. With another number for padding, beams pad as told.
# Seen with: transformers 5.23.0, torch 2.12.1, Python 3.11, Linux. Source: the run below, offline, with a T5 of 16
#   tokens; _beam_search in generation/utils.py: output_fill_value = pad_token_id or eos_token_id[0], and a 0 is false.
#   A change that mends it was proposed as huggingface/transformers#47286.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.12.1 numpy==2.4.6 \
  2>/dev/null
cd "$folder"
HF_HUB_OFFLINE=1 HF_HOME="$folder/home" "$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys

import torch
from transformers import T5Config, T5ForConditionalGeneration, set_seed

set_seed(6)
config = T5Config(
    vocab_size=16, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, initializer_factor=3.0,
    decoder_start_token_id=0,
)
model = T5ForConditionalGeneration(config).eval()
asked = torch.tensor([[3, 4], [5, 6]])


def first_row(**options):
    return model.generate(asked, do_sample=False, max_new_tokens=8, **options)[0].tolist()


print(f"padding is {config.pad_token_id}, the end {config.eos_token_id}")
greedy, beams = first_row(num_beams=1), first_row(num_beams=3)
told = first_row(num_beams=3, pad_token_id=15)
print(f"greedy search             {greedy}\nthree beams               {beams}\nthree beams, padding 15   {told}")
same_text = greedy[:4] == beams[:4] == told[:4] == [0, 14, 3, 1]
sys.exit(not (same_text and set(greedy[4:]) == {0} and set(beams[4:]) == {1} and set(told[4:]) == {15}))
END
