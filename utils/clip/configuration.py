"""``config.json`` of a checkpoint, and whether its sizes are those of the weights beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.clip.json_files import read_json
from utils.clip.transformer import ACTIVATIONS

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_VISION_SIZES = (*_SIZES, "image_size", "patch_size", "num_channels")
_TEXT_SIZES = (*_SIZES, "vocab_size", "max_position_embeddings", "eos_token_id")
_LARGEST_SIZE = 10**9
_PARTS = ("logit_scale", "text_", "vision_model.", "visual_projection.")  # how transformers' names begin


def read_config(folder: Path) -> CLIPConfig:
    """Reads ``config.json``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it describes something else than a CLIP, or one that cannot be.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json; {_what_it_is_instead(folder)}.")
    from transformers import CLIPConfig

    settings = read_json(path)
    kind = settings.get("model_type")
    if kind != "clip":
        raise ValueError(f"{path} describes a model of type {kind!r}; give the folder of a 'clip'.")
    for name in ("text_config", "vision_config"):
        if not isinstance(settings.get(name, {}), Mapping | None):
            raise ValueError(f"{path} has no settings under {name!r}; download it again.")
    try:
        config = CLIPConfig.from_pretrained(folder)
    except Exception as error:  # each setting of a wrong type has an error of its own there
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{path} is no configuration of a CLIP ({reason}); download it again.") from error
    _check_settings(config, path)
    return config


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


def _check_settings(config: CLIPConfig, path: Path) -> None:
    """Refuses settings that no model can be built of, by their names."""
    vision, text = config.vision_config, config.text_config
    for tower, part, names in (("vision", vision, _VISION_SIZES), ("text", text, _TEXT_SIZES)):
        for name in names:
            _check_size(getattr(part, name), f"{tower}_config.{name}", path)
        if part.hidden_size % part.num_attention_heads:
            raise ValueError(
                f"{path} asks for a {tower}_config.hidden_size of {part.hidden_size}, which its "
                f"{part.num_attention_heads} heads do not divide; download it again."
            )
        if part.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"{path} asks for the activation {part.hidden_act!r}; there are {' and '.join(ACTIVATIONS)}."
            )
        _check_number(part.layer_norm_eps, f"{tower}_config.layer_norm_eps", path)
        _check_number(part.initializer_factor, f"{tower}_config.initializer_factor", path)
        _check_number(part.initializer_range, f"{tower}_config.initializer_range", path)
    _check_size(config.projection_dim, "projection_dim", path)
    _check_number(config.initializer_factor, "initializer_factor", path)
    scale = config.logit_scale_init_value
    _check_number(scale and abs(scale), "logit_scale_init_value", path)
    if vision.num_channels != 3 or vision.patch_size > vision.image_size:
        raise ValueError(
            f"{path} asks for images of {vision.num_channels} channels and {vision.image_size} pixels in patches of "
            f"{vision.patch_size}; they must have 3 channels and hold a patch."
        )


def _check_size(value: Any, name: str, path: Path) -> None:
    lowest = 0 if name.endswith("_id") else 1
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= _LARGEST_SIZE:
        raise ValueError(
            f"{path} has a {name} of {str(value)[:40]}; it must be a whole number from {lowest} to "
            f"{_LARGEST_SIZE:,}; download it again."
        )


def _check_number(value: Any, name: str, path: Path) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"{path} has a {name} of {str(value)[:40]}; it must be a positive number; download it again.")


def check_sizes(config: CLIPConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses a configuration whose sizes are not those of the weights, before a model of these sizes is built.

    Args:
        config: The configuration.
        shapes: The shapes of the stored weights by transformers' names.

    Raises:
        ValueError: If a size is another one; it says which, and what the weights have.
    """
    expected = _expected_shapes(config)
    if absent := [name for name in expected if name not in shapes]:
        others = [name for name in shapes if not name.startswith(_PARTS)][:1]
        raise ValueError(
            f"The checkpoint lacks weights ({absent[0]}"
            + (f" and {len(absent) - 1} more" if len(absent) > 1 else "")
            + (f"; it has others, as {others[0]!r}" if others else "")
            + "); take one whose weights belong to its configuration."
        )
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ValueError(
                f"The checkpoint has wrongly shaped weights ({name} {shapes[name]} instead of {shape}); take one whose "
                "weights belong to its configuration."
            )


def _expected_shapes(config: CLIPConfig) -> dict[str, tuple[int, ...]]:
    """Of those weights that every size of the configuration shows in, the last layer among them."""
    vision, text = config.vision_config, config.text_config
    patches = (vision.image_size // vision.patch_size) ** 2
    patch = (vision.patch_size, vision.patch_size)
    return {
        "logit_scale": (),
        "vision_model.embeddings.patch_embedding.weight": (vision.hidden_size, vision.num_channels, *patch),
        "vision_model.embeddings.position_embedding.weight": (patches + 1, vision.hidden_size),
        "text_model.embeddings.token_embedding.weight": (text.vocab_size, text.hidden_size),
        "text_model.embeddings.position_embedding.weight": (text.max_position_embeddings, text.hidden_size),
        _last_layer("vision", vision): (vision.intermediate_size, vision.hidden_size),
        _last_layer("text", text): (text.intermediate_size, text.hidden_size),
        "visual_projection.weight": (config.projection_dim, vision.hidden_size),
        "text_projection.weight": (config.projection_dim, text.hidden_size),
    }


def _last_layer(tower: str, part: CLIPVisionConfig | CLIPTextConfig) -> str:
    return f"{tower}_model.encoder.layers.{part.num_hidden_layers - 1}.mlp.fc1.weight"
