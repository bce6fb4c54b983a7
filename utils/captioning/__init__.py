"""Captions for images: the vision tower of a CLIP, a mapper to a prefix, and a GPT-2 that writes on from it.

`gpt2` is the decoder, of any size, `gpt2_config` and `gpt2_files` are its files in transformers' format. `mapper` makes
the prefix, and `captioner` is the whole: CLIP, mapper and decoder. `objective` and `settings` train it through
`utils.training`. `scores` compares captions with what people wrote.
"""

from utils.captioning.captioner import Captioner
from utils.captioning.gpt2 import GPT2, Cache
from utils.captioning.gpt2_config import GPT2Config
from utils.captioning.mapper import Mapper, MapperConfig
from utils.captioning.objective import train_captioner
from utils.captioning.scores import CiderD, DocumentFrequency, caption_words, cider_d
from utils.captioning.settings import CaptioningSettings
