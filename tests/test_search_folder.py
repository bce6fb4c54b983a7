"""An index beside files of somebody else, several builds in one folder, and a collection that changes."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from search_world import count_embedded, noisy_pictures

from utils import files
from utils.datasets import CaptionDataset
from utils.files import FolderInUseError, sole_owner
from utils.search import ImageIndex, SearchError, storage
from utils.search.pieces import KIND

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Twelve pictures in a folder."""
    noisy_pictures(tmp_path / "pictures", 12)
    return tmp_path / "pictures"


def build(model, data, folder, **options) -> ImageIndex:
    return ImageIndex.build(model, data, folder, **({"batch_size": 4, "progress": False} | options))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def never(*_, **__):
    pytest.fail("it went on to work")


# --- files of somebody else ---------------------------------------------------------------------------------


def test_an_index_among_the_pictures_leaves_every_file_of_the_user_alone(model, pictures):
    for name in ("generation-1", ".partial", "generation-7", "generation-x", "empty"):
        (pictures / name).mkdir()
        if name != "empty":
            (pictures / name / "notes.txt").write_text("mine")
    (pictures / ".partial" / "embeddings.npy").write_bytes(b"mine too")
    (pictures / "generation-9").symlink_to(pictures / "generation-7")
    before = contents(pictures)
    build(model, pictures, pictures)
    Image.new("RGB", (20, 20), "red").save(pictures / "picture_0.png")
    before["picture_0.png"] = (pictures / "picture_0.png").read_bytes()
    build(model, pictures, pictures)
    after = contents(pictures)
    assert {name: after.get(name) for name in before} == before and (pictures / "empty").is_dir()
    assert len(ImageIndex.load(pictures, model)) == 12
    added = {path.name for path in pictures.iterdir()} - {name.split("/")[0] for name in before}
    assert added == {".lock", "empty", "generation-9", "generation-11", "index.json"}


def test_a_foreign_folder_of_the_pieces_name_is_told_before_anything_is_embedded(model, pictures, monkeypatch):
    (pictures / "pieces").mkdir()
    Image.new("RGB", (20, 20), "red").save(pictures / "pieces" / "note.json.png")
    before = contents(pictures)
    monkeypatch.setattr("utils.search.collection.Collection.embed", never)
    with pytest.raises(SearchError, match=r"pieces was not made by ImageIndex\.build.*another folder") as told:
        build(model, pictures, pictures)
    assert "\n" not in str(told.value) and contents(pictures) == before
    (pictures / "pieces" / "note.json").write_text('{"kind": "notes of mine"}')
    with pytest.raises(SearchError, match="was not made by"):
        build(model, pictures, pictures)
    assert (pictures / "pieces" / "note.json").read_text() == '{"kind": "notes of mine"}'


def test_a_stray_file_in_a_folder_of_ours_outlives_it_and_is_in_nobodys_way(model, pictures, tmp_path):
    build(model, pictures, tmp_path / "index")
    (tmp_path / "index" / "generation-1" / ".DS_Store").write_bytes(b"stray")
    (tmp_path / "index" / "pieces").mkdir()
    (tmp_path / "index" / "pieces" / "note.json").write_text(json.dumps({"kind": KIND}))
    (tmp_path / "index" / "pieces" / ".DS_Store").write_bytes(b"stray")
    for count in (11, 10):
        (pictures / f"picture_{count}.png").unlink()
        assert len(build(model, pictures, tmp_path / "index")) == count
    strays = [path.parent.name for path in (tmp_path / "index").rglob(".DS_Store")]
    assert sorted(strays) == ["generation-1", "pieces"]
    assert not (tmp_path / "index" / "generation-2").exists()


@pytest.mark.parametrize("step", ["tempfile.mkdtemp", "json.dumps", "np.save", "write_members", "publish"])
def test_what_a_killed_writer_has_left_goes_with_the_next_index(model, pictures, tmp_path, monkeypatch, step):
    index, left = build(model, pictures, tmp_path / "index"), []
    owners = {"tempfile.mkdtemp": tempfile, "json.dumps": json, "np.save": np, "publish": files}
    copy, owner = tmp_path / "as it was killed", owners.get(step, storage)
    work = getattr(owner, step.split(".")[-1])

    def killed_after(*arguments, **options):
        result = work(*arguments, **options)
        left.append(shutil.copytree(tmp_path / "index", copy)) if not left else None
        return result

    monkeypatch.setattr(owner, step.split(".")[-1], killed_after)
    index.save(tmp_path / "index")
    monkeypatch.undo()
    assert len(ImageIndex.load(copy, model)) == 12
    index.save(copy)
    assert len([path for path in copy.iterdir() if "generation" in path.name]) == 1


def test_a_build_that_has_nothing_to_do_removes_what_a_killed_writer_has_left(model, pictures, tmp_path, monkeypatch):
    """A writer that is killed leaves the vectors of a whole index in a hidden folder."""
    index, write = build(model, pictures, tmp_path / "index"), np.save

    def killed_after(*arguments, **options):
        write(*arguments, **options)
        shutil.copytree(tmp_path / "index", tmp_path / "as it was killed")

    monkeypatch.setattr(np, "save", killed_after)
    index.save(tmp_path / "index")
    copy = tmp_path / "as it was killed"
    assert [path for path in copy.rglob("embeddings.npy") if path.parent.parent != copy]
    build(model, pictures, copy)
    assert {path.name for path in copy.iterdir()} - {".lock"} == {"generation-1", "index.json"}


# --- two at once --------------------------------------------------------------------------------------------


def test_a_second_writer_is_told_and_readers_are_not_kept_waiting(model, pictures, tmp_path, monkeypatch):
    index = build(model, pictures, tmp_path / "index")
    with sole_owner(tmp_path / "index", "building an index"):
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()} .*, building an index there"):
            index.save(tmp_path / "index")
        assert len(ImageIndex.load(tmp_path / "index", model)) == 12
        monkeypatch.setattr("utils.search.collection.Collection.embed", never)
        assert len(build(model, pictures, tmp_path / "index")) == 12
        (pictures / "picture_0.png").unlink()
        with pytest.raises(FolderInUseError):
            build(model, pictures, tmp_path / "index")


def test_a_finished_index_is_given_back_without_writing(model, pictures, tmp_path, monkeypatch):
    build(model, pictures, tmp_path / "index")
    before = contents(tmp_path)

    def read_only(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("utils.files.locks.FileLock", read_only)
    for write in ("utils.files.locks.write_whole", "utils.search.pieces.write_whole", "utils.files.workshop"):
        monkeypatch.setattr(write, never)
    assert len(build(model, pictures, tmp_path / "index")) == 12 and contents(tmp_path) == before
    monkeypatch.undo()
    (tmp_path / "index" / "pieces").mkdir()
    (tmp_path / "index" / "pieces" / "note.json").write_text(json.dumps({"kind": KIND}))
    build(model, pictures, tmp_path / "index")
    assert not (tmp_path / "index" / "pieces").exists()
    (tmp_path / "index" / "pieces").mkdir()  # as a process killed right before it would have removed it leaves it
    build(model, pictures, tmp_path / "index")
    assert not (tmp_path / "index" / "pieces").exists()


@pytest.mark.parametrize("step", ["_file_mark", "np.load", "read_members", "make_engine"])
def test_a_reader_sees_the_new_index_if_the_old_one_goes_while_it_reads(model, pictures, tmp_path, monkeypatch, step):
    old = build(model, pictures, tmp_path / "index", engine="nmslib")
    new = build(model, old.dataset[:5], None)
    owner, name = (np, "load") if step == "np.load" else (storage, step)
    read, replacing = getattr(owner, name), iter([lambda: new.save(tmp_path / "index")])

    def replaced_before(*arguments, **options):
        next(replacing, lambda: None)()
        return read(*arguments, **options)

    monkeypatch.setattr(owner, name, replaced_before)
    assert len(ImageIndex.load(tmp_path / "index", model)) == 5


# --- a collection that changes --------------------------------------------------------------------------------


def test_only_what_is_new_or_edited_is_embedded(model, pictures, tmp_path, monkeypatch, capsys):
    (pictures / "broken.png").write_bytes(b"broken")
    build(model, pictures, tmp_path / "index")
    read = count_embedded(monkeypatch)

    def rebuilt() -> ImageIndex:
        read.clear()
        index = build(model, pictures, tmp_path / "index")
        kept = ImageIndex.load(tmp_path / "index", model)
        assert list(kept.dataset) == list(index.dataset)
        np.testing.assert_array_equal(kept.embeddings, index.embeddings)
        embedded = read.copy()
        scratch = build(model, pictures, None)
        assert list(scratch.dataset) == list(index.dataset) and scratch.skipped == index.skipped
        np.testing.assert_allclose(index.embeddings, scratch.embeddings, atol=1e-6)
        read[:] = embedded
        return index

    Image.new("RGB", (20, 20), "red").save(pictures / "a first one.png")
    assert len(rebuilt()) == 13 and read == ["a first one.png"]
    (pictures / "picture_3.png").unlink()
    assert len(rebuilt()) == 12 and not read
    Image.new("RGB", (20, 20), "blue").save(pictures / "picture_5.png")
    rebuilt()
    assert read == ["picture_5.png"]
    os.utime(pictures / "picture_6.png", ns=(0, 1))
    rebuilt()
    assert read == ["picture_6.png"]
    (pictures / "deeper").mkdir()
    (pictures / "picture_7.png").rename(pictures / "deeper" / "picture_7.png")
    rebuilt()
    assert read == ["picture_7.png"]
    Image.new("RGB", (20, 20), "blue").save(pictures / "broken.png")
    assert len(rebuilt()) == 13 and read == ["broken.png"]
    capsys.readouterr()
    Image.new("RGB", (20, 20), "green").save(pictures / "z.png")
    build(model, pictures, tmp_path / "index", progress=True)
    assert capsys.readouterr().out.startswith("New or changed: 1 of 14 images; kept from before: 13.\n")


def test_what_a_killed_build_has_embedded_serves_a_collection_that_has_grown(model, pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("utils.search.collection.write_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(model, pictures, tmp_path / "index")
    Image.new("RGB", (20, 20), "red").save(pictures / "a.png")
    read = count_embedded(monkeypatch)
    assert len(build(model, pictures, tmp_path / "index")) == 13 and read == ["a.png"]
    assert not (tmp_path / "index" / "pieces").exists()


def test_an_index_of_an_earlier_version_is_read_and_its_pictures_are_embedded_once_more(
    model, pictures, tmp_path, monkeypatch
):
    (pictures / "broken.png").write_bytes(b"broken")
    built = build(model, pictures, tmp_path / "index")
    as_written_before(tmp_path / "index")
    loaded = ImageIndex.load(tmp_path / "index", model)
    assert loaded.query_text("port", 12) == built.query_text("port", 12)
    read = count_embedded(monkeypatch)
    assert len(build(model, pictures, tmp_path / "index")) == 12 and not read
    Image.new("RGB", (20, 20), "red").save(pictures / "new.png")
    assert len(build(model, pictures, tmp_path / "index")) == 13 and len(read) == 14
    read.clear()
    (pictures / "new.png").unlink()
    assert len(build(model, pictures, tmp_path / "index")) == 12 and not read
    assert sorted(path.name for path in (tmp_path / "index").glob("generation-*")) == ["generation-3"]


def as_written_before(folder: Path) -> None:
    """Takes out of an index what earlier versions did not write, and leaves what they might."""
    place, note = folder / "generation-1", json.loads((folder / "index.json").read_text())
    (place / "stamp.json").unlink()
    rows = [json.loads(line) for line in (place / "images.jsonl").read_text().splitlines()]
    for row in rows:
        del row["mark"]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (place / "images.jsonl").write_bytes(content)
    note["files"]["images.jsonl"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    del note["skipped_marks"]
    (folder / "index.json").write_text(json.dumps(note))
    (folder / ".partial").mkdir()
    (folder / ".partial" / "embeddings.npy").write_bytes(b"half")


# --- names ----------------------------------------------------------------------------------------------------


@pytest.fixture
def latin(pictures) -> Path:
    """A picture whose name is Latin-1, as an old archive leaves it."""
    path = pictures / os.fsdecode(b"caf\xe9.png")
    try:
        Image.new("RGB", (20, 20), "red").save(path)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return path


def test_a_name_that_is_not_utf_8_comes_back_exactly(model, pictures, latin, tmp_path, monkeypatch):
    (pictures / os.fsdecode(b"broken\xe9.png")).write_bytes(b"broken")
    build(model, pictures, tmp_path / "index")
    loaded = ImageIndex.load(tmp_path / "index", model)
    assert latin in [item.path for item in loaded.dataset] and not loaded.missing
    assert loaded.skipped[0].path == pictures / os.fsdecode(b"broken\xe9.png")
    assert r"caf\udce9.png" in next((tmp_path / "index").rglob("images.jsonl")).read_text(encoding="utf-8")
    for name in (latin.name, r"caf\udce9.png", str(latin)):
        hits = loaded.query_member(name, 12)
        assert latin not in [hit.path for hit in hits] and len(hits) == 12
    best = loaded.query_image(Image.open(latin), 1)[0]
    assert best.path == latin and best.name == r"caf\udce9.png"
    read = count_embedded(monkeypatch)
    (pictures / "picture_0.png").unlink()
    build(model, pictures, tmp_path / "index")
    assert not read


def test_captions_of_such_a_name_are_written_and_read_back(latin, tmp_path):
    from utils.datasets import load_dataset
    from utils.translation.backtranslation import AugmentedCaptions
    from utils.translation.loading import load_or_backtranslate

    (latin.parent / os.fsdecode(b"caf\xe9s")).mkdir()
    inner = latin.parent / os.fsdecode(b"caf\xe9s") / "red.png"
    Image.new("RGB", (20, 20), "red").save(inner)
    dataset = load_dataset(latin.parent)
    report = f"{dataset.summary()}\n{dataset.verify()}\n{dataset.categories}"
    assert report.encode("utf-8") and r"caf\udce9.png" in report
    captioned = CaptionDataset([replace(item, captions=("a field",)) for item in dataset], "fields")
    AugmentedCaptions(captioned, ()).write(tmp_path / "captions.jsonl")
    again = load_dataset(tmp_path / "captions.jsonl", data_dir=captioned.image_root)
    assert [item.path for item in again] == [item.path for item in captioned]
    handed_over = load_or_backtranslate(dataset, tmp_path / "captions.jsonl", "", "")
    assert [item.captions for item in handed_over] == [("a field",)] * 14
