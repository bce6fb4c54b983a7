"""The drawing board of the miniature: noise, materials, and a canvas lit by one sun.

A scene is drawn twice at once, as colours and as heights, on a board of twice the final size. `Canvas.develop`
then lights the colours: slopes towards the sun are brighter, whatever is higher throws a shadow, haze and
exposure settle over everything, and the board is reduced to the final picture (deferred shading).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from utils.scene_materials import MATERIALS, Color, Material

SIZE = 224
"""Width and height of a finished picture in pixels, as in RSICD."""
OVERSAMPLING = 2
BOARD = SIZE * OVERSAMPLING

_TILE = 512  # a noise tile repeats after this many board pixels
_TILE_VARIANTS = 3
_CLAIM_SCALE = 4  # board pixels to one pixel of the map of claimed ground

# Spectral noise: (exponent of 1/f, stretch along x, lowest frequency, highest frequency in cycles a tile).
_SPECTRA = {
    "clouds": (1.6, 1.0, 1, 256),
    "patches": (1.1, 1.0, 4, 256),
    "grain": (0.3, 1.0, 24, 256),
    "streaks": (1.0, 7.0, 3, 256),
    "swell": (0.9, 3.5, 10, 120),
    "dunes": (1.5, 2.6, 5, 70),
    "hills": (1.9, 1.0, 2, 200),
}
NOISE_KINDS = (*_SPECTRA, "canopy")


@dataclass(frozen=True)
class Light:
    """How the sun and the air are.

    Attributes:
        direction: Where shadows fall, in radians, clockwise from the right edge of the picture.
        slope: Tangent of the sun's elevation: a shadow is height / slope long.
        shade: Brightness of the shadows, 0 (black) to 1 (no shadow).
        exposure: Factor on all brightness.
        warmth: Red against blue, about -0.06 (cool) to 0.06 (warm).
        haze: Share of whitish air between ground and camera, 0 to about 0.3.
        saturation: Factor on the distance of colours from grey.
    """

    direction: float
    slope: float
    shade: float
    exposure: float
    warmth: float
    haze: float
    saturation: float


def random_light(rng: np.random.Generator) -> Light:
    """Draws a plausible time of day and state of the air."""
    return Light(
        direction=rng.uniform(0, 2 * math.pi),
        slope=rng.uniform(0.8, 1.7),
        shade=rng.uniform(0.36, 0.52),
        exposure=rng.uniform(0.9, 1.16),
        warmth=rng.normal(0.0, 0.025),
        haze=max(0.0, rng.uniform(-0.06, 0.2)),
        saturation=rng.uniform(0.85, 1.15),
    )


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
    tile = _canopy(rng) if kind == "canopy" else _spectral_noise(rng, *_SPECTRA[kind])
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
    for radius in np.sort(rng.uniform(5, 13, 2600)):
        reach = math.ceil(radius)
        offset = np.arange(-reach, reach + 1)
        distance = np.hypot(*np.meshgrid(offset, offset)) / radius
        dome = np.sqrt(np.clip(1 - distance**2, 0, 1)) * (0.45 + 0.55 * rng.random()) * radius / 13
        rows, columns = (rng.integers(_TILE, size=(2, 1)) + offset) % _TILE
        window = np.ix_(rows, columns)
        tile[window] = np.maximum(tile[window], dome)
    return np.clip(tile * (0.7 + 0.6 * bumps), 0, 1)


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


def _weave(rng: np.random.Generator, material: Material, tint: float) -> Image.Image:
    """Turns a material into a board-sized RGB texture."""
    shade = sum(weight * (cut_noise(rng, kind) - 0.5) for kind, weight in material.layers)
    index = np.clip(128 + 255 * shade, 0, 255).astype(np.uint8)
    stops = np.linspace(0, 255, len(material.ramp))
    ramp = np.stack(
        [np.interp(np.arange(256), stops, channel) for channel in zip(*material.ramp, strict=True)]
    )
    image = Image.fromarray(index)
    image.putpalette(np.clip(ramp.T * tint, 0, 255).astype(np.uint8).tobytes())
    return image.convert("RGB")


class Canvas:
    """A board of colours and heights with its own coordinates.

    Scene coordinates are pixels of the final picture with (0, 0) in its middle, x to the right and y down, before
    the board is turned by `angle` and scaled by `zoom`. Draw out to about 165 so that turned corners are covered.

    Args:
        rng: Source of all chance in this scene.
        light: Sun and air.
        season: "summer", "spring", "autumn" or "dry": decides the look of what grows.
        angle: Turn of the whole scene in radians.
        zoom: Scale of the whole scene.
    """

    def __init__(
        self, rng: np.random.Generator, light: Light, season: str, angle: float = 0.0, zoom: float = 1.0
    ) -> None:
        self.rng = rng
        self.light = light
        self.season = season
        self.angle = angle
        self.zoom = zoom
        self.relief: np.ndarray | None = None
        self._color = Image.new("RGB", (BOARD, BOARD), (120, 115, 100))
        self._height = Image.new("L", (BOARD, BOARD), 0)
        self._claims = Image.new("L", (BOARD // _CLAIM_SCALE, BOARD // _CLAIM_SCALE), 0)
        self._draw_color = ImageDraw.Draw(self._color)
        self._draw_height = ImageDraw.Draw(self._height)
        self._draw_claims = ImageDraw.Draw(self._claims)
        self._textures: dict[str, Image.Image] = {}

    # ---- coordinates -------------------------------------------------------------------------------------

    def place(self, points: np.ndarray | Sequence) -> np.ndarray:
        """Turns scene coordinates, shape (..., 2), into board pixels of the same shape."""
        points = np.asarray(points, np.float64)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        scale = self.zoom * OVERSAMPLING
        turned = points @ np.array([[cosine, sine], [-sine, cosine]])
        return turned * scale + BOARD / 2

    def sees(self, points: np.ndarray | Sequence, margin: float = 0.0) -> np.ndarray:
        """Tells which scene points, shape (..., 2), lie at least `margin` final pixels inside the picture."""
        board = self.place(points)
        inset = margin * OVERSAMPLING
        return np.all((board >= inset) & (board < BOARD - inset), axis=-1)

    # ---- drawing -----------------------------------------------------------------------------------------

    def texture(self, material: str) -> Image.Image:
        """Gives the board-sized RGB texture of a named material, woven once a scene."""
        if material not in self._textures:
            look = MATERIALS.get(f"{material} {self.season}") or MATERIALS[material]
            self._textures[material] = _weave(self.rng, look, self.rng.uniform(0.93, 1.07))
        return self._textures[material]

    def cover(self, material: str) -> None:
        """Covers the whole board with a material, at height 0."""
        self._color.paste(self.texture(material))

    def cover_image(self, pixels: np.ndarray) -> None:
        """Covers the whole board with colours of your own, uint8 (BOARD, BOARD, 3)."""
        self._color.paste(Image.fromarray(pixels))

    def blend(self, material: str, mask: np.ndarray) -> None:
        """Lays a material over the board where mask, float (BOARD, BOARD) in 0..1, says so."""
        alpha = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
        self._color.paste(self.texture(material), mask=alpha)

    def polygon(
        self,
        points: np.ndarray | Sequence,
        fill: Color | str,
        height: float | None = None,
        claim: bool = False,
    ) -> None:
        """Fills a polygon.

        Args:
            points: Corners in scene coordinates, shape (n, 2).
            fill: A colour or the name of a material.
            height: Height of its top in final pixels; None leaves the heights as they are.
            claim: Whether `free` shall say no here from now on.
        """
        self._fill(self.place(points), fill, height, claim)

    def _fill(self, board: np.ndarray, fill: Color | str, height: float | None, claim: bool) -> None:
        outline = board.ravel().tolist()
        if isinstance(fill, str):
            self._paste_texture(
                fill, board, lambda draw, shift: draw.polygon((board - shift).ravel().tolist(), 255)
            )
        else:
            self._draw_color.polygon(outline, fill)
        if height is not None:
            self._draw_height.polygon(outline, self._level(height))
        if claim:
            self._draw_claims.polygon((board / _CLAIM_SCALE).ravel().tolist(), 1)

    def line(
        self,
        points: np.ndarray | Sequence,
        width: float,
        fill: Color | str,
        height: float | None = None,
        claim: bool = False,
    ) -> None:
        """Draws a band of the given width in final pixels along scene points (n, 2); see `polygon`."""
        board = self.place(points)
        pixels = max(1, round(width * self.zoom * OVERSAMPLING))
        flat = [tuple(point) for point in board.tolist()]
        if isinstance(fill, str):
            self._paste_texture(
                fill,
                board,
                lambda draw, shift: draw.line(
                    [tuple(p) for p in (board - shift).tolist()], 255, pixels, "curve"
                ),
                pixels,
            )
        else:
            self._draw_color.line(flat, fill, pixels, "curve")
        if height is not None:
            self._draw_height.line(flat, self._level(height), pixels, "curve")
        if claim:
            small = [tuple(point) for point in (board / _CLAIM_SCALE).tolist()]
            self._draw_claims.line(small, 1, max(1, math.ceil(pixels / _CLAIM_SCALE)), "curve")

    def disc(
        self,
        center: Sequence[float],
        radius: float,
        fill: Color | str,
        height: float | None = None,
        claim: bool = False,
        stretch: float = 1.0,
        angle: float = 0.0,
    ) -> None:
        """Fills a circle or, with stretch other than 1, an ellipse `stretch` times as long along `angle`."""
        turns = np.linspace(0, 2 * math.pi, 12 if radius < 4 else 40, endpoint=False)
        ring = np.stack([radius * stretch * np.cos(turns), radius * np.sin(turns)], axis=1)
        self.polygon(turn(ring, angle) + np.asarray(center), fill, height, claim)

    def boxes(
        self,
        centers: np.ndarray,
        sizes: np.ndarray,
        angles: np.ndarray | float,
        fills: Sequence[Color],
        height: float | None = None,
    ) -> None:
        """Draws many small rectangles at once.

        Args:
            centers: (n, 2) scene coordinates.
            sizes: (n, 2) or (2,): length along the angle and width across, in scene units.
            angles: (n,) or one angle in radians.
            fills: n colours.
            height: One height for all; None leaves heights alone.
        """
        centers = np.asarray(centers, np.float64).reshape(-1, 2)
        half = np.broadcast_to(np.asarray(sizes, np.float64) / 2, centers.shape)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half[:, None, :]
        cosine, sine = np.cos(angles), np.sin(angles)
        cosine, sine = (np.broadcast_to(value, len(centers))[:, None] for value in (cosine, sine))
        x, y = corners[..., 0], corners[..., 1]
        board = self.place(
            np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1) + centers[:, None, :]
        )
        for outline, fill in zip(board.reshape(-1, 8).tolist(), fills, strict=False):
            self._draw_color.polygon(outline, fill)
            if height is not None:
                self._draw_height.polygon(outline, self._level(height))

    def stamp(self, center: np.ndarray, color: Color, mask: Image.Image, dome: Image.Image) -> None:
        """Sets a small shape (a tree crown) with its own outline and heights at a board position (2,)."""
        corner = (int(center[0]) - mask.width // 2, int(center[1]) - mask.height // 2)
        self._color.paste(color, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)
        self._height.paste(dome, corner, mask)

    def raise_ground(self, relief: np.ndarray) -> None:
        """Adds a landscape, float32 (BOARD, BOARD) heights in board pixels, under everything drawn."""
        self.relief = relief if self.relief is None else self.relief + relief

    def claim(self, points: np.ndarray | Sequence) -> None:
        """Claims the ground under a polygon without drawing anything."""
        self._draw_claims.polygon((self.place(points) / _CLAIM_SCALE).ravel().tolist(), 1)

    def free(self, points: np.ndarray | Sequence, radius: float) -> np.ndarray:
        """Tells for scene points (..., 2) whether nothing has claimed the square of this half-width around them."""
        reach = radius * self.zoom * OVERSAMPLING * np.linspace(-1, 1, 5)
        offsets = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
        around = (self.place(points)[..., None, :] + offsets) / _CLAIM_SCALE
        column, row = np.moveaxis(np.clip(around.astype(int), 0, BOARD // _CLAIM_SCALE - 1), -1, 0)
        return ~np.asarray(self._claims)[row, column].any(axis=-1)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Scene coordinates x and y of every board pixel, float32 (BOARD, BOARD) each."""
        axis = (np.arange(BOARD, dtype=np.float32) - BOARD / 2) / (self.zoom * OVERSAMPLING)
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        column, row = axis[None, :], axis[:, None]
        return cosine * column + sine * row, cosine * row - sine * column

    def mask(self, polygons: Sequence = (), bands: Sequence = (), blur: float = 0.0) -> np.ndarray:
        """Where polygons and bands (points, width) lie: float32 (BOARD, BOARD) 0..1, edges softened by `blur`."""
        image = Image.new("L", (BOARD, BOARD), 0)
        draw = ImageDraw.Draw(image)
        for outline in polygons:
            draw.polygon(self.place(outline).ravel().tolist(), 255)
        for points, width in bands:
            pixels = max(1, round(width * self.zoom * OVERSAMPLING))
            draw.line([tuple(point) for point in self.place(points).tolist()], 255, pixels, "curve")
        if blur:
            image = image.filter(ImageFilter.BoxBlur(blur * self.zoom * OVERSAMPLING))
        return np.asarray(image).astype(np.float32) / 255

    def sun_on(self, normal_angle: float) -> float:
        """Gives the brightness, about 0.8 to 1.2, of a roof that falls towards a scene angle in radians."""
        return 1 - 0.2 * math.cos(normal_angle + self.angle - self.light.direction)

    def _level(self, height: float) -> int:
        return min(255, max(0, round(height * self.zoom * OVERSAMPLING)))

    def _paste_texture(self, material: str, board: np.ndarray, trace, margin: float = 0) -> None:
        """Pastes a texture through the shape that `trace(draw, shift)` draws, within the shape's bounds only."""
        low = np.clip(np.floor(board.min(axis=0) - margin), 0, BOARD).astype(int)
        high = np.clip(np.ceil(board.max(axis=0) + margin) + 1, 0, BOARD).astype(int)
        if np.any(high <= low):
            return
        mask = Image.new("L", (high - low).tolist(), 0)
        trace(ImageDraw.Draw(mask), low)
        box = (*low.tolist(), *high.tolist())
        self._color.paste(self.texture(material).crop(box), box, mask)

    # ---- light -------------------------------------------------------------------------------------------

    def develop(self) -> Image.Image:
        """Lights the board and reduces it to the finished RGB picture of SIZE x SIZE."""
        height = np.asarray(self._height).astype(np.float32)
        if self.relief is not None:
            height = height + self.relief
        brightness = _slope_light(height, self.light)
        brightness *= 0.86 + 0.12 * cut_noise(self.rng, "grain") + 0.16 * cut_noise(self.rng, "patches")
        shadow = _cast_shadow(height, self.light)
        pixels = np.asarray(self._color).astype(np.float32)
        depth = 1 - self.light.shade
        for channel, blueness in enumerate((1.04, 1.0, 0.88)):  # the sky lights shadows a little blue
            pixels[..., channel] *= brightness * (1 - depth * blueness * shadow)
        lit = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).reduce(OVERSAMPLING)
        return _grade(np.asarray(lit).astype(np.float32), self.light, self.rng)


def turn(points: np.ndarray | Sequence, angle: float) -> np.ndarray:
    """Rotates points (..., 2) about the origin, clockwise as seen on the picture."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.asarray(points, np.float64) @ np.array([[cosine, sine], [-sine, cosine]])


def _slope_light(height: np.ndarray, light: Light) -> np.ndarray:
    """Brightness factor (BOARD, BOARD) from how far each slope faces the sun (Lambert, linearised)."""
    rise = np.zeros_like(height)
    rise[:, 1:] += math.cos(light.direction) * (height[:, 1:] - height[:, :-1])
    rise[1:] += math.sin(light.direction) * (height[1:] - height[:-1])
    return 1 + np.clip(0.22 * rise, -0.42, 0.32)


def _cast_shadow(height: np.ndarray, light: Light) -> np.ndarray:
    """Shadow strength (BOARD, BOARD) in 0..1 by moving the heights along the light and lowering them.

    Doubling the step each time covers any shadow length in a handful of passes.
    """
    reach = np.round(height * 4).astype(np.int16)
    ground = reach.copy()
    drop = light.slope * 4
    longest = int(np.ptp(reach)) / drop
    step = 1
    while step <= longest:
        dx, dy = round(step * math.cos(light.direction)), round(step * math.sin(light.direction))
        target = reach[max(dy, 0) : BOARD + min(dy, 0), max(dx, 0) : BOARD + min(dx, 0)]
        source = reach[max(-dy, 0) : BOARD + min(-dy, 0), max(-dx, 0) : BOARD + min(-dx, 0)]
        np.maximum(target, source - np.int16(round(step * drop)), out=target)
        step *= 2
    return np.clip((reach - ground) * np.float32(1 / 10), 0, 1)


def _grade(pixels: np.ndarray, light: Light, rng: np.random.Generator) -> Image.Image:
    """Puts air and camera over the lit picture: saturation, haze, warmth, exposure, a trace of sensor noise."""
    grey = pixels.mean(axis=-1, keepdims=True)
    pixels = grey + light.saturation * (pixels - grey)
    pixels += light.haze * (np.array([196, 205, 212], np.float32) - pixels)
    pixels *= light.exposure * np.array([1 + light.warmth, 1, 1 - light.warmth], np.float32)
    pixels += rng.standard_normal(pixels.shape[:2], np.float32)[..., None] * 2.0
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
