"""Which model it is: a fingerprint of everything that decides its embeddings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import jax
import numpy as np
from flax import nnx

if TYPE_CHECKING:
    from utils.clip.model import CLIP

_COMPUTES_OTHERWISE = ("hidden_act", "num_attention_heads", "layer_norm_eps")  # with the same weights


def weights_digest(model: CLIP) -> str:
    """The SHA-256 of all parameters, in the order of the module tree, as hexadecimal digits."""
    digest = hashlib.sha256()
    for _, leaf in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        digest.update(np.asarray(jax.tree.leaves(leaf)[0]).tobytes())
    return digest.hexdigest()


def fingerprint(model: CLIP) -> str:
    """16 hexadecimal digits that two models share if they give one image, and one text, the same embedding.

    It covers the weights, what the configuration makes of them, and the preprocessing of the images; not the
    type that the transformers compute in, which moves embeddings by rounding alone.
    """
    towers = (model.architecture.vision, model.architecture.text)
    note = {
        "weights": weights_digest(model),
        # A field that came later and is False is left out, so that fingerprints of before stay what they were.
        "preprocessing": {name: value for name, value in asdict(model.preprocessing).items() if value is not False},
        "towers": [{name: getattr(tower, name) for name in _COMPUTES_OTHERWISE} for tower in towers],
    }
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:16]
