"""Room for uploads: how many at once, how much in half an hour, how slowly one may come in.

The account is kept in memory, by what a request says of its length, so that nothing is ever counted on the disk
while somebody waits. It is never less than what lies there: files are deleted sooner than the account forgets them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.demo.refusals import Refusal

SECONDS_BETWEEN_SWEEPS, SECONDS_KEPT = 60, 1800  # of uploaded files
MOST_KEPT = 2 * 2**30  # bytes of uploads
MOST_KEPT_OF_ONE = MOST_KEPT // 4  # bytes of one client's uploads
LEAST_COUNTED = 64 * 1024  # bytes that even an empty upload counts for
MOST_AT_ONCE = 64  # uploads
MOST_AT_ONCE_OF_ONE = 32  # of one client, which may be a class behind one address
SECONDS_TO_BEGIN = 15  # before a body must have brought anything
LEAST_SPEED = 32 * 1024  # bytes a second from then on
MOST_PARTS = 8  # of a form; the page sends one file


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
        """Receives the body as Gradio's parser asks for it, and has it cleaned up where the body ends too early.

        Args:
            receive: Where it comes from, as ASGI knows it.
            boundary: Between the parts of the form.
        """
        from starlette.formparsers import MultiPartException

        parts, tail = 0, b""

        async def next_part() -> dict:
            nonlocal parts, tail
            message = await in_time(receive, self.began, self.received)
            if message is None or message["type"] == "http.disconnect":
                # The one exception at which the parser deletes what it has written so far.
                raise MultiPartException("The upload broke off.")
            self.received += len(message.get("body", b""))
            seen = tail + message.get("body", b"")
            parts += seen.count(boundary)
            tail = seen[len(seen) - len(boundary) + 1 :] if len(seen) >= len(boundary) else seen
            if parts > MOST_PARTS:
                raise MultiPartException("The form has too many parts.")
            return message

        return next_part


class Room:
    """The account of uploads of the last half hour."""

    def __init__(self) -> None:
        self._uploads: deque[Upload] = deque()

    @contextmanager
    def upload(self, client: str, length: int) -> Iterator[Upload]:
        """Takes room for an upload of so many bytes; of one that breaks off, what has come in still counts.

        Raises:
            Refusal: If there is none.
        """
        self._forget()
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
        if sum(upload.under_way for upload in own) >= MOST_AT_ONCE_OF_ONE:
            raise Refusal(429, "You are sending too many pictures at once; wait until the others are here.")
        if sum(upload.under_way for upload in self._uploads) >= MOST_AT_ONCE:
            raise Refusal(503, "Too many pictures are being sent at the moment; try again in a minute.")
        if sum(upload.size for upload in own) + length > MOST_KEPT_OF_ONE:
            raise Refusal(507, "You have sent as many pictures as are kept of one; try again in half an hour.")
        if sum(upload.size for upload in self._uploads) + length > MOST_KEPT:
            raise Refusal(507, "Too many pictures are kept here at the moment; try again in half an hour.")

    def _forget(self) -> None:
        oldest = time.monotonic() - SECONDS_KEPT - 2 * SECONDS_BETWEEN_SWEEPS
        while self._uploads and self._uploads[0].began < oldest and not self._uploads[0].under_way:
            self._uploads.popleft()


async def in_time(receive: Any, began: float, received: int) -> dict | None:
    """The next part of a body, or None where it comes more slowly than anybody's line is."""
    left = began + SECONDS_TO_BEGIN + received / LEAST_SPEED - time.monotonic()
    try:
        return await asyncio.wait_for(receive(), max(0.0, left))
    except TimeoutError:
        return None


def sweep(folder: Path) -> None:
    """Deletes what uploads that broke off have left, by age; Gradio itself deletes only those that it finished.

    Args:
        folder: Where uploads go. Directories that are empty by now go, too.
    """
    oldest = time.time() - SECONDS_KEPT
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if path.lstat().st_mtime > oldest:
                    continue
                if path.is_dir():
                    path.rmdir()  # fails where something is in it
                elif path.name.startswith("tmp"):
                    path.unlink()
