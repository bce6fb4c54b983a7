"""XLA's flags: those that the installed jaxlib knows, before your own, whichever way the course is started."""

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import utils
from utils import jax_trouble, set_flags, with_flags

EMITTERS = "--xla_cpu_use_fusion_emitters=false"
SUMS = "--xla_cpu_experimental_ynn_fusion_type=-reduce"


@pytest.mark.parametrize(
    ("jaxlib", "flags"),
    [
        ("0.6.2", []),
        ("0.7.0", [EMITTERS]),
        ("0.10.1", [EMITTERS]),
        ("0.10.2", [EMITTERS, SUMS]),
        ("0.11.0", [EMITTERS, SUMS]),
        ("0.11.1", [SUMS]),
        ("0.12.0.1", [SUMS]),
        ("0.13.0", []),
    ],
)
def test_a_jaxlib_is_given_what_it_knows(jaxlib, flags):
    assert with_flags("", jaxlib, utils.FLAGS) == " ".join(flags)


def test_your_own_flags_stay_and_win(tmp_path):
    other, same = "--xla_cpu_enable_fast_math=false", "--xla_cpu_experimental_ynn_fusion_type=+reduce"
    assert with_flags(other, "0.10.2", utils.FLAGS) == f"{EMITTERS} {SUMS} {other}"
    assert with_flags(f"{same} {other}", "0.10.2", utils.FLAGS) == f"{EMITTERS} {same} {other}"
    (tmp_path / "flags").write_text(f"{same}\n{other}\n")  # XLA takes the path of a file, too
    assert with_flags(str(tmp_path / "flags"), "0.10.2", utils.FLAGS) == f"{EMITTERS} {same} {other}"


def test_set_twice_is_set_once(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    set_flags()
    once = os.environ["XLA_FLAGS"]
    set_flags()
    assert os.environ["XLA_FLAGS"] == once


@pytest.mark.parametrize(("package", "given"), [("jax_plugins", False), ("libtpu", False), ("", True)])
def test_only_cpus_are_compiled_for_in_less_time(package, given, monkeypatch):
    monkeypatch.setattr(utils, "find_spec", lambda name: name == package or None)
    monkeypatch.setenv("XLA_FLAGS", "")
    set_flags()
    assert ("--xla_backend_optimization_level=1" in os.environ["XLA_FLAGS"].split()) is given


def test_without_jaxlib_nothing_is_set(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(utils, "version", absent)
    monkeypatch.delenv("XLA_FLAGS")
    set_flags()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("JAX_PLATFORMS", "nothing_of_the_kind", "Unable to initialize backend"),
        ("XLA_FLAGS", "--xla_nothing_of_the_kind=1", "Unknown flag in XLA_FLAGS"),
        ("JAX_ENABLE_X64", "maybe", "invalid truth value"),
    ],
)
def test_what_keeps_jax_from_starting_is_one_sentence(monkeypatch, name, value, cause):
    monkeypatch.setenv(name, value)
    trouble = jax_trouble()
    assert trouble.startswith(f"JAX does not start with {name}={value}: ") and cause in trouble
    assert trouble.endswith(f"unset {name}.") and "\n" not in trouble


def test_where_jax_says_no_more_than_assertion_error_the_sentence_does(monkeypatch):
    """So it is with JAX_PLATFORMS=cuda where no GPU is."""
    failed = subprocess.CompletedProcess([], 1, "", "Traceback (most recent call last):\n  ...\nAssertionError\n")
    monkeypatch.setattr(utils.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert "JAX_PLATFORMS=cuda: this machine, or this JAX, has no such device; " in jax_trouble()


def test_without_settings_of_ones_own_jax_is_not_tried(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("JAX_", "LIBTPU_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "runs/compiled")  # the course's own
    monkeypatch.setenv("XLA_FLAGS", "")
    set_flags()
    monkeypatch.setattr(utils.subprocess, "run", lambda *_, **__: pytest.fail("it was tried"))
    assert jax_trouble() == ""


def test_sums_of_squared_products_are_right():
    """With nobody's flags, and jax imported before the course, as in notebooks."""
    code = """
import jax, jax.numpy as jnp
import utils.files
ones = jnp.ones((64, 64))
print(*jax.jit(jax.vmap(lambda factor: jnp.sum(jnp.square((factor * ones) @ ones))))(jnp.ones(4)))
"""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAX_PLATFORMS"] = "cpu"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert [float(value) for value in done.stdout.split()] == [64.0**4] * 4
