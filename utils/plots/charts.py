"""Bars, histograms, matrices and curves: of data, of training, of scores. Scores and shares are from 0 to 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from utils.plots.look import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    few,
    from_to,
    legend_beside,
    new_figure,
    new_panels,
    styled,
    with_looks,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOSS = "contrastive loss (nats)"
_COLORS = (GRAY, BLUE, ORANGE, GREEN)


@styled
def count_bars(names: Sequence[str], counts: Sequence[float], label: str, width: float = 10.0) -> Figure:
    """Draws one upright bar a name, the names turned so that thirty fit."""
    figure, axis = new_figure(width, 3.2, y_label=label, x_grid=False)
    axis.bar(range(len(names)), counts, color=BLUE, width=0.75)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    figure.set_label(f"Bars of {label}: {few(names, counts)}.")
    return figure


@styled
def histogram(values: Sequence[float], label: str, counted: str) -> Figure:
    """Draws how often each whole number occurs among the values."""
    figure, axis = new_figure(6.5, 3.0, label, counted, x_grid=False)
    axis.bar(*np.unique(np.asarray(values, int), return_counts=True), color=BLUE, width=0.8)
    figure.set_label(f"Bars: how many {counted} have how many {label}, {from_to(sorted(values))}.")
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
    """Draws a matrix in shades, dark for high; with ``digits`` numbers stand in the cells, with so many decimals."""
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
    figure.set_label(
        f"A matrix with {values or 'values'} from {np.nanmin(matrix):.2f} to {np.nanmax(matrix):.2f}. "
        f"Rows: {few(row_names)}. Columns: {few(column_names)}."
    )
    return figure


@styled
def cumulative(series: dict[str, Sequence[float]], x_label: str, y_label: str) -> Figure:
    """Draws for each series the share of its values that lie at or below x: steep where many are alike."""
    figure, axis = new_figure(6.5, 2.8, x_label, y_label)
    for name, values, (color, style) in with_looks(series, (BLUE, ORANGE, GREEN, GRAY), ("-", "--", "-.", ":")):
        axis.ecdf(values, color=color, linestyle=style, linewidth=1.8, label=name)
    if len(series) > 1:
        axis.legend(loc="upper left")
    figure.set_label(
        f"Shares of {x_label} at or below each value; half of them lie below "
        + few([f"{np.median(values):.3g} ({name})" for name, values in series.items()])
    )
    return figure


@styled
def line(x: Sequence[float], y: Sequence[float], x_label: str, y_label: str) -> Figure:
    """Draws one plain curve, with a mark at each point where there are few."""
    figure, axis = new_figure(6.5, 2.8, x_label, y_label)
    axis.plot(x, y, color=BLUE, marker="o" if len(x) < 20 else None)
    figure.set_label(f"A curve of {y_label} over {x_label}: {from_to(y)}.")
    return figure


@styled
def loss_curves(
    steps: Sequence[float],
    training: Sequence[float],
    validation_steps: Sequence[float],
    validation: Sequence[float],
    chance: float | None = None,
) -> Figure:
    """Draws training and validation losses, in nats, at their steps, and the loss of a model that knows nothing.

    That of a contrastive loss is the logarithm of the batch size, ``chance``; without one it is another loss.
    """
    figure, axis = new_figure(8.0, 3.6, "step", "loss (nats)" if chance is None else _LOSS)
    axis.plot(steps, training, color=BLUE, linewidth=1.2, label="training, each step")
    axis.plot(validation_steps, validation, color=ORANGE, marker="o", label="validation")
    if chance is not None:
        axis.axhline(chance, color=GRAY, linestyle=":", label="chance: log(batch size)")
    axis.set_ylim(bottom=0)
    axis.legend()
    figure.set_label(f"Training loss runs {from_to(training)}, validation loss {from_to(validation)} nats.")
    return figure


@styled
def compared_losses(histories: dict[str, Sequence[dict[str, float]]], titles: tuple[str, str]) -> Figure:
    """Draws training losses in the left panel and validation losses in the right one, a curve a run, one scale.

    A history has rows with ``step``, ``loss`` and, where it was measured, ``validation_loss``, in nats.
    """
    figure, panels = new_panels(11.0, 3.6, 1, 2, sharey=True)
    measured = {name: [row for row in history if "validation_loss" in row] for name, history in histories.items()}
    for name, history, (color, style) in with_looks(histories, _COLORS, (":", "--", "-", "-.")):
        rows = measured[name]
        ends = [row["step"] for row in rows]
        # Single batches scatter; their mean is what compares with the validation loss.
        epochs = ([row["loss"] for row in history if start < row["step"] <= end] for start, end in pairwise([0, *ends]))
        means = [np.mean(losses) for losses in epochs]
        for axis, losses in zip(panels.flat, (means, [row["validation_loss"] for row in rows]), strict=True):
            axis.plot(ends, losses, color=color, linestyle=style, linewidth=2, label=name)
    for axis, title in zip(panels.flat, titles, strict=True):
        axis.set(title=title, xlabel="step")
    panels[0, 0].set_ylabel(_LOSS)
    legend_beside(panels[0, 1])
    figure.set_label(
        "Training and validation losses of runs, beside each other; validation runs "
        + "; ".join(f"{from_to([row['validation_loss'] for row in rows])} ({name})" for name, rows in measured.items())
    )
    return figure


@styled
def pair_marks(positives: np.ndarray) -> Figure:
    """Marks which texts, columns of (batch, batch) bool, fit which images, its rows: own pairs on the diagonal."""
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
    figure.set_label(
        f"A grid of {len(positives)} images and captions: own pairs on the diagonal, and beside it "
        f"{int((positives & ~own).sum())} more pairs that are true as well."
    )
    return figure


@styled
def score_bars(
    groups: Sequence[str],
    series: Mapping[str, Sequence[float]],
    label: str,
    bounds: Mapping[str, Sequence[tuple[float, float]]] | None = None,
) -> Figure:
    """Draws groups of bars, one bar a series, the value above each; ``bounds`` of scores are drawn as whiskers."""
    figure, axis = new_figure(8.0, 3.4, y_label=label, x_grid=False)
    places, share = np.arange(len(groups)), 0.8 / len(series)
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
    figure.set_label(
        f"Bars of {label}. " + "; ".join(f"{name}: {few(groups, scores)}" for name, scores in series.items()) + "."
    )
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
    figure.set_label(
        f"{x_label}, for each name a line from {labels[0]} to {labels[1]}; highest: {names[order[-1]]}, "
        f"{first[-1]:.2f} to {second[-1]:.2f}; lowest: {names[order[0]]}, {first[0]:.2f} to {second[0]:.2f}."
    )
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
    figure.set_label(f"{y_label} over {x_label} for {few(names)}; {names[chosen]} is chosen.")
    return figure


@styled
def curves_with_spread(
    x: Sequence[float],
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    levels: dict[str, float],
) -> Figure:
    """Draws curves over doubling numbers, means and standard deviations at each x, and levels as lines across."""
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
    figure.set_label(
        f"{y_label} over {x_label}. "
        + "; ".join(f"{name} {from_to(means)}" for name, (means, _) in series.items())
        + "".join(f"; {name} {height:.2f}" for name, height in levels.items())
    )
    return figure


@styled
def reliability(curves: dict[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Draws curves of mean probabilities and the shares that were true: on the diagonal a probability is honest."""
    figure, axis = new_figure(5.0, 4.25, "probability that was given", "share of features that were there")
    axis.plot([0, 1], [0, 1], color=GRAY, linestyle=":", label="honest")
    for name, (said, true), (color, marker, style) in with_looks(curves, _COLORS[1:], "oDs", ("-", "--", "-.")):
        axis.plot(said, true, color=color, marker=marker, linestyle=style, label=name)
    axis.legend(loc="upper left")
    figure.set_label(
        "Shares that were true over probabilities that were given: "
        + "; ".join(f"{name} {from_to(true)}" for name, (_, true) in curves.items())
    )
    return figure


@styled
def growth(
    x: Sequence[float], series: Mapping[str, Sequence[float]], x_label: str, marks: Mapping[str, float]
) -> Figure:
    """Draws seconds over numbers that grow tenfold, both axes in tens, a curve a series; times are marked by name."""
    figure, axis = new_figure(7.5, 3.8, x_label, "seconds")
    for name, values, (color, marker) in with_looks(series, _COLORS[1:], "osD"):
        axis.plot(x, values, color=color, marker=marker, label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
    for name, height in marks.items():
        axis.axhline(height, color=GRAY, linestyle=":", linewidth=1)
        axis.annotate(name, (x[0], height), xytext=(0, 3), textcoords="offset points", fontsize=8, color=INK)
    legend_beside(axis)
    figure.set_label(
        f"Seconds over {x_label}, both in tens: "
        + "; ".join(f"{name} {from_to(values)}" for name, values in series.items())
    )
    return figure


@styled
def footprint_map(scenes: Mapping[str, np.ndarray], found: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Draws outlines of scenes, (corners, 2) longitudes and latitudes, by name, and fills what was found in them."""
    figure, axis = new_figure(7.0, 5.0, "longitude", "latitude")
    for name, outline in scenes.items():
        axis.fill(*np.asarray(outline).T, facecolor="none", edgecolor=GRAY)
        axis.annotate(name, np.mean(outline, axis=0), fontsize=7, color=INK, ha="center", va="center")
        for corners in found.get(name, ()):
            axis.fill(*np.asarray(corners).T, facecolor=ORANGE, edgecolor="none", alpha=0.5)
    middle = np.mean([corner for outline in scenes.values() for corner in outline], axis=0)
    axis.set_aspect(1 / np.cos(np.radians(middle[1])))  # a degree of longitude is shorter than one of latitude
    axis.ticklabel_format(useOffset=False)
    axis.tick_params(axis="x", rotation=30)
    figure.set_label(
        f"Outlines of {len(scenes)} scenes on the Earth; something was found in "
        + (", ".join(name for name in scenes if found.get(name)) or "none of them")
        + "."
    )
    return figure


@styled
def graph_walks(
    points: np.ndarray, links: Sequence[Iterable[int]], query: np.ndarray, walks: dict[str, Sequence[int]]
) -> Figure:
    """Draws walks through one graph beside each other: its points (points, 2), links, and what a walk opens, numbered.

    A star is the query (2,), a square the point nearest to it, which a walk finds if it opens it.
    """
    figure, panels = new_panels(5.2 * len(walks), 4.8, 1, len(walks), sharex=True, sharey=True)
    nearest = int(np.argmin(np.linalg.norm(points - query, axis=1)))
    for axis, (name, opened) in zip(panels.flat, walks.items(), strict=True):
        for one, others in enumerate(links):
            for other in others:
                axis.plot(*points[[one, other]].T, color=GRAY, linewidth=0.7, alpha=0.5, zorder=1)
        axis.scatter(*points.T, color=GRAY, s=16, zorder=2)
        axis.scatter(
            *points[nearest],
            marker="s",
            facecolor="none",
            edgecolor=GREEN,
            s=260,
            linewidth=2,
            zorder=3,
            label="nearest to it",
        )
        axis.scatter(*query, marker="*", color=ORANGE, s=220, zorder=4, label="query")
        axis.scatter(*points[[*opened]].T, color=BLUE, s=150, zorder=5, label="opened, in order")
        for number, point in enumerate(opened):
            axis.text(*points[point], str(number + 1), color="white", fontsize=8, ha="center", va="center", zorder=6)
        axis.set_title(name)
        axis.set_xticks([])
        axis.set_yticks([])
    legend_beside(panels[0, -1])
    ends = (
        f"{name} opens {len(opened)} and {'finds' if nearest in opened else 'misses'} the nearest"
        for name, opened in walks.items()
    )
    figure.set_label(f"A graph of {len(points)} points and walks in it towards a query: {'; '.join(ends)}.")
    return figure
