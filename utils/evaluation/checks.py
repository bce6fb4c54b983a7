"""What embeddings must be before a score is taken from them."""

import numpy as np

# Rounding to 16 bits moves a length by less than this; what is further off was never normalized.
_LENGTH_TOLERANCE = 0.02


def _refuse(bad: np.ndarray, what: str, trouble: str) -> None:
    """Raises ValueError if any of the rows is bad."""
    if bad.any():
        raise ValueError(
            f"{bad.sum():,} of {len(bad):,} {what} embeddings (the first in row {bad.argmax()}) are {trouble}."
        )


def lengths_of(embeddings: np.ndarray, what: str) -> np.ndarray:
    """The lengths (rows,) float32 of embeddings (rows, dim) of any floating type, in one pass.

    Raises:
        ValueError: If they are not a matrix with at least one row, or a row is zero or not finite; it names ``what``.
    """
    if embeddings.ndim != 2 or not len(embeddings):
        raise ValueError(
            f"The {what} embeddings have the shape {embeddings.shape}; give (rows, dim), at least one row."
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float32, casting="same_kind"))
    _refuse(~(np.isfinite(lengths) & (lengths > 0)), what, "zero or not finite: the model or its input is broken")
    return lengths


def check_embeddings(embeddings: np.ndarray, what: str, count: int, names: str) -> None:
    """Makes sure that there are ``count`` rows of unit length, one for each of ``names``, so that products are cosines.

    Raises:
        ValueError: If not, or as `lengths_of`.
    """
    far = np.abs(lengths_of(embeddings, what) - 1) > _LENGTH_TOLERANCE
    _refuse(far, what, "not of unit length; divide each row by its length")
    if len(embeddings) != count:
        raise ValueError(f"{len(embeddings):,} {what} embeddings do not fit {count:,} {names}; give one for each.")


def check_same_size(*parts: tuple[np.ndarray, str]) -> None:
    """Makes sure that embeddings, each (rows, dim) with what they are of, come from one space.

    Raises:
        ValueError: If their dimensions differ.
    """
    if len({rows.shape[1] for rows, _ in parts}) > 1:
        sizes = " and ".join(f"{rows.shape[1]} ({what})" for rows, what in parts)
        raise ValueError(
            f"The embeddings have {sizes} dimensions and do not fit together: embed all with the same model."
        )


def unit_rows(*parts: tuple[np.ndarray, str]) -> list[np.ndarray]:
    """Scales embeddings, each (rows, dim) with what they are of, to unit length, float32; errors as above."""
    from utils.clip import unit_length

    rows = [np.asarray(embeddings, np.float32) for embeddings, _ in parts]
    for own, (_, what) in zip(rows, parts, strict=True):
        lengths_of(own, what)
    check_same_size(*zip(rows, (what for _, what in parts), strict=True))
    return [unit_length(own) for own in rows]
