#!/usr/bin/env bash
# One would guess: GDAL, which writes a TIFF with ALPHA=PREMULTIPLIED, tells a reader of such a file that its colors
#   were multiplied by the alpha.
# What happens: GDAL 3.10 as rasterio's wheel brings it reads it just as one with ALPHA=YES: the same profile, flags,
#   color interpretation and pixels, and the same tags in every namespace of the file and of its bands. Only TIFF tag
#   338 (ExtraSamples) tells 1 from 2. Pillow reads that tag and divides, so the two libraries give different colors
#   for one file: 100 and 199 below, where alpha is 128.
# Seen with: rasterio 1.4.4 (its wheel's GDAL 3.10.3) and Pillow 12.3.0, Python 3.11, Linux. Source: the run below; TIFF
#   6.0, ExtraSamples; modes ("RGBA", "RGBa") in PIL/TiffImagePlugin.py. GDAL's pull request 11379 (November 2024) has
#   later versions keep the information.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pillow==12.3.0 rasterio==1.4.4 numpy==2.4.6 2>/dev/null
cd "$folder"
"$folder/venv/bin/python" - <<'END'
import sys
import warnings

import numpy as np
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
NAMESPACES = ("IMAGE_STRUCTURE", "TIFF", "EXIF", "COLOR_PROFILE", "SUBDATASETS", "xml:XMP")
pixels = np.full((4, 16, 16), 100, np.uint8)
pixels[3] = 128
shape = {"width": 16, "height": 16, "count": 4, "dtype": "uint8", "photometric": "RGB"}
print(f"GDAL {rasterio.__gdal_version__}")


def described(name):
    """All that rasterio says of a file, but its name."""
    with rasterio.open(name) as file:
        tags = {}
        for band in (0, *file.indexes):
            for namespace in (None, *NAMESPACES, *file.tag_namespaces(band)):
                if namespace != "DERIVED_SUBDATASETS":  # these hold the file's name
                    tags[band, namespace] = file.tags(band, ns=namespace)
        said = (dict(file.profile), file.colorinterp, file.mask_flag_enums, file.descriptions, file.units, tags)
        return said, file.read(1)[0, 0]


said, values, extra, pillow = {}, {}, {}, {}
for alpha in ("YES", "PREMULTIPLIED"):
    with rasterio.open(f"{alpha}.tif", "w", driver="GTiff", alpha=alpha, **shape) as file:
        file.write(pixels)
    said[alpha], values[alpha] = described(f"{alpha}.tif")
    with Image.open(f"{alpha}.tif") as picture:
        extra[alpha], pillow[alpha] = picture.tag_v2[338], picture.getpixel((0, 0))[0]
    print(f"ALPHA={alpha}: tag 338 is {extra[alpha]}, red is {values[alpha]} in GDAL and {pillow[alpha]} in Pillow")
same = said["YES"] == said["PREMULTIPLIED"]
print("rasterio says the same of both" if same else "rasterio tells them apart")
right = extra == {"YES": (2,), "PREMULTIPLIED": (1,)} and pillow["YES"] == 100 == values["PREMULTIPLIED"]
sys.exit(not (same and right and pillow["PREMULTIPLIED"] > 190))
END
