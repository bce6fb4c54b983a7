"""The command line of the sweep: ``python -m utils.course.sweep --rows baseline bs128x8-lr5e-6-adam --seeds 0 1 2``.

``--grid mine.yaml`` runs your own rows in place of the published ones, see `utils.course.sweep.rows`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from utils.course import CourseError, check_values, find_root
from utils.course.__main__ import add_shared_arguments
from utils.course.parameters import parse_overrides
from utils.course.places import from_here
from utils.course.sweep.rows import check_rows, load_rows, load_scale
from utils.course.sweep.runs import run_sweep
from utils.course.sweep.table import as_markdown, make_table, write_table
from utils.files import disk_trouble_in_words, sole_owner

INTERRUPTED = 130  # the exit status of what Ctrl-C ends


def main(argv: list[str] | None = None) -> int:
    """Runs the sweep; the exit status is 0 if every run worked, 1 if one failed, 2 if nothing could begin."""
    parser = argparse.ArgumentParser(
        prog="python -m utils.course.sweep", description="Runs the published runs again, or your own rows, over seeds."
    )
    add_shared_arguments(parser, "miniature or rsicd; with a grid any, or your own .yaml")
    parser.add_argument("--grid", type=Path, help="a .yaml of your own rows: their names, and settings of each")
    parser.add_argument("--rows", nargs="*", default=[], help="names of some of the rows; none runs all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one run of each row for each")
    arguments = parser.parse_args(argv)
    start = time.perf_counter()
    seeds = list(dict.fromkeys(arguments.seeds))
    try:
        for seed in seeds:
            check_values({"SEED": seed})
        overrides = parse_overrides(arguments.set, arguments.data_dir, arguments.model)
        scale = load_scale(find_root(), arguments.profile, overrides, arguments.grid)
        rows, folder = load_rows(scale, arguments.rows), scale.folder
        check_rows(scale, rows)
        print(f"{len(rows)} rows, seeds {' '.join(map(str, seeds))}, profile {scale.profile}.", flush=True)
        with disk_trouble_in_words(folder), sole_owner(folder, "running the sweep"):
            runs = run_sweep(scale, rows, seeds, lambda runs: write_table(make_table(scale, rows, runs), runs, folder))
    except (CourseError, OSError) as error:
        print(f"make sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. What has finished is kept; the same command resumes it.", file=sys.stderr)
        return INTERRUPTED
    print("\n" + as_markdown(make_table(scale, rows, runs)))
    where = from_here(folder)
    print(f"{time.perf_counter() - start:.0f} s. table.md, table.json and every run: {where}")
    return int(any(run.status == "failed" for row in runs.values() for run in row))


if __name__ == "__main__":
    sys.exit(main())
