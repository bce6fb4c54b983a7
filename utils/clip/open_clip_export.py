"""Checkpoints for open_clip, whose names and layouts are OpenAI's own and not transformers'."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.clip.checkpoints import write_tokenizer, written_whole
from utils.clip.configuration import Architecture, TowerConfig
from utils.clip.json_files import write_json

if TYPE_CHECKING:
    from utils.clip.model import CLIP

# transformers' names beside those of open_clip; in each tower the layers follow.
_NAMES = {
    "logit_scale": "logit_scale",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
_LAYER_NAMES = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def save_open_clip(model: CLIP, folder: str | os.PathLike) -> Path:
    """Writes a folder for ``open_clip.create_model_and_transforms("local-dir:" + folder)``.

    It may be the folder of `CLIP.save_pretrained`: the tokenizer is the same, and open_clip prefers its
    own files. ``open_clip.get_tokenizer`` of the same name gives the model's tokenizer, with the repair of texts that
    `tokenize` does and transformers' own tokenizer does not.

    Args:
        model: The model.
        folder: Where to write ``open_clip_config.json``, ``open_clip_model.safetensors`` and the tokenizer.

    Returns:
        The folder.

    Raises:
        ValueError: If the towers differ in what open_clip has one setting for.
    """
    from safetensors.numpy import save_file

    folder = Path(folder).expanduser()
    settings = {"model_cfg": _model_settings(model), "preprocess_cfg": _preprocessing_settings(model)}
    weights = _rename(model.transformers_weights(), model.architecture)
    with written_whole(folder) as temporary:
        write_json(temporary / "open_clip_config.json", settings)
        save_file(weights, temporary / "open_clip_model.safetensors", metadata={"format": "pt"})
        if model.tokenizer is not None:
            write_tokenizer(model.tokenizer, temporary)
    return folder


def _rename(weights: Mapping[str, np.ndarray], architecture: Architecture) -> dict[str, np.ndarray]:
    """From transformers' names to open_clip's; query, key and value become one matrix."""
    renamed = {new: weights[old] for old, new in _NAMES.items()}
    renamed["visual.proj"] = weights["visual_projection.weight"].T
    renamed["text_projection"] = weights["text_projection.weight"].T
    towers = (
        ("vision_model", "visual.", architecture.vision.num_hidden_layers),
        ("text_model", "", architecture.text.num_hidden_layers),
    )
    for tower, prefix, layers in towers:
        for number in range(layers):
            old, new = f"{tower}.encoder.layers.{number}", f"{prefix}transformer.resblocks.{number}"
            for kind in ("weight", "bias"):
                parts = [weights[f"{old}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
                renamed[f"{new}.attn.in_proj_{kind}"] = np.concatenate(parts)
                for ours, theirs in _LAYER_NAMES.items():
                    renamed[f"{new}.{theirs}.{kind}"] = weights[f"{old}.{ours}.{kind}"]
    return {name: np.asarray(array, order="C") for name, array in renamed.items()}


def _model_settings(model: CLIP) -> dict[str, Any]:
    vision, text = model.architecture.vision, model.architecture.text
    if vision.hidden_act != text.hidden_act:
        raise ValueError(
            f"open_clip has one activation for both towers, but this model has {vision.hidden_act!r} for images "
            f"and {text.hidden_act!r} for texts; it cannot be exported."
        )
    settings: dict[str, Any] = {
        "embed_dim": model.architecture.projection_dim,
        "quick_gelu": vision.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            **_tower_settings(vision),
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "heads": text.num_attention_heads,
            **_tower_settings(text),
        },
    }
    if text.eos_token_id != 2:  # otherwise the highest id marks the end, which is open_clip's default too
        settings["text_cfg"] |= {"pool_type": "eos", "eos_id": text.eos_token_id}
    if model.tokenizer is not None:
        settings["text_cfg"]["hf_tokenizer_name"] = "."  # beside a local-dir: the tokenizer in the folder
    return settings


def _tower_settings(config: TowerConfig) -> dict[str, Any]:
    return {
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "mlp_ratio": config.intermediate_size / config.hidden_size,
        "norm_kwargs": {"eps": config.layer_norm_eps},
    }


def _preprocessing_settings(model: CLIP) -> dict[str, Any]:
    preprocessing = model.preprocessing
    return {
        "size": preprocessing.image_size,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "interpolation": "bicubic",
        "resize_mode": "squash" if preprocessing.squash else "shortest",
    }
