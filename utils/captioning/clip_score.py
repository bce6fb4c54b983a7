"""CLIPScore: how well a caption fits its image by the judgment of a CLIP, without references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from utils.captioning.scores import caption_words
from utils.evaluation.embeddings import embed_dataset, unit_rows

if TYPE_CHECKING:
    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

WEIGHT = 2.5
PROMPT = "A photo depicts {}"  # the paper's, for all captions and references


@dataclass(frozen=True)
class ClipScores:
    """CLIPScore of each image, (images,) float64, 0 where the caption has no words; and two to judge it by."""

    own: np.ndarray  # CLIPScore
    with_references: np.ndarray | None  # RefCLIPScore; None if an image has no captions to compare with
    of_others: np.ndarray  # CLIPScore of each image with the caption before it, that of another image


def clip_scores(
    judge: CLIP, captioners_clip: CLIP, dataset: CaptionDataset, candidates: Sequence[str], *, prompt: str = PROMPT
) -> ClipScores:
    """Scores a caption for each image of a data set by a CLIP that had no part in writing it.

    A model finds its own captions good, so the judge must be another one than the captioner's: the same, loaded twice,
    is refused too. It can judge only if it gives the captions more than it gives them under other images: of RSICD's
    own captions a CLIP that learned from icons finds either equally good.

    Raises:
        ValueError: The judge is the captioner's own CLIP, there is not one caption for each image, an image cannot be
            decoded, or the prompt has no ``{}``.
    """
    from utils.clip import embed_texts, fingerprint

    if judge is captioners_clip or fingerprint(judge) == fingerprint(captioners_clip):
        raise ValueError("The judge is the CLIP that captioned; load another checkpoint to score its captions by.")
    if len(candidates) != len(dataset):
        raise ValueError(f"{len(candidates):,} captions do not fit {len(dataset):,} images; give one for each.")
    if "{}" not in prompt:
        raise ValueError(f"The prompt {prompt!r} has no {{}} where the caption goes.")
    images, decoded = embed_dataset(judge, dataset)
    if len(decoded) < len(dataset):
        raise ValueError(f"{len(dataset) - len(decoded):,} images cannot be decoded; caption dataset.decodable().")
    references = [item.captions_with_words for item in dataset]
    texts = list(dict.fromkeys([*candidates, *(text for of in references for text in of)]))
    rows = dict(zip(texts, embed_texts(judge, [prompt.format(text) for text in texts]), strict=True))
    captions = np.stack([rows[candidate] for candidate in candidates])
    with_words = np.array([bool(caption_words(candidate)) for candidate in candidates], float)
    score = with_words * clip_score(images, captions)
    of_others = np.roll(with_words, 1) * clip_score(images, np.roll(captions, 1, axis=0))
    if not all(references):
        return ClipScores(score, None, of_others)
    theirs = [np.stack([rows[text] for text in of]) for of in references]
    return ClipScores(score, ref_clip_score(score, captions, theirs), of_others)


def clip_score(images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """CLIPScore (Hessel et al. 2021): 2.5 times the cosine, at least 0, of (images, dim) and (images, dim) float64."""
    images, captions = unit_rows((images, "image"), (captions, "caption"))
    return WEIGHT * np.maximum(np.einsum("ij,ij->i", images, captions, dtype=float), 0)


def ref_clip_score(score: np.ndarray, captions: np.ndarray, references: Sequence[np.ndarray]) -> np.ndarray:
    """RefCLIPScore (Hessel et al. 2021): harmonic mean of CLIPScore and the largest cosine with a reference.

    Args:
        score: CLIPScore, (images,).
        captions: Embeddings of the captions, (images, dim).
        references: For each image those of its references, (references, dim).
    """
    nearest = np.array(
        [
            max((unit_rows((of, "reference"))[0] @ row).max(), 0.0)
            for row, of in zip(*unit_rows((captions, "caption")), references, strict=True)
        ]
    )
    total = score + nearest
    return np.divide(2 * score * nearest, total, out=np.zeros(len(total)), where=total > 0)
