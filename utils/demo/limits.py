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
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

MAX_BYTES = 20 * 2**20  # of an uploaded file
MAX_PIXELS = 40_000_000  # of an uploaded image
MAX_SIDE = 16_384  # pixels
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
    """Who asks, by address; of IPv6 the network, since everybody there has millions of addresses."""
    host = (address[0] if address else "").partition("%")[0]
    if ":" not in host:
        return host
    return str(IPv6Address(host).ipv4_mapped or IPv6Network((host, 64), strict=False))


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
            message = await receive_in_time(receive, self.began, self.received)
            if message is None or message["type"] == "http.disconnect":  # Gradio's parser deletes at this exception
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
        own = [upload for upload in self._uploads if upload.client == client]
        for uploads, most, sentence in (
            (own, MAX_UPLOADS_PER_CLIENT, "You are sending too many images at once; wait until the others are here."),
            (self._uploads, MAX_UPLOADS, "Too many images are being sent at the moment; try again in a minute."),
        ):
            if sum(upload.under_way for upload in uploads) >= most:
                raise HTTPException(429 if uploads is own else 503, sentence)
        for uploads, most, sentence in (
            (own, MAX_STORED_PER_CLIENT, "You have sent as many images as are kept for one visitor"),
            (self._uploads, MAX_STORED, "Too many images are kept here at the moment"),
        ):
            if sum(upload.size for upload in uploads) + length > most:
                raise HTTPException(507, f"{sentence}; try again in half an hour.")
        upload = Upload(client, max(length, LEAST_COUNTED), time.monotonic())
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            upload.under_way = False
            upload.size = max(upload.received, LEAST_COUNTED)


async def receive_in_time(receive: Any, began: float, received: int) -> dict[str, Any] | None:
    """The next part of a body, or None where it comes more slowly than anybody's line is."""
    left = began + SECONDS_TO_BEGIN + received / LEAST_SPEED - time.monotonic()
    try:
        return await asyncio.wait_for(receive(), max(0.0, left))
    except TimeoutError:
        return None


@dataclass
class Job:
    """One question that waits for its answer to be read."""

    client: str
    session: str  # under which the answer is read
    unheard_since: float  # when somebody listened last, on the monotonic clock
    event: str = ""  # Gradio's number of it, once accepted


class QuestionLimits:
    """The questions that wait: so many of one visitor, in turn with others', only as long as somebody listens.

    Args:
        queue: Gradio's queue of them.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._jobs: list[Job] = []
        self._listeners: Counter[str] = Counter()

    @asynccontextmanager
    async def asking(self, client: str, session: str | None) -> AsyncIterator[Job]:
        """Keeps a place for a question on its way to Gradio; forgets those that nobody listens to.

        Raises:
            HTTPException: If too many wait already.
        """
        await self._forget()
        of_client = sum(job.client == client for job in self._jobs)
        of_session = sum(job.session == session for job in self._jobs)
        if of_client >= MAX_WAITING_PER_CLIENT or of_session >= MAX_WAITING_PER_SESSION:
            raise HTTPException(503, "Too many of your questions wait for an answer; read those first.")
        if len(self._jobs) >= MAX_WAITING:
            raise HTTPException(503, "Too many questions wait at the moment; try again soon.")
        job = Job(client, session or "", time.monotonic())
        self._jobs.append(job)
        try:
            yield job
        finally:
            if not job.event:
                self._jobs.remove(job)

    def accept(self, job: Job, event: str) -> None:
        """Notes the number under which Gradio has accepted a question, and puts it in its turn."""
        job.event, job.session, job.unheard_since = event, job.session or event, time.monotonic()
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            in_turn(waiting.queue)

    def session_of(self, event: str) -> str:
        """The session of a question.

        Raises:
            HTTPException: If there is no such question.
        """
        for job in self._jobs:
            if job.event == event:
                return job.session
        raise HTTPException(404, "There is no such question, or its answer is no longer kept; ask again.")

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
            for job in self._jobs:
                if job.session == session:
                    job.unheard_since = time.monotonic()

    async def _forget(self) -> None:
        """Forgets the questions that were answered, and those whose answers nobody came to read."""
        self._listeners = +self._listeners  # without those at 0
        oldest, pending = time.monotonic() - SECONDS_UNREAD, self._queue.pending_event_ids_session
        self._jobs = [job for job in self._jobs if not job.event or job.event in pending.get(job.session, ())]
        for session in {job.session for job in self._jobs if job.event and job.unheard_since < oldest}:
            if not self._listeners[session]:
                await self._queue.clean_events(session_hash=session)
                pending.pop(session, None)
                self._queue.pending_messages_per_session.pop(session, None)
                self._jobs = [job for job in self._jobs if not job.event or job.session != session]


def in_turn(waiting: list[Any]) -> None:
    """Orders questions in place so that everybody's first comes before anybody's second."""
    asked: Counter[str] = Counter()
    ranked: list[tuple[int, int, Any]] = []
    for event in waiting:
        client = client_of(event.request.scope.get("client"))
        ranked.append((asked[client], len(ranked), event))
        asked[client] += 1
    waiting[:] = [event for *_, event in sorted(ranked)]
