"""What captions score that nobody wrote for their image, and how references that repeat move the scores.

The baselines need captions, and embeddings of any model, alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from utils.captioning.score_table import CaptionScores, score_captions
from utils.captioning.scores import CiderD, DocumentFrequency, Words, caption_words, checked_words
from utils.evaluation.embeddings import unit_rows
from utils.progress import progress_bar

_QUERIES_AT_ONCE = 1024  # rows of similarities held at once


def commonest_captions(captions: Sequence[Sequence[str]], most: int = 1) -> list[str]:
    """The captions that stand under the most images, the commonest first; of equals the first one.

    Captions are those of each training image. One that an image has five times counts once: RSICD repeats captions to
    have five, so counting each says how short of captions an image was. ValueError if no caption has words.
    """
    images: Counter[Words] = Counter()
    texts: dict[Words, str] = {}
    for of in captions:
        own = dict.fromkeys(map(caption_words, of))  # in order, unlike a set, so that equals are the same in each run
        images.update(words for words in own if words)
        for caption in of:
            texts.setdefault(caption_words(caption), caption)
    if not images:
        raise ValueError("No training caption has words, so there is no commonest one; give each image's captions.")
    return [texts[words] for words, _ in images.most_common(most)]


def best_single_caption(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], most: int = 30
) -> tuple[str, float]:
    """The one caption that does best under every image, with its CIDEr-D: among the commonest of the training captions.

    The references are those of val: chosen on test, the caption would know what it is scored by. It takes 0.1 s a
    caption on RSICD. Errors are those of `commonest_captions` and `score_captions`.
    """
    tried = commonest_captions(captions, most)
    measure = CiderD(checked_words([""] * len(references), references)[1])
    scores = [
        measure.per_image([caption_words(caption)] * len(references)).mean()
        for caption in progress_bar(tried, desc="Captions", unit="caption")
    ]
    best = int(np.argmax(scores))
    return tried[best], float(scores[best])


def nearest_captions(
    training_embeddings: np.ndarray, training_captions: Sequence[Sequence[str]], embeddings: np.ndarray
) -> list[str]:
    """For each image a caption of the training image that is most similar to it, by embeddings of one model.

    Embeddings are (training images, dim) and (images, dim) of any length. Of the neighbor's captions it is the one
    that it has most often; of equals, and among equally similar neighbors, the first. ValueError if embeddings do not
    fit, or as `unit_rows`.
    """
    training, queries = unit_rows((training_embeddings, "training image"), (embeddings, "image"))
    if len(training) != len(training_captions):
        raise ValueError(
            f"{len(training):,} training embeddings do not fit the captions of {len(training_captions):,} images; give "
            "both of the same images."
        )
    starts = range(0, len(queries), _QUERIES_AT_ONCE)
    nearest = [(queries[start : start + _QUERIES_AT_ONCE] @ training.T).argmax(axis=1) for start in starts]
    lent = (training_captions[number] for number in np.concatenate(nearest).tolist())
    return [commonest_captions([[caption] for caption in of])[0] for of in lent]


def against_the_rest(
    references: Sequence[Sequence[str]],
    candidates: Sequence[str] | None = None,
    *,
    all_different: bool = True,
    frequency: DocumentFrequency | None = None,
) -> CaptionScores:
    """How well people agree: each reference of an image against its others, in turn, and the mean over turns.

    Given candidates stand in people's place and are compared with the same references in turn: those of five give
    less to hit than all. Scored are the images with two references or more, by default all different, since one that
    repeats meets itself. The document frequency is by default that of all references, of images left out too.
    ValueError if there is no such image, or as `score_captions`.
    """
    words = checked_words([""] * len(references) if candidates is None else candidates, references)[1]
    chosen = [number for number, of in enumerate(words) if _can_be_compared(of, all_different)]
    if not chosen:
        different = ", all different" if all_different else ""
        raise ValueError(f"No image has two references with words or more{different}, so people cannot be compared.")
    frequency = frequency or DocumentFrequency.of(words, "all references of the split")
    turns = []
    for turn in range(max(len(references[number]) for number in chosen)):
        rest = [list(references[number]) for number in chosen]
        people = [of.pop(turn % len(of)) for of in rest]
        ours = people if candidates is None else [candidates[number] for number in chosen]
        turns.append(score_captions(ours, rest, frequency=frequency))
    return replace(
        turns[0],
        candidates=tuple(words for turn in turns for words in turn.candidates),
        bleu_counts=np.sum([turn.bleu_counts for turn in turns], axis=0),
        rouge_l=np.mean([turn.rouge_l for turn in turns], axis=0),
        cider_d=np.mean([turn.cider_d for turn in turns], axis=0),
    )


def _can_be_compared(references: Sequence[Words], all_different: bool) -> bool:
    return len(references) > 1 and all(references) and not (all_different and len(set(references)) < len(references))


def by_repeated_references(
    candidates: Sequence[str], references: Sequence[Sequence[str]], frequency: DocumentFrequency | None = None
) -> dict[str, CaptionScores]:
    """What repeated references do to the scores: the same captions, scored in four ways.

    "as published"; "each reference once", of all images; and of the scores as published those of the images
    "without repeats" and "with repeats", if there are such. The document frequency is one for all; an n-gram counts
    once for an image, so repeats do not change it.
    """
    _, words = checked_words(candidates, references)
    frequency = frequency or DocumentFrequency.of(words)
    once = [list({caption_words(text): text for text in of}.values()) for of in references]
    published = score_captions(candidates, references, frequency=frequency)
    results = {"as published": published, "each reference once": score_captions(candidates, once, frequency=frequency)}
    repeated = np.array([len(set(of)) < len(of) for of in words])
    for name, chosen in (("without repeats", ~repeated), ("with repeats", repeated)):
        if chosen.any():
            results[name] = published.of_images(chosen)
    return results
