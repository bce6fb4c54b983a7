"""Embeddings: those of a data set's images, and what any must be before a score is taken from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import jax

    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

# Rounding to 16 bits moves a length by less than this; what is further off was never normalized.
_LENGTH_TOLERANCE = 0.02


def embed_dataset(
    model: CLIP,
    dataset: CaptionDataset,
    *,
    batch_size: int = 64,
    workers: int = 2,
    sharding: jax.sharding.NamedSharding | None = None,
) -> tuple[np.ndarray, CaptionDataset]:
    """Embeds the images of a data set that can be decoded, and returns these beside (images, dim) float32 unit vectors.

    What is broken in the middle of a file, where loading does not look, is left out with a warning that names it;
    DatasetError if nothing else is left. With a cache (`CaptionDataset.with_cache`) several models share what was
    decoded. ``sharding`` spreads batches over the devices; by default they go to the first.
    """
    import jax

    from utils.clip import embed_images
    from utils.datasets import eval_batches

    unreadable: dict[int, str] = {}
    batches = eval_batches(dataset, model.preprocessing, batch_size=batch_size, workers=workers, unreadable=unreadable)
    if sharding is not None:
        batches = ({**batch, "images": jax.device_put(batch["images"], sharding)} for batch in batches)
    return embed_images(model, batches), dataset.without_unreadable(unreadable)


def check_unit_length(*parts: tuple[np.ndarray, str, int, str]) -> None:
    """Makes sure that products of embeddings are cosines: each part is a matrix, what it is of, and how many of what.

    A ValueError says that one has another number of rows, or a row of another length than 1, or as `unit_rows`.
    """
    for (rows, what, count, names), lengths in zip(parts, _lengths(*(part[:2] for part in parts)), strict=True):
        _refuse(np.abs(lengths - 1) > _LENGTH_TOLERANCE, what, "not of unit length; divide each row by its length")
        if len(rows) != count:
            raise ValueError(f"{len(rows):,} {what} embeddings do not fit {count:,} {names}; give one for each.")


def unit_rows(*parts: tuple[np.ndarray, str]) -> list[np.ndarray]:
    """Scales embeddings of one space, each (rows, dim) with what they are of, to unit length, float32.

    A ValueError says that one is not a matrix with a row, a row is zero or not finite, or dimensions differ.
    """
    from utils.clip import unit_length

    rows = [np.asarray(embeddings, np.float32) for embeddings, _ in parts]
    _lengths(*zip(rows, (what for _, what in parts), strict=True))
    return [unit_length(own) for own in rows]


def _lengths(*parts: tuple[np.ndarray, str]) -> list[np.ndarray]:
    """The lengths (rows,) float32 of embeddings of any floating type, in one pass."""
    lengths = []
    for rows, what in parts:
        if rows.ndim != 2 or not len(rows):
            raise ValueError(f"The {what} embeddings have the shape {rows.shape}; give (rows, dim), at least one row.")
        own = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float32, casting="same_kind"))
        _refuse(~(np.isfinite(own) & (own > 0)), what, "zero or not finite: the model or its input is broken")
        lengths.append(own)
    if len({rows.shape[1] for rows, _ in parts}) > 1:
        sizes = " and ".join(f"{rows.shape[1]} ({what})" for rows, what in parts)
        raise ValueError(
            f"The embeddings have {sizes} dimensions and do not fit together: embed all with the same model."
        )
    return lengths


def _refuse(bad: np.ndarray, what: str, trouble: str) -> None:
    """Raises ValueError if any of the rows is bad."""
    if bad.any():
        raise ValueError(
            f"{bad.sum():,} of {len(bad):,} {what} embeddings (the first in row {bad.argmax()}) are {trouble}."
        )
