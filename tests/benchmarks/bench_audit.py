"""Does the audit find copies that were cropped, turned and stored again; what else does it find; how long does it take?

    python tests/benchmarks/bench_audit.py                               # the miniature, half a minute
    python tests/benchmarks/bench_audit.py shared/data                   # RSICD and UCM
    git show 3a31029:utils/evaluation/near_duplicates.py > /tmp/before.py
    python tests/benchmarks/bench_audit.py shared/data --before /tmp/before.py

Copies are made with a seed of the images of RSICD's val and test splits; the thresholds were chosen on copies of its
training images. Each is cropped as its kind says, then turned or mirrored in one of the eight ways, resized by 0.5 to
1.5 and stored as JPEG of quality 40 to 95. Every original is compared with every copy and every other original.

Then all pairs that are found in RSICD and UCM as they are get printed, to be looked at: each is of one place, or it is
a false alarm. `--before` takes another version of the module, on the same images, in turns: seconds are of the
processor, so that other work on the machine counts less. It makes no copies, but says which it finds.
"""

import argparse
import importlib.util
import io
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, load_dataset, read_image
from utils.evaluation import near_duplicates

SMALLEST_SHARE = 0.8
KINDS = ("middle", "anywhere", "sides apart", "one side", "corner", "whole")


def edited(picture: Image.Image, kind: str, generator: np.random.Generator) -> bytes:
    """A JPEG of what an edit of this kind leaves of a picture."""
    shares = np.repeat(generator.uniform(SMALLEST_SHARE, 1), 2)
    places = generator.uniform(0, 1, 2)
    if kind == "middle":
        places = np.array([0.5, 0.5])
    elif kind == "sides apart":
        shares = generator.uniform(SMALLEST_SHARE, 1, 2)
    elif kind == "one side":
        shares = generator.permutation([SMALLEST_SHARE, 1.0])
    elif kind == "corner":
        shares, places = np.full(2, SMALLEST_SHARE), generator.integers(0, 2, 2)
    elif kind == "whole":
        shares = np.ones(2)
    size = np.round(shares * picture.size).astype(int)
    left, upper = (int(corner) for corner in np.round((picture.size - size) * places))
    picture = picture.crop((left, upper, left + int(size[0]), upper + int(size[1])))
    if orientation := generator.integers(8):
        picture = picture.transpose(Image.Transpose(orientation - 1))
    factor = generator.uniform(0.5, 1.5)
    picture = picture.resize((round(factor * picture.width), round(factor * picture.height)), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=int(generator.integers(40, 96)))
    return data.getvalue()


def make_copies(originals: CaptionDataset, folder: Path, seed: int) -> CaptionDataset:
    """One copy of each image, the kinds in turns; the source of a copy is its kind."""
    generator = np.random.default_rng(seed)
    copies = []
    for number, item in enumerate(originals):
        kind = KINDS[number % len(KINDS)]
        path = folder / f"{item.path.stem}.jpg"
        path.write_bytes(edited(read_image(item.path, item.reading).convert("RGB"), kind, generator))
        copies.append(CaptionedImage(path, item.captions, item.split, item.category, kind))
    return CaptionDataset(copies)


def report_copies(module: ModuleType, originals: CaptionDataset, copies: CaptionDataset) -> None:
    """Prints how many copies are found, by kind, and pairs of two different originals."""
    found: set[Path] = set()
    other = set()
    for pair in module.find_near_duplicates(originals + copies):
        if pair.first.path.stem == pair.second.path.stem:
            found.add(pair.second.path)
        else:
            other.add(frozenset((pair.first.path.stem, pair.second.path.stem)))
    made, hits = (
        Counter(item.source for item in copies if item.path in paths) for paths in ({*(c.path for c in copies)}, found)
    )
    shares = ", ".join(f"{kind} {hits[kind] / made[kind]:.1%}" for kind in made)
    print(f"  {len(found) / len(copies):.2%} of {len(copies):,} copies found: {shares}")
    print(f"  pairs of images that are no copies of each other: {sorted(map(sorted, other))}")
    missed = [f"{item.path.stem} ({item.source})" for item in copies if item.path not in found]
    print(f"  missed: {', '.join(missed) or 'none'}", flush=True)


def load(path: Path) -> ModuleType:
    """Imports a file as a module."""
    spec = importlib.util.spec_from_file_location("before", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python module.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def accumulated(names: Sequence[str], sets: Sequence[CaptionDataset]) -> Iterator[tuple[str, CaptionDataset]]:
    """The first data set, then with the second, and so on."""
    for count in range(1, len(sets) + 1):
        yield " and ".join(names[:count]), sum(sets[1:count], sets[0])


def main() -> None:
    """Prints copies found, pairs found, and seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="the folder that holds RSICD and UCM_captions; none: the miniature")
    parser.add_argument("--images", type=int, default=0, help="only so many of each set; 0 takes all")
    parser.add_argument("--before", type=Path, help="another version of near_duplicates.py")
    parser.add_argument("--seed", type=int, default=0, help="of crops, turns and qualities")
    options = parser.parse_args()

    modules = {"now": near_duplicates} | ({"before": load(options.before)} if options.before else {})
    names = ("rsicd", "ucm") if options.data else ("miniature",)
    sets = [load_dataset(name, options.data) for name in names]
    originals = sets[0].split("val") + sets[0].split("test")
    if options.images:
        *sets, originals = (dataset.subset(options.images, options.seed) for dataset in (*sets, originals))
    with tempfile.TemporaryDirectory() as folder:
        copies = make_copies(originals, Path(folder), options.seed)
        for name, module in modules.items():
            print(f"{name}: copies of {names[0]}'s val and test")
            report_copies(module, originals, copies)
    for title, dataset in accumulated(names, sets):
        seconds = {}
        for name, module in modules.items():
            start, wall = time.process_time(), time.perf_counter()
            pairs = module.find_near_duplicates(dataset)
            seconds[name] = time.process_time() - start
            wall = time.perf_counter() - wall
            took = f"{seconds[name]:.1f} s ({wall:.1f} s on the clock)"
            print(f"{name}: {title}, {len(dataset):,} images, {took}, {len(pairs)} pairs")
            for pair in pairs:
                print(f"  {pair}")
        if options.before:
            print(f"{title}: {seconds['now'] / seconds['before']:.2f} times the seconds of before", flush=True)


if __name__ == "__main__":
    main()
