"""Which model it is: a mark over everything that decides its embeddings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx

if TYPE_CHECKING:
    from utils.clip.model import CLIP
    from utils.datasets import ImagePreprocessing

# What computes otherwise with the same weights.
_DECISIVE = ("hidden_act", "num_attention_heads", "layer_norm_eps")


def weights_digest(model: CLIP) -> str:
    """The SHA-256 of all parameters, in the order of the module tree, as hexadecimal digits."""
    digest = hashlib.sha256()
    for _, leaf in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        digest.update(np.asarray(jax.tree.leaves(leaf)[0]).tobytes())
    return digest.hexdigest()


def fingerprint(model: CLIP) -> str:
    """A mark that two models share if they give one picture, and one text, the same embedding.

    It covers the weights, what the configuration makes of them, and the preprocessing of the pictures; not the
    type that the transformers compute in, which moves embeddings by rounding alone.

    Returns:
        16 hexadecimal digits.
    """
    config = model.config
    note = {
        "weights": weights_digest(model),
        "preprocessing": _preprocessing(model.preprocessing),
        "towers": [
            {name: getattr(part, name, None) for name in _DECISIVE}
            for part in (config.vision_config, config.text_config)
        ],
    }
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:16]


def _preprocessing(preprocessing: ImagePreprocessing) -> dict[str, Any]:
    """Its fields; one that came later and is False is left out, so that marks of before stay what they were."""
    return {name: value for name, value in asdict(preprocessing).items() if value is not False}
