"""``config.json`` of a checkpoint: read, checked, and handed on as an `Architecture` whose sizes are whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.json_files import damage_in_words, read_json

if TYPE_CHECKING:
    from transformers import CLIPConfig

ACTIVATION_NAMES = ("quick_gelu", "gelu")


@dataclass(frozen=True)
class TowerConfig:
    """What both towers have, under transformers' names."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float
    initializer_factor: float
    initializer_range: float


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """The vision tower; sizes of images and patches are in pixels."""

    image_size: int
    patch_size: int
    num_channels: int


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """The text tower."""

    vocab_size: int
    max_position_embeddings: int
    eos_token_id: int


@dataclass(frozen=True)
class Architecture:
    """What transformers' configuration says of a CLIP, where every setting may also be something else or None."""

    vision: VisionConfig
    text: TextConfig
    projection_dim: int
    initializer_factor: float
    logit_scale_init_value: float


def architecture_of(config: CLIPConfig, source: str | Path = "The configuration") -> Architecture:
    """Checks transformers' configuration and gives it types; ``source``, its file, begins the error messages.

    If no model can be built of it, a ValueError names the setting.
    """
    vision = VisionConfig(**_checked(config.vision_config, VisionConfig, "vision_config.", source))
    text = TextConfig(**_checked(config.text_config, TextConfig, "text_config.", source))
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
    return Architecture(vision, text, **_checked(config, Architecture, "", source))


def _checked(settings: object, kind: type, prefix: str, source: str | Path) -> dict[str, Any]:
    """The settings that a dataclass names, all numbers in their range."""
    kinds = {field.name: field.type for field in fields(kind) if field.type in ("int", "float", "str")}
    values = {name: getattr(settings, name) for name in kinds}
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


def read_config(folder: Path) -> tuple[CLIPConfig, Architecture]:
    """Reads ``config.json``, as transformers knows it and with types.

    If there is none, that is a FileNotFoundError; if it does not describe a CLIP that can be built, a ValueError.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json; {_what_it_is_instead(folder)}.")
    from transformers import CLIPConfig

    if (kind := read_json(path).get("model_type")) != "clip":
        raise ValueError(f"{path} describes a model of type {kind!r}; give the folder of a 'clip'.")
    with damage_in_words(f"{path} is not a configuration of a CLIP"):
        config = CLIPConfig.from_pretrained(folder)
    return config, architecture_of(config, path)


def _what_it_is_instead(folder: Path) -> str:
    """The way out for folders of other programs that people take for a checkpoint."""
    if (folder / "open_clip_config.json").is_file():
        return (
            "it is a folder of open_clip, whose weights have other names: give one of transformers' format, as "
            "save_pretrained writes it"
        )
    if (folder / "adapter_config.json").is_file():
        return (
            "it holds an adapter of peft: merge it into its base model (merge_and_unload), save that with "
            "save_pretrained and give its folder"
        )
    if inner := sorted(path.parent.name for path in folder.glob("*/config.json"))[:1]:
        return f"its folder {inner[0]!r} has one: give that"
    return "give the folder of a CLIP checkpoint"
