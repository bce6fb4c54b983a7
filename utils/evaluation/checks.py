"""What every score asks of embeddings before it trusts them."""

import numpy as np

# Rounding to 16 bits moves a length by less than this; what is further off was never normalized.
_LENGTH_TOLERANCE = 0.02


def check_embeddings(embeddings: np.ndarray, what: str) -> None:
    """Makes sure that rows are finite vectors of unit length, so that their products are cosines.

    Args:
        embeddings: (rows, dim) of any floating type.
        what: What the rows are, for the message: "image".

    Raises:
        ValueError: If they are no matrix, or a row is not finite, all zeros, or not of unit length.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"The {what} embeddings have the shape {embeddings.shape}; give (rows, dim).")
    # A row with NaN or infinity has no finite length, so one pass over the matrix answers all three questions.
    squares = np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float32, casting="same_kind")
    lengths = np.sqrt(squares)
    for bad, trouble in (
        (~np.isfinite(lengths), "not finite numbers; the model or its input is broken"),
        (lengths == 0, "all zeros and point nowhere; the model or its input is broken"),
        (np.abs(lengths - 1) > _LENGTH_TOLERANCE, "not of unit length; divide each row by its length"),
    ):
        if bad.any():
            rows = np.flatnonzero(bad)
            raise ValueError(
                f"{len(rows):,} of {len(lengths):,} {what} embeddings (the first in row {rows[0]}) are {trouble}."
            )


def check_same_size(first: np.ndarray, what: str, second: np.ndarray, other: str) -> None:
    """Makes sure that two sets of embeddings come from one space.

    Raises:
        ValueError: If their dimensions differ; arguments as in `check_embeddings`.
    """
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"The {what} embeddings have {first.shape[1]} dimensions and the {other} embeddings "
            f"{second.shape[1]}: they do not fit together; embed both with the same model."
        )
