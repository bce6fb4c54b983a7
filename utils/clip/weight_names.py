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

Shape = tuple[int, ...]

_BEGINNINGS = ("logit_scale", "text_", "vision_model.", "visual_projection.")  # of transformers' names


@dataclass(frozen=True)
class StoredParameter:
    """How one parameter is stored in a checkpoint.

    ``path`` is its place in `utils.clip.CLIP`, such as ``vision.last_norm.scale``; in ``name``, transformers', ``{}``
    stands for the layer's number; ``shape`` is that of each array, a convolution's (width, channels, patch, patch).
    """

    path: str
    name: str
    shape: Shape
    layers: range = range(1)

    @property
    def names(self) -> Iterator[str]:
        """The names of its arrays: one, or where layers are stacked one a layer."""
        return map(self.name.format, self.layers)

    @property
    def stacked(self) -> bool:
        """Whether it has an axis of layers."""
        return ".early_blocks." in self.path

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """Lays one array out as JAX has it; a convolution becomes a matrix (patch * patch * channels, width)."""
        if array.ndim == 4:
            return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
        return array.T if self.path.endswith(".kernel") else array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """The inverse of `from_torch`."""
        if len(self.shape) == 4:
            width, channels, height, breadth = self.shape
            return array.reshape(height, breadth, channels, width).transpose(3, 2, 0, 1)
        return array.T if self.path.endswith(".kernel") else array


def stored_parameters(architecture: Architecture) -> list[StoredParameter]:
    """All parameters of a model; a tower of one layer has no early ones."""
    vision, text, dim = architecture.vision, architecture.text, architecture.projection_dim
    positions = (vision.image_size // vision.patch_size) ** 2 + 1
    patch = (vision.hidden_size, vision.num_channels, vision.patch_size, vision.patch_size)
    images, texts = "vision_model.embeddings", "text_model.embeddings"
    tokens, places = (text.vocab_size, text.hidden_size), (text.max_position_embeddings, text.hidden_size)
    return [
        StoredParameter("logit_scale", "logit_scale", ()),
        StoredParameter("vision.class_embedding", f"{images}.class_embedding", patch[:1]),
        StoredParameter("vision.patch_embedding.kernel", f"{images}.patch_embedding.weight", patch),
        StoredParameter("vision.position_embedding", f"{images}.position_embedding.weight", (positions, patch[0])),
        *_layer("vision.first_norm", "vision_model.pre_layrnorm", (vision.hidden_size,)),
        *_blocks("vision", vision),
        *_layer("vision.last_norm", "vision_model.post_layernorm", (vision.hidden_size,)),
        StoredParameter("vision.projection.kernel", "visual_projection.weight", (dim, vision.hidden_size)),
        StoredParameter("text.token_embedding.embedding", f"{texts}.token_embedding.weight", tokens),
        StoredParameter("text.position_embedding", f"{texts}.position_embedding.weight", places),
        *_blocks("text", text),
        *_layer("text.last_norm", "text_model.final_layer_norm", (text.hidden_size,)),
        StoredParameter("text.projection.kernel", "text_projection.weight", (dim, text.hidden_size)),
    ]


def _blocks(tower: str, config: TowerConfig) -> Iterator[StoredParameter]:
    width, inner, last = config.hidden_size, config.intermediate_size, config.num_hidden_layers - 1
    parts: tuple[tuple[str, str, Shape], ...] = (
        ("attention_norm", "layer_norm1", (width,)),
        ("attention.query", "self_attn.q_proj", (width, width)),
        ("attention.key", "self_attn.k_proj", (width, width)),
        ("attention.value", "self_attn.v_proj", (width, width)),
        ("attention.output", "self_attn.out_proj", (width, width)),
        ("mlp_norm", "layer_norm2", (width,)),
        ("mlp.expand", "mlp.fc1", (inner, width)),
        ("mlp.contract", "mlp.fc2", (width, inner)),
    )
    for place, layers in (("early_blocks", range(last)), ("last_block", range(last, last + 1))):
        for ours, theirs, shape in parts if layers else ():
            names = f"{tower}.transformer.{place}.{ours}", f"{tower}_model.encoder.layers.{{}}.{theirs}"
            yield from _layer(*names, shape, layers)


def _layer(path: str, name: str, shape: Shape, layers: range = range(1)) -> Iterator[StoredParameter]:
    """The weight, of this shape, and the bias of a linear layer or a layer norm."""
    kind = "kernel" if len(shape) == 2 else "scale"
    yield StoredParameter(f"{path}.{kind}", f"{name}.weight", shape, layers)
    yield StoredParameter(f"{path}.bias", f"{name}.bias", shape[:1], layers)


def import_parameters(weights: Mapping[str, np.ndarray], architecture: Architecture) -> dict[str, np.ndarray]:
    """Turns a checkpoint's weights, arrays by transformers' names, into float32 parameters by their paths in `CLIP`.

    What `check_shapes` refuses is a ValueError.
    """
    check_shapes({name: tuple(array.shape) for name, array in weights.items()}, architecture)
    parameters = {}
    for parameter in stored_parameters(architecture):
        arrays = [parameter.from_torch(weights[name]).astype(np.float32) for name in parameter.names]
        parameters[parameter.path] = np.stack(arrays) if parameter.stacked else arrays[0]
    return parameters


def export_parameters(parameters: Mapping[str, np.ndarray], architecture: Architecture) -> dict[str, np.ndarray]:
    """The inverse of `import_parameters`: arrays by transformers' names, in torch's layouts."""
    weights = {}
    for parameter in stored_parameters(architecture):
        array = np.asarray(parameters[parameter.path])
        layers = array if parameter.stacked else [array]
        for name, layer in zip(parameter.names, layers, strict=True):
            weights[name] = np.asarray(parameter.to_torch(layer), order="C")
    return weights


def check_shapes(stored: Mapping[str, Shape], architecture: Architecture) -> None:
    """Refuses weights that are not those of a configuration, by their names and shapes alone.

    Those that are missing, unknown, or of a shape that the configuration does not ask for are a ValueError.
    """
    # Older checkpoints store the numbers 0, 1, 2, ... of the positions as if they were weights.
    found = {name for name in stored if not name.endswith("position_ids")}
    named = ((name, parameter.shape) for parameter in stored_parameters(architecture) for name in parameter.names)
    expected = dict(islice(named, len(found) + 10_000))  # of absurdly many layers, enough to see that some are missing
    others = sorted(name for name in found if not name.startswith(_BEGINNINGS))[:1]
    also = f"; it has others, as {others[0]!r}" if others else ""
    compare_shapes({name: stored[name] for name in found}, expected, also)


def compare_shapes(stored: Mapping[str, Shape], expected: Mapping[str, Shape], also: str = "") -> None:
    """Refuses, with a ValueError, weights other than those expected; ``also`` is said if some lack."""
    _refuse("lacks", [name for name in expected if name not in stored], also)
    _refuse("has unknown", sorted(stored.keys() - expected.keys()))
    wrong = [f"{name} {stored[name]} instead of {shape}" for name, shape in expected.items() if stored[name] != shape]
    _refuse("has wrongly shaped", wrong)


def _refuse(problem: str, names: list[str], also: str = "") -> None:
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise ValueError(
            f"The checkpoint {problem} weights ({shown}{also}); take one whose weights belong to its configuration."
        )
