#!/usr/bin/env bash
# One would guess: rasterio's transform_geom, whose documentation says that cutting at the antimeridian is always on,
#   turns an outline in a projected CRS into GeoJSON as RFC 7946 wants it: cut at 180 degrees, its rings
#   counter-clockwise as they were.
# What happens: the outline is cut, but both parts run clockwise, though it went in counter-clockwise; an outline that
#   reaches 185 degrees east in EPSG:4326 itself is not cut at all; and one around the South Pole comes back as one
#   ring that runs clockwise, too. Whoever writes GeoJSON has to turn and to check the rings.
# Seen with: rasterio 1.4.4 (its wheel's GDAL 3.10.3), Python 3.11, Linux. Source: the run below; RFC 7946, 3.1.6
#   and 3.1.9; the docstring of rasterio.warp.transform_geom.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - <<'END'
import sys

import rasterio
from rasterio.warp import transform_geom


def box(left, bottom, right, top):
    """A counter-clockwise rectangle."""
    ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    return {"type": "Polygon", "coordinates": [ring]}


def directions(geometry):
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    areas = [sum(a * d - c * b for (a, b), (c, d) in zip(p[0], p[0][1:])) for p in parts]
    return ["counter-clockwise" if area > 0 else "clockwise" for area in areas]


cases = {
    "two degrees over the antimeridian, from EPSG:3832": ("EPSG:3832", box(3228265, -110580, 3450904, 110580)),
    "179 to 185 degrees east, from EPSG:4326": ("EPSG:4326", box(179, 0, 185, 1)),
    "around the South Pole, from EPSG:3031": ("EPSG:3031", box(-1e6, -1e6, 1e6, 1e6)),
}
expected = [["clockwise", "clockwise"], ["counter-clockwise"], ["clockwise"]]
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
found = []
for name, (crs, outline) in cases.items():
    geometry = transform_geom(crs, "EPSG:4326", outline)
    found.append(directions(geometry))
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    east = max(x for part in parts for x, _ in part[0])
    print(f"{name}: {geometry['type']}, {', '.join(found[-1])}, reaching {east:g} degrees east")
sys.exit(found != expected)
END
