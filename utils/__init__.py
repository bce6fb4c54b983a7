"""The small package behind the course: one room a subject, nothing heavy at import.

It sets flags of XLA, the compiler behind JAX: here, since whatever computes with the course imports it first.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
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


def set_flags() -> None:
    """Puts the flags for the installed jaxlib into ``XLA_FLAGS``, before those that stand there."""
    try:
        jaxlib = version("jaxlib")
    except PackageNotFoundError:
        return
    os.environ["XLA_FLAGS"] = with_flags(os.environ.get("XLA_FLAGS", ""), jaxlib)


def with_flags(own: str, jaxlib: str) -> str:
    """Your own flags, or those of the file that they name, after those of the course that a release of jaxlib knows.

    A flag that you have given a value keeps it.
    """
    if own and not own.startswith("-") and Path(own).is_file():
        own = Path(own).read_text()
    named = {flag.partition("=")[0] for flag in own.split()}
    added = [
        flag
        for flag, releases in FLAGS.items()
        if flag.partition("=")[0] not in named and SpecifierSet(releases).contains(jaxlib, prereleases=True)
    ]
    return " ".join([*added, *own.split()])


set_flags()
