"""How good a model is, and how sure that is: protocols, scores, intervals.

`zero_shot` and `retrieval` score a model on a data set, by what `protocols` names and `retrieval` explains; `classify`
and `score_retrieval` score stored embeddings, `scores_from_predictions` a published file. `intervals` says how far a
figure can be trusted, `tables` writes it down with how it was taken. `audit` comes before all of them, and `report`
after: one call for a model against a baseline.
"""

from utils.category_names import SPLIT_NAMES
from utils.evaluation.audit import Audit, audit_overlap, caption_overlap, overlap_warning, pair_pictures
from utils.evaluation.embedding import embed_dataset
from utils.evaluation.intervals import Interval, bootstrap, bootstrap_runs, paired_bootstrap, resampled_means
from utils.evaluation.near_duplicates import DuplicatePair, find_near_duplicates
from utils.evaluation.per_image import ImageValues, aligned, read_predictions, values_of
from utils.evaluation.predictions import Predictions, scores_from_predictions
from utils.evaluation.protocols import PROMPT_TEMPLATES, PROTOCOLS, Protocol, as_protocol, class_prompts, embed_classes
from utils.evaluation.rank_scores import PUBLISHED_KS
from utils.evaluation.ranking import RECALL_AT, best_ranks, retrieval_ranks, retrieval_recall
from utils.evaluation.report import Evaluation, evaluate
from utils.evaluation.retrieval import (
    MATCHINGS,
    RetrievalResult,
    distinct_captions,
    embed_pairs,
    retrieval,
    retrieval_ceiling,
    score_retrieval,
)
from utils.evaluation.summary import add_to_card, summary_text
from utils.evaluation.tables import retrieval_table, zero_shot_table
from utils.evaluation.zero_shot import ZeroShotResult, classify, zero_shot

__all__ = [
    "MATCHINGS",
    "PROMPT_TEMPLATES",
    "PROTOCOLS",
    "PUBLISHED_KS",
    "RECALL_AT",
    "SPLIT_NAMES",
    "Audit",
    "DuplicatePair",
    "Evaluation",
    "ImageValues",
    "Interval",
    "Predictions",
    "Protocol",
    "RetrievalResult",
    "ZeroShotResult",
    "add_to_card",
    "aligned",
    "as_protocol",
    "audit_overlap",
    "best_ranks",
    "bootstrap",
    "bootstrap_runs",
    "caption_overlap",
    "class_prompts",
    "classify",
    "distinct_captions",
    "embed_classes",
    "embed_dataset",
    "embed_pairs",
    "evaluate",
    "find_near_duplicates",
    "overlap_warning",
    "pair_pictures",
    "paired_bootstrap",
    "read_predictions",
    "resampled_means",
    "retrieval",
    "retrieval_ceiling",
    "retrieval_ranks",
    "retrieval_recall",
    "retrieval_table",
    "score_retrieval",
    "scores_from_predictions",
    "summary_text",
    "values_of",
    "zero_shot",
    "zero_shot_table",
]
