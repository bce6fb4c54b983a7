"""Shards by a Ray cluster of two machines on this one, of which one is lost in the middle."""

import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from embed_world import check_equal, table
from PIL import Image
from search_world import noisy_pictures
from test_search_scenes import raster
from training_world import tiny_model

pytest.importorskip("ray", reason='Ray is not installed: pip install "clip-earth-course[scale]"')

from utils.search import SearchError
from utils.search.embed import Wanted, embed_folder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::ResourceWarning")

# A lost machine is known as such after some 10 s, not 30; sooner a busy one would be taken for lost.
QUICKLY = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 2000, "health_check_failure_threshold": 4}


@pytest.fixture(scope="module")
def machines():
    """A cluster of two raylets of one CPU each; the second one, and the cluster."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICKLY}
    for trial in range(3):  # Ray gives a raylet 30 s to start, which a busy machine may need
        cluster = Cluster()
        try:
            cluster.add_node(**head)
            second = cluster.add_node(num_cpus=1)
            break
        except Exception:
            cluster.shutdown()
            if trial == 2:
                raise
    yield second, cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A tiny model."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tiny_model(folder)
    return folder


def large_pictures(folder: Path, count: int) -> Path:
    """Pictures that take long to decode, and a file that is none."""
    noisy_pictures(folder, 1)
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1200, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    for number in range(1, count):
        os.link(folder / "0.png", folder / f"{number}.png")
    (folder / "bad.png").write_bytes(b"no picture")
    return folder


def lose(machine, cluster, to: Path, left: list[int]) -> None:
    """Kills a machine once both have an actor and a shard is there; notes how many are there then."""
    from ray._private.state import actors

    end = time.monotonic() + 300
    while time.monotonic() < end:
        time.sleep(0.1)
        done = list(to.glob("*.parquet"))
        if done and _at_work(actors) == 2:
            cluster.remove_node(machine, allow_graceful=False)
            left.append(len(list(to.glob("*.parquet"))))
            return


def _at_work(actors) -> int:
    try:
        alive = [one for one in actors().values() if one["State"] == "ALIVE" and "MapWorker" in one["ActorClassName"]]
        return len({one["Address"]["NodeID"] for one in alive})
    except Exception:  # not connected yet
        return 0


def test_a_machine_is_lost_and_no_row(machines, checkpoint, tmp_path, capfd):
    second, cluster = machines
    wanted = Wanted(large_pictures(tmp_path / "pictures", 70), str(checkpoint), batch_size=4, shard_size=4)
    to, done = tmp_path / "vectors", []
    killer = threading.Thread(target=lose, args=(second, cluster, to, done), daemon=True)
    killer.start()
    said = embed_folder(wanted, to, cluster.address)
    killer.join()
    assert "; 1 row has an error in place of a vector: " in embed_folder(wanted, tmp_path / "plain", progress=False)
    written = len(list(to.glob("*.parquet")))
    assert 0 < done[0] < written - 2 and f"72 rows in {written} shards" in said
    check_equal(to, tmp_path / "plain")
    assert not list(to.glob(".*.partial"))
    shown = "".join(capfd.readouterr())
    assert "72/72" in shown and "raylet" not in shown.lower() and "ray." not in shown.lower()


def test_scenes_are_cut_as_in_one_process(machines, checkpoint, tmp_path):
    _, cluster = machines
    raster(tmp_path / "scenes" / "placed.tif", 1, 200, 100, empty=60)
    raster(tmp_path / "scenes" / "void.tif", 3, 200, 100, empty=200)
    wanted = Wanted(tmp_path / "scenes", str(checkpoint), scenes=True, tile_sizes=(40,), batch_size=4, shard_size=8)
    embed_folder(wanted, tmp_path / "vectors", cluster.address, progress=False)
    embed_folder(wanted, tmp_path / "plain", progress=False)
    check_equal(tmp_path / "vectors", tmp_path / "plain")
    assert any(table(tmp_path / "plain")["footprint"].to_pylist())
    with pytest.raises(SearchError, match="gone"):
        embed_folder(Wanted(tmp_path / "scenes", str(tmp_path / "gone")), tmp_path / "new", cluster.address)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("127.0.0.1:1", "There is no Ray cluster at '127.0.0.1:1'"),
        ("banana", "'banana' is no address of a Ray cluster"),
    ],
)
def test_where_no_cluster_is_a_sentence_says_so(checkpoint, tmp_path, address, wanted):
    noisy_pictures(tmp_path / "pictures", 1)
    with pytest.raises(SearchError, match=re.escape(wanted)):
        embed_folder(Wanted(tmp_path / "pictures", str(checkpoint)), tmp_path / "vectors", address)
