"""The three steps, embed, load and ask, in one process, by Ray Data and with Milvus, over the same scenes in one run.

    python tests/benchmarks/bench_scale.py --scenes 30

The scenes are the mosaics of bench_archive.py. One process and Ray embed them into shards, after each has embedded one
scene, so that neither compiling nor starting counts; Ray has one actor, which may compute on all CPUs. The shards are
then loaded, into an index of this process, searched exactly, and into Milvus in a file, and both are asked the same
texts, one after the other, for ten hits. Without Ray or Milvus their rows say so.
"""

import argparse
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from bench_archive import TEXTS, make_scenes

from utils.clip import CLIP
from utils.files import usable_cores
from utils.search import ImageIndex, load_shards
from utils.search.embed import Wanted, embed_folder

ROUNDS = 20


def seconds_to_embed(scenes: Path, one: Path, model: str, tile_size: int, folder: Path, address: str = "") -> float:
    """Wall-clock seconds for all scenes, beyond those for one."""
    taken = []
    for source, name in ((one, "one"), (scenes, "all")):
        wanted = Wanted(source, model, scenes=True, tile_sizes=(tile_size,))
        start = time.perf_counter()
        embed_folder(wanted, folder / name, address, progress=False)
        taken.append(time.perf_counter() - start)
    return taken[1] - taken[0]


def milliseconds_to_ask(index) -> float:
    """The median for one text, its embedding counted."""
    taken = []
    for text in TEXTS * (1 + ROUNDS):
        start = time.perf_counter()
        index.query_text(text)
        taken.append(time.perf_counter() - start)
    return 1000 * statistics.median(taken[len(TEXTS) :])


def bytes_in(place: Path) -> int:
    """The size of a file, or of all in a folder."""
    return sum(path.stat().st_size for path in (place.rglob("*") if place.is_dir() else [place]) if path.is_file())


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=30)
    parser.add_argument("--model", default="data/checkpoints/clip-earth-small", help="folder of a checkpoint")
    parser.add_argument("--tile-size", type=int, default=256, help="pixels")
    options = parser.parse_args()
    model = CLIP.from_pretrained(options.model)
    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        scenes, one = top / "scenes", top / "one"
        for folder, count in ((scenes, options.scenes), (one, 1)):
            make_scenes(folder, count, None, grid=10, cell=128)
        work = (scenes, one, options.model, options.tile_size)
        rows = []  # what, seconds to embed, seconds to load, milliseconds to ask, bytes
        embedded = seconds_to_embed(*work, top / "plain")
        start = time.perf_counter()
        index = ImageIndex.from_shards(top / "plain" / "all", model, engine="exact")
        loaded = time.perf_counter() - start
        rows.append(("one process", embedded, loaded, milliseconds_to_ask(index), bytes_in(top / "plain" / "all")))
        if find_spec("ray"):
            rows.append(("Ray Data", seconds_to_embed(*work, top / "ray", "local"), None, None, None))
        else:
            rows.append(("Ray Data: not installed", None, None, None, None))
        if find_spec("pymilvus") and find_spec("milvus_lite"):
            start = time.perf_counter()
            stored = load_shards(top / "plain" / "all", top / "milvus.db", model, progress=False)
            loaded = time.perf_counter() - start
            rows.append(("Milvus", None, loaded, milliseconds_to_ask(stored), bytes_in(top / "milvus.db")))
        else:
            rows.append(("Milvus: not installed", None, None, None, None))
        print(f"{options.scenes} scenes of 1,280 x 1,280 pixels, {len(index):,} tiles of {options.tile_size} pixels, ")
        print(f"{Path(options.model).name}, {usable_cores()} CPUs\n")
    print("| | embed, s | load, s | ask, ms | MB on the disk |\n|---|---|---|---|---|")
    for name, embed, load, ask, size in rows:
        cells = [
            "" if value is None else f"{value:.{digits}f}"
            for value, digits in ((embed, 1), (load, 2), (ask, 1), (size and size / 1e6, 1))
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
