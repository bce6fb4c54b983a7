"""What packages do as they are imported, and had better not: load others that are not needed, and set up logging."""

from __future__ import annotations

import logging
import logging.config
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Within it, Python takes a package for one that is not installed, unless it has been imported before."""
    hides = package not in sys.modules
    if hides:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hides:
            del sys.modules[package]


@contextmanager
def logging_left_alone() -> Iterator[None]:
    """Within it nobody can set up logging, which is the program's to do.

    Orbax would give the root a handler, whereupon ``logging.basicConfig`` does nothing any more (google/orbax#1248);
    pymilvus would close every handler of the process, log files too (milvus-io/pymilvus#3794).
    """
    kept = logging.basicConfig, logging.config.dictConfig
    logging.basicConfig = logging.config.dictConfig = lambda *_, **__: None  # type: ignore[assignment]
    try:
        yield
    finally:
        logging.basicConfig, logging.config.dictConfig = kept
