"""Findings on the map: GeoJSON as RFC 7946 has it, longitude and latitude on WGS 84."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affine import Affine

    from utils.finder.finding import Finding


def as_geojson(finding: Finding, tiles: int | None = None) -> dict[str, Any]:
    """A FeatureCollection of the tiles' outlines, best first, with rank, score, probability and presence.

    Rings run counterclockwise, and outlines that cross the antimeridian are cut there, as RFC 7946 asks. The
    sides of a tile are drawn as straight lines between its projected corners.

    Args:
        finding: Of a georeferenced picture.
        tiles: How many of the best; None gives all.

    Raises:
        ValueError: If the picture has no reference system.
    """
    from rasterio.warp import transform_geom

    scene = finding.scene
    if scene.crs is None or scene.transform is None:
        raise ValueError(
            f"{scene.name or 'The picture'} has no coordinate reference system, so nobody knows where its tiles "
            "lie on the Earth; save the finding as JSON, which is in pixels, or give a georeferenced picture."
        )
    chosen = finding.tiles[:tiles]
    outlines = [_outline(tile.box, scene.transform) for tile in chosen]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": geometry,
                "properties": {
                    "feature": finding.feature,
                    "rank": tile.rank,
                    "score": tile.score,
                    "probability": tile.probability,
                    "presence": tile.presence,
                    "scene_presence": finding.presence,
                },
            }
            for tile, geometry in zip(chosen, transform_geom(scene.crs, "EPSG:4326", outlines), strict=True)
        ],
    }


def _outline(box: tuple[int, int, int, int], transform: Affine) -> dict[str, Any]:
    """A tile's corners in the picture's own coordinates, a closed ring that runs counterclockwise."""
    left, top, right, bottom = box
    corners = [(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
    # Where rows run northward, the picture is mirrored on the map, and with it the direction of the ring.
    if transform.determinant > 0:
        corners.reverse()
    return {"type": "Polygon", "coordinates": [[_moved(transform, *corner) for corner in corners]]}


def _moved(transform: Affine, column: float, row: float) -> tuple[float, float]:
    """A pixel's place; written out, since affine 3 warns of the operator that affine 2 has."""
    a, b, c, d, e, f = transform[:6]
    return a * column + b * row + c, d * column + e * row + f
