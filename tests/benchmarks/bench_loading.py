"""How many training pictures a second come out of the input pipeline: the course's own beside two others, in one run.

    python tests/benchmarks/bench_loading.py --batch-sizes 64 256 1024
    python tests/benchmarks/bench_loading.py --batch-sizes 64 --rounds 1              # half a minute

All three draw pictures of the miniature in random order, decode them once and keep them, and turn them into aerial
views of 64 pixels. The course lets a few records wait for a batch, and one batch for the step. *Records* is Grain with
two batches of records waiting. *DataLoader* is torch's, with as many processes as the others have threads. They take
turns, and nothing trains meanwhile. The clock starts after two epochs and what had waited by then.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Iterator

import numpy as np

from utils.datasets import ImagePreprocessing, load_dataset, read_image, train_batches, train_transform

PREPROCESSING = ImagePreprocessing(64)
ENDLESS = 10_000  # epochs


def course(dataset, batch_size: int, workers: int) -> Iterator:
    """`train_batches` as training uses it; its texts are a token each."""
    return train_batches(
        dataset.with_cache(),
        PREPROCESSING,
        lambda texts: np.zeros((len(texts), 1), np.int32),
        batch_size=batch_size,
        epochs=ENDLESS,
        seed=0,
        workers=workers,
    )


def records(dataset, batch_size: int, workers: int) -> Iterator:
    """Grain with two batches of records waiting."""
    import grain

    dataset = dataset.with_cache()

    def load(index: int, generator: np.random.Generator) -> np.ndarray:
        return train_transform(dataset.open(int(index)), PREPROCESSING, "aerial", generator)

    whole = len(dataset) // batch_size * batch_size
    stream = grain.MapDataset.range(len(dataset)).seed(0).shuffle()[:whole].repeat(ENDLESS).random_map(load)
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=2 * batch_size)
    return iter(stream.to_iter_dataset(options).batch(batch_size))


class Pictures:
    """A data set for torch, which processes can take along."""

    def __init__(self, paths: list) -> None:
        self.paths, self.generator = paths, np.random.default_rng(0)
        self.read = functools.cache(read_image)

    def __reduce__(self):
        return Pictures, (self.paths,)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return train_transform(self.read(self.paths[index]), PREPROCESSING, "aerial", self.generator)


def dataloader(dataset, batch_size: int, workers: int) -> Iterator:
    """torch's DataLoader, epoch after epoch, its processes kept."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Pictures([item.path for item in dataset]),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        multiprocessing_context="spawn",
        persistent_workers=True,
    )
    while True:
        yield from loader


PIPELINES = {"course": course, "records": records, "DataLoader": dataloader}


def rate(stream: Iterator, untimed: int, timed: int) -> float:
    """Batches a second of a stream, which is used up."""
    for _ in range(untimed):
        next(stream)
    begin = time.perf_counter()
    for _ in range(timed):
        next(stream)
    seconds = time.perf_counter() - begin
    stream.close()
    return timed / seconds


def measure(dataset, batch_size: int, arguments: argparse.Namespace) -> str:
    """The row of one batch size."""
    epoch = len(dataset) // batch_size
    waiting = 2 * arguments.workers  # so many batches torch holds ready; the others fewer
    rates = {name: [] for name in PIPELINES}
    for _ in range(arguments.rounds):
        for name, make in PIPELINES.items():  # each made again: one that waits goes on loading beside the others
            stream = make(dataset, batch_size, arguments.workers)
            rates[name].append(batch_size * rate(stream, 2 * epoch + waiting, max(epoch, waiting)))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    speeds = [f"{value:,.0f}" for value in medians.values()]
    ratios = [f"{medians['course'] / medians[name]:.2f}" for name in ("records", "DataLoader")]
    return f"| {' | '.join([f'{batch_size:,}', *speeds, *ratios])} |"


def main() -> None:
    """Prints pictures a second of every pipeline at every batch size, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--workers", type=int, default=2, help="threads, or processes")
    arguments = parser.parse_args()
    dataset = load_dataset("miniature").split("train")
    print(f"{len(dataset):,} pictures, {arguments.workers} workers\n")
    print("| batch | course | records | DataLoader | course / records | course / DataLoader |")
    print("|---|---|---|---|---|---|")
    for batch_size in arguments.batch_sizes:
        print(measure(dataset, batch_size, arguments), flush=True)


if __name__ == "__main__":
    main()
