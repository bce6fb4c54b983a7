"""Outlines on the Earth as a small map: SVG within the page, with a graticule, and nothing from elsewhere.

The map is an equirectangular one, true to scale in the middle of what it shows. What lies on both sides of the
antimeridian is shown side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from utils.demo.results import center_of, rings_of
from utils.finder.place import Place, footprints
from utils.search import IndexedScene

WIDTH = 640  # of the drawing, in its own units
SHAPES = (0.4, 0.65)  # the least and the greatest height, as a share of the width
MARGIN = 0.12  # of the longer side, around what is shown
LEAST_SPAN = 1e-4  # degrees
LINES = 5  # of longitude or latitude, about
STEPS = (1, 2, 5, 10)  # between lines, times a power of ten
LARGE_STEPS = (10, 15, 30, 45)  # degrees
FINE = 1e-4  # degrees, some ten meters

Ring = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Outline:
    """Something on the map."""

    geometry: dict[str, Any]  # a Polygon or MultiPolygon of GeoJSON
    kind: str  # its class in CSS: scene, or hit
    label: str  # what it is, for those who point at it or cannot see it
    mark: str = ""  # a short text in its middle


@dataclass(frozen=True)
class Overview:
    """A scene as a small image, and where it lies."""

    address: str  # of the image, within the page
    size: tuple[int, int]  # width and height of the scene in pixels
    place: Place


def draw_map(outlines: Sequence[Outline], title: str, overview: Overview | None = None) -> str:
    """A map of outlines, the later ones above the earlier, as SVG; empty if there is none."""
    if not outlines:
        return ""
    view = _View.of([point for outline in outlines for ring in rings_of(outline.geometry) for point in ring])
    image = "" if overview is None else _image(view, overview)
    shapes = "".join(_shape(view, outline) for outline in outlines)
    marks = "".join(_mark(view, outline) for outline in outlines if outline.mark)
    return (
        f'<svg class="map" role="img" viewBox="0 0 {WIDTH} {view.height:.0f}" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{_graticule(view)}{image}{shapes}{marks}</svg>"
    )


@dataclass(frozen=True)
class _View:
    """The part of the Earth that a map shows."""

    west: float  # degrees
    north: float
    scale: float  # units of the drawing for a degree of latitude
    narrowing: float  # a degree of longitude as a share of one of latitude
    height: float  # of the drawing
    turned: bool  # whether longitudes west of Greenwich count on from 180

    @classmethod
    def of(cls, points: Iterable[Sequence[float]]) -> _View:
        degrees = np.array([point[:2] for point in points], np.float64)
        across = np.where(degrees[:, 0] < 0, degrees[:, 0] + 360, degrees[:, 0])
        turned = bool(np.ptp(across) < np.ptp(degrees[:, 0]))
        if turned:
            degrees[:, 0] = across
        (west, south), (east, north) = degrees.min(axis=0), degrees.max(axis=0)
        narrowing = max(0.05, math.cos(math.radians((south + north) / 2)))
        width, height = (east - west) * narrowing, north - south
        margin = MARGIN * max(width, height, LEAST_SPAN)
        width, height = width + 2 * margin, height + 2 * margin
        wider, higher = max(width, height / SHAPES[1]), max(height, width * SHAPES[0])
        middle = (west + east) / 2, (south + north) / 2
        scale = WIDTH / wider
        return cls(middle[0] - wider / narrowing / 2, middle[1] + higher / 2, scale, narrowing, higher * scale, turned)

    def place(self, longitude: float, latitude: float) -> tuple[float, float]:
        """A point of the Earth on the drawing."""
        if self.turned and longitude < 0:
            longitude += 360
        return (longitude - self.west) * self.narrowing * self.scale, (self.north - latitude) * self.scale


def _shape(view: _View, outline: Outline) -> str:
    path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ring) + "Z" for ring in _drawn(view, outline))
    return f'<g class="{outline.kind}"><title>{escape(outline.label)}</title><path d="{path}"/></g>'


def _mark(view: _View, outline: Outline) -> str:
    ring = _drawn(view, outline)[0]
    x, y = (sum(values) / len(ring) for values in zip(*ring, strict=True))
    return f'<text class="mark" x="{x:.1f}" y="{y:.1f}">{escape(outline.mark)}</text>'


def _drawn(view: _View, outline: Outline) -> list[list[tuple[float, float]]]:
    """The rings of an outline on the drawing, not closed."""
    return [[view.place(*point[:2]) for point in ring[:-1]] for ring in rings_of(outline.geometry)]


def _image(view: _View, overview: Overview) -> str:
    """The scene's overview, laid where three of its corners' pixels are; empty where they have no place."""
    width, height = overview.size
    last, bottom = width - 1, height - 1
    corners = np.array([[0, 0, 1, 1], [last, 0, width, 1], [0, bottom, 1, height]], np.int64)
    centers = [center_of(geometry) for geometry in footprints(corners, overview.place)]
    if None in centers or not last or not bottom:
        return ""
    start, right, down = (np.array(view.place(*center)) for center in centers if center is not None)
    across, below = (right - start) * width / last, (down - start) * height / bottom
    start = start - across / width / 2 - below / height / 2
    numbers = " ".join(f"{number:.3f}" for number in (*across, *below, *start))
    return (
        f'<image href="{overview.address}" width="1" height="1" preserveAspectRatio="none" '
        f'transform="matrix({numbers})"/>'
    )


def _graticule(view: _View) -> str:
    """Meridians and parallels with their degrees at the edge."""
    east = view.west + WIDTH / view.scale / view.narrowing
    south = view.north - view.height / view.scale
    step = _step(east - view.west)
    drawn = []
    for longitude in _between(view.west, east, step):
        x = (longitude - view.west) * view.narrowing * view.scale
        named = _degrees((longitude + 180) % 360 - 180, "E", "W", step)
        drawn.append(f'<path d="M{x:.1f} 0V{view.height:.1f}"/><text x="{x + 4:.1f}" y="20">{named}</text>')
    step = _step(view.north - south)
    for latitude in _between(south, view.north, step):
        y = (view.north - latitude) * view.scale
        if y > 36 and abs(latitude) <= 90:  # below the row of longitudes
            named = _degrees(latitude, "N", "S", step)
            drawn.append(f'<path d="M0 {y:.1f}H{WIDTH}"/><text x="4" y="{y - 4:.1f}">{named}</text>')
    return f'<g class="graticule">{"".join(drawn)}</g>'


def _step(span: float) -> float:
    """Degrees between lines, so that about `LINES` of them are in a span."""
    least = span / LINES
    if least > LARGE_STEPS[0] / 2:
        return next((step for step in LARGE_STEPS if step >= least), LARGE_STEPS[-1])
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in STEPS if step * power >= least)


def _between(low: float, high: float, step: float) -> list[float]:
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _degrees(value: float, positive: str, negative: str, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step)))
    side = "" if not round(value % 180, digits) else f" {positive if value > 0 else negative}"
    return f"{abs(value):.{digits}f}°{side}"


def place_in_words(center: tuple[float, float] | None) -> str:
    """Latitude and longitude as people read them; empty if there is none."""
    if center is None:
        return ""
    longitude, latitude = center
    return (
        f"{abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'}, {abs(longitude):.4f}° {'E' if longitude >= 0 else 'W'}"
    )


def whole_outline(size: tuple[int, int], place: Place) -> dict[str, Any] | None:
    """The outline of a whole scene as GeoJSON; None where it has no place."""
    return footprints(np.array([[0, 0, *size]], np.int64), place)[0]


def outline_of_scene(scene: IndexedScene) -> dict[str, Any] | None:
    """The outline of a scene of an index as GeoJSON, as far as its tiles reach; None where it has no place."""
    corners = np.concatenate([scene.boxes[:, :2].min(axis=0), scene.boxes[:, 2:].max(axis=0)])
    return footprints(corners[None], scene.place)[0]
