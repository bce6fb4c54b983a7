#!/usr/bin/env bash
# One would guess: the inverse of a map projection of the world gives inf for a point off the globe's outline, as
#   PROJ's Mollweide, Robinson and Eckert IV do.
# What happens: sinusoidal, the projection of MODIS's grids, gives an ordinary longitude and latitude there: the
#   longitude is wrapped round the globe, maybe several times. The point (-1.9e7, 9e6) becomes 10.9 W 81.0 N, which is
#   (-190,466, 9,000,000); so a tile's corner in the void gets a place on the Earth. On MODIS's sphere there is even a
#   latitude of 98.9. To know the void one must project forward again and compare. (Aitoff does likewise.)
# Seen with: pyproj 3.7.2 (its wheel's PROJ 9.5.1) and rasterio 1.4.4 (its wheel's GDAL 3.10.3), Python 3.11, Linux.
#   Source: the run below; PROJ's pull requests 304 and 2151 mended Mollweide and Robinson.
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
from rasterio.warp import transform

POINT = (-1.9e7, 9e6)
SINUSOIDAL, MODIS = "+proj=sinu +datum=WGS84", "+proj=sinu +R=6371007.181"


def inverse(crs, point=POINT):
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*point)


def shown(numbers):
    return ", ".join(f"{number:,.1f}" for number in numbers)


print(f"PROJ {pyproj.proj_version_str}, GDAL {rasterio.__gdal_version__}; the inverse of {shown(POINT)}:")
agrees = True
for crs in (SINUSOIDAL, MODIS):
    place = inverse(crs)
    by_gdal = [values[0] for values in transform(crs, "EPSG:4326", *([value] for value in POINT))]
    back = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*place)
    print(f"{crs}: pyproj {shown(place)}; rasterio {shown(by_gdal)}; forward again {shown(back)}")
    agrees = agrees and 80 < place[1] < 82 and math.dist(place, by_gdal) < 1e-6 and math.dist(back, POINT) > 1e7
beyond = inverse(MODIS, (-1.9e7, 1.1e7))
print(f"{MODIS} of -19,000,000, 11,000,000: {shown(beyond)}")
for crs in ("+proj=moll +datum=WGS84", "+proj=robin +datum=WGS84", "+proj=eck4 +datum=WGS84"):
    place = inverse(crs)
    print(f"{crs}: pyproj {shown(place)}")
    agrees = agrees and all(math.isinf(number) for number in place)
sys.exit(not (agrees and beyond[1] > 90))
END
