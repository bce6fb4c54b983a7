"""The command line of the sweep: ``python -m utils.course.sweep --rows baseline bs128x8-lr5e-6-adam --seeds 0 1 2``.

``--grid mine.yaml`` runs your own rows in place of the published ones, see `utils.course.sweep.grid`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from utils.course import CourseError, find_root
from utils.course.__main__ import add_shared_arguments
from utils.course.parameters import parse_overrides
from utils.course.sweep.rows import EVALUATION, check_rows, load_rows, load_scale, run_parameters
from utils.course.sweep.runs import RowRun, first_equal_rows, run_sweep, sweep_folder
from utils.course.sweep.table import Table, as_markdown, make_table, write_table
from utils.files import disk_trouble_in_words, sole_owner

INTERRUPTED = 130  # the exit status of what Ctrl-C ends


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m utils.course.sweep", description="Runs the published runs again, or your own rows, over seeds."
    )
    add_shared_arguments(parser, "miniature or rsicd; with a grid any, or your own .yaml")
    parser.add_argument("--grid", type=Path, help="a .yaml of your own rows: their names, and settings of each")
    parser.add_argument("--rows", nargs="*", default=[], help="names of some of the rows; none runs all")
    parser.add_argument("--seeds", nargs="*", default=["0", "1", "2"], help="one run of each row for each")
    return parser.parse_args(argv)


def _seeds(words: list[str]) -> list[int]:
    if not words or not all(word.isdecimal() for word in words):
        raise CourseError(f'SEEDS is {" ".join(words)!r}; write whole numbers, such as SEEDS="0 1 2".')
    return list(dict.fromkeys(map(int, words)))


def main(argv: list[str] | None = None) -> int:
    """Runs the sweep; the exit status is 0 if every run worked, 1 if one failed, 2 if nothing could begin."""
    arguments = _arguments(argv)
    start = time.perf_counter()
    try:
        root, seeds = find_root(), _seeds(arguments.seeds)
        overrides = parse_overrides(arguments.set, arguments.data_dir, arguments.model)
        scale = load_scale(root, arguments.profile, overrides, arguments.grid)
        rows, first_equal = load_rows(root, arguments.rows, scale.grid), first_equal_rows(root, scale)
        folder = sweep_folder(root, scale)
        check_rows(root, scale, rows, seeds[0], folder)
        evaluation = run_parameters(root, scale, rows[0], seeds[0], folder)[EVALUATION]

        def table_of(runs: dict[str, list[RowRun]]) -> Table:
            return make_table(scale, evaluation, rows, runs, first_equal, folder)

        print(f"{len(rows)} rows, seeds {' '.join(map(str, seeds))}, profile {scale.profile}.", flush=True)
        with disk_trouble_in_words(folder), sole_owner(folder, "running the sweep"):
            runs = run_sweep(root, scale, rows, seeds, lambda runs: write_table(table_of(runs), runs, folder))
    except (CourseError, OSError) as error:
        print(f"make sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What has finished is kept; the same command resumes it.", file=sys.stderr)
        return INTERRUPTED
    print("\n" + as_markdown(table_of(runs)))
    where = os.path.relpath(folder)
    print(f"{time.perf_counter() - start:.0f} s. table.md, table.csv, table.json and every run: {where}")
    return int(any(run.status == "failed" for row in runs.values() for run in row))


if __name__ == "__main__":
    sys.exit(main())
