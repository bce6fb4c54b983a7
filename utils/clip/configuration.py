"""``config.json`` of a checkpoint, and the tokenizer that has to fit it: read and checked.

The configuration is handed on as an `Architecture` whose sizes are whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.checkpoints import damage_in_words, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ACTIVATION_NAMES = ("quick_gelu", "gelu")
# What ``config.json`` calls models that people take for a CLIP, and what is other in them.
_OTHER_TYPES = {
    **dict.fromkeys(("siglip", "siglip2"), "which pools and scores otherwise than CLIP"),
    **dict.fromkeys(("chinese_clip", "altclip", "hybrid-clip", "vision-text-dual-encoder"), "with a BERT for texts"),
    "clip_text_model": "the half of a CLIP that reads texts",
    "clip_vision_model": "the half of a CLIP that reads images",
}


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What both towers have. Here and below, names and defaults are transformers', those of OpenAI's ViT-B/32."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int = 12
    num_attention_heads: int
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    initializer_factor: float = 1.0
    initializer_range: float = 0.02


@dataclass(frozen=True, kw_only=True)
class VisionConfig(TowerConfig):
    """The vision tower; sizes of images and patches are in pixels."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    num_channels: int = 3


@dataclass(frozen=True, kw_only=True)
class TextConfig(TowerConfig):
    """The text tower."""

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_attention_heads: int = 8
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = 49407


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What a configuration says of a CLIP, of checked types; in the file a setting may be anything, or not there."""

    vision: VisionConfig
    text: TextConfig
    projection_dim: int = 512
    initializer_factor: float = 1.0
    logit_scale_init_value: float = 2.6592


def architecture_of(settings: Mapping[str, Any], source: str | Path = "The configuration") -> Architecture:
    """Checks the settings of a ``config.json`` and gives them types; ``source``, the file, begins error messages.

    If no model can be built of them, a ValueError names the setting.
    """
    vision = VisionConfig(**_checked(_tower(settings, "vision", source), VisionConfig, "vision_config.", source))
    text = TextConfig(**_checked(_tower(settings, "text", source), TextConfig, "text_config.", source))
    towers: tuple[tuple[str, TowerConfig], ...] = (("vision_config", vision), ("text_config", text))
    for name, tower in towers:
        if tower.hidden_size % tower.num_attention_heads:
            raise ValueError(
                f"{source} asks for a {name}.hidden_size of {tower.hidden_size}, which its {tower.num_attention_heads} "
                "heads do not divide; download it again."
            )
        if tower.hidden_act not in ACTIVATION_NAMES:
            known = " and ".join(ACTIVATION_NAMES)
            raise ValueError(f"{source} asks for the activation {tower.hidden_act!r}; there are {known}.")
    if vision.num_channels != 3 or vision.patch_size > vision.image_size:
        raise ValueError(
            f"{source} asks for images of {vision.num_channels} channels and {vision.image_size} pixels in patches of "
            f"{vision.patch_size}; they must have 3 channels and hold a patch."
        )
    return Architecture(vision=vision, text=text, **_checked(settings, Architecture, "", source))


def _tower(settings: Mapping[str, Any], name: str, source: str | Path) -> Mapping[str, Any]:
    """The settings of a tower; in files of before transformers 4.23 they are in ``..._config_dict``, alone or as well.

    Those win, with their defaults too, as in transformers.
    """
    now, old = (settings.get(key) for key in (f"{name}_config", f"{name}_config_dict"))
    if not all(isinstance(part, Mapping | None) for part in (now, old)):
        raise ValueError(f"{source} has a {name}_config that is no JSON object; download it again.")
    return (now or {}) if old is None else old


def _checked(settings: Mapping[str, Any], kind: type, prefix: str, source: str | Path) -> dict[str, Any]:
    """The settings that a dataclass names, or their defaults, all numbers in their range."""
    kinds = {field.name: field.type for field in fields(kind) if field.default is not MISSING}
    values = {field.name: settings.get(field.name, field.default) for field in fields(kind) if field.name in kinds}
    for name, value in values.items():
        least: float = {"eos_token_id": 0, "logit_scale_init_value": -math.inf}.get(name, int(kinds[name] == "int"))
        types, wanted = [int, float], "a positive number"
        if kinds[name] == "int":
            types, wanted = [int], f"a whole number of at least {least}"
        if kinds[name] != "str" and not (type(value) in types and least <= value < math.inf):
            raise ValueError(
                f"{source} has a {prefix}{name} of {str(value)[:40]}; it must be {wanted}; download it again."
            )
    return values


def read_config(folder: Path, activation: str | None = None) -> dict[str, Any]:
    """Reads ``config.json``.

    If it does not describe a CLIP that can be built, or one with another activation than is asked for, that is a
    ValueError.
    """
    path = folder / "config.json"
    check_model_type(path)
    config = read_json(path)
    architecture = architecture_of(config, path)
    check_activation(activation, {architecture.vision.hidden_act, architecture.text.hidden_act}, path)
    return config


def check_model_type(path: Path) -> None:
    """Refuses, with a ValueError, a ``config.json`` of another model than a CLIP."""
    if (kind := read_json(path).get("model_type")) != "clip":
        what = _OTHER_TYPES.get(str(kind), "no CLIP of OpenAI's two transformers")
        raise ValueError(f"{path} describes a model of type {kind!r}, {what}; give the folder of a 'clip'.")


def check_activation(asked: str | None, told: Collection[str], source: str | Path) -> None:
    """Refuses, with a ValueError, an activation that there is not, or that is not what a configuration tells."""
    known = " and ".join(ACTIVATION_NAMES)
    if asked is not None and asked not in ACTIVATION_NAMES:
        raise ValueError(f"The activation is {asked!r}; there are {known}.")
    if asked is not None and told != {asked}:
        raise ValueError(
            f"The activation is {asked!r}, but {source} says {' and '.join(sorted(told))}; leave it out, or correct "
            "the file if it is wrong."
        )


def read_tokenizer(folder: Path, text: TextConfig) -> PreTrainedTokenizerBase | None:
    """Reads the tokenizer of a checkpoint folder, which truncates at the positions of the model; None if it has none.

    A damaged one, or one that is not of the model, is a ValueError.
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        return None
    for name in ("tokenizer.json", "vocab.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            read_json(folder / name)
    with damage_in_words(f"The tokenizer in {folder} cannot be read"):
        tokenizer = tokenizer_class(folder).from_pretrained(folder, trust_remote_code=False)
        sample = tokenizer("a b")["input_ids"]
        largest = max([*tokenizer.get_vocab().values(), *sample])
        tokenizer.model_max_length = min(tokenizer.model_max_length, text.max_position_embeddings)
    if tokenizer.pad_token_id is None or tokenizer.model_max_length < 2:
        raise ValueError(
            f"The tokenizer in {folder} has the padding token {tokenizer.pad_token!r} and the greatest length "
            f"{tokenizer.model_max_length}; it must have a padding token, and a length of 2 or more."
        )
    largest = max(largest, tokenizer.pad_token_id)
    if largest >= text.vocab_size:
        raise ValueError(
            f"The tokenizer in {folder} gives token ids up to {largest}, but the model has embeddings for "
            f"{text.vocab_size} tokens; take the tokenizer that the model was trained with."
        )
    if text.eos_token_id != 2 and text.eos_token_id not in sample:
        raise ValueError(
            f"The tokenizer in {folder} ends texts without the token {text.eos_token_id}, at which the model reads "
            "them (eos_token_id); take the tokenizer that the model was trained with."
        )
    return tokenizer


def tokenizer_class(folder: Path) -> Any:
    """What reads the tokenizer: CLIP's own class, or what finds the class of any other, which imports torch, 0.4 GB."""
    import transformers

    settings = folder / "tokenizer_config.json"
    named = read_json(settings).get("tokenizer_class") if settings.is_file() else None
    of_clip = named in (None, "CLIPTokenizer", "CLIPTokenizerFast")
    return transformers.CLIPTokenizer if of_clip else transformers.AutoTokenizer


# What a tokenizer remembers of its loading and of its last call, and writes into its settings.
TOKENIZER_TRACES = {"is_local", "local_files_only", "max_length", "stride", "truncation_side", "truncation_strategy"}


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Writes a tokenizer as published ones are: without the traces of the calls that it has served."""
    if tokenizer.is_fast:
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    write_json(path, {name: value for name, value in settings.items() if name not in TOKENIZER_TRACES})
