"""Captions for images: the vision tower of a CLIP, a mapper to a prefix, and a GPT-2 that writes on from it.

    captioner = Captioner.from_pretrained("runs/miniature/captioner/model")
    caption(captioner, ["harbor.jpg", "field.jpg"])           # a sentence for each

`gpt2` is the decoder, of any size, `gpt2_config` and `gpt2_files` are its files in transformers' format, and `decoding`
makes it write. `mapper` makes the prefix, `tokens` are what captions are made of, `captioner` is the whole in one
folder, and `describe` asks it, with `begun` for what a stopped run has written. `objective` is what it learns through
`utils.training`, governed by `settings`, with `loss` and `validation`. `scores` counts as the field does, `score_table`
gives all scores with intervals, `baselines` those of captions that nobody wrote for their image, `clip_score` judges
without references.
"""

from utils.captioning.baselines import (
    against_the_rest,
    best_single_caption,
    by_repeated_references,
    commonest_captions,
    nearest_captions,
)
from utils.captioning.captioner import Captioner
from utils.captioning.clip_score import ClipScores, clip_score, clip_scores, ref_clip_score
from utils.captioning.decoding import Beam, Greedy, Nucleus, generate
from utils.captioning.describe import caption, write_captions
from utils.captioning.gpt2 import GPT2, Cache
from utils.captioning.gpt2_config import GPT2Config
from utils.captioning.mapper import Mapper, MapperConfig
from utils.captioning.objective import train_captioner
from utils.captioning.score_table import CaptionScores, caption_score_table, score_captions
from utils.captioning.scores import CiderD, DocumentFrequency, caption_words, cider_d
from utils.captioning.settings import CaptioningSettings
from utils.captioning.tokens import caption_tokens, words_of
