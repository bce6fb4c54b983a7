"""Every figure of the course, in one look. Functions take arrays and give a matplotlib Figure.

Nothing here touches pyplot's global state: a figure is an object, `show` puts it into the notebook with its
alternative text, and that is all. Series differ by marker or line as well as by color.
"""

from utils.plots.counts import count_bars, cumulative, heat_map, histogram
from utils.plots.images import captioned_images, image_grid, image_with_patches, scored_images
from utils.plots.learning import compared_losses, line, loss_curves, pair_marks
from utils.plots.look import show
from utils.plots.scores import before_and_after, curves_with_spread, reliability, score_bars, trade_off

__all__ = [
    "before_and_after",
    "captioned_images",
    "compared_losses",
    "count_bars",
    "cumulative",
    "curves_with_spread",
    "heat_map",
    "histogram",
    "image_grid",
    "image_with_patches",
    "line",
    "loss_curves",
    "pair_marks",
    "reliability",
    "score_bars",
    "scored_images",
    "show",
    "trade_off",
]
