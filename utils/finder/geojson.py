"""Tiles on the map: GeoJSON as RFC 7946 has it, longitude and latitude on WGS 84."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.finder.outlines import on_the_globe
from utils.finder.place import Place


def as_geojson(boxes: np.ndarray, place: Place, name: str, properties: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A FeatureCollection of the outlines of tiles.

    Rings run counterclockwise, and outlines that cross the antimeridian are cut there, as RFC 7946 asks.

    Args:
        boxes: (tiles, 4) integers: left, top, right, bottom in pixels of the scene.
        place: Where the scene lies.
        name: Of its file, for the error message; or empty.
        properties: Of each tile.

    Raises:
        ValueError: If nobody knows where the scene lies.
    """
    if place.crs is None:
        raise ValueError(
            f"{name or 'The picture'} {place.reason}, so nobody knows where its tiles lie on the Earth; "
            "save the finding as JSON, which is in pixels, or give a georeferenced picture."
        )
    features = [
        {"type": "Feature", "geometry": geometry, "properties": known}
        for geometry, known in zip(footprints(boxes, place), properties, strict=True)
    ]
    return {"type": "FeatureCollection", "features": features}


def footprints(boxes: np.ndarray, place: Place) -> list[dict[str, Any] | None]:
    """The outlines of boxes (tiles, 4) of a scene, as GeoJSON geometries; None where they have no place."""
    if place.crs is None or place.transform is None:
        return [None] * len(boxes)
    left, top, right, bottom = boxes.T.astype(np.float64)
    columns, rows = np.stack([left, left, right, right], 1), np.stack([top, bottom, bottom, top], 1)
    # Written out, since affine 3 warns of the operator that affine 2 has.
    a, b, c, d, e, f = place.transform[:6]
    corners = np.stack([a * columns + b * rows + c, d * columns + e * rows + f], axis=2)
    return on_the_globe(corners, place.crs)
