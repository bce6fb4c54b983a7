"""What embeddings must be before a score is taken from them."""

import numpy as np

# Rounding to 16 bits moves a length by less than this; what is further off was never normalized.
_LENGTH_TOLERANCE = 0.02


def check_embeddings(embeddings: np.ndarray, what: str, count: int, names: str) -> None:
    """Makes sure that rows are finite vectors of unit length, so that their products are cosines.

    Args:
        embeddings: (rows, dim) of any floating type.
        what: What the rows are, for the message: "image".
        count: How many rows there must be.
        names: What is counted, for the message.

    Raises:
        ValueError: If they are not a matrix of ``count`` rows, or a row is not finite, zero, or not of unit length.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"The {what} embeddings have the shape {embeddings.shape}; give (rows, dim).")
    # A row with NaN or infinity has no finite length, so one pass over the matrix answers all three questions.
    squares = np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float32, casting="same_kind")
    lengths = np.sqrt(squares)
    for bad, trouble in (
        (~np.isfinite(lengths), "not finite numbers; the model or its input is broken"),
        (lengths == 0, "all zeros and have no direction; the model or its input is broken"),
        (np.abs(lengths - 1) > _LENGTH_TOLERANCE, "not of unit length; divide each row by its length"),
    ):
        if bad.any():
            rows = np.flatnonzero(bad)
            raise ValueError(
                f"{len(rows):,} of {len(lengths):,} {what} embeddings (the first in row {rows[0]}) are {trouble}."
            )
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


def unit_rows(embeddings: np.ndarray, what: str) -> np.ndarray:
    """Scales embeddings (rows, dim) to unit length, float32.

    Raises:
        ValueError: If they are not a matrix with at least one row, or a row is zero or not finite; it names ``what``.
    """
    from utils.clip import unit_length

    embeddings = np.asarray(embeddings, np.float32)
    if embeddings.ndim != 2 or not len(embeddings):
        raise ValueError(
            f"The {what} embeddings have the shape {embeddings.shape}; give (rows, dim), at least one row."
        )
    lengths = np.linalg.norm(embeddings, axis=1)
    broken = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(broken):
        raise ValueError(
            f"{len(broken):,} of {len(lengths):,} {what} embeddings are zero or not finite, the first in row "
            f"{broken[0]}: the model or its input is broken."
        )
    return unit_length(embeddings)
