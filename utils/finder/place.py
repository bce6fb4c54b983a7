"""Where a scene lies on the Earth, or in one sentence why nobody knows, and the outlines of its tiles there.

Outlines are cut at the antimeridian (RFC 7946, 3.1.9). GDAL's own cutting leaves polygons that run clockwise and, with
some projections, polygons that span the Earth the wrong way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

GLOBE = "EPSG:4326"
COARSE, FINE = 4, 32  # points on a side: to see whether it bends, and to follow it if it does
MOST_BEND = 0.01  # of a side's length, in degrees; a side that bends less is drawn straight
AT_POLE = 90 - 1e-9  # degrees
LEAST_AREA = 1e-9  # of the outline's; a piece that is less comes of rounding


@dataclass(frozen=True)
class Place:
    """Where a scene lies."""

    crs: str | None = None  # the reference system of its coordinates as WKT; None where it has no place
    transform: Affine | None = None  # from pixels (column, row) to those coordinates; None likewise
    reason: str = ""  # why it has none, a sentence without its end; empty where it has one


NO_PLACE = Place(reason="has no coordinate reference system")


def place_of(dataset: Any) -> Place:
    """Finds the place of a raster that rasterio has opened."""
    crs, transform = dataset.crs, dataset.transform
    if crs and not transform.is_identity:
        if transform.determinant == 0:
            return Place(reason="has a transform that lays all its pixels on one line")
        if _leads_to_degrees(crs):
            return Place(crs.to_wkt(), transform)
        return Place(
            reason="has a coordinate reference system from which no longitude and latitude follow (that of a site, of "
            "another planet, or of the Earth's center); warp it to a map of the Earth first (gdalwarp)"
        )
    if dataset.gcps[0]:
        return Place(reason="has ground control points in place of a transform; warp it to a map first (gdalwarp)")
    if dataset.rpcs is not None:
        return Place(reason="has a camera model (RPCs) in place of a transform; orthorectify it first (gdalwarp -rpc)")
    if crs:
        return Place(reason="names a coordinate reference system, but no transform to it (its world file may be lost)")
    return NO_PLACE


def _leads_to_degrees(crs: CRS) -> bool:
    from rasterio import warp

    try:
        warp.transform(crs, GLOBE, [0.0], [0.0])
    except Exception as error:  # GDAL's own, which have no public name in rasterio
        # Any other error says only that this one point is not on the map.
        if type(error).__name__ == "CPLE_NotSupportedError":
            return False
    return crs.is_geographic or crs.is_projected


def footprints(boxes: np.ndarray, place: Place) -> list[dict[str, Any] | None]:
    """The outlines of boxes (tiles, 4) of a scene, as GeoJSON geometries; None where they have no place."""
    corners = corners_on_map(boxes, place)
    return [None] * len(boxes) if corners is None or place.crs is None else on_the_globe(corners, place.crs)


def corners_on_map(boxes: np.ndarray, place: Place) -> np.ndarray | None:
    """The corners of boxes (tiles, 4) in the scene's own coordinates, (tiles, 4, 2) float64; None without a place.

    They go from the upper left one down, and around.
    """
    if place.transform is None:
        return None
    left, top, right, bottom = boxes.T.astype(np.float64)
    columns, rows = np.stack([left, left, right, right], 1), np.stack([top, bottom, bottom, top], 1)
    # Written out, since affine 3 warns of the operator that affine 2 has.
    a, b, c, d, e, f = place.transform[:6]
    return np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=2)


def pixels_of(degrees: np.ndarray, place: Place) -> np.ndarray:
    """Where longitudes and latitudes (points, 2) lie in a scene that has a place, as columns and rows (points, 2).

    They are NaN for what is not on the scene's map.
    """
    if place.crs is None or place.transform is None:
        return np.full((len(degrees), 2), np.nan)
    a, b, c, d, e, f = place.transform[:6]
    return (transformed(degrees, GLOBE, place.crs) - (c, f)) @ np.linalg.inv([[a, b], [d, e]]).T


def on_the_globe(corners: np.ndarray, crs: str) -> list[dict[str, Any] | None]:
    """Turns quadrilaterals of a map, (tiles, 4, 2) float64 in its coordinates, into GeoJSON geometries.

    Each is a Polygon, a MultiPolygon where the antimeridian cuts it, or None where it has no place on the Earth, as
    beyond the edge of a map of the whole globe, or holds a pole.
    """
    coarse = _sides(corners, crs, COARSE)
    bent = np.array([_bends(ring) for ring in coarse], bool)
    rings = [ring[::COARSE] for ring in coarse]
    for number, ring in zip(np.flatnonzero(bent), _sides(corners[bent], crs, FINE), strict=True):
        rings[number] = ring
    return [_geometry(ring) for ring in rings]


def _sides(corners: np.ndarray, crs: str, count: int) -> np.ndarray:
    """Points along the sides, not closed, in degrees, NaN off the Earth: (tiles, 4 * count, 2) float64."""
    steps = np.arange(count)[:, None] / count
    following = np.roll(corners, -1, axis=1)
    points = (corners[:, :, None] * (1 - steps) + following[:, :, None] * steps).reshape(-1, 2)
    degrees = transformed(points, crs, GLOBE)
    # Grids whose pixels lie on the poles reach half a pixel beyond.
    degrees[:, 1] = np.clip(degrees[:, 1], -90, 90)
    if not _is_cylinder(crs):
        # Beyond its edge a map of the globe, such as the sinusoidal one of MODIS, begins again on its other side.
        astray = np.linalg.norm(transformed(degrees, GLOBE, crs) - points, axis=1)
        sides = np.linalg.norm(following - corners, axis=2).max(axis=1).repeat(4 * count)
        # At a pole it has any longitude.
        degrees[~(astray < MOST_BEND * sides) | (np.abs(degrees[:, 1]) > AT_POLE)] = np.nan
    return degrees.reshape(len(corners), 4 * count, 2)


def transformed(points: np.ndarray, source: str, target: str) -> np.ndarray:
    """Points (points, 2) in another reference system, NaN where they have no place in it."""
    from rasterio.warp import transform

    try:
        moved = np.transpose(transform(source, target, *points.T)).reshape(-1, 2)
    except Exception:  # GDAL's own, which has no public name in rasterio
        # One point without a place makes them all fail.
        if len(points) == 1:
            return np.full((1, 2), np.nan)
        halves = np.array_split(points, 2)
        return np.concatenate([transformed(half, source, target) for half in halves])
    return np.where(np.isfinite(moved).all(axis=1, keepdims=True), moved, np.nan)


def _is_cylinder(crs: str) -> bool:
    """Whether the map goes on beyond 180 degrees: its meridians are parallel and evenly spaced."""
    low, high = transformed(np.array([[10.0, 0.0], [10.0, 60.0]]), GLOBE, crs)
    return bool(np.isclose(low[0], high[0], rtol=1e-9, atol=1e-6))


def _bends(ring: np.ndarray) -> bool:
    """Whether any of the four sides is far from straight in degrees, or meets a pole."""
    if not np.isfinite(ring).all() or np.abs(ring[:, 1]).max() > AT_POLE:
        return True
    unwrapped, turns = _unwrapped(ring)
    if turns:
        return True
    closed = np.concatenate([unwrapped, unwrapped[:1]])
    starts, ends = closed[:-1:COARSE], closed[COARSE::COARSE]
    if np.abs(ends - starts)[:, 0].max() >= 180:  # from corner to corner, which way round would be a guess
        return True
    middles = closed[COARSE // 2 :: COARSE]
    bend = np.linalg.norm(middles - (starts + ends) / 2, axis=1)
    return bool((bend > MOST_BEND * np.linalg.norm(ends - starts, axis=1)).any())


def _unwrapped(ring: np.ndarray) -> tuple[np.ndarray, int]:
    """A ring without jumps of 360 degrees from point to point, and how often it goes round a pole, eastward."""
    longitudes = ring[:, 0]
    jumps = -np.round(np.diff(longitudes, append=longitudes[0]) / 360).astype(int)
    offsets = np.concatenate([[0], np.cumsum(jumps[:-1])])
    moved = ring.copy()
    moved[:, 0] += 360.0 * offsets
    return moved, int(jumps.sum())


def _geometry(ring: np.ndarray) -> dict[str, Any] | None:
    if not np.isfinite(ring).all():
        return None
    ring, turns = _unwrapped(ring)
    if turns:  # a pole lies within
        return None
    polygons = [[closed(piece)] for piece in _cut(ring)]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _cut(ring: np.ndarray) -> list[np.ndarray]:
    """The parts of an unwrapped ring between one antimeridian and the next, each moved to -180 to 180."""
    first, last = (int((edge + 180) // 360) for edge in (ring[:, 0].min(), ring[:, 0].max()))
    pieces = []
    for number in range(first, last + 1):
        west, east = 360.0 * number - 180, 360.0 * number + 180
        piece = _clipped(_clipped(ring, west, 1), east, -1)
        if abs(_area(piece)) > LEAST_AREA * abs(_area(ring)):
            pieces.append(piece - (360.0 * number, 0.0))
    return pieces


def _clipped(ring: np.ndarray, meridian: float, side: int) -> np.ndarray:
    """The part of a ring that lies east (1) or west (-1) of a meridian (Sutherland and Hodgman 1974)."""
    inside = side * (ring[:, 0] - meridian) > 0
    entries = np.flatnonzero(inside & ~np.roll(inside, 1))
    if len(entries):
        ring, inside = np.roll(ring, -entries[0], axis=0), np.roll(inside, -entries[0])
    points = []
    for number, point in enumerate(ring):
        if inside[number] != inside[number - 1]:
            before = ring[number - 1]
            share = (meridian - before[0]) / (point[0] - before[0])
            points.append(np.array([meridian, before[1] + share * (point[1] - before[1])]))
        if inside[number]:
            points.append(point)
    return np.reshape(points, (-1, 2))


def _area(ring: np.ndarray) -> float:
    """Twice the area, positive where the ring runs counterclockwise."""
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def closed(ring: np.ndarray) -> list[list[float]]:
    """A ring as GeoJSON has it: counterclockwise, no point twice in a row, the first one again at the end."""
    if _area(ring) < 0:
        ring = ring[::-1]
    ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
    return [*ring.tolist(), ring[0].tolist()]
