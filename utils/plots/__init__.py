"""Every figure of the course, in one look. Functions take arrays and give a matplotlib Figure.

Nothing here touches pyplot's global state: a figure is an object, `show` puts it into the notebook with its
alternative text, and that is all. Series differ by marker or line as well as by color.
"""

from utils.plots.charts import (
    before_and_after,
    compared_losses,
    count_bars,
    cumulative,
    curves_with_spread,
    footprint_map,
    graph_walks,
    growth,
    histogram,
    line,
    loss_curves,
    pair_marks,
    reliability,
    score_bars,
    shaded_matrix,
    trade_off,
)
from utils.plots.images import captioned_images, image_grid, image_with_patches, scored_images
from utils.plots.look import show
