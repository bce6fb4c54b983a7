"""Kernels: while one notebook runs, that of the next one starts and imports what its notebook will."""

from __future__ import annotations

import importlib
import json
import re
from contextlib import suppress
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

KERNEL_ARGUMENTS = [
    # A local kernel need not warn of its unencrypted port, nor trace how it was stopped; errors of cells come as ever.
    "--IPKernelApp.log_level=CRITICAL",
    # Behind the hooks of what was imported it is gone: Python would take all modules apart, a second or two each time.
    "--IPKernelApp.exec_lines=__import__('atexit').register(__import__('os')._exit, 0);",
]
IMPORTS = "--IPKernelApp.exec_lines=__import__('utils.course.kernels').course.kernels.import_what_uses({!r});"
_IMPORT = re.compile(r"^(?:import|from) +([\w.]+)", re.MULTILINE)


class Kernels:
    """Starts kernels for notebooks, one ahead of those that are taken, which `close` ends."""

    def __init__(self) -> None:
        self._ready: tuple[Path, AsyncKernelManager] | None = None

    def take(self, path: Path, following: Path | None = None) -> AsyncKernelManager:
        """The kernel of a notebook, to be given to `end`; that of the following one starts, to be taken then."""
        if self._ready is not None and self._ready[0] != path:
            self.close()
        kernel = _started(path) if self._ready is None else self._ready[1]
        self._ready = None if following is None else (following, _started(following))
        return kernel

    def close(self) -> None:
        """Ends the kernel that waits, if there is one."""
        if self._ready is not None:
            end(self._ready[1], at_once=True)
            self._ready = None


def _started(path: Path) -> AsyncKernelManager:
    kernel = AsyncKernelManager(kernel_name="python3")
    arguments = [*KERNEL_ARGUMENTS, IMPORTS.format(str(path))]
    run_sync(kernel.start_kernel)(extra_arguments=arguments, cwd=str(path.parent))
    return kernel


def end(kernel: AsyncKernelManager, at_once: bool = False) -> None:
    """Ends a kernel, by default behind the hooks of what it has imported."""
    run_sync(kernel.shutdown_kernel)(now=at_once)


def import_what_uses(path: str) -> None:
    """Imports the modules that the cells of a notebook will, and binds no name; what is missing they will tell."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            for module in _IMPORT.findall("".join(cell["source"])):
                with suppress(Exception):
                    importlib.import_module(module)
