"""What `make embed` has written, for the tests of one process and of a cluster."""

from pathlib import Path

import numpy as np
import pyarrow

from utils.search.shards import read_shards


def table(folder: Path) -> pyarrow.Table:
    """All rows of a finished folder."""
    return pyarrow.Table.from_batches(read_shards(folder))


def vectors(rows: pyarrow.Table) -> np.ndarray:
    """The vectors of rows that have one."""
    return np.array(rows["vector"].drop_null().to_pylist(), np.float32)


def check_equal(one: Path, other: Path) -> None:
    """Two folders hold the same rows in the same order, with vectors that differ by rounding at most."""
    first, second = table(one), table(other)
    assert first.drop_columns(["vector"]).equals(second.drop_columns(["vector"]))
    assert len(set(first["id"].to_pylist())) == len(first)
    np.testing.assert_allclose(vectors(first), vectors(second), atol=1e-6)
