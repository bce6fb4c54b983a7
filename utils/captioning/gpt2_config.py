"""The sizes of a GPT-2, read from and written as the ``config.json`` of transformers' ``GPT2LMHeadModel``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ACTIVATION_NAMES = ("gelu_new", "gelu_pytorch_tanh", "gelu", "relu")
# What transformers also calls some settings.
_SYNONYMS = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
# What a GPT-2 may ask for that is not computed here: the value that is, and what the other one means.
_ALWAYS = {
    "add_cross_attention": (False, "layers that look at another model's tokens; a prefix takes their place here"),
    "scale_attn_weights": (True, "attention whose scores are not divided by the root of a head's width"),
    "scale_attn_by_inverse_layer_idx": (False, "attention whose scores are divided by the number of the layer"),
    "tie_word_embeddings": (True, "a head of its own beside the token embeddings"),
}


@dataclass(frozen=True, kw_only=True)
class GPT2Config:
    """Names and defaults are transformers', those of the smallest published GPT-2; a bad value is a ValueError.

    Dropout is kept for whoever trains the model elsewhere; here none is applied.
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None  # the width within an MLP; None is four times n_embd
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        """Refuses what no model can be built of."""
        for field in fields(self):
            value, (types, least, wanted) = getattr(self, field.name), _KINDS[str(field.type)]
            least, wanted = (0, "one token's number, or null") if field.name.endswith("token_id") else (least, wanted)
            if type(value) not in types or (type(value) in (int, float) and not least <= value < math.inf):
                raise ValueError(f"A GPT-2 has the {field.name} of {str(value)[:40]}; it must be {wanted}.")
        if self.n_embd % self.n_head:
            raise ValueError(f"A GPT-2 has an n_embd of {self.n_embd}, which its {self.n_head} heads do not divide.")
        if self.activation_function not in ACTIVATION_NAMES:
            known = ", ".join(ACTIVATION_NAMES)
            raise ValueError(f"A GPT-2 has the activation_function {self.activation_function!r}; there are {known}.")

    @property
    def inner(self) -> int:
        """The width within an MLP."""
        return self.n_inner or 4 * self.n_embd

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], source: str | Path = "The configuration") -> GPT2Config:
        """The sizes out of the settings of a ``config.json``; ``source``, the file, begins error messages.

        Settings of another model, or of a GPT-2 that is computed otherwise, are a ValueError.
        """
        if (kind := settings.get("model_type", "gpt2")) != "gpt2":
            within = settings.get("decoder")
            way_out = "give the folder of a 'gpt2'"
            if isinstance(within, Mapping) and within.get("model_type") == "gpt2":
                way_out = "its decoder looks at the encoder by cross-attention; give the folder of a plain 'gpt2'"
            raise ValueError(f"{source} describes a model of type {kind!r}; {way_out}.")
        for name, (computed, meaning) in _ALWAYS.items():
            if settings.get(name, computed) is not computed:
                raise ValueError(f"{source} asks for {name}={settings[name]}, {meaning}; take a GPT-2 without it.")
        own = {field.name for field in fields(cls)}
        named = {_SYNONYMS.get(name, name): value for name, value in settings.items()}
        try:
            return cls(**{name: value for name, value in named.items() if name in own})
        except ValueError as error:
            raise ValueError(f"{source} cannot be used: {error}") from None

    def settings(self) -> dict[str, Any]:
        """What ``config.json`` holds."""
        return asdict(self) | {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}


# For a type as it is written above: the types of its values, the least number, and both in words.
_KINDS: dict[str, tuple[tuple[type, ...], float, str]] = {
    "int": ((int,), 1, "a whole number of at least 1"),
    "int | None": ((int, type(None)), 1, "a whole number of at least 1, or null"),
    "float": ((int, float), 0, "a number of at least 0"),
    "str": ((str,), 0, "a name"),
}
