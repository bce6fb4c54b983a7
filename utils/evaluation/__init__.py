"""How good a model is, and how sure that is: protocols, scores, intervals.

`zero_shot` scores a model on a data set, by what `prompts` names; `classify` and `score_retrieval` score stored
embeddings, as the module `retrieval` explains. `intervals` says how far a figure can be trusted, `tables` writes it
down with how it was taken. `audit` comes before all of them, and `report` after: one call for a model against a
baseline.
"""

from utils.evaluation.audit import audit_overlap, draw_pairs, overlap_warning
from utils.evaluation.embeddings import embed_dataset
from utils.evaluation.intervals import (
    Interval,
    bootstrap,
    bootstrap_runs,
    interval_of_draws,
    paired_bootstrap,
    resampled_means,
)
from utils.evaluation.near_duplicates import find_near_duplicates
from utils.evaluation.per_image import aligned, read_predictions, values_of
from utils.evaluation.prompts import PROMPT_TEMPLATES, PROTOCOLS, Protocol, as_protocol, class_prompts, embed_classes
from utils.evaluation.ranking import RECALL_AT, retrieval_ranks
from utils.evaluation.report import Evaluation, evaluate
from utils.evaluation.retrieval import distinct_captions, retrieval_ceiling, score_retrieval
from utils.evaluation.tables import add_to_card, recall_table, score_table, summary_text
from utils.evaluation.zero_shot import PUBLISHED_KS, ZeroShotResult, classify, zero_shot
