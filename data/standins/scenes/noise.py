"""Noise for the miniature: periodic tiles, made once a process, and board-sized cuts of them."""

import functools
import math

import numpy as np
from PIL import Image

SIZE = 224
"""Width and height of a finished image in pixels, as in RSICD."""
OVERSAMPLING = 2
BOARD = SIZE * OVERSAMPLING
"""Width and height of the board that scenes are drawn on, in pixels."""
_TILE = 512  # a noise tile repeats after this many board pixels
_TILE_VARIANTS = 3

# Spectral noise: (exponent of 1/f, stretch along x, lowest frequency, highest frequency in cycles a tile).
_SPECTRA = {
    "clouds": (1.6, 1.0, 1, 256),
    "patches": (1.1, 1.0, 4, 256),
    "grain": (0.3, 1.0, 24, 256),
    "streaks": (1.0, 7.0, 3, 256),
    "swell": (0.9, 3.5, 10, 120),
    "dunes": (1.5, 2.6, 5, 70),
    "drift": (1.6, 1.0, 1, 9),
}
NOISE_KINDS = (*_SPECTRA, "canopy", "ridges")


@functools.cache
def noise_tile(kind: str, variant: int) -> np.ndarray:
    """Makes one periodic tile of noise, once a process.

    Args:
        kind: One of `NOISE_KINDS`.
        variant: Which of the tiles of this kind.

    Returns:
        float32 of shape (960, 960) about 0..1: the tile of 512, repeated so that a board-sized cut can start
        anywhere in its first 512 pixels.
    """
    rng = np.random.default_rng([20210717, NOISE_KINDS.index(kind), variant])
    if kind in _SPECTRA:
        tile = _spectral_noise(rng, *_SPECTRA[kind])
    else:
        tile = {"canopy": _canopy, "ridges": _ridges}[kind](rng)
    return np.pad(tile, (0, BOARD), mode="wrap")


def _spectral_noise(
    rng: np.random.Generator, exponent: float, stretch: float, lowest: float, highest: float
) -> np.ndarray:
    """Filters white noise to a power law, with features `stretch` times longer along x than along y."""
    vertical = np.fft.fftfreq(_TILE)[:, None] * _TILE
    horizontal = np.fft.rfftfreq(_TILE)[None, :] * _TILE * stretch
    frequency = np.hypot(vertical, horizontal)
    gain = np.where((frequency >= lowest) & (frequency <= highest), np.maximum(frequency, 1) ** -exponent, 0)
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * gain, s=(_TILE, _TILE))
    return np.clip(0.5 + 0.2 * noise / noise.std(), 0, 1).astype(np.float32)


def _canopy(rng: np.random.Generator) -> np.ndarray:
    """Heaps up tree crowns: bumpy domes of many sizes, the highest one counting at each pixel."""
    tile = np.zeros((_TILE, _TILE), np.float32)
    bumps = _spectral_noise(rng, 0.5, 1.0, 24, 200)
    for radius in range(6, 18):
        offset = np.arange(-radius, radius + 1)
        distance = np.hypot(offset[:, None], offset) / radius
        dome = np.sqrt(np.clip(1 - distance**2, 0, 1)).astype(np.float32) * (0.3 + 0.7 * radius / 17)
        for corner, vigour in zip(rng.integers(_TILE, size=(140, 2)), rng.uniform(0.4, 1, 140), strict=True):
            window = np.ix_(*((corner[:, None] + offset) % _TILE))
            tile[window] = np.maximum(tile[window], dome * np.float32(vigour))
    return np.clip(tile * (0.7 + 0.6 * bumps), 0, 1)


def _ridges(rng: np.random.Generator) -> np.ndarray:
    """Raises mountains: a ridged multifractal, rough on the ridges and smooth in the valleys (Musgrave 1994)."""
    height = np.zeros((_TILE, _TILE), np.float32)
    weight = np.ones((_TILE, _TILE), np.float32)
    for octave in range(6):
        lowest = 1.6 * 2**octave
        distance = np.abs(2 * _spectral_noise(rng, 0.8, 1.0, lowest, 2.2 * lowest) - 1)
        crest = np.clip(1 - 1.2 * distance, 0, 1) ** 2 * weight
        height += crest * 0.5**octave
        weight = np.clip(0.25 + 1.1 * crest, 0, 1)
    return height / height.max()


def cut_noise(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Cuts a board-sized piece of noise at a random place, randomly mirrored.

    Returns:
        A read-only view or mirrored view, float32 (BOARD, BOARD), about 0..1.
    """
    tile = noise_tile(kind, int(rng.integers(_TILE_VARIANTS)))
    row, column = rng.integers(_TILE, size=2)
    piece = tile[row : row + BOARD, column : column + BOARD]
    return piece[:: 1 if rng.random() < 0.5 else -1, :: 1 if rng.random() < 0.5 else -1]


def cut_turned_noise(rng: np.random.Generator, kind: str, angle: float, zoom: float = 1.0) -> np.ndarray:
    """Cuts a board-sized piece of noise, turned by `angle` in radians and enlarged by `zoom` (at least 0.7).

    Returns:
        float32 (BOARD, BOARD), about 0..1.
    """
    tile = Image.fromarray(noise_tile(kind, int(rng.integers(_TILE_VARIANTS))))
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    middle, half = tile.width / 2, BOARD / 2
    corner = (middle - half * (cosine + sine), middle - half * (cosine - sine))
    turned = tile.transform(
        (BOARD, BOARD),
        Image.Transform.AFFINE,
        (cosine, sine, corner[0], -sine, cosine, corner[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(turned)
