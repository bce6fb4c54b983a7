"""Training without a notebook: ``python -m utils.training --profile rsicd``, in one process or in several.

It does what notebook 04 does beside its lessons, with the same parameters, in the same folder. Like a notebook, it
stands above the rooms, and takes of the course what a notebook takes.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import jax

from utils import jax_trouble
from utils.clip import CLIP
from utils.course import CourseError, LeftOut, few_steps_warning, find_root, output_file, output_folder
from utils.course.__main__ import INTERRUPTED, add_shared_arguments
from utils.course.parameters import declared_values, parse_overrides
from utils.course.places import from_here, is_bare
from utils.course.results import claim_folder
from utils.course.splits import open_splits
from utils.datasets import CaptionDataset, steps_per_epoch
from utils.files import from_home
from utils.training import TrainingResult, TrainingSettings, TrainingStopped, caption_by_category, processes, train
from utils.training.launch import AGAIN, CUT_OFF, FOLLOWED, NAME, SAID, STUCK_AFTER, launch
from utils.translation import load_or_backtranslate

NOTEBOOK = "04_finetune_clip"
WORKER = "--worker"  # what a process that `launch` starts is told, before its file
# Parameters of the notebook that are settings of the same name.
OF_THE_SETTINGS = (
    *("BATCH_SIZE", "EPOCHS", "LEARNING_RATE", "WARMUP_STEPS", "WEIGHT_DECAY", "VALIDATE_EVERY", "AUGMENTATION"),
    *("COMPUTE_DTYPE", "SEED"),
)
IN_A_SENTENCE = (CourseError, LeftOut, OSError, ValueError, FloatingPointError)  # what their messages are


def main(argv: Sequence[str] | None = None) -> int:
    """Trains from the command line; the exit status is 0 if the run has come to its end."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [WORKER]:
        return work(json.loads(Path(argv[1]).read_text(encoding="utf-8")))
    try:
        arguments, root = parse_arguments(argv), find_root()
        parameters = plan(root, arguments)
        several = arguments.processes or processes.told_processes()
        if several == 1 and (arguments.processes or not find_spec("libtpu")):
            os.chdir(root)
            finetune(parameters)
            return 0
        command = [sys.executable, "-m", "utils.training", WORKER]
        together = arguments.processes > 1
        count, job = arguments.processes if together else 1, {"parameters": parameters}
        os.chdir(root)
        return launch(command, job, count, together, arguments.stuck_after)
    except IN_A_SENTENCE as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return SAID
    except KeyboardInterrupt as stop:
        said = str(stop) if isinstance(stop, TrainingStopped) else f"Stopped; {AGAIN}."
        print(f"\n{said}", file=sys.stderr)
        return INTERRUPTED


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Reads a command line; one that asks for help, or cannot be read, ends here."""
    parser = argparse.ArgumentParser(prog=NAME, description="Fine-tunes CLIP as notebook 04 does, without a notebook.")
    add_shared_arguments(parser, "a file of nbs/profiles/, without its ending, or the path of your own .yaml file")
    parser.add_argument("--dataset", default="", help="rsicd, ucm, sydney, miniature, or the path of your own captions")
    parser.add_argument("--to", default="", help="the folder for results; the run is in finetuned/ there")
    told = "how many on this machine; left out, those that SLURM or a TPU pod has started, or one"
    parser.add_argument("--processes", type=int, default=0, help=told)
    stuck = f"of several processes, the seconds after which one that stands still ends all ({STUCK_AFTER:.0f})"
    parser.add_argument("--stuck-after", type=float, default=STUCK_AFTER, metavar="SECONDS", help=stuck)
    return parser.parse_args(argv)


def plan(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """The parameters of notebook 04 for a command line, checked as those of a run of the course."""
    from utils.course.run import plan_course  # seconds, so Ctrl-C counts

    if arguments.processes < 0:
        raise CourseError(f"--processes is {arguments.processes}; it must be 1 or more.")
    if arguments.processes and (told := processes.told_processes()) > 1:
        raise CourseError(
            f"--processes is {arguments.processes}, and this is one of {told} processes that were started together "
            "already: each would train a model of its own; leave --processes out, and they train one."
        )
    if arguments.processes > 1 and sys.platform == "win32":  # gloo, by which they talk, is not in JAX's build for it
        raise CourseError("On Windows processes cannot train together; leave --processes out, or train in WSL.")
    if not arguments.stuck_after > 0:
        raise CourseError(f"--stuck-after is {arguments.stuck_after:g}; it must be more than 0 seconds.")
    given = list(arguments.set)
    if dataset := arguments.dataset:
        is_path = Path(dataset).exists() and not (is_bare(dataset) and not Path(dataset).suffix)
        given.append(f"DATASET={Path(dataset).resolve() if is_path else dataset}")
    if arguments.to:
        given.append(f"OUTPUT_DIR={from_home(arguments.to).resolve()}")
    planned = plan_course(root, arguments.profile, parse_overrides(given, arguments.data_dir, arguments.model))
    if trouble := jax_trouble():
        raise CourseError(trouble)
    return declared_values(root / "nbs" / f"{NOTEBOOK}.ipynb") | planned.parameters[NOTEBOOK]


def finetune(parameters: Mapping[str, Any]) -> TrainingResult[CLIP]:
    """Trains as notebook 04 would with these parameters; relative paths begin at the working folder."""
    start = time.perf_counter()
    output_dir = output_folder(parameters["OUTPUT_DIR"])
    jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR") or "runs/compiled")
    raw_set, train_set, validation_set = processes.in_turn(lambda: open_data(parameters))
    named = {name.lower(): parameters[name] for name in OF_THE_SETTINGS}
    settings = TrainingSettings(**named | {"keep_best": True} | parameters["SETTINGS"]).fitted_to(len(raw_set))
    model = processes.in_turn(lambda: CLIP.from_pretrained(parameters["MODEL"]))
    steps = steps_per_epoch(train_set, settings.batch_size, settings.captions) * settings.epochs
    count, pairs = jax.process_count(), settings.batch_size
    among = f", {count} processes with {pairs // count} of {pairs} pairs each" if count > 1 else ""
    print(f"{len(train_set):,} training images, {len(validation_set):,} for validation, {steps:,} steps{among}")
    if too_few := few_steps_warning(steps, settings.epochs):
        print(too_few)
    processes.lead(claim_folder, output_dir)
    result = train(model, train_set, validation_set, settings, output_dir / "finetuned")
    last = next(row for row in reversed(result.history) if "validation_loss" in row)
    print(
        f"{len(result.history):,} steps, last training loss {result.history[-1]['loss']:.3f}, validation loss "
        f"{last['validation_loss']:.3f}, validation recall {last['validation_recall']:.3f}; exported is step "
        f"{result.exported_step:,}\n{time.perf_counter() - start:.0f} s. The model, with its card: "
        f"{from_here(result.model_dir)}",
        flush=True,
    )
    return result


def open_data(parameters: Mapping[str, Any]) -> tuple[CaptionDataset, CaptionDataset, CaptionDataset]:
    """Images to train on, without and with paraphrases, and those to validate on, with the captions asked for."""
    captions_file = parameters["CAPTIONS_FILE"]
    splits = open_splits(parameters, "train", "val")
    if captions_file == "categories":
        splits = [caption_by_category(split) for split in splits]
    if not all(any(item.captions_with_words for item in split) for split in splits):
        raise LeftOut("There are no captions in train and val; --set CAPTIONS_FILE=categories makes some.")
    raw_set, validation_set = (split.captioned() for split in splits)
    if captions_file in ("", "categories"):
        return raw_set, raw_set, validation_set
    file = output_file(parameters["OUTPUT_DIR"], captions_file)
    translated = load_or_backtranslate(raw_set, file, parameters["TO_ROMANCE"], parameters["TO_ENGLISH"])
    return raw_set, translated, validation_set


def work(job: Mapping[str, Any]) -> int:
    """What one of several processes does; how it ended, its exit status and its last sentence tell `launch`."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    shown, shown_errors = _write_to(Path(job["log"]))
    faulthandler.enable()  # whoever is ended by SIGABRT writes there what each of its threads was doing
    code, sentence = SAID, ""
    try:
        processes.join(job["address"], job["count"], job["number"])
        if processes.is_first():
            sys.stdout, sys.stderr = shown, shown_errors
        finetune(job["parameters"])
        jax.distributed.shutdown()
        code = 0
    except processes.LeadError:
        code = FOLLOWED
    except TrainingStopped as stop:
        code, sentence = INTERRUPTED, str(stop)
    except Exception as error:
        os.write(2, traceback.format_exc().encode())
        if "Gloo" in str(error):  # the connection to another process, which JAX may call a ValueError
            code = CUT_OFF
        elif isinstance(error, IN_A_SENTENCE):
            sentence = str(error)
        else:
            code = 1
    if sentence:
        Path(job["said"]).write_text(sentence, encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Nothing waits for the others any more, as JAX would at an ordinary end.
    os._exit(code)


def _end_with_parent() -> None:
    """The standard input of a worker ends with the process that started it."""
    sys.stdin.buffer.read()
    os._exit(1)


def _write_to(log: Path) -> tuple[TextIO, TextIO]:
    """Sends all that is written into a file, and returns standard output and errors as they were.

    JAX's own reports of a process that is gone, in C++, are pages long.
    """
    shown = [os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)
    return shown[0], shown[1]


if __name__ == "__main__":
    sys.exit(main())
