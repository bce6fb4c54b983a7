"""Every figure of the course, in one look. Functions take arrays and give a matplotlib Figure.

Nothing here touches pyplot's global state: a figure is an object, `show` puts it into the notebook with its
alternative text, and that is all. Series differ by marker or line as well as by colour.
"""

from __future__ import annotations

import functools
import io
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008), which stays distinct for readers with any kind of colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
INK = "#22313F"
PALE_BLUE, PALE_GREY = "#9CCBE8", "#DCE1E6"  # behind text
DPI = 84

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E7EB",
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
}


def show(figure: Figure, alt: str, photographs: bool = False) -> None:
    """Displays a figure in the notebook with a text for those who cannot see it.

    Args:
        figure: The figure.
        alt: What it shows, in a sentence.
        photographs: Whether to store it as JPEG, which keeps pages of pictures small.
    """
    from IPython.display import display

    kind = "jpeg" if photographs else "png"
    data = _encoded(figure, kind)
    bundle = {f"image/{kind}": data, "text/plain": f"[figure] {alt}"}
    display(bundle, raw=True, metadata={f"image/{kind}": {"alt": alt}})


def _encoded(figure: Figure, kind: str) -> bytes:
    """The figure as a JPEG, or as a PNG of 256 colours, which is a third of the size and looks the same."""
    from PIL import Image

    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    picture = Image.open(drawn).convert("RGB")
    if kind == "png":
        picture.quantize(256, dither=Image.Dither.NONE).save(stored, kind, optimize=True)
    else:
        picture.save(stored, kind, quality=78, optimize=True)
    return stored.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Runs a drawing function in the course's look, without changing matplotlib's settings for others."""

    @functools.wraps(draw)
    def draw_in_style(*arguments: object, **options: object) -> Figure:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return draw_in_style


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: object) -> tuple:
    """A figure, sizes in inches, and what its ``subplots`` gives."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


@styled
def picture_grid(
    pictures: Sequence[object], titles: Sequence[str] = (), columns: int = 6, width: float = 11.0
) -> Figure:
    """Pictures in rows, each with a short title above.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        titles: One for each picture, or none.
        columns: Pictures in a row.
        width: Of the whole figure, in inches.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    figure, axes = new_figure(width, rows * (width / columns + 0.18 * lines), rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, picture in enumerate(pictures):
        axes.flat[number].imshow(np.asarray(picture))
        if titles:
            axes.flat[number].set_title(
                titles[number], fontsize=9 if columns < 9 else 8, fontweight="normal", loc="center"
            )
    return figure


@styled
def captioned_pictures(
    pictures: Sequence[object], texts: Sequence[Sequence[str]], columns: int = 2, width: float = 11.0
) -> Figure:
    """Pictures, each with its texts to the right, one below another.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        texts: For each picture its texts; long ones are wrapped.
        columns: Pictures in a row.
        width: Of the whole figure, in inches.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    picture_width = 0.36 * width / columns
    figure, axes = new_figure(
        width, rows * picture_width, rows, 2 * columns, squeeze=False, width_ratios=[0.36, 0.64] * columns
    )
    for axis in axes.flat:
        axis.set_axis_off()
    letters = int(width / columns * 0.64 * 14)
    for number, (picture, lines) in enumerate(zip(pictures, texts, strict=True)):
        left, right = axes.flat[2 * number : 2 * number + 2]
        left.imshow(np.asarray(picture))
        # A full stop that stands apart, as in RSICD's captions, must not begin a line.
        glued = (line.replace(" .", "\u00a0.") for line in lines)
        wrapped = "\n".join(textwrap.fill(line, letters, subsequent_indent="      ") for line in glued)
        right.text(0, 0.5, wrapped, va="center", fontsize=9, linespacing=1.35, parse_math=False)
    return figure


@styled
def scored_pictures(
    pictures: Sequence[object],
    titles: Sequence[str],
    names: Sequence[Sequence[str]],
    scores: Sequence[Sequence[float]],
    label: str,
    width: float = 11.0,
) -> Figure:
    """Pictures in a row, and under each a few names with their scores as lying bars, best on top.

    Args:
        pictures: Pillow pictures or arrays (height, width, 3), uint8 or float 0 to 1.
        titles: One above each picture; where a name is the title, it is bold and its bar blue.
        names: For each picture the names to show, in order.
        scores: Their scores, from 0 to 1.
        label: What the scores are.
        width: Of the whole figure, in inches.
    """
    cell = width / len(pictures)
    figure, axes = new_figure(width, cell + 2.0, 2, len(pictures), squeeze=False, height_ratios=[cell, 1.7])
    for column, picture in enumerate(pictures):
        above, below = axes[:, column]
        above.imshow(np.asarray(picture))
        above.set_axis_off()
        above.set_title(titles[column], fontsize=9, fontweight="bold", loc="center")
        places = np.arange(len(names[column]))
        right = [name == titles[column] for name in names[column]]
        colors = [PALE_BLUE if is_right else PALE_GREY for is_right in right]
        below.barh(places, scores[column], color=colors)
        for place, name in enumerate(names[column]):
            weight = "bold" if right[place] else "normal"
            below.text(0.02, place, name, va="center", fontsize=9, fontweight=weight)
        below.set_yticks([])
        below.set_xlim(0, 1)
        below.set_xticks([0, 0.5, 1])
        below.invert_yaxis()
        below.set_xlabel(label, fontsize=8)
    return figure


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
        values: What the shade means, beside the colour bar.
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
    middle = (np.nanmin(matrix) + np.nanmax(matrix)) / 2
    for (row, column), value in np.ndenumerate(matrix):
        color = "white" if value > middle else INK
        axis.text(column, row, f"{value:.{digits}f}", ha="center", va="center", color=color, fontsize=8)


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
        (own, "s", 5, GREY, "the picture's own caption"),
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


@styled
def loss_curves(
    steps: Sequence[int],
    training: Sequence[float],
    validation_steps: Sequence[int],
    validation: Sequence[float],
    chance: float | None = None,
) -> Figure:
    """Training loss at each step and validation loss at the end of each epoch.

    Args:
        steps: Of the training losses.
        training: Loss in nats.
        validation_steps: Of the validation losses.
        validation: Loss in nats.
        chance: The loss of a model that knows nothing, drawn as a line.
    """
    figure, axis = new_figure(8.0, 3.6)
    axis.plot(steps, training, color=BLUE, linewidth=1.2, label="training, each step")
    axis.plot(validation_steps, validation, color=ORANGE, marker="o", label="validation, each epoch")
    if chance is not None:
        axis.axhline(chance, color=GREY, linestyle=":", label="chance: log(batch size)")
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
        histories: By the name of the run, its rows with ``step``, ``loss`` and, at the end of an epoch,
            ``validation_loss``, in nats.
        titles: Of the two panels.
        width: In inches.
    """
    figure, axes = new_figure(width, 3.6, 1, 2, sharey=True)
    for axis, title, column in zip(axes, titles, ("loss", "validation_loss"), strict=True):
        looks = zip((GREY, BLUE, ORANGE, GREEN), (":", "--", "-", "-."), strict=True)
        for (name, history), (color, style) in zip(histories.items(), looks, strict=False):
            rows = [row for row in history if "validation_loss" in row]
            # Single batches scatter; the mean over an epoch is what compares with the validation loss.
            ends = [row["step"] for row in rows]
            starts = [0, *ends[:-1]]
            values = [row[column] for row in rows]
            if column == "loss":
                values = [
                    np.mean([row["loss"] for row in history if start < row["step"] <= end])
                    for start, end in zip(starts, ends, strict=True)
                ]
            axis.plot(ends, values, color=color, linestyle=style, linewidth=2, label=name)
        axis.set_title(title)
        axis.set_xlabel("step")
    axes[0].set_ylabel("contrastive loss (nats)")
    axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def line(x: Sequence[float], y: Sequence[float], x_label: str, y_label: str, width: float = 6.5) -> Figure:
    """One plain curve, with a mark at each point where there are few."""
    figure, axis = new_figure(width, 2.8)
    axis.plot(x, y, color=BLUE, marker="o" if len(x) < 20 else None)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    return figure


@styled
def cumulative(series: dict[str, Sequence[float]], x_label: str, y_label: str, width: float = 6.5) -> Figure:
    """For each series the share of its values that lie at or below x: steep where many are alike."""
    figure, axis = new_figure(width, 2.8)
    looks = zip((BLUE, ORANGE, GREEN, GREY), ("-", "--", "-.", ":"), strict=True)
    for (name, values), (color, style) in zip(series.items(), looks, strict=False):
        axis.ecdf(values, color=color, linestyle=style, linewidth=1.8, label=name)
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
    if len(series) > 1:
        axis.legend(loc="upper left")
    return figure


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
    looks = zip((GREY, BLUE, ORANGE, GREEN), ("", "//", "..", "xx"), strict=True)
    for number, ((name, scores), (color, hatch)) in enumerate(zip(series.items(), looks, strict=False)):
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
    colors = (GREY, BLUE, ORANGE, GREEN)
    for (name, (mean, spread)), color, marker in zip(series.items(), colors, "osD^", strict=False):
        mean, spread = np.asarray(mean), np.asarray(spread)
        axis.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0)
        axis.plot(x, mean, color=color, marker=marker, label=name)
    for (name, height), color in zip((levels or {}).items(), colors, strict=False):
        axis.axhline(height, color=color, linestyle=":", label=name)
    axis.set_xscale("log", base=2)
    axis.set_xticks(x, [f"{value:g}" for value in x])
    axis.set_xlabel(x_label)
    axis.set_ylabel(y_label)
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
def picture_with_patches(picture: object, patch_size: int) -> Figure:
    """A square picture with the grid of patches that a vision transformer cuts it into."""
    pixels = np.asarray(picture)
    figure, axis = new_figure(4.0, 4.0)
    axis.imshow(pixels)
    for edge in range(0, pixels.shape[0] + 1, patch_size):
        axis.axhline(edge - 0.5, color="white", linewidth=0.8)
        axis.axvline(edge - 0.5, color="white", linewidth=0.8)
    axis.set_axis_off()
    return figure


@styled
def reliability(curves: dict[str, tuple[Sequence[float], Sequence[float]]], width: float = 5.0) -> Figure:
    """What was said to be how probable, and how often it was true: on the diagonal a probability is honest.

    Args:
        curves: By name, mean probabilities and the shares that were true, each from 0 to 1.
        width: In inches.
    """
    figure, axis = new_figure(width, width * 0.85)
    axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="honest")
    looks = zip((BLUE, ORANGE, GREEN), ("o", "D", "s"), strict=True)
    for (name, (said, true)), (color, marker) in zip(curves.items(), looks, strict=False):
        axis.plot(said, true, color=color, marker=marker, label=name)
    axis.set_xlabel("probability that was given")
    axis.set_ylabel("share of features that were there")
    axis.legend(loc="upper left")
    return figure
