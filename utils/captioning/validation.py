"""How a captioner does on held-out images: the loss of their captions, and the CIDEr-D of what it writes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from utils.captioning.captioner import Captioner, compiled_prefix
from utils.captioning.decoding import generate
from utils.captioning.loss import caption_losses
from utils.captioning.scores import cider_d
from utils.captioning.tokens import caption_tokens, counted, words_of
from utils.datasets import eval_batches
from utils.training import TrainingSettings

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

AT_ONCE = 64  # images, or captions, on each device


def validate_captions(
    model: Captioner,
    dataset: CaptionDataset,
    settings: TrainingSettings,
    length: int,
    sharding: jax.sharding.NamedSharding | None = None,
) -> dict[str, float]:
    """Measures a captioner on the validation split, without augmentation; the test split is for the final figures.

    What cannot be decoded is left out, as are captions without words, with a warning.

    Returns:
        ``validation_loss``: of every caption of each image, in nats a token, their ends included and no token beyond
        ``length``. ``validation_cider``: CIDEr-D of greedy captions of at most ``length`` tokens against all captions
        of their images, with the document frequency of these (`utils.captioning.scores.cider_d`).

    Raises:
        FloatingPointError: If the loss is not finite.
        DatasetError: If no image has a caption, or not one can be decoded.
    """
    devices = 1 if sharding is None else sharding.mesh.size
    rows = min(settings.micro_batch_size or settings.batch_size, AT_ONCE * devices)
    rows = -(-rows // devices) * devices
    prefixes, dataset = _prefixes_of(model, dataset.captioned(), rows, settings.workers, sharding)
    pairs = [(number, caption) for number, item in enumerate(dataset) for caption in item.captions]
    tokens = caption_tokens(model.tokenizer, [caption for _, caption in pairs], length)
    owners = np.array([number for number, _ in pairs])
    definition, parameters = nnx.split(model)
    loss = count = 0.0
    for start in range(0, len(tokens), rows):
        part = slice(start, start + rows)
        # What fills up the last batch has no tokens that count.
        own = np.pad(owners[part], (0, rows - len(owners[part])))
        weights = (np.arange(rows) < len(owners[part])).astype(np.float32)
        batch = prefixes[own], np.resize(tokens[part], (rows, length)), weights
        batch = batch if sharding is None else tuple(jax.device_put(array, sharding) for array in batch)
        sums = _loss_and_tokens(definition, parameters, *batch)
        loss, count = loss + float(sums[0]), count + float(sums[1])
    if not np.isfinite(loss):
        raise FloatingPointError("The loss of some validation captions is not a finite number.")
    captions = _written(model, prefixes, rows, length, sharding)
    references = [item.captions for item in dataset]
    return {"validation_loss": loss / count, "validation_cider": cider_d(captions, references)}


def _prefixes_of(
    model: Captioner,
    dataset: CaptionDataset,
    rows: int,
    workers: int = 2,
    sharding: jax.sharding.NamedSharding | None = None,
) -> tuple[np.ndarray, CaptionDataset]:
    """The prefixes of the images that can be decoded, (images, prefix, width), beside these images."""
    unreadable: dict[int, str] = {}
    definition, parameters = nnx.split(model)
    prefixes = []
    for batch in eval_batches(dataset, model.preprocessing, batch_size=rows, workers=workers, unreadable=unreadable):
        pixels = batch["images"] if sharding is None else jax.device_put(batch["images"], sharding)
        prefixes.append(np.asarray(compiled_prefix(definition, parameters, pixels))[batch["mask"]])
    dataset = dataset.without_unreadable(unreadable)
    return np.concatenate(prefixes), dataset


@partial(jax.jit, static_argnums=0)
def _loss_and_tokens(
    definition: nnx.GraphDef[Captioner], parameters: nnx.State, prefix: jax.Array, tokens: jax.Array, weights: jax.Array
) -> tuple[jax.Array, jax.Array]:
    model = nnx.merge(definition, parameters)
    losses = caption_losses(model.logits(prefix, tokens), tokens, model.end_token)
    tokens_of = jnp.sum(counted(tokens, model.end_token), axis=1)
    return jnp.sum(weights * losses), jnp.sum(weights * tokens_of)


def _written(
    model: Captioner, prefixes: np.ndarray, rows: int, length: int, sharding: jax.sharding.NamedSharding | None
) -> list[str]:
    """The greedy captions of prefixes (images, prefix, width), so many rows at once."""
    captions = []
    for start in range(0, len(prefixes), rows):
        part = prefixes[start : start + rows]
        batch = np.resize(part, (rows, *part.shape[1:]))  # the last one with repeats
        placed = jnp.asarray(batch) if sharding is None else jax.device_put(batch, sharding)
        tokens = generate(model.decoder, placed, end_token=model.end_token, max_tokens=length)
        captions += words_of(model.tokenizer, np.asarray(tokens)[: len(part)])
    return captions
