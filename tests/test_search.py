"""The index against exact search, and its two kinds of question."""

import numpy as np
import pytest
from PIL import Image
from tiny_clip import tiny_config, write_checkpoint

from utils.clip import CLIP, embed_texts
from utils.datasets import CaptionDataset, CaptionedImage
from utils.search.index import ImageIndex, _build_graph


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    items = []
    for number in range(24):
        path = folder / f"port_{number}.png"
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(path)
        items.append(CaptionedImage(path, (f"port {number}",), "test", "port", "noise"))
    return CaptionDataset(items, "noise")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> CLIP:
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, tiny_config())
    return CLIP.from_pretrained(folder)


@pytest.fixture(scope="module")
def index(dataset, model) -> ImageIndex:
    return ImageIndex.build(model, dataset, batch_size=8, progress=False)


def test_text_query_is_exact_search(index):
    vector = embed_texts(index.model, ["airport"])[0]
    exact = np.argsort(-index.embeddings @ vector, kind="stable")[:5]
    hits = index.query_text("airport", 5)
    assert [hit.path.name for hit in hits] == [index.dataset[int(number)].name for number in exact]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([hit.score for hit in hits], (index.embeddings @ vector)[exact], atol=1e-5)
    assert hits[0].captions == next(i for i in index.dataset if i.path == hits[0].path).captions


def test_a_member_is_left_out_of_its_own_answer_and_a_stranger_is_not(index, dataset):
    member = dataset[3]
    hits = index.query_image(member.path, 4)
    assert len(hits) == 4 and member.path not in [hit.path for hit in hits]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]
    assert index.query_image(Image.open(member.path), 4)[0].path == member.path


def test_more_than_there_is_gives_all_and_less_than_one_is_refused(index):
    assert len(index.query_text("airport", 1000)) == 24
    with pytest.raises(ValueError, match="at least one"):
        index.query_text("airport", 0)


def test_graph_finds_what_exact_search_finds():
    # Queries must be strangers: a graph answers its own members perfectly, however narrow its search.
    vectors = np.random.default_rng(1).normal(size=(1393, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, queries = vectors[:1093], vectors[1093:]
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    found = [numbers for numbers, _ in _build_graph(vectors).knnQueryBatch(queries, k=10)]
    recall = np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(exact, found, strict=True)])
    assert recall >= 0.99


def test_nothing_to_index_is_refused(model):
    with pytest.raises(ValueError, match="no image to index"):
        ImageIndex.build(model, CaptionDataset([], "empty"), progress=False)
