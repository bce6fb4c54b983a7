"""How many images a second are embedded into shards: in one process, and by Ray Data on the same CPUs, turn by turn.

    python tests/benchmarks/bench_embed.py --images 2560 --shard-size 512 --rounds 2

Ray has one actor here, which may compute on all CPUs, as the process does. The clock of a turn starts when its first
shard is there, so that neither compiling nor starting Ray, an actor and a model in it counts: these are told by
themselves. Both write the same shards, with batches of one shape; a shard costs Ray something, so small ones make it
look slow. On a machine that does other things meanwhile look at the work of the CPUs: user and system time of the
process, and with Ray of all its processes.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from utils.files import usable_cores
from utils.search.embed import BATCH_SIZE, Wanted, planned, settled
from utils.search.embedder import Job, ThisProcess
from utils.search.shards import write_note

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """Stands in for a progress bar: notes when images are done, and what the CPUs have done until then."""

    def __init__(self, with_children: bool) -> None:
        self.total, self.done, self.seconds, self.work = 0, [], [], []
        self.start, self.with_children = time.perf_counter(), with_children

    def refresh(self) -> None:
        """Shows nothing."""

    def update(self, count: int) -> None:
        """Notes the images of a batch, or of a shard."""
        self.done.append(count)
        self.seconds.append(time.perf_counter() - self.start)
        me = psutil.Process()
        all_of_them = [me, *(me.children(recursive=True) if self.with_children else ())]
        self.work.append(sum(sum(one.cpu_times()[:2]) for one in all_of_them if one.is_running()))


def pictures(folder: Path, count: int) -> Path:
    """JPEG images of smooth noise, 256 pixels wide and high."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (16, 16, 3)).astype(np.uint8))
        small.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def turn(workers, job: Job, shards, folder: Path) -> tuple[float, float, float]:
    """Images a second from the first shard on, by the clock and by what the CPUs did, and the seconds until it."""
    folder.mkdir()
    write_note(folder, job.settings, job.source)
    clock = Clock(with_children=not isinstance(workers, ThisProcess))
    workers.embed(Job(job.source, folder, job.model, job.settings, job.batch_size), shards, clock)
    first, counts = shards[0].count, np.cumsum(clock.done)
    begun = int(np.searchsorted(counts, first))  # one process counts batches, Ray shards
    images = counts[-1] - counts[begun]
    seconds, work = (times[-1] - times[begun] for times in (clock.seconds, clock.work))
    return images / seconds, images / work, clock.seconds[begun]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2560)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shard-size", type=int, default=512, help="images in a shard; make embed has 1,024")
    parser.add_argument("--model", default=str(ROOT / "data" / "checkpoints" / "clip-earth-small"))
    arguments = parser.parse_args()
    try:
        import ray
    except ImportError:
        print('Ray is not installed, so there is nothing to compare: pip install "clip-earth-course[scale]"')
        return
    from utils.search.ray_data import cluster

    with tempfile.TemporaryDirectory() as place:
        top = Path(place)
        source = pictures(top / "pictures", arguments.images)
        here = ThisProcess()
        wanted = Wanted(source, arguments.model, shard_size=arguments.shard_size)
        collection, settings = settled(wanted, sorted(source.iterdir()), top / "none", here.facts(arguments.model))
        shards = planned(collection, source, settings)
        job = Job(source, top, arguments.model, settings, BATCH_SIZE)
        turns: dict[str, list[tuple[float, float, float]]] = {"one process": [], "Ray Data": []}
        began = time.perf_counter()
        with cluster("local") as machines:
            started = time.perf_counter() - began
            for number in range(arguments.rounds):
                for name, workers in (("one process", here), ("Ray Data", machines)):
                    turns[name].append(turn(workers, job, shards, top / f"{name} {number}"))
    print(f"{arguments.images} images in {len(shards)} shards, {usable_cores()} CPUs, Ray {ray.__version__}")
    print(f"the machine's load was {os.getloadavg()[0]:.1f}")
    for name, measured in turns.items():
        rates, work, waits = map(statistics.median, zip(*measured, strict=True))
        print(f"{name:<12} {rates:6.1f} images/s, {work:6.1f} a second of a CPU; first shard after {waits:.1f} s")
    for what, place in (("by the clock", 0), ("by the work of the CPUs", 1)):
        ratios = [one[place] / other[place] for one, other in zip(*turns.values(), strict=True)]
        shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"Ray Data takes {statistics.median(ratios):.3f} of the time of one process {what} ({shown})")
    print(f"Ray itself starts in {started:.1f} s")


if __name__ == "__main__":
    main()
