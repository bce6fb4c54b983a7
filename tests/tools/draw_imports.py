"""The drawing in CONTRIBUTING of which room imports which: ``make imports``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from graphlib import TopologicalSorter
from pathlib import Path

from utils.course.imports import module_imports
from utils.course.places import find_root
from utils.files import write_whole

# They trained data/checkpoints/, or train as a notebook does; like notebooks and tests, nothing imports them.
COMMANDS = ("standins.pretraining", "utils.training.__main__")
DRAWING = re.compile(r"(<!-- imports: make imports draws them -->\n).*?(<!-- end of imports -->)", re.DOTALL)


def room_imports(root: Path) -> dict[str, set[str]]:
    """The rooms that each room imports, leaving out the bare package ``utils`` and the commands of the stand-ins.

    A room is a folder or a file right below ``utils``, or all stand-ins.
    """

    def room_of(module: str) -> str:
        return "standins" if module.startswith("standins") else ".".join(module.split(".")[:2])

    rooms: dict[str, set[str]] = {}
    for module, imported in module_imports(root).items():
        room = room_of(module)
        if room != "utils" and not module.startswith(COMMANDS):
            rooms.setdefault(room, set()).update({room_of(name) for name in imported} - {room, "utils"})
    return rooms


def floors(rooms: Mapping[str, Set[str]]) -> list[list[str]]:
    """Rooms by floor, the ground first: each stands right above the highest of those that it imports.

    Raises:
        graphlib.CycleError: If imports go round in a circle; it names them.
    """
    sorter = TopologicalSorter(rooms)
    sorter.prepare()
    built: list[list[str]] = []
    while sorter:
        built.append(sorted(sorter.get_ready()))
        sorter.done(*built[-1])
    return built


def draw(rooms: Mapping[str, Set[str]]) -> str:
    """The rooms as a Mermaid chart, floor by floor; an arrow that others imply is left out."""
    lines = ["```mermaid", "flowchart TD"]
    reached: dict[str, set[str]] = {}  # all rooms that each stands on
    for number, floor in enumerate(floors(rooms), start=1):
        names = "; ".join(f"{room}[{room.removeprefix('utils.')}]" for room in floor)
        lines.insert(2, f"  subgraph floor{number} [floor {number}]; {names}; end")
        for room in floor:
            reached[room] = set(rooms[room]).union(*(reached[other] for other in rooms[room]))
    for room, imported in sorted(rooms.items()):
        implied = {further for other in imported for further in reached[other]}
        lines += [f"  {room} --> {other}" for other in sorted(imported - implied)]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Puts the drawing into CONTRIBUTING.md."""
    root = find_root()
    page = root / "CONTRIBUTING.md"
    drawing = draw(room_imports(root))
    write_whole(page, DRAWING.sub(lambda found: found[1] + drawing + found[2], page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
