"""How an index comes to be: built, or taken over from a folder as it is or in part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from utils.datasets import CaptionDataset
from utils.search.collection import Collection, Known
from utils.search.engines import EXACT_BELOW, choose_engine
from utils.search.errors import SearchError
from utils.search.pieces import PIECES, claim_pieces, drop_pieces, has_pieces, read_pieces
from utils.search.storage import (
    Contents,
    check_free,
    has_leftovers,
    read_index,
    remove_leftovers,
    sole_writer,
    write_index,
)
from utils.search.tiles import SceneTile, address

if TYPE_CHECKING:
    from utils.clip import CLIP


def build_index(
    model: CLIP, collection: Collection, where: str | Path | None, engine: str, batch_size: int, progress: bool
) -> Contents:
    """Builds the index of a collection, kept in a folder or in none; see `utils.search.ImageIndex.build`."""
    from utils.clip import fingerprint

    if not len(collection.dataset):
        raise SearchError(f"There is no {collection.kind} to index in {collection.dataset.name or 'what was given'}.")
    # Refuses what cannot be before hours of embedding.
    choose_engine(engine, len(collection.dataset) if collection.tiling is None else EXACT_BELOW)
    if where is None:
        return collection.embed(model, Known(), None, engine, batch_size, progress)
    folder, pieces, mark = Path(where), Path(where, PIECES), fingerprint(model)
    check_free(folder)
    index = _unchanged(_saved_before(folder, mark), collection, engine)
    if index and not has_pieces(pieces) and not has_leftovers(folder):
        return index  # needs no lock and no writable disk
    with sole_writer(folder):
        before = _saved_before(folder, mark)
        index = _unchanged(before, collection, engine)
        if index is None:
            claim_pieces(pieces, mark + collection.reading_mark)
            known = _known(pieces, before, collection)
            index = collection.embed(model, known, pieces, engine, batch_size, progress)
            write_index(folder, index, mark)
        remove_leftovers(folder)
        drop_pieces(pieces)
        return index


def _saved_before(folder: Path, mark: str) -> Contents | None:
    """The index that a folder holds, if it is of the model with this fingerprint and whole."""
    try:
        return read_index(folder, mark)
    except SearchError:
        return None


def _unchanged(saved: Contents | None, collection: Collection, engine: str) -> Contents | None:
    """The saved index if it is that of the collection, captions and engine included; else None."""
    if saved is None or saved.fingerprint != collection.fingerprint:
        return None
    left_out = {one.path for one in saved.skipped}
    items = [item for item in collection.dataset if item.path not in left_out]
    same = collection.tiling is not None or items == list(saved.dataset)
    if not same or saved.engine.name != choose_engine(engine, len(saved.dataset)):
        return None
    return replace(saved, dataset=CaptionDataset(saved.dataset, collection.dataset.name), missing=())


def _known(pieces: Path, saved: Contents | None, collection: Collection) -> Known:
    """What need not be embedded again: nothing of an index of an earlier version, nor what was read otherwise."""
    known = Known({(path, mark): result for path, mark, result in read_pieces(pieces) if mark})
    if saved is None:
        return known
    readings = {item.path: item.reading for item in collection.dataset}
    for item, mark, row in zip(saved.dataset, saved.marks, saved.embeddings, strict=True):
        if mark and readings.get(item.path) == item.reading:
            known.results[address(item), mark] = row
            if isinstance(item, SceneTile) and saved.tiling == collection.tiling:
                known.tiles.setdefault((item.path, mark), []).append(item)
    if saved.tiling == collection.tiling:  # what cannot be cut so may be cut otherwise
        known.results.update({(one.path, one.mark): one.reason for one in saved.skipped if one.mark is not None})
    return known
