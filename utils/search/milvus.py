"""An index whose members and vectors live in Milvus: for more than one process can hold, or to be shared by several.

The address is a file, ``images.db``, which milvus-lite opens in this process; or a server's, ``http://...``: a
``milvus-lite server``, or a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils.datasets import AS_STORED, CaptionedImage, ImageReading
from utils.files import printable
from utils.progress import progress_bar
from utils.search.catalog import Hit, last_part, names_at, the_one_called, those_at
from utils.search.engines import SearchError, largest, width_for
from utils.search.filters import NO_PLACES, Only, bounds_of
from utils.search.milvus_store import LONGEST, MilvusStore, Row, batch_rows, expression_of, quoted
from utils.search.searchable import Searchable
from utils.search.shards import Note, members_in, read_note, read_shards
from utils.search.storage import member_of, row_of
from utils.search.tiles import address, hit_of
from utils.search.widths import counts_for, held_out_queries, narrowest_widths, text_like_queries

if TYPE_CHECKING:
    import pyarrow

    from utils.clip import CLIP
    from utils.search.storage import Contents

VERSION = 1
COLLECTION = "images"  # what a collection is called unless another name is given
QUERIES = 100  # of each kind that the width is measured with
MEASURED_AGAIN = 0.1  # the share of members that is new when the width is measured once more

Batch = tuple[Sequence[CaptionedImage], np.ndarray]  # members, and their vectors (members, dim) of unit length


class MilvusIndex(Searchable):
    """A collection of images in Milvus, asked as `utils.search.ImageIndex` is, with the same hits.

    A graph of Milvus is searched (HNSW, as wide as was measured for it). What is asked for exactly, or of what the
    graph finds fewer than there are, is read from Milvus and compared in this process, batch by batch: slow, and right.
    """

    def __init__(self, store: MilvusStore, note: Mapping[str, Any], model: CLIP | None) -> None:
        self._store, self._note, self.model = store, dict(note), model

    @classmethod
    def open(cls, uri: str | Path, model: CLIP | None = None, collection: str = COLLECTION) -> MilvusIndex:
        """Opens a collection that `ImageIndex.to_milvus` or `load_shards` has filled.

        Without a model it cannot be asked in words or by another image. A `SearchError` says that Milvus does not
        answer, another process has the file open, or the collection is not there, not finished, or of another model.
        """
        store = MilvusStore(uri, collection)
        note = store.note()
        if note is None:
            raise SearchError(f"There is no collection {collection!r} in {uri}; fill one with ImageIndex.to_milvus.")
        if not note["widths"]:
            raise SearchError(
                f"The collection {collection!r} in {uri} is not finished; fill it once more, which resumes."
            )
        index = cls(store, note, model)
        index._check(_fingerprint(model), note["dim"] if model is None else model.architecture.projection_dim)
        store.load()
        return index

    @classmethod
    def filled(
        cls,
        uri: str | Path,
        collection: str,
        note: dict[str, Any],
        batches: Iterable[Batch],
        model: CLIP | None,
        bar: Any,
    ) -> MilvusIndex:
        """Writes members into a collection, which is made if it is not there; see `note_of` and `ImageIndex.to_milvus`.

        The bar counts those that are in Milvus.
        """
        store = MilvusStore(uri, collection)
        there = store.note()
        if there is None:
            store.create(note["dim"], note)
        index = cls(store, there or note, model)
        index._check(note["model"], note["dim"])
        store.prepare()
        new = first = 0
        for items, vectors in batches:
            if not items:
                continue
            new += store.upsert(list(_rows(items, vectors, first)))
            first += len(items)
            bar.update(len(items))
        if new or not index._note["widths"]:
            store.finish()
        if not index._note["widths"] or new > MEASURED_AGAIN * len(index):
            index.measure()
        return index

    def _check(self, made_by: str, dim: int) -> None:
        """Refuses vectors of another model, or with another number of numbers."""
        where, known = f"The collection {self._store.collection!r} in {self._store.uri}", self._note
        if known["version"] != VERSION:
            raise SearchError(f"{where} is of version {known['version']}, of a later course; fill another one.")
        if known["dim"] != dim:
            raise SearchError(f"{where} holds vectors of {known['dim']} numbers, not {dim}; name another collection.")
        if made_by and known["model"] and made_by != known["model"]:
            raise SearchError(
                f"{where} holds vectors of another model (fingerprint {known['model']}, not {made_by}); take that one, "
                "or name another collection."
            )

    def close(self) -> None:
        """Ends the connection; a file is closed for the whole process, so that another one can open it."""
        self._store.close()

    def __enter__(self) -> MilvusIndex:
        """Returns the index, which is closed when the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the index."""
        self.close()

    def __len__(self) -> int:
        """Returns the number of images, by Milvus."""
        return self._store.count()

    def __repr__(self) -> str:
        """Returns one line: how many images, where, and how they are searched."""
        return (
            f"MilvusIndex of {len(self):,} images in {self._store.uri} ({self._store.collection}), vectors of "
            f"{self._dim()}, searched by HNSW (ef {next(iter(self.widths.values()))}; recall@10 {self.recall:.3f} on "
            "held-out queries)"
        )

    @property
    def reading(self) -> ImageReading:
        """How its images of more than 8 bits are read, if all are read alike."""
        return ImageReading(**self._note["reading"])

    @property
    def widths(self) -> dict[int, int]:
        """For each number of hits the width (HNSW's ef) that was measured for it."""
        return {int(count): width for count, width in self._note["widths"].items()}

    @property
    def recall(self) -> float:
        """Share of the ten true neighbors that is found, see `utils.search.widths`."""
        return self._note["recall"]

    def delete(self, file_names: str | Sequence[str]) -> None:
        """Removes members by name, with as many folders before it as tell them from others.

        A `SearchError` says that there is no such member, before any is removed.
        """
        names = [file_names] if isinstance(file_names, str) else file_names
        self._store.delete([self._key(name) for name in names])

    def measure(self) -> None:
        """Chooses the width once more, as `utils.search.widths` does, and writes it down for all who open it.

        Every vector is read once.
        """
        kinds: list[np.ndarray] = []
        nearest: list[np.ndarray] = []
        if not (members := len(self)):
            raise SearchError(
                f"The collection {self._store.collection!r} in {self._store.uri} is empty; fill it first."
            )
        counts = counts_for(members)
        for _, _, vectors in self._store.vectors(self._dim()):
            if not kinds:  # the first batch is drawn at random
                kinds = [drawn(vectors, QUERIES) for drawn in (held_out_queries, text_like_queries)]
                nearest = [np.full((len(queries), counts[-1]), -np.inf, np.float32) for queries in kinds]
            for queries, best in zip(kinds, nearest, strict=True):
                both = np.concatenate([best, queries @ vectors.T], axis=1)
                best[:] = -np.sort(np.partition(-both, counts[-1] - 1, axis=1)[:, : counts[-1]], axis=1)

        def reached(width: int, count: int) -> float:
            shares = []
            for queries, best in zip(kinds, nearest, strict=True):
                found = self._store.search(queries, count, width)
                least = best[:, count - 1] - 1e-6  # what Milvus gives differs by rounding
                right = [row.score >= one for rows, one in zip(found, least, strict=True) for row in rows]
                shares.append(sum(right) / (count * len(queries)))
            return min(shares)

        widths, self._note["recall"] = narrowest_widths(counts, reached)
        self._note["widths"] = {str(count): width for count, width in widths.items()}
        self._store.write_note(self._note)

    # --- what `Searchable` asks for -----------------------------------------------------------------------------

    def _dim(self) -> int:
        return self._note["dim"]

    def _closest(self, vector: np.ndarray, k: int, only: Only, exact: bool, without: Sequence[str] = ()) -> list[Hit]:
        wanted, expression = k + len(without), expression_of(only)
        rows: list[Row] = []
        if not exact:
            rows = self._store.search(vector[None], wanted, width_for(self.widths, wanted), expression)[0]
        if exact or (len(rows) < wanted and len(rows) < self._store.count(expression)):
            rows = self._exactly(vector, wanted, expression)
        if not rows:
            self._check_there(only)
        kept = sorted((row for row in rows if row.id not in without), key=lambda row: (-row.score, row.number, row.id))
        return [hit_of(_member(row.member), rank, row.score) for rank, row in enumerate(kept[:k], start=1)]

    def _exactly(self, vector: np.ndarray, k: int, expression: str) -> list[Row]:
        """The k closest rows, of all or of those that an expression leaves, by comparing every one of them."""
        ids, numbers, scores = np.zeros(0, "U1"), np.zeros(0, np.int64), np.zeros(0)
        for some, places, vectors in self._store.vectors(self._dim(), expression):
            # Row by row, so that equal vectors are equally similar wherever they stand.
            similarities = np.einsum("vd,d->v", vectors, vector.astype(np.float64))
            ids, numbers = np.concatenate([ids, some]), np.concatenate([numbers, places])
            scores = np.concatenate([scores, similarities])
            order = np.lexsort((ids, numbers))
            best = order[largest(scores[None, order], k)[0]]
            ids, numbers, scores = ids[best], numbers[best], scores[best]
        members = self._store.members(ids.tolist()) if len(ids) else {}
        found = zip(ids.tolist(), numbers.tolist(), scores.tolist(), strict=True)
        # What is deleted meanwhile has none.
        return [Row(*facts, members[facts[0]]) for facts in found if facts[0] in members]

    def _check_there(self, only: Only) -> None:
        """Says what no member has, where nothing was found."""
        for kind, name in (("category", only.category), ("source", only.source)):
            if name is not None and not self._store.any(f"{kind} == {quoted(name)}"):
                raise SearchError(f"No image has the {kind} {name!r}.")
        if only.within is not None and not self._store.any("west is not null"):
            raise SearchError(NO_PLACES)

    def _member(self, file_name: str) -> tuple[np.ndarray, str]:
        key = self._key(file_name)
        return np.array(self._store.rows(f"id == {quoted(key)}", ["vector"])[0]["vector"], np.float32), key

    def _key(self, file_name: str) -> str:
        return the_one_called(file_name, self._called([last_part(file_name)]))

    def _members_at(self, path: Path) -> list[str]:
        return those_at(path, self._called(names_at(path)))

    def _called(self, names: Iterable[str]) -> dict[str, CaptionedImage]:
        """The members of some names, without folders, by id."""
        expression = f"name in [{', '.join(map(quoted, sorted(names)))}]"
        return {row["id"]: _member(row["member"]) for row in self._store.rows(expression, ["member"])}


def note_of(dim: int, made_by: str, reading: ImageReading = AS_STORED) -> dict[str, Any]:
    """What is known of a collection's vectors before its width is; ``made_by`` is a model's fingerprint, or empty."""
    return {
        "version": VERSION,
        "dim": dim,
        "model": made_by,
        "reading": reading.describe(),
        "widths": {},
        "recall": 0.0,
    }


def batches_of(contents: Contents) -> Iterator[Batch]:
    """The members and vectors of an index, as many at a time as are sent at once."""
    members, size = list(contents.dataset), batch_rows(contents.embeddings.shape[1])
    for start in range(0, len(members), size):
        yield members[start : start + size], contents.embeddings[start : start + size]


def load_shards(
    folder: str | Path,
    uri: str | Path,
    model: CLIP | None = None,
    *,
    collection: str = COLLECTION,
    progress: bool = True,
) -> MilvusIndex:
    """Writes the vectors of ``make embed`` into Milvus, shard by shard: memory is bounded, whatever their number.

    What is there unchanged is not sent again: after a kill, start it once more. Members are those of
    `ImageIndex.from_shards`; other arguments and errors, those of `ImageIndex.to_milvus`.
    """
    shards, known = read_shards(folder), read_note(Path(folder))
    note = note_of(known.settings.dim, known.settings.model, ImageReading(**known.settings.reading))
    if model is not None and note["model"] != _fingerprint(model):
        raise SearchError(f"{folder} holds vectors of another model (fingerprint {note['model']}); load that model.")
    with progress_bar(desc="To Milvus", unit="image", disable=not progress) as bar:
        batches = (_of_shard(shard, known) for shard in shards)
        return MilvusIndex.filled(uri, collection, note, batches, model, bar)


def _of_shard(shard: pyarrow.RecordBatch, note: Note) -> Batch:
    """The members and vectors of a shard, but for what could not be read."""
    items = [item for item, _, reason in members_in(shard, note) if reason is None]
    column = shard.column("vector").drop_null()
    return items, column.flatten().to_numpy(zero_copy_only=False).reshape(len(items), note.settings.dim)


def _rows(items: Sequence[CaptionedImage], vectors: np.ndarray, first: int) -> Iterator[dict[str, Any]]:
    """Members as rows of the collection, the first of the number ``first``."""
    for place, (item, vector, bounds) in enumerate(zip(items, vectors, bounds_of(items), strict=True)):
        # ASCII, since names that are no UTF-8 hold what Milvus would refuse.
        member = json.dumps(row_of(item, str(item.path)))
        if len(member) > LONGEST:
            raise SearchError(
                f"{item.name}: its name and captions take {len(member):,} bytes, and Milvus holds {LONGEST:,}; shorten "
                "them."
            )
        vector = np.ascontiguousarray(vector, np.float32)
        edges = [None if np.isnan(edge) else float(edge) for edge in bounds]
        yield {
            "id": _digest(str(address(item)).encode(errors="surrogateescape")),
            "number": first + place,
            "name": item.name,
            "category": None if item.category is None else printable(item.category),
            "source": printable(item.source),
            "member": member,
            "digest": _digest(member.encode() + vector.tobytes()),
            "vector": vector,
            **dict(zip(("west", "south", "east", "north"), edges, strict=True)),
        }


def _member(text: str) -> CaptionedImage:
    row = json.loads(text)
    return member_of(row, Path(row["path"]), {})


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _fingerprint(model: CLIP | None) -> str:
    if model is None:
        return ""
    from utils.clip import fingerprint

    return fingerprint(model)
