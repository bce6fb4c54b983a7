"""Kills runs of a small course at random moments, fills its disk, and counts what is left: ``kill_course.py 100``.

Every kill hits the runner and its kernels. After each one no notebook may count as finished without its page, and
after the last one the run must end by itself with the results of a run that nobody disturbed. As root on Linux, a
disk of a few MiB is filled while the course runs, too.
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat

from utils.course.ledger import finished_stamp, results_left

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = 3
RUN = """
import sys
from pathlib import Path
from utils.course.run import run_course
run_course(Path(sys.argv[1]), "small", {})
"""
CODE = """
import os
import time
from pathlib import Path
from utils.course import output_folder, record
os.chdir("..")
file = output_folder(OUTPUT_DIR) / NAMES[NUMBER]
file.parent.mkdir(parents=True, exist_ok=True)
time.sleep(0.1)
earlier = output_folder(OUTPUT_DIR) / NAMES[NUMBER - 1]
text = earlier.read_text() if NUMBER else ""
file.write_text(text + f"{NUMBER}\\n" * 1000)
record(length=len(text))
"""
NAMES = 'NAMES: list = ["finetuned/model/weights", "index/index.json", "presence.json"]  # results\n'


def make_course(root: Path) -> None:
    (root / "nbs" / "profiles").mkdir(parents=True)
    (root / "utils").mkdir()
    (root / "nbs" / "profiles" / "small.yaml").write_text("common: {}\n")
    for number in range(NOTEBOOKS):
        parameters = f'OUTPUT_DIR: str = "runs/small"  # results\nNUMBER: int = {number}  # which\n{NAMES}'
        cells = [nbformat.v4.new_code_cell(parameters), nbformat.v4.new_code_cell(CODE)]
        cells[0].metadata["tags"] = ["parameters"]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, root / "nbs" / f"0{number}_part.ipynb")


def start(root: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_to_the_end(root: Path) -> tuple[int, str]:
    process = start(root)
    _, error = process.communicate(timeout=300)
    return process.returncode, error


def results(root: Path) -> dict:
    folder = root / "runs" / "small"
    left = {path.name: results_left(path) for path in sorted(folder.glob("[0-9]*.ipynb"))}
    return {**left, "metrics": (folder / "metrics.json").read_text()}


def outcome_of_a_kill(root: Path, seconds: float) -> str:
    process = start(root)
    try:
        process.wait(seconds)
        ended = "ended before the kill"
    except subprocess.TimeoutExpired:
        process.kill()
        ended = "killed"
    process.communicate()
    folder = root / "runs" / "small"
    for path in folder.glob("[0-9]*.ipynb"):
        stamped = '"course_stamp"' in path.read_text()
        if stamped and finished_stamp(path) is None:
            return f"{ended}, a finished notebook without its page"
    return f"{ended}, every finished notebook has its page"


def kill(times: int, seed: int) -> Counter:
    rng, counts = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Path(folder) / "undisturbed"
        make_course(undisturbed)
        began = time.monotonic()
        assert run_to_the_end(undisturbed)[0] == 0
        length = time.monotonic() - began
        killed = Path(folder) / "killed"
        make_course(killed)
        for _ in range(times):
            outcome = outcome_of_a_kill(killed, rng.uniform(0.2, length))
            counts[outcome] += 1
            if outcome.startswith("ended"):  # begin again, half of the time from nothing
                counts["of these, results as undisturbed"] += results(killed) == results(undisturbed)
                shutil.rmtree(killed / "runs")
        status, error = run_to_the_end(killed)
        counts["the last run ended well"] += status == 0
        counts["with the results of an undisturbed one"] += results(killed) == results(undisturbed)
        print(error, end="")
    return counts


def fill_disk(sizes: range) -> Counter:
    """Runs on a disk that is full from some point on, then makes room."""
    counts = Counter()
    for kibibytes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make_course(root)
            runs = root / "runs"
            runs.mkdir()
            options = ["-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(runs)]
            subprocess.run(["mount", *options], check=True)
            try:
                status, error = run_to_the_end(root)
                lines = error.strip().splitlines()
                said = lines[-1] if lines else ""
                said = "ended well" if status == 0 else said.replace(str(root), "...")
                counts[f"first run: {said}"] += 1
                subprocess.run(["mount", "-o", "remount,size=64m", str(runs)], check=True)
                counts[f"with room: status {run_to_the_end(root)[0]}"] += 1
            finally:
                subprocess.run(["umount", str(runs)], check=True)
    return counts


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    for title, counts in (("kills", kill(times, seed=0)), ("a full disk", fill_disk(range(16, 1000, 96)))):
        print(f"\n{title}")
        for outcome, count in sorted(counts.items()):
            print(f"  {count:4d}  {outcome}")


if __name__ == "__main__":
    main()
