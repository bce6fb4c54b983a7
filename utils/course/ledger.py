"""The ledger of a run: which executed notebooks are current, and what each has left for those after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.course.inputs import InputMarks
from utils.course.results import PASSED_ON, ResultDigests
from utils.course.stamps import finished_stamp, results_left, stamp_of


class Ledger:
    """Goes through notebooks in their order, and knows at each what it reads and what was left before it.

    Args:
        root: Top of the checkout.
        output_dir: Holds the executed copies, and what notebooks leave.
        parameters: What each notebook is given, by its stem.
        results_may_go: A notebook stays current although what it has left was deleted.
    """

    def __init__(
        self, root: Path, output_dir: Path, parameters: Mapping[str, dict[str, Any]], results_may_go: bool = False
    ) -> None:
        self.output_dir = output_dir
        self._root, self._parameters, self._results_may_go = root, parameters, results_may_go
        self._inputs, self._results = InputMarks(root), ResultDigests(output_dir)
        self._left: dict[str, str] = {}

    def stamp(self, path: Path) -> str:
        """The stamp that a notebook has if it runs now, behind those passed so far."""
        given = self._parameters[path.stem]
        return stamp_of(self._root, path, given, {**self._inputs.of(path, given), **self._left})

    def is_current(self, path: Path) -> bool:
        """Whether the executed copy is what a run would give now, and all that it has left is there."""
        output = self.output_dir / path.name
        if finished_stamp(output) != self.stamp(path):
            return False
        return self._results_may_go or self._results.hold(results_left(output))

    def pass_on(self, path: Path) -> None:
        """Notes what a notebook has left, for the stamps of those after it."""
        self._left |= results_left(self.output_dir / path.name)

    def states(self) -> dict[str, tuple]:
        """When each result was written, to tell later what a notebook has left."""
        return {name: self._results.state(name) for name in PASSED_ON}

    def left_since(self, before: Mapping[str, tuple], output: Path) -> dict[str, str]:
        """Digests of the results written since, and of those that an earlier run of the same notebook had left.

        Args:
            before: As from `states`.
            output: The executed copy of the earlier run.
        """
        earlier = results_left(output)
        return self._results.of(
            name for name in PASSED_ON if name in earlier or self._results.state(name) != before[name]
        )
