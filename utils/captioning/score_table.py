"""All scores of a captioner on one split, with intervals over images, and several of them side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, cycle

import numpy as np

from utils.captioning.scores import (
    LONGEST_NGRAM,
    TOKENIZER,
    CiderD,
    DocumentFrequency,
    Words,
    bleu,
    bleu_counts,
    caption_words,
    checked_words,
    meteor,
    rouge_l,
)
from utils.evaluation.intervals import DRAWS, Interval, bootstrap, interval_of_draws, paired_bootstrap, resampled_means

_WIDTH = 117  # characters that a cell's output has in print
_BLEU = tuple(f"BLEU-{n}" for n in range(1, LONGEST_NGRAM + 1))
_ROWS = (
    *("images", "references", *_BLEU, "ROUGE-L", "METEOR", "CIDEr-D", "CLIPScore"),
    *("distinct", "copied", "words", "empty"),
)


@dataclass(frozen=True, eq=False, repr=False)
class CaptionScores:
    """What one captioner scored on the images of a split, image for image.

    BLEU is of the sums of its counts, CIDEr-D and ROUGE-L are means over images, and so are their bootstrap draws; the
    document frequency of CIDEr-D stays that of all images in each draw.
    """

    candidates: tuple[Words, ...]  # one for each image, or of each in turn several (`against_the_rest`)
    references: tuple[tuple[Words, ...], ...]
    bleu_counts: np.ndarray  # (images, 10), as `utils.captioning.scores.bleu_counts` orders them
    rouge_l: np.ndarray  # (images,) from 0 to 1
    cider_d: np.ndarray  # (images,) from 0 to 10
    frequency: str  # whose references CIDEr-D takes the document frequency from
    meteor: float | None = None
    copied: np.ndarray | None = None  # (images,) whether the caption stands word for word in the training captions
    clip_score: np.ndarray | None = None  # (images,) from 0 to 2.5; needs no references

    @property
    def distinct(self) -> int:
        """How many different captions there are."""
        return len(set(self.candidates))

    @property
    def words(self) -> float:
        """How many words a caption has, on average."""
        return float(np.mean([len(words) for words in self.candidates]))

    @property
    def values(self) -> dict[str, float]:
        """Each score by its name, BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D, and CLIPScore where it was taken."""
        of_bleu = dict(zip(_BLEU, map(float, bleu(self.bleu_counts.sum(axis=0))), strict=True))
        return of_bleu | {name: float(per_image.mean()) for name, per_image in self._means.items()}

    @property
    def _means(self) -> dict[str, np.ndarray]:
        """The scores that are means over images."""
        means = {"ROUGE-L": self.rouge_l, "CIDEr-D": self.cider_d}
        return means if self.clip_score is None else means | {"CLIPScore": self.clip_score}

    def intervals(self, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Interval]:
        """The scores with their bootstrap intervals over images, all from the same draws."""
        values = self.values
        bleus = zip(_BLEU, self._bleu_draws(draws, seed), strict=True)
        means = self._means.items()
        return {name: interval_of_draws(values[name], found) for name, found in bleus} | {
            name: bootstrap(per_image, draws=draws, seed=seed) for name, per_image in means
        }

    def differences(self, other: CaptionScores, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Interval]:
        """What this captioner has over another one on the same images: each draw takes the same images for both.

        ValueError if images, references or the document frequency are not the same.
        """
        if self.references != other.references or self.frequency != other.frequency:
            raise ValueError(
                "The two captioners were not scored on the same references in the same order, or by another document "
                "frequency; score both with the same."
            )
        ours, theirs = self.values, other.values
        bleus = zip(_BLEU, self._bleu_draws(draws, seed) - other._bleu_draws(draws, seed), strict=True)
        shared = [name for name in self._means if name in other._means]
        return {name: interval_of_draws(ours[name] - theirs[name], found) for name, found in bleus} | {
            name: paired_bootstrap(other._means[name], self._means[name], draws=draws, seed=seed) for name in shared
        }

    def _bleu_draws(self, draws: int, seed: int) -> np.ndarray:
        """BLEU-1 to BLEU-4 of bootstrap draws, (4, draws): a BLEU of mean counts is that of their sums."""
        means = [
            resampled_means(column, draws=draws, generator=np.random.default_rng(seed)) for column in self.bleu_counts.T
        ]
        return bleu(np.stack(means, axis=1)).T

    def of_images(self, chosen: np.ndarray) -> CaptionScores:
        """The scores of some images, chosen by (images,) bool, each as it was scored among all; METEOR is left out."""
        arrays = {name: getattr(self, name) for name in ("bleu_counts", "rouge_l", "cider_d", "copied", "clip_score")}
        return replace(
            self,
            candidates=tuple(compress(self.candidates, cycle(chosen))),
            references=tuple(compress(self.references, chosen)),
            meteor=None,
            **{name: values[chosen] for name, values in arrays.items() if values is not None},
        )

    def __repr__(self) -> str:
        """The table of this captioner alone: a notebook cell shows it."""
        return caption_score_table({"captioner": self})


def score_captions(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    frequency: DocumentFrequency | None = None,
    training_captions: Iterable[str] | None = None,
    clip_score: np.ndarray | None = None,
    with_meteor: bool = False,
) -> CaptionScores:
    """Scores one caption for each image against all references of that image.

    Args:
        candidates: A caption for each image; one without words scores 0.
        references: The captions that people gave, at least one for each image.
        frequency: The document frequency of CIDEr-D; by default that of these references.
        training_captions: All captions that the captioner was trained on, to tell which of its own are copies.
        clip_score: (images,), of `clip_scores`, to stand in the same table.
        with_meteor: Also METEOR, which needs Java.

    Raises:
        ValueError: Candidates, references and CLIPScore are not of the same images, there are none of them, or an
            image has no references.
        RuntimeError: METEOR is wanted and Java is not there.
    """
    words, of = checked_words(candidates, references)
    if clip_score is not None and np.shape(clip_score) != (len(words),):
        raise ValueError(f"CLIPScore is of the shape {np.shape(clip_score)}, not of {len(words):,} images.")
    frequency = frequency or DocumentFrequency.of(of)
    known = None if training_captions is None else {caption_words(caption) for caption in training_captions}
    return CaptionScores(
        tuple(words),
        tuple(map(tuple, of)),
        bleu_counts(words, of),
        rouge_l(words, of),
        CiderD(of, frequency).per_image(words),
        frequency.source,
        meteor(words, of) if with_meteor else None,
        None if known is None else np.array([one in known for one in words]),
        None if clip_score is None else np.asarray(clip_score, float),
    )


def caption_score_table(results: Mapping[str, CaptionScores], seed: int = 0) -> str:
    """Captioners side by side, Markdown: a column for each by its name, a row for each score, with its interval.

    What does not fit beside 117 characters stands in a table below. The last lines say tokenizer, document frequency
    and intervals.
    """
    cells = {name: _cells(scores, seed) for name, scores in results.items()}
    rows = [row for row in _ROWS if any(row in of for of in cells.values())]
    first = ["", *rows]
    tables = [[first]]
    for name, of in cells.items():
        column = [name, *(of.get(row, "") for row in rows)]
        if len(tables[-1]) > 1 and len(_markdown([*tables[-1], column])[0]) > _WIDTH:
            tables.append([first])
        tables[-1].append(column)
    sources = " or ".join(dict.fromkeys(scores.frequency for scores in results.values()))
    note = (
        f"Words: {TOKENIZER}. Document frequency of CIDEr-D (0 to 10): {sources}. In brackets: 95 % of {DRAWS:,} "
        "bootstrap draws over images."
    )
    return "\n\n".join([*("\n".join(_markdown(table)) for table in tables), textwrap.fill(note, _WIDTH)])


def _cells(scores: CaptionScores, seed: int) -> dict[str, str]:
    """What stands in the rows of one captioner."""
    captions = [words for of in scores.references for words in of]
    different = sum(len(set(of)) for of in scores.references)
    cells = {
        "images": f"{len(scores.references):,}",
        "references": f"{len(captions):,}, {different:,} unique",
        **{name: str(interval) for name, interval in scores.intervals(seed=seed).items()},
        "distinct": f"{scores.distinct:,} of {len(scores.candidates):,}",
        "words": f"{scores.words:.1f} a caption",
    }
    if scores.meteor is not None:
        cells["METEOR"] = f"{scores.meteor:.3f}"
    if scores.copied is not None:
        cells["copied"] = f"{scores.copied.mean():.1%} from training"
    if empty := sum(not words for words in scores.candidates):
        cells["empty"] = f"{empty:,} of {len(scores.candidates):,}"
    return cells


def _markdown(columns: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide in print as they are drawn on a page."""
    escaped = [[cell.replace("|", "\\|") for cell in column] for column in columns]
    widths = [max(map(len, column)) for column in escaped]
    lines = [
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in zip(*escaped, strict=True)
    ]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return [f"| {line} |" for line in lines]
