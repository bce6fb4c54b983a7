"""A data set's images as embeddings, without those that turn out not to decode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import jax

    from utils.clip import CLIP
    from utils.datasets import CaptionDataset


def embed_dataset(
    model: CLIP,
    dataset: CaptionDataset,
    *,
    batch_size: int = 64,
    workers: int = 2,
    sharding: jax.sharding.NamedSharding | None = None,
) -> tuple[np.ndarray, CaptionDataset]:
    """Embeds the images of a data set, and says which these are.

    What is broken in the middle of a file, where loading does not look, is left out with a warning that names it.

    With a cache (`CaptionDataset.with_cache`) several models share what was decoded. ``sharding`` spreads batches over
    the devices; by default they go to the first.

    Returns:
        (readable, dim) float32 of unit length, and the data set of the images that the rows belong to: the one given,
        if all can be read.

    Raises:
        DatasetError: If there are images and not one can be decoded.
    """
    import jax

    from utils.clip import embed_images
    from utils.datasets import eval_batches

    unreadable: dict[int, str] = {}
    batches = eval_batches(dataset, model.preprocessing, batch_size=batch_size, workers=workers, unreadable=unreadable)
    if sharding is not None:
        batches = ({**batch, "images": jax.device_put(batch["images"], sharding)} for batch in batches)
    return embed_images(model, batches), dataset.without_unreadable(unreadable)
