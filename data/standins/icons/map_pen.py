"""A pen that draws simple map-like shapes in one of several looks.

A drawing is written once, in its own frame (x to the right, y down, roughly -1 to 1), and names what
it paints by *role*: "water", "building", "road". The look decides what a role turns into: the color of a map
tile, one of two inks, or nothing but an outline.
"""

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Color = tuple[int, int, int]
Point = tuple[float, float]

SUPERSAMPLING = 3

MAP_COLORS: dict[str, Color] = {
    "ground": (242, 239, 230),
    "grass": (203, 232, 170),
    "tree": (128, 184, 112),
    "water": (158, 206, 226),
    "pool": (92, 196, 232),
    "foam": (240, 250, 252),
    "sand": (246, 233, 190),
    "soil": (219, 192, 154),
    "rock": (198, 188, 176),
    "snow": (250, 251, 252),
    "crop": (232, 224, 150),
    "building": (216, 204, 196),
    "hall": (190, 198, 214),
    "roof": (206, 122, 98),
    "road": (253, 253, 250),
    "asphalt": (190, 190, 194),
    "marking": (255, 255, 255),
    "track": (226, 132, 100),
    "steel": (230, 232, 236),
    "accent": (232, 92, 72),
    "shade": (110, 112, 120),
}
PAINTED_COLORS: dict[str, Color] = {
    "ground": (150, 143, 122),
    "grass": (104, 128, 72),
    "tree": (52, 78, 44),
    "water": (58, 92, 104),
    "pool": (84, 176, 196),
    "foam": (222, 230, 228),
    "sand": (212, 192, 148),
    "soil": (166, 132, 96),
    "rock": (132, 120, 106),
    "snow": (232, 236, 240),
    "crop": (176, 166, 92),
    "building": (186, 180, 172),
    "hall": (158, 170, 184),
    "roof": (152, 88, 68),
    "road": (136, 134, 132),
    "asphalt": (98, 98, 102),
    "marking": (232, 232, 226),
    "track": (176, 88, 64),
    "steel": (206, 208, 210),
    "accent": (196, 72, 58),
    "shade": (70, 72, 78),
}
LOOKS = ("map", "painting", "poster", "symbol", "drawing", "blueprint")


@dataclass(frozen=True)
class Look:
    """How a drawing is put on paper.

    Attributes:
        name: One of `LOOKS`.
        colors: The color of each role.
        ink: Color of outlines and thin strokes.
        filled: Whether shapes carry their role's color; otherwise they are outlines on paper.
        outlined: Whether filled shapes get an outline too.
        line_width: Width of thin strokes as a share of the image's width.
        grain: Standard deviation of pixel noise, in gray levels of 255.
        blur: Radius of a final blur, as a share of the image's width.
    """

    name: str
    colors: dict[str, Color]
    ink: Color
    filled: bool = True
    outlined: bool = False
    line_width: float = 0.012
    grain: float = 0.0
    blur: float = 0.0


def _jittered(color: Color, rng: np.random.Generator, hue: float, rest: float) -> Color:
    """Moves a color by up to `hue` turns of the color wheel and `rest` in saturation and value."""
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in color))
    h = (h + rng.uniform(-hue, hue)) % 1
    s = float(np.clip(s + rng.uniform(-rest, rest) * min(1.0, 0.3 + 2 * s), 0, 1))
    v = float(np.clip(v + rng.uniform(-rest, rest), 0, 1))
    red, green, blue = colorsys.hsv_to_rgb(h, s, v)
    return round(255 * red), round(255 * green), round(255 * blue)


def _random_color(rng: np.random.Generator) -> Color:
    """Any color, with the middle of the saturation range preferred."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.beta(2, 2), rng.uniform(0.25, 1.0))
    return round(255 * red), round(255 * green), round(255 * blue)


def _mixed(first: Color, second: Color, share: float) -> Color:
    """The color `share` of the way from the first to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _luminance(color: Color) -> float:
    """Brightness as the eye weighs it (Rec. 601), 0 to 1."""
    return (0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]) / 255


def _ink_and_paper(name: str, rng: np.random.Generator) -> tuple[Color, Color]:
    """Two colors that stand apart: blueprint blue, two random ones, or dark on light as a pencil leaves."""
    if name == "blueprint":
        return _jittered((226, 238, 250), rng, 0.03, 0.05), _jittered((34, 78, 148), rng, 0.04, 0.12)
    light, dark = _jittered((246, 244, 236), rng, 0.5, 0.05), _jittered((44, 44, 52), rng, 0.5, 0.15)
    if name == "symbol":
        dark = _random_color(rng)
        if _luminance(dark) > 0.6:
            dark = _mixed(dark, (0, 0, 0), 0.5)
        return (light, dark) if rng.random() < 0.7 else (dark, light)
    return dark, light


def draw_look(name: str, rng: np.random.Generator) -> Look:
    """Draws one variation of a look.

    Args:
        name: One of `LOOKS`.
        rng: Source of every choice.

    Returns:
        The look, with a color for every role.

    Raises:
        ValueError: If there is no such look.
    """
    width = rng.uniform(0.008, 0.02)
    if name in ("drawing", "blueprint"):
        ink, paper = _ink_and_paper(name, rng)
        colors = dict.fromkeys(MAP_COLORS, paper) | {"shade": ink}
        return Look(name, colors, ink, filled=False, line_width=1.3 * width, grain=rng.uniform(0, 6))
    if name == "symbol":
        ink, paper = _ink_and_paper(name, rng)
        levels = {role: _luminance(MAP_COLORS[role]) for role in MAP_COLORS}
        order = sorted(levels, key=levels.__getitem__)
        colors = {role: _mixed(ink, paper, order.index(role) / (len(order) - 1)) for role in order}
        return Look(name, colors, ink, outlined=True, line_width=width)
    if name == "poster":
        colors = {role: _random_color(rng) for role in MAP_COLORS}
        ink = _mixed(colors["ground"], (0, 0, 0) if _luminance(colors["ground"]) > 0.45 else (255,) * 3, 0.8)
        return Look(name, colors, ink, outlined=rng.random() < 0.6, line_width=width, grain=rng.uniform(0, 6))
    if name == "map":
        colors = {role: _jittered(color, rng, 0.03, 0.06) for role, color in MAP_COLORS.items()}
        ink = _jittered((120, 112, 108), rng, 0.1, 0.1)
        return Look(name, colors, ink, outlined=rng.random() < 0.6, line_width=width, grain=rng.uniform(0, 3))
    if name == "painting":
        colors = {role: _jittered(color, rng, 0.04, 0.12) for role, color in PAINTED_COLORS.items()}
        ink = _jittered((58, 54, 50), rng, 0.1, 0.1)
        grain, blur = rng.uniform(4, 18), rng.uniform(0, 0.01)
        return Look(name, colors, ink, rng.random() < 0.2, line_width=width, grain=grain, blur=blur)
    raise ValueError(f"There is no look named {name!r}; the looks are {', '.join(LOOKS)}.")


class MapPen:
    """Draws shapes of the unit frame into an image, turned and scaled, in one look.

    Attributes:
        look: The look in use.
        rng: Source of the wobble in blobs; drawings may draw from it too.
    """

    def __init__(
        self, look: Look, rng: np.random.Generator, size: int, angle: float, scale: float, offset: Point
    ) -> None:
        """Opens an empty sheet.

        Args:
            look: Colors and line style.
            rng: Random generator.
            size: Width and height of the finished image in pixels.
            angle: Turn of the drawing in radians.
            scale: Size of the drawing; at 1 the frame's -1 to 1 spans the image.
            offset: Shift of the drawing's center, in frame units.
        """
        self.look, self.rng, self._size = look, rng, size
        side = size * SUPERSAMPLING
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self._matrix = turn * scale * side / 2
        self._shift = (np.asarray(offset) + 1) * side / 2
        self._pixels_per_unit = scale * side / 2
        self._line = max(1, round(look.line_width * side))
        self._image = Image.new("RGB", (side, side), look.colors["ground"])
        self._draw = ImageDraw.Draw(self._image)

    def _place(self, points: Iterable[Point]) -> list[tuple[float, float]]:
        """Frame coordinates to pixels of the enlarged sheet."""
        placed = np.asarray(list(points), dtype=float) @ self._matrix.T + self._shift
        return [(float(x), float(y)) for x, y in placed]

    def cover(self, role: str) -> None:
        """Fills the whole sheet."""
        self._image.paste(self.look.colors[role], (0, 0, *self._image.size))

    def polygon(self, points: Iterable[Point], role: str) -> None:
        """A closed shape, filled and outlined as the look has it."""
        placed = self._place(points)
        self._draw.polygon(placed, fill=self.look.colors[role])
        if self.look.outlined or not self.look.filled:
            self._draw.line([*placed, placed[0]], fill=self.look.ink, width=self._line, joint="curve")

    def disc(self, center: Point, radius: float, role: str, ratio: float = 1.0) -> None:
        """A circle, or an ellipse with its upright axis `ratio` times the other."""
        turns = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        x, y = radius * np.cos(turns), radius * ratio * np.sin(turns)
        self.polygon(zip(center[0] + x, center[1] + y, strict=True), role)

    def box(self, center: Point, width: float, height: float, role: str, angle: float = 0.0) -> None:
        """A rectangle about its center."""
        self.polygon(box_corners(center, width, height, angle), role)

    def blob(
        self, center: Point, radius: float, role: str, wobble: float = 0.25, ratio: float = 1.0, rim: str | None = None
    ) -> None:
        """A closed shape with a soft irregular edge, such as a pond, perhaps with a narrow rim around it."""
        turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
        radii = np.ones_like(turns)
        for wave in (2, 3, 4, 5):
            phase, height = self.rng.uniform(0, 2 * np.pi), self.rng.normal(0, wobble / wave)
            radii += height * np.cos(wave * turns + phase)
        radii = radius * np.clip(radii, 0.45, 1.6)
        for role_here, grown in ((rim, radii + 0.07), (role, radii)):
            if role_here is not None:
                x, y = center[0] + grown * np.cos(turns), center[1] + ratio * grown * np.sin(turns)
                self.polygon(zip(x, y, strict=True), role_here)

    def stroke(self, points: Sequence[Point], thickness: float = 1.0, role: str | None = None) -> None:
        """A thin line in ink, or in a role's color where the look fills shapes."""
        color = self.look.colors[role] if role and self.look.filled else self.look.ink
        self._draw.line(self._place(points), fill=color, width=max(1, round(thickness * self._line)), joint="curve")

    def ribbon(self, points: Sequence[Point], width: float, role: str, edge: bool = True) -> None:
        """A band of the given width along a line: a road, a river; `edge` casts it in ink as maps do."""
        placed = self._place(points)
        pixels = max(2, round(width * self._pixels_per_unit))
        if edge and (self.look.outlined or not self.look.filled):
            self._thick(placed, pixels + 2 * self._line, self.look.ink)
        self._thick(placed, pixels, self.look.colors[role])

    def _thick(self, placed: Sequence[tuple[float, float]], width: int, color: Color) -> None:
        """A wide line with round corners and ends (Pillow leaves notches in wide polylines)."""
        self._draw.line(placed, fill=color, width=width, joint="curve")
        if width > 4:
            for x, y in placed:
                half = (width - 1) / 2
                self._draw.ellipse((x - half, y - half, x + half, y + half), fill=color)

    def dashes(self, points: Sequence[Point], role: str) -> None:
        """A dashed line along a polyline."""
        length, width = 0.08, 0.025
        path = np.asarray(points, dtype=float)
        steps = np.hypot(*np.diff(path, axis=0).T)
        along = np.concatenate([[0], np.cumsum(steps)])
        for start in np.arange(0, along[-1], 2 * length):
            ends = np.array([start, min(start + length, along[-1])])
            dash = np.stack([np.interp(ends, along, path[:, axis]) for axis in (0, 1)], axis=1)
            if self.look.filled:
                self.ribbon([tuple(point) for point in dash], width, role, edge=False)
            else:
                self.stroke([tuple(point) for point in dash], 0.8)

    def finish(self) -> Image.Image:
        """The finished image: reduced to its size, then blurred and grained as the look asks."""
        image = self._image.reduce(SUPERSAMPLING)
        if self.look.blur:
            image = image.filter(ImageFilter.GaussianBlur(self.look.blur * self._size))
        if self.look.grain:
            pixels = np.asarray(image, dtype=np.float32)
            grained = pixels + self.rng.normal(0, self.look.grain, pixels.shape[:2])[..., None]
            image = Image.fromarray(np.clip(grained, 0, 255).astype(np.uint8))
        return image


def box_corners(center: Point, width: float, height: float, angle: float = 0.0) -> list[Point]:
    """The four corners of a turned rectangle."""
    c, s = np.cos(angle), np.sin(angle)
    halves = ((-width / 2, -height / 2), (width / 2, -height / 2), (width / 2, height / 2), (-width / 2, height / 2))
    return [(center[0] + c * x - s * y, center[1] + s * x + c * y) for x, y in halves]
