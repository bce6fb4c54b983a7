"""The one look of every figure, and how a figure gets into a notebook with its alternative text."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette (2008), which stays distinct for readers with any kind of color vision.
BLUE, ORANGE, GREEN, GRAY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
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
    """The figure as a JPEG, or as a PNG of 256 colors, which is a third of the size and looks the same."""
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


def told_apart(series: Mapping[str, Any], *looks: Sequence[str]) -> list[tuple]:
    """Gives each series looks of its own.

    Args:
        series: By name.
        looks: Colors, lines, markers and the like, equally many of each.

    Returns:
        For each series its name, what it is, and one of each of the looks.

    Raises:
        ValueError: If there are more series than looks.
    """
    if len(series) > len(looks[0]):
        raise ValueError(
            f"{len(series)} series were given, and {len(looks[0])} can be told apart in this figure; draw fewer of "
            "them, or several figures."
        )
    return [(*item, *own) for item, own in zip(series.items(), zip(*looks, strict=True), strict=False)]


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: object) -> tuple:
    """A figure, sizes in inches, and what its ``subplots`` gives."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)
