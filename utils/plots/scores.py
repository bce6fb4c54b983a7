"""How good, before and after, at what price, and how honest. Scores and shares are numbers from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, INK, ORANGE, legend_beside, new_figure, styled, with_looks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = (GRAY, BLUE, ORANGE, GREEN)


@styled
def score_bars(
    groups: Sequence[str],
    series: dict[str, Sequence[float]],
    label: str,
    bounds: dict[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Draws groups of bars, one bar a series, the value above each.

    ``bounds`` are the lower and upper bound of each score, by the same names, drawn as a whisker.
    """
    figure, axis = new_figure(8.0, 3.4, y_label=label, x_grid=False)
    places = np.arange(len(groups))
    share = 0.8 / len(series)
    for number, (name, scores, (color, hatch)) in enumerate(with_looks(series, _COLORS, ("", "//", "..", "xx"))):
        at = places + (number - (len(series) - 1) / 2) * share
        axis.bar(at, scores, share * 0.92, color=color, hatch=hatch, edgecolor="white", label=name)
        if bounds:
            reach = np.abs(np.transpose(bounds[name]) - scores)
            axis.errorbar(at, scores, reach, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        tops = [high for _, high in bounds[name]] if bounds else scores
        for x, score, top in zip(at, scores, tops, strict=True):
            axis.text(x, top + 0.015, f"{score:.2f}", ha="center", va="bottom", fontsize=8)
    axis.set_xticks(places, groups)
    axis.set_ylim(0, 1.08)
    legend_beside(axis)
    return figure


@styled
def before_and_after(
    names: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    labels: tuple[str, str],
    x_label: str,
    *,
    sort_by_gain: bool = True,
) -> Figure:
    """Draws for each name a line from its score before to its score after; the legend has the two ``labels``.

    The highest gain stands on top, or else the highest score before and, where equal, after.
    """
    first, second = np.asarray(before), np.asarray(after)
    order = np.argsort(second - first) if sort_by_gain else np.lexsort((second, first))
    first, second = first[order], second[order]
    figure, axis = new_figure(8.0, 0.24 * len(names) + 0.9, x_label)
    rows = np.arange(len(names))
    axis.hlines(rows, first, second, color="#C5CCD3", linewidth=2.5, zorder=1)
    axis.scatter(first, rows, marker="o", facecolor="white", edgecolor=INK, label=labels[0], zorder=2)
    axis.scatter(second, rows, marker="D", color=BLUE, label=labels[1], zorder=3)
    axis.set_yticks(rows, [names[number] for number in order])
    axis.set_xlim(-0.03, 1.03)
    legend_beside(axis)
    return figure


@styled
def trade_off(
    x: Sequence[float], y: Sequence[float], names: Sequence[str], chosen: int, x_label: str, y_label: str
) -> Figure:
    """Draws points between two goods, joined by a line, each named and the one at ``chosen`` marked."""
    figure, axis = new_figure(6.0, 4.0, x_label, y_label)
    axis.plot(x, y, color=BLUE, marker="o", markersize=5)
    axis.plot(x[chosen], y[chosen], color=ORANGE, marker="D", markersize=11, linestyle="none", label="chosen")
    for left, up, name in zip(x, y, names, strict=True):
        axis.annotate(name, (left, up), xytext=(6, 5), textcoords="offset points", fontsize=8)
    axis.margins(0.12)
    axis.legend(loc="best")
    return figure


@styled
def curves_with_spread(
    x: Sequence[float],
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    levels: dict[str, float],
) -> Figure:
    """Draws curves over doubling numbers, each with a band of one standard deviation, and levels to compare with.

    A series has its means and standard deviations at each x, a level is a height drawn as a line across.
    """
    figure, axis = new_figure(7.0, 3.6, x_label, y_label)
    for name, (means, spreads), (color, marker) in with_looks(series, _COLORS, "osD^"):
        mean, spread = np.asarray(means), np.asarray(spreads)
        axis.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
        axis.plot(x, mean, color=color, marker=marker, label=name)
    for name, height, (color, style) in with_looks(levels, _COLORS[:3], (":", "-.", "--")):
        axis.axhline(height, color=color, linestyle=style, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(x, [f"{value:g}" for value in x])
    legend_beside(axis)
    return figure


@styled
def reliability(curves: dict[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draws how often what was given a probability was true: on the diagonal a probability is honest.

    A curve has mean probabilities and the shares that were true.
    """
    figure, axis = new_figure(5.0, 4.25, "probability that was given", "share of features that were there")
    axis.plot([0, 1], [0, 1], color=GRAY, linestyle=":", label="honest")
    for name, (said, true), (color, marker, style) in with_looks(curves, _COLORS[1:], "oDs", ("-", "--", "-.")):
        axis.plot(said, true, color=color, marker=marker, linestyle=style, label=name)
    axis.legend(loc="upper left")
    return figure
