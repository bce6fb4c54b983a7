"""CLIP in Flax NNX, to and from transformers' checkpoints.

`model` holds the two towers on top of `transformer`; `checkpoints` writes folders, `configuration`, with the tokenizer,
`image_processor` and `weight_files` read them, `weight_names` maps transformers' names to ours; `open_clip_export` and
`onnx_export` write for other programs, and `convert` is the command for it; `embedding` takes texts to tokens and
collections to embeddings, and tells models apart.
"""

from utils.clip.embedding import count_cut, embed_images, embed_texts, fingerprint, tokenize, unit_length
from utils.clip.model import CLIP, normalize, patchify
from utils.clip.onnx_export import save_onnx
from utils.clip.open_clip_export import save_open_clip
