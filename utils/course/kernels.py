"""Kernels: while one notebook runs, that of the next one starts and imports what its notebook will."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import socket
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
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


class Kernel(AsyncKernelManager):
    """A kernel that knows who speaks to it: nbclient ends the connections to kernels of its own alone.

    One that stays open listens for a heart that no longer beats, in a thread of its own, until the process ends.
    """

    speaker: AsyncKernelClient | None = None

    def client(self, **settings: Any) -> AsyncKernelClient:  # type: ignore[override]  # as in the class above
        """Connects somebody to the kernel."""
        self.speaker = super().client(**settings)
        return self.speaker


class Kernels:
    """The kernels of a run: those that notebooks have taken, and one that starts ahead for the next."""

    def __init__(self) -> None:
        self._places = Path(tempfile.mkdtemp(prefix="kernels-"))
        self._names = count()
        self._ahead: tuple[Path, Kernel] | None = None
        self._taken: list[Kernel] = []

    def start_ahead(self, path: Path | None) -> None:
        """Starts the kernel of the notebook that will be next, to be taken then, in place of another that waits."""
        if self._ahead and self._ahead[0] != path:
            _end(self._ahead[1], at_once=True)
            self._ahead = None
        if path and not self._ahead:
            self._ahead = path, self._started(path)

    def take(self, path: Path) -> Kernel:
        """The kernel of a notebook, to be given back."""
        if self._ahead and self._ahead[0] == path:
            (_, kernel), self._ahead = self._ahead, None
        else:
            kernel = self._started(path)
        self._taken.append(kernel)
        return kernel

    def give_back(self, kernel: Kernel) -> None:
        """Ends a kernel that was taken, behind the hooks of what it has imported."""
        _end(kernel)
        self._taken.remove(kernel)

    def close(self) -> None:
        """Ends the kernel that waits, and at once those not given back, with all that they have started."""
        self.start_ahead(None)
        for kernel in list(self._taken):
            if provisioner := kernel.provisioner:  # none if it has just ended
                run_sync(provisioner.kill)()
        shutil.rmtree(self._places, ignore_errors=True)

    def _started(self, path: Path) -> Kernel:
        place = self._places / f"{next(self._names)}.json"
        # A port that is free now may be another's by the time that the kernel takes it; a file is nobody else's.
        transport = "ipc" if _takes_sockets(place) else "tcp"
        kernel = Kernel(kernel_name="python3", connection_file=str(place), transport=transport)
        arguments = [*KERNEL_ARGUMENTS, IMPORTS.format(str(path))]
        run_sync(kernel.start_kernel)(extra_arguments=arguments, cwd=str(path.parent))
        return kernel


def _takes_sockets(place: Path) -> bool:
    """Whether sockets can be files beside this one: not on Windows, on every shared disk, or where paths are long."""
    trial = place.with_name(f"{place.stem}-ipc-0")  # named as Jupyter names those of a kernel
    with suppress(AttributeError, OSError), socket.socket(socket.AF_UNIX) as one:
        one.bind(str(trial))
        trial.unlink()
        return True
    return False


def _end(kernel: Kernel, at_once: bool = False) -> None:
    """Ends a kernel, by default behind the hooks of what it has imported."""
    if kernel.speaker:
        kernel.speaker.stop_channels()
    run_sync(kernel.shutdown_kernel)(now=at_once)


def import_what_uses(path: str) -> None:
    """Imports the modules that the cells of a notebook will, and binds no name; what is missing they will tell."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            for module in _IMPORT.findall("".join(cell["source"])):
                with suppress(Exception):
                    importlib.import_module(module)
