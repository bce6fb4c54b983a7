"""Write a caption for an image, and score captions against what people wrote."""

from utils.captioning.baselines import (
    against_the_rest,
    best_single_caption,
    by_repeated_references,
    commonest_captions,
    nearest_captions,
)
from utils.captioning.clip_score import ClipScores, clip_score, clip_scores, ref_clip_score
from utils.captioning.score_table import CaptionScores, caption_score_table, score_captions
from utils.captioning.scores import CiderD, DocumentFrequency, caption_words, cider_d
