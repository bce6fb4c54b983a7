"""What shells and webdataset write in paths: braces for many shards in one name, and a tilde for a home folder."""

import os
import re
from pathlib import Path

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")

_MOST = 100_000  # more files than a data set has


def expanded(path: str) -> list[str]:
    """The paths that a path with braces stands for: "data-{000..003}.tar" is four, "{train,val}.tar" two.

    A path without such braces, or with a range that runs down or is beyond reason, is itself alone.
    """
    if not (found := _BRACES.search(path)):
        return [path]
    first, last, words = found.groups()
    if words is None:
        width = len(first) if first.startswith("0") else 0
        numbers = range(int(first), min(int(last), int(first) + _MOST) + 1)
        parts = [f"{number:0{width}d}" for number in numbers]
    else:
        parts = words.split(",")
    if not 0 < len(parts) <= _MOST:
        return [path]
    return [rest for part in parts for rest in expanded(path[: found.start()] + part + path[found.end() :])]


def from_home(path: str | os.PathLike) -> Path:
    """A path whose ``~`` is the home folder; a name that merely begins so, and is no user's, stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's own raises where there is no such user
