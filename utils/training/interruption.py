"""Stopping when asked: the step in hand is finished and saved, and the next start resumes behind it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class TrainingStopped(KeyboardInterrupt):
    """A run that was interrupted and saved; starting it again resumes it."""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this: in a notebook one line says it all."""
        return [str(self)]


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first interrupt (Ctrl-C, a notebook's stop button) into a request; the second one interrupts.

    An interrupt in the middle of a step would leave the state donated and the data one batch ahead. Outside the
    main thread, where Python allows no handler, interrupts act as usual. Yields whether a stop was asked for.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
