"""The drawing in CONTRIBUTING of which room imports which; ``python -m utils.course.drawing`` makes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from utils.course.imports import module_imports
from utils.course.places import find_root
from utils.files import write_whole

COMMANDS = "standins.pretraining"  # of the stand-ins it alone stands above the lessons
DRAWING = re.compile(r"(<!-- imports: make imports draws them -->\n).*?(<!-- end of imports -->)", re.DOTALL)


def room_of(module: str) -> str:
    """The room that a module belongs to: its folder or file right below ``utils``; the stand-ins have two."""
    package, *inner = module.split(".")
    if package == "standins":
        return COMMANDS if inner[:1] == ["pretraining"] else package
    return ".".join((package, *inner[:1]))


def room_imports(root: Path) -> dict[str, set[str]]:
    """The rooms that each room imports; the bare package ``utils``, which all stand on, is none of them."""
    rooms: dict[str, set[str]] = {}
    for module, imported in module_imports(root).items():
        if (room := room_of(module)) != "utils":
            others = {room_of(name) for name in imported} - {room, "utils"}
            rooms.setdefault(room, set()).update(others)
    return rooms


def floors(rooms: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms by floor, the ground first: each stands right above the highest of those that it imports.

    Raises:
        ValueError: If imports go round in a circle, with the rooms of it and what waits for them.
    """
    built: list[list[str]] = []
    below: set[str] = set()
    while waiting := sorted(set(rooms) - below):
        floor = [room for room in waiting if rooms[room] <= below]
        if not floor:
            raise ValueError(f"These import each other in a circle: {', '.join(waiting)}.")
        built.append(floor)
        below.update(floor)
    return built


def draw(rooms: Mapping[str, set[str]]) -> str:
    """The rooms as a Mermaid chart, floor by floor; an arrow that others imply is left out."""
    lines = ["```mermaid", "flowchart TD"]
    for number, floor in reversed(list(enumerate(floors(rooms), start=1))):
        names = "; ".join(f"{room}[{room.removeprefix('utils.')}]" for room in floor)
        lines.append(f"  subgraph floor{number} [floor {number}]; direction LR; {names}; end")
    for room, imported in sorted(rooms.items()):
        implied = set().union(*(_reached(rooms, other) for other in imported)) if imported else set()
        lines += [f"  {room} --> {other}" for other in sorted(imported - implied)]
    return "\n".join([*lines, "```", ""])


def _reached(rooms: Mapping[str, set[str]], start: str) -> set[str]:
    """All rooms that one stands on, without itself."""
    return rooms[start].union(*(_reached(rooms, other) for other in rooms[start]))


def main() -> None:
    """Puts the drawing into CONTRIBUTING.md."""
    root = find_root()
    page = root / "CONTRIBUTING.md"
    drawing = draw(room_imports(root))
    write_whole(page, DRAWING.sub(lambda found: found[1] + drawing + found[2], page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
