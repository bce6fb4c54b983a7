"""Fixtures that more than one test file needs."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Many tests compile the same small programs: each is compiled once and then read back.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


@pytest.fixture(scope="module")
def quick_compilation():
    """Tiny programs of many kinds: what their optimization costs, their running never earns."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def one_torch_thread():
    """torch's threads wait in loops, which on a busy machine takes the processor from JAX's."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The checkpoint folder of a tiny model, for the tests of one module."""
    from training_world import tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    """The tiny model of that folder."""
    from utils.clip import CLIP

    return CLIP.from_pretrained(folder)
