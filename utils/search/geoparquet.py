"""Footprints as GeoParquet 1.1, which QGIS, GeoPandas, DuckDB and GDAL read: https://geoparquet.org/releases/v1.1.0/."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.finder.presence import write_file
from utils.search.catalog import Hit
from utils.search.tiles import properties_of, with_footprints

VERSION = "1.1.0"
KINDS = {"Polygon": 3, "MultiPolygon": 6}  # as well-known binary numbers them


def save_geoparquet(hits: Sequence[Hit], path: str | Path) -> Path:
    """Writes the footprints of tiles that were found as GeoParquet 1.1, a row each, in their order.

    ``geometry`` is in longitude and latitude (OGC:CRS84), null for a tile without a place; ``map_geometry`` is the same
    outline in the scene's own coordinates, whose reference system is ``map_crs`` (WKT): scenes differ in it, so no one
    system is declared for that column. Both are well-known binary. The other columns are those that `save_geojson`
    writes. A `SearchError` says that no tile among the hits has a place. The file appears whole or not at all.
    """
    import pyarrow as pa
    from pyarrow import parquet

    placed = with_footprints(hits)
    outlines = [outline for _, outline in placed]
    properties = [properties_of(hit) for hit, _ in placed]
    kinds = {"rank": pa.int64(), "score": pa.float64(), "presence": pa.float64(), "scene": pa.string()}
    columns = {name: pa.array([row[name] for row in properties], kind) for name, kind in kinds.items()}
    columns["window"] = pa.array([row["window"] for row in properties], pa.list_(pa.int64(), 4))
    columns["map_crs"] = pa.array([hit.tile.place.crs for hit, _ in placed], pa.string())
    columns["map_geometry"] = pa.array([well_known_binary(hit.tile.map_footprint) for hit, _ in placed], pa.binary())
    columns["geometry"] = pa.array([well_known_binary(outline) for outline in outlines], pa.binary())
    table = pa.table(columns).replace_schema_metadata({"geo": json.dumps(_metadata(outlines))})
    content = pa.BufferOutputStream()
    parquet.write_table(table, content, compression="zstd")
    return write_file(path, content.getvalue().to_pybytes())


def _metadata(outlines: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """What a file says of its geometries; without a ``crs`` they are in OGC:CRS84."""
    known = [outline for outline in outlines if outline is not None]
    points = np.array([point for outline in known for ring in _rings(outline) for point in ring])
    column = {
        "encoding": "WKB",
        "geometry_types": sorted({outline["type"] for outline in known}),
        "orientation": "counterclockwise",
        "bbox": [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()],
    }
    return {"version": VERSION, "primary_column": "geometry", "columns": {"geometry": column}}


def _rings(outline: dict[str, Any]) -> list[Any]:
    coordinates = outline["coordinates"]
    return coordinates if outline["type"] == "Polygon" else [ring for polygon in coordinates for ring in polygon]


def well_known_binary(outline: dict[str, Any] | None) -> bytes | None:
    """A Polygon or MultiPolygon of GeoJSON as well-known binary, little end first; None for None."""
    if outline is None:
        return None
    head = struct.pack("<BI", 1, KINDS[outline["type"]])
    if outline["type"] == "MultiPolygon":
        parts = [well_known_binary({"type": "Polygon", "coordinates": part}) for part in outline["coordinates"]]
    else:
        parts = [struct.pack("<I", len(ring)) + np.array(ring, "<f8").tobytes() for ring in outline["coordinates"]]
    return head + struct.pack("<I", len(parts)) + b"".join(part for part in parts if part)
