"""Ranks of right candidates for queries, counted in blocks so that memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RECALL_AT = (1, 5, 10)
SIMILARITIES_AT_ONCE = 2**23  # 32 MB in float32, and as much again while they are compared


@dataclass(frozen=True)
class Places:
    """Where the best right candidate of each query stands, (queries,) int each; a rule is to decide ties.

    Wrong candidates that are more similar stand above; of those exactly as similar some are wrong and some right, the
    best itself included.
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
    asking: np.ndarray,
    right: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    copies: np.ndarray | None = None,
) -> Places:
    """Finds the best right candidate of each query and counts what stands before and beside it, copies included.

    Queries (vectors, dim) and candidates (candidates, dim) are float32 of unit length. Pairs of ``asking``, sorted
    numbers of queries, each of which has one or more, and ``right``, a candidate that is right for it, stand once, with
    ``weights``, how many copies of the candidate are right for the query; all (pairs,) int. ``rows`` (queries,) int are
    the vectors of the queries, where several share one, ``copies`` (candidates,) int how often each stands there.
    """
    weights = np.ones(len(asking), int) if weights is None else weights
    rows = np.arange(len(queries)) if rows is None else rows
    # float32 is exact for whole numbers up to 16.7 million, and half the memory of the next.
    often = np.ones(len(candidates), np.float32) if copies is None else copies.astype(np.float32)
    places = Places(*np.zeros((3, len(rows)), int))
    size = max(1, SIMILARITIES_AT_ONCE // max(len(candidates), 1))
    for start in range(0, len(rows), size):
        block = slice(start, start + size)
        similarities = queries[rows[block]] @ candidates.T
        here = slice(*np.searchsorted(asking, (start, start + size)))
        query, of_pairs = asking[here] - start, similarities[asking[here] - start, right[here]]
        best = np.full(len(similarities), -np.inf, similarities.dtype)
        np.maximum.at(best, query, of_pairs)
        tied = of_pairs == best[query]
        np.add.at(places.right[block], query[tied], weights[here][tied])
        # No right one is above the best right one, so all that are above are wrong.
        places.above[block] = (similarities > best[:, None]).astype(np.float32) @ often
        places.wrong[block] = (similarities == best[:, None]).astype(np.float32) @ often - places.right[block]
    return places


def retrieval_ranks(
    image_embeddings: np.ndarray, text_embeddings: np.ndarray, caption_sets: np.ndarray
) -> dict[str, np.ndarray]:
    """The ranks from which the recall is taken that judges a training run: distinct texts, any equal caption is right.

    Every distinct text is one candidate and one query. Of equal similarities the wrong ones stand first, so a model
    that ranks alike for every query earns nothing. Papers count otherwise: see `utils.evaluation.retrieval`.

    Embeddings are (images, dim) and (distinct texts, dim) float32 of unit length; ``caption_sets`` (images, captions)
    are the numbers of each image's texts, each once, padded with negative ones. What is returned are ``image_to_text``
    (images,) and ``text_to_image`` (texts,) integers, how many wrong candidates stand before the best right one.
    """
    images, columns = np.nonzero(caption_sets >= 0)
    texts = caption_sets[images, columns]
    by_text = np.argsort(texts, kind="stable")
    places = {
        "image_to_text": find_places(image_embeddings, text_embeddings, images, texts),
        "text_to_image": find_places(text_embeddings, image_embeddings, texts[by_text], images[by_text]),
    }
    return {direction: of.above + of.wrong for direction, of in places.items()}
