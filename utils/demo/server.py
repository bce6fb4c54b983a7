"""Starts the server for the page: on this machine alone unless told otherwise, shared with nobody, tidy."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from utils.demo.guard import Guard
from utils.demo.look import PAGE_STYLE, theme
from utils.demo.uploads import MAX_BYTES

if TYPE_CHECKING:
    import gradio as gr

SESSIONS_KEPT = 128  # Gradio keeps the last answer of each, up to half a megabyte


def serve(blocks: gr.Blocks, host: str = "127.0.0.1", port: int | None = None, inline: bool = False) -> str:
    """Serves the page and returns at once; ``blocks.close()`` ends it.

    Nothing is shared through Gradio's tunnel, nothing is reported, no folder is opened to visitors, and every
    request passes `utils.demo.guard.Guard`.

    Args:
        blocks: From `utils.demo.demo_blocks`.
        host: The address to listen on; the default is reached from this machine only.
        port: The port; None takes the first free one from 7860.
        inline: Whether to show the page in the notebook's cell.

    Returns:
        The page's address.

    Raises:
        OSError: If the port is taken.
    """
    try:
        return _launch(blocks, host, port, inline)
    except OSError as error:
        raise OSError(
            f"The page cannot be served at {host}, port {port or 'from 7860 on'} ({error.strerror or 'it is taken'}); "
            "name another port."
        ) from None


def _launch(blocks: gr.Blocks, host: str, port: int | None, inline: bool) -> str:
    from starlette.middleware import Middleware

    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        inline=inline,
        height=900,
        quiet=True,
        prevent_thread_lock=True,
        share=False,
        show_error=False,
        max_file_size=MAX_BYTES,
        state_session_capacity=SESSIONS_KEPT,
        app_kwargs={"middleware": [Middleware(Guard)]},
        enable_monitoring=False,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        footer_links=[],
        theme=theme(),
        css=PAGE_STYLE,
    )
    return address


@contextmanager
def temporary_cache() -> Iterator[None]:
    """Gives Gradio a folder for uploaded and made files that is gone afterwards; enter before making a page."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    with tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["GRADIO_TEMP_DIR"]
            else:
                os.environ["GRADIO_TEMP_DIR"] = before
