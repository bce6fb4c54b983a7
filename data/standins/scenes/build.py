"""Builds the miniature: draws its images, writes their captions, and publishes the folder in one move.

It has RSICD's 30 categories, file names, folder layout and JSON form, so that the loader of the real data set reads
it unchanged. The same seed gives the same pixels, however many processes draw them.

Run `python -m standins.scenes` to build it in runs/data/miniature/.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from standins.scenes.grammar import write_captions
from standins.scenes.render import CATEGORIES, render_scene
from utils.category_names import SPLIT_NAMES
from utils.files import publish, usable_cores, worker_pool, workshop
from utils.progress import progress_bar

DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "runs" / "data" / "miniature"
IMAGES_PER_SPLIT = {"train": 36, "val": 6, "test": 10}
"""Named images of each category in each split."""

_UNNAMED_SHARE = 0.06
# RSICD's unnamed images are of these classes; half of them are play fields, which have no named images at all.
_UNNAMED_CATEGORIES = ("playfields", "airport", "playfields", "bridge", "playfields", "storagetanks")

_JPEG_QUALITY = 90
_STAMP = "miniature.json"


@dataclass(frozen=True)
class _Job:
    """One image to draw: everything a worker needs to know."""

    folder: Path
    filename: str
    category: str
    split: str
    seed: tuple[int, ...]


def build_miniature(
    folder: Path | None = None,
    seed: int = 0,
    images_per_split: Mapping[str, int] | None = None,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Builds the miniature data set unless it is there already.

    The folder appears only when everything in it is complete. A folder that was built with other parameters, or by
    an earlier version of the drawing code, is built again.

    Args:
        folder: Where; runs/data/miniature in the checkout by default.
        seed: Another seed gives other images and captions.
        images_per_split: Named images of each category, by default 36 train, 6 val and 10 test. Unnamed images (a
            number for a name, as RSICD has them) come on top in the test split, about 6 % of it.
        progress: Whether to show a progress bar.
        workers: Processes to draw with; by default as many as there are usable cores.

    Returns:
        The folder, which holds dataset_rsicd.json, RSICD_images/ and txtclasses_rsicd/.

    Raises:
        FileExistsError: If the folder holds something that is not a miniature.
    """
    folder = Path(folder or DEFAULT_FOLDER)
    counts = dict(IMAGES_PER_SPLIT if images_per_split is None else images_per_split)
    stamp = json.dumps({"seed": seed, "images_per_split": counts, "code": _code_version()})
    if _stamp_of(folder) == stamp:
        return folder
    if folder.exists() and _stamp_of(folder) is None and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds files that are not a miniature; move them away or name another folder.")
    with workshop(folder, "drawing the miniature") as draft:
        _draw_all(draft, _plan(draft, seed, counts), workers or usable_cores(), progress)
        (draft / _STAMP).write_text(stamp, encoding="utf-8")
        _publish(draft, folder, stamp)
    return folder


def _publish(draft: Path, folder: Path, stamp: str) -> None:
    """Moves a complete draft into place, unless another process was quicker with the same one."""
    if _stamp_of(folder) == stamp:
        return
    try:
        publish(draft, folder)
    except OSError:
        if _stamp_of(folder) != stamp:
            raise


def _stamp_of(folder: Path) -> str | None:
    """What a folder was built from, or None if it holds no complete miniature."""
    stamp = folder / _STAMP
    return stamp.read_text(encoding="utf-8") if stamp.is_file() else None


def _code_version() -> str:
    """A hash of the sources that decide pixels and captions."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def _plan(folder: Path, seed: int, counts: Mapping[str, int]) -> list[_Job]:
    """Lists all images in the order of their numbers."""
    jobs = []
    for label, category in enumerate(CATEGORIES):
        splits = [split for split, count in counts.items() for _ in range(count)]
        for number, split in enumerate(splits, start=1):
            jobs.append(_Job(folder, f"{category}_{number}.jpg", category, split, (seed, label, number)))
    unnamed = round(counts.get("test", 0) * len(CATEGORIES) * _UNNAMED_SHARE / (1 - _UNNAMED_SHARE))
    for number in range(1, unnamed + 1):
        category = _UNNAMED_CATEGORIES[number % len(_UNNAMED_CATEGORIES)]
        jobs.append(_Job(folder, f"{number:05d}.jpg", category, "test", (seed, len(CATEGORIES), number)))
    return jobs


def _draw_all(folder: Path, jobs: list[_Job], workers: int, progress: bool) -> None:
    """Draws all images, in processes if there are several, and writes captions and class lists."""
    (folder / "RSICD_images").mkdir()
    results = _results(jobs, workers)
    bar = progress_bar(results, "drawing the miniature", len(jobs), unit="image", mininterval=0.5, disable=not progress)
    captions = list(bar)
    _write_annotations(folder, jobs, captions)
    lists = folder / "txtclasses_rsicd"
    lists.mkdir()
    for category in sorted({job.category for job in jobs}):
        names = [job.filename for job in jobs if job.category == category]
        # RSICD's lists are called as people write the category, not as image names spell it.
        path = lists / f"{SPLIT_NAMES.get(category, category)}.txt"
        path.write_text("\n".join(names) + "\n", encoding="utf-8")


def _results(jobs: list[_Job], workers: int) -> Iterator[list[str]]:
    """Yields the captions of each job in order."""
    done = 0
    if workers > 1:
        # A script without a main guard, or one read from a pipe, cannot start processes: then one draws them all.
        with suppress(BrokenProcessPool), worker_pool(workers) as pool:
            for captions in pool.map(_draw, jobs, chunksize=8):
                done += 1
                yield captions
    yield from map(_draw, jobs[done:])


def _draw(job: _Job) -> list[str]:
    """Draws one image, saves it and returns its captions."""
    rng = np.random.default_rng(job.seed)
    image, facts = render_scene(job.category, rng)
    image.save(job.folder / "RSICD_images" / job.filename, quality=_JPEG_QUALITY)
    return write_captions(facts, rng)


def _write_annotations(folder: Path, jobs: list[_Job], captions: list[list[str]]) -> None:
    """Writes dataset_rsicd.json in the published (Karpathy) form."""
    images = []
    for number, (job, sentences) in enumerate(zip(jobs, captions, strict=True)):
        first = number * 5
        images.append(
            {
                "filename": job.filename,
                "imgid": number,
                "sentences": [
                    {"tokens": raw.rstrip(" .").split(), "raw": raw, "imgid": number, "sentid": first + index}
                    for index, raw in enumerate(sentences)
                ],
                "split": job.split,
                "sentids": list(range(first, first + len(sentences))),
            }
        )
    text = json.dumps({"images": images, "dataset": "rsicd-miniature"})
    (folder / "dataset_rsicd.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Builds the miniature from the command line."""
    parser = argparse.ArgumentParser(description="Draws the miniature data set.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="where (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other images")
    arguments = parser.parse_args()
    print(build_miniature(arguments.folder, arguments.seed))
