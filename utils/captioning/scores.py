"""BLEU, ROUGE-L, CIDEr-D and METEOR of captions, counted as the field's `pycocoevalcap` counts them, without its Java.

A measure takes one candidate for each image and all references of that image, and gives what an interval can be drawn
from: a number for each image, or for BLEU, which has none, its counts. `score_captions` puts them in one table.
"""

from __future__ import annotations

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

TOKENIZER = "Penn Treebank's rules in Python, lower case, without punctuation"
LONGEST_NGRAM = 4
ROUGE_BETA = 1.2  # recall weighs 1.44 times precision
CIDER_SIGMA = 6.0  # of the penalty on a difference in length, in words
BLEU_COUNTS = 2 * LONGEST_NGRAM + 2
# Contractions are two words ("it 's", "does n't", "can not"); words with hyphens, and numbers, are one.
_TOKEN = re.compile(
    r"\w+?(?=n't\b)|n't\b|can(?=not\b)|'(?:s|re|ve|ll|d|m)\b|\d+(?:[.,]\d+)+|\w+(?:-\w+)*", re.IGNORECASE
)

Words = tuple[str, ...]


def caption_words(caption: str) -> Words:
    """The words that the scores compare: lower case, contractions in two, without punctuation.

    So does the Java tokenizer of pycocoevalcap; of RSICD's 54,605 captions 21 come out otherwise, none of them of val
    or test: brackets and signs such as # and %, which stay words there.
    """
    return tuple(_TOKEN.findall(caption.lower().replace("\u2019", "'")))


def checked_words(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[list[Words], list[list[Words]]]:
    """The words of one candidate and of all references for each image.

    A candidate without words stays, and scores 0. ValueError says what does not fit: no images, other numbers of them,
    an image without a reference that has words, or a text where a list of texts is expected.
    """
    if isinstance(candidates, str):
        raise ValueError("The candidates are one text; give a list with a caption for each image.")
    if len(candidates) != len(references):
        raise ValueError(
            f"{len(candidates):,} candidates do not fit references of {len(references):,} images; give one for each."
        )
    if not len(references):
        raise ValueError("There are no images, so there is nothing to score; give a caption for each image of a split.")
    if wrong := [number for number, of in enumerate(references) if isinstance(of, str)]:
        raise ValueError(f"The references of image {wrong[0]} are one text; give a list of texts for each image.")
    words = [[caption_words(reference) for reference in of] for of in references]
    if bare := [number for number, of in enumerate(words) if not any(of)]:
        raise ValueError(
            f"{len(bare):,} of {len(words):,} images have no reference with words, the first is image {bare[0]}; "
            "leave them out, as dataset.captioned() does."
        )
    return [caption_words(candidate) for candidate in candidates], words


def ngrams(words: Words) -> Counter[Words]:
    """How often each run of one to four words occurs."""
    lengths = range(1, LONGEST_NGRAM + 1)
    return Counter(words[start : start + n] for n in lengths for start in range(len(words) - n + 1))


def bleu_counts(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """What BLEU is made of, as sacrebleu counts it, (images, 10) int64.

    Four numbers of n-grams found in a reference, of one to four words; four of all n-grams; the number of words; and
    that of the reference closest to it in length, the shorter of two. An n-gram counts as often as the reference has
    it that has it most often, so a reference that stands there twice changes nothing.
    """
    from sacrebleu.metrics import BLEU

    scorer = BLEU(tokenize="none", force=True, effective_order=True)  # words as they are; of one image, no smoothing
    rows = []
    for candidate, of in zip(candidates, references, strict=True):
        score = scorer.sentence_score(" ".join(candidate), [" ".join(reference) for reference in of])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, np.int64).reshape(-1, BLEU_COUNTS)


def bleu(counts: np.ndarray) -> np.ndarray:
    """BLEU-1 to BLEU-4 (Papineni et al. 2002), (..., 4) float64 from 0 to 1, of counts summed over images, (..., 10).

    Nothing is smoothed: without one common n-gram, BLEU-n is 0, as sacrebleu has it too with `smooth_method="none"`.
    pycocoevalcap adds 1e-15 to what was found and 1e-9 to all, and so gives captions of three words a BLEU-4 of 0.03.
    """
    found, all_ngrams = counts[..., :LONGEST_NGRAM], counts[..., LONGEST_NGRAM : 2 * LONGEST_NGRAM]
    length, closest = counts[..., -2], counts[..., -1]
    precision = np.divide(found, all_ngrams, out=np.zeros(found.shape), where=all_ngrams > 0)
    brevity = np.exp(np.minimum(0, 1 - np.divide(closest, length, out=np.ones(length.shape), where=length > 0)))
    return np.cumprod(precision, axis=-1) ** (1 / np.arange(1, LONGEST_NGRAM + 1)) * brevity[..., None]


def rouge_l(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """ROUGE-L (Lin 2004) of each image, (images,) float64 from 0 to 1, beta 1.2.

    As in pycocoevalcap the best precision and the best recall may be of two references, so a caption can have 1.0
    that equals neither.
    """
    return np.array([_rouge_l(candidate, of) for candidate, of in zip(candidates, references, strict=True)])


def _rouge_l(candidate: Words, references: Iterable[Words]) -> float:
    common = {reference: _longest_common(candidate, reference) for reference in references}
    if not any(common.values()):
        return 0.0
    precision = max(common.values()) / len(candidate)
    recall = max(length / len(reference) for reference, length in common.items() if reference)
    return (1 + ROUGE_BETA**2) * precision * recall / (recall + ROUGE_BETA**2 * precision)


def _longest_common(first: Words, second: Words) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for position, other in enumerate(second, start=1):
            above = row[position]
            row[position] = diagonal + 1 if word == other else max(above, row[position - 1])
            diagonal = above
    return row[-1]


@dataclass(frozen=True)
class DocumentFrequency:
    """In how many images' references each n-gram occurs: what CIDEr takes for common, and so for cheap."""

    images: int
    counts: Counter[Words]
    source: str  # whose references; a CIDEr without it cannot be compared

    @classmethod
    def of(cls, references: Sequence[Sequence[Words]], source: str = "the references scored") -> DocumentFrequency:
        """Counts it; an n-gram counts once for an image, in however many references it stands."""
        counts = Counter(ngram for of in references for ngram in {ngram for words in of for ngram in ngrams(words)})
        return cls(len(references), counts, source)

    @classmethod
    def of_texts(cls, references: Sequence[Sequence[str]], source: str) -> DocumentFrequency:
        """Counts that of other references than those scored, or of more; the source names them for the table."""
        return cls.of([[caption_words(text) for text in of] for of in references], source)

    def weight(self, ngram: Words) -> float:
        """The logarithm of one over the share of images that have it, 0 for what all have."""
        return math.log(self.images / max(self.counts[ngram], 1))


class CiderD:
    """CIDEr-D (Vedantam et al. 2015) against fixed references, which are counted once for any number of candidates.

    Of each caption n-grams of one to four words are weighed by their rarity among images (`DocumentFrequency`, by
    default of these references). A candidate's score is its mean similarity with the references, over the four lengths
    of n-grams, with at most the reference's own weight counted for each n-gram and a penalty on another length (sigma
    6), times 10. It is what pycocoevalcap calls CIDEr; papers that print 0.6 for 6 are off by a factor, not by
    quality. A perfect caption has 10 only if all references are equal; one image alone has 0, for nothing is rare.
    """

    def __init__(self, references: Sequence[Sequence[Words]], frequency: DocumentFrequency | None = None) -> None:
        self.frequency = frequency or DocumentFrequency.of(references)
        self._references = [[(words, *self._weighed(words)) for words in of] for of in references]

    def per_image(self, candidates: Sequence[Words]) -> np.ndarray:
        """The score of a candidate for each image, (images,) float64 from 0 to 10; their mean is that of the split."""
        scores = np.zeros(len(self._references))
        weighed = {candidate: self._weighed(candidate) for candidate in set(candidates)}
        for number, (candidate, of) in enumerate(zip(candidates, self._references, strict=True)):
            weights, norms = weighed[candidate]
            for words, other_weights, other_norms in of:
                common = [0.0] * LONGEST_NGRAM
                for ngram, weight in weights.items():  # in their order, so that equal captions have equal bits
                    other = other_weights.get(ngram, 0.0)
                    common[len(ngram) - 1] += min(weight, other) * other
                cosines = sum(c / (n * m) for c, n, m in zip(common, norms, other_norms, strict=True) if c)
                penalty = math.exp(-((len(candidate) - len(words)) ** 2) / (2 * CIDER_SIGMA**2))
                scores[number] += 10 / LONGEST_NGRAM * penalty * cosines / len(of)
        return scores

    def _weighed(self, words: Words) -> tuple[dict[Words, float], list[float]]:
        """The weight of each n-gram, and for each length the norm of all its weights."""
        weights = {ngram: count * self.frequency.weight(ngram) for ngram, count in ngrams(words).items()}
        squares = [0.0] * LONGEST_NGRAM
        for ngram, weight in weights.items():
            squares[len(ngram) - 1] += weight**2
        return weights, [math.sqrt(square) for square in squares]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr-D of texts, from 0 to 10, document frequency from these references: a short form, as for validation."""
    words, of = checked_words(candidates, references)
    return float(CiderD(of).per_image(words).mean())


def meteor(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """METEOR 1.5 (Denkowski and Lavie 2014), from 0 to 1, by its authors' Java in pycocoevalcap, in some seconds.

    It pools the counts of all images, so it has no value for each. RuntimeError if Java or pycocoevalcap is missing.
    """
    if not (shutil.which("java") and find_spec("pycocoevalcap")):
        raise RuntimeError(
            "METEOR needs its authors' Java program: install Java and pycocoevalcap (pip install pycocoevalcap), or "
            "leave METEOR out."
        )
    from pycocoevalcap.meteor.meteor import Meteor

    theirs = {number: [" ".join(words) for words in of] for number, of in enumerate(references)}
    ours = {number: [" ".join(words)] for number, words in enumerate(candidates)}
    return float(Meteor().compute_score(theirs, ours)[0])
