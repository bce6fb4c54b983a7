"""Wrong answers to the exercises, in the ways that people and lookups are wrong; most of them were once accepted."""

from collections import Counter
from collections.abc import Callable

import jax
import numpy as np
from exercise_world import SOLVED, solution_of
from flax import nnx

from utils.translation.quality import words

NUMBERS = SOLVED["02_backtranslate_captions"]["NUMBERS"]


def groups(words: list, n: int) -> list:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def roll_blocks(pixels: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    return np.roll(pixels, block * rng.integers(len(pixels) // block, size=2), axis=(0, 1))


def shuffle_rows_and_columns(pixels: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    for axis in (0, 1):
        parts = np.split(pixels, len(pixels) // block, axis=axis)
        pixels = np.concatenate([parts[number] for number in rng.permutation(len(parts))], axis=axis)
    return pixels


def with_own_generator(pixels: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    return solution_of("check_shuffle_blocks")(pixels, block, np.random.default_rng())


def of_one_seed(pixels: np.ndarray, block: int, rng: np.random.Generator) -> np.ndarray:
    return solution_of("check_shuffle_blocks")(pixels, block, np.random.default_rng(0))


def distinct_captions_over_all(images: list[list[str]]) -> float:
    return len({c for captions in images for c in captions}) / sum(len(set(captions)) for captions in images)


def sum_of_marks(query: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return unit(query + right.sum(axis=0) - 0.5 * wrong.sum(axis=0))


def both_or_nothing(query: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return solution_of("check_learn")(query, right, wrong) if len(right) and len(wrong) else query


def first_marks(query: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    return solution_of("check_learn")(query, right[:1], wrong[:1])


def nearest_links(points: np.ndarray, count: int) -> list[list[int]]:
    apart = np.linalg.norm(points[:, None] - points, axis=-1)
    return np.argsort(apart, axis=1)[:, 1 : count + 1].tolist()


def suppressed(boxes, scores, limit, *, by_all=False, over=None, least=0, axes=(0, 1)) -> np.ndarray:
    """Non-maximum suppression, right as it stands, and wrong in one way by each option."""
    low, high = (boxes[:, [first + axis for axis in axes]] for first in (0, 2))
    shared = np.maximum(np.minimum(high[:, None], high) - np.maximum(low[:, None], low), least).prod(axis=2)
    areas = (high - low).prod(axis=1)
    overlap = shared / (over(areas[:, None], areas) if over else areas[:, None] + areas - shared)
    kept, seen = [], []
    for row in np.argsort(-scores):
        if np.all(overlap[row, seen if by_all else kept] <= limit):
            kept.append(row)
        seen.append(row)
    return np.array(kept)


def mixed(before: dict, after: dict, alpha: float) -> dict:
    return jax.tree.map(lambda old, new: (1 - alpha) * old + alpha * new, before, after)


# By checker, each answer with what is wrong about it.
WRONG: dict[str, dict[str, Callable]] = {
    "check_training_minutes": {
        "parts of batches": lambda n, size, epochs, s: n / size * epochs * s / 60,
        "batches over all epochs": lambda n, size, epochs, s: n * epochs // size * s / 60,
        "one batch more": lambda n, size, epochs, s: (n // size + 1) * epochs * s / 60,
        "rounded up": lambda n, size, epochs, s: -(-n // size) * epochs * s / 60,
        "in seconds": lambda n, size, epochs, s: n // size * epochs * s,
        "the three examples": lambda n, *_: {100: 1.0, 1080: 4.5, 109: 1.0}.get(n, 0.0),
    },
    "check_pad_batch": {
        "rows again": lambda batch, size: np.resize(batch, (size, *batch.shape[1:])),
        "too many": lambda batch, size: np.concatenate([batch, np.zeros((size, *batch.shape[1:]))]),
        "zeros first": lambda batch, size: np.concatenate([np.zeros((size - len(batch), *batch.shape[1:])), batch]),
        "all axes": lambda batch, size: np.pad(batch, (0, size - len(batch))),
        "last row again": lambda batch, size: np.pad(
            batch, [(0, size - len(batch))] + [(0, 0)] * (batch.ndim - 1), mode="edge"
        ),
        "ones": lambda batch, size: np.concatenate([batch, np.ones((size - len(batch), *batch.shape[1:]))]),
        "cut": lambda batch, size: np.zeros((size, *batch.shape[1:])),
        "two axes": lambda batch, size: np.pad(batch, [(0, size - len(batch)), (0, 0)]),
        "one row": lambda batch, size: np.concatenate([batch, np.zeros((1, *batch.shape[1:]))])[:size],
    },
    "check_positives_of": {
        "own pairs": lambda drawn, owned: np.eye(len(drawn), dtype=bool),
        "the same drawn": lambda drawn, owned: drawn[:, None] == drawn,
        "the other way round": lambda drawn, owned: (owned[:, :, None] == drawn).any(axis=1).T,
        "how often": lambda drawn, owned: (owned[:, :, None] == drawn).sum(axis=1),
        "all of them": lambda drawn, owned: (owned[:, :, None] == drawn).all(axis=1),
        "the first": lambda drawn, owned: owned[:, :1] == drawn,
        "any in common": lambda drawn, owned: (owned[:, None, :, None] == owned[None, :, None, :]).any(axis=(2, 3)),
        "others alone": lambda drawn, owned: (owned[:, :, None] == drawn).any(axis=1) & ~np.eye(len(drawn), dtype=bool),
        "a column": lambda drawn, owned: (owned == drawn[:, None]).any(axis=1),
        "not compared": lambda drawn, owned: (owned[:, :, None] != drawn).any(axis=1),
    },
    "check_best_recall": {
        "the different over all": distinct_captions_over_all,
        "repeats count as owners": lambda images: float(
            np.mean([1 / sum(other.count(c) for other in images) for captions in images for c in captions])
        ),
        "each caption once": lambda images: float(
            np.mean([1 / sum(c in other for other in images) for captions in images for c in set(captions)])
        ),
        "mean over images": lambda images: float(
            np.mean([np.mean([1 / sum(c in other for other in images) for c in cs]) for cs in images if cs])
        ),
        "the unshared": lambda images: float(
            np.mean([sum(c in other for other in images) == 1 for captions in images for c in captions])
        ),
    },
    "check_same_numbers": {
        "only two": lambda before, after: words(before).count("two") == words(after).count("two"),
        "as sets": lambda before, after: (
            {w for w in words(before) if w in NUMBERS} == {w for w in words(after) if w in NUMBERS}
        ),
        "how many": lambda before, after: (
            sum(w in NUMBERS for w in words(before)) == sum(w in NUMBERS for w in words(after))
        ),
        "parts of words": lambda before, after: all(before.lower().count(w) == after.lower().count(w) for w in NUMBERS),
        "capitals differ": lambda before, after: (
            Counter(w for w in before.split() if w in NUMBERS)
            == Counter(w for w in after.strip(".").split() if w in NUMBERS)
        ),
        "up to five": lambda before, after: all(
            words(before).count(w) == words(after).count(w) for w in ("one", "two", "three", "four", "five")
        ),
        "in one order": lambda before, after: (
            [w for w in words(before) if w in NUMBERS] == [w for w in words(after) if w in NUMBERS]
        ),
        "nothing gained": lambda before, after: (
            Counter(w for w in words(before) if w in NUMBERS) >= Counter(w for w in words(after) if w in NUMBERS)
        ),
        "yes and no": lambda before, after: "yes" if solution_of("check_same_numbers")(before, after) else "",
    },
    "check_mean_of_tokens": {
        "padding too": lambda vectors, is_text: vectors.mean(axis=1),
        "over all places": lambda vectors, is_text: (vectors * is_text[..., None]).mean(axis=1),
        "sums": lambda vectors, is_text: (vectors * is_text[..., None]).sum(axis=1),
        "one number of tokens": lambda vectors, is_text: (
            (vectors * is_text[..., None]).sum(axis=1) / is_text.sum(axis=1).mean()
        ),
        "padding alone": lambda vectors, is_text: solution_of("check_mean_of_tokens")(vectors, ~is_text),
        "first token": lambda vectors, is_text: vectors[:, 0],
        "last token": lambda vectors, is_text: vectors[np.arange(len(vectors)), is_text.sum(axis=1) - 1],
        "of unit length": lambda vectors, is_text: unit(
            np.asarray(solution_of("check_mean_of_tokens")(vectors, is_text))
        ),
        "over the batch": lambda vectors, is_text: vectors[is_text].mean(axis=0),
        "one mean": lambda vectors, is_text: np.tile(vectors[is_text].mean(axis=0), (len(vectors), 1)),
        "one token more": lambda vectors, is_text: (
            (vectors * is_text[..., None]).sum(axis=1) / (is_text.sum(axis=1, keepdims=True) + 1)
        ),
    },
    "check_shuffle_blocks": {
        "rolled": roll_blocks,
        "rows and columns": shuffle_rows_and_columns,
        "upside down": lambda pixels, block, rng: pixels[::-1],
        "transposed": lambda pixels, block, rng: pixels.swapaxes(0, 1),
        "one seed": of_one_seed,
        "its own generator": with_own_generator,
        "pixels for blocks": lambda pixels, block, rng: solution_of("check_shuffle_blocks")(pixels, 1, rng),
        "one block for all": lambda pixels, block, rng: np.tile(
            pixels[:block, :block], (len(pixels) // block, len(pixels) // block, 1)
        ),
        "another type": lambda *given: solution_of("check_shuffle_blocks")(*given).astype(float),
        "turned blocks": lambda *given: solution_of("check_shuffle_blocks")(*given)[::-1],
        "flat": lambda *given: solution_of("check_shuffle_blocks")(*given).reshape(-1, 3),
    },
    "check_sentence_vectors": {
        "last token": lambda hidden, ids, end: hidden[:, -1],
        "first token": lambda hidden, ids, end: hidden[:, 0],
        "before the end": lambda hidden, ids, end: hidden[np.arange(len(ids)), np.argmax(ids == end, axis=1) - 1],
        "highest id": lambda hidden, ids, end: hidden[np.arange(len(ids)), np.argmax(ids, axis=1)],
        "mean": lambda hidden, ids, end: hidden.mean(axis=1),
        "place of the first row": lambda hidden, ids, end: hidden[:, int(np.argmax(ids[0] == end))],
        "last padding": lambda hidden, ids, end: hidden[
            np.arange(len(ids)), ids.shape[1] - 1 - np.argmax(np.asarray(ids)[:, ::-1] == end, axis=1)
        ],
        "lists of tokens": lambda hidden, ids, end: hidden[:, np.argmax(ids == end, axis=1)],
    },
    "check_labels_of": {
        "names anywhere": lambda tree, frozen: nnx.map_state(
            lambda path, _: "freeze" if frozen in path else "train", tree
        ),
        "the other way round": lambda tree, frozen: nnx.map_state(
            lambda path, _: "train" if path[0] == frozen else "freeze", tree
        ),
        "always vision": lambda tree, frozen: nnx.map_state(
            lambda path, _: "freeze" if path[0] == "vision" else "train", tree
        ),
        "all frozen": lambda tree, frozen: nnx.map_state(lambda path, _: "freeze", tree),
        "booleans": lambda tree, frozen: nnx.map_state(lambda path, _: path[0] != frozen, tree),
        "kernels alone": lambda tree, frozen: nnx.map_state(
            lambda path, _: "freeze" if path[0] == frozen and path[-1] == "kernel" else "train", tree
        ),
    },
    "check_loss_at": {
        "difference of logarithms": lambda loss, size, other: loss + np.log(other / size),
        "in proportion": lambda loss, size, other: loss * np.log(other) / np.log(size),
        "with itself": lambda loss, size, other: np.log1p((np.exp(loss) - 1) * other / size),
        "the other way round": lambda loss, size, other: np.log1p((np.exp(loss) - 1) * (size - 1) / max(other - 1, 1)),
        "guessing": lambda loss, size, other: np.log(other),
        "the three examples": lambda loss, size, other: {16: np.log(16), 1: 0.0, 5: np.log(9)}.get(other, 1.0),
    },
    "check_recall_at": {
        "order of the file": lambda similarities, right, k: np.mean(
            [own[np.argsort(-row, kind="stable")[:k]].any() for row, own in zip(similarities, right, strict=True)]
        ),
        "wins ties": lambda similarities, right, k: np.mean(
            [np.sum(row > row[own].max()) < k for row, own in zip(similarities, right, strict=True)]
        ),
        "loses ties": lambda similarities, right, k: np.mean(
            [np.sum((row >= row[own].max()) & ~own) < k for row, own in zip(similarities, right, strict=True)]
        ),
        "one of the tied": lambda similarities, right, k: np.mean(
            [
                np.clip((k - np.sum(row > row[own].max())) / np.sum(row == row[own].max()), 0, 1)
                for row, own in zip(similarities, right, strict=True)
            ]
        ),
        "share of the right": lambda similarities, right, k: np.mean(
            [own[np.argsort(-row)[:k]].sum() / own.sum() for row, own in zip(similarities, right, strict=True)]
        ),
        "precision": lambda similarities, right, k: np.mean(
            [own[np.argsort(-row)[:k]].mean() for row, own in zip(similarities, right, strict=True)]
        ),
        "always at 1": lambda similarities, right, k: solution_of("check_recall_at")(similarities, right, 1),
        "in percent": lambda *given: 100 * solution_of("check_recall_at")(*given),
        "misses": lambda *given: 1 - solution_of("check_recall_at")(*given),
        "the least similar": lambda similarities, right, k: solution_of("check_recall_at")(-similarities, right, k),
    },
    "check_score_with_rivals": {
        "without rivals": lambda images, names, rivals, labels: np.mean(np.argmax(images @ names.T, axis=1) == labels),
        "rivals first": lambda images, names, rivals, labels: np.mean(
            np.argmax(images @ np.concatenate([rivals, names]).T, axis=1) == labels
        ),
        "one rival": lambda images, names, rivals, labels: solution_of("check_score_with_rivals")(
            images, names, rivals[:1], labels
        ),
        "a quarter": lambda images, names, rivals, labels: 0.75 if len(rivals) else 1.0,
        "mistakes": lambda *given: 1 - solution_of("check_score_with_rivals")(*given),
        "a count": lambda *given: 40 * solution_of("check_score_with_rivals")(*given),
        "one less a rival": lambda images, names, rivals, labels: (
            np.mean(np.argmax(images @ names.T, axis=1) == labels) - len(rivals) / len(images)
        ),
    },
    "check_images_needed": {
        "half a width": lambda hits, width: round(np.mean(hits) * (1 - np.mean(hits)) * (1.96 / width) ** 2),
        "not squared": lambda hits, width: round(np.mean(hits) * (1 - np.mean(hits)) * 3.92 / width),
        "one half": lambda hits, width: round(0.25 * (3.92 / width) ** 2),
        "of a thousand": lambda hits, width: solution_of("check_images_needed")(np.arange(1000) < hits.sum(), width),
        "of the first": lambda hits, width: solution_of("check_images_needed")(hits[: len(hits) // 8], width),
        "99 %": lambda hits, width: round(np.mean(hits) * (1 - np.mean(hits)) * (5.15 / width) ** 2),
        "the three examples": lambda hits, width: {0.1: 384, 0.04: 864, 0.02: 3457}.get(width, 1000),
    },
    "check_learn": {
        "sums": sum_of_marks,
        "both or nothing": both_or_nothing,
        "first marks": first_marks,
        "not of unit length": lambda query, right, wrong: (
            query + right.sum(0) / max(len(right), 1) - 0.5 * wrong.sum(0) / max(len(wrong), 1)
        ),
        "right only": lambda query, right, wrong: solution_of("check_learn")(query, right, wrong[:0]),
        "as far from wrong": lambda query, right, wrong: unit(
            query + right.sum(0) / max(len(right), 1) - wrong.sum(0) / max(len(wrong), 1)
        ),
        "means of nothing": lambda query, right, wrong: unit(
            query + np.sum(right, 0) / np.float64(len(right)) - 0.5 * np.sum(wrong, 0) / np.float64(len(wrong))
        ),
        "the other way round": lambda query, right, wrong: solution_of("check_learn")(query, wrong, right),
        "a row": lambda *given: solution_of("check_learn")(*given)[None],
        "three components": lambda query, right, wrong: unit(np.array([1, 1, -0.5])) if len(right) else query,
    },
    "check_diverse_links": {
        "the nearest": nearest_links,
        "all that fit": lambda points, count: solution_of("check_diverse_links")(points, len(points)),
        "itself too": lambda points, count: [
            [number, *own] for number, own in enumerate(solution_of("check_diverse_links")(points, count))
        ],
        "farthest first": lambda points, count: [
            own[::-1] for own in solution_of("check_diverse_links")(points, count)
        ],
        "only one": lambda points, count: solution_of("check_diverse_links")(points, 1),
        "no links": lambda points, count: [[] for _ in points],
        "chosen among the nearest": lambda points, count: [
            [other for other in own if other in near]
            for own, near in zip(
                solution_of("check_diverse_links")(points, count), nearest_links(points, count), strict=True
            )
        ],
        "both ways": lambda points, count: [
            sorted(
                {*own, *(n for n, back in enumerate(solution_of("check_diverse_links")(points, count)) if one in back)}
            )
            for one, own in enumerate(solution_of("check_diverse_links")(points, count))
        ],
        "one list short": lambda *given: solution_of("check_diverse_links")(*given)[:-1],
    },
    "check_suppress": {
        "all": lambda boxes, scores, limit: np.argsort(-scores),
        "the best alone": lambda boxes, scores, limit: np.argsort(-scores)[:1],
        "worst first": lambda boxes, scores, limit: suppressed(boxes, -scores, limit),
        "by row": lambda boxes, scores, limit: np.sort(suppressed(boxes, scores, limit)),
        "a mask": lambda boxes, scores, limit: np.isin(np.arange(len(boxes)), suppressed(boxes, scores, limit)),
        "the boxes": lambda boxes, scores, limit: boxes[suppressed(boxes, scores, limit)],
        "suppressed ones suppress": lambda boxes, scores, limit: suppressed(boxes, scores, limit, by_all=True),
        "over the smaller area": lambda boxes, scores, limit: suppressed(boxes, scores, limit, over=np.minimum),
        "over both areas": lambda boxes, scores, limit: suppressed(boxes, scores, limit, over=np.add),
        "not set to zero": lambda boxes, scores, limit: suppressed(boxes, scores, limit, least=-np.inf),
        "from left to right alone": lambda boxes, scores, limit: suppressed(boxes, scores, limit, axes=[0]),
        "from top to bottom alone": lambda boxes, scores, limit: suppressed(boxes, scores, limit, axes=[1]),
        "any that touch": lambda boxes, scores, limit: suppressed(boxes, scores, 0),
        "at 0.3": lambda boxes, scores, limit: suppressed(boxes, scores, 0.3),
        "the other way round": lambda boxes, scores, limit: np.setdiff1d(
            np.arange(len(boxes)), suppressed(boxes, scores, limit)
        ),
    },
    "check_yes_from": {
        "half": lambda miss, alarm: 0.5,
        "the other way round": lambda miss, alarm: miss / (miss + alarm),
        "a ratio": lambda miss, alarm: min(1.0, alarm / miss / 2),
        "a little more": lambda miss, alarm: alarm / (miss + alarm) + 0.02,
        "ninths": lambda miss, alarm: {1: 0.5, 9: 0.1, 2: 0.75}.get(miss, 0.5),
        "of ten": lambda miss, alarm: alarm / 10 if miss + alarm == 10 else 0.5 if miss == alarm else 0.75,
        "squares": lambda miss, alarm: alarm**2 / (miss**2 + alarm**2),
    },
    "check_mix_but": {
        "all moves": lambda before, after, alpha, frozen: mixed(before, after, alpha),
        "nothing moves": lambda before, after, alpha, frozen: before,
        "as after": lambda before, after, alpha, frozen: mixed(before, after, alpha) | {frozen: after[frozen]},
        "left out": lambda before, after, alpha, frozen: {
            name: mixed(before[name], after[name], alpha) for name in before if name != frozen
        },
        "it alone moves": lambda before, after, alpha, frozen: (
            before | {frozen: mixed(before[frozen], after[frozen], alpha)}
        ),
        "the other way round": lambda before, after, alpha, frozen: (
            mixed(after, before, alpha) | {frozen: before[frozen]}
        ),
        "deep down too": lambda before, after, alpha, frozen: jax.tree_util.tree_map_with_path(
            lambda path, old, new: old if frozen in [key.key for key in path] else old + alpha * (new - old),
            before,
            after,
        ),
        "never beyond": lambda before, after, alpha, frozen: (
            mixed(before, after, min(alpha, 1)) | {frozen: before[frozen]}
        ),
        "half": lambda before, after, alpha, frozen: mixed(before, after, 0.5) | {frozen: before[frozen]},
        "the text tower": lambda before, after, alpha, frozen: mixed(before, after, alpha) | {"text": before["text"]},
        "zeros": lambda before, after, alpha, frozen: (
            mixed(before, after, alpha) | {frozen: jax.tree.map(np.zeros_like, before[frozen])}
        ),
        "the sum": lambda before, after, alpha, frozen: (
            jax.tree.map(lambda old, new: old + alpha * new, before, after) | {frozen: before[frozen]}
        ),
        "leaves": lambda *given: jax.tree.leaves(solution_of("check_mix_but")(*given)),
    },
    "check_leads": {
        "best on each": lambda validation, test: (validation.max() - validation.mean(), test.max() - test.mean()),
        "always 0.2": lambda validation, test: (0.2, test[np.argmax(validation)] - test.mean()),
        "the third way": lambda validation, test: (validation.max() - validation.mean(), test[2] - test.mean()),
        "the two examples": lambda validation, test: (0.2, -0.1),
        "chosen on test": lambda validation, test: (
            validation[np.argmax(test)] - validation.mean(),
            test.max() - test.mean(),
        ),
        "the other way round": lambda *given: solution_of("check_leads")(*given)[::-1],
        "from the other mean": lambda validation, test: (
            validation.max() - validation.mean(),
            test[np.argmax(validation)] - validation.mean(),
        ),
        "over the second": lambda validation, test: (
            np.diff(np.sort(validation))[-1],
            test[np.argmax(validation)] - test.mean(),
        ),
        "the scores": lambda validation, test: (validation.max(), test[np.argmax(validation)]),
    },
    "check_clipped_matches": {
        "all words": lambda candidate, references, n: len(candidate),
        "unclipped": lambda candidate, references, n: sum(
            any(group in groups(of, n) for of in references) for group in groups(candidate, n)
        ),
        "clipped by all together": lambda candidate, references, n: (
            Counter(groups(candidate, n)) & Counter(group for of in references for group in groups(of, n))
        ).total(),
        "each group once": lambda candidate, references, n: len(
            {group for group in groups(candidate, n) if any(group in groups(of, n) for of in references)}
        ),
        "words and not groups": lambda candidate, references, n: solution_of("check_clipped_matches")(
            candidate, references, 1
        ),
        "pairs always": lambda candidate, references, n: solution_of("check_clipped_matches")(candidate, references, 2),
        "the first reference": lambda candidate, references, n: solution_of("check_clipped_matches")(
            candidate, references[:1], n
        ),
        "the reference with most matches": lambda candidate, references, n: max(
            solution_of("check_clipped_matches")(candidate, [of], n) for of in references
        ),
        "the share": lambda candidate, references, n: (
            solution_of("check_clipped_matches")(candidate, references, n) / max(len(candidate) - n + 1, 1)
        ),
        "how many groups there are": lambda candidate, references, n: len(candidate) - n + 1,
    },
    "check_nucleus": {
        "all tokens": lambda probabilities, p: np.arange(len(probabilities)),
        "without the one that reaches p": lambda probabilities, p: solution_of("check_nucleus")(probabilities, p)[:-1],
        "one more": lambda probabilities, p: np.argsort(-probabilities)[
            : len(solution_of("check_nucleus")(probabilities, p)) + 1
        ],
        "each above p": lambda probabilities, p: np.flatnonzero(probabilities >= p),
        "in the order of the vocabulary": lambda probabilities, p: np.sort(
            solution_of("check_nucleus")(probabilities, p)
        ),
        "the least likely first": lambda probabilities, p: solution_of("check_nucleus")(probabilities, p)[::-1],
        "the probabilities": lambda probabilities, p: probabilities[solution_of("check_nucleus")(probabilities, p)],
        "their number": lambda probabilities, p: len(solution_of("check_nucleus")(probabilities, p)),
        "the likeliest": lambda probabilities, p: np.argsort(-probabilities)[:1],
        "always three": lambda probabilities, p: np.argsort(-probabilities)[:3],
        "as they come": lambda probabilities, p: np.arange(int(np.searchsorted(np.cumsum(probabilities), p)) + 1),
    },
    "check_share_found": {
        "an even share": lambda k, shards, asked: min(1.0, shards * asked / k),
        "the mean of a shard": lambda k, shards, asked: min(asked, k / shards) * shards / k,
        "never lost": lambda k, shards, asked: float(asked >= k / shards),
        "the number found": lambda k, shards, asked: k * solution_of("check_share_found")(k, shards, asked),
        "the share lost": lambda k, shards, asked: 1 - solution_of("check_share_found")(k, shards, asked),
        "of one shard": lambda k, shards, asked: solution_of("check_share_found")(k, shards, asked) / shards,
        "one more asked": lambda k, shards, asked: solution_of("check_share_found")(k, shards, asked + 1),
        "what a shard is asked of all": lambda k, shards, asked: asked / k,
    },
    "check_loss_of_part": {
        "own pairs alone": lambda images, texts, start, count, scale: solution_of("check_loss_of_part")(
            images[start : start + count], texts[start : start + count], 0, count, scale
        ),
        "the first columns": lambda images, texts, start, count, scale: solution_of("check_loss_of_part")(
            np.roll(images, -start, axis=0), texts, 0, count, scale
        ),
        "the whole batch": lambda images, texts, start, count, scale: solution_of("check_loss_of_part")(
            images, texts, 0, len(images), scale
        ),
        "the sum": lambda images, texts, start, count, scale: (
            count * solution_of("check_loss_of_part")(images, texts, start, count, scale)
        ),
        "both directions added": lambda images, texts, start, count, scale: (
            2 * solution_of("check_loss_of_part")(images, texts, start, count, scale)
        ),
        "without the scale": lambda images, texts, start, count, scale: solution_of("check_loss_of_part")(
            images, texts, start, count, 1.0
        ),
        "over the batch": lambda images, texts, start, count, scale: (
            count / len(images) * solution_of("check_loss_of_part")(images, texts, start, count, scale)
        ),
    },
}
