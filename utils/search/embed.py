"""``make embed``: the images of a folder, or the tiles of its scenes, embedded into shards, on one machine or many.

    python -m utils.search.embed images --to vectors                                  # one process
    python -m utils.search.embed rasters --to vectors --scenes --address auto         # all machines of a Ray cluster

`utils.search.shards` says what is written. What is there is not done again: a run that was stopped, or whose files have
changed, does the shards that are missing. Whichever way it runs, the vectors are the same.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from utils import jax_trouble
from utils.datasets import AS_STORED, CaptionDataset, CaptionedImage, ImageReading
from utils.datasets.files import IMAGE_ENDINGS, find_images
from utils.files import disk_trouble_in_words, file_in_the_way, from_home, printable, sole_owner
from utils.finder.reading import stored_size
from utils.finder.tiles import OVERLAP
from utils.progress import progress_bar
from utils.search.collection import Collection, all_boxes
from utils.search.embedder import Job, ModelFacts, ThisProcess, Workers
from utils.search.engines import SearchError
from utils.search.shards import (
    NOTE,
    Settings,
    Shard,
    first_error,
    has_shards,
    is_finished,
    read_note,
    rows_in,
    shards_of_images,
    shards_of_scene,
    write_note,
)
from utils.search.tiles import Tiling

EARTH_MODEL = Path("data/checkpoints/clip-earth-small")  # the small CLIP of the course that knows real aerial images
SHARD_SIZE = 1024  # images or tiles
BATCH_SIZE = 64
INTERRUPTED = 130  # the exit status of what Ctrl-C ends


@dataclass(frozen=True)
class Wanted:
    """What is to be embedded, and how."""

    source: Path  # a folder of images or scenes, at any depth
    model: str  # what `CLIP.from_pretrained` takes
    scenes: bool = False  # whether the files are scenes, to be cut into tiles
    tile_sizes: tuple[int, ...] = ()  # in pixels; none for the model's input
    overlap: float = OVERLAP
    reading: ImageReading = AS_STORED
    batch_size: int = BATCH_SIZE
    shard_size: int = SHARD_SIZE


def embed_folder(wanted: Wanted, folder: Path, address: str = "", progress: bool = True) -> str:
    """Embeds what is wanted into the shards of a folder, and says in a line what is there.

    With an address, see `utils.search.ray_data`, the machines of a cluster embed. An error of one sentence, a
    `SearchError`, an OSError, a ValueError or an ImportError, says what is in the way; what was written before stays.
    """
    if min(wanted.batch_size, wanted.shard_size) < 1:
        raise SearchError(
            f"Batches of {wanted.batch_size} in shards of {wanted.shard_size} hold nothing; give at least 1."
        )
    named = printable(folder)
    source, folder = Path(os.path.abspath(wanted.source)), Path(os.path.abspath(folder))  # noqa: PTH100
    (paths, left_out), model = _files_in(source), from_home(wanted.model)
    _check_folder(folder, source)
    if model.exists():
        wanted = replace(wanted, model=str(model.resolve()))
    with disk_trouble_in_words(folder), sole_owner(folder, "embedding"), _workers(address) as workers:
        collection, settings = settled(wanted, paths, folder, workers.facts(wanted.model))
        shards = planned(collection, source, settings)
        if not has_shards(folder):
            write_note(folder, settings, source)
        todo = [shard for shard in shards if not is_finished(folder, shard)]
        job = Job(source, folder, wanted.model, settings, wanted.batch_size)
        total, kind = sum(shard.count for shard in todo), "image" if settings.tiling is None else "tile"
        if progress and len(todo) < len(shards):
            said = f"{len(shards) - len(todo):,} of {len(shards):,} shards are there already."
            print(said, file=workers.stream, flush=True)
        options = {"desc": "Embedding", "unit": kind, "disable": not progress, "file": workers.stream}
        for said in left_out if progress else []:
            print(f"{said}.", file=workers.stream, flush=True)
        if todo:
            with progress_bar(total=total, **options) as bar:
                workers.embed(job, todo, bar)
        write_note(folder, settings, source, shards)
    rows, errors = map(sum, zip(*(rows_in(folder, shard) for shard in shards), strict=True))
    unread = ""
    if errors:
        have = "row has" if errors == 1 else "rows have"
        unread = f"; {errors:,} {have} an error in place of a vector: {first_error(folder, shards).rstrip('.')}"
    return f"{named}: {rows:,} rows in {len(shards):,} shards, {len(todo):,} of these new{unread}."


def _workers(address: str) -> AbstractContextManager[Workers]:
    if not address:
        if trouble := jax_trouble():
            raise SearchError(trouble)
        return nullcontext(ThisProcess())
    from utils.search.ray_data import cluster

    return cluster(address)


def _files_in(source: Path) -> tuple[list[Path], list[str]]:
    """The images, or scenes, of a folder at any depth, sorted by path, and what is to be said of others."""
    if not source.is_dir():
        raise SearchError(f"There is no folder {printable(source)}; name one with images or scenes.")
    paths, left_out = find_images(source)
    if not paths:
        said = f"There is no image in {printable(source)}; looked for {', '.join(IMAGE_ENDINGS)}"
        raise SearchError(f"{'; '.join([said, *left_out])}.")
    return paths, left_out


def _check_folder(folder: Path, source: Path) -> None:
    if blocked := file_in_the_way(folder):
        raise SearchError(f"{blocked} is a file, and shards need a folder; name another place.")
    if (folder / NOTE).exists():
        before = read_note(folder).source
        if before != source and before.is_dir():  # else it has been moved
            raise SearchError(f"{printable(folder)} holds vectors of {printable(before)}; name another folder.")


def settled(wanted: Wanted, paths: Sequence[Path], folder: Path, model: ModelFacts) -> tuple[Collection, Settings]:
    """The files with the reading and tiling that they have in a folder; a `SearchError` if what is there differs."""
    before = read_note(folder).settings if (folder / NOTE).exists() else None
    recorded = None
    if before is not None and wanted.reading == AS_STORED:
        recorded = ImageReading(**before.reading)  # so that a further file changes none of the others
    tiling = None
    if wanted.scenes:
        tiling = Tiling(tuple(wanted.tile_sizes or [model.image_size]), wanted.overlap)
        collection = Collection.of_scenes(paths, wanted.reading, tiling, recorded)
    else:
        images = CaptionDataset([CaptionedImage(path, (), None, None, "") for path in paths])
        how = (recorded or wanted.reading).describe()
        collection = Collection.of_images(images.with_reading(**how, measured=recorded is None))
    reading = collection.dataset.readings[0]
    settings = Settings(model.fingerprint, model.dim, reading.describe(), tiling, wanted.shard_size)
    if before is not None and before != settings:
        raise SearchError(f"{printable(folder)} holds vectors {_difference(before, settings)}; name another folder.")
    return collection, settings


def _difference(before: Settings, now: Settings) -> str:
    if before.model != now.model:
        return f"of another model (fingerprint {before.model}, not {now.model})"
    if before.tiling != now.tiling:
        cuts = [
            f"tiles of {', '.join(map(str, one.tiling.tile_sizes))} pixels, overlap {one.tiling.overlap:g}"
            if one.tiling
            else "whole images"
            for one in (before, now)
        ]
        return f"of another tiling ({cuts[0]}, not {cuts[1]})"
    if before.reading != now.reading:
        return f"of images read otherwise ({ImageReading(**before.reading)}, not {ImageReading(**now.reading)})"
    return f"in shards of {before.shard_size:,}, not {now.shard_size:,}"


def planned(collection: Collection, top: Path, settings: Settings) -> list[Shard]:
    """Divides a collection into shards, the same for the same files and settings."""
    files = [(item.path.relative_to(top).as_posix(), mark) for item, mark in collection.files]
    if settings.tiling is None:
        return shards_of_images(settings, files)
    shards = []
    for (name, mark), scene in zip(files, collection.dataset, strict=True):
        size = stored_size(scene.path)
        try:
            tiles = 1 if size is None else len(all_boxes(size, settings.tiling, scene.name))
        except ValueError:  # it cannot be cut, which its only row will say
            tiles = 1
        shards += shards_of_scene(settings, (name, mark), tiles)
    return shards


def main(argv: list[str] | None = None) -> int:
    """Embeds from the command line; the exit status is 2 if it cannot, and 130 if Ctrl-C has stopped it."""
    arguments = _arguments(argv)
    try:
        if not (arguments.source and arguments.to):
            raise SearchError("Name images and a folder for their vectors, as in make embed SOURCE=images TO=vectors.")
        wanted = Wanted(
            from_home(arguments.source),
            arguments.model or str(_default_model()),
            arguments.scenes or bool(arguments.tile_sizes),
            tuple(arguments.tile_sizes),
            arguments.overlap,
            ImageReading(list(arguments.stretch), arguments.bands),
            arguments.batch_size,
            arguments.shard_size,
        )
        print(embed_folder(wanted, from_home(arguments.to), arguments.address))
    except KeyboardInterrupt:
        print("\nmake embed: stopped; whole shards are kept, and the same command resumes.", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, OSError, ValueError) as error:
        print(f"make embed: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m utils.search.embed", description="Embeds images, or tiles of scenes, into Parquet shards."
    )
    add = parser.add_argument
    add("source", help="a folder of images or scenes, at any depth")
    add("--to", default="", metavar="FOLDER", help="where the shards are written")
    add("--model", default="", help=f"a folder, a file, or a name on the Hugging Face Hub ({EARTH_MODEL})")
    add("--scenes", action="store_true", help="the files are scenes, to be cut into tiles of the model's input")
    add("--tile-sizes", type=int, nargs="+", default=[], metavar="PIXELS", help="they are cut into tiles of these")
    add("--overlap", type=float, default=OVERLAP, help="the share of a tile that the next one sees too")
    add("--stretch", type=float, nargs=2, default=(), metavar=("LOW", "HIGH"), help="what becomes black and white")
    add("--bands", type=int, nargs="+", default=None, help="red, green and blue, counted from 1")
    add("--batch-size", type=int, default=BATCH_SIZE, help="images encoded at once")
    add("--shard-size", type=int, default=SHARD_SIZE, help="about so many images or tiles are written at once")
    add("--address", default="", help="of a Ray cluster: auto, HOST:PORT, or local to start one here")
    return parser.parse_args(argv)


def _default_model() -> Path:
    path = Path(__file__).resolve().parents[2] / EARTH_MODEL
    if not path.is_dir():
        raise SearchError(f"{EARTH_MODEL} is not in this checkout; name a model with --model.")
    return path


if __name__ == "__main__":
    sys.exit(main())
