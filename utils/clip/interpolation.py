"""WiSE-FT: a model between the one that training began with and the one it ended with (Wortsman et al. 2022).

Fine-tuning gains on what it was shown and forgets some of the rest. On the straight line between the two sets of
weights there are often models that keep both: arXiv 2109.01903.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from utils.clip.model import CLIP

ALPHAS = tuple(number / 10 for number in range(11))


def interpolate(baseline: CLIP, finetuned: CLIP, alpha: float) -> CLIP:
    """The model whose every parameter is (1 - alpha) * baseline + alpha * finetuned, logit scale included.

    From 0, the baseline exactly, to 1, the fine-tuned model exactly. The new model has float32 parameters, and
    computes, tokenizes and preprocesses as ``finetuned`` does. Any other alpha, or models that differ in shape, are a
    ValueError.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it must be from 0, the baseline, to 1, the fine-tuned model.")
    before, after = baseline.transformers_weights(), finetuned.transformers_weights()
    one, other = ({name: array.shape for name, array in weights.items()} for weights in (before, after))
    if one != other:
        raise ValueError("Only models of one shape can be interpolated: give the two ends of one training.")
    # Of this form both ends come out exactly, where baseline + alpha * (finetuned - baseline) would round.
    weights = {name: np.float32(1 - alpha) * before[name] + np.float32(alpha) * array for name, array in after.items()}
    model = finetuned.copy()
    model.load_transformers_weights(weights)
    return model


def choose_alpha(
    baseline: CLIP, finetuned: CLIP, score: Callable[[CLIP], float], alphas: Sequence[float] = ALPHAS
) -> tuple[float, dict[float, float]]:
    """Returns the alpha with the highest score, of equals the one nearest to the baseline, and the score of each.

    The score is to be high, and is measured on validation images: never on those that the result is reported on.
    """
    curve = {alpha: float(score(interpolate(baseline, finetuned, alpha))) for alpha in sorted(alphas)}
    return max(curve, key=curve.__getitem__), curve
