"""The starting checkpoint of the miniature profile: icons of the thirty categories, and a small CLIP that knows them.

`icons` draws a category out of `land`, `town` and `traffic` with a `map_pen`, `captions` says what it is, and
`pretraining` trains tokenizer and model on them. `gallery` draws new ones, for what a fine-tuned model still knows.
"""

from utils.starter.gallery import icon_dataset
from utils.starter.icons import DRAWINGS, Icon, render_icon
from utils.starter.pretraining import StarterSettings, build_starter

__all__ = ["DRAWINGS", "Icon", "StarterSettings", "build_starter", "icon_dataset", "render_icon"]
