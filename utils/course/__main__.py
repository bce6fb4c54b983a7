"""The command line of the course: ``python -m utils.course --profile miniature --set EPOCHS=3``."""

from __future__ import annotations

import argparse
import sys
import time

from utils import jax_trouble
from utils.course.parameters import parse_overrides
from utils.course.places import CourseError, find_root, from_here
from utils.course.results import METRICS
from utils.files import read_json

EXPECTED_TIME = {
    "miniature": "5 to 10 minutes on two cores, without a network.",
    "rsicd_cpu": "15 to 20 minutes on two cores.",
    "rsicd": "for one GPU.",
    "colab_tpu": "for a TPU.",
}
STOPPED = "stopped; what has finished is kept, and the same command resumes it."
INTERRUPTED = 130  # the exit status of what Ctrl-C ends


def add_shared_arguments(parser: argparse.ArgumentParser, profile: str) -> None:
    """Adds what a course and a sweep are both given, with the help for their profile."""
    parser.add_argument("--profile", default="miniature", help=profile)
    parser.add_argument("--data-dir", default="", help="the folder that holds the data sets")
    parser.add_argument("--model", default="", help="a CLIP checkpoint: a folder or a Hub name")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="further parameters")


def main(argv: list[str] | None = None) -> int:
    """Runs the course from the command line; the exit status is 0 if every notebook ran."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.course", description="Runs every notebook with one profile's parameters."
    )
    add_shared_arguments(parser, "a file of nbs/profiles/, without its ending, or the path of your own .yaml file")
    parser.add_argument("--notebook", default="", help="run only notebooks whose name begins so, e.g. 04")
    parser.add_argument("--fresh", action="store_true", help="delete earlier runs of the profile first")
    arguments = parser.parse_args(argv)
    try:
        from utils.course.run import EVALUATION, plan_course, run_course, zero_shot_table  # seconds, so Ctrl-C counts

        root = find_root()
        overrides = parse_overrides(arguments.set, arguments.data_dir, arguments.model)
        start = time.perf_counter()
        plan = plan_course(root, arguments.profile, overrides)
        if trouble := jax_trouble():
            raise CourseError(trouble)
        where = from_here(plan.output_dir)
        expected = EXPECTED_TIME.get(plan.profile, "its time depends on data, model and machine.")
        print(f"Running the course, profile {plan.profile}: {expected} Results go to {where}.", flush=True)
        outcomes = run_course(root, arguments.profile, overrides, arguments.notebook, arguments.fresh)
    except (CourseError, OSError) as error:
        print(f"make course: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmake course: {STOPPED}", file=sys.stderr)
        return INTERRUPTED
    failed = outcomes[-1].status == "failed"
    metrics, evaluation = (read_json(plan.output_dir / name) for name in (METRICS, EVALUATION))
    if not failed and (table := zero_shot_table(metrics, evaluation)):
        print("\n" + table)
    print(f"\n{time.perf_counter() - start:.0f} s. Executed notebooks and pages, summary.md and metrics.json: {where}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
