"""Pictures and rasters of noise for the tests of the search, and what reads them."""

from pathlib import Path

import numpy as np
from affine import Affine
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, read_image

CATEGORIES = ("port", "park", "pond")
# Of `ImageIndex.build_scenes`.
OPTIONS = {"tile_sizes": 40, "batch_size": 8, "progress": False}
PLACE = Affine(10, 0, 430000, 0, -10, 4580000)


def noisy_pictures(folder: Path, count: int = 24) -> CaptionDataset:
    """Pictures of noise, each unlike the others, of three categories and two sources."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    items = []
    for number in range(count):
        path = folder / f"picture_{number}.png"
        pixels = generator.integers(0, 256, (20, 20, 3)) // generator.integers(1, 9, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        source = "even" if number % 2 == 0 else "odd"
        items.append(CaptionedImage(path, (f"noise {number}",), "test", CATEGORIES[number % 3], source))
    return CaptionDataset(items, "noise")


def names(hits) -> list[str]:
    """The file names of an answer."""
    return [hit.path.name for hit in hits]


def count_embedded(monkeypatch) -> list[str]:
    """The pictures that are read from now on."""
    read = []
    monkeypatch.setattr(
        "utils.datasets.captioned_image.read_image",
        lambda path, how: read.append(Path(path).name) or read_image(path, how),
    )
    return read


def raster(
    path: Path,
    seed: int,
    width: int = 120,
    height: int = 80,
    placed: bool = True,
    empty: int = 0,
    crs: str = "EPSG:32631",
) -> Path:
    """A raster of noise in 12 of 16 bits and four bands, the first columns of which may have no data."""
    import rasterio

    values = np.random.default_rng(seed).integers(1, 4000, (4, height, width)).astype(np.uint16)
    values[:, :, :empty] = 0
    place = {"crs": crs, "transform": PLACE} if placed else {}
    profile = {"count": 4, "height": height, "width": width, "dtype": "uint16", "nodata": 0, **place}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", **profile) as file:
        file.write(values)
    return path
