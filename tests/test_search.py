"""The engines against exact search by numpy and NMSLib itself, and every form of query."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from search_world import names, noisy_pictures

from utils.clip import CLIP, embed_texts, unit_length
from utils.datasets import CaptionDataset, eval_transform, read_image
from utils.search import ImageIndex, SearchError, engines
from utils.search.coarse import CoarseVectors, _query_codes
from utils.search.engines import ExactEngine, make_engine
from utils.search.widths import choose_widths, held_out_queries, recall, recall_by_similarity, text_like_queries

pytestmark = pytest.mark.usefixtures("quick_compilation")


def clusters(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors around twenty centers, which are the same for every seed."""
    centers = np.random.default_rng(99).normal(size=(20, dim))
    generator = np.random.default_rng(seed)
    vectors = centers[generator.integers(20, size=count)] + 0.7 * generator.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    return noisy_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def index(dataset, model) -> ImageIndex:
    return ImageIndex.build(model, dataset, batch_size=8, progress=False)


def by_numpy(index: ImageIndex, vector: np.ndarray) -> list[str]:
    """All file names, those closest to a vector first."""
    order = np.argsort(-index.embeddings @ vector, kind="stable")
    return [index.dataset[int(number)].name for number in order]


def vector_of(model: CLIP, path: Path) -> np.ndarray:
    pixels = eval_transform(read_image(path), model.preprocessing)[None]
    return np.asarray(model.encode_images(pixels))[0]


# --- engines ----------------------------------------------------------------------------------------------


def test_exact_search_is_a_sorted_matrix_product():
    vectors, queries = clusters(300, 16, 1), clusters(40, 16, 2)
    expected = np.argsort(-queries @ vectors.T, axis=1, kind="stable")
    for k in (1, 7, 300, 1000):
        np.testing.assert_array_equal(ExactEngine(vectors).nearest(queries, k), expected[:, :k])


def test_equal_similarities_stand_in_the_order_of_the_vectors():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    for k in (3, 50):  # fewer than are equal, and as many
        assert ExactEngine(vectors).nearest(vectors[:1], k)[0].tolist() == list(range(k))


def cone(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors in a narrow cone, two of whose numbers are large in all, as in CLIP's."""
    vectors = clusters(count, dim, seed) + np.eye(dim)[[3]] - 0.7 * np.eye(dim)[[dim // 2]]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def with_equals(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors of which some are one of two."""
    vectors = clusters(count, dim, seed)
    vectors[3::200] = vectors[:2][np.arange(len(vectors[3::200])) % 2]
    return vectors


@pytest.mark.parametrize("draw", [clusters, cone, with_equals, lambda count, dim, seed: np.eye(dim)[:count]])
def test_eight_bits_find_the_same_vectors_in_the_same_order(draw, monkeypatch):
    monkeypatch.setattr(engines, "COARSE_FROM", 1000)
    monkeypatch.setattr("utils.search.coarse.BLOCK", 640)  # several, the last one of another length
    vectors = np.ascontiguousarray(draw(5007, 512, 1), np.float32)
    vectors = np.concatenate([vectors, np.zeros_like(vectors[:1000])]) if len(vectors) < 1000 else vectors
    others = np.concatenate([draw(8, 512, 2)[:8], text_like_queries(vectors[:512], 8), vectors[:4]]).astype(np.float32)
    truth = np.argsort(-(others.astype(np.float64) @ vectors.T.astype(np.float64)).round(12), axis=1, kind="stable")
    engine = ExactEngine(vectors)
    for k in (1, 10, 50):
        for some in (1, 3):
            found = np.concatenate([engine.nearest(others[start : start + some], k) for start in range(0, 20, some)])
            np.testing.assert_array_equal(found, truth[:, :k])
    assert engine._coarse is not None  # they were compared in eight bits
    np.testing.assert_array_equal(engine.nearest(others[:1], 6000), engines.largest(others[:1] @ vectors.T, 6000))
    np.testing.assert_array_equal(engine.nearest(others[:0], 10), np.zeros((0, 10)))


def test_eight_bits_leave_few_to_compare_again():
    for draw in (clusters, cone):
        vectors = draw(20_000, 512, 1)
        for queries in (draw(4, 512, 2), text_like_queries(vectors, 4)):
            candidates = CoarseVectors(vectors).candidates(queries, 10)
            assert all(10 <= len(some) < 400 for some in candidates)  # of 20,000


def test_what_rounding_can_do_is_bounded_and_not_by_more_than_need_be():
    generator = np.random.default_rng(0)
    vectors = generator.integers(-127, 127, (300, 64)) + 0.45  # all numbers nearly midway between two codes
    vectors[:, 0] = 127
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    coarse = CoarseVectors(np.concatenate([vectors, -vectors]).astype(np.float32))  # their mean is zero
    (block,) = coarse._blocks
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    rests = vectors - scales * np.rint(vectors / scales)
    queries = (rests / np.linalg.norm(rests, axis=1, keepdims=True)).astype(np.float32)  # along what rounding took
    lower, upper = block.bounds(*_query_codes(queries.astype(np.float64)))
    truth = queries.astype(np.float64) @ np.concatenate([vectors, -vectors]).T
    assert np.all(lower <= truth) and np.all(truth <= upper)
    own = np.arange(300)
    assert np.all(upper[own, own] - truth[own, own] < 0.05 * (upper - lower)[own, own])


def test_where_eight_bits_decide_nothing_all_are_compared(monkeypatch):
    monkeypatch.setattr(engines, "COARSE_FROM", 1000)
    generator = np.random.default_rng(0)
    vectors = clusters(1, 512, 1) + 1e-5 * generator.normal(size=(5000, 512))  # closer to each other than a code
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[::2] *= -1  # their mean is none of them
    query = clusters(1, 512, 2)
    engine = ExactEngine(vectors)
    assert len(engine._coarse_vectors().candidates(query, 10)[0]) == 2500
    np.testing.assert_array_equal(engine.nearest(query, 10), engines.largest(query @ vectors.T, 10))


@pytest.mark.parametrize("dim", [512, 1041])  # the latter is too wide for whole numbers in float32
def test_where_torch_cannot_multiply_eight_bits_all_are_compared(dim, monkeypatch):
    monkeypatch.setattr(engines, "COARSE_FROM", 1000)
    product = torch.ops.quantized.linear_dynamic
    off = 1 if dim == 512 else 0
    monkeypatch.setattr(torch.ops.quantized, "linear_dynamic", lambda codes, weights: product(codes, weights) + off)
    vectors, queries = clusters(2000, dim, 1), clusters(2, dim, 2)
    engine = ExactEngine(vectors)
    np.testing.assert_array_equal(engine.nearest(queries, 10), engines.largest(queries @ vectors.T, 10))
    assert engine._coarse is None


def test_few_vectors_are_compared_as_they_are():
    vectors = clusters(300, 16, 1)
    engine = ExactEngine(vectors)
    np.testing.assert_array_equal(engine.nearest(vectors[:1], 10), engines.largest(vectors[:1] @ vectors.T, 10))
    assert engine._coarse is None


def test_nmslib_answers_what_nmslib_itself_answers(tmp_path):
    import nmslib

    vectors, queries = clusters(600, 32, 1), clusters(50, 32, 2)
    ours = make_engine("nmslib", vectors)
    ours.width = 30
    theirs = nmslib.init(method="hnsw", space="cosinesimil")
    theirs.addDataPointBatch(vectors)
    theirs.createIndex(engines.BUILD_PARAMETERS | {"indexThreadQty": 1})
    theirs.setQueryTimeParams({"efSearch": 30})
    expected = np.array([theirs.knnQuery(query, k=10)[0] for query in queries])
    np.testing.assert_array_equal(ours.nearest(queries, 10), expected)
    ours.save(tmp_path / "graph")
    again = make_engine("nmslib", vectors, tmp_path / "graph")
    again.width = 30
    np.testing.assert_array_equal(again.nearest(queries, 10), expected)
    (tmp_path / "graph").unlink()
    again.save(tmp_path / "copy")  # what was loaded can be saved and loaded again, wherever it came from
    copy = make_engine("nmslib", vectors, tmp_path / "copy")
    copy.width = 30
    np.testing.assert_array_equal(copy.nearest(queries, 10), expected)
    assert again.query_parameters == {"efSearch": 30}


@pytest.mark.parametrize("name", ["nmslib", "hnswlib", "rabitqlib"])
def test_a_graph_is_widened_until_it_finds_what_exact_search_finds(name, tmp_path):
    pytest.importorskip(name)
    vectors = np.random.default_rng(1).normal(size=(1493, 256)).astype(np.float32)  # nothing is close to anything
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, queries = vectors[:1293], vectors[1293:]
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    engine = make_engine(name, vectors)
    assert recall(engine.nearest(queries, 10), exact) < 0.9
    reached = choose_widths(engine, vectors)
    assert reached >= 0.99 and engine.width > engines.WIDTHS[0]
    assert recall(engine.nearest(queries, 10), exact) >= 0.97  # neither these nor those queries are members
    engine.save(tmp_path / "graph")
    again = make_engine(name, vectors, tmp_path / "graph")
    again.width = engine.width
    np.testing.assert_array_equal(again.nearest(queries, 10), engine.nearest(queries, 10))


def test_a_graph_that_finds_too_little_at_its_widest_is_told(monkeypatch):
    vectors = unit_length(np.random.default_rng(1).normal(size=(1293, 256)).astype(np.float32))
    monkeypatch.setattr("utils.search.widths.WIDTHS", (10,))
    with pytest.warns(UserWarning, match=r"^nmslib finds \d\d% of the 10 closest among 1,293 vectors.*exact"):
        assert choose_widths(make_engine("nmslib", vectors), vectors) < 0.99


def test_held_out_queries_are_near_members_but_none_of_them():
    vectors = clusters(500, 64, 1)
    queries = held_out_queries(vectors, 100)
    closest = (queries @ vectors.T).max(axis=1)
    assert closest.min() > 0.5 and closest.max() < 0.99
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(queries, held_out_queries(vectors, 100))


def test_text_like_queries_lie_off_the_members_to_one_side():
    vectors = clusters(500, 64, 1)
    queries = text_like_queries(vectors, 100)
    closest = (queries @ vectors.T).max(axis=1)
    assert 0.2 < np.median(closest) < 0.6  # CLIP's texts: about 0.3
    assert np.linalg.norm(queries.mean(axis=0) - vectors.mean(axis=0)) > 0.6  # the gap; of CLIP's texts 0.82
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    assert queries.dtype == np.float32 and np.array_equal(queries, text_like_queries(vectors, 100))


@pytest.mark.parametrize("name", ["nmslib", "hnswlib", "rabitqlib"])
def test_the_width_is_that_of_the_number_of_answers_asked_for(name):
    pytest.importorskip(name)
    vectors = clusters(2000, 64, 1)
    engine = make_engine(name, vectors)
    assert choose_widths(engine, vectors) >= 0.99
    assert list(engine.widths) == [10, 50, 100] and engine.widths[100] > engine.width == engine.widths[10]
    for queries in (clusters(100, 64, 2), text_like_queries(vectors, 100, seed=1)):
        for k in (10, 50, 100):
            exact = ExactEngine(vectors).nearest(queries, k)
            assert recall(engine.nearest(queries, k), exact) >= 0.98
    assert [engine.width_for(k) for k in (1, 50, 51, 200)] == [
        engine.widths[10],
        engine.widths[50],
        engine.widths[100],
        2 * engine.widths[100],
    ]
    engine.width = 20  # one who sets a width means it for all
    assert engine.width_for(100) == 20 and not engine.widths


def test_text_like_queries_have_a_say_in_the_width(monkeypatch):
    vectors = clusters(2000, 64, 1)
    widths = {}
    for queries in ("held_out_queries", "text_like_queries"):
        engine = make_engine("nmslib", vectors)
        other = {"held_out_queries": "text_like_queries", "text_like_queries": "held_out_queries"}[queries]
        with monkeypatch.context() as patch:
            patch.setattr(f"utils.search.widths.{other}", lambda vectors: vectors[:1])
            patch.setattr("utils.search.widths.WIDTHS", tuple(range(2, 200, 2)))
            patch.setattr("utils.search.widths.COUNTS", (10,))
            choose_widths(engine, vectors)
            widths[queries] = engine.width
    assert widths["text_like_queries"] > widths["held_out_queries"]


@pytest.mark.parametrize("name", ["nmslib", "hnswlib", "rabitqlib"])
def test_a_graph_of_a_few_is_still_a_graph(name):
    pytest.importorskip(name)
    for count in (1, 3):
        vectors = np.eye(count, 4, dtype=np.float32)
        engine = make_engine(name, vectors)
        assert choose_widths(engine, vectors) == 1 and engine.width == engines.WIDTHS[0]
        assert engine.nearest(vectors, count)[:, 0].tolist() == list(range(count))


def test_recall_is_the_share_of_the_truth_in_whatever_order():
    assert recall(np.array([[3, 1, 2], [4, 5, -1]]), np.array([[1, 2, 3], [5, 6, 7]])) == pytest.approx(4 / 6)


def test_of_equal_vectors_any_is_right():
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 1, 2, 3]]
    query = np.array([[0, 1, 0.1, 0]], np.float32)
    exact = ExactEngine(vectors).nearest(query, 2)
    assert exact.tolist() == [[1, 2]]
    for found, share in (([3, 1], 1), ([2, 3], 1), ([3, 4], 0.5), ([3, -1], 0.5), ([-1, -1], 0)):
        assert recall_by_similarity(np.array([found]), exact, query, vectors) == share


def test_blank_tiles_neither_lower_the_recall_nor_widen_the_search():
    vectors = clusters(1500, 32, 1)
    vectors[np.random.default_rng(0).choice(1500, 30, replace=False)] = vectors[0]
    engine = make_engine("nmslib", vectors)
    assert choose_widths(engine, vectors) >= 0.99
    assert engine.width <= 200  # 3,200 where equal vectors count as misses


@pytest.mark.parametrize("name", ["nmslib", "hnswlib", "rabitqlib"])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_many_equal_vectors_hide_no_others(name, share, tmp_path):
    pytest.importorskip(name)
    vectors, generator = clusters(1500, 32, 1), np.random.default_rng(0)
    blank = generator.choice(1500, int(share * 1500), replace=False)
    vectors[blank[::2]], vectors[blank[1::2]] = vectors[blank[0]], vectors[blank[1]]  # two kinds of them
    queries = np.concatenate([held_out_queries(vectors, 50), text_like_queries(vectors, 50), vectors[blank[:4]]])
    engine = make_engine(name, vectors)
    engine.width = 200 if name != "rabitqlib" else 1600  # it estimates, and with codes of 64 bits here
    for k in (10, 100):
        exact = np.concatenate([ExactEngine(vectors).nearest(query[None], k) for query in queries])
        assert recall(engine.nearest(queries, k), exact) > 0.99  # of equal ones the first, as exactly
        np.testing.assert_array_equal(engine.nearest(queries[-4:], 10), exact[-4:, :10])
    if share == 1:  # two of them answer with 1,500
        assert sorted(engine.nearest(queries[:1], 2000)[0]) == [*[-1] * 500, *range(1500)]
    engine.save(tmp_path / "graph")
    again = make_engine(name, vectors, tmp_path / "graph")
    again.width = engine.width
    # A query midway between two members is as similar to the one as to the other: either may come first.
    assert recall_by_similarity(again.nearest(queries, 10), engine.nearest(queries, 10), queries, vectors) == 1


def test_auto_takes_exact_search_for_few_and_the_graph_for_many():
    assert engines.choose_engine("auto", engines.EXACT_BELOW - 1) == "exact"
    assert engines.choose_engine("auto", engines.EXACT_BELOW) == "nmslib"
    with pytest.raises(SearchError, match="no search engine 'faiss'; choose one of auto, exact"):
        engines.choose_engine("faiss", 10)


def test_a_loaded_graph_holds_its_vectors_once(tmp_path):
    vectors = clusters(600, 32, 1)
    make_engine("nmslib", vectors).save(tmp_path / "graph")
    assert len(make_engine("nmslib", vectors, tmp_path / "graph")._graph) == 0  # added to it beside its own


# --- queries ----------------------------------------------------------------------------------------------


def test_a_text_finds_what_numpy_finds(index, dataset):
    vector = embed_texts(index.model, ["airport"])[0]
    hits = index.query_text("airport", 5)
    assert names(hits) == by_numpy(index, vector)[:5]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    scores = np.sort(index.embeddings @ vector)[::-1][:5]
    np.testing.assert_allclose([hit.score for hit in hits], scores, atol=1e-6)
    (item,) = (item for item in dataset if item.path == hits[0].path)
    assert (hits[0].captions, hits[0].category, hits[0].source) == (item.captions, item.category, item.source)


def test_several_texts_are_averaged(index):
    vectors = embed_texts(index.model, ["airport", "a port", "pa"])
    mean = vectors.mean(axis=0)
    hits = index.query_text(["airport", "a port", "pa"], 24)
    assert names(hits) == by_numpy(index, mean / np.linalg.norm(mean))
    assert hits[0].score == pytest.approx((index.embeddings @ (mean / np.linalg.norm(mean))).max(), abs=1e-6)


def test_a_picture_may_come_in_any_form(index, dataset):
    path = dataset[5].path
    pixels = np.asarray(Image.open(path))
    vector = vector_of(index.model, path)
    for image in (Image.open(path), pixels, pixels / 255.0):
        hits = index.query_image(image, 6)
        assert names(hits) == by_numpy(index, vector)[:6] and hits[0].path == path
        assert hits[0].score == pytest.approx(1, abs=1e-5)


def test_a_member_is_left_out_of_its_own_answer(index, dataset, tmp_path):
    member = dataset[3]
    expected = [name for name in by_numpy(index, index.embeddings[3]) if name != member.name][:4]
    link = tmp_path / member.name
    link.symlink_to(member.path)
    renamed = tmp_path / "renamed.png"
    renamed.symlink_to(member.path)
    for hits in (
        index.query_image(member.path, 4),
        index.query_image(str(link), 4),
        index.query_image(renamed, 4),
        index.query_member(member.name, 4),
        index.query_text_and_image("airport", member.path, 4, text_weight=0),
    ):
        assert names(hits) == expected and [hit.rank for hit in hits] == [1, 2, 3, 4]
    copy = tmp_path / "copy.png"
    shutil.copy(member.path, copy)
    assert names(index.query_image(copy, 4))[0] == member.name


def test_text_and_picture_are_mixed_by_their_weight(index, dataset):
    text, image = embed_texts(index.model, ["airport"])[0], index.embeddings[7]
    for weight in (0.3, 1.0):
        mixture = weight * text + (1 - weight) * image
        expected = [name for name in by_numpy(index, mixture) if name != dataset[7].name]
        hits = index.query_text_and_image("airport", dataset[7].path, 23, text_weight=weight)
        assert names(hits) == expected
    with pytest.raises(SearchError, match=r"text_weight is 1\.5"):
        index.query_text_and_image("airport", dataset[7].path, text_weight=1.5)


@pytest.mark.parametrize("engine", ["exact", "nmslib"])
def test_a_filter_gives_all_there_are(dataset, model, engine):
    index = ImageIndex.build(model, dataset, batch_size=8, engine=engine, progress=False)
    vector = embed_texts(model, ["airport"])[0]
    kept = {item.name for item in dataset if item.category == "park"}
    assert names(index.query_text("airport", 8, category="park")) == [
        name for name in by_numpy(index, vector) if name in kept
    ]
    both = index.query_text("airport", 8, category="park", source="odd")
    assert len(both) == 4 and {(hit.category, hit.source) for hit in both} == {("park", "odd")}
    own = index.query_member("picture_4.png", 8, category="park")
    assert len(own) == 7 and "picture_4.png" not in names(own)
    assert len(index.query_text("airport", 1000)) == 24
    assert index.categories == ("park", "pond", "port") and index.sources == ("even", "odd")


def test_where_the_graph_finds_too_few_exact_search_steps_in(dataset, model):
    index = ImageIndex.build(model, dataset, batch_size=8, engine="nmslib", progress=False)
    index.engine.width = 1
    expected = by_numpy(index, embed_texts(model, ["airport"])[0])
    index.engine.nearest = lambda queries, k: np.array([[0, *[-1] * (k - 1)]])
    assert names(index.query_text("airport", 24)) == expected
    index.engine.nearest = lambda queries, k: pytest.fail("asked for exact search")
    assert names(index.query_text("airport", 3, exact=True)) == expected[:3]


def test_an_exact_query_of_a_graph_compares_in_eight_bits_first(model, dataset, monkeypatch):
    expected = names(ImageIndex.build(model, dataset, engine="exact", progress=False).query_text("airport", 5))
    monkeypatch.setattr(engines, "COARSE_FROM", 10)
    index = ImageIndex.build(model, dataset, engine="nmslib", progress=False)
    assert names(index.query_text("airport", 5, exact=True)) == expected
    assert index._exact._coarse is not None


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda index: index.query_text("  "), "text to search for is empty"),
        (lambda index: index.query_text([]), "text to search for is empty"),
        (lambda index: index.query_text(["port", ""]), "text to search for is empty"),
        (lambda index: index.query_text(["port", " ?!"]), r"text to search for is '\?!', without any letters"),
        (lambda index: index.query_text("\u200b"), r"text to search for is '.u200b', without any letters"),
        (lambda index: index.query_text("port", 0), "k is 0; ask for at least one"),
        (lambda index: index.query_text("port", category="prot"), "no.* category 'prot'.*nearest are port"),
        (lambda index: index.query_text("port", source="od"), "source 'od'.*odd"),
        (lambda index: index.query_member("picture_99.png"), r"'picture_99.png'.*nearest are picture_9\.png"),
        (lambda index: index.query_image(b"no picture"), "a bytes was given"),
        (lambda index: index.query_image("nowhere.png"), "no image file at nowhere.png"),
        (lambda index: index.query_image(np.zeros((4, 4, 7, 2))), r"shape \(4, 4, 7, 2\)"),
        (lambda index: index.query_image(np.zeros((4, 4), complex)), "of numbers, none of them zero"),
        (lambda index: index.query_image(Image.new("L", (30_000, 1))), "an aspect ratio so extreme"),
        (lambda index: index.query_image(3), "a int was given"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(index, ask, sentence):
    with pytest.raises(SearchError, match=f"(?i){sentence}") as refusal:
        ask(index)
    assert "\n" not in str(refusal.value)


def test_a_text_that_the_model_does_not_read_to_its_end_is_warned_of(index):
    with pytest.warns(UserWarning, match=r"reads the first \d+ tokens of a text, and not its end"):
        index.query_text(["port", "a port " * 100])


def test_a_name_that_two_members_share_wants_its_folder(model, tmp_path):
    for folder in ("north", "south"):
        noisy_pictures(tmp_path / "all" / folder, 3)
    index = ImageIndex.build(model, tmp_path / "all", batch_size=8, progress=False)
    assert index.categories == ("north", "south") and index.dataset[0].captions == ()
    with pytest.raises(SearchError, match=r"2 images are called 'picture_1\.png'.*north.*south"):
        index.query_member("picture_1.png")
    first = index.query_member("south/picture_1.png", 1)[0]
    assert first.path.parts[-2:] == ("north", "picture_1.png") and first.score == pytest.approx(1, abs=1e-5)
