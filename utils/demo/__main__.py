"""The command line of the page: ``python -m utils.demo``."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported

from utils.course import CourseError, find_root
from utils.demo.endings import ending_on_signals
from utils.demo.memory import give_memory_back
from utils.demo.page import demo_blocks
from utils.demo.server import serve, temporary_cache

if TYPE_CHECKING:
    from utils.finder import PresenceModel
    from utils.search import ImageIndex


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m utils.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/miniature", help="what a run of the course has left")
    parser.add_argument("--index", default="", help="a folder from ImageIndex.save (index/ of the run)")
    parser.add_argument("--model", default="", help="the CLIP that made it (finetuned/model/ of the run)")
    parser.add_argument("--presence", default="", help="from PresenceModel.save (presence.json of the run)")
    parser.add_argument("--sample", default="", help="what Find feature begins with (scene.jpg of the run)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page answers to, such as a proxy's: name, name:port or *.name; may be repeated",
    )
    return parser.parse_args(argv)


def load_parts(run: Path, index: str, model: str, presence: str) -> tuple[ImageIndex, PresenceModel | None]:
    """What the page stands on: the index with its model, and a presence model where there is one.

    Args:
        run: The folder of a run of the course.
        index: The index folder; empty for the one that the run has left.
        model: The CLIP folder or Hub name; empty likewise.
        presence: The presence model's file; empty takes the run's if it is there and fits the model and the reading.

    Raises:
        CourseError: One sentence that says what is missing or does not fit, and what to do.
    """
    from utils.clip import CLIP, fingerprint
    from utils.finder import PresenceModel
    from utils.search import ImageIndex

    index_folder = Path(index) if index else run / "index"
    model_folder = model or run / "finetuned" / "model"
    needed = {"--index": index_folder} if model else {"--index": index_folder, "--model": model_folder}
    for option, path in needed.items():
        if not path.is_dir():
            raise CourseError(f"There is no folder {path}; run `make course` first, or name one with {option}.")
    try:
        clip = CLIP.from_pretrained(model_folder)
        pictures = ImageIndex.load(index_folder, clip)
        file = Path(presence) if presence else run / "presence.json"
        judge = PresenceModel.load(file) if presence or file.is_file() else None
        # What was asked for must fit; what merely lies there may be another model's, or of pictures read otherwise.
        if judge and not presence and not _fits(judge, pictures, fingerprint(clip)):
            judge = None
    except (OSError, ValueError) as error:
        raise CourseError(str(error)) from error
    return pictures, judge


def _fits(presence: PresenceModel, index: ImageIndex, mark: str) -> bool:
    """Whether a presence model was calibrated for a model of this mark, on pictures read as visitors' are."""
    readings = presence.calibrated_on.get("reading")  # not noted where files are read as they are
    return presence.model_fingerprint == mark and readings in (None, [index.reading.describe()])


def find_sample(run: Path, sample: str) -> str | Path | None:
    """The picture named, else the one that the run has left, else none."""
    left = run / "scene.jpg"
    return sample or (left if left.is_file() else None)


def main(argv: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C or SIGTERM ends the process; the exit status is 2 if it could not begin."""
    arguments = _arguments(argv)
    give_memory_back()
    start = time.perf_counter()
    try:
        with temporary_cache() as folder, ending_on_signals(folder):
            run = find_root() / arguments.run
            index, presence = load_parts(run, arguments.index, arguments.model, arguments.presence)
            blocks = demo_blocks(index, presence, find_sample(run, arguments.sample))
            address = serve(blocks, arguments.host, arguments.port, allow_hosts=arguments.allow_host)
            if presence is None:
                print("No presence model for these pictures: tiles are ranked, and nothing is said on presence.")
            seconds = time.perf_counter() - start
            print(f"{address}  (ready after {seconds:.0f} s; Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except (CourseError, ImportError, OSError, ValueError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
