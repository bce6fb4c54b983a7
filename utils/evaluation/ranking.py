"""Ranks of right answers among candidates, counted in blocks so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RECALL_AT = (1, 5, 10)
SIMILARITIES_AT_ONCE = 2**23  # 32 MB in float32, and as much again while they are compared


@dataclass(frozen=True)
class RightPairs:
    """Which candidates are right for which queries, each pair once.

    Attributes:
        queries: (pairs,) int, sorted; every query has at least one pair.
        candidates: (pairs,) int.
        weights: (pairs,) int, how many copies of the candidate are right for the query.
    """

    queries: np.ndarray
    candidates: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Places:
    """Where the best right answer of each query stands; ties are kept apart, for a rule to decide them.

    Attributes:
        above: (queries,) int, wrong candidates that are more similar than the best right one.
        wrong: (queries,) int, wrong candidates that are exactly as similar.
        right: (queries,) int, right candidates that are as similar, itself included.
    """

    above: np.ndarray
    wrong: np.ndarray
    right: np.ndarray

    def hit_chances(self, k: int) -> np.ndarray:
        """(queries,) float64, the chance that a right one is among the k best if ties fall at random.

        Of the places that the tied ones share, ``k - above`` are open. All of them go to wrong ones with a
        chance of C(wrong, open) / C(wrong + right, open), the hypergeometric distribution.
        """
        missed = np.ones(len(self.above))
        for place in range(k):
            drawn = place - self.above  # tied ones that stand before this place
            wrong_left, left = self.wrong - drawn, self.wrong + self.right - drawn
            missed *= np.where(drawn < 0, 1.0, np.maximum(wrong_left, 0) / np.maximum(left, 1))
        return 1.0 - missed


def find_places(
    queries: np.ndarray,
    candidates: np.ndarray,
    pairs: RightPairs,
    *,
    rows: np.ndarray | None = None,
    copies: np.ndarray | None = None,
) -> Places:
    """Finds the best right answer of each query and counts what stands before and beside it.

    Similarities of at most ``SIMILARITIES_AT_ONCE`` pairs are held at once.

    Args:
        queries: (vectors, dim) float32, of unit length.
        candidates: (candidates, dim) float32, of unit length.
        pairs: What is right, by number of the query.
        rows: (queries,) int, the vector of each query, where several queries share one; one each by default.
        copies: (candidates,) int, how often each candidate stands there; once by default.

    Returns:
        Counts of candidates, copies included.
    """
    rows = np.arange(len(queries)) if rows is None else rows
    parts = [
        _places_of_block(queries[rows[start:stop]] @ candidates.T, _pairs_between(pairs, start, stop), copies)
        for start, stop in _blocks(len(rows), len(candidates))
    ]
    empty = np.zeros(0, int)
    return Places(*(np.concatenate(counts) for counts in zip((empty, empty, empty), *parts, strict=True)))


def _blocks(queries: int, candidates: int) -> Iterator[tuple[int, int]]:
    size = max(1, SIMILARITIES_AT_ONCE // max(candidates, 1))
    for start in range(0, queries, size):
        yield start, start + size


def _pairs_between(pairs: RightPairs, start: int, stop: int) -> RightPairs:
    """The pairs of some queries, counted from the first of them."""
    first, last = np.searchsorted(pairs.queries, (start, stop))
    here = slice(first, last)
    return RightPairs(pairs.queries[here] - start, pairs.candidates[here], pairs.weights[here])


def _places_of_block(
    similarities: np.ndarray, pairs: RightPairs, copies: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three counts of `Places` for a block (queries, candidates)."""
    of_pairs = similarities[pairs.queries, pairs.candidates]
    best = np.full(len(similarities), -np.inf, similarities.dtype)
    np.maximum.at(best, pairs.queries, of_pairs)
    tied = of_pairs == best[pairs.queries]
    right = np.zeros(len(similarities), int)
    np.add.at(right, pairs.queries[tied], pairs.weights[tied])
    # No right one is above the best right one, so all that are above are wrong.
    above = _count(similarities > best[:, None], copies)
    beside = _count(similarities == best[:, None], copies)
    return above, beside - right, right


def _count(chosen: np.ndarray, copies: np.ndarray | None) -> np.ndarray:
    """How many candidates, copies included, are chosen in each row of a boolean block."""
    if copies is None:
        return np.count_nonzero(chosen, axis=1)
    # float32 is exact for whole numbers up to 16.7 million, and half the memory of the next.
    return (chosen.astype(np.float32) @ copies.astype(np.float32)).astype(int)


def best_ranks(
    queries: np.ndarray, candidates: np.ndarray, right_queries: np.ndarray, right_candidates: np.ndarray
) -> np.ndarray:
    """How many wrong candidates stand before the best right one of each query; of equal ones the wrong are first.

    Args:
        queries: (queries, dim) float32, of unit length.
        candidates: (candidates, dim) float32, of unit length.
        right_queries: (pairs,) integers, the query of each right pair, each pair once; every query has one.
        right_candidates: (pairs,) integers, its candidate.

    Returns:
        (queries,) integers, 0 for a hit at the top.
    """
    order = np.argsort(right_queries, kind="stable")
    pairs = RightPairs(right_queries[order], right_candidates[order], np.ones(len(order), int))
    places = find_places(queries, candidates, pairs)
    return places.above + places.wrong


def retrieval_ranks(
    image_embeddings: np.ndarray, text_embeddings: np.ndarray, caption_sets: np.ndarray
) -> dict[str, np.ndarray]:
    """The rank of the best right answer to each query, in both directions; arguments as `retrieval_recall`.

    Returns:
        ``image_to_text`` (images,) and ``text_to_image`` (texts,) integers, 0 for a hit at the top.
    """
    rows, columns = np.nonzero(caption_sets >= 0)
    images, texts = rows, caption_sets[rows, columns]
    return {
        "image_to_text": best_ranks(image_embeddings, text_embeddings, images, texts),
        "text_to_image": best_ranks(text_embeddings, image_embeddings, texts, images),
    }


def retrieval_recall(
    image_embeddings: np.ndarray, text_embeddings: np.ndarray, caption_sets: np.ndarray
) -> dict[str, float]:
    """Recall@k by which a training run is judged: distinct texts, and any equal caption counts as found.

    Captions repeat, within an image and between images, so every distinct text stands once among the
    candidates and asks once. A text is right for an image if it is one of the image's captions, word for word.
    Of equal similarities the wrong one stands first, so a model that gives one answer to all earns nothing. The
    figures of papers are counted otherwise: see `utils.evaluation.retrieval`.

    Args:
        image_embeddings: (images, dim) float32, of unit length.
        text_embeddings: (texts, dim) float32, of unit length, the distinct texts.
        caption_sets: (images, captions) integers, the texts of each image, padded with negative numbers.

    Returns:
        ``image_to_text_recall_at_1`` and so on, shares from 0 to 1.
    """
    ranks = retrieval_ranks(image_embeddings, text_embeddings, caption_sets)
    return {
        f"{direction}_recall_at_{k}": float(np.mean(values < k))
        for direction, values in ranks.items()
        for k in RECALL_AT
    }
