"""A folder of somebody's own images made searchable by one command, without its page."""

import os
import re
import signal
import subprocess
import time
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from search_world import count_embedded, noisy_pictures
from training_world import child, tiny_model

import utils.clip
from utils.clip import CLIP, embed_images
from utils.course import CourseError
from utils.demo import __main__ as command
from utils.demo import pictures as own
from utils.demo import render
from utils.demo.answers import Answers
from utils.search import ImageIndex

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Twelve images of noise, three of them in deeper folders that are called like a split and like nothing."""
    folder = tmp_path / "my pictures"
    noisy_pictures(folder, 12)
    for name, place in (("picture_3", "train"), ("picture_4", "train"), ("picture_5", "2021/may")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").rename(folder / place / f"{name}.png")
    return folder


@pytest.fixture
def started(tmp_path, folder, pictures, capsys):
    """What `index_pictures` gives and prints, in a checkout of its own."""

    def start(where: str | Path = pictures, model: str = str(folder)) -> tuple[ImageIndex, Path, str]:
        capsys.readouterr()
        index, kept = own.index_pictures(tmp_path / "course", str(where), model)
        return index, kept, capsys.readouterr().out

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_image_is_found_whatever_else_lies_there(pictures):
    (pictures / "captions.csv").write_text("filename,caption\npicture_0.png,one of twelve\n")
    (pictures / "more.csv").write_text("filename,caption\npicture_1.png,another\n")
    (pictures / "picture_0.txt").write_text("12 7 3")
    (pictures / ".thumbnails").mkdir()
    Image.new("RGB", (9, 9)).save(pictures / ".thumbnails" / "picture_0.png")
    images, left_out = own.images_in(pictures)
    assert not left_out
    assert images.name == "my pictures" and len(images) == 12
    assert not images.categories and not images.splits and not any(item.captions for item in images)


def test_images_that_are_not_looked_for_and_folders_that_stay_closed_are_named(pictures, started, monkeypatch):
    for name in ("IMG_1.HEIC", "2021/saved.jxl", ".hidden.heic", "notes.txt"):
        (pictures / name).write_bytes(b"some bytes")
    (pictures / "closed").mkdir()
    scandir = os.scandir

    def opened(place):  # as the system answers whoever may not look in; the tests may run as somebody who may
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", opened)
    said = started()[2].splitlines()
    assert said[0].startswith("12 images in ")
    assert said[1] == (
        "2 images in formats that are not read are left out: 2021/saved.jxl, IMG_1.HEIC; "
        "save as JPEG or PNG what belongs to them."
    )
    assert said[2] == "1 folder cannot be opened and is left out: closed (Permission denied)."
    for place in pictures.rglob("*.png"):
        place.unlink()
    with pytest.raises(CourseError, match=r"There is no image in .*; 2 images in formats .*HEIC.*; 1 folder cannot be"):
        own.images_in(pictures)


def test_what_is_no_folder_of_images_is_one_sentence(pictures, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "letter.txt").write_text("Dear reader")
    for given, sentence in (
        ("~no such user/maps", r"~no such user/maps is not there; name"),
        (tmp_path / "none", r"none is not there; name the folder that holds your images\."),
        (pictures / "picture_0.png", r"picture_0\.png is a file, and no folder; name the folder"),
        (tmp_path / "empty", r"There is no image in .*empty, nor in a folder below it; looked for \.png"),
    ):
        assert command.main(["--pictures", str(given)]) == 2
        said = capsys.readouterr()
        assert re.match(rf"make demo: .*{sentence}", said.err) and said.err.count("\n") == 1 and not said.out
    assert command.main(["--pictures", str(pictures), "--index", "runs/mine"]) == 2
    assert "leave INDEX out" in capsys.readouterr().err


def test_a_checkout_without_the_small_model_says_so_and_asks_no_network(pictures, tmp_path):
    with pytest.raises(CourseError, match=r"clip-earth-small is not in this checkout; name a model with MODEL="):
        own.index_pictures(tmp_path, str(pictures))


def test_the_index_lies_under_runs_and_the_next_start_embeds_nothing(pictures, started, tmp_path, monkeypatch):
    before = contents(pictures)
    index, kept, said = started()
    assert len(index) == 12 and contents(pictures) == before
    assert kept.parent == tmp_path / "course" / "runs" / "demo" and kept.name.startswith("my-pictures-")
    assert said.startswith(f"12 images in {pictures}; their index is kept in ") and "left out" not in said
    read = count_embedded(monkeypatch)
    again, same, said = started()
    assert same == kept and list(again.dataset) == list(index.dataset) and not read
    assert "New or changed" not in said
    (tmp_path / "link").symlink_to(pictures)
    assert started(tmp_path / "link")[1] == kept and not read


def test_only_what_is_new_is_embedded_and_a_line_says_what_has_changed(pictures, started, monkeypatch):
    started()
    read = count_embedded(monkeypatch)
    Image.new("RGB", (20, 20), "red").save(pictures / "2021" / "new.jpg")
    Image.new("RGB", (20, 20), "blue").save(pictures / "picture_7.png")
    (pictures / "picture_8.png").unlink()
    index, _, said = started()
    assert sorted(read) == ["new.jpg", "picture_7.png"]
    assert "New or changed: 2 of 12 images; kept from before: 10; gone: 1.\n" in said
    assert "picture_8.png" not in {item.name for item in index.dataset} and len(index) == 12


def test_the_first_deep_image_among_photographs_changes_none_of_them(pictures, started, monkeypatch):
    started()
    read = count_embedded(monkeypatch)
    values = np.random.default_rng(0).integers(100, 3000, (20, 20)).astype(np.uint16)
    Image.fromarray(values).save(pictures / "2021" / "deep.png")
    index, _, said = started()
    assert read == ["deep.png"] and len(index) == 13
    assert "New or changed: 1 of 13 images; kept from before: 12.\n" in said


def test_damaged_files_are_named_counted_and_left_out(pictures, started):
    whole = (pictures / "picture_0.png").read_bytes()
    for name in ("2021/cut.png", "cut.png"):
        (pictures / name).write_bytes(whole[:200])
    for _ in range(2):  # also when nothing is read again
        index, _, said = started()
        assert len(index) == 12 and "2 cannot be read and are left out: 2021/cut.png, cut.png. " in said
        assert "cut.png cannot be decoded" in said


def test_where_nothing_can_be_read_one_sentence_says_so(tmp_path, folder, started):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "letter.jpg").write_text("Dear reader")
    with pytest.raises(ValueError, match=r"^Not one of the 1 images can be read: .*letter\.jpg is in no format"):
        started(tmp_path / "bad")


def test_deep_images_are_read_as_at_the_first_time(tmp_path, started):
    """A further one does not change the range of all, for which each would have to be embedded once more."""
    deep = tmp_path / "deep"
    deep.mkdir()
    Image.effect_noise((20, 20), 40).convert("I;16").point(lambda value: 7 * value).save(deep / "a.tif")
    first = started(deep)[0]
    Image.new("I;16", (20, 20), 60_000).save(deep / "b.tif")
    second, _, said = started(deep)
    assert second.reading == first.reading != ImageIndex.build(first.model, deep, progress=False).reading
    assert "New or changed: 1 of 2 images" in said


def test_another_folder_and_another_model_have_an_index_of_their_own(tmp_path):
    root = tmp_path / "course"
    for name in ("a/beach", "b/beach", "model"):
        (tmp_path / name).mkdir(parents=True)
    asked = [
        (tmp_path / "a" / "beach", "owner/model"),
        (tmp_path / "b" / "beach", "owner/model"),
        (tmp_path / "a" / "beach", tmp_path / "model"),
        (tmp_path / "a" / "beach", "owner/model@old"),
    ]
    found = [own.folder_of_index(root, *one) for one in asked]
    assert len(set(found)) == len(found) and all(path.parent == root / own.KEPT for path in found)
    assert found[0].name.startswith("beach-model-")
    for name in ("x" * 250, "Größe & Breite", "\udce9", "..."):
        short = own.folder_of_index(root, tmp_path / name, "m").name
        assert len(short) < 90 and not set(short) & set('<>:"/\\|?* \udce9'), name
    assert len(own.folder_of_index(root, Path("/"), "m").name) > 8


def test_the_page_says_in_which_folder_an_image_lies(started):
    index, *_ = started()
    answers = Answers(index)
    html = render.search_answer(answers.by_text("a picture", 12), answers.rows, answers.thumbnails, answers.top)
    labels = set(re.findall(r"<b>\d+</b> <span>([^<]*)</span>", html))
    assert {"picture_0", "train/picture_3", "2021/may/picture_5"} <= labels and len(labels) == 12


def interrupted_start(root: Path, pictures: Path, model: Path) -> None:
    """Starts the command in a checkout of its own, and is told to end after two batches."""

    def embed(*given, done=[]):  # noqa: B006  a count
        vectors = embed_images(*given)
        done.append(len(vectors))
        if len(done) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        return vectors

    utils.clip.embed_images = embed
    os.chdir(root)
    with (root / "said.txt").open("w", buffering=1) as said, redirect_stderr(said):
        command.main(["--pictures", str(pictures), "--model", str(model)])


def test_ctrl_c_loses_nothing_that_was_embedded(tmp_path, monkeypatch, capfd, folder):
    root = tmp_path / "course"
    (root / "nbs" / "profiles").mkdir(parents=True)
    noisy_pictures(tmp_path / "many", 200)
    tiny_model(tmp_path / "model")
    assert child(interrupted_start, root, tmp_path / "many", tmp_path / "model") == 0
    said = (root / "said.txt").read_text()
    assert "make demo: stopped; what has been embedded is kept for the next time." in said
    read = count_embedded(monkeypatch)
    index, _ = own.index_pictures(root, str(tmp_path / "many"), str(tmp_path / "model"))
    assert len(index) == 200 and len(read) == 200 - 2 * 64
    assert "New or changed: 72 of 200 images; kept from before: 128.\n" in capfd.readouterr().out


def test_make_hands_on_a_folder_with_blanks(root):
    call = ["make", "--no-print-directory", "-n", "-o", ".venv/ready", "demo", "PICTURES=my pictures", "MODEL=a/b"]
    said = subprocess.run(call, cwd=root, capture_output=True, text=True, check=True).stdout
    assert '--pictures "my pictures"' in said and '--model "a/b"' in said


def test_the_model_of_the_command_is_a_checkpoint_of_the_course(root):
    assert (root / own.EARTH_MODEL / "config.json").is_file()
    assert CLIP.from_pretrained(root / own.EARTH_MODEL).tokenizer is not None
