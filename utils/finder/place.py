"""Where a raster lies on the Earth, or in one sentence why nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affine import Affine
    from rasterio.crs import CRS


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
        warp.transform(crs, "EPSG:4326", [0.0], [0.0])
    except Exception as error:  # GDAL's own, which have no public name in rasterio
        # Any other error says only that this one point is not on the map.
        if type(error).__name__ == "CPLE_NotSupportedError":
            return False
    return crs.is_geographic or crs.is_projected
