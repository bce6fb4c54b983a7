"""The one look of every figure, and how a figure gets into a notebook with its alternative text."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

_Arguments = ParamSpec("_Arguments")
_Series = TypeVar("_Series")

# Okabe and Ito's palette (2008), which stays distinct for readers with any kind of color vision.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
INK = "#22313F"
PALE_BLUE, PALE_GRAY = "#9CCBE8", "#DCE1E6"  # behind text
DPI = 84

STYLE: dict[RcKeyType, object] = {
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


def show(figure: Figure, alt: str = "") -> None:
    """Displays a figure in the notebook, with a sentence that says what it shows for those who cannot see it.

    By default it is the sentence of the function that drew it, the figure's label. Where images are in it, it is stored
    as JPEG, else as a PNG of 256 colors, which looks the same at a third of the size. No sentence is a ValueError.
    """
    import numpy as np
    from IPython.display import display
    from PIL import Image

    alt = alt or str(figure.get_label())
    if not alt:
        raise ValueError("The figure has no sentence that says what it shows; give it as alt.")
    photographs = any(np.asarray(image.get_array()).ndim == 3 for axis in figure.axes for image in axis.get_images())
    kind = "jpeg" if photographs else "png"
    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    image = Image.open(drawn).convert("RGB")
    if photographs:
        image.save(stored, kind, quality=78, optimize=True)
    else:
        image.quantize(256, dither=Image.Dither.NONE).save(stored, kind, optimize=True)
    bundle = {f"image/{kind}": stored.getvalue(), "text/plain": f"[figure] {alt}"}
    display(bundle, raw=True, metadata={f"image/{kind}": {"alt": alt}})


def styled(draw: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """Runs a drawing function in the course's look, without changing matplotlib's settings for others."""

    @functools.wraps(draw)
    def draw_in_style(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            figure = draw(*arguments, **options)
        told = str(figure.get_label())
        figure.set_label(told[:1].upper() + told[1:].rstrip(".") + "." if told else "")
        return figure

    return draw_in_style


def with_looks(series: Mapping[str, _Series], *looks: Sequence[str]) -> list[tuple[str, _Series, list[str]]]:
    """Gives each series its own color, line, marker and the like; ValueError if there are more series than looks."""
    if len(series) > len(looks[0]):
        raise ValueError(f"{len(series)} series were given, and {len(looks[0])} can be told apart here; draw fewer.")
    return [(name, series[name], [look[number] for look in looks]) for number, name in enumerate(series)]


def new_panels(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Returns a figure, sizes in inches, and its panels, (rows, columns), with options of `Figure.subplots`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def new_figure(
    width: float, height: float, x_label: str = "", y_label: str = "", x_grid: bool = True
) -> tuple[Figure, Axes]:
    """Returns a figure with one panel, sizes in inches, and that panel."""
    figure, panels = new_panels(width, height)
    panels[0, 0].set(xlabel=x_label, ylabel=y_label)
    panels[0, 0].grid(axis="x", visible=x_grid)
    return figure, panels[0, 0]


def legend_beside(axis: Axes) -> None:
    """Puts the legend to the right of the axes, where it hides nothing."""
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))


def few(names: Sequence[str], values: Sequence[float] = (), most: int = 8) -> str:
    """Names, with a value each if there are any, as a sentence for a figure lists them; the first few of many."""
    shown = [f" {_number(value)}" for value in values] or [""] * len(names)
    told = [" ".join(f"{name}{value}".split()) for name, value in zip(names, shown, strict=True)]
    return ", ".join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")


def from_to(values: Sequence[float]) -> str:
    """How a series runs: "from 1 to 3", and how high and low between where that is more."""
    if not len(values):
        return "empty"
    first, last, low, high = values[0], values[-1], min(values), max(values)
    ends = f"from {_number(first)} to {_number(last)}"
    return ends if {low, high} <= {first, last} else f"{ends}, between {_number(low)} and {_number(high)}"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:.3g}"
