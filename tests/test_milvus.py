"""An index in Milvus: exact where it is asked for, filtered as NumPy filters, and nothing acknowledged is ever lost."""

import importlib.util
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from milvus_world import CATEGORIES, DIM, clustered, made_index, of
from search_world import names, noisy_pictures
from training_world import tiny_model

from utils.datasets import ImageReading
from utils.search import (
    ImageIndex,
    MilvusIndex,
    SceneTile,
    SearchError,
    Tiling,
    load_shards,
    milvus,
    milvus_store,
    to_milvus,
)
from utils.search.filters import Only, bounds_of, overlaps
from utils.search.shards import Settings, Shard, write_note, write_shard
from utils.training.launch import free_port

MISSING = [name for name in ("pymilvus", "milvus_lite") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed: pip install -e '.[milvus]'"),
    pytest.mark.usefixtures("few_counts"),
]
COUNT = 600
WORLD = Path(__file__).with_name("milvus_world.py")
QUERIES = clustered(12, seed=7)


@pytest.fixture(scope="module")
def few_counts():
    """The width is measured for ten hits alone, which takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.search.widths.COUNTS", (10,))
        yield


@pytest.fixture(scope="module")
def index() -> ImageIndex:
    return made_index(COUNT)


@pytest.fixture(scope="module")
def inside(index, few_counts, tmp_path_factory) -> MilvusIndex:
    """The same members in a file of Milvus."""
    with index.to_milvus(tmp_path_factory.mktemp("milvus") / "images.db", progress=False) as filled:
        yield filled


@pytest.fixture
def own(tmp_path, few_counts) -> str:
    """A file for one test."""
    return str(tmp_path / "images.db")


def by_numpy(index: ImageIndex, query: np.ndarray, rows=slice(None)) -> list[str]:
    """The names of members, those closest to a vector first and equal ones in order."""
    numbers = np.arange(len(index))[rows]
    similarities = np.einsum("vd,d->v", index.embeddings[numbers], query.astype(np.float64))
    return [index.dataset[row].name for row in numbers[np.argsort(-similarities, kind="stable")]]


def called(hits) -> list[str]:
    return [hit.name for hit in hits]


def child(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, WORLD, *arguments], text=True, stdout=subprocess.PIPE, **options)


# --- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 10, COUNT + 5])
def test_asked_exactly_it_answers_as_exact_search_ties_in_order(index, inside, k):
    for query in QUERIES[:4]:
        hits = inside.query_vector(query, k, exact=True)
        assert called(hits) == by_numpy(index, query)[:k]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(index.embeddings @ query)[::-1][:k], atol=1e-6)
    found = index._exact.nearest(QUERIES, 10)
    for query, rows in zip(QUERIES, found, strict=True):
        assert called(inside.query_vector(query, 10, exact=True)) == [index.dataset[int(row)].name for row in rows]


def test_a_hit_is_the_same_hit(index, inside):
    """Captions, split, category, source, window, place and reading come back as they went in."""
    for ours, theirs in zip(
        index.query_vector(QUERIES[0], 60), inside.query_vector(QUERIES[0], 60, exact=True), strict=True
    ):
        assert replace(ours, score=0) == replace(theirs, score=0)
    tile = next(hit.tile for hit in inside.query_vector(QUERIES[0], 9, source="wide.tif"))
    assert tile.footprint and tile in list(index.dataset)


@pytest.mark.parametrize(
    "only",
    [
        *({"category": category} for category in CATEGORIES[:3]),
        {"source": "source 1"},
        {"source": "source 0", "category": CATEGORIES[2]},
        {"within": (120, 10, 140, 30)},
        {"within": (170, -90, -170, 90)},
        {"within": (100, 0, 130, 55), "source": "wide.tif"},
    ],
    ids=lambda only: " ".join(only),
)
@pytest.mark.parametrize("exact", [True, False])
def test_filters_leave_what_numpy_leaves(index, inside, only, exact):
    items = list(index.dataset)
    wanted = np.array(
        [all(getattr(item, kind) == name for kind, name in only.items() if kind != "within") for item in items]
    )
    if "within" in only:
        wanted &= overlaps(bounds_of(items), Only(**only).within)
    assert 10 < wanted.sum() < COUNT
    for query in QUERIES[:3]:
        truth = by_numpy(index, query, np.flatnonzero(wanted))
        assert called(inside.query_vector(query, COUNT, exact=exact, **only)) == truth  # all of them, by a scan
        few = called(inside.query_vector(query, 10, exact=exact, **only))
        assert few == truth[:10] if exact else len(few) == 10 and set(few) <= set(truth)
    assert (
        called(index.query_vector(QUERIES[0], 10, **only)) == by_numpy(index, QUERIES[0], np.flatnonzero(wanted))[:10]
    )


def test_what_nothing_has_is_told(inside):
    for kind in ("category", "source"):
        with pytest.raises(SearchError, match=rf"^No image has the {kind} 'x\" or \"y'.$"):
            inside.query_vector(QUERIES[0], **{kind: 'x" or "y'})
        with pytest.raises(SearchError, match=f"^No image has the {kind} ''.$"):  # and does not count as all of them
            inside.query_vector(QUERIES[0], **{kind: ""})
    assert inside.query_vector(QUERIES[0], category="port", source="source 1") == []
    assert inside.query_vector(QUERIES[0], within=(0, -80, 1, -79)) == []
    with pytest.raises(SearchError, match="No image of the index is called 'nobody"):
        inside.query_member("nobody.jpg")
    with pytest.raises(SearchError, match="ask for at least one image"):
        inside.query_vector(QUERIES[0], 0)
    with pytest.raises(SearchError, match=r"cannot be searched for; give \(32,\) finite"):
        inside.query_vector(np.ones(3))
    with pytest.raises(SearchError, match="has no model"):
        inside.query_text("a port")


def test_the_width_is_measured_and_another_process_takes_it(index, inside):
    assert inside.recall >= 0.99 and len(inside) == COUNT and "recall@10" in repr(inside)
    again = ImageIndex.from_milvus(inside._store.uri)
    assert (again.widths, again.recall, len(again)) == (inside.widths, inside.recall, COUNT)
    shared = [len({*called(again.query_vector(one, 10))} & {*by_numpy(index, one)[:10]}) for one in QUERIES]
    assert np.mean(shared) > 9.5  # of equal vectors any is right


def test_the_width_is_measured_when_all_is_in_the_graph(own, monkeypatch):
    there = []
    monkeypatch.setattr(MilvusIndex, "measure", lambda self: there.extend(Path(own).rglob("data_*")))
    ImageIndex.from_vectors(clustered(6000), list(map(str, range(6000))), engine="exact").to_milvus(own, progress=False)
    rows = {path.stem for path in there if path.suffix == ".parquet"}
    assert rows and rows == {path.name.split(".")[0] for path in there if path.suffix == ".idx"}


@pytest.mark.usefixtures("quick_compilation")
def test_in_words_and_by_images_it_finds_what_an_index_finds(own, tmp_path):
    model = tiny_model(tmp_path / "model")
    built = ImageIndex.build(model, noisy_pictures(tmp_path / "pictures"), batch_size=8, progress=False)
    with built.to_milvus(own, progress=False) as inside:
        picture = built.dataset[5].path
        for query in (
            lambda index: index.query_text(["a port", "a harbor"], 7, exact=True),
            lambda index: index.query_image(picture, 7, category="pond"),
            lambda index: index.query_text_and_image("a park", picture, 7, source="even"),
            lambda index: index.query_member(picture.name, 7, exact=True),
        ):
            assert names(query(inside)) == names(query(built))
        assert picture.name not in names(inside.query_image(picture, 24))
        with pytest.raises(SearchError, match=r"holds vectors of \d+ numbers, not 17; name another collection"):
            ImageIndex.from_vectors(np.eye(17, dtype=np.float32), [str(one) for one in range(17)]).to_milvus(own)
        other = replace(built, model=None, made_by="0123456789abcdef")
        with pytest.raises(SearchError, match=r"of another model \(fingerprint [0-9a-f]+, not 0123456789abcdef\)"):
            other.to_milvus(own)


# --- what is written --------------------------------------------------------------------------------------------


def test_what_comes_again_takes_its_own_place_and_what_is_deleted_is_gone(own):
    before = made_index(60)
    before.to_milvus(own, progress=False)
    items, vectors = list(before.dataset[:30]), before.embeddings[:30].copy()
    items[0], vectors[1] = replace(items[0], category="lake"), -vectors[1]
    sent = []
    with pytest.MonkeyPatch.context() as patch:
        upsert = milvus_store.MilvusStore.upsert
        patch.setattr(
            milvus_store.MilvusStore, "upsert", lambda self, rows: sent.append(upsert(self, rows)) or sent[-1]
        )
        inside = of(items, vectors).to_milvus(own, progress=False)
    assert sent == [2] and len(inside) == 60  # two of thirty had changed, and thirty stayed
    assert called(inside.query_vector(QUERIES[0], category="lake")) == [items[0].name]
    assert called(inside.query_vector(vectors[1], 1)) == [items[1].name]
    assert called(inside.query_member(items[2].name, 60, exact=True)) == by_numpy(
        of([*items[:2], *items[3:], *before.dataset[30:]], np.delete(np.r_[vectors, before.embeddings[30:]], 2, 0)),
        vectors[2],
    )
    inside.delete(["0/image_0000.jpg", items[2].name])
    assert len(inside) == 58 and {items[0].name, items[2].name}.isdisjoint(called(inside.query_vector(vectors[2], 60)))
    with pytest.raises(SearchError, match="No image has the category 'lake'"):
        inside.query_vector(QUERIES[0], category="lake")
    with pytest.raises(SearchError, match="No image of the index is called 'image_0000"):
        inside.delete([items[1].name, "image_0000.jpg"])
    assert len(inside) == 58
    inside.close()
    with pytest.raises(SearchError, match="has been closed; open it again"):
        inside.query_vector(QUERIES[0])
    assert len(ImageIndex.from_milvus(own)) == 58


def test_a_file_is_filled_without_a_traceback_in_the_log(index, own, caplog):
    with index.to_milvus(own, progress=False):
        assert not [record for record in caplog.records if record.exc_info]


def test_a_second_process_at_a_file_is_told_so_in_a_sentence(inside):
    process = child("ask", inside._store.uri, stderr=subprocess.PIPE)
    said, errors = process.communicate(timeout=60)
    assert said.startswith(
        f"Another process has {inside._store.uri} open, and a file takes one; close it there, or let a"
    )
    assert len(said.splitlines()) == 1 and "Traceback" not in errors


def test_a_kill_loses_nothing_that_was_acknowledged_and_the_next_one_resumes(own):
    process = child("fill", own, str(COUNT))
    acknowledged = sum(int(process.stdout.readline()) for _ in range(5))
    process.send_signal(signal.SIGKILL)
    acknowledged += sum(int(line) for line in process.stdout.read().splitlines() if line.isdecimal())
    assert process.wait() == -signal.SIGKILL and 250 <= acknowledged < COUNT
    index = made_index(COUNT)
    with pytest.raises(SearchError, match="is not finished; fill it once more, which resumes"):
        ImageIndex.from_milvus(own)
    kept = milvus_store.MilvusStore(own, "images")
    kept.load()
    numbers = sorted(row["number"] for row in kept.rows("", ["number"]))
    assert numbers[:acknowledged] == list(range(acknowledged)) and len(numbers) <= acknowledged + 50
    with index.to_milvus(own, progress=False) as inside:
        assert len(inside) == COUNT
        assert called(inside.query_vector(QUERIES[0], COUNT, exact=True)) == by_numpy(index, QUERIES[0])


# --- servers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, few_counts):
    """Starts a server of milvus-lite, and gives its address, its process, and what starts it again."""
    command = Path(sys.executable).with_name("milvus-lite")
    if not command.exists():
        pytest.skip("there is no command milvus-lite beside this Python")
    port = str(free_port())
    running = []

    def start() -> subprocess.Popen:
        log = (tmp_path / "log.txt").open("a")
        options = ["--data-dir", str(tmp_path / "served"), "--host", "127.0.0.1", "--port", port]
        running.append(subprocess.Popen([command, "server", *options], stdout=log, stderr=log))
        for _ in range(150):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", int(port))) == 0:
                    return running[-1]
            time.sleep(0.2)
        raise AssertionError((tmp_path / "log.txt").read_text())

    yield f"http://127.0.0.1:{port}", start(), start
    for process in running:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def test_a_server_is_shared_and_its_going_away_is_told_within_seconds(server, index, monkeypatch):
    uri, process, start = server
    inside = index.to_milvus(uri, progress=False)
    query = clustered(1, seed=5)[0]
    assert called(inside.query_vector(query, 20, exact=True)) == by_numpy(index, query)[:20]
    said, _ = child("ask", uri).communicate(timeout=60)
    assert said == f"{called(inside.query_vector(query, 5))} {inside.widths}\n"
    monkeypatch.setattr(milvus_store, "TIMEOUT", 1.0)
    for stop in (signal.SIGSTOP, signal.SIGKILL):  # hangs, and is gone
        process.send_signal(stop)
        for ask in (lambda: inside.query_vector(query), lambda: inside.delete("image_0001.jpg"), lambda: len(inside)):
            begin = time.monotonic()
            with pytest.raises(SearchError, match=rf"^Milvus at {uri} does not answer \(.*is kept\.$"):
                ask()
            assert time.monotonic() - begin < 9  # of the 10 seconds by default
        process.send_signal(signal.SIGCONT)
    process.wait()
    with pytest.raises(SearchError, match="does not answer"):
        index.to_milvus(uri, progress=False)
    monkeypatch.undo()
    start()
    time.sleep(2)  # the client tries the way to a server that was gone once a second
    assert called(inside.query_vector(query, 5, exact=True)) == by_numpy(index, query)[:5]
    again = ImageIndex.from_milvus(uri)
    assert called(again.query_vector(query, COUNT, exact=True)) == by_numpy(index, query)
    assert again.widths == inside.widths


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("images", "images is no address of Milvus; give the name of a file that ends with .db, or"),
        ("http://127.0.0.1:9", "Milvus at http://127.0.0.1:9 does not answer"),
        ("http://me:secret@127.0.0.1:9", "Milvus at http://127.0.0.1:9 does not answer"),  # and no password
        ("ftp://127.0.0.1:9", "ftp://127.0.0.1:9"),
    ],
)
def test_an_address_without_milvus_is_told(uri, said):
    begin = time.monotonic()
    with pytest.raises(SearchError, match=said):
        ImageIndex.from_milvus(uri)
    assert time.monotonic() - begin < 2 * milvus_store.TIMEOUT


def test_what_is_no_index_of_ours_is_told(own, tmp_path):
    from pymilvus import MilvusClient

    with pytest.raises(SearchError, match=r"There is no collection 'images' in .*; fill one with ImageIndex.to_milvus"):
        ImageIndex.from_milvus(own)
    client = MilvusClient(own)
    client.create_collection("theirs", dimension=4)
    for ask in (
        lambda: ImageIndex.from_milvus(own, collection="theirs"),
        lambda: made_index(9).to_milvus(own, "theirs"),
    ):
        with pytest.raises(SearchError, match=r"The collection 'theirs' in .* is not an index of this course"):
            ask()
    (tmp_path / "file.db").write_text("text")
    with pytest.raises(SearchError, match=r"^Milvus cannot do this with .*file.db: .*"):
        ImageIndex.from_milvus(tmp_path / "file.db")
    with pytest.raises(SearchError, match="its name and captions take 70,"):
        item = replace(made_index(1).dataset[0], captions=("a" * 70_000,))
        of([item], clustered(1)).to_milvus(own, progress=False)


def test_an_index_is_built_straight_into_milvus(tmp_path, own, capsys):
    model, pictures = tiny_model(tmp_path / "model"), noisy_pictures(tmp_path / "pictures", 6)
    with ImageIndex.build(model, pictures, tmp_path / "kept", engine="milvus", uri=own) as inside:
        assert "MilvusIndex of 6 images" in capsys.readouterr().out
        kept = ImageIndex.load(tmp_path / "kept", model)
        assert called(inside.query_text("noise", 6)) == called(kept.query_text("noise", 6))


def test_a_log_file_goes_on(tmp_path):
    log, database = tmp_path / "log.txt", tmp_path / "images.db"
    code = f"""
import logging
from utils.search import MilvusIndex, SearchError
logging.basicConfig(filename={str(log)!r}, filemode="w", level="INFO", format="%(message)s")
logging.info("before")
try:
    MilvusIndex.open({str(database)!r})
except SearchError as error:
    logging.info(error)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "There is no collection 'images' in " in log.read_text()


@pytest.mark.parametrize("asked", [{"engine": "milvus"}, {"uri": "images.db"}, {"engine": "exact", "uri": "images.db"}])
@pytest.mark.parametrize("build", [ImageIndex.build, ImageIndex.build_scenes])
def test_milvus_and_an_address_are_asked_for_together(tmp_path, build, asked):
    model, _ = tiny_model(tmp_path / "model"), noisy_pictures(tmp_path / "pictures", 1)
    with pytest.raises(SearchError, match=r'engine="milvus" and uri=.* go together'):
        build(model, tmp_path / "pictures", tmp_path / "kept", **asked)
    assert not (tmp_path / "kept").exists()


def test_whoever_does_not_answer_is_told_of_before_images_are_embedded(tmp_path):
    model, pictures = tiny_model(tmp_path / "model"), noisy_pictures(tmp_path / "pictures", 1)
    with pytest.raises(SearchError, match=r"Milvus at http://127\.0\.0\.1:9 does not answer"):
        ImageIndex.build(model, pictures, tmp_path / "kept", engine="milvus", uri="http://127.0.0.1:9")
    assert not (tmp_path / "kept").exists()


def test_without_the_libraries_a_sentence_names_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        SearchError, match="pymilvus and milvus_lite are not installed: pip install pymilvus milvus-lite"
    ):
        ImageIndex.from_milvus("images.db")
    with pytest.raises(SearchError, match="pymilvus is not installed: pip install pymilvus"):
        ImageIndex.from_milvus("http://127.0.0.1:19530")
    with pytest.raises(SearchError, match=r"Milvus holds an index of its own: .* index.to_milvus\(uri\)"):
        ImageIndex.from_vectors(np.eye(3, dtype=np.float32), ["a", "b", "c"], engine="milvus")


# --- shards -----------------------------------------------------------------------------------------------------


def shards(folder: Path, source: Path, whole: ImageIndex, members: list[list[int]]) -> None:
    """Writes some members of an index in shards, and beside images one that cannot be read."""
    tiling = Tiling((10,), 0.0) if members[0] and isinstance(whole.dataset[members[0][0]], SceneTile) else None
    settings = Settings("0123456789abcdef", DIM, ImageReading().describe(), tiling, 100)
    folder.mkdir()
    written = []
    for rows in members:
        embedded = [(whole.dataset[row], None, whole.embeddings[row]) for row in rows]
        if not tiling:
            damaged = replace(whole.dataset[0], path=source / f"damaged_{rows[0]}.jpg")
            embedded.append((damaged, None, "It is damaged."))
        names = [(item.path.relative_to(source).as_posix(), None) for item, *_ in embedded]
        shard = Shard.of(settings, dict.fromkeys(names), len(rows))
        write_shard(folder, shard, source, DIM, embedded)
        written.append(shard)
    write_note(folder, settings, source, written)


def test_shards_are_loaded_one_by_one_and_once(own, tmp_path, capsys, monkeypatch):
    whole = made_index(120)
    images = [row for row in range(120) if row % 3 < 2]
    tiles = [row for row in range(120) if row % 3 == 2]
    shards(tmp_path / "images", Path("/images"), whole, [images[:40], images[40:]])
    shards(tmp_path / "tiles", Path("/scenes"), whole, [tiles])
    assert to_milvus.main([str(tmp_path / "images"), "--uri", own]) == 0
    assert "MilvusIndex of 80 images" in capsys.readouterr().out
    inside = load_shards(tmp_path / "tiles", own, progress=False)
    assert len(inside) == 120
    hits = inside.query_vector(QUERIES[0], 120, exact=True)
    scores = whole.embeddings @ QUERIES[0]
    by_name = {item.name: score for item, score in zip(whole.dataset, scores, strict=True)}
    assert {hit.name: pytest.approx(hit.score, abs=1e-6) for hit in hits} == by_name
    tile = next(hit.tile for hit in hits if hit.path.suffix == ".tif")
    assert tile in list(whole.dataset) and tile.footprint
    box = (120, 20, 130, 30)
    assert sorted(called(inside.query_vector(QUERIES[0], 120, within=box))) == sorted(
        called(whole.query_vector(QUERIES[0], 120, within=box))
    )
    monkeypatch.setattr(milvus.MilvusIndex, "measure", lambda self: pytest.fail("nothing is new"))
    assert len(load_shards(tmp_path / "images", own, progress=False)) == 120
    inside.close()
    assert to_milvus.main([str(tmp_path / "nowhere"), "--uri", own]) == 2
    assert "holds no shards of vectors; make some with make embed" in capsys.readouterr().err
