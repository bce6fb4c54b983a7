"""Adapters that peft trained on a CLIP of transformers, merged into its weights: W + scale * B A (Hu et al. 2021)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.clip.checkpoints import read_json
from utils.files import from_home

ADAPTER_CONFIG = "adapter_config.json"
_FILES = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"(.*)\.lora_(embedding_)?([AB])(\.weight)?")
# Settings that say how an adapter was trained, or that are used below; any other one that says yes changes it.
_UNDERSTOOD = {
    *("peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision"),
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "bias", "modules_to_save", "lora_dropout"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "inference_mode", "runtime_config"),
    *("init_lora_weights", "eva_config", "corda_config", "loftq_config", "lora_ga_config", "fan_in_fan_out"),
    *("megatron_core", "qalora_group_size", "ensure_weight_tying"),
}
_CHANGES_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")  # ways to begin that take the base's weights apart


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Reads ``adapter_config.json``; what cannot be merged by `merge_adapter` is a ValueError that names it."""
    path = folder / ADAPTER_CONFIG
    settings = read_json(path)
    kind, begun = settings.get("peft_type"), str(settings.get("init_lora_weights", "")).lower()
    if kind != "LORA":
        raise _not_merged(path, str(kind))
    for name in settings:
        if settings[name] and name not in _UNDERSTOOD:
            raise _not_merged(path, f"LoRA with {name}")
    if begun.startswith(_CHANGES_THE_BASE):
        raise _not_merged(path, f"LoRA begun by {begun}, which changes the base model too")
    if not isinstance(settings.get("base_model_name_or_path"), str) or not settings["base_model_name_or_path"]:
        raise ValueError(
            f"{path} names no base model; write the folder or the Hub name of the CLIP that it was trained on under "
            "'base_model_name_or_path'."
        )
    return settings


def find_adapter_weights(folder: Path) -> Path:
    """The file of an adapter's weights; none is a FileNotFoundError."""
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} holds the settings of an adapter but no weights; it must have {_FILES[0]}.")


def find_base(folder: Path, settings: Mapping[str, Any]) -> str:
    """Where the base model is: a folder as it was written, from here or from the adapter's folder, or a Hub name."""
    named = settings["base_model_name_or_path"]
    if from_home(named).exists():
        return named
    if (folder / named).exists():
        return str(folder / named)
    return f"{named}@{settings['revision']}" if settings.get("revision") else named


def merge_adapter(
    base: Mapping[str, np.ndarray], adapter: Mapping[str, np.ndarray], settings: Mapping[str, Any], path: Path
) -> dict[str, np.ndarray]:
    """Adds an adapter to the weights of its base model, by transformers' names, in float32.

    Pairs of matrices are multiplied and added; other weights, those of ``bias`` and ``modules_to_save``, take the
    place of the base's. A weight that the base does not have, or that does not fit it, is a ValueError.
    """
    merged = dict(base)
    pairs: dict[str, dict[str, np.ndarray]] = {}
    for stored, array in adapter.items():
        name = stored.removeprefix(_PREFIX).replace(".base_layer.", ".").replace(".modules_to_save.", ".")
        if found := _LOW_RANK.fullmatch(name):
            pairs.setdefault(found[1], {})[f"{found[2] or ''}{found[3]}"] = np.asarray(array, np.float32)
        elif name in base and base[name].shape == array.shape:
            merged[name] = array
        else:
            raise _does_not_fit(path, stored)
    for module, pair in pairs.items():
        name = f"{module}.weight"
        try:
            change = _change(pair, name, base[name].shape) * _scale(module, settings)
        except (KeyError, ValueError, TypeError, AttributeError, ZeroDivisionError, re.error) as error:
            raise _does_not_fit(path, f"{module}.lora_A") from error
        merged[name] = np.asarray(base[name], np.float32) + change
    return merged


def _change(pair: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """B A in the shape of the weight; of an embedding (A B)^T, of a convolution the kernels one after another."""
    if "embedding_A" in pair:
        product = (pair["embedding_B"] @ pair["embedding_A"]).T
    else:
        first, second = pair["A"], pair["B"]
        product = second.reshape(second.shape[0], -1) @ first.reshape(first.shape[0], -1)
    return product.reshape(shape)


def _scale(module: str, settings: Mapping[str, Any]) -> float:
    """Alpha / r, or alpha / sqrt(r) with rank-stabilized LoRA (Kalajdzievski 2023); both may differ by module."""
    rank, alpha = (_of_module(module, settings, *names) for names in (("r", "rank"), ("lora_alpha", "alpha")))
    return float(alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank))


def _of_module(module: str, settings: Mapping[str, Any], name: str, patterns: str) -> Any:
    for pattern, value in (settings.get(f"{patterns}_pattern") or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):  # as peft finds it
            return value
    return settings[name]


def _not_merged(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path} is of {what}, which is not merged here; merge it with peft (merge_and_unload) into its base model, "
        "save that with save_pretrained, and give its folder."
    )


def _does_not_fit(path: Path, name: str) -> ValueError:
    return ValueError(
        f"{path} has the weight {name}, which the base model named in {ADAPTER_CONFIG} has no place for; name the CLIP "
        "that it was trained on."
    )
