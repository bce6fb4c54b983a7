"""Parquet and Arrow files and `datasets.Dataset` objects: rows with an image, or the name of one, and its captions."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from utils.datasets.captions import Annotation, DatasetError, Listing, splits_in_names
from utils.datasets.formats import (
    CATEGORY_FIELDS,
    FILE_FIELDS,
    SPLIT_FIELDS,
    annotation_of,
    caption_fields,
    captions_in,
    merge_repeated_names,
)
from utils.datasets.unpacking import Draft, image_ending, state_of, unpack_once
from utils.progress import progress_bar

IMAGE_COLUMNS = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "bytes")  # the first if there are several
ROWS_A_BATCH = 64
# Of Windows: where a name ends and another thing begins, and names that are devices, whatever their ending.
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\x01-\x1f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)
LONGEST_STEM = 60  # of a file's name, in letters of up to four bytes: a disk takes 255 bytes
IMAGE = "the image"  # in a row, whatever its column is called
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows that come in batches of Arrow."""

    title: str
    schema: Any  # pyarrow's
    batches: Callable[[list[str]], Iterator[Any]]  # pyarrow's, of some columns
    split: str | None = None
    is_local: bool = False  # made on this machine: paths in it are its own, and need not lie in a data folder

    @property
    def image_columns(self) -> list[str]:
        """The columns with the bytes of images, those of the usual names first."""
        found = [column.name for column in self.schema if _holds_bytes(column.type)]
        return sorted(found, key=lambda name: IMAGE_COLUMNS.index(name) if name in IMAGE_COLUMNS else math.inf)

    def rows(self, image: str | None) -> Iterator[Row]:
        """Goes through what is said of images, with categories by name, and `IMAGE`."""
        names = self.schema.names
        fields = [*caption_fields(tuple(names)), *FILE_FIELDS, *SPLIT_FIELDS, *CATEGORY_FIELDS, "source", "written_by"]
        wanted = [name for name in dict.fromkeys(fields) if name in names and name not in self.image_columns]
        classes = _class_names(self.schema)
        for batch in self.batches(wanted + ([image] if image else [])):
            for row in batch.to_pylist():
                known = {name: row[name] for name in wanted if row[name] is not None and row[name] == row[name]}
                for name in classes.keys() & known.keys():
                    if isinstance(known[name], int):  # Hugging Face's -1 is unknown
                        known[name] = classes[name][known[name]] if 0 <= known[name] < len(classes[name]) else None
                yield {**known, **({IMAGE: row[image]} if image else {})}


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):  # as Hugging Face's Image stores them, with their path
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The names that Hugging Face's features give to the numbers in a column, by column."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: of["names"] for name, of in features.items() if isinstance(of, dict) and "names" in of}
    return {}


def holds_images_or_captions(path: Path) -> bool:
    """Whether a Parquet file, be it broken, has columns for images or their names, and for what is said of them."""
    try:
        table = _table(path, None)
    except DatasetError:
        return True
    return not _what_lacks(table)


# --- where tables come from ---


def read_tables(files: Sequence[tuple[Path, str | None, list[Path]]], title: str) -> list[Listing]:
    """Reads Parquet files, or Arrow's as `save_to_disk` writes them; a `DatasetError` names what one lacks.

    Of each file are given the split that it speaks of, and the folders in which the images may lie that it names.
    """
    paths, splits, folders = zip(*files, strict=True)
    tables = [_table(path, split) for path, split in zip(paths, splits, strict=True)]
    identity = [str(path.resolve()) for path in paths]
    return _read_tables(title, tables, folders, identity, lambda: state_of(paths))


def _table(path: Path, split: str | None) -> Table:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    def batches(columns: list[str]) -> Iterator[Any]:
        with _named_if_broken(path):
            if path.suffix.lower() == ".parquet":
                with ParquetFile(path, pre_buffer=False) as file:  # which would read ahead
                    for batch in file.iter_batches(ROWS_A_BATCH, columns=columns):
                        batch.validate(full=True)  # of UTF-8, too
                        yield batch
            else:
                with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
                    for batch in stream:
                        batch.validate(full=True)  # else what a broken file says of its own lengths is believed
                        for start in range(0, batch.num_rows, ROWS_A_BATCH):
                            yield batch.select(columns).slice(start, ROWS_A_BATCH)

    with _named_if_broken(path):
        if path.suffix.lower() == ".parquet":
            return Table(str(path), pyarrow.parquet.read_schema(path), batches, split)
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            return Table(str(path), stream.schema, batches, split)


@contextmanager
def _named_if_broken(path: Path) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        kind = path.suffix.lower().removeprefix(".").capitalize()
        raise DatasetError(f"{path}: this is not a whole {kind} file; fetch or write it again") from error


def read_hub_object(dataset: Any, folders: list[Path]) -> tuple[list[Listing], str]:
    """Reads a `datasets.Dataset`, or a `DatasetDict` by its splits, and what it is called.

    It is known by all that it holds, so that the same rows are unpacked once.
    """
    parts: Mapping[str, Any] = dataset if isinstance(dataset, Mapping) and dataset else {"": dataset}
    splits = splits_in_names(list(parts))
    tables = []
    for (name, part), split in zip(parts.items(), splits, strict=True):
        if not hasattr(part, "with_format") or not hasattr(part, "__len__") or not getattr(part, "features", None):
            kind = type(part).__name__
            raise DatasetError(
                f"a {kind} is no data set: give a name, a path or a datasets.Dataset that is loaded whole, not with "
                "streaming=True"
            )
        tables.append(_hub_part(part, f"datasets.Dataset {name}".strip(), split))
    info = next(iter(parts.values())).info
    title = str(info.dataset_name or info.builder_name or "dataset")
    identity = ["a datasets.Dataset", title]
    return _read_tables(title, tables, [folders] * len(tables), identity, lambda: _digest_of_rows(tables)), title


def _hub_part(part: Any, title: str, split: str | None) -> Table:
    def batches(columns: list[str]) -> Iterator[Any]:
        return iter(part.select_columns(columns).with_format("arrow").iter(ROWS_A_BATCH))

    return Table(title, part.features.arrow_schema, batches, split, is_local=True)


def _digest_of_rows(tables: Iterable[Table]) -> str:
    digest = hashlib.sha256()
    for table in tables:
        digest.update(repr(table.split).encode())
        for row in table.rows(table.image_columns[0]):
            content, path = _content_and_path(row.pop(IMAGE))
            digest.update(repr((row, path, len(content or b""))).encode("utf-8", "backslashreplace"))
            digest.update(content or b"")
    return digest.hexdigest()


# --- what is made of them ---


def _read_tables(
    title: str,
    tables: Sequence[Table],
    folders: Sequence[list[Path]],
    identity: list[str],
    content: Callable[[], object],
) -> list[Listing]:
    numbered = set()
    for table in tables:
        if lacks := _what_lacks(table):
            raise DatasetError(f"{table.title}: {lacks}; its columns are {', '.join(table.schema.names)}")
        numbered |= _numbers_without_names(table)
    notes = [
        f"{name} holds numbers of classes and not their names, which are no categories" for name in sorted(numbered)
    ]
    if all(table.image_columns and _has_bytes(table) for table in tables):
        listing = unpack_once(title, identity, content(), lambda draft: _unpack(tables, draft))
        return [replace(listing, notes=(*listing.notes, *notes))]
    listings = []
    for table, places in zip(tables, folders, strict=True):
        named = (_named(row, f"{table.title}, row {number}", table) for number, row in _numbered(table))
        listings.append(Listing(merge_repeated_names(named, Path(table.title)), places))
    return [replace(listings[0], notes=tuple(notes)), *listings[1:]]


def _numbers_without_names(table: Table) -> set[str]:
    """The columns of categories that are numbers, where nothing tells what these mean."""
    from pyarrow import types

    columns = [column for column in table.schema if column.name in CATEGORY_FIELDS]
    numbers = {column.name for column in columns if types.is_integer(column.type)}
    return numbers if len(numbers) == len(columns) and numbers.isdisjoint(_class_names(table.schema)) else set()


def _what_lacks(table: Table) -> str:
    names = set(table.schema.names)
    if not table.image_columns and names.isdisjoint(FILE_FIELDS):
        return "no column holds images or their names: call that of names file_name"
    if not caption_fields(tuple(names)) and names.isdisjoint(CATEGORY_FIELDS):
        return "no column holds captions or categories: call that of captions caption"
    return ""


def _numbered(table: Table) -> Iterator[tuple[int, Row]]:
    return enumerate(table.rows(next(iter(table.image_columns), None)), start=1)


def _has_bytes(table: Table) -> bool:
    """Whether the first image is in the table, or is a file of this machine, and not a name to look for."""
    for row in table.rows(table.image_columns[0]):
        content, path = _content_and_path(row[IMAGE])
        if content or path:
            return bool(content) or table.is_local
    return False


def _content_and_path(image: Any) -> tuple[bytes | None, str]:
    content, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, "")
    return content if isinstance(content, bytes) else None, path if isinstance(path, str) else ""


def _named(row: Row, where: str, table: Table) -> Annotation:
    """What a row says of an image that lies elsewhere, under the path that stands in its place."""
    path = _content_and_path(row.pop(IMAGE, None))[1]
    return _annotation(row | ({"filename": path} if path else {}), where, table)


def _annotation(row: Row, where: str, table: Table) -> Annotation:
    for field in FILE_FIELDS:
        if not isinstance(row.get(field, ""), str):
            raise DatasetError(f"{where}: '{field}' must be text, found {str(row[field])[:60]!r}")
    return annotation_of({"split": table.split, **row}, captions_in(row, where), where)


def _unpack(tables: Sequence[Table], draft: Draft) -> None:
    """Writes each image once, under its own name if that is free; rows that repeat one add their captions to it."""
    files: dict[tuple[str, str, bytes], str] = {}
    names: set[str] = set()
    empty = repeated = 0
    for table in tables:
        others = table.image_columns[1:]
        if others:
            draft.notes.append(f"{Path(table.title).name}: {', '.join(others)} hold images too and are not used")
        for number, row in progress_bar(_numbered(table), desc=Path(table.title).name, unit=" images", leave=False):
            content, path = _content_and_path(row.pop(IMAGE))
            if not content and not (path and table.is_local):
                empty += 1
                continue
            row = {"split": table.split, **row}
            named = next((str(row[field]) for field in FILE_FIELDS if row.get(field)), path)
            shown = content or path.encode("utf-8", "backslashreplace")
            key = (repr(row["split"]), named, hashlib.sha256(shown).digest())
            if key not in files:
                files[key] = _free_name(named, number, content or b"", names)
                if content:
                    (draft.folder / files[key]).write_bytes(content)
                else:  # it is on this disk, and need not be there twice
                    _link(draft.folder / files[key], Path(path).absolute())
            else:
                repeated += 1
            row = {name: value for name, value in row.items() if name not in FILE_FIELDS} | {"filename": files[key]}
            draft.annotations.append(_annotation(row, f"{table.title}, row {number}", table))
    draft.annotations[:] = merge_repeated_names(draft.annotations, Path(tables[0].title))
    if empty:
        draft.notes.append(f"{empty:,} rows have no image")
    if repeated:
        draft.notes.append(f"{repeated:,} rows repeat an image: their captions stand together")


def _link(place: Path, file: Path) -> None:
    """Puts a file there as a link, or as a copy where the system or the disk has no links for everybody: Windows."""
    try:
        place.symlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _free_name(named: str, number: int, content: bytes, taken: set[str]) -> str:
    """A plain file name, as far as every system has it the one that the row gives; else by the number of the row."""
    stem = _NOT_IN_NAMES.sub("-", PurePosixPath(named.replace("\\", "/").replace("\0", "")).name)
    ending = image_ending(stem, content)
    stem = (Path(stem).stem if Path(stem).suffix.lower() == ending else stem)[:LONGEST_STEM]
    name = f"{number:07d}{ending}" if not stem.strip(".") or _DEVICES.match(stem) else f"{stem}{ending}"
    while name.lower() in taken:  # some disks do not tell capitals apart
        name = f"{stem or 'row'}-{number}-{len(taken)}{ending}"
    taken.add(name.lower())
    return name
