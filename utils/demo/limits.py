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
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from starlette.exceptions import HTTPException

from utils.demo.files import SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT

MAX_STORED = 2 * 2**30  # bytes of uploads
MAX_STORED_PER_CLIENT = MAX_STORED // 4
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
    """Who asks, by address; of IPv6 the network, since everybody there has millions of addresses."""
    host = (address[0] if address else "").removeprefix("::ffff:")
    return str(ip_network((host.partition("%")[0], 64), strict=False)) if ":" in host else host


@dataclass
class Upload:
    """One upload on its way.

    Attributes:
        client: Who sends it.
        size: Bytes that it counts for.
        began: When it began, on the monotonic clock.
        under_way: Whether it has not ended yet.
        received: Bytes that have come in.
    """

    client: str
    size: int
    began: float
    under_way: bool = True
    received: int = 0

    def receiver(self, receive: Any, boundary: bytes) -> Any:
        """Wraps ASGI's ``receive`` so that Gradio deletes what it has written of a form that breaks off.

        Args:
            receive: Where the body comes from.
            boundary: Between the parts of the form.
        """
        from starlette.formparsers import MultiPartException  # the one at which Gradio's parser deletes

        delimiter, parts, tail = b"--" + boundary, 0, b""

        async def receive_counted() -> dict[str, Any]:
            nonlocal parts, tail
            message = await receive_in_time(receive, self.began, self.received)
            if message is None or message["type"] == "http.disconnect":
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
    """The account of uploads of the last half hour.

    It is never less than what lies on the disk: files are deleted sooner than the account forgets them.
    """

    def __init__(self) -> None:
        self._uploads: deque[Upload] = deque()

    @contextmanager
    def upload(self, client: str, length: int) -> Iterator[Upload]:
        """Takes room for an upload of so many bytes; of one that breaks off, what has come in still counts.

        Raises:
            HTTPException: If there is none.
        """
        oldest = time.monotonic() - SECONDS_KEPT - 2 * SECONDS_BETWEEN_SWEEPS
        while self._uploads and self._uploads[0].began < oldest and not self._uploads[0].under_way:
            self._uploads.popleft()
        self._check(client, length)
        upload = Upload(client, max(length, LEAST_COUNTED), time.monotonic())
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            upload.under_way = False
            upload.size = max(upload.received, LEAST_COUNTED)

    def _check(self, client: str, length: int) -> None:
        own = [upload for upload in self._uploads if upload.client == client]
        if sum(upload.under_way for upload in own) >= MAX_UPLOADS_PER_CLIENT:
            raise HTTPException(429, "You are sending too many images at once; wait until the others are here.")
        if sum(upload.under_way for upload in self._uploads) >= MAX_UPLOADS:
            raise HTTPException(503, "Too many images are being sent at the moment; try again in a minute.")
        if sum(upload.size for upload in own) + length > MAX_STORED_PER_CLIENT:
            raise HTTPException(
                507, "You have sent as many images as are kept for one visitor; try again in half an hour."
            )
        if sum(upload.size for upload in self._uploads) + length > MAX_STORED:
            raise HTTPException(507, "Too many images are kept here at the moment; try again in half an hour.")


async def receive_in_time(receive: Any, began: float, received: int) -> dict[str, Any] | None:
    """The next part of a body, or None where it comes more slowly than anybody's line is."""
    left = began + SECONDS_TO_BEGIN + received / LEAST_SPEED - time.monotonic()
    try:
        return await asyncio.wait_for(receive(), max(0.0, left))
    except TimeoutError:
        return None


@dataclass
class Job:
    """One question that waits for its answer to be read.

    Attributes:
        client: Who asked.
        session: Under which the answer is read.
        unheard_since: When somebody listened last, on the monotonic clock.
    """

    client: str
    session: str
    unheard_since: float


class QuestionLimits:
    """The questions that wait: so many of one visitor, in turn with others', only as long as somebody listens.

    Args:
        queue: Gradio's queue of them.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._jobs: dict[str, Job] = {}  # by Gradio's number of the question
        self._coming: list[Job] = []  # not yet accepted by Gradio
        self._listeners: Counter[str] = Counter()

    @asynccontextmanager
    async def asking(self, client: str, session: str | None) -> AsyncIterator[None]:
        """Keeps a place for one question more; forgets those that nobody listens to.

        Raises:
            HTTPException: If too many wait already, or are on their way.
        """
        await self._forget()
        jobs = [*self._jobs.values(), *self._coming]
        if sum(job.client == client for job in jobs) >= MAX_WAITING_PER_CLIENT or (
            session is not None and sum(job.session == session for job in jobs) >= MAX_WAITING_PER_SESSION
        ):
            raise HTTPException(503, "Too many of your questions wait for an answer; read those first.")
        if len(jobs) >= MAX_WAITING:
            raise HTTPException(503, "Too many questions wait at the moment; try again soon.")
        coming = Job(client, session or "", time.monotonic())
        self._coming.append(coming)
        try:
            yield
        finally:
            self._coming.remove(coming)

    def accept(self, event: str, client: str, session: str | None) -> None:
        """Remembers a question that Gradio has accepted under this number, and puts it in its turn."""
        self._jobs[event] = Job(client, session or event, time.monotonic())
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            in_turn(waiting.queue)

    def session_of(self, event: str) -> str:
        """The session of a question.

        Raises:
            HTTPException: If there is no such question.
        """
        if event not in self._jobs:
            raise HTTPException(404, "There is no such question, or its answer is no longer kept; ask again.")
        return self._jobs[event].session

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Keeps a session's answers as long as somebody listens.

        Raises:
            HTTPException: If there is no such session.
        """
        if session not in self._queue.pending_messages_per_session:
            raise HTTPException(404, "Nothing was asked under this name, or its answer is no longer kept; ask again.")
        self._listeners[session] += 1
        try:
            yield
        finally:
            self._listeners[session] -= 1
            if not self._listeners[session]:
                del self._listeners[session]
                for job in self._jobs.values():
                    if job.session == session:
                        job.unheard_since = time.monotonic()

    async def _forget(self) -> None:
        pending = self._queue.pending_event_ids_session
        self._jobs = {event: job for event, job in self._jobs.items() if event in pending.get(job.session, ())}
        oldest = time.monotonic() - SECONDS_UNREAD
        for session in {job.session for job in self._jobs.values() if job.unheard_since < oldest}:
            if session not in self._listeners:
                await self._queue.clean_events(session_hash=session)
                pending.pop(session, None)
                self._queue.pending_messages_per_session.pop(session, None)
                self._jobs = {event: job for event, job in self._jobs.items() if job.session != session}


def in_turn(waiting: list[Any]) -> None:
    """Orders questions in place so that everybody's first comes before anybody's second."""
    asked: Counter[str] = Counter()
    ranked: list[tuple[int, int, Any]] = []
    for event in waiting:
        client = client_of(event.request.scope.get("client"))
        ranked.append((asked[client], len(ranked), event))
        asked[client] += 1
    waiting[:] = [event for *_, event in sorted(ranked)]
