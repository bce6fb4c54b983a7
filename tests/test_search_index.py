"""Indexes that are built, killed, kept, moved, damaged and replaced."""

import json
import os
import re
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from permissions import assert_as_new, umask
from PIL import Image
from search_world import count_embedded, names, noisy_pictures
from training_world import child, tiny_model

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage, ImageError
from utils.search import ImageIndex, SearchError, pieces
from utils.search.engines import make_engine

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    return noisy_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def index(dataset, model) -> ImageIndex:
    return ImageIndex.build(model, dataset, batch_size=8, progress=False)


@pytest.mark.parametrize("engine", ["exact", "nmslib", "hnswlib", "rabitqlib"])
def test_whom_the_umask_lets_read_a_new_file_may_read_an_index(model, tmp_path, engine):
    if engine != "exact":
        pytest.importorskip(engine)
    with umask(0o027):
        noisy_pictures(tmp_path / "pictures")
        ImageIndex.build(model, tmp_path / "pictures", tmp_path / "index", engine=engine, progress=False)
    assert_as_new(tmp_path / "index", 0o027)


# --- building ---------------------------------------------------------------------------------------------


def test_nothing_to_index_is_refused(model, tmp_path):
    with pytest.raises(SearchError, match="no image to index in empty"):
        ImageIndex.build(model, CaptionDataset([], "empty"), progress=False)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(SearchError, match=r"Not one of the 1 images can be read.*broken\.png"):
        ImageIndex.build(model, tmp_path, progress=False)


@pytest.mark.parametrize("engine", ["nmslib", "hnswlib", "rabitqlib"])
def test_a_library_that_is_not_installed_is_told_before_hours_of_embedding(model, dataset, monkeypatch, engine):
    monkeypatch.setitem(sys.modules, engine, None)
    monkeypatch.setattr("utils.search.collection.Collection.embed", lambda *_, **__: pytest.fail("embedded"))
    with pytest.raises(SearchError, match=f"{engine} is not installed.*pip install {engine}"):
        ImageIndex.build(model, dataset, engine=engine, progress=False)


def test_what_cannot_be_read_is_left_out_and_named(model, dataset, index, tmp_path, capsys, monkeypatch):
    pictures = tmp_path / "pictures"
    noisy_pictures(pictures)
    whole = (pictures / "picture_2.png").read_bytes()
    (pictures / "picture_2.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (1, 5000)).save(pictures / "picture_9.png")
    built = ImageIndex.build(model, pictures, tmp_path / "index", batch_size=8)
    assert [skipped.path.name for skipped in built.skipped] == ["picture_2.png", "picture_9.png"]
    assert "cannot be decoded" in built.skipped[0].reason and "aspect ratio" in built.skipped[1].reason
    assert "22 images" in capsys.readouterr().out
    expected = {item.name: row for item, row in zip(dataset, index.embeddings, strict=True)}
    for item, row in zip(built.dataset, built.embeddings, strict=True):
        np.testing.assert_allclose(row, expected[item.name], atol=1e-5)
    (tmp_path / "elsewhere").mkdir()
    for name in ("pictures", "index"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(
        "utils.datasets.captioned_image.read_image", lambda path, how: pytest.fail("embedded once more")
    )
    stamp = Path("index/index.json").stat().st_mtime_ns
    again = ImageIndex.build(model, "pictures", "index", batch_size=8, progress=False)
    assert [skipped.path.name for skipped in again.skipped] == ["picture_2.png", "picture_9.png"]
    assert all(one.path.is_file() for one in (*again.skipped, *again.dataset))
    assert len(again) == 22 and Path("index/index.json").stat().st_mtime_ns == stamp


def test_without_a_list_for_them_an_unreadable_picture_stops_a_pipeline(model, tmp_path):
    from utils.datasets import eval_batches

    (tmp_path / "broken.png").write_bytes(b"broken")
    broken = CaptionDataset([CaptionedImage(tmp_path / "broken.png", (), None, None, "")])
    with pytest.raises(ImageError, match=r"broken\.png"):
        list(eval_batches(broken, model.preprocessing))


def build_until_killed(checkpoint: Path, pictures: Path, output: Path, last: int) -> None:
    """Builds in batches of four images, and kills itself while it writes one after so many."""
    write = pieces.write_whole

    def write_or_die(path: Path, content: bytes) -> None:
        if path.name == f"{last + 1:09d}.safetensors":
            path.with_name(f".{path.name}.partial").write_bytes(content[:99])
            os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)

    jax.config.update("jax_disable_most_optimizations", True)
    pieces.write_whole = write_or_die
    ImageIndex.build(CLIP.from_pretrained(checkpoint), pictures, output, batch_size=4, progress=False)


def test_a_killed_build_resumes_where_it_was(folder, model, tmp_path, monkeypatch):
    pictures, output = tmp_path / "pictures", tmp_path / "index"
    noisy_pictures(pictures)
    assert child(build_until_killed, folder, pictures, output, 3) == -signal.SIGKILL
    assert not (output / "index.json").exists()
    with pytest.raises(SearchError, match="no finished index; build"):
        ImageIndex.load(output, model)
    assert len(list((output / "pieces").glob("[0-9]*"))) == 3
    read = count_embedded(monkeypatch)
    resumed = ImageIndex.build(model, pictures, output, batch_size=4, progress=False)
    assert sorted(read) == sorted(item.name for item in resumed.dataset[12:])
    whole = ImageIndex.build(model, pictures, batch_size=4, progress=False)
    np.testing.assert_array_equal(resumed.embeddings, whole.embeddings)
    assert left_in(output) == ["generation-1", "index.json"]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_pieces_of_other_pictures_or_damaged_ones_are_not_taken(model, tmp_path, monkeypatch, damage):
    dataset = noisy_pictures(tmp_path / "pictures")
    monkeypatch.setattr("utils.search.collection.drop_pieces", lambda folder: None)
    whole = ImageIndex.build(model, dataset, tmp_path / "index", batch_size=8, progress=False)
    (tmp_path / "index" / "index.json").unlink()
    {"truncated": truncate, "flipped": flip}[damage](tmp_path / "index" / "pieces" / "000000002.safetensors")
    read = count_embedded(monkeypatch)
    again = ImageIndex.build(model, dataset, tmp_path / "index", batch_size=8, progress=False)
    assert sorted(read) == sorted(item.name for item in dataset[8:16])
    np.testing.assert_array_equal(again.embeddings, whole.embeddings)
    (tmp_path / "index" / "index.json").unlink()
    for item in dataset:
        os.utime(item.path, (0, 0))
    read.clear()
    ImageIndex.build(model, dataset, tmp_path / "index", batch_size=8, progress=False)
    assert len(read) == 24


def left_in(folder: Path) -> list[str]:
    """What an index folder holds but for the lock, which stays for the next owner."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


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


def test_a_finished_index_is_given_back_until_its_pictures_or_model_change(kept, model, tmp_path, monkeypatch):
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
    assert len(build(pictures[:-1])) == 23 and not read
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    build(pictures[:-1], other)
    assert len(read) == 23
    Image.new("RGB", (20, 20), "red").save(pictures[0].path)
    build(pictures[:-1], other)
    assert read == [pictures[0].name]


# --- kept in a folder -------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_loaded(index, dataset, model, tmp_path):
    for engine in ("exact", "nmslib"):
        built = ImageIndex.build(model, dataset, batch_size=8, engine=engine, progress=False)
        if engine == "nmslib":
            built.engine.width = 77
        built.save(tmp_path / engine)
        loaded = ImageIndex.load(tmp_path / engine, model)
        assert loaded.query_text("airport", 24) == built.query_text("airport", 24)
        assert loaded.engine.query_parameters == built.engine.query_parameters and loaded.recall == built.recall
        assert loaded.engine.name == engine and list(loaded.dataset) == list(dataset)
        np.testing.assert_array_equal(loaded.embeddings, built.embeddings)
        assert str(loaded) == str(built)
    assert loaded.engine.query_parameters == {"efSearch": 77}


def test_the_widths_of_a_search_are_kept_and_an_index_without_them_is_read(dataset, model, tmp_path):
    built = ImageIndex.build(model, dataset, batch_size=8, engine="nmslib", progress=False)
    built.engine.widths = {10: 60, 100: 300}
    built.save(tmp_path)
    note = json.loads((tmp_path / "index.json").read_text())
    assert (note["width"], note["widths"]) == (60, {"10": 60, "100": 300})
    loaded = ImageIndex.load(tmp_path, model)
    assert loaded.engine.widths == {10: 60, 100: 300} and loaded.engine.query_parameters == {"efSearch": 60}
    del note["widths"]  # as an earlier version wrote it
    (tmp_path / "index.json").write_text(json.dumps(note))
    earlier = ImageIndex.load(tmp_path, model).engine
    assert (earlier.width, earlier.widths, earlier.width_for(100)) == (60, {}, 60)
    assert len(ImageIndex.load(tmp_path, model).query_text("airport", 24)) == 24


def test_a_graph_that_holds_equal_vectors_once_is_kept_as_such(dataset, model, tmp_path):
    for engine, once, version in (("exact", True, 1), ("nmslib", False, 1), ("nmslib", True, 2)):
        twice = CaptionDataset([*dataset, *dataset], "twice")
        built = ImageIndex.build(model, twice, batch_size=8, engine="exact", progress=False)
        built = replace(built, engine=make_engine(engine, built.embeddings, once=once))
        built.save(tmp_path)
        assert json.loads((tmp_path / "index.json").read_text())["version"] == version
        loaded = ImageIndex.load(tmp_path, model)
        assert names(loaded.query_text("airport", 48)) == names(built.query_text("airport", 48, exact=True))


def test_an_index_moves_with_its_pictures(kept, model, tmp_path, dataset, index):
    moved = kept.rename(tmp_path / "elsewhere")
    loaded = ImageIndex.load(moved / "index", model)
    assert not loaded.missing and all(item.path.parent == moved / "pictures" for item in loaded.dataset)
    index.save(tmp_path / "far")
    assert [item.path for item in ImageIndex.load(tmp_path / "far", model).dataset] == [i.path for i in dataset]


@pytest.mark.parametrize("place", [".", ".."])
def test_an_index_may_be_named_from_within(kept, model, monkeypatch, place):
    loaded = ImageIndex.load(kept / "index", model)
    (kept / "index" / "within").mkdir()
    monkeypatch.chdir(kept / "index" / ("within" if place == ".." else "."))
    loaded.save(place)
    assert list(ImageIndex.load(place, model).dataset) == list(loaded.dataset)


def test_a_missing_picture_is_told_and_does_not_stop(kept, model):
    (kept / "pictures" / "picture_3.png").unlink()
    with pytest.warns(UserWarning, match=r"1 of 24 images .*picture_3\.png"):
        loaded = ImageIndex.load(kept / "index", model)
    assert [path.name for path in loaded.missing] == ["picture_3.png"]
    assert "picture_3.png" in names(loaded.query_text("airport", 24))


def test_another_model_is_refused_and_the_same_one_is_known_by_its_weights(kept, model, tmp_path):
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    with pytest.raises(SearchError, match="built with another model"):
        ImageIndex.load(kept / "index", other)
    model.save_pretrained(tmp_path / "copy")
    same = CLIP.from_pretrained(tmp_path / "copy")
    assert len(ImageIndex.load(kept / "index", same)) == 24
    preprocessing = replace(same.preprocessing, mean=(0.5, 0.5, 0.5))
    same.metadata = replace(same.metadata, preprocessing=preprocessing)
    with pytest.raises(SearchError, match="built with another model"):
        ImageIndex.load(kept / "index", same)


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
        ("embeddings.npy", truncate, r"embeddings\.npy is missing or not as it was written"),
        ("embeddings.npy", flip, r"embeddings\.npy is missing or not as it was written"),
        ("images.jsonl", Path.unlink, r"images\.jsonl is missing or not as it was written"),
        ("graph", truncate, "graph is missing or not as it was written"),
        ("graph", flip, "graph is missing or not as it was written"),
        ("index.json", truncate, r"index\.json was not written by ImageIndex\.save"),
        ("index.json", lambda path: path.write_text("[1, 2]"), "not written by ImageIndex"),
        ("index.json", lambda path: path.write_text('{"kind": "other", "version": 1}'), "not written by"),
        ("index.json", edit("version", 99), "version 99, of a later course"),
        ("index.json", edit("files", {}), "missing or not as it was written"),
        (
            "index.json",
            lambda path: path.write_text(path.read_text().replace('"recall"', '"r"')),
            "does not fit .*'recall'",
        ),
        ("index.json", edit("engine", "magic"), "does not fit the files beside it.*magic"),
        ("index.json", Path.unlink, "holds no finished index"),
    ],
)
def test_damage_is_refused_in_a_sentence(kept, model, file, damage, sentence):
    damage(next((kept / "index").rglob(file)))
    with pytest.raises(SearchError, match=sentence) as refusal:
        ImageIndex.load(kept / "index", model)
    assert "\n" not in str(refusal.value)


def test_an_index_whose_note_lacks_something_is_built_again(kept, model):
    note = kept / "index" / "index.json"
    note.write_text(note.read_text().replace('"recall"', '"r"'))
    built = ImageIndex.build(model, kept / "pictures", kept / "index", batch_size=8, progress=False)
    assert ImageIndex.load(kept / "index", model).recall == built.recall == 1


def test_a_foreign_folder_is_neither_read_nor_written(index, model, dataset, tmp_path):
    with pytest.raises(SearchError, match="nowhere holds no finished index"):
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


@pytest.mark.parametrize("step", ["np.save", "write_members", "_file_mark", "publish", "after"])
def test_replacing_an_index_never_leaves_none(kept, model, monkeypatch, step):
    old = ImageIndex.load(kept / "index", model)
    new = ImageIndex.build(model, old.dataset[:10], batch_size=8, progress=False)

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        places = {
            "np.save": "numpy.save",
            "publish": "utils.files.publish",
            "after": "utils.search.storage.remove_leftovers",
        }
        patched.setattr(places.get(step, f"utils.search.storage.{step}"), stop)
        with pytest.raises(KeyboardInterrupt):
            new.save(kept / "index")
    assert len(ImageIndex.load(kept / "index", model)) == (10 if step == "after" else 24)
    new.save(kept / "index")
    assert len(ImageIndex.load(kept / "index", model)) == 10
    left = [re.sub(r"\d+", "N", name) for name in left_in(kept / "index")]
    assert left == ["generation-N", "index.json"]


@pytest.mark.parametrize("engine", ["exact", "nmslib", "hnswlib", "rabitqlib"])
def test_a_full_disk_is_told_and_leaves_the_index_that_was_there(kept, model, engine):
    if engine != "exact":
        pytest.importorskip(engine)
    embeddings = np.random.default_rng(0).normal(size=(500, 100)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    item = ImageIndex.load(kept / "index", model).dataset[0]
    large = ImageIndex(CaptionDataset([item] * 500), embeddings, make_engine(engine, embeddings), model=model)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = 2_000 if engine == "exact" else embeddings.nbytes + 200  # the vectors still fit, the graph does not
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match=r"could not be written into .*index, (no room|the disk is full)"):
            large.save(kept / "index")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left_in(kept / "index") == ["generation-1", "index.json"]
    assert len(ImageIndex.load(kept / "index", model)) == 24
