#!/usr/bin/env bash
# One would guess: rasterio.warp.transform of many points of a geostationary image gives inf for one that lies in
#   space, beside the Earth's disk, as pyproj does, and the places of the others.
# What happens: it raises for all. The error does not tell which point it was, and its class, CPLE_AppDefinedError, is
#   in the private module rasterio._err alone; rasterio.errors.RasterioError does not catch it.
# Seen with: rasterio 1.4.4 (its wheel's GDAL 3.10.3) and pyproj 3.7.2, Python 3.11, Linux. Source: the run below; the
#   docstring of rasterio.warp.transform names no error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyproj==3.7.2 rasterio==1.4.4 numpy==2.4.6 2>/dev/null
"$folder/venv/bin/python" - <<'END'
import math
import sys

import pyproj
import rasterio
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.warp import transform

GEOSTATIONARY = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +datum=WGS84"
EAST, NORTH = [0.0, 1e6, 5.5e6], [0.0, 1e6, 5.5e6]  # the last is off the disk


def rounded(places):
    return [[round(number, 3) for number in numbers] for numbers in places]


print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, PROJ {pyproj.proj_version_str}")
places = rounded(Transformer.from_crs(GEOSTATIONARY, "EPSG:4326", always_xy=True).transform(EAST, NORTH))
print("pyproj, three points, one in space:", places)
on_disk = rounded(transform(GEOSTATIONARY, "EPSG:4326", EAST[:2], NORTH[:2]))
print("rasterio, the two on the disk:", on_disk)
try:
    raised = None
    print("rasterio, all three:", rounded(transform(GEOSTATIONARY, "EPSG:4326", EAST, NORTH)))
except Exception as error:
    raised = error
    print(f"rasterio, all three: {type(error).__module__}.{type(error).__name__}: {error}")
same = [numbers[:2] for numbers in places] == on_disk and all(math.isinf(numbers[2]) for numbers in places)
hidden = type(raised).__name__ == "CPLE_AppDefinedError" and not isinstance(raised, RasterioError)
sys.exit(not (same and hidden and not hasattr(rasterio.errors, "CPLE_AppDefinedError")))
END
