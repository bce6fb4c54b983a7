"""From values of any depth to 8 bits: one rule for files, arrays and windows of scenes.

8 bits stay as they are. Of anything deeper (10 to 16 bits, signed numbers, floats) a range of values becomes 0 to
255, one range for all three bands, so that colors keep their hue, as in ESA's true color images of Sentinel-2.
The range is given, or measured on the valid pixels: from the 2nd to the 98th percentile, QGIS's default cumulative
count cut, and on either side a quarter of that more, as far as there are values. Without the margin models would see
more contrast than they learned: in the 8-bit pictures of RSICD and UCM these percentiles lie at 40 and 190 to 200,
not at 0 and 255. The range belongs to a whole picture, a scene or a data set, never to a tile. A picture that fills
its scale, with a 98th percentile in the upper half of 0 to 1 (floats) or 0 to 65,535 (uint16), is a photograph stored
with more digits: its range is that scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from utils.datasets.images.errors import ImageError

PERCENTILES = (2, 98)
MARGIN = 0.25  # of what lies between them, on either side
OPACITY_EXTREMES = 0.8  # the share of pixels of 0 or full value from which on a band is believed to be opacity
FLAT = 128  # what a picture of one single value becomes: neither black, as what has no data, nor white


@dataclass(frozen=True)
class ImageReading:
    """How pictures are read: the range of values deeper than 8 bits, and which bands are shown.

    Empty lists, the defaults of the notebooks' STRETCH and BANDS, stand for the defaults here.

    Attributes:
        stretch: ``"auto"``: the range of values that becomes 0 to 255 is measured on each picture. Or that range,
            (low, high) in the file's own values (scaled ones where its bands have several scales), the same for
            all pictures of one sensor.
        bands: The bands that are shown as red, green and blue, or the one that is shown as gray, counted from 1.
            None takes them from what the file says of its bands, else the first three.

    Raises:
        ValueError: If either cannot be; the sentence says what can.
    """

    stretch: str | tuple[float, float] = "auto"
    bands: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check both, and make tuples of lists, as parameters and JSON give them."""
        object.__setattr__(self, "stretch", _checked_stretch(self.stretch))
        object.__setattr__(self, "bands", _checked_bands(self.bands))

    def __str__(self) -> str:
        """Return it for a line of a summary."""
        low_high = self.stretch
        values = "each by its own values" if low_high == "auto" else "from {:g} to {:g}".format(*low_high)
        return values if self.bands is None else f"{values}, bands {', '.join(map(str, self.bands))}"

    def describe(self) -> dict[str, Any]:
        """What is to be noted beside vectors or weights that were made of such pictures, as JSON knows it."""
        return {
            "stretch": self.stretch if self.stretch == "auto" else list(self.stretch),
            "bands": None if self.bands is None else list(self.bands),
        }


def _checked_stretch(stretch: Any) -> str | tuple[float, float]:
    if (isinstance(stretch, str) and stretch == "auto") or (isinstance(stretch, list) and not stretch):
        return "auto"
    try:
        low, high = map(float, stretch)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if isinstance(stretch, str) or not (np.isfinite([low, high]).all() and low < high):
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


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Measures what becomes black and what white.

    Args:
        values: Of the valid pixels, of any shape and one type; what is not finite does not count.

    Returns:
        The lowest and the highest value of the range. They are equal where there is but one value, or none.
    """
    values = np.asarray(values).ravel()
    scale = _full_scale(values)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    low, high = np.percentile(values, PERCENTILES).astype(float)
    # Before anything is cut: a picture that fills its scale is one already.
    least, most = float(values.min()), float(values.max())
    if scale and least >= 0 and most <= scale and high >= scale / 2:
        return 0.0, scale
    if low == high:
        return least, most
    margin = MARGIN * (high - low)
    return float(max(low - margin, least)), float(min(high + margin, most))


def _full_scale(values: np.ndarray) -> float | None:
    """The value of white in a photograph that is stored in such a type."""
    if values.dtype.kind == "f":
        return 1.0
    return 65535.0 if values.dtype == np.uint16 else None


def to_eight_bits(values: np.ndarray, limits: tuple[float, float] | None) -> np.ndarray:
    """Stretches values of any shape to uint8; what is not finite becomes 0.

    Args:
        values: Numbers.
        limits: What becomes 0 and what 255; None for values that are on that scale.
    """
    if limits is None:
        return values if values.dtype == np.uint8 else np.clip(values + 0.5, 0, 255).astype(np.uint8)
    low, high = limits
    if low == high:
        return np.where(np.isfinite(values), FLAT, 0).astype(np.uint8)
    stretched = (values.astype(np.float64) - low) * (255 / (high - low)) + 0.5
    return np.nan_to_num(np.clip(stretched, 0, 255), nan=0).astype(np.uint8)


def image_of_array(values: np.ndarray, reading: ImageReading | None = None) -> tuple[Image.Image, np.ndarray | None]:
    """Makes an RGB picture of an array, by the rule of files.

    Args:
        values: (height, width) or (height, width, channels), numbers or truth values. The fourth of uint8 is
            opacity if its values say so (see `is_opacity`); the first three, or the first of fewer, are shown, or
            those that the reading names.
        reading: How to stretch deeper values than 8 bits, and which channels to show.

    Returns:
        The picture, and (height, width) bool, where it has data; None where it has data everywhere.

    Raises:
        ImageError: If the array is no picture.
    """
    reading = reading or ImageReading()
    channels = values[..., None] if values.ndim == 2 else values
    if channels.ndim != 3 or not channels.size or channels.dtype.kind not in "buif":
        raise ImageError(
            f"An array of shape {values.shape} and type {values.dtype} is no picture; give (height, width) or "
            "(height, width, channels) of numbers, none of them zero."
        )
    if channels.dtype == bool:
        channels = channels * np.uint8(255)
    has_alpha = channels.dtype == np.uint8 and channels.shape[2] == 4 and is_opacity(channels[..., 3])
    if has_alpha and reading.bands is None:
        return composed(Image.fromarray(np.ascontiguousarray(channels), "RGBA"))
    channels = channels[..., [band - 1 for band in _array_bands(channels.shape[2], reading)]]
    valid = np.isfinite(channels).any(axis=2) if channels.dtype.kind == "f" else None
    if channels.dtype == np.uint8:
        limits = None
    else:
        limits = value_range(channels) if reading.stretch == "auto" else reading.stretch
    picture = Image.fromarray(three_channels(to_eight_bits(channels, limits)))
    return picture, None if valid is None or valid.all() else valid


def _array_bands(count: int, reading: ImageReading) -> tuple[int, ...]:
    bands = reading.bands or ((1, 2, 3) if count >= 3 else (1,))
    check_bands(bands, count, "The array")
    return bands


def is_opacity(values: np.ndarray, full: int = 255) -> bool:
    """Whether a band that is marked as alpha, as GDAL marks any fourth one, is opacity and not infrared.

    Opacity is nothing or full in most pixels, infrared in few.

    Args:
        values: The band, or a sample of it.
        full: The value of what is quite opaque.
    """
    return bool(np.mean((values == 0) | (values == full)) >= OPACITY_EXTREMES)


def check_bands(bands: tuple[int, ...], count: int, name: str) -> None:
    """Refuses bands that a picture has not.

    Raises:
        ImageError: It names the picture and says how many there are.
    """
    if max(bands) > count:
        raise ImageError(
            f"{name} has {count} band{'s' * (count > 1)} and none of number {max(bands)}; choose bands from 1 to "
            f"{count}, or none, and the file's own description decides."
        )


def composed(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Lays a picture of mode RGBA on black, as pixels without data are drawn in maps.

    Returns:
        It in RGB, and (height, width) bool, where it is not quite transparent; None where it is so nowhere.
    """
    valid = np.asarray(image.getchannel("A")) > 0
    picture = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    return picture, None if valid.all() else valid


def three_channels(values: np.ndarray) -> np.ndarray:
    """(height, width, 1 or 3) as (height, width, 3), in memory row by row."""
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
