"""Every figure of the course, in one look. Functions take arrays and give a matplotlib Figure.

Nothing here touches pyplot's global state: a figure is an object, `show` puts it into the notebook with its
alternative text, and that is all. Series differ by marker or line as well as by color.
"""

from utils.plots.counts import count_bars, cumulative, histogram, matrix_picture
from utils.plots.learning import compared_losses, line, loss_curves, pair_marks
from utils.plots.look import new_figure, show, styled
from utils.plots.pictures import captioned_pictures, picture_grid, picture_with_patches, scored_pictures
from utils.plots.scores import before_and_after, curves_with_spread, reliability, score_bars, trade_off

__all__ = [
    "before_and_after",
    "captioned_pictures",
    "compared_losses",
    "count_bars",
    "cumulative",
    "curves_with_spread",
    "histogram",
    "line",
    "loss_curves",
    "matrix_picture",
    "new_figure",
    "pair_marks",
    "picture_grid",
    "picture_with_patches",
    "reliability",
    "score_bars",
    "scored_pictures",
    "show",
    "styled",
    "trade_off",
]
