"""What a result was made with, for whoever repeats it: versions and devices, no path, no name of a host or a user.

It has no say in which run a folder holds.
"""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "optax", "transformers", "numpy", "clip-earth-course")
PROVENANCE = "provenance"  # what it is called in run.json, beside what the run is, and in metrics.json


def versions() -> dict[str, str]:
    """Versions of Python, of what computes, and of the course; in a git checkout its commit, '+changes' if changed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found["course" if name == "clip-earth-course" else name] = importlib.metadata.version(name)
    commit = _commit(Path(__file__).resolve().parents[2])
    return found | ({"commit": commit} if commit else {})


def _commit(checkout: Path) -> str:
    """The commit of a checkout; empty where there is none, or no git."""
    if not (checkout / ".git").exists():  # it may lie in somebody else's
        return ""
    describe = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+changes"]
    command = ["git", "--no-optional-locks", "-C", str(checkout), *describe]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def devices() -> dict[str, Any]:
    """What JAX computes on here."""
    import jax

    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind, "count": jax.device_count()}
