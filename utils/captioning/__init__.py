"""Captions for images: the vision tower of a CLIP, a mapper to a prefix, and a GPT-2 that writes on from it.

`gpt2` is the decoder, of any size, `gpt2_config` and `gpt2_files` are its files in transformers' format; `decoding`
makes it write.
"""

from utils.captioning.decoding import Beam, Greedy, Nucleus, generate
from utils.captioning.gpt2 import GPT2, Cache
from utils.captioning.gpt2_config import GPT2Config
