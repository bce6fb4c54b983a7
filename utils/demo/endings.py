"""Ctrl-C and SIGTERM end the page at once, whatever it is doing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_TO_TIDY = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ending_on_signals(folder: Path) -> Iterator[None]:
    """Ends the process on Ctrl-C or SIGTERM, and deletes a folder before.

    Python runs a handler between two steps of the main thread, which may be far apart while a program is compiled,
    and on its way out waits for every thread that is still computing. So the system's own note of the signal is
    read in a thread, which does not wait for others.

    Args:
        folder: Of temporary files.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end, args=(reader, folder), name="endings", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        writer.close()


def _end(reader: socket.socket, folder: Path) -> None:
    with reader:
        told = reader.recv(1)
    if not told:  # the page ended by itself
        return
    tidying = threading.Thread(target=_tidy, args=(folder,), daemon=True)
    tidying.start()
    tidying.join(SECONDS_TO_TIDY)
    sys.stdout.flush()
    os._exit(0)


def _tidy(folder: Path) -> None:
    while folder.exists():  # again where somebody still wrote into it
        shutil.rmtree(folder, ignore_errors=True)
