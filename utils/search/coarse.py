"""The vectors once more in eight bits, which tell for certain which few of them can be the closest to a query.

One query over many vectors waits for memory: over a million of 512, for 2 GB of float32 or 0.5 GB of int8. How far off
rounding can be is known for each vector, so what is left out is not among the closest, whatever the vectors.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import ThreadpoolController

BLOCK = 1 << 15  # vectors that are rounded and multiplied at once; more would take more memory on the way
WIDEST = 1040  # numbers a vector, whose products of codes are whole numbers below 2**24, which float32 holds
_GROUPS = 64  # parts of a block; of each place in them the largest similarity is kept
_HALF = 63  # a query's codes are from -63 to 63, sent as 1 to 127: two products of bytes then fit into 16 bits
_ROUNDING = 4e-6  # more than float32 adds to all that is bounded here, for vectors and queries of unit length


class CoarseVectors:
    """Vectors (vectors, dim) float32 of unit length, each as ``center + scale * codes + rest`` with codes of int8.

    torch multiplies the codes; an ArithmeticError says that it does not do it exactly on this machine, or that the
    vectors are too wide.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        if vectors.shape[1] > WIDEST:
            raise ArithmeticError(f"products of {vectors.shape[1]} codes are not exact in float32")
        # CLIP's vectors have a few numbers that are large in all of them: less their mean, the codes are finer.
        center = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._blocks = [_Block(vectors[start : start + BLOCK] - center) for start in range(0, len(vectors), BLOCK)]
        self._threads = ThreadpoolController()  # after torch has been imported

    def candidates(self, queries: np.ndarray, k: int) -> list[np.ndarray]:
        """Numbers, rising, of all vectors that can be among the k closest to each of (queries, dim) of unit length.

        A query, too, is its codes and a rest. So by Cauchy and Schwarz its product with a vector, less that with the
        center, which is the same for all, is off by no more than the length of the vector's rest, and the length of the
        query's rest times that of the vector's scaled codes.
        """
        codes, steps, rest = _query_codes(queries.astype(np.float64))
        # Several threads would wait for each other at every block: where others work too, longer than one takes.
        with self._threads.limit(limits=1, user_api="openmp"):
            bounds = [block.bounds(codes, steps, rest) for block in self._blocks]
        found = []
        for number in range(len(queries)):
            # k similarities are certainly reached; the largest of each place's groups are k of them, or nearly.
            reached = np.concatenate([_largest_by_place(lower[number]) for lower, _ in bounds])
            least = np.partition(reached, -k)[-k] if k <= len(reached) else -np.inf
            parts = [np.flatnonzero(upper[number] >= least) + BLOCK * place for place, (_, upper) in enumerate(bounds)]
            found.append(np.concatenate(parts))
        return found


class _Block:
    """Some of the vectors less their center, (vectors, dim) float32, which are written over."""

    def __init__(self, vectors: np.ndarray) -> None:
        import torch

        self._scales = np.maximum(np.abs(vectors).max(axis=1), np.finfo(np.float32).tiny) / 127
        codes = np.zeros((len(vectors), vectors.shape[1] + 1), np.float32)  # the last one tells the codes' range
        np.rint(vectors / self._scales[:, None], out=codes[:, :-1])
        self._sums = codes.sum(axis=1)
        self._lengths = self._scales * np.linalg.norm(codes, axis=1)
        vectors -= codes[:, :-1] * self._scales[:, None]
        self._rests = np.linalg.norm(vectors, axis=1)
        weights = torch.quantize_per_tensor(torch.from_numpy(codes), 1.0, 0, torch.qint8)
        self._multiply = torch.ops.quantized.linear_dynamic
        self._weights = torch.ops.quantized.linear_prepack(weights, None)
        if not np.array_equal(self._product(np.full((1, vectors.shape[1]), _HALF))[0], _HALF * self._sums):
            raise ArithmeticError("torch's products of eight bits are not exact on this machine")

    def _product(self, codes: np.ndarray) -> np.ndarray:
        """Products of codes (rows, dim) with all vectors', (rows, vectors) float32: whole numbers, and exact."""
        import torch

        sent = np.full((len(codes), codes.shape[1] + 1), 255, np.float32)  # torch's range: 0 to 255 in steps of one
        sent[:, :-1] = codes + _HALF + 1
        return self._multiply(torch.from_numpy(sent), self._weights).numpy() - (_HALF + 1) * self._sums

    def bounds(self, codes: np.ndarray, steps: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest that each similarity can be, (queries, vectors) float32 both."""
        first, second = self._product(codes).reshape(2, len(rest), -1)
        similarities = (steps[0] * first + steps[1] * second) * self._scales
        off = rest * self._lengths + self._rests + _ROUNDING
        return similarities - off, similarities + off


def _query_codes(queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries (queries, dim) float64 in two parts, the second of what the first leaves, and what both leave.

    Codes (2 * queries, dim), steps (2, queries, 1) that they count, and lengths of the rests (queries, 1).
    """
    codes, steps, rest = [], [], queries
    for _ in range(2):
        step = (np.maximum(np.abs(rest).max(axis=1, keepdims=True), 1e-30) / _HALF).astype(np.float32)
        codes.append(np.clip(np.rint(rest / step), -_HALF, _HALF))
        steps.append(step)
        rest = rest - step.astype(np.float64) * codes[-1]
    length = np.linalg.norm(rest, axis=1, keepdims=True).astype(np.float32)
    return np.concatenate(codes), np.stack(steps), length


def _largest_by_place(values: np.ndarray) -> np.ndarray:
    """The largest of every so many values (values,), each of another value: as fast as memory is read."""
    length = len(values) // _GROUPS
    return values[: length * _GROUPS].reshape(_GROUPS, length).max(axis=0) if length else values
