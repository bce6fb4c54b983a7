"""How good, before and after, at what price, and how honest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import BLUE, GRAY, GREEN, INK, ORANGE, new_figure, styled, told_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def score_bars(
    groups: Sequence[str],
    series: dict[str, Sequence[float]],
    label: str,
    bounds: dict[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Groups of bars, one bar a series, the value above each; scores from 0 to 1.

    Args:
        groups: Names below the groups.
        series: By name, one score a group.
        label: What the scores are.
        bounds: By the same names, the lower and upper bound of each score, drawn as a whisker.
    """
    figure, axis = new_figure(8.0, 3.4)
    places = np.arange(len(groups))
    share = 0.8 / len(series)
    looks = (GRAY, BLUE, ORANGE, GREEN), ("", "//", "..", "xx")
    for number, (name, scores, color, hatch) in enumerate(told_apart(series, *looks)):
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
    axis.set_ylabel(label)
    axis.grid(axis="x", visible=False)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
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
    """For each name a line from its score before to its score after, the highest gain, or score before, on top.

    Args:
        names: One a line.
        before: Scores from 0 to 1.
        after: Scores from 0 to 1.
        labels: What the two are called in the legend.
        x_label: Below the scores.
        sort_by_gain: Whether to sort by the gain, not by the score before and, where equal, the score after.
    """
    gain = np.asarray(after) - np.asarray(before)
    order = np.argsort(gain) if sort_by_gain else np.lexsort((after, before))
    figure, axis = new_figure(8.0, 0.24 * len(names) + 0.9)
    rows = np.arange(len(names))
    first, second = np.asarray(before)[order], np.asarray(after)[order]
    axis.hlines(rows, first, second, color="#C5CCD3", linewidth=2.5, zorder=1)
    axis.scatter(first, rows, marker="o", facecolor="white", edgecolor=INK, label=labels[0], zorder=2)
    axis.scatter(second, rows, marker="D", color=BLUE, label=labels[1], zorder=3)
    axis.set_yticks(rows, [names[number] for number in order])
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel(x_label)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def trade_off(
    x: Sequence[float], y: Sequence[float], names: Sequence[str], chosen: int, x_label: str, y_label: str
) -> Figure:
    """A road of points between two goods, each point named and one of them marked as chosen."""
    figure, axis = new_figure(6.0, 4.0)
    axis.plot(x, y, color=BLUE, marker="o", markersize=5)
    axis.plot(x[chosen], y[chosen], color=ORANGE, marker="D", markersize=11, linestyle="none", label="chosen")
    for left, up, name in zip(x, y, names, strict=True):
        axis.annotate(name, (left, up), xytext=(6, 5), textcoords="offset points", fontsize=8)
    axis.margins(0.12)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend(loc="best")
    return figure


@styled
def curves_with_spread(
    x: Sequence[float],
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    levels: dict[str, float] | None = None,
) -> Figure:
    """Curves over doubling numbers, each with a band of one standard deviation; levels to compare with.

    Args:
        x: Positive numbers, drawn on a logarithmic axis.
        series: By name, means and standard deviations at each x.
        x_label: Below.
        y_label: Beside.
        levels: By name, a height drawn as a line across.
    """
    figure, axis = new_figure(7.0, 3.6)
    colors = (GRAY, BLUE, ORANGE, GREEN)
    for name, (mean, spread), color, marker in told_apart(series, colors, "osD^"):
        mean, spread = np.asarray(mean), np.asarray(spread)
        axis.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
        axis.plot(x, mean, color=color, marker=marker, label=name)
    for name, height, color, style in told_apart(levels or {}, colors, (":", "-.", "--")):
        axis.axhline(height, color=color, linestyle=style, label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(x, [f"{value:g}" for value in x])
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def reliability(curves: dict[str, tuple[Sequence[float], Sequence[float]]], width: float = 5.0) -> Figure:
    """What was said to be how probable, and how often it was true: on the diagonal a probability is honest.

    Args:
        curves: By name, mean probabilities and the shares that were true, each from 0 to 1.
        width: In inches.
    """
    figure, axis = new_figure(width, width * 0.85)
    axis.plot([0, 1], [0, 1], color=GRAY, linestyle=":", label="honest")
    looks = ((BLUE, ORANGE, GREEN), "oDs", ("-", "--", "-."))
    for name, (said, true), color, marker, style in told_apart(curves, *looks):
        axis.plot(said, true, color=color, marker=marker, linestyle=style, label=name)
    axis.set_xlabel("probability that was given")
    axis.set_ylabel("share of features that were there")
    axis.legend(loc="upper left")
    return figure
