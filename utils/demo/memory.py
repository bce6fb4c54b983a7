"""Memory that a large picture took is given back to the system."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's <malloc.h>: how many heaps threads share, and from which size on a block is the system's own.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
HEAPS, LARGE_BLOCK = 2, 2**20  # bytes


def give_memory_back() -> None:
    """Tells glibc to keep little of what was freed: left alone, each thread keeps what its largest picture took.

    Call it before threads are started. Where the C library is another one, nothing happens.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    for option, value in ((M_ARENA_MAX, HEAPS), (M_MMAP_THRESHOLD, LARGE_BLOCK), (M_TRIM_THRESHOLD, LARGE_BLOCK)):
        if hasattr(library, "mallopt"):
            library.mallopt(option, value)
