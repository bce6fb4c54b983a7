"""Braces in paths, as shells and webdataset write many shards in one name."""

import re

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def expanded(path: str) -> list[str]:
    """The paths that a path with braces stands for: "data-{000..003}.tar" is four, "{train,val}.tar" two.

    A path without such braces is itself alone.
    """
    if not (found := _BRACES.search(path)):
        return [path]
    first, last, words = found.groups()
    if words is None:
        width = len(first) if first.startswith("0") else 0
        parts = [f"{number:0{width}d}" for number in range(int(first), int(last) + 1)]
    else:
        parts = words.split(",")
    return [rest for part in parts for rest in expanded(path[: found.start()] + part + path[found.end() :])]
