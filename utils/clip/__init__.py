"""CLIP in Flax NNX, from checkpoints of every form of the field and to transformers'.

`model` holds the two towers on top of `transformer`. `forms` opens checkpoints: `configuration` and `open_clip_config`
read settings, `image_processor` and `vocabulary` what belongs to them, `weight_files` and `torchscript` weights, which
`foreign_names` gives transformers' names; `adapters` merges LoRA. `weight_names` maps transformers' names to ours,
`checkpoints` writes folders, `open_clip_export` writes for open_clip; `embedding` takes texts to tokens and collections
to embeddings, and tells models apart.
"""

from utils.clip.embedding import count_cut, embed_images, embed_texts, fingerprint, tokenize, unit_length
from utils.clip.model import CLIP, normalize, patchify
from utils.clip.open_clip_export import save_open_clip
