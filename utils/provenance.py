"""What a result was made with: versions, devices, data and the starting model.

It is noted beside results, for whoever repeats them. It has no say in which run a folder holds, and tells nothing of
the person or the machine: no path, no name of a host or a user.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

PACKAGES = ("jax", "jaxlib", "flax", "optax", "transformers", "numpy")
COURSE = "clip-earth-course"
PROVENANCE = "provenance"  # what it is called in run.json, beside what the run is, and in metrics.json
FETCHED_FROM = "fetched_from.json"  # in a data set's folder: the repository and the revision it came from


def versions() -> dict[str, str]:
    """Versions of Python, of what computes, and of the course; in a git checkout its commit, '+changes' if changed."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, COURSE):
        with suppress(importlib.metadata.PackageNotFoundError):
            found["course" if name == COURSE else name] = importlib.metadata.version(name)
    commit = _commit(Path(__file__).resolve().parents[1])
    return found | ({"commit": commit} if commit else {})


def _commit(checkout: Path) -> str:
    """The commit of a checkout; empty where there is none, or no git."""
    if not (checkout / ".git").exists():  # it may lie in somebody else's
        return ""
    try:
        commit, changes = (
            subprocess.run(
                ["git", "--no-optional-locks", "-C", checkout, *words],
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            ).stdout.strip()
            for words in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no"),
            )
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+changes" if changes else "")


def devices() -> dict[str, Any]:
    """What JAX computes on here."""
    import jax

    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind, "count": jax.device_count()}


def checkpoint_source(folder: Path) -> dict[str, str]:
    """What a checkpoint is called: a name on the Hub with its revision, or the name of a folder."""
    kind, _, name = folder.parent.parent.name.partition("--")
    if folder.parent.name == "snapshots" and kind == "models":
        return {"name": name.replace("--", "/"), "revision": folder.name}
    return {"name": folder.resolve().name}


def data_source(dataset: CaptionDataset) -> dict[str, str]:
    """The repository and the revision that a data set was fetched from; empty if nothing is noted of it."""
    for folder in dataset[0].path.parents[:2] if len(dataset) else ():
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads((folder / FETCHED_FROM).read_text(encoding="utf-8"))
            return {"repository": str(noted["repository"]), "revision": str(noted["revision"])}
    return {}


def fetched_from(repository: str, snapshot: str | os.PathLike) -> dict[str, str]:
    """What `FETCHED_FROM` holds of a snapshot of the Hub; empty for a folder that is none."""
    snapshot = Path(snapshot)
    is_snapshot = snapshot.parent.name == "snapshots"
    return {"repository": repository, "revision": snapshot.name} if is_snapshot else {}
