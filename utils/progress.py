"""Progress bars: a line in a terminal, and in a notebook a bar that outlives the kernel.

tqdm's own bars for notebooks are widgets, whose state is the kernel's: who saves a notebook and opens it the next
day reads "Error displaying widget" where they stood. These are plain HTML.
"""

from __future__ import annotations

import html
import io
import sys
from typing import Any

from tqdm import tqdm

STYLE = "width: 20em; max-width: 40%; vertical-align: middle"


def progress_bar(*arguments: Any, **options: Any) -> tqdm:
    """A bar for wherever this runs, with the arguments of `tqdm.tqdm`."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return (NotebookBar if hasattr(shell, "kernel") else tqdm)(*arguments, **options)


class NotebookBar(tqdm):
    """tqdm's bar, drawn as HTML in the output of the running cell."""

    def __init__(self, *arguments: Any, **options: Any):
        self._handle = None
        # The line that tqdm would draw goes nowhere. Every drawing travels to the browser, so there are two a second.
        super().__init__(*arguments, **{"mininterval": 0.5, **options, "file": io.StringIO()})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draws the bar as it stands; tqdm calls this, and not more often than eyes can follow."""
        from IPython.display import display

        bundle = {"text/html": self._drawn(), "text/plain": str(self)}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        return True

    def _drawn(self) -> str:
        """What tqdm would write, with an HTML element in the place of its bar; without a total there is none."""
        line = self.format_meter(**{**self.format_dict, "bar_format": "{l_bar}<bar/>{r_bar}"})
        left, _, right = (html.escape(part.strip("| ")) for part in line.partition("<bar/>"))
        element = (
            f'<progress aria-label="{left}" value="{self.n}" max="{self.total}" style="{STYLE}"></progress>'
            if self.total
            else ""
        )
        return f"<div>{left} {element} {right}</div>"
