"""Rasters of any depth, size and number of bands, read window by window, upright and in 8 bits.

What is read smaller is averaged here, over the pixels that have data: GDAL's own reduced reads take the file's
overviews, which most programs make by picking every other pixel, and mistake a fourth band for opacity.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from utils.datasets.images import stretch
from utils.datasets.images.stretch import ImageError, ImageReading

SAMPLE_SIDE = 1024  # pixels of the longer side over which a raster's values are measured
SETTINGS = {
    "GDAL_CACHEMAX": 128 * 2**20,  # bytes that GDAL may keep of decoded blocks
    "GDAL_ERROR_ON_LIBJPEG_WARNING": True,
    "GDAL_DISABLE_READDIR_ON_OPEN": True,  # what stands beside a file is asked for by name: folders may be large
}
STRIP_VALUES = 8 * 2**20  # decoded at once where a window is read smaller than it is stored
# These formats hold or compute their lower resolutions by smoothing, so that what is read of them is true.
SMOOTH_OVERVIEWS = ("JP2OpenJPEG", "JPEG", "WEBP")
# The orientations of EXIF and TIFF under which pixels lie in the file with axes swapped, then mirrored in x, in y.
SWAPPED, MIRRORED_X, MIRRORED_Y = (5, 6, 7, 8), (2, 3, 7, 8), (3, 4, 6, 7)

Box = tuple[int, int, int, int]

# rasterio says so of every plain image. Once for all, since threads must not change the filters in turns.
warnings.filterwarnings("ignore", message="Dataset has no geotransform")


class Raster:
    """A raster on the disk, open in rasterio, of which only the windows asked for are decoded.

    Its `size`, width and height in pixels, is upright; its `limits` are the range of values that becomes 0 to 255, None
    where 8 bits stay as they are. What is not colors, or lacks a band that the reading names, is an `ImageError`.
    """

    def __init__(
        self, dataset: Any, name: str, reading: ImageReading, orientation: int = 1, premultiplied: bool = False
    ) -> None:
        _check_colors(dataset, name)
        self.dataset, self.name = dataset, name
        self.orientation, self._premultiplied = orientation, premultiplied
        self._turn = tuple(orientation in kind for kind in (SWAPPED, MIRRORED_X, MIRRORED_Y))
        self._stored_size = dataset.shape[::-1]
        self._whole = (0, 0, *self._stored_size)
        self.size: tuple[int, int] = dataset.shape if self._turn[0] else self._stored_size
        if reading.bands is not None:
            stretch.check_bands(reading.bands, dataset.count, name)
        self._bands = reading.bands or stretch.described_bands(dataset.descriptions, dataset.colorinterp)
        self._palette = _palette(dataset) if self._bands == (1,) else None
        self._scaling = _scaling(dataset, self._bands)
        flags = [{flag.name for flag in dataset.mask_flag_enums[band - 1]} for band in self._bands]
        # Other than by an opacity band.
        self._has_masks = any("nodata" in of or ("per_dataset" in of and "alpha" not in of) for of in flags)
        self._alpha, self._opaque = self._opacity_band()
        self.limits = self._chosen_range(reading)

    def read(self, box: Box, longest: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Decodes a box (left, top, right, bottom); a longer side than ``longest`` pixels is averaged down to it.

        Returns (height, width, 3) uint8, black where there are no data, and (height, width) float32, the share of each
        pixel that has data, 1 where the file says nothing. If the file breaks off there, an `ImageError` is raised.
        """
        left, top, right, bottom = self._stored(box)
        width, height = reduced((right - left, bottom - top), longest)
        # In strips of rows, so that what is decoded for each is bounded.
        count = min(height, -(-(right - left) * (bottom - top) * len(self._bands) // STRIP_VALUES))
        parts = []
        for start, stop in pairwise(number * height // count for number in range(count + 1)):
            rows = [top + edge * (bottom - top) // height for edge in (start, stop)]
            parts.append(self._averaged((left, rows[0], right, rows[1]), (width, stop - start)))
        colors, data = (self._upright(np.concatenate(kind)) for kind in zip(*parts, strict=True))
        return colors, data

    def sample(self) -> np.ndarray:
        """Values (values,) of the file's own type, of valid pixels spread over the whole image."""
        values, valid = self._sampled
        # A frame of zeros does not count as data either, even where the file names no value for missing data.
        return values[valid & ~zero_frame(values)[..., None]]

    def overview(self) -> tuple[np.ndarray, np.ndarray]:
        """The whole as `read` gives it, at most `SAMPLE_SIDE` pixels wide and high; a frame of zeros is no data."""
        colors, data = self.read((0, 0, *self.size), SAMPLE_SIDE)
        # Stretched, what is below the range is black too, and is data.
        frame = zero_frame(colors) if self.limits is None else self._upright(zero_frame(self._sampled[0]))
        return colors, np.where(frame, np.float32(0), data)

    @cached_property
    def _sampled(self) -> tuple[np.ndarray, np.ndarray]:
        """(height, width, bands) at most `SAMPLE_SIDE` pixels wide and high, and which of them have data."""
        size = reduced(self._stored_size, SAMPLE_SIDE)
        values, valid = self._values(self._whole, size)
        if self._alpha is not None:
            valid &= self._decode((self._alpha,), self._whole, size) > 0
        return values, valid

    def _chosen_range(self, reading: ImageReading) -> tuple[float, float] | None:
        bits = self.dataset.tags(self._bands[0], ns="IMAGE_STRUCTURE").get("NBITS")
        if self._palette is not None:
            return None
        if self.dataset.dtypes[self._bands[0] - 1] == "uint8":
            return None if bits is None else (0.0, float(2 ** int(bits) - 1))
        return stretch.value_range(self.sample()) if isinstance(reading.stretch, str) else reading.stretch

    def _opacity_band(self) -> tuple[int | None, float]:
        """The band that says how opaque each pixel is, and the value that it has where a pixel is fully opaque."""
        marked = [n for n, kind in enumerate(self.dataset.colorinterp, 1) if kind.name == "alpha"]
        if not marked or marked[0] in self._bands:
            return None, 1
        band, dtype = marked[0], np.dtype(self.dataset.dtypes[marked[0] - 1])
        most = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
        if self.dataset.driver == "PNG":  # where the format has no other fourth band
            return band, most
        values = self._decode((band,), self._whole, reduced(self._stored_size, SAMPLE_SIDE))
        # Many programs keep 255 or 1 in deeper bands too.
        fulls = (most,) if dtype == np.uint8 else (most, 255, 1)
        full = next((full for full in fulls if stretch.is_opacity(values, full)), None)
        return (None, 1) if full is None else (band, full)

    def _averaged(self, box: Box, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """A stored box in 8 bits at a size (width, height), and what share of each pixel has data."""
        values, valid, opacity = self._window(box, self._nearest_resolution(box, size))
        weights = None if valid.all() else valid.astype(np.float32)
        means, data = stretch.averages(values, weights, size)
        colors = stretch.to_eight_bits(means, self.limits)
        if opacity is not None:
            colors = (colors * stretch.averages(opacity, weights, size)[0] + 0.5).astype(np.uint8)
        if data is not None:
            colors = np.where(data[..., None] > 0, colors, np.uint8(0))
        return stretch.three_channels(colors), np.ones(size[::-1], np.float32) if data is None else data

    def _window(self, box: Box, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Decodes a stored box at a size (width, height).

        Returns values (height, width, channels) of the file's own type, or the palette's colors; (height, width) bool,
        which have data in any band; and (height, width, 1) float32, how opaque they are, None where all are.
        """
        (values, known), opacity = self._values(box, size), None
        valid = np.any(known, axis=2)
        if self.limits is not None and values.dtype != np.uint8 and not known.all():
            # A band that has no data where others have is black there, and so it counts in means.
            values = np.where(known, values, self.limits[0])
        if self._alpha is not None:
            stored = self._decode((self._alpha,), box, size)
            valid &= stored[..., 0] > 0
            if not self._premultiplied:
                opacity = np.minimum(stored / np.float32(self._opaque), 1)
        if self._palette is not None:
            seen = self._palette[values[..., 0]]
            values = seen[..., :3]
            valid &= seen[..., 3] > 0
        return values, valid, opacity

    def _nearest_resolution(self, box: Box, size: tuple[int, int]) -> tuple[int, int]:
        """The size at which to decode a box: as stored, or where the format smooths, the next lower resolutions."""
        left, top, right, bottom = box
        factor = min((right - left) // size[0], (bottom - top) // size[1])
        kept = self.dataset.overviews(1) if self.dataset.driver in SMOOTH_OVERVIEWS else []
        step = max([one for one in kept if one <= factor], default=1)
        return -(-(right - left) // step), -(-(bottom - top) // step)

    def _values(self, box: Box, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(height, width, bands) of the file's own type, float64 if bands have several scales, and what is data."""
        values = self._decode(self._bands, box, size)
        if self._scaling is not None:
            values = values * self._scaling[0] + self._scaling[1]
        known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
        if self._has_masks:
            known &= self._decode(self._bands, box, size, masks=True) > 0
        return values, known

    def _decode(self, bands: tuple[int, ...], box: Box, size: tuple[int, int], masks: bool = False) -> np.ndarray:
        """(height, width, bands) of the file's own type, or their masks in uint8, as stored."""
        from rasterio.windows import Window

        left, top, right, bottom = box
        read = self.dataset.read_masks if masks else self.dataset.read
        try:
            values = read(
                list(bands), window=Window(left, top, right - left, bottom - top), out_shape=(len(bands), *size[::-1])
            )
        except Exception as error:  # rasterio's, and GDAL's own, which have no public name there
            raise broken(self.name, error) from None
        return values.transpose(1, 2, 0)

    def _stored(self, box: Box) -> Box:
        """Where an upright box lies in the file."""
        swapped, mirror_x, mirror_y = self._turn
        left, top, right, bottom = map(int, box)
        if swapped:
            left, top, right, bottom = top, left, bottom, right
        width, height = self._stored_size
        if mirror_x:
            left, right = width - right, width - left
        if mirror_y:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom

    def _upright(self, values: np.ndarray) -> np.ndarray:
        swapped, mirror_x, mirror_y = self._turn
        values = values[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
        return np.ascontiguousarray(values.swapaxes(0, 1) if swapped else values)


def reduced(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """A size in the same proportion whose longer side is at most so many pixels."""
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(length * longest / max(size))) for length in size)
    return width, height


def zero_frame(values: np.ndarray) -> np.ndarray:
    """Where (height, width, bands) is zero in all bands from its border inward, as around a turned scene: bool."""
    from scipy.ndimage import binary_propagation

    zero = ~np.any(values, axis=2)
    seeds = zero.copy()
    seeds[1:-1, 1:-1] = False
    return binary_propagation(seeds, mask=zero) if seeds.any() else seeds


def broken(name: str, error: Exception) -> ImageError:
    """What to say of a file that breaks off, from what GDAL says."""
    reason = str(error.__cause__ or error).rstrip(".")
    return ImageError(f"{name} cannot be decoded as an image ({reason}); replace it.", reason)


def _scaling(dataset: Any, bands: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Factors and offsets of deep bands that are stored on different scales, which can share no range as stored."""
    chosen = np.array(bands) - 1
    scales, offsets = np.array(dataset.scales)[chosen], np.array(dataset.offsets)[chosen]
    if dataset.dtypes[bands[0] - 1] == "uint8" or (np.ptp(scales) == 0 and np.ptp(offsets) == 0):
        return None
    return scales, offsets


def _check_colors(dataset: Any, name: str) -> None:
    if any(kind.startswith("complex") for kind in dataset.dtypes):
        raise ImageError(f"{name} holds complex numbers, which are not colors.")
    if any(kind.name == "cyan" for kind in dataset.colorinterp):
        raise ImageError(
            f"{name} is stored in printing inks (CMYK) and is too deep or too large to be converted here; store "
            "it in RGB."
        )


def _palette(dataset: Any) -> np.ndarray | None:
    """(numbers, 4) uint8, red, green, blue and opacity of an image that stores the numbers of its colors."""
    try:
        colors = dataset.colormap(1)
    except ValueError:
        return None
    table = np.zeros((np.iinfo(dataset.dtypes[0]).max + 1, 4), np.uint8)
    for number, color in colors.items():
        table[number] = color
    return table


@contextmanager
def open_dataset(path: Path, driver: str, name: str) -> Iterator[Any]:
    """Opens a file in rasterio; an `ImageError` if it is broken."""
    import rasterio

    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**SETTINGS))
        try:
            dataset = stack.enter_context(rasterio.open(path, driver=driver))
        except Exception as error:  # rasterio's, and GDAL's own, which have no public name there
            raise broken(name, error) from None
        yield dataset
