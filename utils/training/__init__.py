"""Fine-tuning CLIP: from a starting point and captioned images to a folder that transformers loads.

`settings` says what a run can be, `run` runs it, `stopping` stops it, and `loading` takes what one has left.
`objective` is what a run learns, and `contrastive` that of CLIP; `loss`, `optimizer`, `trainable` and `step` are what
happens on the devices; `validation` measures held-out images; `checkpoints` and `identity` are what must survive;
`history` and `card` are what comes out; `category_captions` is for data without captions. ``python -m utils.training``
needs no notebook; `processes` is what several processes of one training tell each other, `launch` starts and watches
them.
"""

from utils.training.category_captions import caption_by_category
from utils.training.identity import run_folder
from utils.training.loading import load_or_train
from utils.training.loss import contrastive_loss, positive_pairs
from utils.training.optimizer import learning_rate_schedule
from utils.training.run import TrainingResult, train
from utils.training.settings import TrainingSettings
from utils.training.step import data_mesh
from utils.training.stopping import TrainingStopped
from utils.training.validation import validate
