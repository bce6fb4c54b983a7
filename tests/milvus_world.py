"""What the tests of Milvus search: made members and vectors, and child processes that are killed."""

import sys
from pathlib import Path

import numpy as np
from affine import Affine

from utils.datasets import CaptionDataset, CaptionedImage
from utils.finder.place import Place
from utils.search import ImageIndex, SceneTile
from utils.search.engines import ExactEngine

# The third is what a filter that pastes names would fall over.
CATEGORIES = ("port", "déjà vu 港", '" or number >= 0 or name == "\\\'\n\t', None)
DIM = 32


def clustered(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, dim) float32 of 12 clusters, each ninth equal to the one before it."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(12, dim))
    vectors = centers[generator.integers(12, size=count)] + 0.6 * generator.normal(size=(count, dim))
    vectors[8::9] = vectors[7::9][: len(vectors[8::9])]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_index(count: int = 600) -> ImageIndex:
    """An index of images of four categories and two sources, and, a third of them, tiles with places."""
    place = Place("EPSG:4326", Affine(0.5, 0, 100, 0, -0.5, 60))
    items: list[CaptionedImage] = []
    for number in range(count):
        if number % 3 == 2:
            path, window = Path("/scenes/wide.tif"), (number % 200, number // 2 % 150, 10, 10 + number)
            items.append(SceneTile(path, (), None, None, path.name, window=window, place=place))
        else:
            path, captions = Path(f"/images/{number % 7}/image_{number:04d}.jpg"), (f"caption {number}",)
            items.append(CaptionedImage(path, captions, "test", CATEGORIES[number % 4], f"source {number % 2}"))
    return of(items, clustered(count))


def of(items: list[CaptionedImage], vectors: np.ndarray) -> ImageIndex:
    return ImageIndex(CaptionDataset(items, "made"), vectors, ExactEngine(vectors), model=None)


def fill_slowly(uri: str, count: int) -> None:
    """Writes an index and prints how many members Milvus has acknowledged, batch by batch."""
    from utils.search import milvus, milvus_store

    milvus_store.BATCH_BYTES = 50 * 4 * DIM
    upsert = milvus.MilvusStore.upsert

    def told(self, some):
        changed = upsert(self, some)
        print(len(some), flush=True)
        return changed

    milvus.MilvusStore.upsert = told
    made_index(count).to_milvus(uri, progress=False)
    print("finished", flush=True)


def ask_once(uri: str) -> None:
    """Opens an index, as another process would, and prints what it says."""
    from utils.search import SearchError

    try:
        index = ImageIndex.from_milvus(uri)
        print([hit.name for hit in index.query_vector(clustered(1, seed=5)[0], 5)], index.widths)
    except SearchError as error:
        print(error)


if __name__ == "__main__":
    {"fill": lambda: fill_slowly(sys.argv[2], int(sys.argv[3])), "ask": lambda: ask_once(sys.argv[2])}[sys.argv[1]]()
