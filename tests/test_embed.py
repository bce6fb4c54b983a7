"""Images and scenes embedded into shards: what is in them, what is done once, and what is in the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from embed_world import check_equal, table
from PIL import Image
from search_world import count_embedded, noisy_pictures
from test_search_scenes import raster
from training_world import child

from utils.search import ImageIndex, SearchError, embed, embedder, shards
from utils.search.embed import Wanted, embed_folder, main

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
]

SIZES = ["--shard-size", "8", "--batch-size", "4"]


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Twenty-four pictures and a file that is none."""
    noisy_pictures(tmp_path / "pictures")
    (tmp_path / "pictures" / "picture_9a.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


@pytest.fixture
def rasters(tmp_path) -> Path:
    """A large scene, one without a place, one without data and one that is damaged."""
    raster(tmp_path / "scenes" / "placed.tif", 1, 200, 100, empty=60)
    raster(tmp_path / "scenes" / "nowhere.tif", 2, placed=False)
    raster(tmp_path / "scenes" / "void.tif", 3, 200, 100, empty=200)
    (tmp_path / "scenes" / "damaged.tif").write_bytes((tmp_path / "scenes" / "placed.tif").read_bytes()[:200])
    return tmp_path / "scenes"


def run(source: Path, to: Path, model: Path, *more: str) -> int:
    return main([str(source), "--to", str(to), "--model", str(model), *SIZES, *more])


def files(folder: Path) -> dict[str, int]:
    """The shards of a folder with their times of writing."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}


# --- what is written --------------------------------------------------------------------------------------------


def test_images_are_those_of_an_index(pictures, folder, model, tmp_path, capsys):
    assert run(pictures, tmp_path / "vectors", folder) == 0
    said = capsys.readouterr().out
    assert "25 rows in" in said and said.endswith(
        f"; 1 row has an error in place of a vector: {pictures / 'picture_9a.png'} is in no format that can be decoded "
        "as an image; replace or remove it.\n"
    )
    rows = table(tmp_path / "vectors")
    whole = ImageIndex.build(model, pictures, batch_size=4, progress=False)
    index = ImageIndex.from_shards(tmp_path / "vectors", model)
    assert [item.path for item in index.dataset] == [item.path for item in whole.dataset]
    np.testing.assert_allclose(index.embeddings, whole.embeddings, atol=1e-6)
    assert [one.path.name for one in index.skipped] == ["picture_9a.png"] and index.marks == whole.marks
    (bad,) = (row for row in rows.to_pylist() if row["error"])
    assert bad["vector"] is None and bad["file"] == "picture_9a.png" and "no format" in bad["error"]
    assert rows.schema.field("vector").type.list_size == model.architecture.projection_dim
    assert rows["box"].null_count == rows["footprint"].null_count == len(rows) == 25
    assert 3 <= len(files(tmp_path / "vectors")) <= 6


def test_tiles_are_those_of_an_index(rasters, folder, model, tmp_path):
    assert run(rasters, tmp_path / "vectors", folder, "--tile-sizes", "40", "80") == 0
    whole = ImageIndex.build_scenes(model, rasters, tile_sizes=(40, 80), batch_size=4, progress=False)
    index = ImageIndex.from_shards(tmp_path / "vectors", model)
    both = list(zip(index.dataset, whole.dataset, strict=True))
    assert all((one.path, one.window, one.source) == (other.path, other.window, other.source) for one, other in both)
    assert [item.footprint for item in index.dataset] == [item.footprint for item in whole.dataset]
    assert {one.path.name: one.reason for one in index.skipped} == {one.path.name: one.reason for one in whole.skipped}
    assert index.tiling == whole.tiling and index.reading == whole.reading
    np.testing.assert_allclose(index.embeddings, whole.embeddings, atol=1e-6)
    outlines = table(tmp_path / "vectors")["footprint"].to_pylist()
    told = [json.dumps(item.footprint) for item in index.dataset if item.footprint]
    assert [outline for outline in outlines if outline] == told
    assert len([one for one in index.query_text("port", 99) if one.tile.image()]) == len(index)


def test_what_it_was_made_of_is_resumed_by_an_index(pictures, folder, model, tmp_path, monkeypatch):
    run(pictures, tmp_path / "vectors", folder)
    ImageIndex.from_shards(tmp_path / "vectors", model).save(tmp_path / "index")
    read = count_embedded(monkeypatch)
    ImageIndex.build(model, pictures, tmp_path / "index", batch_size=4, progress=False)
    assert set(read) <= {"picture_9a.png"}


# --- what is done once ------------------------------------------------------------------------------------------


def embed_until_killed(source: Path, to: Path, model: Path, after: int) -> None:
    """Embeds, and kills itself in the middle of a shard after so many."""
    move, done = shards.move, []

    def move_or_die(draft: Path, path: Path) -> None:
        if len(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(path)
        move(draft, path)

    jax.config.update("jax_disable_most_optimizations", True)
    shards.move = move_or_die
    run(source, to, model)


def test_a_killed_run_resumes_with_the_shards_that_are_missing(pictures, folder, tmp_path, monkeypatch, capsys):
    to = tmp_path / "vectors"
    assert child(embed_until_killed, pictures, to, folder, 2) == -signal.SIGKILL
    before = files(to)
    assert len(before) == 2 and list(to.glob(".*.partial"))
    with pytest.raises(SearchError, match="not finished; start the same make embed again"):
        ImageIndex.from_shards(to)
    read = count_embedded(monkeypatch)
    assert run(pictures, to, folder) == 0
    assert before.items() <= files(to).items() and 0 < len(read) < 25
    assert "2 of" in capsys.readouterr().out and not list(to.glob(".*.partial"))
    assert run(pictures, tmp_path / "whole", folder) == 0
    check_equal(to, tmp_path / "whole")
    read.clear()
    assert run(pictures, to, folder) == 0 and read == []


def test_a_changed_file_redoes_its_shard_and_a_new_one_not_all(pictures, folder, tmp_path, monkeypatch):
    to = tmp_path / "vectors"
    run(pictures, to, folder)
    before = files(to)
    os.utime(pictures / "picture_0.png", (0, 0))
    read = count_embedded(monkeypatch)
    run(pictures, to, folder)
    assert "picture_0.png" in read and len(read) <= 16
    assert len(before.items() & files(to).items()) == len(before) - 1 == len(files(to)) - 1
    (pictures / "a.png").write_bytes((pictures / "picture_1.png").read_bytes())
    before = files(to)
    run(pictures, to, folder)
    assert len(before.items() & files(to).items()) >= len(before) - 2
    (pictures / "a.png").unlink()
    run(pictures, to, folder)
    check_equal(to, to)
    assert len(table(to)) == 25 and len(files(to)) == len(shards.read_note(to).shards)


@pytest.mark.parametrize("more", [[], ["--scenes"]])
def test_the_first_deep_file_among_others_changes_none_of_them(pictures, folder, tmp_path, more):
    (pictures / "picture_9a.png").unlink()
    to = tmp_path / "vectors"
    assert run(pictures, to, folder, *more) == 0
    before = files(to)
    values = np.random.default_rng(0).integers(100, 3000, (40, 40)).astype(np.uint16)
    Image.fromarray(values).save(pictures / "z_deep.png")
    assert run(pictures, to, folder, *more) == 0
    kept = [name for name, time in files(to).items() if before.get(name) == time]
    assert len(kept) >= len(before) - 1 and len(files(to)) >= len(before)


def test_files_of_others_in_the_folder_stay(pictures, folder, tmp_path):
    (pictures / "mine.parquet").write_bytes(b"mine")
    assert run(pictures, pictures, folder) == run(pictures, pictures, folder) == 0
    assert (pictures / "mine.parquet").read_bytes() == b"mine" and len(table(pictures)) == 25


# --- what is in the way -----------------------------------------------------------------------------------------


def interrupted(source: Path, to: Path, model: Path) -> None:
    """Runs the command, and is told to end while it writes the second shard."""
    write, done = embedder.write_shard, []

    def write_or_stop(*given) -> None:
        done.append(given)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        write(*given)

    embedder.write_shard = write_or_stop
    with to.with_name("said.txt").open("w") as said, contextlib.redirect_stderr(said):
        status = run(source, to, model)
    sys.exit(status)


def test_ctrl_c_ends_with_a_sentence_and_keeps_what_is_whole(pictures, folder, tmp_path):
    assert child(interrupted, pictures, tmp_path / "vectors", folder) == embed.INTERRUPTED == 130
    error = (tmp_path / "said.txt").read_text()
    assert "make embed: stopped; whole shards are kept, and the same command resumes." in error
    assert "Traceback" not in error and len(files(tmp_path / "vectors")) == 1


def test_what_cannot_be_is_one_sentence(pictures, rasters, folder, tmp_path, capsys):
    to, blocked = tmp_path / "vectors", tmp_path / "file"
    blocked.write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "embeddings.json").write_text("{}")
    assert run(pictures, to, folder) == 0
    cases = [
        ((tmp_path / "gone", to), "There is no folder "),
        ((Path("~no such user/maps"), to), "There is no folder "),
        ((rasters, to), f"holds vectors of {pictures}; name another folder"),
        ((tmp_path / "empty", to), "There is no image in "),
        ((pictures, blocked / "to"), "is a file, and shards need a folder"),
        ((pictures, tmp_path / "other"), "holds no shards of vectors"),
        ((pictures, to, "--scenes"), "another tiling (whole images, not tiles of 32 pixels"),
        ((pictures, to, "--shard-size", "9"), "in shards of 8, not 9; name another folder"),
        ((pictures, to, "--stretch", "0", "9"), "read otherwise"),
        ((rasters, tmp_path / "new", "--tile-sizes", "0"), "A tile size of 0 pixels"),
        ((pictures, to, "--batch-size", "0"), "give at least 1"),
    ]
    capsys.readouterr()
    for (source, folder_to, *more), wanted in cases:
        assert run(source, folder_to, folder, *more) == 2, wanted
        said = capsys.readouterr().err
        assert wanted in said and said.startswith("make embed: ") and said.count("\n") == 1, said
    assert main(["", "--to", "x"]) == 2


def test_images_that_are_not_looked_for_are_named(pictures, folder, tmp_path, capsys):
    (pictures / "IMG_1.HEIC").write_bytes(b"some bytes")
    assert run(pictures, tmp_path / "vectors", folder) == 0
    said = "1 image in a format that is not read is left out: IMG_1.HEIC; save as JPEG or PNG what belongs to them."
    assert said in "".join(capsys.readouterr()).splitlines()


def test_another_model_is_refused(pictures, folder, root, tmp_path, capsys):
    to = tmp_path / "vectors"
    run(pictures, to, folder)
    other = root / "data" / "checkpoints" / "clip-miniature"
    assert run(pictures, to, other) == 2 and "another model (fingerprint" in capsys.readouterr().err
    from utils.clip import CLIP

    with pytest.raises(SearchError, match="of another model"):
        ImageIndex.from_shards(to, CLIP.from_pretrained(other))
    with pytest.raises(SearchError, match=r"ImageIndex\.from_shards"):
        ImageIndex.from_vectors(to)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "wanted"),
    [(flip, "is damaged"), (Path.unlink, "1 of"), (lambda path: os.truncate(path, 99), "is damaged")],
    ids=["flipped", "missing", "cut"],
)
def test_a_damaged_shard_is_refused_and_done_again(pictures, folder, tmp_path, harm, wanted):
    to = tmp_path / "vectors"
    run(pictures, to, folder)
    before, path = table(to), to / f"{shards.read_note(to).shards[1]}.parquet"
    harm(path)
    with pytest.raises(SearchError, match=wanted):
        ImageIndex.from_shards(to)
    path.unlink(missing_ok=True)
    run(pictures, to, folder)
    assert table(to).equals(before)


def test_what_no_machine_sees_is_said(pictures, folder, model, tmp_path):
    to = tmp_path / "vectors"
    run(pictures, to, folder)
    settings = shards.read_note(to).settings
    job = embedder.Job(tmp_path / "elsewhere", to, str(folder), settings, 4)
    shard = shards.Shard.of(settings, [("picture_0.png", (1, 2))], 1)
    with pytest.raises(SearchError, match=r"elsewhere/picture_0\.png is not seen from"):
        embedder.Embedder(job, model, None).embed(shard)


def test_the_command_starts_no_jax_before_it_embeds():
    code = "import sys, utils.search.embed as e; e.main(['gone', '--to', 'x']); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False" and "There is no " in done.stderr


def test_without_ray_a_cluster_is_one_sentence(pictures, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "clip-earth-course\[scale\]"'):
        embed_folder(Wanted(pictures, str(folder)), tmp_path / "vectors", "local")


def test_what_ray_writes_stays_away_from_the_terminal_and_our_last_word_does_not():
    code = """
import os, sys
from utils.search.ray_data import _without_words
with _without_words() as stream:
    os.write(2, b"noise")
    print("noise")
    stream.write("ours")
print("after")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("after\n", "ours")
