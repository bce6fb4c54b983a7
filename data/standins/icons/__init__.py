"""Icons of the thirty categories: map symbols and line drawings, which the starting checkpoint was trained on.

`render` draws a category out of `land`, `town` and `traffic` with a `map_pen`, `captions` says what it is, and
`gallery` draws many into a folder.
"""

from standins.icons.gallery import build_icons

__all__ = ["build_icons"]
