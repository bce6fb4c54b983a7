"""The drawing board of the miniature: a canvas of colors and heights, lit by one sun.

A scene is drawn twice at once, as colors and as heights, on a board of twice the final size. `Canvas.develop`
then lights the colors: slopes towards the sun are brighter, whatever is higher throws a shadow, haze and
exposure settle over everything, and the board is reduced to the final image (deferred shading).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from standins.scenes.materials import MATERIALS, Color, Material
from standins.scenes.noise import BOARD, OVERSAMPLING, cut_noise
from standins.scenes.shapes import Points, band, rotation

_CLAIM_SCALE = 4  # board pixels to one pixel of the map of claimed ground

_NEIGHBORHOOD = np.stack(np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)), axis=-1).reshape(-1, 2)
_BOX = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
_CIRCLES = {
    corners: np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for corners in (12, 40)
    for turns in [np.linspace(0, 2 * math.pi, corners, endpoint=False)]
}


@dataclass(frozen=True)
class Light:
    """How the sun and the air are.

    Attributes:
        direction: Where shadows fall, in radians, clockwise from the right edge of the image.
        slope: Tangent of the sun's elevation: a shadow is height / slope long.
        shade: Brightness of the shadows, 0 (black) to 1 (no shadow).
        exposure: Factor on all brightness.
        warmth: Red against blue, about -0.06 (cool) to 0.06 (warm).
        haze: Share of whitish air between ground and camera, 0 to about 0.3.
        saturation: Factor on the distance of colors from gray.
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


def _weave(rng: np.random.Generator, material: Material, tint: float) -> Image.Image:
    """Turns a material into a board-sized RGB texture, woven at the final size to save time."""
    fine = slice(None, None, OVERSAMPLING)
    shade = sum(weight * (cut_noise(rng, kind)[fine, fine] - 0.5) for kind, weight in material.layers)
    index = np.clip(128 + 255 * shade, 0, 255).astype(np.uint8)
    stops = np.linspace(0, 255, len(material.ramp))
    ramp = np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*material.ramp, strict=True)])
    image = Image.fromarray(index)
    image.putpalette(np.clip(ramp.T * tint, 0, 255).astype(np.uint8).tobytes())
    return image.convert("RGB").resize((BOARD, BOARD), Image.Resampling.NEAREST)


class Canvas:
    """A board of colors and heights with its own coordinates.

    Scene coordinates are pixels of the final image with (0, 0) in its middle, x to the right and y down, before
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
        self._relief: np.ndarray | None = None
        self._tone: np.ndarray | None = None
        self._to_board = rotation(angle) * zoom * OVERSAMPLING
        self._color = Image.new("RGB", (BOARD, BOARD), (120, 115, 100))
        self._height = Image.new("L", (BOARD, BOARD), 0)
        self._claims = Image.new("L", (BOARD // _CLAIM_SCALE, BOARD // _CLAIM_SCALE), 0)
        self._draw_color = ImageDraw.Draw(self._color)
        self._draw_height = ImageDraw.Draw(self._height)
        self._draw_claims = ImageDraw.Draw(self._claims)
        self._textures: dict[str, Image.Image] = {}

    # ---- coordinates -------------------------------------------------------------------------------------

    def place(self, points: Points) -> np.ndarray:
        """Turns scene coordinates, shape (..., 2), into board pixels of the same shape."""
        return np.asarray(points, np.float64) @ self._to_board + BOARD / 2

    def sees(self, points: Points, margin: float = 0.0) -> np.ndarray:
        """Tells which scene points, shape (..., 2), lie at least `margin` final pixels inside the image."""
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

    def blend(self, material: str, mask: np.ndarray) -> None:
        """Lays a material over the board where mask, float (BOARD, BOARD) in 0..1, says so."""
        alpha = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
        self._color.paste(self.texture(material), mask=alpha)

    def polygon(self, points: Points, fill: Color | str, height: float | None = None, claim: bool = False) -> None:
        """Fills a polygon.

        Args:
            points: Corners in scene coordinates, shape (n, 2).
            fill: A color or the name of a material.
            height: Height of its top in final pixels; None leaves the heights as they are.
            claim: Whether `free` shall say no here from now on.
        """
        self._fill(self.place(points)[None], fill, height, claim)

    def line(
        self, points: Points, width: float, fill: Color | str, height: float | None = None, claim: bool = False
    ) -> None:
        """Draws a band of the given width in final pixels along scene points (n, 2); see `polygon`."""
        self._fill(self._band(points, width), fill, height, claim)

    def _band(self, points: Points, width: float) -> np.ndarray:
        """The quadrilaterals (n - 1, 4, 2) in board pixels that make up a band along scene points (n, 2)."""
        return band(self.place(points), max(1.0, width * self.zoom * OVERSAMPLING))

    def _fill(self, polygons: np.ndarray, fill: Color | str, height: float | None, claim: bool) -> None:
        """Fills polygons of equal length, (n, corners, 2) in board pixels."""
        outlines = polygons.reshape(len(polygons), -1)
        if isinstance(fill, str):
            self._fill_with_texture(polygons, fill)
        else:
            _trace(self._draw_color, outlines, fill)
        if height is not None:
            _trace(self._draw_height, outlines, self._level(height))
        if claim:
            _trace(self._draw_claims, outlines / _CLAIM_SCALE, 1)

    def _fill_with_texture(self, polygons: np.ndarray, material: str) -> None:
        """Pastes a texture through polygons (n, corners, 2), touching only the part of the board they lie on."""
        low = np.clip(np.floor(polygons.min(axis=(0, 1))), 0, BOARD).astype(int)
        high = np.clip(np.ceil(polygons.max(axis=(0, 1))) + 1, 0, BOARD).astype(int)
        if np.any(high <= low):
            return
        mask = Image.new("L", (high - low).tolist(), 0)
        _trace(ImageDraw.Draw(mask), (polygons - low).reshape(len(polygons), -1), 255)
        box = (*low.tolist(), *high.tolist())
        self._color.paste(self.texture(material).crop(box), box, mask)

    def disc(
        self, center: Points, radius: float, fill: Color | str, height: float | None = None, claim: bool = False
    ) -> None:
        """Fills a circle; see `polygon`."""
        circle = _CIRCLES[12 if radius < 4 else 40]
        self.polygon(circle * radius + np.asarray(center), fill, height, claim)

    def boxes(
        self,
        centers: Points,
        sizes: Points,
        angles: np.ndarray | float,
        fills: Sequence[Color],
        height: float | None = None,
    ) -> None:
        """Draws many small rectangles at once.

        Args:
            centers: (n, 2) scene coordinates.
            sizes: (n, 2) or (2,): length along the angle and width across, in scene units.
            angles: (n,) or one angle in radians.
            fills: n colors.
            height: One height for all; None leaves heights alone.
        """
        centers = np.asarray(centers, np.float64).reshape(-1, 1, 2)
        half = np.asarray(sizes, np.float64).reshape(-1, 1, 2) / 2
        angles = np.asarray(angles, np.float64).reshape(-1, 1)
        x, y = np.moveaxis(_BOX * half, -1, 0)
        turned = np.stack([np.cos(angles) * x - np.sin(angles) * y, np.sin(angles) * x + np.cos(angles) * y], -1)
        board = self.place(turned + centers)
        level = None if height is None else self._level(height)
        for outline, fill in zip(board.reshape(-1, 8).tolist(), fills, strict=True):
            self._draw_color.polygon(outline, fill)
            if level is not None:
                self._draw_height.polygon(outline, level)

    def stamp(self, center: np.ndarray, color: Color, mask: Image.Image, dome: Image.Image) -> None:
        """Sets a small shape (a tree crown) with its own outline and heights at a board position (2,)."""
        corner = (int(center[0]) - mask.width // 2, int(center[1]) - mask.height // 2)
        self._color.paste(color, (*corner, corner[0] + mask.width, corner[1] + mask.height), mask)
        self._height.paste(dome, corner, mask)

    def raise_ground(self, relief: np.ndarray) -> None:
        """Adds a landscape, float32 (BOARD, BOARD) heights in board pixels, under everything drawn."""
        self._relief = relief if self._relief is None else self._relief + relief

    def tint(self, tone: np.ndarray) -> None:
        """Makes the ground lighter or darker: a factor about 1, float32 (BOARD, BOARD)."""
        self._tone = tone if self._tone is None else self._tone * tone

    def claim(self, points: Points) -> None:
        """Claims the ground under a polygon without drawing anything."""
        self._draw_claims.polygon((self.place(points) / _CLAIM_SCALE).ravel().tolist(), 1)

    def free(self, points: Points, radius: float) -> np.ndarray:
        """Tells for scene points (..., 2) whether nothing has claimed the square of this half-width around them."""
        around = self.place(points)[..., None, :] + _NEIGHBORHOOD * (radius * self.zoom * OVERSAMPLING)
        cells = np.clip((around / _CLAIM_SCALE).astype(int), 0, BOARD // _CLAIM_SCALE - 1)
        return ~np.asarray(self._claims)[cells[..., 1], cells[..., 0]].any(axis=-1)

    def cells(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Board rows and columns of scene points (n, 2), clipped to the board, for looking into a field."""
        column, row = np.clip(self.place(points), 0, BOARD - 1).astype(int).T
        return row, column

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
            quads = self._band(points, width)
            _trace(draw, quads.reshape(len(quads), -1), 255)
        if blur:
            image = image.filter(ImageFilter.BoxBlur(blur * self.zoom * OVERSAMPLING))
        return np.asarray(image).astype(np.float32) / 255

    def sun_on(self, normal_angle: float) -> float:
        """Gives the brightness, about 0.8 to 1.2, of a roof that falls towards a scene angle in radians."""
        return 1 - 0.2 * math.cos(normal_angle + self.angle - self.light.direction)

    def _level(self, height: float) -> int:
        """What a height in scene units is in the board's bytes."""
        return min(255, max(0, round(height * self.zoom * OVERSAMPLING)))

    # ---- light -------------------------------------------------------------------------------------------

    def develop(self) -> Image.Image:
        """Lights the board and reduces it to the finished RGB image of SIZE x SIZE."""
        height = np.asarray(self._height).astype(np.float32)
        if self._relief is not None:
            height += self._relief
        brightness = _slope_light(height, self.light)
        brightness += 0.12 * cut_noise(self.rng, "grain") + 0.16 * cut_noise(self.rng, "patches") - 0.14
        if self._tone is not None:
            brightness *= self._tone
        brightness = _halve(brightness)
        shadow = _halve(_cast_shadow(height, self.light)) * (1 - self.light.shade)
        planes = []
        for plane, blueness in zip(self._color.reduce(OVERSAMPLING).split(), (1.04, 1.0, 0.88), strict=True):
            lit = brightness * (1 - blueness * shadow)  # the sky lights shadows a little blue
            planes.append(np.clip(np.asarray(plane) * lit, 0, 255))
        return _grade(planes, self.light, self.rng)


def _trace(draw: ImageDraw.ImageDraw, outlines: np.ndarray, fill: Color | int) -> None:
    """Fills polygons given as rows of x and y in turn, (n, 2 * corners)."""
    for outline in outlines.tolist():
        draw.polygon(outline, fill)


def _halve(field: np.ndarray) -> np.ndarray:
    """Averages a board field, float32 (BOARD, BOARD), down to (SIZE, SIZE)."""
    return np.asarray(Image.fromarray(field).reduce(OVERSAMPLING))


def _slope_light(height: np.ndarray, light: Light) -> np.ndarray:
    """Brightness factor (BOARD, BOARD) from how far each slope faces the sun (Lambert, linearized)."""
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


def _grade(planes: Sequence[np.ndarray], light: Light, rng: np.random.Generator) -> Image.Image:
    """Puts air and camera over lit red, green and blue planes: saturation, haze, exposure, warmth, sensor noise."""
    red, green, blue = planes
    gray = (red + green + blue) / 3
    noise = 2 * rng.standard_normal(gray.shape, np.float32)
    graded = []
    for plane, air, warmth in zip(planes, (196, 205, 212), (light.warmth, 0, -light.warmth), strict=True):
        plane = gray + light.saturation * (plane - gray)
        plane = plane + light.haze * (air - plane)
        plane = plane * (light.exposure * (1 + warmth)) + noise
        graded.append(Image.fromarray(np.clip(plane, 0, 255).astype(np.uint8)))
    return Image.merge("RGB", graded)
