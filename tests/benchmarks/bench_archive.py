"""An archive of scenes: how long does its index take, does memory stay flat, how fast is a question to all of it?

    python tests/benchmarks/bench_archive.py                                    # mosaics of the miniature, minutes
    python tests/benchmarks/bench_archive.py --data-dir FOLDER --model data/checkpoints/clip-earth-small
    python tests/benchmarks/bench_archive.py --scenes FOLDER                    # your own: the first few, then more

Georeferenced mosaics are made of images of the test split, side by side, each of them GeoTIFF on its own place of a
map, unless a folder of scenes is named. Every number of scenes is indexed from nothing in a process of its own, whose
memory is looked at before the first scene (the model is loaded and compiled then) and at its highest after the last
question. What memory grows by is known of each tile, its vector first of all: the pixels of a scene are gone when the
next one is opened. Then one scene more is added, and the index asked: by `query_text` for ten hits, and by
`rank_scenes`, for the verdict on every scene where the model has a ``presence.json``. Seconds are of the processor, all
cores together, so that other work on the machine counts less.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

TEXTS = ("storage tanks", "a bridge over a river", "a stadium", "an airport", "a forest")
MIB = 2**20
COLUMNS = (
    "scenes", "MiB of pixels", "tiles", "build, s", "tiles a second", "MiB before", "MiB at most", "MiB on the disk",
    "one more, s", "query_text, ms", "rank_scenes, ms",
)  # fmt: skip


def memory() -> tuple[float, float]:
    """What this process holds, and the most that it has held, in MiB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0, 0.0
    facts = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, most = (int(facts[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


def make_scenes(folder: Path, count: int, data_dir: str | None, grid: int, cell: int) -> list[Path]:
    """Mosaics of ``grid`` by ``grid`` images, as GeoTIFF with a place each; those that are there are kept."""
    import rasterio
    from affine import Affine

    from utils.datasets import load_dataset
    from utils.finder import make_mosaic

    folder.mkdir(parents=True, exist_ok=True)
    images = load_dataset("rsicd" if data_dir else "miniature", data_dir).split("test")
    paths = [folder / f"scene_{number:04d}.tif" for number in range(count)]
    for number, path in enumerate(paths):
        if path.exists():
            continue
        chosen = np.random.default_rng(number).integers(0, len(images), grid * grid)
        pixels = np.asarray(make_mosaic([images[int(one)] for one in chosen], grid, cell).image)
        place = Affine(1, 0, 430_000 + number * grid * cell, 0, -1, 4_580_000)  # a meter a pixel, side by side
        profile = {"count": 3, "height": len(pixels), "width": len(pixels), "dtype": "uint8", "tiled": True}
        draft = path.with_suffix(".draft")
        with rasterio.open(draft, "w", driver="GTiff", crs="EPSG:32631", transform=place, **profile) as file:
            file.write(np.moveaxis(pixels, 2, 0))
        draft.rename(path)
    return paths


def measure(model_folder: str, paths: Sequence[Path], tile_size: int, index_folder: Path) -> list[str]:
    """The cells of one row; the last path is the scene that is added."""
    from utils.clip import CLIP, embed_images
    from utils.finder import PresenceModel
    from utils.search import ImageIndex

    model = CLIP.from_pretrained(model_folder)
    beside = Path(model_folder) / "presence.json"
    presence = PresenceModel.load(beside) if beside.is_file() else None
    side = model.preprocessing.image_size
    embed_images(model, [{"images": np.zeros((64, side, side, 3), np.float32)}])  # compiles
    before, _ = memory()
    start = time.process_time()
    index = ImageIndex.build_scenes(model, paths[:-1], index_folder, tile_sizes=tile_size, progress=False)
    seconds, tiles, scenes = time.process_time() - start, len(index), len(index.scenes)
    pixels = sum(3 * int(np.prod(scene.boxes[:, 2:].max(axis=0))) for scene in index.scenes)
    disk = sum(path.stat().st_size for path in index_folder.rglob("*") if path.is_file())
    start = time.process_time()
    index = ImageIndex.build_scenes(model, paths, index_folder, tile_sizes=tile_size, progress=False)
    added = time.process_time() - start
    index.query_text(TEXTS[0]), index.rank_scenes(TEXTS[0], presence)  # compiles, and groups tiles by scene
    asked: dict[str, list[float]] = {"query": [], "rank": []}
    for text in TEXTS:
        start = time.process_time()
        index.query_text(text)
        middle = time.process_time()
        index.rank_scenes(text, presence)
        asked["query"].append(middle - start)
        asked["rank"].append(time.process_time() - middle)
    times = [f"{1000 * statistics.median(each):,.0f}" for each in asked.values()]
    cells = [f"{scenes:,}", f"{pixels / MIB:,.0f}", f"{tiles:,}", f"{seconds:.1f}", f"{tiles / seconds:,.0f}"]
    return [*cells, f"{before:,.0f}", f"{memory()[1]:,.0f}", f"{disk / MIB:.1f}", f"{added:.2f}", *times]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="data/checkpoints/clip-miniature", help="folder of a checkpoint")
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 40, 110], help="scenes")
    parser.add_argument("--data-dir", help="the folder of RSICD, whose test images the mosaics are made of then")
    parser.add_argument("--scenes", type=Path, help="a folder of scenes, in place of mosaics")
    parser.add_argument("--grid", type=int, default=10, help="images on a side of a mosaic")
    parser.add_argument("--cell", type=int, default=128, help="pixels of an image in it")
    parser.add_argument("--tile-size", type=int, default=512, help="pixels")
    parser.add_argument("--cache", type=Path, default=Path("runs/bench_archive"), help="where scenes are kept")
    options = parser.parse_args()
    if options.scenes:
        found = sorted(path for path in options.scenes.iterdir() if path.is_file())
        counts = sorted({min(count, len(found) - 1) for count in options.counts})
        what = f"scenes of {options.scenes.name}"
    else:
        counts = sorted(set(options.counts))
        name = f"{'rsicd' if options.data_dir else 'miniature'}_{options.grid}x{options.cell}"
        found = make_scenes(options.cache / name, counts[-1] + 1, options.data_dir, options.grid, options.cell)
        what = f"mosaics of {options.grid * options.cell:,} x {options.grid * options.cell:,} pixels"
    if counts[0] < 1:
        sys.exit(f"{options.scenes} has {len(found)} files; at least two are needed, of which one is added later.")
    tiles = f"tiles of {options.tile_size} pixels, {Path(options.model).name}"
    print(f"{what}, {tiles}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for count in counts:
        index_folder = options.cache / "index"
        shutil.rmtree(index_folder, ignore_errors=True)
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # memory of its own
            paths = [*found[:count], found[count]]
            cells = pool.submit(measure, options.model, paths, options.tile_size, index_folder).result()
        print(f"| {' | '.join(cells)} |", flush=True)
        shutil.rmtree(index_folder)


if __name__ == "__main__":
    main()
