"""Tensors out of a TorchScript archive, the form of OpenAI's own ``.pt``, of whose code not a line is run."""

from __future__ import annotations

import pickletools
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_CODE = ("code/", "constants.pkl", "constants/", "extra/")  # of an archive, all but the module tree and its tensors


class _Module:
    """Stands for a class of the archive's code, without any of its methods."""


def is_torchscript(file: Path) -> bool:
    """Whether a file is an archive that ``torch.jit.save`` wrote."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(file: Path) -> dict[str, torch.Tensor]:
    """Reads parameters and buffers, by their paths in the module tree.

    An archive is a zip of source code, of tensors, and of a pickle with the module tree. ``torch.jit.load`` compiles
    the code. Here the rest is copied into an archive without it, which torch reads with ``weights_only=True``; the
    classes that the pickle names become empty ones, and anything else that is not data is refused by torch.
    """
    import torch
    import torch.jit._pickle

    with zipfile.ZipFile(file) as archive, tempfile.TemporaryFile() as copy:
        top = next(name for name in archive.namelist() if name.endswith("/constants.pkl")).partition("/")[0] + "/"
        with zipfile.ZipFile(copy, "w") as without_code:
            for name in archive.namelist():
                if not name.removeprefix(top).startswith(_CODE):
                    without_code.writestr(name, archive.read(name))
        copy.seek(0)
        lists = [function for name, function in vars(torch.jit._pickle).items() if name.startswith("build_")]
        with torch.serialization.safe_globals([*_classes(archive.read(top + "data.pkl")), *lists]):
            tree = torch.load(copy, map_location="cpu", weights_only=True)
    return dict(_tensors(tree))


def _classes(pickle: bytes) -> list[type]:
    """An empty class for each one of TorchScript that a pickle names; nothing is unpickled."""
    names = {str(argument) for opcode, argument, _ in pickletools.genops(pickle) if opcode.name == "GLOBAL"}
    found = (name.rpartition(" ") for name in sorted(names) if name.startswith("__torch__"))
    return [type(name, (_Module,), {"__module__": module}) for module, _, name in found]


def _tensors(module: object, path: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    for name, value in vars(module).items() if isinstance(module, _Module) else ():
        if isinstance(value, torch.Tensor):
            yield path + name, value.detach()
        yield from _tensors(value, f"{path}{name}.")
