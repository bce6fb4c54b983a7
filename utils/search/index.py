"""Search by text and by image: an NMSLib index over a data set's image embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

    from utils.clip import CLIP
    from utils.datasets import CaptionDataset

# With NMSLib's defaults a third of the true neighbours is lost (recall@10 of 0.67 on 1,093 random vectors of
# 512); these cost under a millisecond a query and find them.
BUILD_PARAMETERS = {"M": 32, "efConstruction": 400, "post": 2}
QUERY_PARAMETERS = {"efSearch": 400}


@dataclass(frozen=True)
class Hit:
    """One answer of a search.

    Attributes:
        rank: 1 for the best.
        score: Cosine similarity to the query, -1 to 1.
        path: The image file.
        captions: Its captions.
        category: Its category, where it has one.
    """

    rank: int
    score: float
    path: Path
    captions: tuple[str, ...]
    category: str | None


@dataclass(frozen=True)
class ImageIndex:
    """Images that can be asked for, by text or by another image.

    Attributes:
        model: The CLIP model that embedded them and embeds the queries.
        dataset: The images.
        embeddings: (images, dim) float32, of unit length.
        graph: NMSLib's HNSW index over ``embeddings``, cosine.
    """

    model: CLIP
    dataset: CaptionDataset
    embeddings: np.ndarray
    graph: Any

    @classmethod
    def build(
        cls, model: CLIP, dataset: CaptionDataset, *, batch_size: int = 64, progress: bool = True
    ) -> ImageIndex:
        """Embeds every image and connects the embeddings.

        Args:
            model: The CLIP model.
            dataset: The images.
            batch_size: Images encoded at once.
            progress: Whether to show a bar.

        Raises:
            ValueError: If there is no image.
        """
        from utils.clip import embed_images
        from utils.images import eval_batches

        if not len(dataset):
            raise ValueError(f"There is no image to index in {dataset.name or 'the data set'}.")
        batches = eval_batches(dataset, model.preprocessing, batch_size=batch_size)
        embeddings = embed_images(model, batches, progress=progress)
        return cls(model, dataset, embeddings, _build_graph(embeddings))

    def query_text(self, text: str, k: int = 10) -> list[Hit]:
        """Finds the k images closest to a text, best first."""
        from utils.clip import embed_texts

        return self._nearest(embed_texts(self.model, [text])[0], k)

    def query_image(self, image: str | Path | Image.Image, k: int = 10) -> list[Hit]:
        """Finds the k images closest to a picture (a file or an opened picture), best first.

        A file that is itself in the index is left out of its own answer.
        """
        from utils.images import eval_transform, read_image, to_rgb

        from_file = isinstance(image, str | Path)
        picture = read_image(image) if from_file else to_rgb(image)
        pixels = eval_transform(picture, self.model.preprocessing)[None]
        vector = np.asarray(self.model.encode_images(pixels))[0]
        own = Path(image).resolve() if from_file else None
        hits = [hit for hit in self._nearest(vector, k + 1) if hit.path.resolve() != own][:k]
        return [
            Hit(rank, hit.score, hit.path, hit.captions, hit.category) for rank, hit in enumerate(hits, 1)
        ]

    def _nearest(self, vector: np.ndarray, k: int) -> list[Hit]:
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least one image.")
        numbers, distances = self.graph.knnQuery(vector, k=min(k, len(self.dataset)))
        items = [self.dataset[int(number)] for number in numbers]
        return [
            Hit(rank, 1 - float(distance), item.path, item.captions, item.category)
            for rank, (item, distance) in enumerate(zip(items, distances, strict=True), 1)
        ]


def _build_graph(embeddings: np.ndarray) -> Any:
    """An HNSW graph over unit vectors; built by one thread, so that the same vectors give the same graph."""
    with _silent_stderr():  # the wheel prints advice on compiling it at every import
        import nmslib

    graph = nmslib.init(method="hnsw", space="cosinesimil")
    graph.addDataPointBatch(embeddings)
    graph.createIndex(BUILD_PARAMETERS | {"indexThreadQty": 1})
    graph.setQueryTimeParams(QUERY_PARAMETERS)
    return graph


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Closes the process's standard error for a moment, to what compiled code prints there too."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
