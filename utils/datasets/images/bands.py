"""Which bands of a raster are red, green and blue: what its file says of them, else the first three."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

COLORS = ("red", "green", "blue")
# The word, but not within "infrared" or "infra-red", nor before "edge"; "Band 4 - Red" and "SR_red" are red.
_WORDS = {color: re.compile(rf"(?<![a-z])(?<!infra[\s_-]){color}(?![a-z])(?![\s_-]*edge)") for color in COLORS}
# Not the color itself: WorldView's and Planet's "coastal blue", Planet's "green i" beside its "green".
_OTHERS = re.compile(r"coastal|aerosol|infra|nir|swir|pan(?![a-z])|edge|(?<![a-z])i(?![a-z])")
_LETTERS = {color: re.compile(rf"^\s*{color[0]}\s*$") for color in COLORS}


def _numbered(number: int) -> re.Pattern:
    """B04 or SR_B4 or "B4, central wavelength 665 nm"."""
    return re.compile(rf"(?<![a-z0-9])b0?{number}(?![a-z0-9])")


# Of Sentinel-2, Landsat 8 and 9; and of Landsat 4 to 7, whose sixth band is no reflectance and is left out or is
# called otherwise ("ST_B6", "B6_VCID_1").
_NUMBERS, _EARLIER_NUMBERS = (
    dict(zip(COLORS, map(_numbered, numbers), strict=True)) for numbers in ((4, 3, 2), (3, 2, 1))
)
_SIXTH = re.compile(rf"(?<!st_){_numbered(6).pattern}(?!_vcid)")


def described_bands(descriptions: Sequence[str | None], interpretations: Sequence[Any]) -> tuple[int, ...]:
    """Chooses the bands to show as red, green and blue, counted from 1, or one for gray.

    Names go before GDAL's color interpretation, which calls the first three bands of many files red, green and
    blue unasked.

    Args:
        descriptions: A name for each band, or None.
        interpretations: Of each band, rasterio's ``colorinterp``.
    """
    names = [(name or "").lower() for name in descriptions]
    earlier = _first_match(names, _numbered(5)) and _first_match(names, _numbered(7))
    earlier = earlier and not _first_match(names, _SIXTH)
    for patterns in (_WORDS, _LETTERS, _EARLIER_NUMBERS if earlier else _NUMBERS):
        found = [_first_match(names, patterns[color]) for color in COLORS]
        if all(found):
            return tuple(found)
    kinds = [kind.name for kind in interpretations]
    if all(kinds.count(color) == 1 for color in COLORS):
        return tuple(kinds.index(color) + 1 for color in COLORS)
    colors = [number for number, kind in enumerate(kinds, 1) if kind != "alpha"]
    return tuple(colors[:3]) if len(colors) >= 3 else tuple((colors or [1])[:1])


def _first_match(names: Sequence[str], pattern: re.Pattern) -> int | None:
    """The number of the first band of that name that is not another color's too."""
    matches = (number for number, name in enumerate(names, 1) if pattern.search(name) and not _OTHERS.search(name))
    return next(matches, None)
