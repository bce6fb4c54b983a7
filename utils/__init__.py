"""The small package behind the course: one room a subject, nothing heavy at import.

It sets flags of XLA, the compiler behind JAX: here, since whatever computes with the course imports it first.
"""

from __future__ import annotations

import os
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


set_flags()
