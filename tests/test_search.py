"""The index against exact search, its questions, and what it survives: kills, moves, damage and other models."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from training_world import child, tiny_model

from utils.clip import CLIP, embed_texts
from utils.datasets import CaptionDataset, CaptionedImage
from utils.images import ImageError, eval_transform, read_image
from utils.search import ImageIndex, SearchError, collection, engines, storage
from utils.search.engines import ExactEngine, make_engine, recall, strangers, widen

pytestmark = pytest.mark.usefixtures("quick_compilation")

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


def clusters(count: int, dim: int, seed: int) -> np.ndarray:
    """Unit vectors around twenty centres, which are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(20, dim))
    generator = np.random.default_rng(seed)
    vectors = centres[generator.integers(20, size=count)] + 0.7 * generator.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    return noisy_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def index(dataset, model) -> ImageIndex:
    return ImageIndex.build(model, dataset, batch_size=8, progress=False)


def names(hits) -> list[str]:
    return [hit.path.name for hit in hits]


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
    vectors = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    assert ExactEngine(vectors).nearest(vectors[:1], 5)[0].tolist() == [0, 1, 2, 3, 4]


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
    again = make_engine("nmslib", vectors, tmp_path / "graph", 30)
    np.testing.assert_array_equal(again.nearest(queries, 10), expected)
    assert again.query_parameters == {"efSearch": 30}


@pytest.mark.parametrize("name", ["nmslib", "hnswlib"])
def test_a_graph_is_widened_until_it_finds_what_exact_search_finds(name, tmp_path):
    if name == "hnswlib":
        pytest.importorskip("hnswlib")
    vectors = (
        np.random.default_rng(1).normal(size=(1493, 256)).astype(np.float32)
    )  # nothing is close to anything
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors, queries = vectors[:1293], vectors[1293:]
    exact = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    engine = make_engine(name, vectors)
    assert recall(engine.nearest(queries, 10), exact) < 0.9
    reached = widen(engine, vectors)
    assert reached >= 0.99 and engine.width > engines.WIDTHS[0]
    assert recall(engine.nearest(queries, 10), exact) >= 0.97  # neither these nor those queries are members
    engine.save(tmp_path / "graph")
    again = make_engine(name, vectors, tmp_path / "graph", engine.width)
    np.testing.assert_array_equal(again.nearest(queries, 10), engine.nearest(queries, 10))


def test_strangers_are_near_members_but_none_of_them():
    vectors = clusters(500, 64, 1)
    queries = strangers(vectors, 100)
    closest = (queries @ vectors.T).max(axis=1)
    assert closest.min() > 0.5 and closest.max() < 0.99
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(queries, strangers(vectors, 100))


@pytest.mark.parametrize("name", ["nmslib", "hnswlib"])
def test_a_graph_of_a_few_is_still_a_graph(name):
    if name == "hnswlib":
        pytest.importorskip("hnswlib")
    for count in (1, 3):
        vectors = np.eye(count, 4, dtype=np.float32)
        engine = make_engine(name, vectors)
        assert widen(engine, vectors) == 1 and engine.width == engines.WIDTHS[0]
        assert engine.nearest(vectors, count)[:, 0].tolist() == list(range(count))


def test_recall_is_the_share_of_the_truth_in_whatever_order():
    assert recall(np.array([[3, 1, 2], [4, 5, -1]]), np.array([[1, 2, 3], [5, 6, 7]])) == pytest.approx(4 / 6)


def test_auto_takes_exact_search_for_few_and_the_graph_for_many():
    assert engines.choose_engine("auto", engines.EXACT_BELOW - 1) == "exact"
    assert engines.choose_engine("auto", engines.EXACT_BELOW) == "nmslib"
    with pytest.raises(SearchError, match="no search engine 'faiss'; choose one of auto, exact"):
        engines.choose_engine("faiss", 10)


# --- questions --------------------------------------------------------------------------------------------


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
    for image in (path.read_bytes(), Image.open(path), pixels, pixels / 255.0):
        hits = index.query_image(image, 6)
        assert names(hits) == by_numpy(index, vector)[:6] and hits[0].path == path
        assert hits[0].score == pytest.approx(1, abs=1e-5)


def test_a_member_is_left_out_of_its_own_answer(index, dataset, tmp_path):
    member = dataset[3]
    expected = [name for name in by_numpy(index, index.embeddings[3]) if name != member.name][:4]
    link = tmp_path / member.name
    link.symlink_to(member.path)
    for hits in (
        index.query_image(member.path, 4),
        index.query_image(str(link), 4),
        index.query_member(member.name, 4),
        index.query_text_and_image("airport", member.path, 4, text_weight=0),
    ):
        assert names(hits) == expected and [hit.rank for hit in hits] == [1, 2, 3, 4]
    stranger = tmp_path / "stranger.png"
    shutil.copy(member.path, stranger)
    assert names(index.query_image(stranger, 4))[0] == member.name


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


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda index: index.query_text("  "), "text to search for is empty"),
        (lambda index: index.query_text([]), "text to search for is empty"),
        (lambda index: index.query_text(["port", ""]), "text to search for is empty"),
        (lambda index: index.query_text("port", 0), "k is 0; ask for at least one"),
        (lambda index: index.query_text("port", category="prot"), "no.* category 'prot'.*nearest are port"),
        (lambda index: index.query_text("port", source="od"), "source 'od'.*odd"),
        (lambda index: index.query_member("picture_99.png"), r"'picture_99.png'.*nearest are picture_9\.png"),
        (lambda index: index.query_image(b"no picture"), "no picture to search with.*no format"),
        (lambda index: index.query_image("nowhere.png"), "no image file at nowhere.png"),
        (lambda index: index.query_image(np.zeros((4, 4, 7))), r"shape \(4, 4, 7\)"),
        (lambda index: index.query_image(np.full((4, 4, 3), 7.0)), "floats from 0 to 1"),
        (lambda index: index.query_image(Image.new("1", (20_000, 20_000))), "400,000,000 pixels"),
        (lambda index: index.query_image(Image.new("L", (30_000, 1))), "a thread"),
        (lambda index: index.query_image(3), "a int was given"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_sentence(index, ask, sentence):
    with pytest.raises(SearchError, match=f"(?i){sentence}") as refusal:
        ask(index)
    assert "\n" not in str(refusal.value)


def test_a_name_that_two_members_share_wants_its_folder(model, tmp_path):
    for folder in ("north", "south"):
        noisy_pictures(tmp_path / "all" / folder, 3)
    index = ImageIndex.build(model, tmp_path / "all", batch_size=8, progress=False)
    assert index.categories == ("north", "south") and index.dataset[0].captions == ()
    with pytest.raises(SearchError, match=r"2 pictures are called 'picture_1\.png'.*north.*south"):
        index.query_member("picture_1.png")
    first = index.query_member("south/picture_1.png", 1)[0]
    assert first.path.parts[-2:] == ("north", "picture_1.png") and first.score == pytest.approx(1, abs=1e-5)


# --- building ---------------------------------------------------------------------------------------------


def test_nothing_to_index_is_refused(model, tmp_path):
    with pytest.raises(SearchError, match="no image to index in empty"):
        ImageIndex.build(model, CaptionDataset([], "empty"), progress=False)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(SearchError, match=r"Not one of the 1 pictures can be read.*broken\.png"):
        ImageIndex.build(model, tmp_path, progress=False)


def test_what_cannot_be_read_is_left_out_and_named(model, dataset, index, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    noisy_pictures(pictures)
    whole = (pictures / "picture_2.png").read_bytes()
    (pictures / "picture_2.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (1, 5000)).save(pictures / "picture_9.png")
    built = ImageIndex.build(model, pictures, tmp_path / "index", batch_size=8)
    assert [skipped.path.name for skipped in built.skipped] == ["picture_2.png", "picture_9.png"]
    assert "cannot be decoded" in built.skipped[0].reason and "thread" in built.skipped[1].reason
    assert "22 pictures" in capsys.readouterr().out
    expected = {item.name: row for item, row in zip(dataset, index.embeddings, strict=True)}
    for item, row in zip(built.dataset, built.embeddings, strict=True):
        np.testing.assert_allclose(row, expected[item.name], atol=1e-5)
    assert ImageIndex.load(tmp_path / "index", model).skipped == built.skipped


def test_without_a_list_for_them_an_unreadable_picture_stops_a_pipeline(model, tmp_path):
    from utils.images import eval_batches

    (tmp_path / "broken.png").write_bytes(b"broken")
    broken = CaptionDataset([CaptionedImage(tmp_path / "broken.png", (), None, None, "")])
    with pytest.raises(ImageError, match=r"broken\.png"):
        list(eval_batches(broken, model.preprocessing))


def build_until_killed(checkpoint: Path, pictures: Path, output: Path, last: int) -> None:
    """Builds in pieces of four pictures, and kills itself while it writes the last one."""
    write = collection.write_whole

    def write_or_die(path: Path, content: bytes) -> None:
        if path.name == f"{4 * last:09d}.safetensors":
            path.with_name(f".{path.name}.partial").write_bytes(content[:99])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    jax.config.update("jax_disable_most_optimizations", True)
    collection.PIECE, collection.write_whole = 4, write_or_die
    ImageIndex.build(CLIP.from_pretrained(checkpoint), pictures, output, batch_size=2, progress=False)


def test_a_killed_build_goes_on_where_it_was(folder, model, tmp_path, monkeypatch):
    pictures, output = tmp_path / "pictures", tmp_path / "index"
    noisy_pictures(pictures)
    assert child(build_until_killed, folder, pictures, output, 3) == -signal.SIGKILL
    assert not (output / "index.json").exists()
    with pytest.raises(SearchError, match="no finished index; build"):
        ImageIndex.load(output, model)
    assert len(list((output / "pieces").glob("[0-9]*"))) == 3
    monkeypatch.setattr(collection, "PIECE", 4)
    read = count_embedded(monkeypatch)
    resumed = ImageIndex.build(model, pictures, output, batch_size=2, progress=False)
    assert sorted(read) == sorted(item.name for item in resumed.dataset[12:])
    whole = ImageIndex.build(model, pictures, batch_size=2, progress=False)
    np.testing.assert_array_equal(resumed.embeddings, whole.embeddings)
    assert sorted(path.name for path in output.iterdir()) == ["generation-1", "index.json"]


def test_pieces_of_other_pictures_or_damaged_ones_are_not_taken(model, tmp_path, monkeypatch):
    dataset = noisy_pictures(tmp_path / "pictures")
    monkeypatch.setattr(collection, "PIECE", 8)
    monkeypatch.setattr("utils.search.index.drop_pieces", lambda folder: None)
    ImageIndex.build(model, dataset, tmp_path / "index", batch_size=8, progress=False)
    (tmp_path / "index" / "index.json").unlink()
    truncate(tmp_path / "index" / "pieces" / "000000008.safetensors")
    read = count_embedded(monkeypatch)
    ImageIndex.build(model, dataset, tmp_path / "index", batch_size=8, progress=False)
    assert sorted(read) == sorted(item.name for item in dataset[8:16])
    read.clear()
    ImageIndex.build(model, dataset[::-1], tmp_path / "index", batch_size=8, progress=False)
    assert len(read) == 24


@pytest.fixture
def kept(model, tmp_path) -> Path:
    """A folder with an index and its pictures beside it."""
    ImageIndex.build(
        model,
        noisy_pictures(tmp_path / "kept" / "pictures"),
        tmp_path / "kept" / "index",
        engine="nmslib",
        progress=False,
    )
    return tmp_path / "kept"


def count_embedded(monkeypatch) -> list[str]:
    """The pictures that are read from now on."""
    read = []
    monkeypatch.setattr(
        "utils.images.read_image", lambda path: read.append(Path(path).name) or read_image(path)
    )
    return read


def test_a_finished_index_is_given_back_until_its_pictures_or_model_change(
    kept, model, tmp_path, monkeypatch
):
    read = count_embedded(monkeypatch)

    def build(data, with_model=model, engine="nmslib"):
        read.clear()
        return ImageIndex.build(with_model, data, kept / "index", engine=engine, progress=False)

    stamp = (kept / "index" / "index.json").stat().st_mtime_ns
    pictures = CaptionDataset(ImageIndex.load(kept / "index", model).dataset)
    build(pictures)
    assert not read and (kept / "index" / "index.json").stat().st_mtime_ns == stamp
    renamed = CaptionDataset([CaptionedImage(i.path, ("new",), None, None, "new") for i in pictures])
    assert build(renamed).query_text("port", 1)[0].captions == ("new",) and not read
    assert ImageIndex.load(kept / "index", model).sources == ("new",)
    assert build(renamed, engine="exact").engine.name == "exact" and not read
    assert len(build(pictures[:-1])) == 23 and len(read) == 23
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    build(pictures[:-1], other)
    assert len(read) == 23
    Image.new("RGB", (20, 20), "red").save(pictures[0].path)
    build(pictures[:-1], other)
    assert len(read) == 23


# --- kept in a folder -------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(index, dataset, model, tmp_path):
    for engine in ("exact", "nmslib"):
        built = ImageIndex.build(model, dataset, batch_size=8, engine=engine, progress=False)
        if engine == "nmslib":
            built.engine.width = 77
        built.save(tmp_path / engine)
        loaded = ImageIndex.load(tmp_path / engine, model)
        assert loaded.query_text("airport", 24) == built.query_text("airport", 24)
        assert loaded.query_parameters == built.query_parameters and loaded.recall == built.recall
        assert loaded.engine.name == engine and list(loaded.dataset) == list(dataset)
        np.testing.assert_array_equal(loaded.embeddings, built.embeddings)
        assert str(loaded) == str(built)
    assert loaded.query_parameters == {"efSearch": 77}


def test_an_index_moves_with_its_pictures(kept, model, tmp_path, dataset, index):
    moved = kept.rename(tmp_path / "elsewhere")
    loaded = ImageIndex.load(moved / "index", model)
    assert not loaded.missing and all(item.path.parent == moved / "pictures" for item in loaded.dataset)
    index.save(tmp_path / "far")
    assert [item.path for item in ImageIndex.load(tmp_path / "far", model).dataset] == [
        i.path for i in dataset
    ]


def test_a_missing_picture_is_told_and_does_not_stop(kept, model):
    (kept / "pictures" / "picture_3.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of 24 pictures .*picture_3\.png"):
        loaded = ImageIndex.load(kept / "index", model)
    assert [path.name for path in loaded.missing] == ["picture_3.png"]
    assert "picture_3.png" in names(loaded.query_text("airport", 24))


def test_another_model_is_refused_and_the_same_one_is_known_by_its_weights(kept, model, tmp_path):
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    with pytest.raises(SearchError, match="built with another model"):
        ImageIndex.load(kept / "index", other)
    model.save_pretrained(tmp_path / "copy")
    assert len(ImageIndex.load(kept / "index", CLIP.from_pretrained(tmp_path / "copy"))) == 24


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(name: str, value: object):
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))

    return change


@pytest.mark.parametrize(
    ("file", "damage", "sentence"),
    [
        ("embeddings.npy", truncate, r"embeddings\.npy has [\d,]+ bytes, not the [\d,]+ that were written"),
        ("embeddings.npy", flip, r"embeddings\.npy is not the file that was written"),
        ("images.jsonl", Path.unlink, r"images\.jsonl of the index is missing"),
        ("graph", truncate, "graph has .* bytes"),
        ("graph", flip, "graph is not the file"),
        ("index.json", truncate, r"index\.json was not written by ImageIndex\.save"),
        ("index.json", lambda path: path.write_text("[1, 2]"), "not written by ImageIndex"),
        ("index.json", lambda path: path.write_text('{"kind": "other", "version": 1}'), "not written by"),
        ("index.json", edit("version", 99), "version 99, and this course reads version 1"),
        ("index.json", edit("files", {}), "not the unknown"),
        ("index.json", edit("engine", "magic"), "does not fit the files beside it.*magic"),
        ("index.json", Path.unlink, "holds no finished index"),
    ],
)
def test_damage_is_refused_in_a_sentence(kept, model, file, damage, sentence):
    damage(next((kept / "index").rglob(file)))
    with pytest.raises(SearchError, match=sentence) as refusal:
        ImageIndex.load(kept / "index", model)
    assert "\n" not in str(refusal.value)


def test_a_foreign_folder_is_neither_read_nor_written(index, model, dataset, tmp_path):
    with pytest.raises(SearchError, match="is not there"):
        ImageIndex.load(tmp_path / "nowhere", model)
    foreign = tmp_path / "index.json"
    foreign.write_text('{"somebody": "else"}')
    for write in (index.save, lambda place: ImageIndex.build(model, dataset, place, progress=False)):
        with pytest.raises(SearchError, match=r"index\.json was not written by"):
            write(tmp_path)
        with pytest.raises(SearchError, match="is a file, and an index is a folder"):
            write(foreign)
    assert [path.name for path in tmp_path.iterdir()] == ["index.json"]
    assert foreign.read_text() == '{"somebody": "else"}'


@pytest.mark.parametrize("step", ["np.save", "_write_items", "_mark", "write_whole", "after"])
def test_replacing_an_index_never_leaves_none(kept, model, monkeypatch, step):
    old = ImageIndex.load(kept / "index", model)
    new = ImageIndex.build(model, old.dataset[:10], batch_size=8, progress=False)

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("numpy.save" if step == "np.save" else f"utils.search.storage.{step}", stop) if (
            step != "after"
        ) else patched.setattr(storage.shutil, "rmtree", lambda path, **_: path.exists() and stop())
        with pytest.raises(KeyboardInterrupt):
            new.save(kept / "index")
    assert len(ImageIndex.load(kept / "index", model)) == (10 if step == "after" else 24)
    new.save(kept / "index")
    assert len(ImageIndex.load(kept / "index", model)) == 10
    left = sorted(re.sub(r"\d+", "N", path.name) for path in (kept / "index").iterdir())
    assert left == ["generation-N", "index.json"]
