"""How good a model is, and how sure that is: protocols, scores, intervals."""

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
    "ZeroShotResult",
    "class_prompts",
    "classify",
    "zero_shot",
]
