"""How good a model is, and how sure that is: protocols, scores, intervals."""

from utils.evaluation.audit import Audit, audit_overlap, caption_overlap, overlap_warning, pair_pictures
from utils.evaluation.near_duplicates import DuplicatePair, find_near_duplicates
from utils.evaluation.zero_shot import (
    PROMPT_TEMPLATES,
    PUBLISHED_KS,
    SPLIT_NAMES,
    ZeroShotResult,
    class_prompts,
    classify,
    zero_shot,
)

__all__ = [
    "PROMPT_TEMPLATES",
    "PUBLISHED_KS",
    "SPLIT_NAMES",
    "Audit",
    "DuplicatePair",
    "ZeroShotResult",
    "audit_overlap",
    "caption_overlap",
    "class_prompts",
    "classify",
    "find_near_duplicates",
    "overlap_warning",
    "pair_pictures",
    "zero_shot",
]
