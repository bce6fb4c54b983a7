"""Vectors of a collection in Parquet files, which any number of processes may write and any program can read.

    embeddings.json            the note: version, model, reading, tiling, and which shards belong together
    3f9ac2d1e0b1a2c4.parquet   a shard: the rows of some images, or of one scene's tiles, or of some of these

A row is an image or a tile, or what cannot be read, with the reason:

    id         string, 32 hexadecimal digits of the file and the box: the same wherever the folders are moved
    file       string, the path from the source on
    box        struct of left, top, width, height, int32 in pixels; null for a whole image
    footprint  string, the outline on the Earth as GeoJSON has it (WGS 84); null where nobody knows it
    vector     fixed-size list of float32, of unit length; null where there is an error
    error      string, why there is no vector; else null

A shard is called by a digest of all that its rows follow from: which files, their sizes and times of change, the model,
how they are read and cut. So it is known by its name whether it is there, and it appears whole or not at all. The note
names the shards once all are there, and then those that it no longer names go.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import CaptionDataset, CaptionedImage, ImageReading
from utils.files import move, printable, read_json, write_whole
from utils.finder.place import NO_PLACE, Place
from utils.search.catalog import Mark, Skipped, found_path, read_mark, stored_path
from utils.search.engines import SearchError, choose_engine, make_engine
from utils.search.storage import Contents
from utils.search.tiles import SceneTile, Tiling, place_as_json, place_of_json
from utils.search.widths import choose_widths

if TYPE_CHECKING:
    import pyarrow

NOTE, KIND, VERSION = "embeddings.json", "embeddings of the CLIP course in shards", 1
_FACTS = b"clip-earth-course"  # what a file says of itself, in the metadata of its schema
_OURS = re.compile(r"[0-9a-f]{16}\.parquet|\.[0-9a-f]{16}-[0-9a-f]{32}\.partial")


@dataclass(frozen=True)
class Settings:
    """What all vectors of a folder have in common."""

    model: str  # a fingerprint
    dim: int
    reading: dict[str, Any]  # of images of more than 8 bits, as `ImageReading.describe` says it
    tiling: Tiling | None  # how scenes are cut; None for whole images
    shard_size: int  # about so many images, or tiles, are in a shard


@dataclass(frozen=True)
class Shard:
    """A part of the work that is done in one go."""

    name: str  # 16 hexadecimal digits
    files: tuple[tuple[str, Mark], ...]  # paths from the source on, with the marks of the files when it was planned
    count: int  # of images, or of tiles at most
    part: tuple[int, int | None] = (0, None)  # of a scene's tiles, counted before those without data are left out

    @classmethod
    def of(
        cls, settings: Settings, files: Iterable[tuple[str, Mark]], count: int, part: tuple[int, int | None] = (0, None)
    ) -> Shard:
        """Names a shard after all that its rows follow from."""
        files = tuple(files)
        said = json.dumps([asdict(settings), files, part])
        return cls(hashlib.sha256(said.encode()).hexdigest()[:16], files, count, part)

    def path(self, folder: Path) -> Path:
        """Where it is, or will be."""
        return folder / f"{self.name}.parquet"

    def as_json(self) -> str:
        """For another process."""
        return json.dumps([self.name, self.files, self.count, self.part])

    @classmethod
    def of_json(cls, text: str) -> Shard:
        """What `as_json` gave."""
        name, files, count, (start, stop) = json.loads(text)
        return cls(name, tuple((file, read_mark(mark)) for file, mark in files), count, (start, stop))


Embedded = Sequence[tuple[CaptionedImage, Mark, "np.ndarray | str"]]  # vectors (dim,), or reasons


# --- dividing ---------------------------------------------------------------------------------------------------


def shards_of_images(settings: Settings, files: Sequence[tuple[str, Mark]]) -> list[Shard]:
    """Divides images, which are in order, into shards.

    A shard ends, once it is half full, behind a name whose digest says so. So a file that comes or goes changes the
    shard that it is in, and seldom the next one, where counting would move the files of all that follow.
    """
    half, shards, start = max(1, settings.shard_size // 2), [], 0
    for end, (name, _) in enumerate(files, start=1):
        count = end - start
        ends = int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()) % half == 0
        if end == len(files) or count >= 4 * half or (count >= half and ends):
            shards.append(Shard.of(settings, files[start:end], count))
            start = end
    return shards


def shards_of_scene(settings: Settings, file: tuple[str, Mark], tiles: int) -> list[Shard]:
    """Divides a scene, of so many tiles, into one shard or several."""
    size = settings.shard_size
    starts = range(0, max(1, tiles), size)
    last = starts[-1]
    return [
        Shard.of(settings, [file], min(size, tiles - start), (start, None if start == last else start + size))
        for start in starts
    ]


# --- writing ----------------------------------------------------------------------------------------------------


def write_shard(folder: Path, shard: Shard, source: Path, dim: int, embedded: Embedded) -> None:
    """Writes the rows of a shard, whole or not at all; others may write the same one at the same time."""
    import pyarrow
    from pyarrow import parquet

    items = [item for item, *_ in embedded]
    tiles = [item if isinstance(item, SceneTile) else None for item in items]
    outlines = [tile and tile.footprint for tile in tiles]
    names = [item.path.relative_to(source).as_posix() for item in items]
    rows = {
        "id": [_identity(name, tile.window if tile else shard.part) for name, tile in zip(names, tiles, strict=True)],
        "file": list(map(printable, names)),
        "box": [tile and dict(zip(_BOX, tile.window, strict=True)) for tile in tiles],
        "footprint": [None if outline is None else json.dumps(outline) for outline in outlines],
        "vector": [None if isinstance(result, str) else result for *_, result in embedded],
        "error": [printable(result) if isinstance(result, str) else None for *_, result in embedded],
    }
    place = next((place_as_json(tile.place) for tile in tiles if tile), None)
    facts = {"kind": KIND, "version": VERSION, "files": shard.files, "part": shard.part, "place": place}
    schema = shard_schema(dim).with_metadata({_FACTS: json.dumps(facts).encode()})
    draft = folder / f".{shard.name}-{uuid.uuid4().hex}.partial"
    try:
        parquet.write_table(
            pyarrow.table(rows, schema), draft, compression="zstd", use_dictionary=["file"], write_page_checksum=True
        )
        move(draft, shard.path(folder))
    finally:
        draft.unlink(missing_ok=True)


_BOX = ("left", "top", "width", "height")


def shard_schema(dim: int) -> pyarrow.Schema:
    """The columns of a shard whose vectors have so many numbers."""
    import pyarrow

    box = pyarrow.struct([pyarrow.field(name, pyarrow.int32(), nullable=False) for name in _BOX])
    return pyarrow.schema(
        [
            pyarrow.field("id", pyarrow.string(), nullable=False),
            pyarrow.field("file", pyarrow.string(), nullable=False),
            ("box", box),
            ("footprint", pyarrow.string()),
            ("vector", pyarrow.list_(pyarrow.float32(), dim)),
            ("error", pyarrow.string()),
        ]
    )


def _identity(name: str, part: Sequence[int | None]) -> str:
    return hashlib.sha256(json.dumps([name, part]).encode()).hexdigest()[:32]


def write_note(folder: Path, settings: Settings, source: Path, shards: Sequence[Shard] | None = None) -> None:
    """Writes what a folder of shards is; with the shards, that they are all there. What it no longer names goes."""
    finished = [] if shards is None else [shard.name for shard in shards]
    note = {"kind": KIND, "version": VERSION, "source": stored_path(source, folder), **asdict(settings)}
    write_whole(folder / NOTE, json.dumps({**note, "shards": finished}, indent=1) + "\n")
    if shards is None:
        return
    for path in list(folder.iterdir()):
        if _OURS.fullmatch(path.name) and path.stem not in finished:
            with suppress(FileNotFoundError):
                path.unlink()


# --- reading ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Note:
    """What `write_note` has noted."""

    settings: Settings
    source: Path
    shards: tuple[str, ...]  # the names of those that belong together; none while the first run is unfinished


def has_shards(folder: Path) -> bool:
    """Whether a folder holds shards, finished or not."""
    return read_json(folder / NOTE).get("kind") == KIND


def read_note(folder: Path) -> Note:
    """Reads the note of a folder of shards; a `SearchError` says that there is none, or it is of a later course."""
    note = read_json(folder / NOTE)
    if note.get("kind") != KIND:
        raise SearchError(f"{folder} holds no shards of vectors; make some with make embed SOURCE=images TO={folder}.")
    if note["version"] != VERSION:
        raise SearchError(f"{folder} holds shards of version {note['version']}, of a later course; take that one.")
    try:
        tiling = note["tiling"] and Tiling(tuple(note["tiling"]["tile_sizes"]), note["tiling"]["overlap"])
        settings = Settings(note["model"], note["dim"], note["reading"], tiling, note["shard_size"])
        return Note(settings, found_path(note["source"], folder), tuple(note["shards"]))
    except (KeyError, TypeError) as error:
        raise SearchError(
            f"{folder / NOTE} is damaged ({error!r}); copy it again, or delete it and embed again."
        ) from None


def is_finished(folder: Path, shard: Shard) -> bool:
    """Whether a shard is there, with its end, where Parquet says what is in it."""
    return _footer(folder, shard) is not None


def rows_in(folder: Path, shard: Shard) -> tuple[int, int]:
    """How many rows a shard has, and how many of them are errors; none if it is not there."""
    footer = _footer(folder, shard)
    if footer is None:
        return 0, 0
    errors = footer.schema.names.index("error")
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return footer.num_rows, sum(group.num_rows - group.column(errors).statistics.null_count for group in groups)


def first_error(folder: Path, shards: Iterable[Shard]) -> str:
    """The first reason that stands in place of a vector, which names its file; empty if there is none."""
    from pyarrow import parquet

    for shard in shards:
        if rows_in(folder, shard)[1]:
            reasons = parquet.read_table(shard.path(folder), columns=["error"])["error"]
            return str(reasons.drop_null()[0])
    return ""


def _footer(folder: Path, shard: Shard) -> Any:
    from pyarrow import ArrowException, parquet

    try:
        footer = parquet.read_metadata(shard.path(folder))
    except (OSError, ArrowException):
        return None
    return footer if _FACTS in (footer.metadata or {}) else None


def read_shards(folder: str | Path) -> Iterator[pyarrow.RecordBatch]:
    """Reads a finished folder of shards, one after the other, in the order of the files that were embedded.

    Yields a record batch a shard, with the columns of `shard_schema`: about a thousand rows, so memory is bounded
    whatever the collection's size. Rows whose ``error`` is not null have no ``vector``: leave them out of an index. No
    ``id`` comes twice. The number of numbers of a vector and the fingerprint of the model are those of
    ``read_note(folder).settings``. The schema's metadata have the scene's place on the Earth, see `facts_of`.

    A `SearchError` says, before the first batch, that the folder has no shards, is not finished, or lacks one; and
    when its turn comes, that a shard is damaged.
    """
    folder = Path(folder)
    note = read_note(folder)
    if not note.shards:
        raise SearchError(f"{folder} is not finished; start the same make embed again, which resumes.")
    paths = [folder / f"{name}.parquet" for name in note.shards]
    if missing := [path for path in paths if not path.is_file()]:
        raise SearchError(
            f"{len(missing):,} of {len(paths):,} shards are not in {folder}, {missing[0].name} the first; copy it "
            "again, or start the same make embed again."
        )
    return (_read_shard(path, note.settings.dim) for path in paths)


def _read_shard(path: Path, dim: int) -> pyarrow.RecordBatch:
    from pyarrow import ArrowException, RecordBatch, parquet

    try:
        table = parquet.read_table(path, page_checksum_verification=True)
        if not table.schema.equals(shard_schema(dim)) or _FACTS not in (table.schema.metadata or {}):
            raise ValueError("its columns are others")
        table = table.combine_chunks()
        batches = table.to_batches()
        return batches[0] if batches else RecordBatch.from_pylist([], table.schema)
    except (OSError, ValueError, ArrowException) as error:
        said = " ".join(str(error).split())
        raise SearchError(
            f"{path} is damaged ({said}); delete it and start the same make embed again, or copy it again."
        ) from None


@dataclass(frozen=True)
class Facts:
    """What a shard says of itself beside its rows."""

    files: tuple[tuple[str, Mark], ...]  # as those of `Shard`: exact, where the column is made printable
    place: Place  # of the scene; of no meaning for whole images


def facts_of(batch: pyarrow.RecordBatch) -> Facts:
    """The files of a shard that `read_shards` gave, and the place of its scene."""
    stored = json.loads(batch.schema.metadata[_FACTS])
    place = NO_PLACE if stored["place"] is None else place_of_json(stored["place"])
    return Facts(tuple((name, read_mark(mark)) for name, mark in stored["files"]), place)


# --- searching --------------------------------------------------------------------------------------------------


def contents_of_shards(folder: Path, model: str, engine: str) -> Contents:
    """What an index of shards holds, see `utils.search.ImageIndex.from_shards`; ``model`` is a fingerprint or empty."""
    note = read_note(folder)
    if model and model != note.settings.model:
        raise SearchError(
            f"{folder} holds vectors of another model (fingerprint {note.settings.model}, not {model}); load that "
            "model, or embed with this one into another folder."
        )
    members: list[CaptionedImage] = []
    marks: list[Mark] = []
    vectors: list[np.ndarray] = []
    skipped: dict[Path, Skipped] = {}  # a scene that cannot be read may say so in each of its shards
    for batch in read_shards(folder):
        for item, mark, reason in members_in(batch, note):
            if reason is None:
                members.append(item)
                marks.append(mark)
            else:
                skipped.setdefault(item.path, Skipped(item.path, reason, mark))
        column = batch.column("vector").drop_null()
        vectors.append(column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), note.settings.dim))
    if not members:
        raise SearchError(f"{folder} has no vector in any row, since nothing could be read; see the column error.")
    embeddings = np.concatenate(vectors)
    searched_by = make_engine(choose_engine(engine, len(embeddings)), embeddings)
    there = {path for path in {item.path for item in members} if path.is_file()}
    return Contents(
        dataset=CaptionDataset(members, printable(note.source.name)),
        embeddings=embeddings,
        engine=searched_by,
        recall=choose_widths(searched_by, embeddings),
        skipped=tuple(skipped.values()),
        missing=tuple(item.path for item in members if item.path not in there),
        marks=tuple(marks),
        tiling=note.settings.tiling,
        made_by=note.settings.model,
    )


def members_in(batch: pyarrow.RecordBatch, note: Note) -> Iterator[tuple[CaptionedImage, Mark, str | None]]:
    """The image or tile of each row, the mark of its file, and why it has no vector."""
    facts, reading = facts_of(batch), ImageReading(**note.settings.reading)
    of_scene = note.settings.tiling is not None
    files = itertools.repeat(facts.files[0]) if of_scene else facts.files
    boxes, reasons = (batch.column(name).to_pylist() for name in ("box", "error"))
    for (name, mark), box, reason in zip(files, boxes, reasons, strict=not of_scene):
        path = note.source / name
        known = (path, (), None, None, printable(path.name if of_scene else note.source.name), reading)
        if box is None:
            yield CaptionedImage(*known), mark, reason
        else:
            yield SceneTile(*known, window=tuple(box[side] for side in _BOX), place=facts.place), mark, reason
