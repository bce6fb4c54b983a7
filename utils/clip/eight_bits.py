"""Images embedded in eight bits by OpenVINO, an optional extra: for indexes of many images on a CPU.

    fast = in_eight_bits(model, images)                  # some of the images, or others of their kind
    index = ImageIndex.build(fast, images, "my index")   # which is one of the model: load it with that

Weights are rounded by channel and activations by layer (Jacob et al. 2018), over ranges that OpenVINO's NNCF measures
on some images.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from utils.clip.embedding import embed_images, unit_length
from utils.clip.model import CLIP
from utils.clip.onnx_export import torch_towers
from utils.datasets import eval_batches
from utils.importing import hidden

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

MEASURED = 256  # images at most that ranges and recall are measured on
NEIGHBORS = 10
RECALL_WANTED = 0.97


def in_eight_bits(model: CLIP, images: CaptionDataset, seed: int = 0) -> CLIP:
    """A copy of a model whose collections of images `embed_images` embeds in eight bits.

    Parameters and fingerprint stay the model's, and so do its texts and what `CLIP.encode_images` gives. Ranges are
    measured on up to 256 images, drawn by the seed; let them be of the kind that it is for. On these it is tried, too:
    each is looked for by its exact vector, and its closest among the others are to be found.

    Raises:
        ImportError: If OpenVINO or NNCF is not installed.
        ValueError: If there are fewer than 20 images, or of the ten closest to each less than 97 % are found.
    """
    if missing := [name for name in ("openvino", "nncf") if find_spec(name) is None]:
        raise ImportError(
            f"Eight bits take {' and '.join(missing)}, which the course does without: pip install openvino nncf."
        )
    with hidden("openvino_telemetry"):  # which would report to Google, unasked, and leave a number in the home folder
        import nncf
        import openvino.tools.ovc
    import torch

    chosen = images.subset(MEASURED, seed)
    batches = list(eval_batches(chosen, model.preprocessing, batch_size=16, unreadable={}))
    pixels = [_channels_first(batch["images"][batch["mask"]]) for batch in batches if batch["mask"].any()]
    if (count := sum(map(len, pixels))) < 2 * NEIGHBORS:
        raise ValueError(f"Ranges cannot be measured on {count} readable images; give {2 * NEIGHBORS} or more.")
    tower = torch_towers(model)["vision"]
    exported = openvino.convert_model(tower, example_input=torch.tensor(pixels[0]), input=[[-1, *pixels[0].shape[1:]]])
    quantized = nncf.quantize(
        exported, nncf.Dataset(pixels), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(pixels)
    )
    compiled = openvino.compile_model(quantized, "CPU")
    fast = model.copy(model.vision.dtype)
    fast.embed_pixels = lambda images: unit_length(compiled(_channels_first(images))[0])
    recall = _recall(embed_images(model, batches), embed_images(fast, batches))
    if recall < RECALL_WANTED:
        raise ValueError(
            f"In eight bits {recall:.0%} of the {NEIGHBORS} closest of {count} images are found, and "
            f'{RECALL_WANTED:.0%} are wanted; take the model as it is, with dtype="auto".'
        )
    return fast


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(images, -1, 1))


def _recall(exact: np.ndarray, rough: np.ndarray) -> float:
    """The share of each exact vector's closest others, (images, dim) both, that are its closest in eight bits."""

    def closest(vectors: np.ndarray) -> np.ndarray:
        similarities = exact @ vectors.T
        np.fill_diagonal(similarities, -np.inf)
        return np.argsort(-similarities, axis=1)[:, :NEIGHBORS]

    found = [len(np.intersect1d(*pair)) for pair in zip(closest(exact), closest(rough), strict=True)]
    return float(np.mean(found)) / NEIGHBORS
