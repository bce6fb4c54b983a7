"""Questions that wait: so many of one visitor, in turn with those of others, and only as long as somebody listens.

Gradio bounds its queue as a whole and answers in the order of arrival, so that one visitor who asks and asks and
never reads would turn everybody else away.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from utils.demo.refusals import Refusal

MOST_WAITING = 256  # questions
MOST_WAITING_OF_ONE = 64  # of one client, which may be a class behind one address
MOST_WAITING_OF_SESSION = 16  # of one open page
SECONDS_UNREAD = 60.0  # that an answer waits for somebody to listen


@dataclass
class Job:
    """One question.

    Attributes:
        client: Who asked.
        session: Under which its answer is read.
        asked: When nobody was listening since, on the monotonic clock.
    """

    client: str
    session: str
    asked: float


class Jobs:
    """The questions of one page.

    Args:
        queue: Gradio's queue of them.
    """

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self._jobs: dict[str, Job] = {}
        self._coming: list[Job] = []
        self._listeners: Counter[str] = Counter()

    @asynccontextmanager
    async def asking(self, client: str, session: str | None) -> AsyncIterator[None]:
        """Keeps a place for one question more; forgets those that nobody listens to.

        Raises:
            Refusal: If too many wait already, or are on their way.
        """
        await self._forget()
        coming = Job(client, session or "", time.monotonic())
        self._check(client, session)
        self._coming.append(coming)
        try:
            yield
        finally:
            self._coming.remove(coming)

    def _check(self, client: str, session: str | None) -> None:
        jobs = [*self._jobs.values(), *self._coming]
        if sum(job.client == client for job in jobs) >= MOST_WAITING_OF_ONE or (
            session is not None and sum(job.session == session for job in jobs) >= MOST_WAITING_OF_SESSION
        ):
            raise Refusal(503, "Too many of your questions wait for an answer; read those first.")
        if len(jobs) >= MOST_WAITING:
            raise Refusal(503, "Too many questions wait at the moment; try again soon.")

    def note(self, event: str, client: str, session: str | None) -> None:
        """Remembers a question that Gradio has accepted, and puts it in its turn."""
        self._jobs[event] = Job(client, session or event, time.monotonic())
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            in_turn(waiting.queue)

    def session_of(self, event: str) -> str:
        """The session of a question.

        Raises:
            Refusal: If there is no such question.
        """
        if event not in self._jobs:
            raise Refusal(404, "There is no such question, or its answer is no longer kept; ask again.")
        return self._jobs[event].session

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """Keeps a session's answers as long as somebody listens.

        Raises:
            Refusal: If there is no such session.
        """
        if session not in self._queue.pending_messages_per_session:
            raise Refusal(404, "Nothing was asked under this name, or its answer is no longer kept; ask again.")
        self._listeners[session] += 1
        try:
            yield
        finally:
            self._listeners[session] -= 1
            if not self._listeners[session]:
                del self._listeners[session]
                for job in self._jobs.values():
                    if job.session == session:
                        job.asked = time.monotonic()

    async def _forget(self) -> None:
        pending = self._queue.pending_event_ids_session
        self._jobs = {event: job for event, job in self._jobs.items() if event in pending.get(job.session, ())}
        oldest = time.monotonic() - SECONDS_UNREAD
        for session in {job.session for job in self._jobs.values() if job.asked < oldest}:
            if session not in self._listeners:
                await self._queue.clean_events(session_hash=session)
                pending.pop(session, None)
                self._queue.pending_messages_per_session.pop(session, None)
        self._jobs = {event: job for event, job in self._jobs.items() if event in pending.get(job.session, ())}


def in_turn(waiting: list) -> None:
    """Orders questions so that everybody's first comes before anybody's second, in place."""
    asked: Counter[str] = Counter()
    ranks = []
    for event in waiting:
        client = client_of(event.request.scope)
        ranks.append(asked[client])
        asked[client] += 1
    order = sorted(range(len(waiting)), key=ranks.__getitem__)  # stable
    waiting[:] = [waiting[place] for place in order]


def client_of(scope: dict) -> str:
    """Who asks, by address; of the version 6, the network, since everybody there has millions of addresses."""
    address = (scope.get("client") or ("",))[0] or ""
    if ":" not in address or address.startswith("::ffff:"):
        return address.removeprefix("::ffff:")
    from ipaddress import ip_network

    return str(ip_network((address.partition("%")[0], 64), strict=False))
