"""CLIP in Flax NNX: a vision and a text transformer that meet in one space (Radford et al. 2021).

    model = CLIP.from_pretrained("openai/clip-vit-base-patch32")
    images = model.encode_images(pixels)                      # (images, dim), of unit length
    texts = model.encode_texts(tokenize(model.tokenizer, ["an airport", "a forest"]))
    similarities = images @ texts.T

Parameters are float32, and all from the last layer norm on; ``dtype`` chooses what the transformers compute in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from utils.clip.checkpoints import write_json, written_whole
from utils.clip.compute_types import compute_type
from utils.clip.configuration import Architecture, architecture_of, write_tokenizer
from utils.clip.forms import open_checkpoint
from utils.clip.image_processor import processor_settings
from utils.clip.transformer import Transformer, layer_norm, linear, normal
from utils.clip.weight_files import check_values
from utils.clip.weight_names import export_parameters, import_parameters
from utils.datasets import ImagePreprocessing
from utils.files import find_checkpoint, from_home
from utils.files.hub import checkpoint_source

if TYPE_CHECKING:
    from transformers import CLIPConfig, PreTrainedTokenizerBase


class VisionTower(nnx.Module):
    """The vision transformer over patches and a class token; of the result the class token is projected."""

    def __init__(self, architecture: Architecture, *, dtype: Any, rematerialize: bool, rngs: nnx.Rngs) -> None:
        config = architecture.vision
        width, factor = config.hidden_size, config.initializer_factor
        self.image_size, self.patch_size = config.image_size, config.patch_size
        self.channels, self.dtype = config.num_channels, dtype
        deviation = factor * config.initializer_range
        self.class_embedding = nnx.Param(factor * width**-0.5 * jax.random.normal(rngs.params(), (width,)))
        self.patch_embedding = linear(
            self.patch_size**2 * self.channels, width, deviation, dtype=dtype, rngs=rngs, use_bias=False
        )
        positions = ((self.image_size // self.patch_size) ** 2 + 1, width)
        self.position_embedding = nnx.Param(normal(deviation)(rngs.params(), positions, jnp.float32))
        self.first_norm = layer_norm(config, dtype=dtype, rngs=rngs)
        self.transformer = Transformer(config, causal=False, dtype=dtype, rematerialize=rematerialize, rngs=rngs)
        self.last_norm = layer_norm(config, dtype=jnp.float32, rngs=rngs)
        self.projection = _projection(width, architecture, rngs)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """Encodes images (batch, height, width, channels), float, to (batch, dim) float32, not of unit length.

        Images of another size than the model's are a ValueError.
        """
        pooled = self.transformer(self._embedded(pixels), jnp.zeros(len(pixels), jnp.int32))
        return self.projection(self.last_norm(pooled))

    def tokens(self, pixels: jax.Array, blocks: int | None = None) -> jax.Array:
        """What the last block reads: the class token and each patch, (batch, 1 + patches, width) in the model's dtype.

        What that block makes of the patches nobody has trained, since of its result CLIP asks for the class token
        alone: Liu et al. 2023 (LLaVA) take the tokens before it, too. ``blocks`` asks for what the first so many give.
        """
        return self.transformer.before_last(self._embedded(pixels), blocks)

    def _embedded(self, pixels: jax.Array) -> jax.Array:
        """What the transformer takes, (batch, 1 + patches, width)."""
        size = (self.image_size, self.image_size, self.channels)
        if pixels.shape[1:] != size:
            wanted = ", ".join(map(str, size))
            raise ValueError(f"Images have the shape {pixels.shape}; the model takes (batch, {wanted}).")
        patches = self.patch_embedding(patchify(pixels, self.patch_size).astype(self.dtype))
        batch, _, width = patches.shape
        class_token = jnp.broadcast_to(self.class_embedding[...].astype(self.dtype), (batch, 1, width))
        hidden = jnp.concatenate([class_token, patches], axis=1)
        hidden = hidden + self.position_embedding[...].astype(self.dtype)
        return self.first_norm(hidden)


class TextTower(nnx.Module):
    """The text transformer, causal, of which the end-of-text token is projected."""

    def __init__(self, architecture: Architecture, *, dtype: Any, rematerialize: bool, rngs: nnx.Rngs) -> None:
        config = architecture.text
        self.end_of_text, self.dtype = config.eos_token_id, dtype
        start = normal(0.02 * config.initializer_factor)
        self.token_embedding = nnx.Embed(
            config.vocab_size, config.hidden_size, embedding_init=start, dtype=dtype, rngs=rngs
        )
        positions = (config.max_position_embeddings, config.hidden_size)
        self.position_embedding = nnx.Param(start(rngs.params(), positions, jnp.float32))
        self.transformer = Transformer(config, causal=True, dtype=dtype, rematerialize=rematerialize, rngs=rngs)
        self.last_norm = layer_norm(config, dtype=jnp.float32, rngs=rngs)
        self.projection = _projection(config.hidden_size, architecture, rngs)

    def __call__(self, token_ids: jax.Array) -> jax.Array:
        """Encodes token ids (batch, length), up to the end of each text, to (batch, dim) float32, not of unit length.

        Texts longer than the model's positions are a ValueError.
        """
        positions, _ = self.position_embedding.shape
        if token_ids.ndim != 2 or token_ids.shape[1] > positions:
            raise ValueError(
                f"Token ids have the shape {token_ids.shape}; the model takes (batch, length) with a length of "
                f"at most {positions}: truncate with `tokenize`."
            )
        hidden = self.token_embedding(token_ids)
        hidden = hidden + self.position_embedding[: token_ids.shape[1]].astype(self.dtype)
        pooled = self.transformer(hidden, end_of_text_positions(token_ids, self.end_of_text))
        return self.projection(self.last_norm(pooled))


def _projection(width: int, architecture: Architecture, rngs: nnx.Rngs) -> nnx.Linear:
    """The step into the common space, always in full float32: it is small, and what follows scales it by 100."""
    start = normal(architecture.initializer_factor * width**-0.5)
    dim = architecture.projection_dim
    return nnx.Linear(width, dim, use_bias=False, kernel_init=start, dtype=jnp.float32, precision="highest", rngs=rngs)


def patchify(pixels: jax.Array, patch_size: int) -> jax.Array:
    """Cuts images into square patches, row by row; a remainder at the right and lower edge is dropped.

    From pixels (batch, height, width, channels) to (batch, patches, patch_size * patch_size * channels). A linear layer
    on these is the convolution with stride ``patch_size`` of the paper, as one matrix product.
    """
    batch, height, width, channels = pixels.shape
    rows, columns = height // patch_size, width // patch_size
    pixels = pixels[:, : rows * patch_size, : columns * patch_size]
    grid = pixels.reshape(batch, rows, patch_size, columns, patch_size, channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, -1)


def end_of_text_positions(token_ids: jax.Array, end_of_text: int) -> jax.Array:
    """Where each text of (batch, length) is pooled, (batch,) integers: at its first end-of-text, as in transformers.

    Configurations written before transformers 4.31 name token 2, which is wrong for every published CLIP; they
    mean the token with the highest id, as OpenAI's code does.
    """
    return jnp.argmax(token_ids if end_of_text == 2 else token_ids == end_of_text, axis=-1)


def normalize(embeddings: jax.Array) -> jax.Array:
    """Scales embeddings (..., dim) to unit length."""
    return embeddings / jnp.linalg.norm(embeddings, axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class CheckpointMetadata:
    """What a checkpoint holds besides the parameters.

    Hashed by identity: a compiled function is reused as long as a model keeps its metadata. ``source`` is what the
    checkpoint is called, see `utils.files.hub.checkpoint_source`; empty if there was none.
    """

    settings: Mapping[str, Any]  # as in config.json
    architecture: Architecture
    tokenizer: PreTrainedTokenizerBase | None
    preprocessing: ImagePreprocessing
    source: Mapping[str, str] = field(default_factory=dict)


class CLIP(nnx.Module):
    """CLIP: `vision` and `text` towers and the logit scale, the factor on their similarities."""

    # From images (batch, height, width, channels) to (batch, dim) float32 of unit length, where `embed_images` is to go
    # by another program than the vision tower, see `utils.clip.eight_bits`.
    embed_pixels: Callable[[np.ndarray], np.ndarray] | None = None

    def __init__(
        self,
        config: CLIPConfig | Mapping[str, Any],  # attention dropout, zero in every published CLIP, is not applied
        *,
        rngs: nnx.Rngs,  # of the random weights, drawn as transformers draws them
        dtype: Any = jnp.float32,  # what the transformers compute in, or bfloat16
        rematerialize: bool = False,  # gradients compute activations again instead of keeping them
        tokenizer: PreTrainedTokenizerBase | None = None,  # that of the text model
        preprocessing: ImagePreprocessing | None = None,  # by default CLIP's own at the model's image size
    ) -> None:
        settings = config if isinstance(config, Mapping) else config.to_dict()
        architecture = architecture_of(settings)
        preprocessing = preprocessing or ImagePreprocessing(architecture.vision.image_size)
        self.metadata = CheckpointMetadata(settings, architecture, tokenizer, preprocessing)
        self.vision = VisionTower(architecture, dtype=dtype, rematerialize=rematerialize, rngs=rngs)
        self.text = TextTower(architecture, dtype=dtype, rematerialize=rematerialize, rngs=rngs)
        self.logit_scale = nnx.Param(jnp.asarray(architecture.logit_scale_init_value, jnp.float32))

    @property
    def config(self) -> CLIPConfig:
        """The configuration, as transformers knows it, which imports torch; `architecture` does without."""
        from transformers import CLIPConfig

        return CLIPConfig.from_dict(dict(self.metadata.settings))

    @property
    def architecture(self) -> Architecture:
        """The configuration, checked and typed."""
        return self.metadata.architecture

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer of the checkpoint, or None."""
        return self.metadata.tokenizer

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """What the model expects of its images."""
        return self.metadata.preprocessing

    def encode_images(self, pixels: jax.Array, normalize: bool = True) -> jax.Array:
        """Encodes images (batch, height, width, channels) to (batch, dim) float32, of unit length by default."""
        return _scaled(self.vision(pixels), normalize)

    def encode_texts(self, token_ids: jax.Array, normalize: bool = True) -> jax.Array:
        """Encodes token ids (batch, length) to (batch, dim) float32, of unit length by default."""
        return _scaled(self.text(token_ids), normalize)

    def logits(self, pixels: jax.Array, token_ids: jax.Array) -> jax.Array:
        """Cosine similarities times the logit scale, (images, texts) float32; a softmax over the texts compares them.

        Pixels are (images, height, width, channels) float, token ids (texts, length) integers.
        """
        images, texts = self.encode_images(pixels), self.encode_texts(token_ids)
        return jnp.exp(self.logit_scale[...]) * jnp.matmul(images, texts.T, precision="highest")

    def copy(self, dtype: Any = None, rematerialize: bool = False) -> CLIP:
        """A model with the same parameters, shared until either is changed, that may compute otherwise, see `CLIP`.

        A dtype of None leaves it as it is, and ``auto`` is the faster one on this machine.
        """
        dtype = jnp.dtype(compute_type(dtype or self.vision.dtype, self.architecture.vision))
        copy = _without_values(self.metadata.settings, self.architecture, dtype, rematerialize)
        copy.metadata = self.metadata
        nnx.update(copy, nnx.state(self, nnx.Param))
        return copy

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike, dtype: Any = jnp.float32, activation: str | None = None
    ) -> CLIP:
        """Loads a checkpoint of any form that `docs/checkpoints.md` lists.

        It is a folder, a file of weights, or a name on the Hugging Face Hub such as ``openai/clip-vit-base-patch32``.
        ``dtype`` is what the transformers compute in: float32, bfloat16, or ``auto``, the faster one on this machine;
        parameters are float32, however they are stored.
        ``activation``, ``quick_gelu`` or ``gelu``, says what weights without a configuration do not; where there is a
        configuration it must be the same.

        Raises:
            FileNotFoundError: If there is no such checkpoint, or it lacks a file.
            ValueError: If a file is damaged or asks for what is not supported, or its tokenizer, its weights and its
                configuration do not belong together.
        """
        place = find_checkpoint(name_or_path)
        stored = open_checkpoint(place, activation)  # before anything takes memory for what may not be there
        architecture = architecture_of(stored.config)
        preprocessing = stored.preprocessing or ImagePreprocessing(architecture.vision.image_size)
        model = _without_values(stored.config, architecture, compute_type(dtype, architecture.vision))
        weights = stored.read_weights()
        check_values(weights)
        source = checkpoint_source(place)
        model.metadata = CheckpointMetadata(stored.config, architecture, stored.tokenizer, preprocessing, source)
        model.load_transformers_weights(weights)
        return model

    def load_transformers_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Replaces all parameters by arrays of any float type under transformers' names, in torch's layouts.

        Weights that are missing, unknown or of the wrong shape are a ValueError.
        """
        state = nnx.state(self, nnx.Param)
        # All at once: `jnp.asarray` compiles a program for each shape. Copies, since JAX may go on using such memory.
        copies = {path: np.array(array) for path, array in import_parameters(weights, self.architecture).items()}
        parameters = jax.device_put(copies)
        nnx.replace_by_pure_dict(state, traverse_util.unflatten_dict(parameters, sep="."))
        nnx.update(self, state)

    def save_pretrained(self, folder: str | os.PathLike, weights_dtype: Any = np.float32) -> Path:
        """Writes a checkpoint that transformers' ``CLIPModel`` and ``CLIPProcessor`` load, and returns its folder.

        Everything is written beside the folder first, so that a crash leaves no half of a checkpoint; files of an
        earlier one are replaced, others stay. Weights stored in float16 halve the file, in float32 they are exact.
        """
        from safetensors.numpy import save_file

        folder, dtype = from_home(folder), np.dtype(weights_dtype)
        with written_whole(folder) as temporary:
            stored = {name: array.astype(dtype) for name, array in self.transformers_weights().items()}
            save_file(stored, temporary / "model.safetensors", metadata={"format": "pt"})
            self.write_settings(temporary, dtype.name)
        return folder

    def write_settings(self, folder: Path, dtype: str = "float32") -> None:
        """Writes what a checkpoint holds besides its weights: configuration, tokenizer and image processor."""
        own = {"model_type": "clip", "architectures": ["CLIPModel"], "dtype": dtype}
        settings = {name: value for name, value in self.metadata.settings.items() if name != "torch_dtype"} | own
        write_json(folder / "config.json", settings)
        if self.tokenizer is not None:
            write_tokenizer(self.tokenizer, folder)
        write_json(folder / "preprocessor_config.json", processor_settings(self.preprocessing))

    def transformers_weights(self) -> dict[str, np.ndarray]:
        """Copies the parameters to float32 arrays under transformers' names, in torch's layouts."""
        return export_parameters(flatten(nnx.state(self, nnx.Param)), self.architecture)


_outlines: dict[Any, tuple[nnx.GraphDef[CLIP], nnx.State]] = {}


def _without_values(
    settings: Mapping[str, Any], architecture: Architecture, dtype: Any, rematerialize: bool = False
) -> CLIP:
    """A model of shapes alone, to be given values. Each architecture is traced once: it takes a fifth of a second."""
    key = architecture, jnp.dtype(dtype), rematerialize
    if key not in _outlines:
        model = nnx.eval_shape(lambda: CLIP(settings, rngs=nnx.Rngs(0), dtype=dtype, rematerialize=rematerialize))
        _outlines[key] = nnx.split(model)
    return nnx.merge(*_outlines[key], copy=True)


def flatten(state: nnx.State) -> dict[str, Any]:
    """The leaves of a state of a `CLIP` (parameters, gradients) by their paths, joined by dots."""
    return traverse_util.flatten_dict(nnx.to_pure_dict(state), sep=".")


def _scaled(embeddings: jax.Array, unit_length: bool) -> jax.Array:
    return normalize(embeddings) if unit_length else embeddings
