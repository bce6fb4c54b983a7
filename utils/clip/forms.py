"""A checkpoint of any form of the field, opened: of transformers, open_clip, OpenAI or Flax, or an adapter of peft.

Whatever the form, what comes out is the same: configuration, tokenizer, preprocessing, and weights by transformers'
names, so that `CLIP.from_pretrained` knows one form alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.clip.adapters import ADAPTER_CONFIG, find_adapter_weights, find_base, merge_adapter, read_adapter_config
from utils.clip.configuration import Architecture, architecture_of, check_model_type, read_config, read_tokenizer
from utils.clip.foreign_names import transformers_names
from utils.clip.image_processor import read_preprocessing
from utils.clip.open_clip_config import config_of_shapes, read_open_clip_config
from utils.clip.vocabulary import find_tokenizer
from utils.clip.weight_files import Shapes, Weights, find_weights, holds_weights, open_weights
from utils.clip.weight_names import check_shapes
from utils.datasets import ImagePreprocessing
from utils.files import find_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Names of weights that only models of another kind have, what those are, and what to take instead.
_OTHER_MODELS = (
    (r"base_model\.", "an adapter of peft without its adapter_config.json", "give the folder that has both"),
    (r"visual\.(layer\d|attnpool)\.", "a CLIP with a ResNet for images", "take its ViT, as RemoteCLIP-ViT-B-32.pt"),
    (r"visual\.trunk\.", "an open_clip model on an image tower of timm, such as SigLIP or ConvNeXt", "take a CLIP ViT"),
    (r"visual\.(blocks|rope|patch_embed)\.", "an EVA-CLIP", "take a CLIP ViT"),
    (r"text_decoder\.|visual\.attn_pool\.", "a CoCa", "take a CLIP ViT"),
    (r"logit_bias|vision_model\.head\.", "a SigLIP", "take a CLIP ViT"),
    (
        r"bert\.|text\.transformer\.(embeddings|encoder)\.|text_model\.embeddings\.word_embeddings\.",
        "a CLIP with a BERT for texts, such as ChineseCLIP or HybridCLIP",
        "take one with CLIP's own text tower",
    ),
)


@dataclass(frozen=True)
class Checkpoint:
    """All that a `CLIP` is made of; shapes and weights are by transformers' names."""

    config: Mapping[str, Any]  # as in ``config.json``
    architecture: Architecture
    tokenizer: PreTrainedTokenizerBase | None
    preprocessing: ImagePreprocessing
    shapes: Shapes
    read_weights: Callable[[], Weights]


def open_checkpoint(place: Path, activation: str | None = None) -> Checkpoint:
    """Opens a folder, or a file of weights with the settings that lie beside it; the weights are read later.

    Raises:
        FileNotFoundError: If weights, a tokenizer or the base model of an adapter are not there.
        ValueError: If a file is damaged, holds another model than a CLIP of two transformers, or says too little, as of
            its activation; or if weights and configuration do not belong together.
    """
    folder = place if place.is_dir() else place.parent
    settings, open_clips = folder / "config.json", folder / "open_clip_config.json"
    if (place / ADAPTER_CONFIG).is_file() and not holds_weights(place):
        return _open_adapter(place, activation)
    if place.is_dir() and settings.is_file() and not open_clips.is_file():
        check_model_type(settings)  # before weights that may lack
    files = [place] if place.is_file() else find_weights(folder)
    stored = open_weights(files)
    _refuse_other_models(stored.shapes, files[0])
    is_open_clips = any(name.startswith("visual.") for name in stored.shapes)
    # Arrays without memory behind them, which are renamed and turned as the weights will be.
    blanks = {name: np.broadcast_to(np.float32(0), shape) for name, shape in stored.shapes.items()}
    shapes = {name: blank.shape for name, blank in transformers_names(blanks).items()}
    preprocessing = None
    if is_open_clips and open_clips.is_file():
        source = open_clips
        config, preprocessing = read_open_clip_config(source, shapes, activation)
    elif settings.is_file() and not is_open_clips:
        source, config = settings, read_config(folder, activation)
    else:
        source = files[0]
        config = config_of_shapes(shapes, stored.shapes, activation, source, stored.trained)
    architecture = architecture_of(config, source)
    check_shapes(shapes, architecture)
    if source == settings:
        preprocessing = read_preprocessing(folder, architecture.vision.image_size)
        tokenizer = read_tokenizer(folder, architecture.text)
    else:
        preprocessing = preprocessing or ImagePreprocessing(architecture.vision.image_size)
        tokenizer = find_tokenizer(folder, architecture.text)
    return Checkpoint(config, architecture, tokenizer, preprocessing, shapes, lambda: transformers_names(stored.read()))


def _open_adapter(folder: Path, activation: str | None) -> Checkpoint:
    """Opens the base model of an adapter, whose weights will have the adapter merged into them."""
    settings = read_adapter_config(folder)
    try:
        place = find_checkpoint(find_base(folder, settings))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} is an adapter, whose base model is missing: {error}") from error
    if (place / ADAPTER_CONFIG).is_file():
        raise ValueError(f"{folder / ADAPTER_CONFIG} names {place}, another adapter, as its base model; name the CLIP.")
    base, file = open_checkpoint(place, activation), find_adapter_weights(folder)
    adapter = open_weights([file])
    return replace(
        base,
        tokenizer=read_tokenizer(folder, base.architecture.text) or base.tokenizer,
        read_weights=lambda: merge_adapter(base.read_weights(), adapter.read(), settings, file),
    )


def _refuse_other_models(names: Iterable[str], source: Path) -> None:
    """Refuses models of other kinds by what their weights are called."""
    names = [name.replace("/", ".") for name in names]
    for pattern, kind, way_out in _OTHER_MODELS:
        if any(re.match(pattern, name) for name in names):
            raise ValueError(
                f"{source} holds {kind}, and the CLIP here is OpenAI's two transformers, a ViT for images and one for "
                f"texts; {way_out}."
            )
