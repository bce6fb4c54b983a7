"""Processes that work for another and end with it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(count: int) -> ProcessPoolExecutor:
    """Processes to compute in, none of which outlives this one, however it ends.

    They are spawned, since a fork of a process that runs threads (JAX's, torch's) may hang.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=end_with_parent)


def end_with_parent() -> None:
    """Ends this process as soon as its parent has ended; a worker calls it first of all.

    A killed parent tells its workers nothing: each would wait for its next job forever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)  # not sys.exit, which would end this thread alone
