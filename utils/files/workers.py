"""Processes that work for another and end with it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(count: int) -> ProcessPoolExecutor:
    """Processes to compute in, none of which outlives this one, however it ends.

    They are spawned, since a fork of a process that runs threads (JAX's, torch's) may hang. A `BrokenProcessPool` says
    that there can be none, as where a container has no /dev/shm to write to.
    """
    try:
        count = min(count, 61) if sys.platform == "win32" else count  # it can wait for no more at once
        return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_watch_parent)
    except OSError as error:
        raise BrokenProcessPool(f"No processes can be started to share the work ({error}).") from error


def _watch_parent() -> None:
    """A killed parent tells its workers nothing: each would wait for its next job forever."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)  # not sys.exit, which would end this thread alone
