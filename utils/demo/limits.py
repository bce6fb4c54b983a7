"""What one visitor, and all of them together, may take: uploads, space, time, and places in the queue.

Gradio bounds its queue as a whole and answers in the order of arrival, so that one visitor who asks and asks and
never reads would turn everybody else away; uploads it does not count at all. The accounts are kept in memory, by
what a request says of its length, so that nothing is ever counted on the disk while somebody waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from typing import Any

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

MAX_BYTES = 20 * 2**20  # of an uploaded file
MAX_PIXELS = 40_000_000  # of an uploaded image
MAX_SIDE = 16_384  # pixels
MAX_SCENE_PIXELS = 100_000_000  # of an uploaded GeoTIFF, which is read strip by strip
MAX_SCENE_SIDE = 65_536  # pixels
MAX_STORED = 2 * 2**30  # bytes of uploads
MAX_STORED_PER_CLIENT = MAX_STORED // 4

SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT = 60, 1800  # of uploaded files
LEAST_COUNTED = 64 * 1024  # bytes that even an empty upload counts for
MAX_UPLOADS = 64  # at once
MAX_UPLOADS_PER_CLIENT = 32  # a client may be a class behind one address
MAX_PARTS = 8  # of a form; the page sends one file
SECONDS_TO_BEGIN = 15  # before a body must have brought anything
LEAST_SPEED = 32 * 1024  # bytes a second from then on
MAX_WAITING = 256  # questions
MAX_WAITING_PER_CLIENT = 64
MAX_WAITING_PER_SESSION = 16  # a session is one open page
SECONDS_UNREAD = 60.0  # that an answer waits for somebody to listen


def client_of(address: tuple[str, int] | None) -> str:
    """Who asks, by address; of IPv6 the network, since everybody there has millions; empty if a proxy tells none."""
    try:
        ip = ip_address((address[0] if address else "").partition("%")[0])
    except ValueError:
        return ""
    return str(ip if ip.version == 4 else ip.ipv4_mapped or IPv6Network((ip, 64), strict=False))


@dataclass
class Upload:
    """One upload that is counted."""

    client: str
    size: int  # bytes that it counts for
    began: float  # on the monotonic clock
    under_way: bool = True
    received: int = 0  # bytes

    def receiver(self, receive: Any, boundary: bytes) -> Any:
        """Wraps ASGI's ``receive`` so that Gradio deletes what it has written of a form that breaks off."""
        delimiter, parts, tail = b"--" + boundary, 0, b""

        async def receive_counted() -> dict[str, Any]:
            nonlocal parts, tail
            left = self.began + SECONDS_TO_BEGIN + self.received / LEAST_SPEED - time.monotonic()
            message: dict[str, Any] = {"type": "http.disconnect"}
            with suppress(TimeoutError):
                message = await asyncio.wait_for(receive(), max(0.0, left))
            if message["type"] == "http.disconnect":  # Gradio's parser deletes at this exception
                raise MultiPartException("The upload broke off.")
            body = message.get("body", b"")
            self.received += len(body)
            parts += (tail + body).count(delimiter)
            tail = (tail + body)[1 - len(delimiter) :]
            if parts > MAX_PARTS:
                raise MultiPartException("The form has too many parts.")
            return message

        return receive_counted


class UploadLimits:
    """The account of uploads of the last half hour, never less than what lies on the disk: files are deleted sooner."""

    def __init__(self) -> None:
        self._uploads: deque[Upload] = deque()

    @contextmanager
    def upload(self, client: str, length: int) -> Iterator[Upload]:
        """Takes room for so many bytes, of which what came in counts on; an HTTPException if there is none."""
        oldest = time.monotonic() - SECONDS_KEPT - 2 * SECONDS_BETWEEN_SWEEPS
        while self._uploads and self._uploads[0].began < oldest and not self._uploads[0].under_way:
            self._uploads.popleft()
        own = [upload for upload in self._uploads if upload.client == client]
        for uploads, whose, status, most_at_once, most_bytes in (
            (own, "your", 429, MAX_UPLOADS_PER_CLIENT, MAX_STORED_PER_CLIENT),
            (self._uploads, "all visitors'", 503, MAX_UPLOADS, MAX_STORED),
        ):
            if sum(upload.under_way for upload in uploads) >= most_at_once:
                raise HTTPException(status, f"Too many of {whose} images are on their way; try again in a minute.")
            if sum(upload.size for upload in uploads) + length > most_bytes:
                raise HTTPException(507, f"Too many of {whose} images are kept here; try again in half an hour.")
        upload = Upload(client, max(length, LEAST_COUNTED), time.monotonic())
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            upload.under_way = False
            upload.size = max(upload.received, LEAST_COUNTED)


@dataclass
class Session:
    """One open page, or a program, with questions."""

    client: str  # who asked first
    heard: float  # when somebody asked or listened last, on the monotonic clock
    asking: int = 0  # questions on their way to Gradio
    listeners: int = 0


class QuestionLimits:
    """The questions that wait: so many of one visitor, in turn with others', only as long as somebody listens."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._sessions: dict[str, Session] = {}

    @asynccontextmanager
    async def asking(self, client: str, name: str) -> AsyncIterator[None]:
        """Keeps a place for a question on its way to Gradio, and its turn there; an HTTPException if none is left."""
        await self._forget()
        session = self._sessions.setdefault(name, Session(client, time.monotonic()))
        # Questions on their way, or whose answers were not read yet.
        unread = self._queue.pending_event_ids_session
        waiting = {name: other.asking + len(unread.get(name, ())) for name, other in self._sessions.items()}
        own = sum(waiting[name] for name, other in self._sessions.items() if other.client == session.client)
        if own >= MAX_WAITING_PER_CLIENT or waiting[name] >= MAX_WAITING_PER_SESSION:
            raise HTTPException(503, "Too many of your questions wait for an answer; read those first.")
        if sum(waiting.values()) >= MAX_WAITING:
            raise HTTPException(503, "Too many questions wait at the moment; try again soon.")
        session.asking += 1
        try:
            yield
        finally:
            session.asking -= 1
            session.heard = time.monotonic()
            for waiting_here in self._queue.event_queue_per_concurrency_id.values():
                in_turn(waiting_here.queue)

    def session_of(self, event: str) -> str:
        """The session of a question by Gradio's number of it; empty if there is no such question."""
        pending = self._queue.pending_event_ids_session
        return next((name for name, events in pending.items() if event in events), "")

    @contextmanager
    def listening(self, client: str, name: str) -> Iterator[None]:
        """Keeps a session's answers as long as somebody listens; an HTTPException if there is no such session."""
        if name not in self._queue.pending_messages_per_session:
            raise HTTPException(404, "There is no such question, or its answer is no longer kept; ask again.")
        session = self._sessions.setdefault(name, Session(client, time.monotonic()))
        session.listeners += 1
        try:
            yield
        finally:
            session.listeners -= 1
            session.heard = time.monotonic()

    async def _forget(self) -> None:
        """Forgets the sessions whose questions were answered, and those whose answers nobody came to read."""
        oldest = time.monotonic() - SECONDS_UNREAD
        for name, session in list(self._sessions.items()):
            unread = self._queue.pending_event_ids_session.get(name)
            if session.asking or session.listeners or (unread and session.heard >= oldest):
                continue
            self._sessions.pop(name, None)
            if unread:
                await self._queue.clean_events(session_hash=name)
                self._queue.pending_event_ids_session.pop(name, None)
                self._queue.pending_messages_per_session.pop(name, None)


def in_turn(waiting: list[Any]) -> None:
    """Orders questions, the oldest first, in place so that everybody's first comes before anybody's second."""
    asked: Counter[str] = Counter()

    def turn(event: Any) -> int:
        client = client_of(event.request.scope.get("client"))
        asked[client] += 1
        return asked[client]

    waiting.sort(key=turn)
