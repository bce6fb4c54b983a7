"""Tries bad inputs of every kind and prints what came of them: ``bad_inputs.py 1100 --seed 0``.

Small valid inputs are made here and changed at random: bytes cut, turned, blanked, doubled or put in, values of JSON
and YAML replaced, files turned into folders, pipes or links that lead nowhere. Each is tried in a process and a folder
of its own, with limits of time and memory. What may come of it:

- refused: an error of the course, one sentence;
- left out: the rest is used, and a word says what is missing;
- harmless: accepted, and right, which every kind checks for itself;
- other: an error out of a library, a number that is none, a wrong answer, no end.

The exit status is 1 if anything came out other.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[0]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import numpy as np
from bad_changes import WORDS, change_file, picture
from search_world import noisy_pictures
from test_caption_layouts import COCO, NWPU, draw
from test_damaged_models import DAMAGED
from test_reading import PLACE, raster
from training_world import PROCESSES, colors, started, tiny_model

from utils.clip import CLIP
from utils.course import CourseError, course_notebooks, find_root, parameters, run
from utils.course.parameters import notebook_parameters, parse_overrides
from utils.course.run import plan_course
from utils.datasets import load_dataset, read_image
from utils.demo.decoding import read_upload
from utils.evaluation import zero_shot
from utils.finder.reading import open_scene
from utils.search import ImageIndex

PROCESSES.set_forkserver_preload(["training_world", "bad_inputs", "grain", "torchvision.transforms.v2", "sklearn"])
SECONDS, MEMORY = 90, 4 << 30  # for one input; memory on top of what the libraries have mapped
Answer = tuple[str, str]  # the outcome, and a few words on it


class WrongError(Exception):
    """An input was accepted, and what came of it is wrong."""


# --- kinds ------------------------------------------------------------------------------------------------
# Each makes its input in an empty folder, tries it, and says whether what it got is right: "left out" with a word, or
# "harmless". What it raises is judged by `answer_of`.


def check(right: bool, words: str) -> None:
    """Says that an answer is wrong."""
    if not right:
        raise WrongError(words)


def try_image(folder: Path, chance: random.Random) -> Answer:
    """A changed picture among two whole ones of a data set."""
    for name in ("port/1.png", "field/2.png"):
        draw(folder / name)
    ending, content = picture(chance)
    bad = folder / "port" / f"bad.{ending}"
    bad.write_bytes(content)
    change_file(bad, chance)
    dataset = load_dataset(folder).decodable()
    check([item.name for item in dataset if item.name != bad.name] == ["2.png", "1.png"], "whole ones are gone")
    left = [*dataset.missing, *(item for item, _ in dataset.damaged)]
    if len(dataset) == 2:
        check([item.name for item in left] == [bad.name] or not bad.exists() or bad.is_dir(), "left out in silence")
        return "left out", "damaged"
    image = read_image(bad)
    check(image.mode == "RGB" and np.array_equal(image, read_image(bad)), "two readings differ")
    return "harmless", "decoded"


def try_captions(folder: Path, chance: random.Random) -> Answer:
    """A changed captions file of one of the forms that are read."""
    names = ("port/port_0.png", "field/field_0.png", "0.png")
    for name in names:
        draw(folder / "images" / name)
    lines = [{"filename": name, "captions": [f"a {n}", "more"], "split": "train"} for n, name in enumerate(names)]
    sentences = [{"filename": one["filename"], "split": "test", "sentences": [{"raw": "a port"}]} for one in lines]
    table = "".join(f"{one['filename']},{one['captions'][0]},train\n" for one in lines)
    forms = {
        "nwpu.json": json.dumps(NWPU),
        "coco.json": json.dumps(COCO),
        "own.json": json.dumps({"images": sentences, "dataset": "own"}),
        "own.jsonl": "\n".join(map(json.dumps, lines)),
        "own.csv": f"filename,caption,split\n{table}",
        "own.tsv": f"filename,caption,split\n{table}".replace(",", "\t"),
    }
    name = chance.choice(list(forms))
    (folder / name).write_text(forms[name])
    change_file(folder / name, chance)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        dataset = load_dataset(folder / name)
    for item in dataset:
        check(item.path.is_file() and all(isinstance(text, str) for text in item.captions), f"an entry is {item}")
        check(all(isinstance(word, str | None) for word in (item.split, item.category)), f"an entry is {item}")
    dataset.summary()
    dataset.captioned()
    return ("left out", "with a word") if told or dataset.missing else ("harmless", "read")


def try_parameter(folder: Path, chance: random.Random) -> Answer:
    """A parameter or two with values that cannot be, or a changed profile."""
    root = find_root()
    declared = json.loads((folder.parent / "declared.json").read_text())
    for module in (parameters, run):  # papermill takes half a second to read what no input here changes
        module.notebook_parameters = lambda path: declared[path.stem]
    names = [*sorted(set().union(*declared.values())), "NO_SUCH"]
    words = (
        *WORDS,
        "-1",
        "0",
        ".nan",
        ".inf",
        "-.inf",
        "1e-5",
        "1.0e-400",
        "[1, 2]",
        "{a: 1}",
        "yes",
        "'",
        "*a",
        "2.5",
    )
    chosen = [f"{chance.choice(names)}={chance.choice(words)}" for _ in range(chance.choice((1, 2)))]
    profile = "miniature"
    if chance.random() < 0.4:
        profile = str(folder / "own.yaml")
        source = root / "nbs" / "profiles" / f"{chance.choice(('miniature', 'rsicd', 'workshop'))}.yaml"
        shutil.copy(source, profile)
        change_file(Path(profile), chance)
        chosen = []
    plan = plan_course(root, profile, parse_overrides(chosen))
    for values in plan.parameters.values():
        numbers = [value for value in values.values() if isinstance(value, float)]
        check(bool(np.isfinite(numbers).all()), f"a number is none: {values}")
    json.dumps(plan.parameters)
    return "harmless", "a plan"


def try_model(folder: Path, chance: random.Random) -> Answer:
    """A model folder with a changed file, or one of the damages that the tests know."""
    shutil.copytree(folder.parent / "model", folder / "model")
    if chance.random() < 0.3:
        DAMAGED[chance.choice(list(DAMAGED))][0](folder / "model")
    else:
        change_file(chance.choice(sorted(path for path in (folder / "model").iterdir() if path.is_file())), chance)
    model = CLIP.from_pretrained(folder / "model")
    scores = zero_shot(model, colors(folder / "data", 4)).similarities
    check(bool(np.isfinite(scores).all()) and bool((np.abs(scores) < 1.001).all()), "similarities are none")
    return "harmless", "a model"


def try_index(folder: Path, chance: random.Random) -> Answer:
    """An index folder with a changed file."""
    shutil.copytree(folder.parent / "noise", folder / "noise")  # an index names its pictures from where it lies
    index = Path(shutil.copytree(folder.parent / "index", folder / "index"))
    change_file(chance.choice(sorted(path for path in index.rglob("*") if path.is_file())), chance)
    model = CLIP.from_pretrained(folder.parent / "model")
    hits = ImageIndex.load(index, model).query_image(folder / "noise" / "picture_3.png", 5)
    expected = json.loads((folder.parent / "hits.json").read_text())
    found = [[hit.path.name, round(float(hit.score), 4)] for hit in hits]
    check(found == expected, f"{found} instead of {expected}")
    return "harmless", "the same answers"


def try_raster(folder: Path, chance: random.Random) -> Answer:
    """A changed raster, read as a scene is: as a whole and in windows."""
    kind = chance.choice((np.uint8, np.uint16, np.int16, np.float32))
    values = np.random.default_rng(0).integers(0, 250, (chance.choice((1, 3, 4, 5)), 48, 64)).astype(kind)
    options = dict(PLACE) if chance.random() < 0.7 else {}
    if chance.random() < 0.4:
        options["nodata"] = 0
    if chance.random() < 0.5:
        options |= {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": chance.choice(("deflate", "lzw"))}
    path = raster(folder / "scene.tif", values, **options)
    change_file(path, chance)
    with open_scene(path) as opened:
        width, height = opened.size
        overview = opened.overview()
        cut = opened.crop((0, 0, min(width, 32), min(height, 32)), 16)
        again = opened.crop((0, 0, min(width, 32), min(height, 32)), 16)
        check(cut.mode == overview.image.mode == "RGB" and np.array_equal(cut, again), "two readings differ")
        check(opened.place.transform is None or bool(np.isfinite(opened.place.transform).all()), "a place is none")
    return "harmless", "read"


def try_upload(folder: Path, chance: random.Random) -> Answer:
    """A changed picture, read as the page reads what a stranger sends."""
    ending, content = picture(chance)
    path = folder / f"sent.{ending}"
    path.write_bytes(content)
    change_file(path, chance)
    upload = read_upload(path)
    check(upload.image.mode == "RGB" and min(upload.size) >= 8, f"a picture of {upload.size}")
    return "harmless", "decoded"


KINDS: dict[str, tuple[Callable[[Path, random.Random], Answer], int]] = {  # and a weight
    "image": (try_image, 22),
    "captions": (try_captions, 26),
    "parameter": (try_parameter, 16),
    "model": (try_model, 5),
    "index": (try_index, 5),
    "raster": (try_raster, 17),
    "upload": (try_upload, 18),
}


# --- one input --------------------------------------------------------------------------------------------


def answer_of(error: BaseException) -> Answer:
    """What an error is: a sentence of the course, or something else."""
    message, last = str(error), traceback.extract_tb(error.__traceback__)[-1]
    shown = f"{type(error).__name__}: {' '.join(message.split())[:160]} ({Path(last.filename).name}:{last.lineno})"
    ours = f"{os.sep}utils{os.sep}" in last.filename and "site-packages" not in last.filename
    clean = message and "\n" not in message and "[Errno" not in message and "Traceback" not in message
    if ours and clean and isinstance(error, ValueError | OSError | CourseError) and not isinstance(error, UnicodeError):
        return "refused", shown
    return "other", shown


def try_one(kind: str, seed: int, folder: Path) -> None:
    """Tries one input in this process, and leaves the answer in its folder."""
    jax.config.update("jax_disable_most_optimizations", True)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout = sys.stderr = io.StringIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = KINDS[kind][0](folder, random.Random(f"{kind} {seed}"))
    except BaseException as error:
        answer = answer_of(error)
    (folder / "answer.json").write_text(json.dumps(answer))


def tried(kind: str, seed: int, world: Path) -> Answer:
    """Tries one input in a process and a folder of its own."""
    folder = world / f"{kind}-{seed}"
    folder.mkdir()
    process = started(try_one, kind, seed, folder)
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return "other", f"no answer within {SECONDS} seconds"
    try:
        return tuple(json.loads((folder / "answer.json").read_text()))
    except (OSError, ValueError):
        return "other", f"ended with {process.exitcode}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_world(world: Path) -> None:
    """What inputs are copied from: a tiny model, pictures of noise, and their index with its answers."""
    model = tiny_model(world / "model")
    pictures = noisy_pictures(world / "noise", 24)
    index = ImageIndex.build(model, pictures, world / "index", progress=False)
    hits = index.query_image(pictures[3].path, 5)
    declared = {path.stem: notebook_parameters(path) for path in course_notebooks(find_root())}
    (world / "declared.json").write_text(json.dumps(declared))
    (world / "hits.json").write_text(json.dumps([[hit.path.name, round(float(hit.score), 4)] for hit in hits]))


def report(answers: dict[str, list[tuple[int, Answer]]], seconds: float) -> int:
    """Prints the table, and what came out other; gives their number."""
    outcomes = ("refused", "left out", "harmless", "other")
    print(f"{'kind':<11}" + "".join(f"{name:>10}" for name in ("tried", *outcomes)))
    total: Counter = Counter()
    for kind, of in answers.items():
        counts = Counter(outcome for _, (outcome, _) in of)
        total += counts
        print(f"{kind:<11}{len(of):>10}" + "".join(f"{counts[name]:>10}" for name in outcomes))
    print(f"{'all':<11}{total.total():>10}" + "".join(f"{total[name]:>10}" for name in outcomes))
    print(f"{seconds:.0f} s")
    for kind, of in answers.items():
        for seed, (outcome, words) in sorted(of):
            if outcome == "other":
                print(f"  {kind} {seed}: {words}")
    return total["other"]


def main() -> int:
    """Runs the trial; the exit status is 1 if anything came out other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=int, nargs="?", default=1100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    arguments = parser.parse_args()
    weights = {kind: KINDS[kind][1] for kind in arguments.kinds}
    plan = [
        (kind, arguments.seed * 100_000 + number)
        for kind, weight in weights.items()
        for number in range(max(1, round(arguments.inputs * weight / sum(weights.values()))))
    ]
    answers: dict[str, list[tuple[int, Answer]]] = defaultdict(list)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        world = Path(folder)
        make_world(world)
        for (kind, seed), answer in zip(plan, pool.map(lambda one: tried(*one, world), plan), strict=True):
            answers[kind].append((seed, answer))
    return int(report(answers, time.perf_counter() - start) > 0)


if __name__ == "__main__":
    sys.exit(main())
