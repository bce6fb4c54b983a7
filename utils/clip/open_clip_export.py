"""Checkpoints for open_clip, whose names and layouts are OpenAI's own and not transformers'."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.checkpoints import write_json, written_whole
from utils.clip.configuration import TowerConfig, write_tokenizer
from utils.clip.foreign_names import open_clip_names
from utils.files import from_home

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from utils.clip.model import CLIP


def save_open_clip(model: CLIP, folder: str | os.PathLike) -> Path:
    """Writes a folder for ``open_clip.create_model_and_transforms("local-dir:" + folder)``, and returns it.

    On the Hub it is ``hf-hub:owner/name``. ``pretrained`` takes its ``open_clip_model.safetensors``, beside the name of
    the architecture, which then says the activation: ``ViT-B-32-quickgelu`` has quick-GELU, ``ViT-B-32`` has GELU.

    The folder may be that of `CLIP.save_pretrained`: the tokenizer is the same, and open_clip prefers its own files.
    ``open_clip.get_tokenizer`` of the same name gives the tokens of `tokenize`, with its repair of texts. Towers that
    differ in what open_clip has one setting for are a ValueError.
    """
    from safetensors.numpy import save_file

    folder = from_home(folder)
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
    of_clip = model.tokenizer is not None and _is_of_clip(model.tokenizer)
    # By default the highest id marks the end, as in CLIP's own vocabulary; older open_clips know nothing else.
    if text.eos_token_id != 2 and not of_clip:
        text_settings |= {"pool_type": "eos", "eos_id": text.eos_token_id}
    if model.tokenizer is not None and not of_clip:
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


# SHA-256 of the 49,406 tokens of CLIP's own vocabulary in their order, without those for begin and end.
_CLIP_VOCABULARY = "ee7a4423aea96d705babd8004aa41e3696ffd366e5d8f3227d4fa057768d60e0"


def _is_of_clip(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it has CLIP's own vocabulary, which open_clip brings along and takes where no tokenizer is named."""
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])[:-2]
    return hashlib.sha256("\n".join(tokens).encode()).hexdigest() == _CLIP_VOCABULARY


def _tower_settings(config: TowerConfig) -> dict[str, Any]:
    return {
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "mlp_ratio": config.intermediate_size / config.hidden_size,
        "norm_kwargs": {"eps": config.layer_norm_eps},
    }
