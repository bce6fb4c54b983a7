"""Where a raster lies on the Earth, or in one sentence why nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS

# How far ground control points may lie off the plane through them: of the longer side, and in pixels at least.
MOST_BEND = 1e-3
LEAST_PIXELS = 2


@dataclass(frozen=True)
class Place:
    """Where a scene lies.

    Attributes:
        crs: The reference system of its coordinates as WKT; None where it has no place.
        transform: From pixels (column, row) to those coordinates; None likewise.
        reason: Why it has none, a sentence without its end; empty where it has one.
    """

    crs: str | None = None
    transform: Affine | None = None
    reason: str = ""


NO_PLACE = Place(reason="has no coordinate reference system")


def place_of(dataset: Any) -> Place:
    """Finds the place of a raster that rasterio has opened, by its transform or its ground control points."""
    points, points_crs = dataset.gcps
    if dataset.crs and not dataset.transform.is_identity:
        return _on_the_earth(dataset.crs, dataset.transform)
    if points and points_crs:
        return _by_points(points, points_crs, max(dataset.shape))
    if dataset.rpcs is not None:
        return Place(reason="has a camera model (RPCs) in place of a transform; orthorectify it first (gdalwarp -rpc)")
    if dataset.crs:
        return Place(reason="names a coordinate reference system, but no transform to it (its world file may be lost)")
    return NO_PLACE


def _on_the_earth(crs: CRS, transform: Affine) -> Place:
    """The place, if longitude and latitude follow from its reference system."""
    from rasterio import warp

    if transform.determinant == 0:
        return Place(reason="has a transform that lays all its pixels on one line")
    known = crs.is_geographic or crs.is_projected
    try:
        warp.transform(crs, "EPSG:4326", [0.0], [0.0])
    except Exception as error:  # GDAL's own, which have no public name in rasterio
        # Any other error says only that this one point is not on the map.
        known = known and type(error).__name__ != "CPLE_NotSupportedError"
    if known:
        return Place(crs.to_wkt(), transform)
    return Place(
        reason="has a coordinate reference system from which no longitude and latitude follow (that of a site, of "
        "another planet, or of the Earth's center); warp it to a map of the Earth first (gdalwarp)"
    )


def _by_points(points: list[Any], crs: CRS, side: int) -> Place:
    """The place by ground control points that lie as on a plane, such as the corners of a scene."""
    from rasterio.transform import from_gcps

    pixels = np.array([(point.col, point.row) for point in points])
    coordinates = np.array([(point.x, point.y) for point in points])
    # Of such points from_gcps makes a transform of what happens to lie in memory.
    if any(np.linalg.matrix_rank(these - these.mean(axis=0)) < 2 for these in (pixels, coordinates)):
        return Place(reason="has fewer than three ground control points that do not lie on one line")
    transform = from_gcps(points)
    a, b, c, d, e, f = transform[:6]
    linear = np.array([[a, d], [b, e]])
    # In pixels, so that degrees and meters are judged alike.
    bend = np.abs((coordinates - (pixels @ linear + (c, f))) @ np.linalg.pinv(linear)).max()
    if bend > max(LEAST_PIXELS, MOST_BEND * side):
        return Place(
            reason=f"has ground control points that lie up to {bend:,.0f} pixels off any plane; warp it to a map "
            "first (gdalwarp)"
        )
    return _on_the_earth(crs, transform)
