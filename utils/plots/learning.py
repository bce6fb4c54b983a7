"""What happens in training: losses, one plain curve, and which texts of a batch fit which pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, ORANGE, new_figure, styled, told_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def line(x: Sequence[float], y: Sequence[float], x_label: str, y_label: str, width: float = 6.5) -> Figure:
    """One plain curve, with a mark at each point where there are few."""
    figure, axis = new_figure(width, 2.8)
    axis.plot(x, y, color=BLUE, marker="o" if len(x) < 20 else None)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    return figure


@styled
def loss_curves(
    steps: Sequence[int],
    training: Sequence[float],
    validation_steps: Sequence[int],
    validation: Sequence[float],
    chance: float | None = None,
) -> Figure:
    """Training loss at each step and validation loss where it was measured.

    Args:
        steps: Of the training losses.
        training: Loss in nats.
        validation_steps: Of the validation losses.
        validation: Loss in nats.
        chance: The loss of a model that knows nothing, drawn as a line.
    """
    figure, axis = new_figure(8.0, 3.6)
    axis.plot(steps, training, color=BLUE, linewidth=1.2, label="training, each step")
    axis.plot(validation_steps, validation, color=ORANGE, marker="o", label="validation")
    if chance is not None:
        axis.axhline(chance, color=GRAY, linestyle=":", label="chance: log(batch size)")
    axis.set_xlabel("step")
    axis.set_ylabel("contrastive loss (nats)")
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure


@styled
def compared_losses(
    histories: dict[str, Sequence[dict[str, float]]], titles: tuple[str, str], width: float = 11.0
) -> Figure:
    """Training losses in the left panel and validation losses in the right one, a curve a run, one scale.

    Args:
        histories: By the name of the run, its rows with ``step``, ``loss`` and, where it was measured,
            ``validation_loss``, in nats.
        titles: Of the two panels.
        width: In inches.
    """
    figure, axes = new_figure(width, 3.6, 1, 2, sharey=True)
    looks = (GRAY, BLUE, ORANGE, GREEN), (":", "--", "-", "-.")
    for name, history, color, style in told_apart(histories, *looks):
        ends, *losses = _by_validation(history)
        for axis, values in zip(axes, losses, strict=True):
            axis.plot(ends, values, color=color, linestyle=style, linewidth=2, label=name)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
        axis.set_xlabel("step")
    axes[0].set_ylabel("contrastive loss (nats)")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _by_validation(history: Sequence[dict[str, float]]) -> tuple[list[float], list[float], list[float]]:
    """The steps with a validation, the means of the training losses up to them, and the validation losses."""
    rows = [row for row in history if "validation_loss" in row]
    ends = [row["step"] for row in rows]
    # Single batches scatter; their mean is what compares with the validation loss.
    means = [
        float(np.mean([row["loss"] for row in history if start < row["step"] <= end]))
        for start, end in pairwise([0, *ends])
    ]
    return ends, means, [row["validation_loss"] for row in rows]


@styled
def pair_marks(positives: np.ndarray, width: float = 5.2) -> Figure:
    """Which texts of a batch fit which pictures: own pairs on the diagonal, chance ones beside it.

    Args:
        positives: (batch, batch) bool; row a picture, column a text.
        width: In inches.
    """
    figure, axis = new_figure(width, width)
    own = np.eye(len(positives), dtype=bool)
    for marks, marker, size, color, label in (
        (own, "s", 5, GRAY, "the picture's own caption"),
        (positives & ~own, "D", 18, ORANGE, "another picture's caption, true here too"),
    ):
        rows, columns = np.nonzero(marks)
        axis.scatter(columns, rows, s=size, marker=marker, color=color, linewidth=0, label=label)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.set_xlabel("captions of the batch")
    axis.set_ylabel("pictures of the batch")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=1, fontsize=9)
    return figure
