"""The configuration of weights that bring none of transformers: from ``open_clip_config.json``, or their shapes alone.

Shapes tell widths, layers, patches, vocabulary and length of texts. They tell neither the activation nor the heads; of
those each published ViT has as many as its width asks for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.clip.checkpoints import damage_in_words, read_json
from utils.clip.configuration import check_activation
from utils.clip.foreign_names import is_of_openai
from utils.clip.image_processor import channels
from utils.datasets import CLIP_MEAN, CLIP_STD, ImagePreprocessing

Shapes = Mapping[str, tuple[int, ...]]
_HEAD_WIDTH = 64  # of OpenAI's models; open_clip's larger ones have heads that are wider, and 16 of them
_SIXTEEN_HEADS = (1280, 1408, 1664, 1792)  # widths of ViT-H, g, bigG and e
_HIGHEST_ID = 2  # for eos_token_id: the text ends at the token with the highest id, see `end_of_text_positions`

# Settings that change what is computed, with the values that are computed here; False, 0 and None are all "no".
_COMPUTED: dict[str, tuple[Any, ...]] = {
    "pool_type": ("tok", "argmax", "eos"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "interpolation": ("bicubic",),
    "resize_mode": ("shortest", "squash"),
    "mode": ("RGB",),
    "hf_tokenizer_name": (".",),  # the one in the folder
}
_READ = {
    *("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "norm_kwargs"),
    *("context_length", "vocab_size", "heads", "eos_id", "pad_id"),
    *("size", "mean", "std", "fill_color"),
    *("patch_dropout", "output_tokens", "final_ln_after_pool", "attn_pooler_queries", "attn_pooler_heads"),
    *("embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "custom_text", "init_logit_scale"),
}
_SIZES = {  # of the configuration, which shapes must confirm
    "vision_cfg": {"width": "hidden_size", "layers": "num_hidden_layers", "patch_size": "patch_size"},
    "text_cfg": {
        **{"width": "hidden_size", "layers": "num_hidden_layers"},
        **{"context_length": "max_position_embeddings", "vocab_size": "vocab_size"},
    },
}


def sizes_of(shapes: Shapes, source: Path) -> dict[str, Any]:
    """What the shapes of weights tell, in the words of transformers' configuration; no CLIP is a ValueError."""
    try:
        vision, text = (_tower(shapes, tower) for tower in ("vision_model", "text_model"))
        _, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
        vocabulary, _ = shapes["text_model.embeddings.token_embedding.weight"]
        dim, _ = shapes["visual_projection.weight"]
    except (KeyError, ValueError) as error:
        lacking = error.args[0] if isinstance(error, KeyError) else "a weight of the right form"
        shown = ", ".join(sorted(shapes)[:2])
        raise ValueError(
            f"{source} holds no CLIP of two transformers: among its weights ({shown}, ...) there is no {lacking}."
        ) from error
    side = math.isqrt(vision.pop("positions") - 1)
    vision |= {"patch_size": patch, "image_size": side * patch}
    # In a vocabulary of CLIP's form the last two tokens begin and end a text.
    text |= {"vocab_size": vocabulary, "max_position_embeddings": text.pop("positions"), "bos_token_id": vocabulary - 2}
    return {"model_type": "clip", "vision_config": vision, "text_config": text, "projection_dim": dim}


def _tower(shapes: Shapes, tower: str) -> dict[str, int]:
    positions, width = shapes[f"{tower}.embeddings.position_embedding.weight"]
    inner, _ = shapes[f"{tower}.encoder.layers.0.mlp.fc1.weight"]
    layers = {name.split(".")[3] for name in shapes if name.startswith(f"{tower}.encoder.layers.")}
    return {
        "positions": positions,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": len(layers),
        "num_attention_heads": 16 if tower == "vision_model" and width in _SIXTEEN_HEADS else width // _HEAD_WIDTH,
    }


def read_open_clip_config(
    path: Path, shapes: Shapes, activation: str | None
) -> tuple[dict[str, Any], ImagePreprocessing]:
    """Reads ``open_clip_config.json`` for weights of these shapes, by transformers' names.

    What is not computed here, or is not of these weights, is a ValueError that names the setting.
    """
    content = read_json(path)
    model, pixels = content.get("model_cfg"), content.get("preprocess_cfg") or {}
    if not isinstance(model, dict) or not isinstance(pixels, dict):
        raise ValueError(f"{path} holds no settings under 'model_cfg' and 'preprocess_cfg'; download it again.")
    vision, text = (model.get(name) for name in ("vision_cfg", "text_cfg"))
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise ValueError(f"{path} holds no settings under 'vision_cfg' and 'text_cfg'; download it again.")
    for settings in (vision, text, model, pixels):
        _check_computed(settings, path)
    settings = sizes_of(shapes, path)
    _check_sizes(model, settings, path)
    told = "quick_gelu" if model.get("quick_gelu") else "gelu"
    check_activation(activation, {told}, path)
    image_size = _side(vision.get("image_size", settings["vision_config"]["image_size"]), "image_size", path)
    settings["vision_config"]["image_size"] = image_size
    with damage_in_words(f"{path} is not a configuration of open_clip"):
        heads = settings["vision_config"]["hidden_size"] // vision.get("head_width", _HEAD_WIDTH)
        settings["vision_config"]["num_attention_heads"] = heads
        settings["text_config"]["num_attention_heads"] = text.get("heads", 8)
        for name, tower in (("vision_config", vision), ("text_config", text)):
            epsilon = (tower.get("norm_kwargs") or {}).get("eps", 1e-5)
            settings[name] |= {"hidden_act": told, "layer_norm_eps": epsilon}
    by_id = text.get("pool_type") == "eos"
    settings["text_config"]["eos_token_id"] = text.get("eos_id", _HIGHEST_ID) if by_id else _HIGHEST_ID
    return settings, _preprocessing(pixels, image_size, path)


def config_of_shapes(shapes: Shapes, stored: Shapes, activation: str | None, source: Path, name: str) -> dict[str, Any]:
    """The configuration of weights that bring none; ``stored`` are their own names, ``name`` the training's.

    Nobody who tells the activation, or heads of another width than 64, is a ValueError.
    """
    settings = sizes_of(shapes, source)
    if is_of_openai(stored):
        check_activation(activation, {"quick_gelu"}, f"{source}, which is OpenAI's own,")
    if activation is None and (is_of_openai(stored) or "quickgelu" in f"{name} {source.name}".lower()):
        activation = "quick_gelu"
    if activation is None:
        raise ValueError(
            f"{source} does not say its activation, and the wrong one loses points in silence: give "
            "CLIP.from_pretrained activation='quick_gelu' (OpenAI's weights and those trained on from them: "
            "RemoteCLIP, GeoRSCLIP ViT-B-32, SkyCLIP ViT-L-14) or 'gelu' (LAION's and those trained on from them: "
            "GeoRSCLIP ViT-H-14, SkyCLIP ViT-B-32), or write it down once, for MODEL=, with make convert "
            f"MODEL={source} TO=folder ACTIVATION=quick_gelu."
        )
    check_activation(activation, {activation}, source)
    for tower in ("vision_config", "text_config"):
        width, heads = (settings[tower][name] for name in ("hidden_size", "num_attention_heads"))
        if heads * _HEAD_WIDTH != width and (width not in _SIXTEEN_HEADS or heads != 16):
            raise ValueError(
                f"{source} has a {tower} of width {width}, and no published ViT tells how many heads that has; put its "
                "open_clip_config.json (or config.json) beside it."
            )
        settings[tower]["hidden_act"] = activation
    settings["text_config"]["eos_token_id"] = _HIGHEST_ID
    return settings


def _check_computed(settings: Mapping[str, Any], path: Path) -> None:
    for name, value in settings.items():
        if value and name not in _READ and value not in _COMPUTED.get(name, ()):
            raise ValueError(
                f"{path} asks for {name} {str(value)[:60]!r}, which this CLIP, OpenAI's two transformers, does not "
                "compute; take a model without it."
            )


def _check_sizes(model: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    """Refuses a configuration that is not of these weights."""
    pairs = [("embed_dim", model.get("embed_dim"), settings["projection_dim"])]
    for part, names in _SIZES.items():
        found = settings["vision_config" if part == "vision_cfg" else "text_config"]
        pairs += [(f"{part}.{name}", model[part].get(name), found[ours]) for name, ours in names.items()]
    for name, told, found in pairs:
        if told is not None and told != found:
            raise ValueError(f"{path} has a {name} of {told!r}, but the weights have {found}; take both of one model.")


def _side(size: Any, name: str, path: Path) -> int:
    """The side of square images, given once or twice."""
    sides = size if isinstance(size, list) else [size]
    if len(set(map(str, sides))) != 1 or type(sides[0]) is not int or sides[0] < 1:
        raise ValueError(f"{path} asks for {name} {size!r}; only square images are supported, of a number of pixels.")
    return sides[0]


def _preprocessing(settings: Mapping[str, Any], image_size: int, path: Path) -> ImagePreprocessing:
    if (size := _side(settings.get("size", image_size), "size", path)) != image_size:
        raise ValueError(f"{path} asks for images of {size} pixels, but its model for {image_size}; take one of them.")
    mean = channels(settings.get("mean") or list(CLIP_MEAN), "mean", path)
    deviation = channels(settings.get("std") or list(CLIP_STD), "std", path)
    if not all(deviation):
        raise ValueError(f"{path} asks for a std of {deviation!r}, by which nothing can be divided.")
    return ImagePreprocessing(image_size, mean, deviation, settings.get("resize_mode") == "squash")
