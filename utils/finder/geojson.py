"""Findings on the map: GeoJSON as RFC 7946 has it, longitude and latitude on WGS 84."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from utils.finder.outlines import on_the_globe

if TYPE_CHECKING:
    from affine import Affine

    from utils.finder.finding import Finding
    from utils.finder.place import Place


def as_geojson(finding: Finding, tiles: int | None = None) -> dict[str, Any]:
    """A FeatureCollection of the tiles' outlines, best first, with rank, score, probability and presence.

    Rings run counterclockwise, and outlines that cross the antimeridian are cut there, as RFC 7946 asks.

    Args:
        finding: Of a georeferenced picture.
        tiles: How many of the best; None gives all.

    Raises:
        ValueError: If nobody knows where the picture lies.
    """
    scene = finding.scene
    if scene.crs is None or scene.transform is None:
        raise ValueError(
            f"{scene.name or 'The picture'} {scene.place.reason}, so nobody knows where its tiles lie on the Earth; "
            "save the finding as JSON, which is in pixels, or give a georeferenced picture."
        )
    chosen = finding.tiles[:tiles]
    outlines = footprints(np.array([tile.box for tile in chosen]).reshape(-1, 4), scene.place)
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
                    "data_share": round(tile.data_share, 4),
                    "partly_empty": tile.partly_empty,
                },
            }
            for tile, geometry in zip(chosen, outlines, strict=True)
        ],
    }


def footprints(boxes: np.ndarray, place: Place) -> list[dict[str, Any] | None]:
    """The outlines of boxes (tiles, 4) of a picture, as GeoJSON geometries; None where they have no place."""
    if place.crs is None or place.transform is None:
        return [None] * len(boxes)
    return on_the_globe(_corners(boxes, place.transform), place.crs)


def _corners(boxes: np.ndarray, transform: Affine) -> np.ndarray:
    """The corners of boxes (tiles, 4) in the picture's own coordinates, in turn: (tiles, 4, 2) float64."""
    left, top, right, bottom = boxes.T.astype(np.float64)
    columns, rows = np.stack([left, left, right, right], 1), np.stack([top, bottom, bottom, top], 1)
    # Written out, since affine 3 warns of the operator that affine 2 has.
    a, b, c, d, e, f = transform[:6]
    return np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=2)
