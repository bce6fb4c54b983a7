"""Stands before Gradio's server and lets through what the page needs, and nothing else.

Gradio serves more than a page uses (proxies, recordings, an editor), fetches addresses that a request names in
place of an uploaded file, and takes JSON of any length. Here each request is held against four rules: its path is
one that the page asks for; its body says its length and is short enough, and there is room for it; every file that
it names lies in the upload folder; and what goes back forbids the browser to load anything from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.demo.uploads import MAX_BYTES, is_inside

UPLOAD = "/gradio_api/upload"
PAGE_PATHS = frozenset(
    (
        "/",
        "/config",
        "/favicon.ico",
        "/manifest.json",
        "/theme.css",
        "/gradio_api/heartbeat",
        "/gradio_api/info",
        "/gradio_api/queue/data",
        "/gradio_api/queue/join",
        "/gradio_api/reset",
        "/gradio_api/startup-events",
        "/gradio_api/theme.css",
        "/gradio_api/upload_progress",
        UPLOAD,
    )
)
PAGE_FOLDERS = ("/assets/", "/static/", "/gradio_api/call/", "/gradio_api/heartbeat/")
FILES = "/gradio_api/file="
MAX_QUESTION = 64 * 1024  # bytes of a request that is no upload
ENVELOPE = 16 * 1024  # bytes around an uploaded file
MOST_KEPT = 2 * 2**30  # bytes of uploaded and made files
# Gradio's page compiles its templates and carries its styles inline; nothing is fetched but from this server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Refusal(Exception):  # noqa: N818
    """A request that is not answered: the HTTP status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guard:
    """ASGI middleware; see the module.

    Args:
        app: What is guarded.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Answers a request or refuses it."""
        if scope["type"] == "websocket":  # the page opens none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            check_path(scope["path"])
            if scope["method"] == "POST":
                receive = await _checked_body(scope, receive)
        except Refusal as refusal:
            from starlette.responses import PlainTextResponse

            await PlainTextResponse(f"{refusal}\n", refusal.status)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def check_path(path: str) -> None:
    """Refuses what the page never asks for.

    Raises:
        Refusal: If the path is none of the page's.
    """
    if path.startswith(FILES):
        from gradio.utils import get_upload_folder

        if not is_inside(path.removeprefix(FILES), get_upload_folder()):
            raise Refusal(403, "Only what was uploaded or made here is served.")
    elif (path.rstrip("/") or "/") not in PAGE_PATHS and not path.startswith(PAGE_FOLDERS):
        raise Refusal(404, "The page has no such part.")


def check_room() -> None:
    """Refuses an upload where those of the last half hour fill what they may; older ones are deleted.

    Raises:
        Refusal: If they do.
    """
    from gradio.utils import get_upload_folder

    if sum(map(_size, Path(get_upload_folder()).rglob("*"))) > MOST_KEPT:
        raise Refusal(507, "Too many pictures are kept here at the moment; try again in half an hour.")


def _size(path: Path) -> int:
    """Of a file in bytes; of one that was deleted meanwhile, nothing."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def check_question(body: bytes) -> None:
    """Refuses a request that names files other than uploaded ones.

    Raises:
        Refusal: If the body is no JSON, or an object in it has a ``path`` outside of the upload folder or a
            ``url`` that carries a file itself.
    """
    from gradio.utils import get_upload_folder

    try:
        question = json.loads(body or b"{}")
        for found in _objects(question):
            if found.get("path") is not None and not is_inside(found["path"], get_upload_folder()):
                raise Refusal(403, "The request names a file that was not uploaded here.")
            if str(found.get("url") or "").strip().lower().startswith("data:"):
                raise Refusal(403, "The request carries a file in an address; upload it.")
    except (ValueError, RecursionError):
        raise Refusal(400, "The request is no JSON.") from None


def _objects(value: Any) -> Iterator[dict]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _objects(part)


async def _checked_body(scope: dict, receive: Any) -> Any:
    """Measures a body by what it says of itself, reads a short one, and gives what to receive it from."""
    uploads = scope["path"].rstrip("/") == UPLOAD
    limit = MAX_BYTES + ENVELOPE if uploads else MAX_QUESTION
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    # A body in chunks ends where it likes, whatever length stands beside it (RFC 9112, 6.3).
    if not length.isdigit() or b"transfer-encoding" in headers:
        raise Refusal(411, "The request does not say how long it is.")
    if int(length) > limit:
        raise Refusal(413, f"The request is longer than {limit:,} bytes.")
    if uploads:
        check_room()
        return receive
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    check_question(body)
    return _again(body, receive)


def _again(body: bytes, receive: Any) -> Any:
    """What gives a body that was read already, and then whatever comes after it."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> dict:
        return pending.pop() if pending else await receive()

    return give


def _with_headers(send: Any) -> Any:
    """What sends an answer with `HEADERS`."""
    added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def send_with_headers(message: dict) -> None:
        if message["type"] == "http.response.start":
            message = message | {"headers": [*message.get("headers", []), *added]}
        await send(message)

    return send_with_headers
