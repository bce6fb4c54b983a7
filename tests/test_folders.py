"""A file where a folder is wanted, or above it, and a folder where a file is: one sentence, wherever it is."""

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from training_world import SETTINGS, colors, tiny_model

from utils.clip import CLIP
from utils.course import CourseError, find_root
from utils.course.handout import write_handout
from utils.course.results import check_results_folder
from utils.course.values import check_places
from utils.datasets import CaptionDataset, load_dataset
from utils.evaluation import Evaluation
from utils.files import disk_trouble_in_words
from utils.finder import PresenceModel, embed_scene
from utils.search import ImageIndex
from utils.training import train

pytestmark = pytest.mark.usefixtures("one_torch_thread")

PRESENCE = PresenceModel("{feature}", ("a",), 1.0, 0.0, 0.0, 0.95, "a model")
FOLDER_WANTED: dict[str, Callable[[SimpleNamespace, Path], object]] = {
    "training": lambda world, place: train(world.model, world.data, world.data, SETTINGS, place),
    "index, built": lambda world, place: ImageIndex.build(world.model, world.data, place, progress=False),
    "index, read": lambda world, place: ImageIndex.load(place, world.model),
    "model, read": lambda world, place: CLIP.from_pretrained(place),
    "model, written": lambda world, place: world.model.save_pretrained(place),
    "page of scores": lambda world, place: Evaluation(*[CaptionDataset([], "a test")] * 2, {}, {}).write(place),
    "presence model": lambda world, place: PRESENCE.save(place / "presence.json"),
    "data set by name": lambda world, place: load_dataset("miniature", place),
    "your own data set": lambda world, place: load_dataset(world.captions, place),
    "copies for a class": lambda world, place: write_handout(find_root(), place),
    "DATA_DIR": lambda world, place: check_places(find_root(), {"DATA_DIR": str(place)}),
    "MODEL": lambda world, place: check_places(find_root(), {"MODEL": str(place)}),
    "OUTPUT_DIR": lambda world, place: check_results_folder(find_root(), place),
}
FILE_WANTED: dict[str, Callable[[SimpleNamespace, Path], object]] = {
    "scene": lambda world, place: embed_scene(world.model, place),
    "presence model": lambda world, place: PresenceModel.load(place),
    "question": lambda world, place: ImageIndex.build(world.model, world.data, progress=False).query_image(place),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> SimpleNamespace:
    top = tmp_path_factory.mktemp("world")
    (top / "a file").write_text("no folder")
    data = colors(top / "data")
    captions = top / "own.csv"
    captions.write_text(f"filename,caption\ndata/{data[0].name},red\n")
    return SimpleNamespace(top=top, model=tiny_model(top / "model"), data=data, captions=captions)


def check_sentence(error: Exception) -> None:
    message = str(error)
    assert not isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError), message
    assert "[Errno" not in message and "\n" not in message and "DirectoryError" not in message, message


@pytest.mark.parametrize("where", ["a file", "a file/below/it"])
@pytest.mark.parametrize("what", FOLDER_WANTED)
def test_a_file_where_a_folder_is_wanted_is_one_sentence(world, what, where):
    with pytest.raises((OSError, ValueError, CourseError)) as caught:
        FOLDER_WANTED[what](world, world.top / where)
    check_sentence(caught.value)
    assert (world.top / "a file").read_text() == "no folder"


@pytest.mark.parametrize("what", FILE_WANTED)
def test_a_folder_where_a_file_is_wanted_is_one_sentence(world, what):
    with pytest.raises((OSError, ValueError)) as caught:
        FILE_WANTED[what](world, world.top / "data")
    check_sentence(caught.value)


def test_what_is_no_fault_of_the_place_stays_what_it_is(tmp_path):
    with pytest.raises(NotADirectoryError), disk_trouble_in_words(tmp_path):
        raise NotADirectoryError(errno.ENOTDIR, "elsewhere")
