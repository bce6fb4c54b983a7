"""From bands and values of any depth to 8-bit RGB: one rule for files, arrays and windows of scenes.

8 bits stay as they are. Of anything deeper, one range of values for all three bands becomes 0 to 255, so that colors
keep their hue. It is given, or measured on the valid pixels of a whole image, scene or data set, never of a tile: the
2nd to the 98th percentile (QGIS's default) and a quarter more on either side, as far as there are values. Without
that margin models would see more contrast than they learned: in RSICD and UCM these percentiles lie at 40 and 190 to
200. An image that fills its scale is a photograph stored with more digits, and its range is that scale.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

PERCENTILES = (2, 98)
MARGIN = 0.25  # of what lies between them, on either side
OPACITY_EXTREMES = 0.8  # the share of pixels of 0 or full value from which on a band is believed to be opacity
FLAT = 128  # what an image of one single value becomes: neither black, as what has no data, nor white


class ImageError(ValueError):
    """A file that cannot be decoded as an image; the message names it."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message  # for a list that names the file already


@dataclass(frozen=True, init=False)
class ImageReading:
    """How images are read: the range of values deeper than 8 bits, and which bands are shown."""

    # (low, high) of the file's own values, or of scaled ones where bands have several scales; "auto" measures each
    stretch: str | tuple[float, float]
    bands: tuple[int, ...] | None  # red, green and blue, or one as gray, from 1; None: as described, else the first

    def __init__(self, stretch: str | Sequence[float] = "auto", bands: Sequence[int] | None = None) -> None:
        """Takes lists too, and empty ones for the defaults; a ValueError says what can be given."""
        object.__setattr__(self, "stretch", _checked_stretch(stretch))
        object.__setattr__(self, "bands", _checked_bands(bands))

    def __str__(self) -> str:
        """Returns it in words, for a summary."""
        each = isinstance(self.stretch, str)
        values = "each by its own values" if each else "from {:g} to {:g}".format(*self.stretch)
        return values if self.bands is None else f"{values}, bands {', '.join(map(str, self.bands))}"

    def describe(self) -> dict[str, Any]:
        """Returns it for JSON, to be noted beside vectors or weights that were made of such images."""
        stretch = self.stretch if isinstance(self.stretch, str) else list(self.stretch)
        return {"stretch": stretch, "bands": None if self.bands is None else list(self.bands)}


def _checked_stretch(stretch: Any) -> str | tuple[float, float]:
    if isinstance(stretch, str | list) and stretch in ("auto", []):
        return "auto"
    try:
        low, high = map(float, () if isinstance(stretch, str) else stretch)
    except (TypeError, ValueError):
        low = high = np.nan
    if not -np.inf < low < high < np.inf:
        raise ValueError(
            f"The stretch is {stretch!r}; it is 'auto', or two numbers, the lower first: the values that become "
            "black and white, such as [0, 3000]."
        )
    return low, high


def _checked_bands(bands: Any) -> tuple[int, ...] | None:
    if bands is None or (isinstance(bands, list) and not bands):
        return None
    numbers = tuple(bands) if isinstance(bands, list | tuple | range) else ()
    whole = all(isinstance(one, int | np.integer) and one >= 1 and one is not True for one in numbers)
    if len(numbers) not in (1, 3) or not whole:
        raise ValueError(
            f"The bands are {bands!r}; they are three numbers, red, green and blue, or one for gray, counted from "
            "1, such as [4, 3, 2]."
        )
    return tuple(map(int, numbers))


AS_STORED = ImageReading()


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Measures on valid pixels what becomes black and what white: equal where there is but one value, or none."""
    values = np.asarray(values).ravel()
    scale = 1.0 if values.dtype.kind == "f" else 65535.0 if values.dtype == np.uint16 else None
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    low, high = np.percentile(values, PERCENTILES).astype(float)
    # Before anything is cut: an image that fills its scale is a photograph already.
    least, most = float(values.min()), float(values.max())
    if scale and least >= 0 and most <= scale and high >= scale / 2:
        return 0.0, scale
    if low == high:
        return least, most
    margin = MARGIN * (high - low)
    return float(max(low - margin, least)), float(min(high + margin, most))


def to_eight_bits(values: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
    """Stretches numbers to uint8: the limits, by default 0 and 255, become 0 and 255, what is not finite 0."""
    if limits is None:
        return values if values.dtype == np.uint8 else np.clip(values + 0.5, 0, 255).astype(np.uint8)
    low, high = limits
    if low == high:
        return np.where(np.isfinite(values), FLAT, 0).astype(np.uint8)
    stretched = (values.astype(np.float64) - low) * (255 / (high - low)) + 0.5
    return np.nan_to_num(np.clip(stretched, 0, 255), nan=0).astype(np.uint8)


def image_of_array(values: np.ndarray, reading: ImageReading = AS_STORED) -> tuple[Image.Image, np.ndarray | None]:
    """Makes an RGB image of (height, width[, channels]) numbers or truth values, by the rule of files.

    A fourth channel of uint8 is opacity if its values say so. Returns the image, and (height, width) bool, where it has
    data, None if everywhere. What is not an image is an `ImageError`.
    """
    channels = values[..., None] if values.ndim == 2 else values
    if channels.ndim != 3 or not channels.size or channels.dtype.kind not in "buif":
        raise ImageError(
            f"An array of shape {values.shape} and type {values.dtype} is not an image; give (height, width) or "
            "(height, width, channels) of numbers, none of them zero."
        )
    if channels.dtype == bool:
        channels = channels * np.uint8(255)
    count = channels.shape[2]
    if reading.bands is None and count == 4 and channels.dtype == np.uint8 and is_opacity(channels[..., 3]):
        return composed(Image.fromarray(np.ascontiguousarray(channels), "RGBA"))
    bands = reading.bands or ((1, 2, 3) if count >= 3 else (1,))
    check_bands(bands, count, "The array")
    channels = channels[..., [band - 1 for band in bands]]
    valid = np.isfinite(channels).any(axis=2) if channels.dtype.kind == "f" else None
    limits = None
    if channels.dtype != np.uint8:
        limits = value_range(channels) if isinstance(reading.stretch, str) else reading.stretch
    image = Image.fromarray(three_channels(to_eight_bits(channels, limits)))
    return image, None if valid is None or valid.all() else valid


def is_opacity(values: np.ndarray, full: float = 255) -> bool:
    """Whether a band marked as alpha, as GDAL marks any fourth one, is opacity: nothing or full in most pixels."""
    return bool(np.mean((values == 0) | (values == full)) >= OPACITY_EXTREMES)


def check_bands(bands: tuple[int, ...], count: int, name: str) -> None:
    """Refuses bands that an image does not have, with an `ImageError` that says how many there are."""
    if max(bands) > count:
        raise ImageError(
            f"{name} has {count} band{'s' * (count > 1)} and none of number {max(bands)}; choose bands from 1 to "
            f"{count}, or none, and the file's own description decides."
        )


def composed(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Lays an RGBA image on black, as pixels without data are drawn in maps.

    Returns it in RGB, and (height, width) bool, where it is not quite transparent; None if everywhere.
    """
    valid = np.asarray(image.getchannel("A")) > 0
    rgb = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return rgb, None if valid.all() else valid


def three_channels(values: np.ndarray) -> np.ndarray:
    """(height, width, 1 or 3) as (height, width, 3), in memory row by row."""
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def averages(
    values: np.ndarray, weights: np.ndarray | None, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Averages (height, width, channels) finite values under each pixel of a smaller image of a size (width, height).

    Weights, (height, width) float32, are 0 or 1; None is 1 everywhere. Returns the means of what has a weight, and the
    share that has, (height, width) float32, None where all have.
    """
    height, width = values.shape[:2]
    if (width, height) == tuple(size):
        return values, weights
    kind = np.float64 if values.dtype.itemsize > 4 or values.dtype in (np.int32, np.uint32) else np.float32
    columns, rows = (np.arange(n + 1) * length // n for n, length in zip(size, (width, height), strict=True))
    count = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)

    def sums(of: np.ndarray, dtype: type) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(of, rows[:-1], axis=0, dtype=dtype), columns[:-1], axis=1)

    if weights is None:
        return sums(values, kind) / count[..., None], None
    weight = sums(weights, np.float32)
    total = sums(values * weights[..., None].astype(kind), kind)
    return total / np.maximum(weight, 1)[..., None], weight / count


COLORS = ("red", "green", "blue")
# The word, but not within "infrared" or "infra-red", nor before "edge"; "Band 4 - Red" and "SR_red" are red.
_WORDS = [re.compile(rf"(?<![a-z])(?<!infra[\s_-]){color}(?![a-z])(?![\s_-]*edge)") for color in COLORS]
_LETTERS = [re.compile(rf"^\s*{color[0]}\s*$") for color in COLORS]
# Not the color itself: WorldView's and Planet's "coastal blue", Planet's "green i" beside its "green".
_OTHERS = re.compile(r"coastal|aerosol|infra|nir|swir|pan(?![a-z])|edge|(?<![a-z])i(?![a-z])")
# B04 or SR_B4 or "B4, central wavelength 665 nm", and so on.
_NUMBER = {number: re.compile(rf"(?<![a-z0-9])b0?{number}(?![a-z0-9])") for number in range(1, 8)}
# Landsat 4 to 7 have a sixth band that is not a reflectance: it is left out or named otherwise ("ST_B6", "B6_VCID_1").
_SIXTH = re.compile(rf"(?<!st_){_NUMBER[6].pattern}(?!_vcid)")


def described_bands(descriptions: Sequence[str | None], interpretations: Sequence[Any]) -> tuple[int, ...]:
    """Chooses the bands to show as red, green and blue, counted from 1, or one for gray.

    Names go before rasterio's ``colorinterp``: GDAL calls the first three bands of many files red, green and blue.
    """
    names = ["" if _OTHERS.search((name or "").lower()) else (name or "").lower() for name in descriptions]

    def first(pattern: re.Pattern) -> int:
        return next((number for number, name in enumerate(names, 1) if pattern.search(name)), 0)

    earlier = first(_NUMBER[5]) and first(_NUMBER[7]) and not first(_SIXTH)
    numbers = (3, 2, 1) if earlier else (4, 3, 2)  # of Landsat 4 to 7; of Landsat 8 and 9 and Sentinel-2
    for patterns in (_WORDS, _LETTERS, [_NUMBER[number] for number in numbers]):
        found = tuple(map(first, patterns))
        if all(found):
            return found
    kinds = [kind.name for kind in interpretations]
    if all(kinds.count(color) == 1 for color in COLORS):
        return tuple(kinds.index(color) + 1 for color in COLORS)
    colors = [number for number, kind in enumerate(kinds, 1) if kind != "alpha"]
    return tuple(colors[:3]) if len(colors) >= 3 else tuple((colors or [1])[:1])
