"""Both towers of a CLIP in ONNX, for ONNX Runtime and whatever else reads it, without JAX or torch.

The graphs are those of transformers' torch model, drawn by ``torch.onnx``: what the field runs is one and the same.
Names of files, inputs and outputs, and vectors that are not of unit length, are those of Optimum and transformers.js.
"""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.clip.checkpoints import written_whole
from utils.files import from_home

if TYPE_CHECKING:
    import torch

    from utils.clip.model import CLIP

OPSET = 18  # the oldest that torch.onnx writes by itself; ONNX Runtime reads it from 1.14 on

_README = """\
# The towers of a CLIP in ONNX

| file | takes | gives |
|---|---|---|
| `vision_model.onnx` | `pixel_values` (batch, 3, {size}, {size}) float32 | `image_embeds` (batch, {dim}) float32 |
| `text_model.onnx` | `input_ids` (batch, up to {length}) int64 | `text_embeds` (batch, {dim}) float32 |

The vectors are not of unit length. An attention mask is not needed: a text is read up to its end. The folder above
holds the image processor and {tokenizer} tokenizer. Opset {opset}.

```python
import numpy as np
import onnxruntime
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer

folder = "{folder}"  # where this model lies
image = Image.open("image.jpg")
texts = ["an airport", "a forest"]


def embed(tower, inputs):
    vectors = onnxruntime.InferenceSession(f"{{folder}}/onnx/{{tower}}_model.onnx").run(None, inputs)[0]
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


pixels = AutoImageProcessor.from_pretrained(folder)(image, return_tensors="np")["pixel_values"]
tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="np")["input_ids"]
images = embed("vision", {{"pixel_values": pixels}})
words = embed("text", {{"input_ids": tokens}})
logits = {scale:.6g} * images @ words.T  # the softmax of a row compares the texts
```
"""


def check_onnx() -> None:
    """Refuses, with an ImportError, to write ONNX without the packages that it takes."""
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise ImportError(
            f"Writing ONNX takes {' and '.join(missing)}, which the course does without; install what is missing: "
            "pip install onnx onnxscript onnxruntime."
        )


def save_onnx(model: CLIP, folder: str | os.PathLike) -> Path:
    """Writes ``onnx/vision_model.onnx`` and ``onnx/text_model.onnx`` into a folder, and returns it.

    From ``pixel_values`` (batch, 3, size, size) float32 the former gives ``image_embeds``, from ``input_ids`` (batch,
    length) int64 the latter ``text_embeds``, both (batch, dim) float32 and not of unit length; batch and length are
    free. Configuration, tokenizer and image processor are those of `CLIP.save_pretrained`, whose folder it may be.
    Weights of more than 1.5 GiB lie in a file of their own, beside the graph.

    Without the packages of the extra ``onnx`` that is an ImportError.
    """
    import torch

    check_onnx()
    folder, vision, text = from_home(folder), model.architecture.vision, model.architecture.text
    towers = torch_towers(model)
    pixels = torch.zeros(2, vision.num_channels, vision.image_size, vision.image_size)
    tokens = torch.full((2, min(7, text.max_position_embeddings)), text.eos_token_id)
    with written_whole(folder) as temporary:
        place = temporary / "onnx"
        place.mkdir()
        model.write_settings(temporary)
        _write_tower(place, "vision", pixels, "pixel_values", "image_embeds", towers["vision"])
        _write_tower(place, "text", tokens, "input_ids", "text_embeds", towers["text"])
        (place / "README.md").write_text(_readme(model, folder), encoding="utf-8")
    return folder


def torch_towers(model: CLIP) -> dict[str, torch.nn.Module]:
    """The towers, ``vision`` and ``text``, as transformers' torch model has them, each with its projection."""
    import torch
    from transformers import CLIPModel

    class Tower(torch.nn.Module):
        def __init__(self, tower: torch.nn.Module, projection: torch.nn.Module) -> None:
            super().__init__()
            self.tower, self.projection = tower, projection

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.projection(self.tower(inputs).pooler_output)

    twin = CLIPModel(model.config).eval()
    weights = {name: torch.tensor(array) for name, array in model.transformers_weights().items()}
    twin.load_state_dict(weights, assign=True)
    vision, text = Tower(twin.vision_model, twin.visual_projection), Tower(twin.text_model, twin.text_projection)
    return {"vision": vision.eval(), "text": text.eval()}


def _write_tower(
    folder: Path, name: str, example: torch.Tensor, takes: str, gives: str, tower: torch.nn.Module
) -> None:
    import torch

    free = {0: "batch", 1: "length"} if example.ndim == 2 else {0: "batch"}
    with warnings.catch_warnings():  # of what torch is going to change within itself
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            tower,
            (example,),
            input_names=[takes],
            output_names=[gives],
            dynamic_shapes=(free,),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it would be, had torch been told where to write
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # which name the lines of torch's and transformers' code, by their folders here
    program.save(folder / f"{name}_model.onnx")


def _readme(model: CLIP, folder: Path) -> str:
    vision, text = model.architecture.vision, model.architecture.text
    return _README.format(
        size=vision.image_size,
        dim=model.architecture.projection_dim,
        length=text.max_position_embeddings,
        tokenizer="the" if model.tokenizer is not None else "no",
        opset=OPSET,
        folder=folder.name,
        scale=float(np.exp(model.logit_scale[...])),
    )
