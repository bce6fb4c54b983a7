"""Connections that end: so many of one address, and none that waits for a visitor who does not go on.

uvicorn ends a connection only where nothing comes after an answer; a request whose headers come a letter at a time,
or an answer that is never read, would keep it for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.demo.jobs import client_of

MOST = 512  # connections; many systems let a process have 1024 files open
MOST_OF_ONE = 256  # of one client: a class behind one address, six for each browser
SECONDS_FOR_HEADERS = 10.0  # from the connection, or the last answer, to a request
SECONDS_UNREAD = 30.0  # that an answer may wait to be read on


class Connection(H11Protocol):
    """One connection of uvicorn's, with an end."""

    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins, or hangs up where there are too many already."""
        super().connection_made(transport)
        mine = sum(_address(other) == _address(self) for other in self.connections)
        if len(self.connections) > MOST or mine > MOST_OF_ONE:
            transport.abort()
            return
        self._expect_request(None)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        answered = self.cycle
        super().on_response_complete()
        self._expect_request(answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        for timer in (self._waiting, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Is called where the visitor does not read."""
        super().pause_writing()
        self._unread = self.loop.call_later(SECONDS_UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """Is called where the visitor reads on."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: a stranger who wants a web socket is answered as without the wish."""

    def _expect_request(self, answered: Any) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        self._waiting = self.loop.call_later(SECONDS_FOR_HEADERS, self._hang_up, answered)

    def _hang_up(self, answered: Any) -> None:
        """Ends the connection if no request came after the one answered."""
        if self.cycle is answered:
            self.transport.abort()


def _address(connection: H11Protocol) -> str:
    return client_of({"client": connection.client})
