"""Executes the committed notebooks in place with their own defaults: ``make notebooks``."""

from __future__ import annotations

import time

import nbformat
from nbclient import NotebookClient

from utils.course import course_notebooks, find_root
from utils.course.execution import drop_widgets
from utils.course.kernels import KERNEL_ARGUMENTS
from utils.files import write_whole


def main() -> None:
    """Executes one after another; a cell that fails ends it with its error, and that notebook keeps its outputs."""
    nbs = find_root() / "nbs"
    for path in [*course_notebooks(nbs.parent), nbs / "template.ipynb", *sorted((nbs / "solutions").glob("*.ipynb"))]:
        start = time.perf_counter()
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        NotebookClient(
            notebook,
            kernel_name="python3",
            resources=resources,
            record_timing=False,
            coalesce_streams=True,  # a busy machine sends what a cell prints in several parts
            extra_arguments=KERNEL_ARGUMENTS,
        ).execute()
        drop_widgets(notebook)
        notebook.metadata.language_info = {"name": "python"}  # its version would change with every machine
        write_whole(path, nbformat.writes(notebook) + "\n")
        print(f"{path.stem:<28} {time.perf_counter() - start:6.0f} s", flush=True)


if __name__ == "__main__":
    main()
