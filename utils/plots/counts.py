"""How many, and how they are distributed: bars, histograms, shares, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, INK, ORANGE, new_figure, styled, told_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def count_bars(names: Sequence[str], counts: Sequence[float], label: str, width: float = 10.0) -> Figure:
    """One upright bar a name, the names turned so that thirty fit."""
    figure, axis = new_figure(width, 3.2)
    axis.bar(range(len(names)), counts, color=BLUE, width=0.75)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_ylabel(label)
    axis.grid(axis="x", visible=False)
    return figure


@styled
def histogram(values: Sequence[float], label: str, counted: str, width: float = 6.5) -> Figure:
    """How often each whole number occurs among the values."""
    figure, axis = new_figure(width, 3.0)
    numbers, counts = np.unique(np.asarray(values, int), return_counts=True)
    axis.bar(numbers, counts, color=BLUE, width=0.8)
    axis.set_xlabel(label)
    axis.set_ylabel(counted)
    axis.grid(axis="x", visible=False)
    return figure


@styled
def matrix_picture(
    matrix: np.ndarray,
    row_names: Sequence[str],
    column_names: Sequence[str],
    *,
    values: str = "",
    digits: int | None = None,
    width: float = 8.0,
) -> Figure:
    """A matrix as a picture, dark for high; with ``digits`` the numbers stand in the cells.

    Args:
        matrix: (rows, columns).
        row_names: Beside the rows.
        column_names: Below the columns.
        values: What the shade means, beside the color bar.
        digits: Decimals to print in each cell; none prints nothing.
        width: In inches.
    """
    height = max(2.2, width * len(row_names) / max(len(column_names), 1) * 0.85)
    figure, axis = new_figure(width, height)
    picture = axis.imshow(matrix, cmap="Blues", aspect="auto")
    axis.set_xticks(range(len(column_names)), column_names, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(row_names)), row_names)
    axis.grid(visible=False)
    if digits is not None:
        _print_cells(axis, matrix, digits)
    figure.colorbar(picture, ax=axis, label=values, shrink=0.8)
    return figure


def _print_cells(axis: Axes, matrix: np.ndarray, digits: int) -> None:
    low, high = np.nanmin(matrix), np.nanmax(matrix)
    for (row, column), value in np.ndenumerate(matrix):
        # On the blues below this shade ink has more contrast than white.
        color = "white" if value > low + 0.64 * (high - low) else INK
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=color, fontsize=8)


@styled
def cumulative(series: dict[str, Sequence[float]], x_label: str, y_label: str, width: float = 6.5) -> Figure:
    """For each series the share of its values that lie at or below x: steep where many are alike."""
    figure, axis = new_figure(width, 2.8)
    looks = (BLUE, ORANGE, GREEN, GRAY), ("-", "--", "-.", ":")
    for name, values, color, style in told_apart(series, *looks):
        axis.ecdf(values, color=color, linestyle=style, linewidth=1.8, label=name)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if len(series) > 1:
        axis.legend(loc="upper left")
    return figure
