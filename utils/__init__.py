"""The small package behind the course: one room a subject, nothing heavy at import.

It sets flags of XLA, the compiler behind JAX: here, since whatever computes with the course imports it first. And it
says what in the environment keeps JAX from starting, which JAX itself says at length, or not at all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from packaging.specifiers import SpecifierSet

# A flag and the releases of jaxlib that are given it: one that does not know it ends the process.
FLAGS = {
    # Without its fusion emitters the compiler for CPUs needs 0.4 GiB and a third of the time less, and a training
    # step of the small model takes a fifth less. From 0.11.1 on there is no such choice.
    "--xla_cpu_use_fusion_emitters=false": ">=0.7,<0.11.1",
    # On CPUs a product of matrices that is squared and summed may come out wrong, as far as infinity, where YNNPACK
    # sums it; so XLA sums, and YNNPACK keeps the products. 0.10.1 is right, 0.12 is still wrong.
    "--xla_cpu_experimental_ynn_fusion_type=-reduce": ">=0.10.2,<0.13",
}
# For machines with CPUs alone, since an accelerator's compiler obeys it too. LLVM's later rounds take a third of the
# time that a training step is compiled in, and make no step faster: a library computes the products of matrices.
CPU_FLAGS = {"--xla_backend_optimization_level=1": ">=0.7"}
ACCELERATORS = ("jax_plugins", "libtpu")  # packages that bring one to JAX


def set_flags() -> None:
    """Puts the flags for the installed jaxlib into ``XLA_FLAGS``, before those that stand there."""
    try:
        jaxlib = version("jaxlib")
    except PackageNotFoundError:
        return
    flags = FLAGS if any(map(find_spec, ACCELERATORS)) else FLAGS | CPU_FLAGS
    os.environ["XLA_FLAGS"] = with_flags(os.environ.get("XLA_FLAGS", ""), jaxlib, flags)


def with_flags(own: str, jaxlib: str, flags: Mapping[str, str]) -> str:
    """Your own flags, or those of the file that they name, after those of ``flags`` that a release of jaxlib knows.

    A flag that you have given a value keeps it.
    """
    if own and not own.startswith("-") and Path(own).is_file():
        own = Path(own).read_text(encoding="utf-8")
    named = {flag.partition("=")[0] for flag in own.split()}
    added = [
        flag
        for flag, releases in flags.items()
        if flag.partition("=")[0] not in named and SpecifierSet(releases).contains(jaxlib, prereleases=True)
    ]
    return " ".join([*added, *own.split()])


def jax_trouble() -> str:
    """What in the environment keeps JAX from starting, in a sentence; empty if it starts, or is told nothing there.

    It is tried in a process of its own, for a second or two: a flag that XLA does not know ends the process.
    """
    told = {name: value for name, value in os.environ.items() if name.startswith(("JAX_", "LIBTPU_")) and value}
    told = {name: value for name, value in told.items() if "_CACHE_" not in name}
    if own := [flag for flag in os.environ.get("XLA_FLAGS", "").split() if flag not in FLAGS | CPU_FLAGS]:
        told["XLA_FLAGS"] = " ".join(own)
    if not told:
        return ""
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode == 0:
        return ""
    said = re.findall(r"^[EF]\d+ .*?\] (.+)", done.stderr, re.MULTILINE) or done.stderr.split("\n")[-2:-1]
    reason = said[0].removeprefix("RuntimeError: ").removeprefix("ValueError: ") if said else "it says no more"
    if reason.startswith(("AssertionError", "AttributeError")):  # all that JAX has to say of cuda without a GPU
        reason = "this machine, or this JAX, has no such device"
    settings = ", ".join(f"{name}={value}" for name, value in sorted(told.items()))
    way_out = f"correct it, or unset {' and '.join(sorted(told))}"
    return f"JAX does not start with {settings}: {reason.rstrip('.')}; {way_out}."


set_flags()
