"""The miniature: a rendered world with RSICD's thirty categories, for machines without the real images.

`build_miniature` draws it into a folder. `scenes` composes an image of a category out of the parts that
`nature`, `water`, `housing`, `town`, `sport`, `industry` and `transport` know how to draw on a `canvas`; `grammar`
says in captions what has been drawn, by the words of `english` and the sentences of `patterns`.
"""

from standins.scenes.build import CATEGORIES, IMAGES_PER_SPLIT, build_miniature

__all__ = ["CATEGORIES", "IMAGES_PER_SPLIT", "build_miniature"]
