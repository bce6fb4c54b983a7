"""Bars, histograms, matrices and curves: how many, how they are distributed, and what happens in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, INK, ORANGE, legend_beside, new_figure, new_panels, styled, with_looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOSS = "contrastive loss (nats)"


@styled
def count_bars(names: Sequence[str], counts: Sequence[float], label: str, width: float = 10.0) -> Figure:
    """Draws one upright bar a name, the names turned so that thirty fit."""
    figure, axis = new_figure(width, 3.2, y_label=label, x_grid=False)
    axis.bar(range(len(names)), counts, color=BLUE, width=0.75)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    return figure


@styled
def histogram(values: Sequence[float], label: str, counted: str) -> Figure:
    """Draws how often each whole number occurs among the values."""
    figure, axis = new_figure(6.5, 3.0, label, counted, x_grid=False)
    axis.bar(*np.unique(np.asarray(values, int), return_counts=True), color=BLUE, width=0.8)
    return figure


@styled
def shaded_matrix(
    matrix: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    values: str = "",
    digits: int | None = None,
    width: float = 8.0,
) -> Figure:
    """Draws a matrix (rows, columns) in shades, dark for high; the color bar says which ``values``.

    With ``digits`` the numbers stand in the cells, with so many decimals. The width is in inches.
    """
    height = max(2.2, width * len(row_names) / max(len(column_names), 1) * 0.85)
    figure, axis = new_figure(width, height)
    shades = axis.imshow(matrix, cmap="Blues", aspect="auto")
    axis.set_xticks(range(len(column_names)), column_names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(row_names)), row_names)
    axis.grid(visible=False)
    if digits is not None:
        low, high = np.nanmin(matrix), np.nanmax(matrix)
        for (row, column), value in np.ndenumerate(matrix):
            # On the blues below this shade ink has more contrast than white.
            color = "white" if value > low + 0.64 * (high - low) else INK
            axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=color, fontsize=8)
    figure.colorbar(shades, ax=axis, label=values, shrink=0.8)
    return figure


@styled
def cumulative(series: dict[str, Sequence[float]], x_label: str, y_label: str) -> Figure:
    """Draws for each series the share of its values that lie at or below x: steep where many are alike."""
    figure, axis = new_figure(6.5, 2.8, x_label, y_label)
    for name, values, (color, style) in with_looks(series, (BLUE, ORANGE, GREEN, GRAY), ("-", "--", "-.", ":")):
        axis.ecdf(values, color=color, linestyle=style, linewidth=1.8, label=name)
    if len(series) > 1:
        axis.legend(loc="upper left")
    return figure


@styled
def line(x: Sequence[float], y: Sequence[float], x_label: str, y_label: str) -> Figure:
    """Draws one plain curve, with a mark at each point where there are few."""
    figure, axis = new_figure(6.5, 2.8, x_label, y_label)
    axis.plot(x, y, color=BLUE, marker="o" if len(x) < 20 else None)
    return figure


@styled
def loss_curves(
    steps: Sequence[float],
    training: Sequence[float],
    validation_steps: Sequence[float],
    validation: Sequence[float],
    chance: float | None = None,
) -> Figure:
    """Draws training and validation losses, in nats, at their steps.

    ``chance`` is the loss of a model that knows nothing, drawn as a line.
    """
    figure, axis = new_figure(8.0, 3.6, "step", _LOSS)
    axis.plot(steps, training, color=BLUE, linewidth=1.2, label="training, each step")
    axis.plot(validation_steps, validation, color=ORANGE, marker="o", label="validation")
    if chance is not None:
        axis.axhline(chance, color=GRAY, linestyle=":", label="chance: log(batch size)")
    axis.set_ylim(bottom=0)
    axis.legend()
    return figure


@styled
def compared_losses(histories: dict[str, Sequence[dict[str, float]]], titles: tuple[str, str]) -> Figure:
    """Draws training losses in the left panel and validation losses in the right one, a curve a run, one scale.

    A history has rows with ``step``, ``loss`` and, where it was measured, ``validation_loss``, in nats.
    """
    figure, panels = new_panels(11.0, 3.6, 1, 2, sharey=True)
    looks = (GRAY, BLUE, ORANGE, GREEN), (":", "--", "-", "-.")
    for name, history, (color, style) in with_looks(histories, *looks):
        rows = [row for row in history if "validation_loss" in row]
        ends = [row["step"] for row in rows]
        # Single batches scatter; their mean is what compares with the validation loss.
        means = [
            float(np.mean([row["loss"] for row in history if start < row["step"] <= end]))
            for start, end in pairwise([0, *ends])
        ]
        for axis, losses in zip(panels.flat, (means, [row["validation_loss"] for row in rows]), strict=True):
            axis.plot(ends, losses, color=color, linestyle=style, linewidth=2, label=name)
    for axis, title in zip(panels.flat, titles, strict=True):
        axis.set_title(title)
        axis.set_xlabel("step")
    panels[0, 0].set_ylabel(_LOSS)
    legend_beside(panels[0, 1])
    return figure


@styled
def pair_marks(positives: np.ndarray) -> Figure:
    """Marks which texts of a batch fit which images: own pairs on the diagonal, chance ones beside it.

    ``positives``: (batch, batch) bool; a row for each image, a column for each text.
    """
    figure, axis = new_figure(5.2, 5.2, "captions of the batch", "images of the batch")
    own = np.eye(len(positives), dtype=bool)
    for marks, marker, size, color, label in (
        (own, "s", 5, GRAY, "the image's own caption"),
        (positives & ~own, "D", 18, ORANGE, "another image's caption, true here too"),
    ):
        rows, columns = np.nonzero(marks)
        axis.scatter(columns, rows, s=size, marker=marker, color=color, linewidth=0, label=label)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=1, fontsize=9)
    return figure
