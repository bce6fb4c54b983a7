"""Stands before Gradio's server and lets through what the page needs, and nothing else.

Gradio serves more than a page uses (proxies, recordings, an editor), invites other sites' pages, fetches addresses
that a request names in place of an uploaded file, and takes JSON of any length, however slowly it comes. Here each
request is meant for this page and comes from it, asks for one of its paths or one of its own questions, is short,
comes in time and finds room (`limits`), and names no file but an uploaded one. What goes back is the page's own or a
sentence, forbids the browser to load anything from elsewhere, and invites nobody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from fnmatch import fnmatchcase
from ipaddress import ip_address
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from utils.demo import limits
from utils.demo.files import is_visitor_file
from utils.demo.thumbnails import NAME as THUMBNAIL

if TYPE_CHECKING:
    import gradio as gr

LOG = logging.getLogger("uvicorn.error")
UPLOAD, RESET = "/gradio_api/upload", "/gradio_api/reset"
JOIN = "/gradio_api/queue/join"  # where the page asks, by number
CALL = "/gradio_api/call/"  # where programs ask, by name
LISTEN = "/gradio_api/queue/data"
POSTED = frozenset((UPLOAD, JOIN, RESET))
READ = frozenset((
    "/", "/config", "/favicon.ico", "/manifest.json", "/theme.css", "/gradio_api/heartbeat", "/gradio_api/info",
    LISTEN, "/gradio_api/startup-events", "/gradio_api/theme.css", "/gradio_api/upload_progress",
))  # fmt: skip
READ_FOLDERS = ("/assets/", "/static/", "/gradio_api/heartbeat/")
ASKED = re.compile(re.escape(CALL) + r"(?P<name>\w+)(/(?P<event>\w+))?")
FILES = "/gradio_api/file="
MAX_QUESTION = 64 * 1024  # bytes of a request that is not an upload
MAX_SESSION = 64  # letters of a name that a page gives itself
MAX_PATH = 200  # letters of an address that names no upload
MAX_QUERY = 1024  # letters behind its question mark
ENVELOPE = 16 * 1024  # bytes around an uploaded file
BOUNDARY = re.compile(r"multipart/form-data;.*\bboundary=\"?([^\";,\s]{1,70})\"?", re.IGNORECASE)
# Gradio's page compiles its templates and carries its styles inline; nothing is fetched but from this server.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
HEADERS = Headers(
    {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
).raw
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
EVERYWHERE = frozenset(("0.0.0.0", "::", ""))  # to listen at
AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:(?P<port>[0-9]{1,5}))?")
PORTS = {"http": 80, "https": 443}  # where an address names none
# Headers that speak for a server in between: Gradio makes addresses of them, uvicorn the visitor's own.
OF_GRADIO, OF_PROXIES = b"x-gradio-", (b"x-forwarded-", b"forwarded")
# What is said in place of what Gradio says of itself, by HTTP status.
SENTENCES = {
    404: "There is no such thing here, or no longer; ask again.",
    405: "The page is not asked in this way.",
    413: "The request is longer than what is read here.",
    503: "The page has too much to do at the moment; try again soon.",
}
NOT_THIS_NAME = "The page does not answer to this name and port; who started it can add them: --allow-host."
NOT_OURS = "The request is not one that this page sends."
NO_ANSWER = "The page could not answer this; try again, or ask something else."


class Guard:
    """ASGI application around another; see the module."""

    def __init__(self, app: Any, hosts: Hosts, questions: Questions, waiting: limits.QuestionLimits) -> None:
        self.app, self.hosts, self.questions, self.waiting = app, hosts, questions, waiting
        self.uploads = limits.UploadLimits()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
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
            if len(scope["query_string"]) > MAX_QUERY:
                raise HTTPException(414, "The address is longer than what is read here.")
            scope = self.hosts.without_hearsay(scope)
            if scope["method"] == "POST":
                await self._post(scope, receive, reply)
            else:
                await self._read(scope, receive, reply)
        except HTTPException as refusal:
            if not reply.started:
                await reply.refuse(refusal.status_code, refusal.detail)

    async def _post(self, scope: dict[str, Any], receive: Any, reply: Reply) -> None:
        path, client, headers = scope["path"].rstrip("/"), limits.client_of(scope.get("client")), Headers(scope=scope)
        kind = headers.get("content-type", "")
        length = _announced_length(headers, limits.MAX_BYTES + ENVELOPE if path == UPLOAD else MAX_QUESTION)
        if path == UPLOAD:
            boundary = BOUNDARY.match(kind)
            if boundary is None:
                raise HTTPException(415, "An upload must be a form with a file.")
            with self.uploads.upload(client, length) as upload:
                await self._pass(scope, upload.receiver(receive, boundary[1].encode("latin-1")), reply)
            return
        try:
            body = await asyncio.wait_for(Request(scope, receive).body(), limits.SECONDS_TO_BEGIN)
            question = json.loads(body or b"{}")
        except (TimeoutError, ClientDisconnect):
            raise HTTPException(408, "The request came too slowly or broke off; send it again.") from None
        except (ValueError, RecursionError):
            raise HTTPException(400, "The request is not JSON.") from None
        if not kind.lower().startswith("application/json"):
            raise HTTPException(415, "The request does not say that it is JSON.")
        place: AbstractAsyncContextManager[None] = nullcontext()
        if path != RESET:
            question = self.questions.check(path, question)
            place = self.waiting.asking(client, question["session_hash"])
        pending = [{"type": "http.request", "body": json.dumps(question).encode(), "more_body": False}]

        async def receive_again() -> dict[str, Any]:
            return pending.pop() if pending else await receive()

        async with place:
            await self._pass(scope, receive_again, reply)

    async def _read(self, scope: dict[str, Any], receive: Any, reply: Reply) -> None:
        path, client = scope["path"].rstrip("/"), limits.client_of(scope.get("client"))
        asked, session = ASKED.fullmatch(path), None
        if asked is not None:
            session = self.waiting.session_of(asked["event"])
        elif path == LISTEN:
            session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        with nullcontext() if session is None else self.waiting.listening(client, session):
            await self._pass(scope, receive, reply)

    async def _pass(self, scope: dict[str, Any], receive: Any, reply: Reply) -> None:
        """Passes a request on; what fails behind is a line in the log and a sentence to the visitor."""
        try:
            await self.app(scope, receive, reply.send)
        except Exception as error:
            if not isinstance(error, ClientDisconnect):
                request = f"{scope['method']} {scope['path'][:100]!r}"
                LOG.error("%s failed: %s: %.200r", request, type(error).__name__, str(error))
            if not reply.started:
                raise HTTPException(500, NO_ANSWER) from None


class Reply:
    """What goes back, with `HEADERS`; an error of the application behind becomes a sentence."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._failed = self.started = False

    async def refuse(self, status: int, sentence: str) -> None:
        """Sends a sentence, as JSON where the page's script reads it."""
        self.started = True
        answer: Response = PlainTextResponse(f"{sentence}\n", status)
        if self._scope["path"].startswith(("/gradio_api/queue/", CALL)):
            answer = JSONResponse({"detail": sentence}, status)
        await answer(self._scope, self._receive, self._with_headers)

    async def send(self, message: dict[str, Any]) -> None:
        """Sends what the application does, as ASGI's ``send``."""
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._failed, status = True, message["status"]
            await self.refuse(status, SENTENCES.get(status, NO_ANSWER if status >= 500 else NOT_OURS))
        if self._failed:
            return
        self.started = True
        await self._with_headers(message)

    async def _with_headers(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            sent = message.get("headers", [])
            kept = [pair for pair in sent if not pair[0].lower().startswith(b"access-control-")]
            message = message | {"headers": [*kept, *HEADERS]}
        await self._send(message)


def check_path(path: str, method: str) -> None:
    """Refuses a path that is none of the page's, or is not asked for in this way, with an HTTPException."""
    bare, asked = path.rstrip("/") or "/", ASKED.fullmatch(path.rstrip("/"))
    if path.startswith(FILES):
        if not is_visitor_file(path.removeprefix(FILES)):
            raise HTTPException(403, "Only what was uploaded or made here is served.")
    elif len(path) > MAX_PATH or not (
        bare in READ | POSTED or asked or path.startswith(READ_FOLDERS) or THUMBNAIL.fullmatch(path)
    ):
        raise HTTPException(404, "The page has no such part.")
    posted = bare in POSTED or (asked is not None and asked["event"] is None)
    if method not in (("POST",) if posted else ("GET", "HEAD")):
        raise HTTPException(405, SENTENCES[405])


def _announced_length(headers: Headers, limit: int) -> int:
    """What a request says of its body's length in bytes."""
    length = headers.get("content-length", "")
    # A body in chunks ends where it likes, whatever length stands beside it (RFC 9112, 6.3).
    if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
        raise HTTPException(411, "The request does not say how long it is.")
    if len(length) > 12 or int(length) > limit:
        raise HTTPException(413, f"The request is longer than {limit:,} bytes.")
    return int(length)


class Questions:
    """What may be asked: the page asks by number, programs ask the public questions by name."""

    def __init__(self, blocks: gr.Blocks) -> None:
        # For each input of a question, whether it is a file.
        self.by_number = {
            number: [getattr(component, "data_model", None) is not None for component in fn.inputs]
            for number, fn in blocks.fns.items()
        }
        public = ((fn.api_name, number) for number, fn in blocks.fns.items() if fn.api_visibility == "public")
        self.by_name = {str(name): self.by_number[number] for name, number in public if name}

    def check(self, path: str, question: Any) -> dict[str, Any]:
        """A question, sent to `JOIN` or to `CALL` and a name, with nothing but what the page uses of it.

        An HTTPException says that there is no such question, or that it has other inputs.
        """
        if not isinstance(question, dict):
            raise HTTPException(422, NOT_OURS)
        number, by_page = question.get("fn_index"), path == JOIN
        known = self.by_number.get(number) if type(number) is int else None
        files = known if by_page else self.by_name.get(path.removeprefix(CALL))
        if files is None:
            names = ", ".join(self.by_name)
            raise HTTPException(422 if by_page else 404, f"There is no such question; by name there are {names}.")
        data, session = question.get("data"), question.get("session_hash")
        if session is None and not by_page:  # a program need not name one
            session = token_hex()
        if not isinstance(data, list) or len(data) != len(files):
            raise HTTPException(422, f"The question needs its {len(files)} inputs as a list named data.")
        if not (isinstance(session, str) and 0 < len(session) <= MAX_SESSION and session.isascii()):
            raise HTTPException(422, f"The session's name must be up to {MAX_SESSION} plain letters.")
        kept = {"data": list(map(_cleaned, data, files)), "session_hash": session}
        if not by_page:
            return kept
        trigger, event = question.get("trigger_id"), question.get("event_data")
        clicked = event.items() if isinstance(event, dict) else ()
        return kept | {
            "fn_index": number,
            "event_data": {key: value for key, value in clicked if isinstance(value, str)},
            "trigger_id": trigger if type(trigger) is int else None,
        }


def _cleaned(value: Any, is_file: bool) -> Any:
    """An input as the page has them: a file by its path, or else a text or a number; other shapes become None."""
    if isinstance(value, dict):
        carries_file = str(value.get("url") or "").strip().lower().startswith("data:")
        if not is_file or carries_file or not is_visitor_file(value.get("path")):
            raise HTTPException(403, "The request names a file that was not uploaded here.")
        return {"path": value["path"], "meta": {"_type": "gradio.FileData"}}
    return None if is_file or isinstance(value, list) else value


class Authority(NamedTuple):
    """A name in lower case, or an address in its shortest form, and the port if one was given."""

    name: str
    port: int | None


class Hosts:
    """The names that a page answers to which listens at a host; added are ``name[:port]`` or ``*.name``.

    A browser tells in ``Host`` by which name it reached a server, and in ``Origin`` whose page is asking. Another
    site's page can make a visitor's browser send requests to any address, and with a name of its own that suddenly
    points here (DNS rebinding) even read the answers; but then the name, or the origin, is that site's. Starlette's
    `TrustedHostMiddleware` looks at names alone; here the port, the origin and the local address count as well.
    """

    def __init__(self, host: str, added: Sequence[str] = ()) -> None:
        self.host = _shortest(host.lower())
        self.added: list[Authority] = []
        for name in added:
            authority = _authority(name.removeprefix("*."))
            if authority is None:
                raise ValueError(
                    f"{name!r} is not the name of a host; give one as the browser's address line shows it, such as "
                    "demo.example.org, demo.example.org:8080 or *.example.org."
                )
            self.added.append(authority._replace(name=f"*.{authority.name}") if name.startswith("*.") else authority)

    def check(self, scope: dict[str, Any]) -> None:
        """Refuses an ASGI request to another name, or by another site's page: an HTTPException of status 403."""
        headers = Headers(scope=scope)
        names = headers.getlist("host")
        asked = _authority(names[0]) if len(names) == 1 else None
        added = asked is not None and self._is_added(asked)
        if asked is None or not (added or self._is_own(asked, *scope["server"])):
            raise HTTPException(403, NOT_THIS_NAME)
        # A proxy that asks by a name of its own tells here by which one it was asked itself.
        for told in headers.getlist("x-forwarded-host") if self.added else ():
            if (before := _authority(told.partition(",")[0].strip())) is None or not self._is_added(before):
                raise HTTPException(403, NOT_THIS_NAME)
        if not all(self._is_same(origin, asked) for origin in headers.getlist("origin")):
            raise HTTPException(403, "The page answers only requests that it sends itself, not another site's.")
        foreign = not {"cross-site", "same-site"}.isdisjoint(headers.getlist("sec-fetch-site"))
        opens = scope["method"] in ("GET", "HEAD") and headers.getlist("sec-fetch-mode") == ["navigate"]
        # Behind a proxy the browser may count the page and what shows it as two sites.
        if foreign and not opens and not added:
            raise HTTPException(403, "The page is not part of another site's page; open it by its own address.")

    def without_hearsay(self, scope: dict[str, Any]) -> dict[str, Any]:
        """An ASGI request without what only a proxy may say, if there is none, and what Gradio's own servers say."""
        untold = (OF_GRADIO,) if self.added else (OF_GRADIO, *OF_PROXIES)
        return scope | {"headers": [pair for pair in scope["headers"] if not pair[0].startswith(untold)]}

    def _is_own(self, asked: Authority, local: str, port: int) -> bool:
        """Whether this is the machine's own name and port, as far as the page was told to listen there."""
        names = set(LOOPBACK) if self.host in LOOPBACK | EVERYWHERE else {self.host}
        if self.host not in LOOPBACK:  # by whatever address the request came in
            names.add(_shortest(local))
        return asked.name in names and (asked.port or PORTS["http"]) == port

    def _is_added(self, asked: Authority) -> bool:
        return any(fnmatchcase(asked.name, name) and port in (None, asked.port) for name, port in self.added)

    def _is_same(self, origin: str, asked: Authority) -> bool:
        """Whether the page that asks is the one that is asked, or lies behind an added name."""
        scheme, _, rest = origin.lower().partition("://")
        default, asker = PORTS.get(scheme), _authority(rest)
        if default is None or asker is None:
            return False
        same = asker.name == asked.name and (asker.port or default) == (asked.port or default)
        return same or self._is_added(asker)


def _authority(text: str) -> Authority | None:
    found = AUTHORITY.fullmatch(text.lower())
    return Authority(_shortest(found["name"]), int(found["port"]) if found["port"] else None) if found else None


def _shortest(name: str) -> str:
    name = name.strip("[]")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)
