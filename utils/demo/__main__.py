"""The command line of the page: ``python -m utils.demo``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported

from utils import jax_trouble
from utils.course import CourseError, find_root
from utils.demo import demo_blocks, serve
from utils.demo.decoding import return_freed_memory
from utils.demo.files import temporary_cache
from utils.demo.pictures import EARTH_MODEL, index_pictures

if TYPE_CHECKING:
    from utils.captioning import Captioner
    from utils.finder import PresenceModel
    from utils.search import ImageIndex


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m utils.demo", description=__doc__)
    pictures = "a folder of your own images, made searchable first; --run and --index are not asked then"
    parser.add_argument("--pictures", default="", metavar="FOLDER", help=pictures)
    parser.add_argument("--run", default="runs/miniature", help="what a run of the course has left")
    parser.add_argument("--index", default="", help="a folder from ImageIndex.save (index/ of the run)")
    parser.add_argument("--model", default="", help="the CLIP that made it (finetuned/model/ of the run), or makes it")
    parser.add_argument("--presence", default="", help="from PresenceModel.save (presence.json of the run)")
    parser.add_argument("--captioner", default="", help="what describes images (captioner/model/ of the run)")
    parser.add_argument("--sample", default="", help="what Find feature begins with (scene.jpg of the run)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", type=int, default=7860)
    further = "a further name to answer to, such as a proxy's: name, name:port or *.name; may be repeated"
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=further)
    return parser.parse_args(argv)


def load_index_and_presence(
    run: Path, index: str = "", model: str = "", presence: str = ""
) -> tuple[ImageIndex, PresenceModel | None]:
    """Loads the index with its model, and a presence model where there is one.

    What is not named is what a run of the course has left in its folder; its presence model, or the one beside the
    weights, is taken only if it was calibrated for this model, on images read as those of the index. A `CourseError`
    says in one sentence what is missing or does not fit, and what to do.
    """
    from utils.clip import CLIP
    from utils.search import ImageIndex

    index_folder, model_folder = Path(index) if index else run / "index", _trained_in(run)
    for option, folder in ("--index", index_folder), ("--model", model_folder):
        if not folder.is_dir() and not (model and option == "--model"):  # which may be a name on the Hub
            raise CourseError(
                f"There is no folder {folder}; run notebooks 04 and 06 first, or `make course`, or give {option}; "
                "or search a folder of your own images with PICTURES=folder (--pictures)."
            )
    try:
        clip = CLIP.from_pretrained(model or model_folder)
        images = ImageIndex.load(index_folder, clip)
        return images, load_presence((run, Path(model or model_folder)), images, presence)
    except (OSError, ValueError) as error:
        raise CourseError(str(error)) from error


def load_presence(folders: Iterable[Path], images: ImageIndex, presence: str = "") -> PresenceModel | None:
    """Loads the presence model that is named, or else the first one in these folders that fits an index.

    An OSError or a ValueError says that it is missing or damaged.
    """
    from utils.clip import fingerprint
    from utils.finder import PresenceModel

    if presence:
        return PresenceModel.load(presence)
    # What was asked for must fit; what merely lies there may be another model's, or of images read otherwise.
    for path in (folder / "presence.json" for folder in folders):
        if path.is_file():
            judge = PresenceModel.load(path)
            readings = judge.calibrated_on.get("reading")  # not noted where files are read as they are
            fits = judge.model_fingerprint == fingerprint(images.asking_model)
            if fits and readings in (None, [images.reading.describe()]):
                return judge
    return None


def load_captioner(run: Path, captioner: str = "") -> Captioner | None:
    """Loads the captioner that is named, or the one that notebook 09 has left in a run's folder, if there is one.

    A `CourseError` says in one sentence what is missing or damaged.
    """
    folder = Path(captioner) if captioner else run / "captioner" / "model"
    if not captioner and not folder.is_dir():
        return None
    from utils.captioning import Captioner

    try:
        return Captioner.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise CourseError(str(error)) from error


def _trained_in(run: Path) -> Path:
    """The model of notebook 04, or the newest short one that others have trained in its place."""
    own, short = run / "finetuned" / "model", list(run.glob("finetuned-short*/model"))
    return own if own.is_dir() or not short else max(short, key=lambda folder: folder.stat().st_mtime)


def _start(arguments: argparse.Namespace) -> None:
    start = time.perf_counter()
    if arguments.pictures:
        index, run = index_pictures(find_root(), arguments.pictures, arguments.model)
        weights = Path(arguments.model or find_root() / EARTH_MODEL)
        presence = load_presence((run, weights), index, arguments.presence)
    else:
        run = find_root() / arguments.run
        index, presence = load_index_and_presence(run, arguments.index, arguments.model, arguments.presence)
    captioner = load_captioner(run, arguments.captioner)
    left = run / "scene.jpg"
    blocks = demo_blocks(index, presence, arguments.sample or (left if left.is_file() else None), captioner)
    address = serve(blocks, arguments.host, arguments.port, allow_hosts=arguments.allow_host)
    if presence is None:
        print("No presence model for these images: tiles are ranked, and nothing is said on presence.")
    print(f"{address}  (ready after {time.perf_counter() - start:.0f} s; Ctrl-C ends it)", flush=True)


def main(argv: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C or SIGTERM ends the process; the exit status is 2 if it could not begin."""
    arguments = _arguments(argv)
    return_freed_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        if arguments.pictures and arguments.index:
            raise CourseError("PICTURES makes an index of its own; leave INDEX out, or PICTURES.")
        if trouble := jax_trouble():
            raise CourseError(trouble)
        with temporary_cache() as folder:
            try:  # The main thread only waits: it hears of a signal between two steps, and compiling is a long one.
                started = ThreadPoolExecutor(1).submit(_start, arguments)
                while not started.done():
                    time.sleep(0.05)
                started.result()
                while True:  # Windows hears of Ctrl-C in sleep, and not in a wait without end
                    time.sleep(3600)
            except KeyboardInterrupt:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                if arguments.pictures and not started.done():
                    print("\nmake demo: stopped; what has been embedded is kept for the next time.", file=sys.stderr)
                for _ in range(100):  # again where somebody still wrote into it
                    shutil.rmtree(folder, ignore_errors=True)
                os._exit(0)  # without waiting for threads that compute
    except (CourseError, ImportError, OSError, ValueError) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
