"""What transformers calls the parameters of CLIP, and how torch lays them out, to NumPy arrays and back.

`PARAMETERS` says which weight of a checkpoint becomes which parameter of `utils.clip.CLIP`. Three layouts
differ: torch keeps a linear layer as (outputs, inputs) and JAX as (inputs, outputs); the patch convolution
becomes one matrix; and the layers of a transformer, apart in a checkpoint, are stacked along a first axis here, all
but the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

ParameterPath = tuple[str, ...]


@dataclass(frozen=True)
class ParameterName:
    """How one parameter is stored in a checkpoint.

    Attributes:
        path: Where it stands in `utils.clip.CLIP`.
        name: transformers' name; ``{}`` stands for the layer's number.
        layout: ``same``; ``transposed`` for the matrix of a linear layer; ``patches`` for a convolution
            (width, channels, patch, patch) that becomes a matrix (patch * patch * channels, width).
    """

    path: ParameterPath
    name: str
    layout: str = "same"

    @property
    def stacked(self) -> bool:
        """Whether each layer has its own array in the checkpoint."""
        return "early_blocks" in self.path


def _linear(path: ParameterPath, name: str) -> list[ParameterName]:
    kernel = ParameterName((*path, "kernel"), f"{name}.weight", "transposed")
    return [kernel, ParameterName((*path, "bias"), f"{name}.bias")]


def _layer_norm(path: ParameterPath, name: str) -> list[ParameterName]:
    return [ParameterName((*path, "scale"), f"{name}.weight"), ParameterName((*path, "bias"), f"{name}.bias")]


def _blocks(tower: str, place: str) -> list[ParameterName]:
    path, name = (tower, "transformer", place), f"{tower}_model.encoder.layers.{{}}"
    return [
        *_layer_norm((*path, "attention_norm"), f"{name}.layer_norm1"),
        *_linear((*path, "attention", "query"), f"{name}.self_attn.q_proj"),
        *_linear((*path, "attention", "key"), f"{name}.self_attn.k_proj"),
        *_linear((*path, "attention", "value"), f"{name}.self_attn.v_proj"),
        *_linear((*path, "attention", "output"), f"{name}.self_attn.out_proj"),
        *_layer_norm((*path, "mlp_norm"), f"{name}.layer_norm2"),
        *_linear((*path, "mlp", "expand"), f"{name}.mlp.fc1"),
        *_linear((*path, "mlp", "contract"), f"{name}.mlp.fc2"),
    ]


PARAMETERS: tuple[ParameterName, ...] = (
    ParameterName(("logit_scale",), "logit_scale"),
    ParameterName(("vision", "class_embedding"), "vision_model.embeddings.class_embedding"),
    ParameterName(("vision", "patch_embedding", "kernel"), "vision_model.embeddings.patch_embedding.weight", "patches"),
    ParameterName(("vision", "position_embedding"), "vision_model.embeddings.position_embedding.weight"),
    *_layer_norm(("vision", "first_norm"), "vision_model.pre_layrnorm"),
    *_blocks("vision", "early_blocks"),
    *_blocks("vision", "last_block"),
    *_layer_norm(("vision", "last_norm"), "vision_model.post_layernorm"),
    ParameterName(("vision", "projection", "kernel"), "visual_projection.weight", "transposed"),
    ParameterName(("text", "token_embedding", "embedding"), "text_model.embeddings.token_embedding.weight"),
    ParameterName(("text", "position_embedding"), "text_model.embeddings.position_embedding.weight"),
    *_blocks("text", "early_blocks"),
    *_blocks("text", "last_block"),
    *_layer_norm(("text", "last_norm"), "text_model.final_layer_norm"),
    ParameterName(("text", "projection", "kernel"), "text_projection.weight", "transposed"),
)


def _from_torch(array: np.ndarray, layout: str) -> np.ndarray:
    if layout == "transposed":
        return array.T
    if layout == "patches":
        return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
    return array


def _to_torch(array: np.ndarray, layout: str, patch_size: int) -> np.ndarray:
    if layout == "transposed":
        return array.T
    if layout == "patches":
        return array.reshape(patch_size, patch_size, -1, array.shape[-1]).transpose(3, 2, 0, 1)
    return array


def _torch_shape(parameter: ParameterName, shape: tuple[int, ...], patch_size: int) -> tuple[int, ...]:
    """The shape of one stored array of a parameter whose own shape is given."""
    empty = np.broadcast_to(np.float32(0), shape[1:] if parameter.stacked else shape)
    return _to_torch(empty, parameter.layout, patch_size).shape


def _stored_names(shapes: Mapping[ParameterPath, tuple[int, ...]]) -> dict[ParameterName, list[str]]:
    """The names in a checkpoint of each parameter that a model has: a tower of one layer has no early ones."""
    names = {}
    for parameter in PARAMETERS:
        if parameter.path not in shapes:
            continue
        place = tuple("early_blocks" if part == "last_block" else part for part in parameter.path)
        early = shapes[place][0] if place in shapes and "{}" in parameter.name else 0
        layers = range(early) if parameter.stacked else [early]
        names[parameter] = [parameter.name.format(layer) for layer in layers]
    return names


def import_parameters(
    weights: Mapping[str, np.ndarray], shapes: Mapping[ParameterPath, tuple[int, ...]], patch_size: int
) -> dict[ParameterPath, np.ndarray]:
    """Turns a checkpoint's weights into the parameters of `utils.clip.CLIP`.

    Args:
        weights: Arrays by transformers' names, as stored in a checkpoint.
        shapes: The shape of every parameter of the model.
        patch_size: Height and width of a patch, in pixels.

    Returns:
        Float32 arrays by path.

    Raises:
        ValueError: If weights are missing, unknown, or of a shape that the configuration does not ask for.
    """
    check_shapes({name: tuple(array.shape) for name, array in weights.items()}, shapes, patch_size)
    parameters = {}
    for parameter, names in _stored_names(shapes).items():
        arrays = [_from_torch(weights[name], parameter.layout).astype(np.float32) for name in names]
        parameters[parameter.path] = np.stack(arrays) if parameter.stacked else arrays[0]
    return parameters


def check_shapes(
    stored: Mapping[str, tuple[int, ...]], shapes: Mapping[ParameterPath, tuple[int, ...]], patch_size: int
) -> None:
    """Refuses weights that are not those of a model, by their names and shapes alone.

    Args:
        stored: Shapes by transformers' names.
        shapes: The shape of every parameter of the model.
        patch_size: Height and width of a patch, in pixels.

    Raises:
        ValueError: If weights are missing, unknown, or of a shape that the configuration does not ask for.
    """
    expected = {
        name: _torch_shape(parameter, shapes[parameter.path], patch_size)
        for parameter, names in _stored_names(shapes).items()
        for name in names
    }
    # Older checkpoints store the numbers 0, 1, 2, ... of the positions as if they were weights.
    found = {name for name in stored if not name.endswith("position_ids")}
    _refuse("lacks", sorted(expected.keys() - found))
    _refuse("has unknown", sorted(found - expected.keys()))
    wrong = [f"{name} {stored[name]} instead of {shape}" for name, shape in expected.items() if stored[name] != shape]
    _refuse("has wrongly shaped", wrong)


def _refuse(problem: str, names: list[str]) -> None:
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise ValueError(
            f"The checkpoint {problem} weights ({shown}); take one whose weights belong to its configuration."
        )


def export_parameters(parameters: Mapping[ParameterPath, np.ndarray], patch_size: int) -> dict[str, np.ndarray]:
    """The inverse of `import_parameters`: arrays by transformers' names, in torch's layouts."""
    weights = {}
    for parameter, names in _stored_names({path: np.shape(a) for path, a in parameters.items()}).items():
        array = np.asarray(parameters[parameter.path])
        layers = array if parameter.stacked else [array]
        for name, layer in zip(names, layers, strict=True):
            weights[name] = np.asarray(_to_torch(layer, parameter.layout, patch_size), order="C")
    return weights
