"""Fixtures that more than one test file needs."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Many tests compile the same small programs: each is compiled once and then read back.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder of real data beside the checkout, which only developers and CI have.

    With REQUIRE_SHARED=1 its absence fails the test instead of skipping it.
    """
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        reason = "the folder of real data (../shared) is not on this machine"
        (pytest.fail if os.environ.get("REQUIRE_SHARED") == "1" else pytest.skip)(reason)
    return folder
