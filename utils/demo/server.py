"""Starts the server for the page: on this machine alone unless told otherwise, shared with nobody, tidy.

Gradio's own `launch` asks for its own page over HTTP before it says that it is ready (through a proxy, where the
environment names one), answers other sites' requests before any middleware sees them, and gives uvicorn no limits.
So Gradio makes the application here, and the server around it is uvicorn with `utils.demo.guard.Guard` outermost.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from utils.demo.files import sweep
from utils.demo.guard import EVERYWHERE, Guard, Hosts, Questions
from utils.demo.limits import MAX_BYTES, SECONDS_BETWEEN_SWEEPS, QuestionLimits, client_of
from utils.demo.thumbnails import ROUTE, Thumbnails

if TYPE_CHECKING:
    from utils.demo.page import Page

SESSIONS_KEPT = 128  # Gradio keeps the last answer of each, up to half a megabyte
FIRST_PORT, PORTS_TRIED = 7860, 100
SECONDS_TO_STOP = 2
HEIGHT = 900  # pixels of the page in a notebook
ON_COLAB = "COLAB_RELEASE_TAG" in os.environ
COLAB_HOSTS = ("*.colab.dev", "*.googleusercontent.com")  # where Colab shows a port of its machine
# What Gradio offers beside a page.
SWITCHED_OFF = ("run_history", "show_error", "ssr_mode", "enable_monitoring", "pwa", "mcp_server")
MAX_CONNECTIONS = 512  # many systems let a process have 1024 files open
MAX_CONNECTIONS_PER_CLIENT = 256  # a class behind one address, six for each browser
SECONDS_FOR_HEADERS = 10  # from the connection, or the last answer, to a request
SECONDS_UNREAD = 30.0  # that an answer may wait to be read on


def serve(
    blocks: Page,
    host: str = "127.0.0.1",
    port: int | None = None,
    inline: bool = False,
    allow_hosts: Sequence[str] = (),
) -> str:
    """Serves a page from `utils.demo.demo_blocks` and returns its address; ``blocks.close()`` ends it.

    The default host is reached from this machine only; without a port the first free one from 7860 is taken;
    ``inline`` shows the page in the notebook's cell. Where a proxy stands before the page, ``allow_hosts`` are further
    names that it answers to: ``name``, ``name:port`` or ``*.name``; on Colab and in a Space theirs are known. An
    OSError says that the port is taken or the address not this machine's, a ValueError that a name is not a name.
    """
    space = os.environ.get("SPACE_HOST")  # set in a Hugging Face Space
    host = host.strip("[]")
    hosts = Hosts(host, (*allow_hosts, *([space] if space else ()), *(COLAB_HOSTS if ON_COLAB else ())))
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    guard = Guard(_application(blocks, port), hosts, Questions(blocks), QuestionLimits(blocks._queue))
    server = Server(guard, listening, Path(blocks.app.uploaded_file_dir), behind_proxy=bool(hosts.added))
    blocks.server = server  # type: ignore[assignment]  # Gradio only closes it
    server.start()
    name = "localhost" if host in EVERYWHERE else host
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    if inline and ON_COLAB:
        from google.colab import output

        output.serve_kernel_port_as_iframe(port, height=HEIGHT)
    elif inline:
        from IPython.display import IFrame, display

        display(IFrame(address, "100%", HEIGHT, extras=['allow="clipboard-read; clipboard-write"']))
    return address


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket at a port, or at the first free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,):
        try:
            return socket.create_server((host, number), family=family, dualstack_ipv6=host == "::")
        except OverflowError:
            raise OSError(f"There is no port {number}; name one from 1 to 65535.") from None
        except OSError as error:
            problem = error.strerror or error
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):  # Windows keeps some ports for itself
                break
    place = f"{host}, port {port or f'from {FIRST_PORT} on'}"
    raise OSError(f"The page cannot be served at {place} ({problem}); name another port or address.")


def _application(blocks: Page, port: int) -> Any:
    """Gradio's application for the page, as an ASGI application of its own."""
    import gradio as gr
    from fastapi import FastAPI

    from utils.demo.page import page_theme
    from utils.demo.searching import ADDRESS_SCRIPT

    blocks.state_session_capacity = SESSIONS_KEPT
    outer: Any = FastAPI(openapi_url=None)
    outer.add_route(f"{ROUTE}{{rest:path}}", partial(_thumbnail, blocks.thumbnails))  # before Gradio's, which takes all
    gr.mount_gradio_app(
        outer,
        blocks,
        path="/",
        server_port=port,
        footer_links=[],
        max_file_size=MAX_BYTES,
        theme=page_theme(),
        head=ADDRESS_SCRIPT,
        css_paths=Path(__file__).with_name("page.css"),
        **dict.fromkeys(SWITCHED_OFF, False),
    )
    blocks.app = blocks.server_app = outer.routes[-1].app
    blocks.has_launched = True
    return outer


def _thumbnail(thumbnails: Thumbnails, request: Request) -> Response:
    """An image of the index, small, which a browser may keep."""
    path = thumbnails.find(request.url.path)
    if path is None:
        return Response(status_code=404)
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


class Server(uvicorn.Server):
    """uvicorn in a thread of its own, which now and then sweeps the folder of uploads."""

    def __init__(self, app: Any, listening: socket.socket, uploads: Path, behind_proxy: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                log_level="error",
                server_header=False,
                proxy_headers=behind_proxy,
                timeout_graceful_shutdown=1,
                callback_notify=partial(asyncio.to_thread, sweep, uploads),
                timeout_notify=SECONDS_BETWEEN_SWEEPS,
            )
        )
        self._listening = listening
        self._thread = threading.Thread(target=self.run, args=([listening],), name="page", daemon=True)

    def start(self) -> None:
        """Returns when the server answers; raises an OSError if it does not begin to."""
        self._thread.start()
        while not self.started:
            if not self._thread.is_alive():
                self._listening.close()
                raise OSError("The page's server did not start; the lines above say why.")
            time.sleep(0.01)

    def close(self) -> None:
        """Ends the server, whatever is under way."""
        self.should_exit = True
        self._thread.join(SECONDS_TO_STOP)
        self._listening.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Hangs up: the page keeps a connection open for as long as it is looked at."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


class Connection(H11Protocol):
    """One connection of uvicorn's, with an end: so many of one client, and none that waits for it forever.

    uvicorn's ``limit_concurrency`` knows no clients, and its ``timeout_keep_alive`` runs only after an answer; a
    request whose headers come a letter at a time, or an answer that is never read, would keep a connection forever.
    """

    _for_reading: asyncio.TimerHandle  # set while the visitor does not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begins, or hangs up where there are too many already."""
        super().connection_made(transport)
        clients = [client_of(other.client) for other in self.connections if isinstance(other, Connection)]
        same = clients.count(client_of(self.client))
        if len(self.connections) > MAX_CONNECTIONS or same > MAX_CONNECTIONS_PER_CLIENT:
            transport.abort()
            return
        self.timeout_keep_alive = SECONDS_FOR_HEADERS
        self.timeout_keep_alive_task = self.loop.call_later(SECONDS_FOR_HEADERS, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """Ends the wait for a request when its headers are there, and not at its first letter as uvicorn does."""
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        answered = self.cycle
        super().data_received(data)
        if self.cycle is answered:
            self.timeout_keep_alive_task = timer
        elif timer is not None:
            timer.cancel()

    def timeout_keep_alive_handler(self) -> None:
        """Hangs up, even on a visitor who has not read the last answer."""
        self.transport.abort()

    def on_response_complete(self) -> None:
        """Waits for the next request, or for a visitor to read what closes the connection."""
        super().on_response_complete()
        if self.transport.is_closing():
            self.loop.call_later(SECONDS_UNREAD, self.transport.abort)

    def pause_writing(self) -> None:
        """Hangs up where the visitor does not read on in time."""
        super().pause_writing()
        self._for_reading = self.loop.call_later(SECONDS_UNREAD, self.transport.abort)

    def resume_writing(self) -> None:
        """Ends that wait."""
        self._for_reading.cancel()
        super().resume_writing()
