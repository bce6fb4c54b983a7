"""Stands before Gradio's server and lets through what the page needs, and nothing else.

Gradio serves more than a page uses (proxies, recordings, an editor), invites other sites' pages, fetches addresses
that a request names in place of an uploaded file, and takes JSON of any length, however slowly it comes. Here each
request is held against these rules: it is meant for this page and comes from it (`hosts`); its path is one that
the page asks for; its body says its length, is short enough and comes in time, and there is room for it (`room`);
every file that it names lies in the upload folder, and it asks one of the page's own questions (`questions`), of
which not too many wait (`jobs`); and what goes back is the page's own or a sentence, forbids the browser to load
anything from elsewhere, and invites nobody.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any
from urllib.parse import parse_qs

from utils.demo.hosts import Hosts
from utils.demo.jobs import Jobs, client_of
from utils.demo.questions import CALL, JOIN, Questions, parse
from utils.demo.refusals import Refusal, failure, refuse
from utils.demo.room import Room, in_time
from utils.demo.uploads import MAX_BYTES, is_inside

LOG = logging.getLogger("uvicorn.error")
UPLOAD = "/gradio_api/upload"
LISTEN = "/gradio_api/queue/data"
POSTED = frozenset((UPLOAD, JOIN, "/gradio_api/reset"))
READ = frozenset(
    (
        "/",
        "/config",
        "/favicon.ico",
        "/manifest.json",
        "/theme.css",
        "/gradio_api/heartbeat",
        "/gradio_api/info",
        LISTEN,
        "/gradio_api/startup-events",
        "/gradio_api/theme.css",
        "/gradio_api/upload_progress",
    )
)
READ_FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/")
ASKED = re.compile(re.escape(CALL) + r"(?P<name>\w+)(/(?P<event>\w+))?")
FILES = "/gradio_api/file="
MAX_QUESTION = 64 * 1024  # bytes of a request that is no upload
MAX_PATH = 200  # letters of an address that names no upload
ENVELOPE = 16 * 1024  # bytes around an uploaded file
BOUNDARY = re.compile(r"multipart/form-data;.*\bboundary=\"?([^\";,\s]{1,70})\"?", re.IGNORECASE)
# Gradio's page compiles its templates and carries its styles inline; nothing is fetched but from this server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}


class Guard:
    """ASGI application around another; see the module.

    Args:
        app: What is guarded.
        hosts: The names that it answers to.
        questions: What it may be asked.
        jobs: Those that wait.
    """

    def __init__(self, app: Any, hosts: Hosts, questions: Questions, jobs: Jobs) -> None:
        self.app, self.hosts, self.questions, self.jobs = app, hosts, questions, jobs
        self.room = Room()

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Answers a request or refuses it."""
        if scope["type"] == "websocket":  # the page opens none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reply = Reply(scope, receive, send)
        try:
            self.hosts.check(scope)
            check_path(scope["path"], scope["method"])
            if scope["method"] == "POST":
                await self._post(scope, receive, reply)
            else:
                await self._read(scope, receive, reply)
        except Refusal as refusal:
            if not reply.started:
                await reply.refuse(refusal)

    async def _post(self, scope: dict, receive: Any, reply: Reply) -> None:
        path, client = scope["path"].rstrip("/"), client_of(scope)
        length = announced_length(scope, MAX_BYTES + ENVELOPE if path == UPLOAD else MAX_QUESTION)
        kind = _header(scope, b"content-type")
        if path == UPLOAD:
            boundary = BOUNDARY.match(kind)
            if boundary is None:
                raise Refusal(415, "An upload must be a form with a file.")
            with self.room.upload(client, length) as upload:
                received = upload.receiver(receive, boundary[1].encode("latin-1"))
                await self._pass(scope, received, reply)
            return
        body = await whole_body(receive)
        question = parse(body)
        if not kind.lower().startswith("application/json"):
            raise Refusal(415, "The request does not say that it is JSON.")
        if path in POSTED and path != JOIN:
            await self._pass(scope, _again(body, receive), reply)
            return
        question = self.questions.check(path, question)
        session = question["session_hash"]
        body = json.dumps(question).encode()
        reply.accepted = lambda event: self.jobs.note(event, client, session)
        async with self.jobs.asking(client, session):
            await self._pass(_of_length(scope, len(body)), _again(body, receive), reply)

    async def _read(self, scope: dict, receive: Any, reply: Reply) -> None:
        asked = ASKED.fullmatch(scope["path"].rstrip("/"))
        if asked is not None:
            session = self.jobs.session_of(asked["event"])
        elif scope["path"].rstrip("/") == LISTEN:
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        else:
            await self._pass(scope, receive, reply)
            return
        with self.jobs.listening(session):
            await self._pass(scope, receive, reply)

    async def _pass(self, scope: dict, receive: Any, reply: Reply) -> None:
        """Hands on a request; what goes wrong behind is a line in the log and a sentence to the visitor."""
        gone = False

        async def noting() -> dict:
            nonlocal gone
            message = await receive()
            gone = gone or message["type"] == "http.disconnect"
            return message

        try:
            await self.app(scope, noting, reply.send)
        except Refusal:
            raise
        except Exception as error:
            if not gone:
                request = f"{scope['method']} {scope['path'][:100]!r}"
                LOG.error("%s failed: %s: %.200r", request, type(error).__name__, str(error))
            if not reply.started:
                raise failure(500) from None


class Reply:
    """What goes back, with `HEADERS`; a failure of the parts behind is put in a sentence.

    Args:
        scope: Of the request.
        receive: Where it comes from.
        send: Where the answer goes.
    """

    def __init__(self, scope: dict, receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._body = b""
        self._failed = self.started = False
        self.accepted: Any = None  # is told of a question that Gradio took, by its number

    async def refuse(self, refusal: Refusal) -> None:
        """Sends a refusal."""
        self.started = True
        await refuse(refusal, self._scope, self._receive, self._with_headers)

    async def send(self, message: dict) -> None:
        """Sends what the application does."""
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._failed = True
            await self.refuse(failure(message["status"]))
        if self._failed:
            return
        self.started = True
        if self.accepted is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                self.accepted(parse(self._body)["event_id"])
        await self._with_headers(message)

    async def _with_headers(self, message: dict) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if not name.lower().startswith(b"access-control-")
            ]
            added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            message = message | {"headers": [*kept, *added]}
        await self._send(message)


def check_path(path: str, method: str = "GET") -> None:
    """Refuses what the page never asks for.

    Raises:
        Refusal: If the path is none of the page's, or is not asked for in this way.
    """
    bare, asked = path.rstrip("/") or "/", ASKED.fullmatch(path.rstrip("/"))
    if path.startswith(FILES):
        from gradio.utils import get_upload_folder

        if not is_inside(path.removeprefix(FILES), get_upload_folder()):
            raise Refusal(403, "Only what was uploaded or made here is served.")
    elif len(path) > MAX_PATH or not (bare in READ | POSTED or asked or path.startswith(READ_FOLDERS)):
        raise Refusal(404, "The page has no such part.")
    posted = bare in POSTED or (asked is not None and asked["event"] is None)
    if method not in (("POST",) if posted else ("GET", "HEAD")):
        raise failure(405)


def announced_length(scope: dict, limit: int) -> int:
    """What a request says of its body's length in bytes.

    Raises:
        Refusal: If it says nothing, or more than the limit.
    """
    length = _header(scope, b"content-length")
    # A body in chunks ends where it likes, whatever length stands beside it (RFC 9112, 6.3).
    if not (length.isascii() and length.isdigit()) or _header(scope, b"transfer-encoding"):
        raise Refusal(411, "The request does not say how long it is.")
    if len(length) > 12 or int(length) > limit:
        raise Refusal(413, f"The request is longer than {limit:,} bytes.")
    return int(length)


async def whole_body(receive: Any) -> bytes:
    """Reads a short body.

    Raises:
        Refusal: If it breaks off, or comes too slowly.
    """
    began, body, more = time.monotonic(), b"", True
    while more:
        message = await in_time(receive, began, 0)
        if message is None or message["type"] == "http.disconnect":
            raise Refusal(408, "The request came too slowly or broke off; send it again.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _header(scope: dict, name: bytes) -> str:
    return dict(scope["headers"]).get(name, b"").decode("latin-1")


def _of_length(scope: dict, length: int) -> dict:
    """A request whose body has another length now."""
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
    return scope | {"headers": [*headers, (b"content-length", str(length).encode())]}


def _again(body: bytes, receive: Any) -> Any:
    """What gives a body that was read already, and then whatever comes after it."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> dict:
        return pending.pop() if pending else await receive()

    return give
