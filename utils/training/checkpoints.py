"""Checkpoints of a run with Orbax: whole or not at all, the last few and the best one, each with its checksum."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import jax
import numpy as np

from utils.importing import logging_left_alone

with logging_left_alone():
    import orbax.checkpoint as ocp

UNSIGNED = {"iterator", "history", "best_step"}  # what checkpoints held before they had a mark and a checksum

# TensorStore quotes the system deep in its own words.
_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
DISK_TROUBLE = [words for words in map(os.strerror, _NUMBERS) if not words.startswith("Unknown")]  # on Windows


@contextmanager
def open_checkpoints(output_dir: Path) -> Iterator[ocp.CheckpointManager]:
    """Opens the folder ``checkpoints``; what a run that was killed had half written there is swept out."""
    folder = (output_dir / "checkpoints").absolute()
    _sweep(folder)
    # Which ones to keep is decided after each save: Orbax would have to choose between the last and the best.
    options = ocp.CheckpointManagerOptions(enable_async_checkpointing=False, create=True)
    if jax.process_count() > 1:  # only the first one is here: its copies are whole, and its disk need not be shared
        alone = ocp.options.MultiprocessingOptions(
            primary_host=0, active_processes={0}, barrier_sync_key_prefix="first"
        )
        # Orbax makes no folder on behalf of a part of the processes.
        options = dataclasses.replace(options, multiprocessing_options=alone, create=False)
        folder.mkdir(parents=True, exist_ok=True)
    with ocp.CheckpointManager(folder, options=options) as manager:
        yield manager


def _sweep(folder: Path) -> None:
    """Removes what was half written."""
    for path in folder.glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path, ignore_errors=True)


def save_checkpoint(
    manager: ocp.CheckpointManager, step: int, state: dict[str, Any], progress: dict[str, Any], keep_last: int
) -> None:
    """Writes a checkpoint, whose folder appears whole or not at all; then deletes all but the last few and the best.

    ``state`` holds arrays on the devices, ``progress`` what JSON can hold, NumPy's numbers included, among it the
    ``mark`` of the run and its ``best_step``. An OSError leaves the checkpoints before it untouched.
    """
    plain = json.loads(json.dumps(progress, default=lambda number: number.item()))
    plain["checksum"] = checksum(step, state, plain)  # within it, so that neither appears without the other
    items = ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(plain))
    try:
        manager.save(step, args=items, force=True)
    except Exception as error:  # the file system's words come in many types, from Python and from C++
        time.sleep(1)  # TensorStore's threads write for a moment after one of them has failed
        _sweep(Path(manager.directory))
        kept = f" to resume from step {max(manager.all_steps())}" if manager.all_steps() else ""
        raise OSError(
            f"The checkpoint of step {step} could not be written to {manager.directory} ({_reason(error)}); make room "
            f"there and start again{kept}."
        ) from None
    for earlier in sorted(manager.all_steps())[:-keep_last]:
        if earlier != progress["best_step"]:
            manager.delete(earlier)


def restore_checkpoint(
    manager: ocp.CheckpointManager, step: int, like: dict[str, Any], sharding: jax.sharding.Sharding, mark: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads a checkpoint onto the devices: the state and the progress that were saved.

    The state must have the structure, shapes and types of ``like``; its arrays go where ``sharding`` says, and those
    that are NumPy's in ``like`` stay so. ``mark`` is that of the run; checkpoints of earlier versions have none, and no
    checksum. A ValueError says what does not fit.
    """

    def described(array: Any) -> Any:
        on_host = isinstance(array, np.ndarray)
        return array if on_host else jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)

    abstract = jax.tree.map(described, like)
    items = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), progress=ocp.args.JsonRestore())
    try:
        restored = manager.restore(step, args=items)
        state, progress = restored["state"], restored["progress"]
        unsigned = {name: value for name, value in progress.items() if name != "checksum"}
        if progress.keys() != UNSIGNED and progress.get("checksum") != checksum(step, state, unsigned):
            raise ValueError("its checksum is not that of its content")
        if progress.get("mark") not in (None, mark):
            raise ValueError("it is of another run than this folder was begun with")
    except Exception as error:
        raise ValueError(
            f"The checkpoint of step {step} in {manager.directory} is damaged, or of another model or run "
            f"({_reason(error)}); delete its folder to resume from an earlier one, or choose another folder."
        ) from None
    return state, progress


def checksum(step: int, state: Any, progress: dict[str, Any]) -> str:
    """Digits that change with every bit of a checkpoint: of arrays that are whole on every device, and of JSON."""
    # CRC-32 is the fastest of Python's sums that finds every single flipped bit.
    arrays = [np.ascontiguousarray(leaf) for leaf in jax.tree.leaves(state)]
    sums = [(str(a.dtype), a.shape, zlib.crc32(a.reshape(-1).view(np.uint8).data)) for a in arrays]
    return hashlib.sha256(json.dumps([step, sums, progress], sort_keys=True).encode()).hexdigest()


def _reason(error: BaseException) -> str:
    """What the disk had to say, or what went wrong, at its root, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    disk = (words for words in DISK_TROUBLE if words in str(error))
    return next(disk, shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ..."))
