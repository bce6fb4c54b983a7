"""Interrupts: a run ends at a step that is saved, and says how to resume it; several processes end at the same one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.experimental import multihost_utils

from utils.training import processes


class TrainingStopped(KeyboardInterrupt):
    """A run that was interrupted and saved; starting it again resumes it."""

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this: in a notebook one line says it all."""
        return [str(self)]


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first interrupt (Ctrl-C, a notebook's stop button) into a request; yields whether there was one.

    An interrupt in the middle of a step would leave the state donated and the data one batch ahead. The second one
    interrupts, and outside the main thread, where Python allows no handler, so does the first. Of several processes
    one alone may have been asked, so they want `stopping_together`.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        if jax.process_count() > 1:
            signal.raise_signal(signal.SIGTERM)  # which JAX tells all others of

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def stopping_together(step: int, asked: Callable[[], bool]) -> bool:
    """Whether the run is to stop after a step: the same in all processes, which call it at every step.

    Of several one is asked by SIGTERM, as a scheduler sends it to what must end; JAX then chooses the step.
    """
    if jax.process_count() == 1:
        return asked()
    with processes.waiting():
        return multihost_utils.reached_preemption_sync_point(step)
