"""CLIP in Flax NNX, from checkpoints of every form of the field, and to those that others read.

`model` holds the two towers on top of `transformer`; `products` are those of its linear layers, and `compute_types`
finds the type that is fast here. `forms` opens checkpoints: `configuration` and `open_clip_config` read settings,
`image_processor` and `vocabulary` what belongs to them, `weight_files` and `torchscript` weights, which `foreign_names`
gives transformers' names; `adapters` merges LoRA. `weight_names` maps transformers' names to ours. `checkpoints` writes
folders; `open_clip_export` and `onnx_export` write for other programs, and `convert` is the command for it. `embedding`
takes texts to tokens and collections to embeddings, and tells models apart; `eight_bits` embeds images by OpenVINO.
"""

from utils.clip.eight_bits import in_eight_bits
from utils.clip.embedding import (
    count_cut,
    cut_in_words,
    embed_images,
    embed_texts,
    fingerprint,
    patch_statistics,
    tokenize,
    unit_length,
)
from utils.clip.model import CLIP, normalize, patchify
from utils.clip.onnx_export import save_onnx
from utils.clip.open_clip_export import save_open_clip
