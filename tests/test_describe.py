"""Pictures are described in two lines; what a machine wrote stays marked, and is found by words."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from captioner_world import tiny_captioner
from PIL import Image

from utils.captioning import Greedy, Nucleus, caption, write_captions
from utils.datasets import CaptionDataset, DatasetError, ImageError, load_dataset

pytestmark = pytest.mark.usefixtures("quick_compilation")

COUNT = 5


@pytest.fixture(scope="module")
def captioner(model):
    return tiny_captioner(model)


@pytest.fixture
def pictures(tmp_path):
    """Images without captions, in a folder and one below it."""
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    paths = [folder / f"{number}.png" for number in range(COUNT - 1)] + [folder / "inner" / "4.png"]
    generator = np.random.default_rng(0)
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (40, 50, 3), np.uint8)).save(path)
    return folder, paths


def test_paths_images_and_items_give_the_same_captions(captioner, pictures):
    folder, paths = pictures
    texts = caption(captioner, paths, progress=False)
    assert len(texts) == COUNT
    assert any(texts)
    assert caption(captioner, [Image.open(path) for path in paths], progress=False) == texts
    dataset = load_dataset(folder)
    by_path = dict(zip(paths, texts, strict=True))
    assert caption(captioner, dataset, progress=False) == [by_path[item.path] for item in dataset]
    assert caption(captioner, dataset[0], progress=False) == [by_path[dataset[0].path]]
    assert caption(captioner, str(paths[0]), progress=False) == texts[:1]
    assert caption(captioner, [], progress=False) == []


def test_captions_are_as_long_as_the_captioner_was_trained_to_write(captioner, pictures):
    short = caption(captioner.copy(caption_tokens=3), pictures[1], progress=False)
    assert short == caption(captioner, pictures[1], max_tokens=3, progress=False)
    assert short != caption(captioner, pictures[1], progress=False)


def test_chance_does_not_depend_on_the_size_of_a_batch(captioner, pictures):
    method = Nucleus(1.0, 2.0)
    texts = [caption(captioner, pictures[1], method=method, batch_size=size, progress=False) for size in (2, 8)]
    assert texts[0] == texts[1]


def test_what_cannot_be_described_gets_one_sentence(captioner, pictures, tmp_path):
    _, paths = pictures
    paths[1].write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"1\.png"):
        caption(captioner, paths, progress=False)
    unreadable = {}
    texts = caption(captioner, paths, unreadable=unreadable, progress=False)
    assert list(unreadable) == [1]
    assert texts[1] == ""
    with pytest.raises(ValueError, match="Image 0 is of type int; give a path, an image of Pillow or of a data set"):
        caption(captioner, [3], progress=False)
    with pytest.raises(ValueError, match="batch_size is 0; it must be at least 1"):
        caption(captioner, paths, batch_size=0, progress=False)
    with pytest.raises(ValueError, match="max_tokens of 9999 are more than the decoder's"):
        caption(captioner, paths[:1], max_tokens=9999, progress=False)


def test_written_captions_are_read_back_with_their_mark(captioner, pictures):
    folder, paths = pictures
    paths[2].write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 images are damaged and are left out: 2\.png"):
        file = write_captions(captioner, folder, folder / "captions.jsonl", method=Greedy(), progress=False)
    unreadable = {}
    texts = dict(
        zip(paths, caption(captioner, paths, method=Greedy(), progress=False, unreadable=unreadable), strict=True)
    )
    for source in (file, folder):
        with pytest.warns(UserWarning, match="4 of 4 images have captions by a machine: search them, but measure no"):
            dataset = load_dataset(source)
        assert {item.path: item.captions for item in dataset} == {
            path: (texts[path],) for path in paths if path != paths[2]
        }
        assert {item.written_by for item in dataset} == {f"the captioner {captioner.metadata.source['name']}"}
        assert "captions by a machine (the captioner " in dataset.summary()
    assert {item.written_by for item in dataset.captioned().subset(2)} == {dataset[0].written_by}


def test_a_folder_within_a_folder_is_no_news(captioner, pictures, tmp_path):
    shutil.copytree(pictures[0] / "inner", tmp_path / "outer" / "inner")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that all images are of one category, say
        file = write_captions(captioner, tmp_path / "outer", tmp_path / "inner.jsonl", progress=False)
    assert json.loads(file.read_text())["filename"] == "outer/inner/4.png"


def test_captions_of_people_are_kept_without_the_mark(captioner, pictures, tmp_path):
    folder, _ = pictures
    (folder / "own.csv").write_text("filename,caption\n0.png,a red field\n1.png,\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = load_dataset(folder / "own.csv")
        file = write_captions(captioner, dataset, tmp_path / "elsewhere" / "all.jsonl", progress=False)
        first, second = load_dataset(file, data_dir=dataset.image_root)
        bare = [replace(item, captions=()) for item in dataset]
        again = write_captions(captioner, CaptionDataset([*bare, *dataset]), tmp_path / "twice.jsonl", progress=False)
    lines = map(json.loads, again.read_text().splitlines())  # an image that stands there twice, once without captions
    assert [line["captions"] for line in lines if line["filename"] == "mine/0.png"] == [["a red field"]]
    assert first.captions == ("a red field",)
    assert first.written_by is None
    assert second.written_by
    assert second.captions == tuple(caption(captioner, second.path, progress=False))


def test_a_file_appears_whole_and_none_is_overwritten(captioner, pictures, tmp_path, monkeypatch):
    folder, _ = pictures
    file = folder / "captions.jsonl"
    file.write_text("by hand")
    with pytest.raises(FileExistsError, match="is there already, and people may have written it; delete it, or name"):
        write_captions(captioner, folder, file, progress=False)
    file.unlink()
    with pytest.raises(ValueError, match=r"must end in \.jsonl"):
        write_captions(captioner, folder, folder / "captions.txt", progress=False)
    with pytest.raises(DatasetError, match="there is no folder"):
        write_captions(captioner, tmp_path / "absent", file, progress=False)
    with pytest.raises(DatasetError, match="it has no image that can be described"):
        write_captions(captioner, CaptionDataset([], "empty"), file, progress=False)
    monkeypatch.setattr("utils.captioning.describe.words_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_captions(captioner, folder, file, progress=False)
    assert [path.name for path in folder.iterdir() if path.suffix == ".jsonl" or "partial" in path.name] == []


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_two_programs_cannot_have_written_the_captions_of_one_image(pictures):
    folder, _ = pictures
    lines = [{"filename": "0.png", "captions": ["a"], "written_by": name} for name in ("one", "two")]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DatasetError, match=r"0\.png is listed twice, with written_by 'one' and 'two'; keep one"):
        load_dataset(folder / "captions.jsonl")
