"""Kills tiny trainings at random moments, and starts pairs of them in one folder; prints what came of it.

    PYTHONPATH=. python tests/trials/kill_training.py --kills 60 --pairs 20

It takes some minutes, so no test runs it. It ends with an error if a run ended with other bits than an undisturbed
one, if a reader was given a model that is not of the run that the folder tells of, or if one run's model replaced
another's.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(tempfile.gettempdir()) / "trials_of_training_jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import psutil
from training_world import SETTINGS, colors, started, tiny_model

from utils.clip import CLIP
from utils.clip.embedding import weights_digest
from utils.training import train
from utils.training.identity import CARD_FILES, check_model, mark_of

TRIED = replace(SETTINGS, epochs=2, ema_decay=0.9, checkpoint_every=1, keep_best=True)
OTHER_SEED = 2
POLLED = 0.01  # seconds
BAD = "BAD:"  # outcomes that must not be


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nobody killed, and when: seconds of its processor, which a busy machine keeps."""

    output: Path
    mark: str
    claimed: float
    ended: float


def train_and_report(world: Path, output: Path, seed: int, report: Path) -> None:
    """A training in a process of its own; notes its weights, or the sentence that it got."""
    jax.config.update("jax_disable_most_optimizations", True)
    dataset = colors(world)
    try:
        model = train(CLIP.from_pretrained(world), dataset, dataset, replace(TRIED, seed=seed), output).model
        told = {"weights": weights_digest(model)}
    except Exception as error:
        told = {"error": type(error).__name__, "sentence": str(error)}
    report.write_text(json.dumps(told))


def undisturbed(world: Path, output: Path, seed: int) -> Undisturbed:
    """Runs one to its end; twice, so that the times are those of a warm cache of compiled programs."""
    for _ in range(2):
        shutil.rmtree(output, ignore_errors=True)
        process = started(train_and_report, world, output, seed, world / "report.json")
        claimed = ended = 0.0
        while process.exitcode is None:
            ended = max(ended, processor_time(process))
            claimed = claimed or ended * (output / "run.json").exists()
            time.sleep(POLLED)
    return Undisturbed(output, mark_of(output), claimed, ended)


def processor_time(process: BaseProcess) -> float:
    """Seconds that a process has computed; 0 once it has ended."""
    try:
        return sum(psutil.Process(process.pid).cpu_times()[:2])
    except psutil.Error:
        return 0.0


def killed_at(process: BaseProcess, moment: float) -> bool:
    """Kills a process once it has computed for so long; False if it ended before."""
    while process.exitcode is None and processor_time(process) < moment:
        time.sleep(POLLED)
    if process.exitcode is not None:
        return False
    process.kill()
    process.join()
    return process.exitcode != 0


# --- what a folder holds ----------------------------------------------------------------------------------


def model_files(output: Path) -> dict[str, bytes]:
    """All files of the exported model but its card, which tells the time that the run took."""
    paths = (output / "model").iterdir() if (output / "model").is_dir() else ()
    return {path.name: path.read_bytes() for path in paths if path.name not in CARD_FILES}


def history(output: Path) -> list[dict[str, str]]:
    """The rows of the table, without the columns that tell the time."""
    with (output / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if not name.startswith("seconds")} for row in rows]


def left_over(output: Path) -> list[Path]:
    """What was half written."""
    return [path for path in output.rglob("*") if any(word in path.name for word in ("partial", "-tmp", ".model."))]


def reader_sees(output: Path, known: list[Undisturbed]) -> str:
    """What whoever opens the folder's model is given."""
    if not (output / "model" / "config.json").is_file():
        return "no model"
    try:
        check_model(output / "model", mark_of(output))
    except ValueError as error:
        return "a sentence" if "\n" not in str(error) else f"{BAD} several lines"
    own = [model_files(run.output) for run in known if run.mark == mark_of(output)]
    ours = model_files(output)
    same = own and all(ours[name] == own[0][name] for name in ours)
    return "the model of the run that run.json tells of" if same else f"{BAD} another model"


# --- the trials -------------------------------------------------------------------------------------------


def try_kills(world: Path, known: list[Undisturbed], kills: int, counts: Counter) -> None:
    """Kills a run at random moments until it ends all the same; every other one begins in an old model's folder."""
    expected, other = known
    while counts["kills"] < kills:
        output = world / "killed"
        shutil.rmtree(output, ignore_errors=True)
        if counts["runs that ended"] % 2:
            shutil.copytree(other.output, output)
            shutil.rmtree(output / "checkpoints")
        while True:
            process = started(train_and_report, world, output, TRIED.seed, world / "report.json")
            moment = random.uniform(0.9 * expected.claimed, 1.05 * expected.ended)
            if not killed_at(process, math.inf if counts["kills"] >= kills else moment):
                break
            counts["kills"] += 1
            counts[f"a reader after a kill is given {reader_sees(output, known)}"] += 1
        counts["runs that ended"] += 1
        counts["ended with the weights and model files of an undisturbed run"] += model_files(output) == model_files(
            expected.output
        )
        counts["ended with its history"] += history(output) == history(expected.output)
        counts["left half a file behind"] += bool(left_over(output))


def try_pairs(world: Path, known: list[Undisturbed], pairs: int, counts: Counter) -> None:
    """Two runs of different seeds in one folder, a little apart; then the one that was refused, once more."""
    for number in range(pairs):
        output = world / f"pair_{number}"
        processes, reports = [], [world / f"pair_{number}_{seed}.json" for seed in (TRIED.seed, OTHER_SEED)]
        seeds = list(zip((TRIED.seed, OTHER_SEED), reports, known, strict=True))
        random.shuffle(seeds)
        for seed, report, _ in seeds:
            processes.append(started(train_and_report, world, output, seed, report))
            wait = random.uniform(0, known[0].ended)
            while processes[0].exitcode is None and processor_time(processes[0]) < wait:
                time.sleep(POLLED)
        for process in processes:
            process.join()
        for seed, report, run in seeds:
            counts[f"first call: {_outcome(report, run, output)}"] += 1
            if "error" in json.loads(report.read_text()):
                started(train_and_report, world, output, seed, report).join()
                counts[f"refused one, called again: {_outcome(report, run, output)}"] += 1
        shutil.rmtree(output)


def _outcome(report: Path, run: Undisturbed, output: Path) -> str:
    told = json.loads(report.read_text())
    if "error" in told:
        kind = next((word for word in ("in use by process", "holds a run with seed") if word in told["sentence"]), "")
        lines = "a sentence" if "\n" not in told["sentence"] else f"{BAD} several lines"
        return f"{lines}: '{kind}'" if kind else f"{BAD} another error: {told['error']}: {told['sentence']}"
    own = weights_digest(CLIP.from_pretrained(run.output / "model"))
    if told["weights"] != own:
        return f"{BAD} another run's weights"
    return "its own model" if model_files(output) == model_files(run.output) else f"{BAD} silently replaced"


def show(title: str, counts: Counter) -> None:
    """Prints a table of outcomes."""
    print(f"\n{title}")
    for words, count in sorted(counts.items()):
        print(f"{count:>6}  {words}", flush=True)


def main() -> None:
    """Runs both trials and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder) / "world"
        tiny_model(world)
        known = [undisturbed(world, world / f"seed_{seed}", seed) for seed in (TRIED.seed, OTHER_SEED)]
        print(f"an undisturbed run: claimed after {known[0].claimed:.1f} s, ended after {known[0].ended:.1f} s")
        tables = (Counter(), Counter())
        try:
            try_kills(world, known, arguments.kills, tables[0])
            try_pairs(world, known, arguments.pairs, tables[1])
        finally:  # a trial that is interrupted tells what it saw
            show("kills", tables[0])
            show("pairs in one folder", tables[1])
    ended = tables[0]["runs that ended"]
    equal = [count for words, count in tables[0].items() if words.startswith("ended with")]
    bad = [words for counts in tables for words in counts if BAD in words]
    if bad or any(count != ended for count in equal) or tables[0]["left half a file behind"]:
        sys.exit("Something was lost, mixed or left behind.")


if __name__ == "__main__":
    main()
