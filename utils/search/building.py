"""How an index comes to be: built, taken over from a folder as it is or in part, read and written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from utils.datasets import CaptionDataset
from utils.datasets.images.reading import AS_STORED
from utils.search.collection import Collection, Embedded, Known, Skipped, known_from_pieces
from utils.search.engines import ExactEngine, choose_engine, make_engine, widen
from utils.search.errors import SearchError
from utils.search.index import ImageIndex
from utils.search.members import found_path, read_mark, stored_path
from utils.search.pieces import PIECES, claim_pieces, drop_pieces, has_pieces
from utils.search.storage import check_free, holds, leftovers, owned, read_index, remove_leftovers, write_index
from utils.search.tiles import SceneTile, Tiling, address

if TYPE_CHECKING:
    from utils.clip import CLIP

Embed = Callable[[Known, Path | None], Embedded]


def build_index(model: CLIP, collection: Collection, folder: Path | None, engine: str, embed: Embed) -> ImageIndex:
    """The index of a collection, kept in a folder or in none; see `ImageIndex.build`.

    Args:
        model: The CLIP model.
        collection: The pictures.
        folder: Where to keep it, or None.
        engine: One of `ENGINES`.
        embed: Embeds the collection, given what is known already and a folder for pieces, or none.
    """
    if folder is None:
        return _searchable(_indexed(model, collection, embed({}, None)), engine)
    from utils.clip import fingerprint

    check_free(folder)
    mark = fingerprint(model)
    if holds(folder, mark, collection.digest):
        index, is_saved = _taken_over(_saved_before(folder, model, mark), collection, engine)
        if is_saved:  # which needs no lock, and no disk that can be written to
            _tidy(folder)
            return index
    with owned(folder):
        return _build_in(folder, model, mark, collection, engine, embed)


def _build_in(folder: Path, model: CLIP, mark: str, collection: Collection, engine: str, embed: Embed) -> ImageIndex:
    """Builds and writes what a folder, which is ``owned``, does not hold yet."""
    before, pieces = _saved_before(folder, model, mark), folder / PIECES
    index, is_saved = _taken_over(before, collection, engine)
    if index is None:
        claim_pieces(pieces, mark + collection.reading_mark)
        known = known_from_pieces(pieces) | ({} if before is None else _known(before, collection))
        index = _searchable(_indexed(model, collection, embed(known, pieces)), engine)
    if not is_saved:
        write_saved(index, folder)
    drop_pieces(pieces)
    return index


def read_saved(folder: Path, model: CLIP, mark: str) -> ImageIndex:
    """Reads the index of a folder.

    Args:
        folder: The folder.
        model: The model that it was built with.
        mark: That model's `fingerprint`.

    Raises:
        SearchError: If there is none, or it cannot be read, or it is of another model.
    """
    saved = read_index(folder, mark)
    note, items = saved.note, saved.items
    there = {path for path in {item.path for item in items} if path.is_file()}
    tiling = note.get("tiling")
    skipped_marks = note.get("skipped_marks", [None] * len(note["skipped"]))
    return ImageIndex(
        model=model,
        dataset=CaptionDataset(items, note["name"]),
        embeddings=saved.embeddings,
        engine=saved.engine,
        recall=note["recall"],
        skipped=tuple(
            Skipped(found_path(path, folder), reason, read_mark(stored))
            for (path, reason), stored in zip(note["skipped"], skipped_marks, strict=True)
        ),
        pictures=note["pictures"],
        missing=tuple(item.path for item in items if item.path not in there),
        marks=saved.marks,
        tiling=None if tiling is None else Tiling(tuple(tiling["tile_sizes"]), tiling["overlap"]),
    )


def write_saved(index: ImageIndex, folder: Path) -> None:
    """Writes an index into a folder that is ``owned``, in place of one that is there.

    Raises:
        SearchError: If the folder has an ``index.json`` of something else.
        OSError: If the disk takes no more; what was there before is as it was.
    """
    from utils.clip import fingerprint

    facts = {
        "model": fingerprint(index.model),
        "pictures": index.pictures,
        "name": index.dataset.name,
        "recall": index.recall,
        "query_parameters": index.query_parameters,
        "skipped": [[stored_path(one.path, folder), one.reason] for one in index.skipped],
        "skipped_marks": [one.mark for one in index.skipped],
    }
    if index.reading != AS_STORED:
        facts["reading"] = index.reading.describe()
    if index.tiling is not None:
        facts["tiling"] = index.tiling.describe()
    marks = index.marks or (None,) * len(index)
    write_index(folder, index.embeddings, index.dataset, marks, index.engine, facts)


def _indexed(model: CLIP, collection: Collection, embedded: Embedded) -> ImageIndex:
    """An index out of a collection's vectors."""
    return ImageIndex(
        model=model,
        dataset=CaptionDataset(embedded.members, collection.dataset.name),
        embeddings=embedded.embeddings,
        engine=ExactEngine(embedded.embeddings),
        recall=1.0,
        skipped=embedded.skipped,
        pictures=collection.digest,
        marks=embedded.marks,
        tiling=collection.tiling,
    )


def _searchable(index: ImageIndex, engine: str) -> ImageIndex:
    """The same index with an engine, as wide as it needs to be."""
    made = make_engine(choose_engine(engine, len(index)), index.embeddings)
    return replace(index, engine=made, recall=widen(made, index.embeddings))


def _saved_before(folder: Path, model: CLIP, mark: str) -> ImageIndex | None:
    """The index that a folder holds, if it is of the model and whole."""
    try:
        return read_saved(folder, model, mark)
    except SearchError:
        return None


def _taken_over(saved: ImageIndex | None, collection: Collection, engine: str) -> tuple[ImageIndex | None, bool]:
    """A saved index with a collection's captions and another engine, and whether it is just what is saved.

    None and False if there is none, or the pictures are others.
    """
    if saved is None or saved.pictures != collection.digest:
        return None, False
    kept, marks = collection.kept_of(saved)
    if len(kept) != len(saved):
        return None, False
    members = CaptionDataset(kept, collection.dataset.name)
    index = replace(saved, dataset=members, missing=(), marks=marks)
    if saved.engine.name != choose_engine(engine, len(members)):
        return _searchable(index, engine), False
    return index, list(members) == list(saved.dataset)


def _known(saved: ImageIndex, collection: Collection) -> Known:
    """What need not be embedded again: nothing of an index of an earlier version, nor what was read otherwise."""
    readings = {item.path: item.reading for item in collection.dataset}
    marks = saved.marks or (None,) * len(saved)
    known: dict = {}
    for item, mark, row in zip(saved.dataset, marks, saved.embeddings, strict=True):
        if mark and readings.get(item.path) == item.reading:
            known[address(item), mark] = row
            if isinstance(item, SceneTile) and saved.tiling == collection.tiling:
                known.setdefault((item.path, mark), []).append(item)
    if saved.tiling != collection.tiling:  # what cannot be cut so may be cut otherwise
        return known
    return known | {(one.path, one.mark): one.reason for one in saved.skipped if one.mark is not None}


def _tidy(folder: Path) -> None:
    """Removes what a killed process has left beside a finished index, where the disk can be written to."""
    if has_pieces(folder / PIECES) or leftovers(folder):
        with suppress(OSError), owned(folder):  # an OSError also if somebody else is at work there
            remove_leftovers(folder)
            drop_pieces(folder / PIECES)
