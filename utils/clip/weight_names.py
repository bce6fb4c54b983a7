"""What transformers calls the parameters of CLIP, and how torch lays them out, to NumPy arrays and back.

`stored_parameters` says which weight of a checkpoint becomes which parameter of `utils.clip.CLIP`. Three layouts
differ: torch keeps a linear layer as (outputs, inputs) and JAX as (inputs, outputs); the patch convolution
becomes one matrix; and the layers of a transformer, apart in a checkpoint, are stacked along a first axis here, all
but the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from utils.clip.configuration import Architecture, TowerConfig

ParameterPath = tuple[str, ...]
Shape = tuple[int, ...]

_BEGINNINGS = ("logit_scale", "text_", "vision_model.", "visual_projection.")  # of transformers' names


@dataclass(frozen=True)
class StoredParameter:
    """How one parameter is stored in a checkpoint.

    Attributes:
        path: Where it stands in `utils.clip.CLIP`.
        name: transformers' name; ``{}`` stands for the layer's number.
        shape: Of each array in the checkpoint.
        layout: ``same``; ``transposed`` for the matrix of a linear layer; ``patches`` for a convolution
            (width, channels, patch, patch) that becomes a matrix (patch * patch * channels, width).
        layers: The numbers of the layers that it holds.
    """

    path: ParameterPath
    name: str
    shape: Shape
    layout: str = "same"
    layers: range = range(1)

    @property
    def names(self) -> Iterator[str]:
        """The names of its arrays: one, or where layers are stacked one a layer."""
        return map(self.name.format, self.layers)

    @property
    def stacked(self) -> bool:
        """Whether it has an axis of layers."""
        return "early_blocks" in self.path


def stored_parameters(architecture: Architecture) -> list[StoredParameter]:
    """All parameters of a model; a tower of one layer has no early ones."""
    vision, text, dim = architecture.vision, architecture.text, architecture.projection_dim
    patches = (vision.image_size // vision.patch_size) ** 2
    patch = (vision.hidden_size, vision.num_channels, vision.patch_size, vision.patch_size)
    images, texts = "vision_model.embeddings", "text_model.embeddings"
    positions = (patches + 1, vision.hidden_size), (text.max_position_embeddings, text.hidden_size)
    return [
        StoredParameter(("logit_scale",), "logit_scale", ()),
        StoredParameter(("vision", "class_embedding"), f"{images}.class_embedding", (vision.hidden_size,)),
        StoredParameter(("vision", "patch_embedding", "kernel"), f"{images}.patch_embedding.weight", patch, "patches"),
        StoredParameter(("vision", "position_embedding"), f"{images}.position_embedding.weight", positions[0]),
        *_layer_norm(("vision", "first_norm"), "vision_model.pre_layrnorm", vision.hidden_size),
        *_blocks("vision", vision),
        *_layer_norm(("vision", "last_norm"), "vision_model.post_layernorm", vision.hidden_size),
        _matrix(("vision", "projection"), "visual_projection", vision.hidden_size, dim),
        StoredParameter(
            ("text", "token_embedding", "embedding"),
            f"{texts}.token_embedding.weight",
            (text.vocab_size, text.hidden_size),
        ),
        StoredParameter(("text", "position_embedding"), f"{texts}.position_embedding.weight", positions[1]),
        *_blocks("text", text),
        *_layer_norm(("text", "last_norm"), "text_model.final_layer_norm", text.hidden_size),
        _matrix(("text", "projection"), "text_projection", text.hidden_size, dim),
    ]


def _blocks(tower: str, config: TowerConfig) -> Iterator[StoredParameter]:
    width, inner, last = config.hidden_size, config.intermediate_size, config.num_hidden_layers - 1
    name = f"{tower}_model.encoder.layers.{{}}"
    attention = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
    for place, layers in (("early_blocks", range(last)), ("last_block", range(last, last + 1))):
        path = (tower, "transformer", place)
        if not layers:
            continue
        yield from _layer_norm((*path, "attention_norm"), f"{name}.layer_norm1", width, layers)
        for ours, theirs in attention.items():
            yield from _linear((*path, "attention", ours), f"{name}.self_attn.{theirs}", width, width, layers)
        yield from _layer_norm((*path, "mlp_norm"), f"{name}.layer_norm2", width, layers)
        yield from _linear((*path, "mlp", "expand"), f"{name}.mlp.fc1", width, inner, layers)
        yield from _linear((*path, "mlp", "contract"), f"{name}.mlp.fc2", inner, width, layers)


def _linear(path: ParameterPath, name: str, inputs: int, outputs: int, layers: range) -> list[StoredParameter]:
    bias = StoredParameter((*path, "bias"), f"{name}.bias", (outputs,), layers=layers)
    return [_matrix(path, name, inputs, outputs, layers), bias]


def _matrix(path: ParameterPath, name: str, inputs: int, outputs: int, layers: range = range(1)) -> StoredParameter:
    return StoredParameter((*path, "kernel"), f"{name}.weight", (outputs, inputs), "transposed", layers)


def _layer_norm(path: ParameterPath, name: str, width: int, layers: range = range(1)) -> list[StoredParameter]:
    names = (("scale", "weight"), ("bias", "bias"))
    return [StoredParameter((*path, ours), f"{name}.{theirs}", (width,), layers=layers) for ours, theirs in names]


def _from_torch(array: np.ndarray, parameter: StoredParameter) -> np.ndarray:
    if parameter.layout == "transposed":
        return array.T
    if parameter.layout == "patches":
        return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
    return array


def _to_torch(array: np.ndarray, parameter: StoredParameter) -> np.ndarray:
    if parameter.layout == "transposed":
        return array.T
    if parameter.layout == "patches":
        width, channels, height, breadth = parameter.shape
        return array.reshape(height, breadth, channels, width).transpose(3, 2, 0, 1)
    return array


def import_parameters(weights: Mapping[str, np.ndarray], architecture: Architecture) -> dict[ParameterPath, np.ndarray]:
    """Turns a checkpoint's weights, arrays by transformers' names, into the float32 parameters of `utils.clip.CLIP`.

    Raises:
        ValueError: If weights are missing, unknown, or of a shape that the configuration does not ask for.
    """
    check_shapes({name: tuple(array.shape) for name, array in weights.items()}, architecture)
    parameters = {}
    for parameter in stored_parameters(architecture):
        arrays = [_from_torch(weights[name], parameter).astype(np.float32) for name in parameter.names]
        parameters[parameter.path] = np.stack(arrays) if parameter.stacked else arrays[0]
    return parameters


def export_parameters(
    parameters: Mapping[ParameterPath, np.ndarray], architecture: Architecture
) -> dict[str, np.ndarray]:
    """The inverse of `import_parameters`: arrays by transformers' names, in torch's layouts."""
    weights = {}
    for parameter in stored_parameters(architecture):
        array = np.asarray(parameters[parameter.path])
        layers = array if parameter.stacked else [array]
        for name, layer in zip(parameter.names, layers, strict=True):
            weights[name] = np.asarray(_to_torch(layer, parameter), order="C")
    return weights


def check_shapes(stored: Mapping[str, Shape], architecture: Architecture) -> None:
    """Refuses weights that are not those of a configuration, by their names and shapes alone.

    Raises:
        ValueError: If weights are missing, unknown, or of a shape that the configuration does not ask for.
    """
    # Older checkpoints store the numbers 0, 1, 2, ... of the positions as if they were weights.
    found = {name for name in stored if not name.endswith("position_ids")}
    named = ((name, parameter.shape) for parameter in stored_parameters(architecture) for name in parameter.names)
    expected = dict(islice(named, len(found) + 10_000))  # of absurdly many layers, enough to see that some are missing
    others = sorted(name for name in found if not name.startswith(_BEGINNINGS))[:1]
    also = f"; it has others, as {others[0]!r}" if others else ""
    _refuse("lacks", [name for name in expected if name not in found], also)
    _refuse("has unknown", sorted(found - expected.keys()))
    wrong = [f"{name} {stored[name]} instead of {shape}" for name, shape in expected.items() if stored[name] != shape]
    _refuse("has wrongly shaped", wrong)


def _refuse(problem: str, names: list[str], also: str = "") -> None:
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise ValueError(
            f"The checkpoint {problem} weights ({shown}{also}); take one whose weights belong to its configuration."
        )
