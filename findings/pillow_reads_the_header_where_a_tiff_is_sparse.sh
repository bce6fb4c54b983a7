#!/usr/bin/env bash
# One would guess: a block that a sparse GeoTIFF leaves out (as GDAL writes them with SPARSE_OK, its offset and its
#   length both 0) reads as zeros, as it does in GDAL, or is refused.
# What happens: where the file is not compressed, Pillow takes the missing block from offset 0, which is the file's own
#   start: the first pixels are 73 73 42 0, the "II*" of the header, then the directory and other blocks' pixels. No
#   error, no warning; tiles and strips alike. With deflate it raises an OSError, "decoder error -2".
# Seen with: Pillow 12.3.0 and rasterio 1.4.4 (its wheel's GDAL 3.10.3), Python 3.11, Linux. Source: the run below;
#   "Sparse files" in the documentation of GDAL's GTiff driver; the tiles that PIL/TiffImagePlugin.py makes of tags 273
#   and 324, whose lengths it does not look at.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==12.3.0 rasterio==1.4.4 numpy==2.4.6 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'END'
import sys
import warnings

import numpy as np
import PIL
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
print(f"Pillow {PIL.__version__}, GDAL {rasterio.__gdal_version__}")


def read(tiled, compress):
    """Write the upper left block alone; the row under it as GDAL and as Pillow read it."""
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64} if tiled else {"blockysize": 64}
    width = 64 if tiled else 128
    shape = {"width": 128, "height": 128, "count": 1, "dtype": "uint8"}
    with rasterio.open("sparse.tif", "w", driver="GTiff", SPARSE_OK=True, compress=compress, **shape, **layout) as file:
        file.write(np.full((1, 64, width), 200, np.uint8), window=Window(0, 0, width, 64))
    with rasterio.open("sparse.tif") as file:
        right = file.read(1)[64, :4].tolist()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with Image.open("sparse.tif") as picture:
                return right, np.asarray(picture)[64, :4].tolist(), len(told)
        except OSError as error:
            return right, f"OSError: {error}", len(told)


agrees = True
for tiled in (True, False):
    for compress in ("none", "deflate"):
        right, got, told = read(tiled, compress)
        print(f"{'tiles' if tiled else 'strips'}, {compress}: GDAL {right}, Pillow {got}, {told} warnings")
        agrees = agrees and right == [0] * 4 and told == 0
        agrees = agrees and (got == list(b"II*\0") if compress == "none" else str(got).startswith("OSError"))
sys.exit(not agrees)
END
