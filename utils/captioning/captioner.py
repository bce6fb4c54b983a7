"""A captioner: a CLIP, a mapper and a GPT-2, of which the mapper is new.

    captioner = Captioner.from_pretrained("runs/miniature/captioner/model")
    prefix = captioner.prefix(pixels)                         # (images, prefix, width), in the place of a text

Its folder holds ``clip/`` and ``decoder/``, each as transformers opens it, ``mapper.safetensors``, and ``config.json``,
which says what the mapper is and which CLIP it belongs to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from utils.captioning.gpt2 import GPT2
from utils.captioning.gpt2_config import GPT2Config
from utils.captioning.mapper import Mapper, MapperConfig, heads_of
from utils.captioning.tokens import check_tokenizer, read_tokenizer
from utils.clip import CLIP, fingerprint
from utils.clip.checkpoints import read_json, write_json, written_whole
from utils.clip.configuration import write_tokenizer
from utils.clip.weight_files import check_values, open_weights
from utils.clip.weight_names import compare_shapes
from utils.datasets import ImagePreprocessing
from utils.files import find_checkpoint, from_home

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MODEL_TYPE = "clip_captioner"
WEIGHTS = "mapper.safetensors"


@dataclass(frozen=True, eq=False)
class CaptionerMetadata:
    """What a captioner holds besides the parameters; hashed by identity, as that of `CLIP`."""

    tokenizer: PreTrainedTokenizerBase
    source: Mapping[str, str] = field(default_factory=dict)
    caption_tokens: int | None = None  # that it was trained to write, the end included; None if nobody knows


class Captioner(nnx.Module):
    """A CLIP, whose text tower nobody asks here, a `Mapper`, and a `GPT2` with its tokenizer.

    A ValueError says what does not fit: the tokenizer another decoder's, the mapper of another CLIP or decoder, or a
    prefix that leaves the decoder no position for a caption.
    """

    def __init__(
        self,
        clip: CLIP,
        mapper: Mapper,
        decoder: GPT2,
        tokenizer: PreTrainedTokenizerBase,
        source: Mapping[str, str] | None = None,  # what it is called
        caption_tokens: int | None = None,
    ) -> None:
        check_tokenizer(tokenizer, decoder.config)
        _check_sizes(clip, mapper.config, decoder.config)
        room = decoder.config.n_positions - mapper.config.prefix_length
        if caption_tokens is not None and not (type(caption_tokens) is int and 0 < caption_tokens <= room):
            raise ValueError(
                f"The captioner was trained to write {caption_tokens!r} tokens (caption_tokens); its decoder has room "
                f"for 1 to {room} behind the prefix."
            )
        self.metadata = CaptionerMetadata(tokenizer, source or {}, caption_tokens)
        self.clip, self.mapper, self.decoder = clip, mapper, decoder

    @classmethod
    def start(
        cls,
        clip: CLIP,
        decoder: str | os.PathLike | None = None,
        *,
        kind: str = "mlp",
        source: str = "vector",
        prefix_length: int = 10,
        mapper_layers: int = 1,
        layers: int = 4,
        width: int = 192,
        seed: int = 0,
    ) -> Captioner:
        """A captioner to be trained: a CLIP that has learned, a new mapper, and a GPT-2.

        ``decoder`` is a folder or a name on the Hub, such as ``openai-community/gpt2``, of a GPT-2 with its tokenizer.
        None is a new one of so many layers of this width, which knows no language yet, on the tokenizer of the CLIP.
        ``kind``, ``source``, ``prefix_length`` and ``mapper_layers`` are those of `MapperConfig`.
        """
        rngs = nnx.Rngs(seed)
        if decoder is not None:
            place = find_checkpoint(decoder, "openai-community/gpt2")
            place = place if place.is_dir() else place.parent
            gpt2, tokenizer = GPT2.from_pretrained(place, clip.vision.dtype), read_tokenizer(place)
        else:
            if clip.tokenizer is None:
                raise ValueError("The CLIP has no tokenizer; load it from a folder that holds one, or name a decoder.")
            gpt2, tokenizer = _new_decoder(clip, prefix_length, layers, width, rngs), clip.tokenizer
        vision = clip.architecture
        config = MapperConfig(
            kind=kind,
            source=source,
            prefix_length=prefix_length,
            layers=mapper_layers,
            inputs=vision.vision.hidden_size if source == "patches" else vision.projection_dim,
            width=gpt2.config.n_embd,
        )
        _check_sizes(clip, config, gpt2.config)
        called = clip.metadata.source.get("name", "a CLIP"), decoder or f"a new GPT-2 of {layers} layers of {width}"
        name = {"name": " and ".join(map(str, called))}
        return cls(clip, Mapper(config, rngs=rngs, dtype=clip.vision.dtype), gpt2, tokenizer, name)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the decoder."""
        return self.metadata.tokenizer

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """What the CLIP expects of its images."""
        return self.clip.preprocessing

    @property
    def end_token(self) -> int:
        """The token at which captions end."""
        return self.tokenizer.eos_token_id

    def features(self, pixels: jax.Array) -> jax.Array:
        """What the mapper takes of images (batch, height, width, channels): (batch, tokens, inputs)."""
        if self.mapper.config.source == "patches":
            return self.clip.vision.tokens(pixels)
        return self.clip.encode_images(pixels)[:, None]

    def prefix(self, pixels: jax.Array) -> jax.Array:
        """What the decoder reads of images (batch, height, width, channels): (batch, prefix, width)."""
        return self.mapper(self.features(pixels))

    def logits(self, prefix: jax.Array, tokens: jax.Array) -> jax.Array:
        """The logits (batch, length, vocabulary) float32 of each caption token, given the prefix and those before it.

        The prefix is (batch, prefix, width), tokens (batch, length) int32. The last token is what nothing follows, so
        it is not read.
        """
        read = self.decoder.embed(tokens[:, :-1])
        inputs = jnp.concatenate([prefix.astype(read.dtype), read], axis=1)
        return self.decoder(inputs)[:, prefix.shape[1] - 1 :]

    def copy(self, dtype: Any = None, caption_tokens: int | None = None) -> Captioner:
        """A captioner with the same parameters, shared until either changes, that may compute and write otherwise."""
        clip = self.clip.copy(dtype)
        mapper = _mapper(self.mapper.config, clip.vision.dtype)
        nnx.update(mapper, nnx.state(self.mapper, nnx.Param))
        known = self.metadata
        parts = clip, mapper, self.decoder.copy(clip.vision.dtype), self.tokenizer
        copy = Captioner(*parts, known.source, caption_tokens or known.caption_tokens)
        if copy.metadata.caption_tokens == known.caption_tokens:
            copy.metadata = known  # the very object, so that what was compiled serves both
        return copy

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike, dtype: Any = jnp.float32) -> Captioner:
        """Loads a captioner from its folder, to compute in float32, bfloat16, or ``auto``, the faster one here.

        Raises:
            FileNotFoundError: If the folder lacks a file.
            ValueError: If a file is damaged, or the parts do not belong together.
        """
        folder = from_home(folder)
        settings_path, path = folder / "config.json", folder / WEIGHTS
        for needed in (settings_path, path):
            if not needed.is_file():
                raise FileNotFoundError(f"{folder} is no captioner: it has no {needed.name}; give the folder of one.")
        settings = read_json(settings_path)
        if (model_type := settings.get("model_type")) != MODEL_TYPE:
            raise ValueError(
                f"{settings_path} describes a model of type {model_type!r}; give the folder of a captioner, which has "
                f"{MODEL_TYPE!r}."
            )
        config = MapperConfig.from_settings(settings.get("mapper", {}), settings_path)
        clip = CLIP.from_pretrained(folder / "clip", dtype)
        if settings.get("clip", mark := fingerprint(clip)) != mark:  # folders of before had none
            raise ValueError(
                f"{folder / 'clip'} holds another CLIP ({mark}) than the captioner was saved with "
                f"({settings['clip']}), whose vectors its mapper does not know; put that one back."
            )
        decoder = GPT2.from_pretrained(folder / "decoder", clip.vision.dtype)
        mapper = _read_mapper(path, config, clip.vision.dtype)
        name = {"name": folder.resolve().name}
        return cls(clip, mapper, decoder, read_tokenizer(folder / "decoder"), name, settings.get("caption_tokens"))

    def save_pretrained(self, folder: str | os.PathLike) -> Path:
        """Writes the folder of a captioner, all or nothing, and returns it; other files of an earlier one stay."""
        from safetensors.numpy import save_file

        folder = from_home(folder)
        with written_whole(folder) as draft:
            self.clip.save_pretrained(draft / "clip")
            self.decoder.save_pretrained(draft / "decoder")
            write_tokenizer(self.tokenizer, draft / "decoder")
            weights = {name: np.ascontiguousarray(array, np.float32) for name, array in _flat(self.mapper).items()}
            save_file(weights, draft / WEIGHTS)
            settings = {
                "model_type": MODEL_TYPE,
                "mapper": self.mapper.config.settings(),
                "caption_tokens": self.metadata.caption_tokens,
                "clip": fingerprint(self.clip),
            }
            write_json(draft / "config.json", settings)
        return folder


def _check_sizes(clip: CLIP, mapper: MapperConfig, decoder: GPT2Config) -> None:
    architecture = clip.architecture
    inputs = architecture.vision.hidden_size if mapper.source == "patches" else architecture.projection_dim
    if (mapper.inputs, mapper.width) != (inputs, decoder.n_embd):
        raise ValueError(
            f"The mapper goes from a width of {mapper.inputs} to {mapper.width}, and CLIP and decoder have {inputs} "
            f"and {decoder.n_embd}; take those that it was trained with."
        )
    if mapper.prefix_length >= decoder.n_positions:
        raise ValueError(
            f"The prefix of {mapper.prefix_length} vectors leaves no room for a caption in the decoder's "
            f"{decoder.n_positions} positions; choose a shorter prefix_length."
        )


def _new_decoder(clip: CLIP, prefix_length: int, layers: int, width: int, rngs: nnx.Rngs) -> GPT2:
    tokenizer: Any = clip.tokenizer
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=prefix_length + tokenizer.model_max_length,
        n_embd=width,
        n_layer=layers,
        n_head=heads_of(width),
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2(config, rngs=rngs, dtype=clip.vision.dtype)


@partial(jax.jit, static_argnums=0)
def compiled_prefix(definition: nnx.GraphDef[Captioner], parameters: nnx.State, pixels: jax.Array) -> jax.Array:
    """`Captioner.prefix` of a captioner in its parts, as `nnx.split` gives them."""
    return nnx.merge(definition, parameters).prefix(pixels)


def _mapper(config: MapperConfig, dtype: Any) -> Mapper:
    """A mapper of shapes alone, to be given values."""
    return nnx.eval_shape(lambda: Mapper(config, rngs=nnx.Rngs(0), dtype=dtype))


def _read_mapper(path: Path, config: MapperConfig, dtype: Any) -> Mapper:
    """The mapper in a file, checked by names and shapes before anything is read."""
    mapper = _mapper(config, dtype)
    stored = open_weights([path])
    compare_shapes(stored.shapes, {name: array.shape for name, array in _flat(mapper).items()})
    weights = stored.read()
    check_values(weights)
    arrays = {name: np.array(array, np.float32) for name, array in weights.items()}  # copies, as in CLIP
    nnx.update(mapper, nnx.State(traverse_util.unflatten_dict(jax.device_put(arrays), sep=".")))
    return mapper


def _flat(mapper: Mapper) -> dict[str, Any]:
    """The parameters by their paths, joined by dots."""
    return traverse_util.flatten_dict(nnx.to_pure_dict(nnx.state(mapper, nnx.Param)), sep=".")
