"""A collection in Milvus as an index sees it: rows in, nearest rows out, and every error in one sentence.

The same client serves a file (milvus-lite, in this process), a milvus-lite server and a cluster. A row is a member:

    id        a digest of its address, so that a member that comes again takes its own place
    number    its row in the index that it comes from, by which equally similar members are in order
    name      the last part of its address, by which people ask for it
    category, source, west, south, east, north    what searches are limited to; null where nobody knows
    member    all that is known of it, as JSON
    digest    of its member and vector: what is there unchanged is not sent again
    vector    of unit length

What belongs to the whole collection is a note, JSON among the collection's properties.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.importing import logging_left_alone
from utils.search.engines import BUILD_PARAMETERS, SearchError
from utils.search.filters import TURNS, Only

TIMEOUT = 10.0  # seconds until a request counts as not answered, by a server; a file's are answered in this process
BULK_TIMEOUT = 60.0  # where thousands of rows are read in one go
# Seconds where a part of the graph may be built first, as milvus-lite does when rows are sent, too. A server that has
# gone away is noticed at once all the same, and one that hangs, after this.
BUILD_TIMEOUT = 1800.0
BATCH_BYTES = 8 << 20  # of vectors that are sent or read at once: servers refuse 64 MB
LONGEST = 65_535  # bytes of a text, by Milvus
MOST_HITS = 16_384  # that a search can ask for, by Milvus
_NOT_LOADED = 101  # Milvus's code; a milvus-lite server that has been started again has nothing loaded
_NOTE = "clip_earth_course"  # among the properties of a collection
_TEXTS = ("name", "category", "source", "member")
_BOUNDS = ("west", "south", "east", "north")


@dataclass(frozen=True)
class Row:
    """A member that was found."""

    id: str
    number: int
    score: float  # cosine similarity
    member: str  # as JSON


class MilvusStore:
    """A collection in Milvus; a `SearchError` says in a sentence what Milvus, or the way to it, refuses."""

    def __init__(self, uri: str | Path, collection: str) -> None:
        self.uri, self.collection = _without_password(str(uri)), collection
        self._client = _connect(str(uri))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what the client raises into a sentence."""
        import grpc
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except (MilvusException, grpc.RpcError) as error:
            raise SearchError(_sentence(self.uri, self.collection, error)) from None

    def close(self) -> None:
        """Ends the connection; a file is closed for the whole process, so that another one can open it."""
        self._client.close()
        if _is_file(self.uri):
            importlib.import_module("milvus_lite").server_manager_instance.release_server(self.uri)

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Asks the client something about the collection."""
        from pymilvus.exceptions import MilvusException

        ask = getattr(self._client, name)
        options["timeout"] = BUILD_TIMEOUT if _is_file(self.uri) else options.get("timeout", TIMEOUT)
        with self._told():
            try:
                return ask(self.collection, *arguments, **options)
            except MilvusException as error:
                if error.code != _NOT_LOADED:
                    raise
                self._client.load_collection(self.collection, timeout=BUILD_TIMEOUT)
                return ask(self.collection, *arguments, **options)

    # --- the collection ---------------------------------------------------------------------------------------

    def note(self) -> dict[str, Any] | None:
        """What `write_note` wrote last; None if there is no collection, a `SearchError` if it is somebody else's."""
        if not self._call("has_collection"):
            return None
        try:
            return dict(json.loads(self._call("describe_collection")["properties"][_NOTE]))
        except (KeyError, TypeError, json.JSONDecodeError):
            raise SearchError(
                f"The collection {self.collection!r} in {self.uri} is not an index of this course; name another one."
            ) from None

    def create(self, dim: int, note: dict[str, Any]) -> None:
        """Makes an empty collection for vectors of so many numbers."""
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, max_length=64, is_primary=True)
        schema.add_field("number", DataType.INT64)
        for name in _TEXTS:
            schema.add_field(name, DataType.VARCHAR, max_length=LONGEST, nullable=name == "category")
        for name in _BOUNDS:
            schema.add_field(name, DataType.DOUBLE, nullable=True)
        schema.add_field("digest", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        # Strong: what was acknowledged is found at once, by other processes too.
        properties = {_NOTE: json.dumps(note)}
        self._call("create_collection", schema=schema, properties=properties, consistency_level="Strong")

    def write_note(self, note: dict[str, Any]) -> None:
        """Replaces the note."""
        self._call("alter_collection_properties", properties={_NOTE: json.dumps(note)})

    def load(self) -> None:
        """Makes a collection ready to be searched."""
        self._call("load_collection", timeout=BUILD_TIMEOUT)

    def prepare(self) -> None:
        """Makes a collection ready to be written and searched, one that a killed process has just made, too."""
        if "vector" not in self._call("list_indexes"):
            wanted = self._client.prepare_index_params()
            links = {name: BUILD_PARAMETERS[name] for name in ("M", "efConstruction")}
            wanted.add_index("vector", "HNSW", "vector", metric_type="COSINE", params=links)
            self._call("create_index", wanted)
        self.load()

    def finish(self) -> None:
        """Waits until all that was written is in the graph: what is not is compared one by one in every search."""
        with self._told():
            lite = "lite" in self._client.get_server_version(timeout=TIMEOUT)
        if lite:
            self._call("release_collection")
        self._call("flush", timeout=BUILD_TIMEOUT)
        # A loaded collection's graph milvus-lite builds later, and calls finished all along. Who loads it waits for it;
        # once more, since files may have been merged meanwhile.
        for _ in range(2 * lite):
            self._call("release_collection")
            self.load()
        while int(self._call("describe_index", "vector").get("pending_index_rows", 0)):
            time.sleep(1)

    # --- rows -------------------------------------------------------------------------------------------------

    def upsert(self, rows: Sequence[dict[str, Any]]) -> int:
        """Writes rows, in place of those of the same id; how many were new or changed.

        When it returns Milvus has acknowledged them, and they outlast its being killed.
        """
        there = self._call("get", ids=[row["id"] for row in rows], output_fields=["digest"])
        known = {row["id"]: row["digest"] for row in there}
        # Of an id that comes twice the last row counts, where Milvus would refuse both.
        changed = [row for row in {row["id"]: row for row in rows}.values() if known.get(row["id"]) != row["digest"]]
        if changed:
            self._call("upsert", changed, timeout=BUILD_TIMEOUT)
        return len(changed)

    def delete(self, ids: Sequence[str]) -> None:
        """Removes the rows of these ids."""
        self._call("delete", ids=list(ids))

    def count(self, expression: str = "") -> int:
        """How many rows an expression leaves."""
        return int(self._call("query", filter=expression, output_fields=["count(*)"])[0]["count(*)"])

    def any(self, expression: str) -> bool:
        """Whether an expression leaves a row."""
        return bool(self.rows(expression, (), limit=1))

    def rows(self, expression: str, fields: Sequence[str], limit: int = MOST_HITS) -> list[dict[str, Any]]:
        """Some fields of the rows that an expression leaves, in no order."""
        return list(self._call("query", filter=expression, output_fields=["id", *fields], limit=limit))

    def members(self, ids: Sequence[str]) -> dict[str, str]:
        """What is known of the rows of these ids, as JSON."""
        return {row["id"]: row["member"] for row in self._call("get", ids=list(ids), output_fields=["member"])}

    def search(self, queries: np.ndarray, k: int, width: int, expression: str = "") -> list[list[Row]]:
        """The rows closest to each of (queries, dim) by the graph: k, or as many as it finds."""
        if k > MOST_HITS:
            raise SearchError(f"{k:,} hits are more than a search in Milvus can ask for; ask for fewer.")
        # A narrower search than k finds fewer in milvus-lite, in silence, and is an error in a cluster.
        found = self._call(
            "search",
            data=list(queries),
            anns_field="vector",
            filter=expression,
            limit=k,
            search_params={"metric_type": "COSINE", "params": {"ef": max(width, k)}},
            output_fields=["number", "member"],
            timeout=TIMEOUT if len(queries) == 1 else BULK_TIMEOUT,
        )
        return [
            [Row(hit["id"], hit["entity"]["number"], hit["distance"], hit["entity"]["member"]) for hit in hits]
            for hits in found
        ]

    def vectors(self, dim: int, expression: str = "") -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """All rows that an expression leaves, in batches: ids, numbers (batch,) int64, vectors (batch, dim) float32.

        They come in the order of their ids, which are digests: what comes first is drawn at random.
        """
        wanted = {"filter": expression, "batch_size": batch_rows(dim), "output_fields": ["number", "vector"]}
        reader = self._call("query_iterator", **wanted, timeout=BULK_TIMEOUT)
        with self._told(), _closing(reader.close):
            while batch := reader.next():
                yield (
                    np.array([row["id"] for row in batch]),
                    np.array([row["number"] for row in batch], np.int64),
                    np.array([row["vector"] for row in batch], np.float32),
                )


@contextmanager
def _closing(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # the server may have gone away meanwhile, which has been told
            close()


def batch_rows(dim: int) -> int:
    """How many vectors of so many numbers are sent or read at once."""
    return max(1, min(MOST_HITS, BATCH_BYTES // (4 * dim)))


def expression_of(only: Only) -> str:
    """What a search is limited to, as Milvus reads it; empty for all."""
    named = (("category", only.category), ("source", only.source))
    parts = [f"{kind} == {quoted(name)}" for kind, name in named if name is not None]
    if only.within is not None:
        west, south, east, north = only.within
        across = [f"(west <= {east + turn!r} and east >= {west + turn!r})" for turn in TURNS]
        parts += [f"({' or '.join(across)})", f"south <= {north!r}", f"north >= {south!r}"]
    return " and ".join(parts)


def quoted(text: str) -> str:
    """A text as a literal of Milvus's expressions, whatever is in it.

    Templates would do it, but milvus-lite 3.2 has none.
    """
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(character, escaped)
    return f'"{text}"'


# --- the way to Milvus ----------------------------------------------------------------------------------------


def _is_file(uri: str) -> bool:
    return "://" not in uri


def _connect(uri: str) -> Any:
    """A client of a server, or of a file, which no other process may have open."""
    if _is_file(uri) and not uri.endswith(".db"):
        raise SearchError(
            f"{uri} is no address of Milvus; give the name of a file that ends with .db, or a server's address such as "
            "http://127.0.0.1:19530."
        )
    needed = ["pymilvus", "milvus_lite"] if _is_file(uri) else ["pymilvus"]
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise SearchError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: pip install "
            f"{' '.join(name.replace('_', '-') for name in missing)}."
        )
    import grpc

    with logging_left_alone():
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it prints a traceback of all that is told in a sentence
    if _is_file(uri):
        logging.getLogger("grpc._server").addFilter(_is_news)
    with _heard("milvus_lite") as errors:
        try:
            # A server that has come back is found within a second, where gRPC would wait for up to two minutes.
            options = {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 1000}
            return MilvusClient(uri, timeout=TIMEOUT, dedicated=True, grpc_options=options)
        except (MilvusException, grpc.RpcError) as error:
            raise SearchError(_sentence(_without_password(uri), "", errors[0] if errors else error)) from None


def _is_news(record: logging.LogRecord) -> bool:
    """False for the traceback of a method that milvus-lite lacks: its client asks for it, and goes on without."""
    return not (record.exc_info and isinstance(record.exc_info[1], NotImplementedError))


def _without_password(uri: str) -> str:
    """An address for people to read, which may be http://user:password@host."""
    return re.sub("//[^/@]*@", "//", uri)


@contextmanager
def _heard(name: str) -> Iterator[list[BaseException]]:
    """The exceptions that a library writes into its log and then does not raise."""
    logger, errors = logging.getLogger(name), list[BaseException]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                errors.append(record.exc_info[1])

    listener, before = Listener(), logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield errors
    finally:
        logger.removeHandler(listener)
        logger.propagate = before


def _sentence(uri: str, collection: str, error: BaseException) -> str:
    said = " ".join(str(getattr(error, "message", "") or error).split())
    if type(error).__name__ == "DataDirLockedError":
        return (
            f"Another process has {uri} open, and a file takes one; close it there, or let a server share it: "
            f"milvus-lite server --data-dir {uri} --host 127.0.0.1, then uri='http://127.0.0.1:19530'."
        )
    if "should create connection first" in said:
        return f"The index in {uri} has been closed; open it again."
    code = str(getattr(error, "code", ""))
    if callable(getattr(error, "code", None)):  # gRPC's own errors
        code = str(error.code().name)  # type: ignore[attr-defined]
        said = code.replace("_", " ").lower()
    away = ("DEADLINE", "UNAVAILABLE", "Fail connecting", "illegal connection", "Retry timeout")
    if any(word.lower() in f"{code} {said}".lower() for word in away):
        return (
            f"Milvus at {uri} does not answer ({said}); start it, or look at its address, and ask again: what it has "
            "acknowledged is kept."
        )
    where = f"the collection {collection!r} in {uri}" if collection else uri
    return f"Milvus cannot do this with {where}: {said or type(error).__name__}."
