"""Fixtures that more than one test file needs."""

import os
import shutil
import signal
import sys
import tempfile
from itertools import count
from pathlib import Path

import nbval.kernel
import pytest

ROOT = Path(__file__).resolve().parents[1]

# A shell that runs the tests in its background lets them ignore Ctrl-C, and all that they start with them.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Many tests compile the same small programs: each is compiled once and then read back.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# The kernels of nbval are spoken to by files, as those of the course are: a free port may be another test's before the
# kernel has it.
if sys.platform != "win32":
    PLACES, NUMBERS, FROM_NBVAL = tempfile.TemporaryDirectory(prefix="kernels-"), count(), nbval.kernel.KernelManager
    nbval.kernel.KernelManager = lambda **settings: FROM_NBVAL(
        transport="ipc", connection_file=f"{PLACES.name}/{next(NUMBERS)}.json", **settings
    )

# What `make quick` leaves out: a marker, why it is slow, and the test files, or single tests, that have it.
SLOW = {
    "trains": (
        "trains a model",
        *("test_training", "test_training_devices", "test_training_folder", "test_training_output"),
        "test_captioner",
        *(
            "test_lessons",
            "test_training_survival",
            "test_own_data",
            "test_interpolation::test_alpha_is_chosen_by_the_score",
        ),
    ),
    "notebooks": (
        "runs notebooks in kernels",
        *("test_course", "test_course_results", "test_course_values", "test_handout", "test_lab", "test_sweep"),
        "test_bare_images",
    ),
    "translates": ("runs translators word by word", "test_marian", "test_translation"),
    "page": (
        "serves the page, and opens it in a browser",
        "test_demo_browser",
        "test_demo_guard",
        "test_demo_places",
        "test_demo_programs",
        "test_demo_decoding",
    ),
    "processes": (
        "starts processes, to kill some of them or to measure their memory",
        *(
            "test_processes",
            "test_setup",
            "test_standins_scenes",
            "test_finder::test_a_large",
            "test_search_index::test_a_killed",
        ),
        *("test_convert::test_others", "test_convert::test_with_clips", "test_convert::test_a_kill"),
        *("test_checkpoints::test_the_model_card", "test_colab", "test_progress", "test_special_files", "test_grade"),
        *(
            "test_demo_pictures::test_ctrl_c",
            "test_embed::test_a_killed",
            "test_embed::test_ctrl_c",
            "test_ray_data",
            "test_milvus",
        ),
    ),
    "real_data": (
        "reads the folder of real data, or computes at published sizes",
        *("test_report", "test_clip::test_published_shapes", "test_finder::test_presence_learned"),
    ),
}


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers of slow tests."""
    for marker, (reason, *_) in SLOW.items():
        config.addinivalue_line("markers", f"{marker}: {reason}; make quick leaves it out")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the slow tests."""
    for item in items:
        name = f"{item.path.stem}::{item.name}"
        for marker, (_, *slow) in SLOW.items():
            whole = marker == "real_data" and "shared" in getattr(item, "fixturenames", ())
            if whole or any(name.startswith(test if "::" in test else f"{test}::") for test in slow):
                item.add_marker(marker)


@pytest.fixture(scope="module")
def quick_compilation():
    """Tiny programs of many kinds: what their optimization costs, their running never earns.

    JAX would go on using what was compiled before, the other way, whose last bits differ from a new process's.
    """
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


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
def browser():
    """Chromium without a window, by playwright."""
    from look_at_lab import ARGUMENTS, BROWSERS

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = f"none of {', '.join(BROWSERS)} is installed"
        (pytest.fail if os.environ.get("REQUIRE_SHARED") == "1" else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


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
