"""Checkpoints for open_clip, whose names and layouts are OpenAI's own and not transformers'."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.checkpoints import write_json, written_whole
from utils.clip.configuration import TowerConfig, write_tokenizer
from utils.clip.foreign_names import open_clip_names

if TYPE_CHECKING:
    from utils.clip.model import CLIP


def save_open_clip(model: CLIP, folder: str | os.PathLike) -> Path:
    """Writes a folder for ``open_clip.create_model_and_transforms("local-dir:" + folder)``.

    It may be the folder of `CLIP.save_pretrained`: the tokenizer is the same, and open_clip prefers its own files.
    ``open_clip.get_tokenizer`` of the same name tokenizes as `tokenize` does, with its repair of texts. Towers that
    differ in what open_clip has one setting for are a ValueError.
    """
    from safetensors.numpy import save_file

    folder = Path(folder).expanduser()
    settings, weights = _settings(model), open_clip_names(model.transformers_weights())
    with written_whole(folder) as temporary:
        write_json(temporary / "open_clip_config.json", settings)
        save_file(weights, temporary / "open_clip_model.safetensors", metadata={"format": "pt"})
        if model.tokenizer is not None:
            write_tokenizer(model.tokenizer, temporary)
    return folder


def _settings(model: CLIP) -> dict[str, Any]:
    vision, text, preprocessing = model.architecture.vision, model.architecture.text, model.preprocessing
    if vision.hidden_act != text.hidden_act:
        raise ValueError(
            f"open_clip has one activation for both towers, but this model has {vision.hidden_act!r} for images "
            f"and {text.hidden_act!r} for texts; it cannot be exported."
        )
    vision_settings = {
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
        "head_width": vision.hidden_size // vision.num_attention_heads,
        **_tower_settings(vision),
    }
    text_settings = {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "heads": text.num_attention_heads,
        **_tower_settings(text),
    }
    if text.eos_token_id != 2:  # otherwise the highest id marks the end, which is open_clip's default too
        text_settings |= {"pool_type": "eos", "eos_id": text.eos_token_id}
    if model.tokenizer is not None:
        text_settings["hf_tokenizer_name"] = "."  # beside a local-dir: the tokenizer in the folder
    return {
        "model_cfg": {
            "embed_dim": model.architecture.projection_dim,
            "quick_gelu": vision.hidden_act == "quick_gelu",
            "vision_cfg": vision_settings,
            "text_cfg": text_settings,
        },
        "preprocess_cfg": {
            "size": preprocessing.image_size,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "interpolation": "bicubic",
            "resize_mode": "squash" if preprocessing.squash else "shortest",
        },
    }


def _tower_settings(config: TowerConfig) -> dict[str, Any]:
    return {
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "mlp_ratio": config.intermediate_size / config.hidden_size,
        "norm_kwargs": {"eps": config.layer_norm_eps},
    }
