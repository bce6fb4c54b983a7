"""Fine-tuning CLIP: from a starting point and captioned pictures to a folder that transformers loads.

`settings` says what a run can be, `run` runs it, `reuse` takes what one has left. `loss`, `optimizer`, `parts` and
`step` are what happens on the devices; `validation` measures held-out images; `checkpoints`, `identity` and
`interruption` are what must survive; `export`, `history` and `card` are what comes out; `category_captions` is for
data without captions.
"""

from utils.training.card import push_to_hub
from utils.training.category_captions import caption_by_category
from utils.training.identity import run_folder
from utils.training.interruption import TrainingStopped
from utils.training.loss import MAX_LOGIT_SCALE, contrastive_loss, positive_pairs
from utils.training.optimizer import decay_mask, learning_rate_schedule, make_optimizer
from utils.training.parts import add_low_rank, merge_low_rank
from utils.training.reuse import load_or_train
from utils.training.run import TrainingResult, train
from utils.training.settings import PARTS, TrainingSettings
from utils.training.step import data_mesh
from utils.training.validation import validate

__all__ = [
    "MAX_LOGIT_SCALE",
    "PARTS",
    "TrainingResult",
    "TrainingSettings",
    "TrainingStopped",
    "add_low_rank",
    "caption_by_category",
    "contrastive_loss",
    "data_mesh",
    "decay_mask",
    "learning_rate_schedule",
    "load_or_train",
    "make_optimizer",
    "merge_low_rank",
    "positive_pairs",
    "push_to_hub",
    "run_folder",
    "train",
    "validate",
]
