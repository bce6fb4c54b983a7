"""How many, and how they are distributed: bars, histograms, shares, matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, INK, ORANGE, new_figure, styled, told_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def count_bars(names: Sequence[str], counts: Sequence[float], label: str, width: float = 10.0) -> Figure:
    """Draws one upright bar a name, the names turned so that thirty fit."""
    figure, axis = new_figure(width, 3.2, y_label=label, grid="y")
    axis.bar(range(len(names)), counts, color=BLUE, width=0.75)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    return figure


@styled
def histogram(values: Sequence[float], label: str, counted: str) -> Figure:
    """Draws how often each whole number occurs among the values."""
    figure, axis = new_figure(6.5, 3.0, label, counted, grid="y")
    axis.bar(*np.unique(np.asarray(values, int), return_counts=True), color=BLUE, width=0.8)
    return figure


@styled
def heat_map(
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
    for name, values, (color, style) in told_apart(series, (BLUE, ORANGE, GREEN, GRAY), ("-", "--", "-.", ":")):
        axis.ecdf(values, color=color, linestyle=style, linewidth=1.8, label=name)
    if len(series) > 1:
        axis.legend(loc="upper left")
    return figure
