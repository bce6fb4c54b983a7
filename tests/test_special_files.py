"""Pipes, sockets, folders and dangling links that are called like files: nothing waits for them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from utils.datasets import DatasetError, load_dataset

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
SECONDS = 60  # what a pipe is read from waits for ever; the work itself takes a few


def in_time(script: str, *arguments: object) -> str:
    """What a script of its own process prints; it fails, and does not hang, where the script waits."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> Path:
    """Two pictures among all that is none and is called like one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (20, 20), "red").save(folder / name)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
    return folder


LOOK = """
import sys, warnings
from utils.datasets import load_dataset
from utils.evaluation import find_near_duplicates
from utils.training.identity import data_fingerprint
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for source in sys.argv[1:]:
        dataset = load_dataset(source)
        print([item.name for item in dataset], [item.name for item in dataset.missing])
        print(dataset.verify().ok, data_fingerprint(dataset) != "", len(find_near_duplicates(dataset)))
print(*{str(one.message) for one in told if "left out" in str(one.message)}, sep="\\n")
"""


def test_what_is_no_regular_file_is_left_out_counted_and_named(pictures):
    names = ["a.jpg", "b.jpg", "pipe.jpg", "folder.jpg", "dangling.jpg", "circle.jpg", "socket.jpg"]
    lines = (json.dumps({"filename": f"pictures/{name}", "captions": ["red"]}) + "\n" for name in names)
    captions = pictures.parent / "captions.jsonl"
    captions.write_text("".join(lines))
    printed = in_time(LOOK, pictures, captions).splitlines()
    absent = ["circle.jpg", "dangling.jpg", "pipe.jpg", "socket.jpg"]
    assert printed[0] == f"['a.jpg', 'b.jpg'] {absent}" and printed[1] == printed[3] == "False True 1"
    assert printed[2] == f"['a.jpg', 'b.jpg'] {names[2:]}"
    assert any("4 of 6 listed images are not on the disk as regular files" in line for line in printed[4:])
    assert any("pipe.jpg, folder.jpg, dangling.jpg and 2 more" in line for line in printed[4:])


HANDMADE = """
import sys
from pathlib import Path
from utils.datasets import CaptionDataset, CaptionedImage
items = [CaptionedImage(Path(name), ("red",), None, None, "") for name in ("a.jpg", "pipe.jpg", "folder.jpg")]
print(CaptionDataset(items).verify())
"""


def test_a_data_set_made_by_hand_is_verified_in_spite_of_a_pipe(pictures):
    assert "2: pipe.jpg (not a regular file), folder.jpg (a folder)\n" in in_time(HANDMADE)


CAPTIONS = """
import sys
from utils.datasets import DatasetError, load_dataset
for path in sys.argv[1:]:
    try:
        load_dataset(path)
    except DatasetError as error:
        print(error)
"""


def test_captions_out_of_a_pipe_are_refused(tmp_path):
    paths = [tmp_path / f"captions.{ending}" for ending in ("json", "jsonl", "csv")]
    for path in paths:
        os.mkfifo(path)
    for path, line in zip(paths, in_time(CAPTIONS, *paths).splitlines(), strict=True):
        assert line.startswith(f"{path}: this is not a regular file; give the path")
    with pytest.raises(DatasetError, match=r"nowhere\.json"):
        load_dataset(tmp_path / "nowhere.json")


LOAD = """
import sys
from pathlib import Path
from utils.datasets.hub import convert_rsicd_parquet
from utils.finder.presence import PresenceModel
folder = Path(sys.argv[1])
for load in (
    lambda: PresenceModel.load(folder / "presence.json"),
    lambda: convert_rsicd_parquet(folder, folder / "RSICD"),
):
    try:
        load()
    except (OSError, ValueError) as error:
        print(error)
"""


def test_a_pipe_in_place_of_a_presence_model_or_rsicd_is_refused(tmp_path):
    os.mkfifo(tmp_path / "train-0.parquet")
    os.mkfifo(tmp_path / "presence.json")
    printed = in_time(LOAD, tmp_path).splitlines()
    assert "holds no presence model (ValueError: it is not there, or not a regular file)" in printed[0]
    assert "no Parquet files are here" in printed[1]
