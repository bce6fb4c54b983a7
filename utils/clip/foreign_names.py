"""What open_clip, OpenAI's code and Flax call the weights of CLIP, to transformers' names and layouts and back.

The functions take arrays alone, of any dtype, so that an array without memory behind it tells the shape of a weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]

# Parts of transformers' names, and what open_clip, whose names are OpenAI's, has in their place.
_PARTS = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding": "conv1",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "encoder.layers": "transformer.resblocks",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "final_layer_norm": "ln_final",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_PROJECTIONS = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}  # turned
_OPENAI_SIZES = ("input_resolution", "context_length", "vocab_size")  # which OpenAI's archives keep with the weights
_NO_WEIGHTS = (*_OPENAI_SIZES, "attn_mask")


def transformers_names(weights: Weights) -> dict[str, np.ndarray]:
    """Renames and lays out weights of open_clip, OpenAI or Flax as transformers has them; others stay as they are."""
    if any("/" in name for name in weights):
        return _renamed(weights, _from_flax)
    if any(name.startswith("visual.") for name in weights):
        if any(name.startswith("text.token_embedding") for name in weights):  # open_clip's ``custom_text``
            weights = {name.removeprefix("text."): array for name, array in weights.items()}
        return _renamed(weights, _from_open_clip)
    return _renamed(weights, lambda name, array: {name: array})


def is_of_openai(names: Mapping[str, object]) -> bool:
    """Whether weights are OpenAI's own, by what nobody else stores beside them."""
    return set(_OPENAI_SIZES) <= names.keys()


def open_clip_names(weights: Weights) -> dict[str, np.ndarray]:
    """From transformers' names to open_clip's; query, key and value become one matrix."""
    renamed = {}
    for name, array in weights.items():
        if name in _PROJECTIONS:
            name, array = _PROJECTIONS[name], array.T
        elif ".q_proj." in name:
            array = np.concatenate([weights[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"])
            name = name.replace("self_attn.q_proj.", "attn.in_proj_")
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        name = name.replace("vision_model.", "visual.").replace("text_model.", "")
        for theirs, open_clips in _PARTS.items():
            name = name.replace(theirs, open_clips)
        renamed[name] = np.asarray(array, order="C")
    return renamed


def _renamed(weights: Weights, rename: Callable[[str, np.ndarray], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    renamed: dict[str, np.ndarray] = {}
    for name, array in weights.items():
        if name == "logit_scale" and array.shape == (1,):  # as some programs keep a number
            array = array.reshape(())
        if name.rpartition(".")[2] not in _NO_WEIGHTS:
            renamed |= rename(name, array)
    return renamed


def _from_open_clip(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """One weight by its names in transformers: three where query, key and value are one matrix."""
    for theirs, open_clips in _PROJECTIONS.items():
        if name == open_clips:
            return {theirs: array.T}
    if "." not in name and name not in _PARTS.values():
        return {name: array}
    tower = "vision_model." if name.startswith("visual.") else "text_model."
    rest = name.removeprefix("visual.")
    for theirs, open_clips in _PARTS.items():
        rest = re.sub(rf"(^|\.){re.escape(open_clips)}(?=\.|$)", rf"\g<1>{theirs}", rest)
    if found := re.fullmatch(r"(.*)\.attn\.in_proj_(weight|bias)", rest):
        width = array.shape[0] // 3
        parts = (("q", array[:width]), ("k", array[width : 2 * width]), ("v", array[2 * width :]))
        return {f"{tower}{found[1]}.self_attn.{part}_proj.{found[2]}": rows for part, rows in parts}
    return {tower + rest: array}


def _from_flax(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """One parameter of transformers' ``FlaxCLIPModel``; its matrices are turned, its convolution is height first."""
    *path, leaf = name.split("/")
    if leaf == "kernel":
        array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    leaf = "weight" if leaf in ("kernel", "scale", "embedding") else leaf
    return {".".join([*path, leaf]): array}
