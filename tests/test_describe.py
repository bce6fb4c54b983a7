"""Pictures are described in two lines; what a machine wrote stays marked, and is found by words."""

import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from captioner_world import tiny_captioner
from PIL import Image

from utils.captioning import Greedy, Nucleus, caption, describe, write_captions
from utils.datasets import CaptionDataset, DatasetError, ImageError, load_dataset
from utils.files import FolderInUseError, sole_owner

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
    for nothing in (None, 3):
        with pytest.raises(ValueError, match=f"The pictures are {nothing}; give a path, an image of Pillow or of a"):
            caption(captioner, nothing, progress=False)
    with pytest.raises(ImageError, match=r"There is no image file at .*absent\.png"):
        caption(captioner, paths[0].with_name("absent.png"), progress=False)
    for size in (0, 2.5, None):
        with pytest.raises(ValueError, match=f"batch_size is {size}; it must be a whole number of at least 1"):
            caption(captioner, paths, batch_size=size, progress=False)
    for seed in (2**40, -1, 0.5, None):
        with pytest.raises(ValueError, match=f"The seed is {seed}; it must be a whole number from 0 to 4,294,967,295"):
            caption(captioner, paths[:1], method=Nucleus(), seed=seed, progress=False)
    assert caption(captioner, paths[:1], method=Nucleus(), seed=2**32 - 1, progress=False)
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


def test_no_file_is_overwritten_and_nothing_stays_of_what_cannot_be(captioner, pictures, tmp_path):
    folder, paths = pictures
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
    for wrong in (None, [paths[0]]):
        with pytest.raises(ValueError, match=r"The pictures are of type .*; give the path of a folder, or a data set"):
            write_captions(captioner, wrong, file, progress=False)
    with pytest.raises(ValueError, match=r"The captions file is None; give its path, such as captions\.jsonl"):
        write_captions(captioner, folder, None, progress=False)
    assert not hidden(folder)


# --- stopped and resumed ----------------------------------------------------------------------------------


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def described(monkeypatch, stop_after=None):
    """Lists, as it goes, how many images each batch of captions is of; the interrupt comes after so many batches."""
    batches, words_of = [], describe.words_of

    def listening(tokenizer, tokens):
        if len(batches) == stop_after:
            raise KeyboardInterrupt
        batches.append(len(tokens))
        return words_of(tokenizer, tokens)

    monkeypatch.setattr(describe, "words_of", listening)
    return batches


def stop(captioner, folder, file, monkeypatch, **how):
    """Describes four images of five."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        described(patched, stop_after=2)
        write_captions(captioner, folder, file, batch_size=2, progress=False, **how)
    assert not file.exists()


def test_a_stopped_run_resumes_with_the_same_captions(captioner, pictures, tmp_path, monkeypatch, capsys):
    folder, paths = pictures
    paths[1].write_bytes(b"no image")
    how = {"method": Nucleus(1.0, 2.0), "batch_size": 2}
    with pytest.warns(UserWarning, match=r"1 images are damaged and are left out: 1\.png"):
        whole = write_captions(captioner, folder, folder / "whole.jsonl", **how, progress=False).read_text()
    (folder / "whole.jsonl").unlink()
    file = folder / "captions.jsonl"
    stop(captioner, folder, file, monkeypatch, method=how["method"])
    kept = folder / ".captions.jsonl-begun" / "written.jsonl"
    with kept.open("a") as half:
        half.write('["half a li')  # as a kill leaves it
    with pytest.warns(UserWarning, match=r"left out: 1\.png"):
        assert len(load_dataset(folder)) == COUNT - 1  # what is begun is no captions file
    batches = described(monkeypatch)
    with pytest.warns(UserWarning, match=r"left out: 1\.png"):
        write_captions(captioner, folder, file, **how)
    assert batches == [1] and "4 of 5 images are described already." in capsys.readouterr().out
    assert file.read_text() == whole and not hidden(folder)


def test_a_changed_image_is_described_again_and_another_method_begins_anew(captioner, pictures, monkeypatch):
    folder, paths = pictures
    file, method = folder / "captions.jsonl", Greedy()
    stop(captioner, folder, file, monkeypatch, method=method)
    Image.new("RGB", (60, 60), "red").save(paths[0])
    with monkeypatch.context() as patched:
        batches = described(patched)
        write_captions(captioner, folder, file, method=method, batch_size=2, progress=False)
    assert batches == [2]  # the red one and the fifth
    lines = map(json.loads, file.read_text().splitlines())
    texts = {line["filename"]: line["captions"][0] for line in lines}
    names = [path.relative_to(folder).as_posix() for path in paths]
    expected = caption(captioner, paths, method=method, progress=False)
    assert texts == dict(zip(names, expected, strict=True))
    file.unlink()
    stop(captioner, folder, file, monkeypatch, method=Nucleus())
    batches = described(monkeypatch)
    write_captions(captioner, folder, file, method=method, batch_size=2, progress=False)
    assert sum(batches) == 6  # five, and one that fills up the last batch


def test_two_processes_cannot_write_one_file(captioner, pictures):
    folder, _ = pictures
    with (
        sole_owner(folder / ".captions.jsonl-begun", "describing images"),
        pytest.raises(FolderInUseError, match="describing images there since"),
    ):
        write_captions(captioner, folder, folder / "captions.jsonl", progress=False)


def test_two_programs_cannot_have_written_the_captions_of_one_image(pictures):
    folder, _ = pictures
    lines = [{"filename": "0.png", "captions": ["a"], "written_by": name} for name in ("one", "two")]
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DatasetError, match=r"0\.png is listed twice, with written_by 'one' and 'two'; keep one"):
        load_dataset(folder / "captions.jsonl")
