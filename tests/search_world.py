"""Pictures of noise for the tests of the search, and what reads them."""

from pathlib import Path

import numpy as np
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, read_image

CATEGORIES = ("port", "park", "pond")


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
