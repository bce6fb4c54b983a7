"""Kills builds of an index, and drawings of the miniature, and looks at what they leave; prints tables of outcomes.

    python tests/trials/kill_index.py                       # 60 builds and 20 drawings, some three minutes on two cores
    python tests/trials/kill_index.py --builds 200 --drawings 0 --seed 1

The index lies in the folder of its own pictures, among folders of the user's that are called like its own. A build is
killed at a random moment, or right before its n-th change of the folder: before a file of it is opened to be written,
renamed or removed. While it runs, the index is loaded over and over. Afterwards the folder must hold the earlier index
or the new one, whole; the next build must give, bit by bit, what an undisturbed one gives, and leave nothing but that.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import psutil
from PIL import Image
from search_world import noisy_pictures
from training_world import PROCESSES, forkserver, tiny_model

from utils.clip import CLIP
from utils.search import ImageIndex, SearchError

ROOT = Path(__file__).resolve().parents[2]
PICTURES, BATCH = 120, 8
FOREIGN = ("generation-1", ".partial", "generation-x")
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "open"}
PATIENCE = 30.0  # seconds that workers have to notice their parent's end


def build(model: CLIP, folder: Path) -> ImageIndex:
    """The build that is tried, in batches small enough that there are some."""
    return ImageIndex.build(model, folder, folder, batch_size=BATCH, engine="nmslib", progress=False)


def build_in_child(checkpoint: Path, folder: Path, last: int, ready) -> None:
    """Builds in a process of its own, which kills itself before change number ``last``; 0 lets it live.

    Tells through ``ready`` that it begins, and at its end how many changes it made.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    model, changes = CLIP.from_pretrained(checkpoint), 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal changes
        if event in CHANGES and _changes(event, arguments, folder):
            changes += 1
            if changes == last:
                os.kill(os.getpid(), signal.SIGKILL)

    ready.send("ready")
    sys.addaudithook(count)
    build(model, folder)
    ready.send(changes)


def _changes(event: str, arguments: tuple, folder: Path) -> bool:
    path = arguments[0]
    if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(str(folder)):
        return False
    return event != "open" or bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))


def run_child(checkpoint: Path, folder: Path, model: CLIP, last: int = 0, seconds: float = 0) -> tuple:
    """Runs a build, killed or not, and loads the index meanwhile.

    Returns:
        Its exit code, how long it took, how many changes it made, and what the loader saw.
    """
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=build_in_child, args=(checkpoint, folder, last, there))
    process.start()
    there.close()
    here.recv()
    begin, seen = time.perf_counter(), Counter()
    while process.is_alive() and not (seconds and time.perf_counter() - begin >= seconds):
        seen[marked(folder, model)] += 1
        time.sleep(0.05)
    process.kill() if seconds else None
    process.join()
    took, changes = time.perf_counter() - begin, here.recv() if process.exitcode == 0 else 0
    return process.exitcode, took, changes, seen


def marked(folder: Path, model: CLIP) -> str:
    """A digest of the index that a folder holds, with its pictures; ``none`` where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the pictures that the collection lost
            index = ImageIndex.load(folder, model)
    except SearchError as error:
        if "holds no finished index" in str(error):
            return "none"
        raise
    names = "\n".join(str(item.path.relative_to(folder)) for item in index.dataset)
    return hashlib.sha256(names.encode() + index.embeddings.tobytes()).hexdigest()[:12]


def files_of_the_user(folder: Path) -> dict[str, str]:
    """What the user has in the folder, with digests."""
    paths = [*folder.glob("*.png"), *(path for name in FOREIGN for path in (folder / name).rglob("*"))]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()
    }


def make_template(top: Path, model: CLIP, name: str) -> Path:
    """A folder of pictures, without an index, or with one of an earlier state of the collection."""
    folder = top / name
    noisy_pictures(folder, PICTURES)
    for foreign in FOREIGN:
        (folder / foreign).mkdir()
        (folder / foreign / "notes.txt").write_text("mine")
    if name == "changed":
        build(model, folder)
        for number in range(0, PICTURES, 3):
            Image.new("RGB", (20, 20), (number % 256, 0, 0)).save(folder / f"picture_{number}.png")
        (folder / "picture_1.png").unlink()
        Image.new("RGB", (20, 20), "red").save(folder / "a new one.png")
    return folder


def try_builds(top: Path, count: int, generator: random.Random) -> Counter:
    """Kills builds and counts what came of each."""
    jax.config.update("jax_disable_most_optimizations", True)
    model = tiny_model(top / "model")
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    forkserver.ensure_running()
    outcomes: Counter = Counter()
    for kind in ("fresh", "changed"):
        template = make_template(top, model, kind)
        before = marked(template, model)
        whole = shutil.copytree(template, top / f"{kind} whole")
        _, took, changes, seen = run_child(top / "model", whole, model)
        after = marked(whole, model)
        print(f"{kind}: an undisturbed build takes {took:.2f} s and makes {changes} changes", flush=True)
        assert set(seen) <= {before, after} and changes
        for number in range(count // 2):
            folder = shutil.copytree(template, top / "tried")
            last = 0 if number % 2 else generator.randint(1, changes)
            outcome = _try_build(top, folder, model, last, generator.uniform(0.01, took), (before, after))
            outcomes[kind, "before a change" if last else "at a moment", *outcome] += 1
            shutil.rmtree(folder)
    return outcomes


def _try_build(
    top: Path, folder: Path, model: CLIP, last: int, seconds: float, expected: tuple[str, str]
) -> tuple[str, ...]:
    theirs = files_of_the_user(folder)
    code, _, _, seen = run_child(top / "model", folder, model, last, 0 if last else seconds)
    left = marked(folder, model)
    killed = "killed" if code == -signal.SIGKILL else "was done"
    held = {expected[1]: "the new one", expected[0]: "the earlier one" if expected[0] != "none" else "none"}
    loaders = "whole or none" if set(seen) <= set(expected) else "ANOTHER"
    build(model, folder)
    same = "equal" if marked(folder, model) == expected[1] else "OTHER VECTORS"
    generations = [p.name for p in folder.glob("generation-[0-9]*") if p.name not in FOREIGN]
    clean = len(generations) == 1 and not (folder / "pieces").exists() and not list(folder.glob(".*.partial"))
    return (
        killed,
        held.get(left, "SOMETHING ELSE"),
        loaders,
        same,
        "nothing" if clean else f"LEFT: {generations}",
        "untouched" if files_of_the_user(folder) == theirs else "TOUCHED",
    )


DRAW = """
import sys
from pathlib import Path
from standins.scenes import build_miniature

if __name__ == "__main__":
    counts = {"train": 1}
    build_miniature(Path(sys.argv[1]), images_per_split=counts, progress=False, workers=2)
"""


def try_drawings(top: Path, count: int, generator: random.Random) -> Counter:
    """Kills drawings of a small miniature and counts what came of each."""
    (top / "draw.py").write_text(DRAW)
    begin = time.perf_counter()
    start_drawing(top, top / "whole").wait()
    took, pixels = time.perf_counter() - begin, digest_of(top / "whole")
    print(f"an undisturbed drawing takes {took:.2f} s", flush=True)
    outcomes: Counter = Counter()
    for number in range(count):
        folder = top / f"drawn {number}" / "miniature"
        drawing = start_drawing(top, folder)
        time.sleep(generator.uniform(0.2, 0.7 * took))  # the first one took longest
        drawing.kill()
        killed = "killed" if drawing.wait() else "was done"
        alive, seconds = _wait_for_workers(drawing.pid)
        hidden = len(list(folder.parent.glob(".miniature-*"))) if folder.parent.exists() else 0
        if number % 4 == 3:  # two at once
            others = [start_drawing(top, folder) for _ in range(2)]
            codes = [other.wait() for other in others]
        else:
            codes = [start_drawing(top, folder).wait()]
        left = list(folder.parent.glob(".miniature-*"))
        outcomes[
            killed,
            f"{len(alive)} processes" if alive else "no process",
            "under 2 s" if seconds < 2 else f"{seconds:.0f} s",
            f"{hidden} hidden",
            f"{len(codes)} next, " + ("both well" if len(codes) == 2 and not any(codes) else f"{codes}"),
            "no hidden" if not left else f"LEFT {len(left)}",
            "equal" if digest_of(folder) == pixels else "OTHER PIXELS",
        ] += 1
    return outcomes


def start_drawing(top: Path, folder: Path) -> subprocess.Popen:
    """Starts a drawing in a session of its own, by which its workers are found."""
    folder.parent.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, top / "draw.py", folder],
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


def _wait_for_workers(session: int) -> tuple[list[int], float]:
    """The processes of a session that still live after a while, and how long it took until none did."""
    begin = time.perf_counter()
    while (alive := _living(session)) and time.perf_counter() - begin < PATIENCE:
        time.sleep(0.05)
    return alive, time.perf_counter() - begin


def _living(session: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            continue
    return found


def digest_of(folder: Path) -> str:
    """A digest over all files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def print_table(title: str, columns: tuple[str, ...], outcomes: Counter) -> None:
    """Prints how often each outcome came."""
    rows = [("times", *columns), *((str(times), *key) for key, times in sorted(outcomes.items()))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> None:
    """Runs the trials and prints their tables."""
    parser = argparse.ArgumentParser(description="Kills builds of an index and drawings of the miniature.")
    parser.add_argument("--builds", type=int, default=60, help="builds to kill")
    parser.add_argument("--drawings", type=int, default=20, help="drawings to kill")
    parser.add_argument("--seed", type=int, default=0, help="another seed kills at other moments")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as top:
        if arguments.builds:
            columns = ("collection", "killed", "build", "folder held", "loaders saw", "next build", "left", "user's")
            print_table("Builds of an index", columns, try_builds(Path(top), arguments.builds, generator))
        if arguments.drawings:
            columns = ("drawing", "alive", "after", "folders", "then", "left", "pixels")
            print_table("Drawings", columns, try_drawings(Path(top), arguments.drawings, generator))


if __name__ == "__main__":
    main()
