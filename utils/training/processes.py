"""Several processes that train one model, each with rows of its own of every batch: what they tell each other.

Of a run with one process nothing changes here: `lead` calls, and `share` gives back, what they are given. With several
the first one leads: it alone reads and writes the folder of the run, measures held-out images, and reports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

T = TypeVar("T")

# Seconds. After as long without a sign of life JAX ends all processes; and so long they wait for the last to start.
SIGN_OF_LIFE, START, END = 60, 120, 60
PIECE = 1 << 26  # bytes that are sent at once
NOTE = "TRAINING_NOTE"  # the variable that names, to a process which `launch` watches, the file for its note
NOTE_LENGTH = 80  # characters; always as many, so that a full disk has room for them
# What SLURM tells each process that srun has started, and no other; JAX asks for the same.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


class LeadError(Exception):
    """What stopped the first process, which says it itself; the others end with it."""


def told_processes(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes SLURM, MPI or a TPU pod has started for one job, by the environment of this one; else 1."""
    if all(name in environment for name in _SLURM):
        return int(environment["SLURM_NTASKS"])
    if "OMPI_COMM_WORLD_SIZE" in environment:
        return int(environment["OMPI_COMM_WORLD_SIZE"])
    return len(environment.get("TPU_WORKER_HOSTNAMES", "").split(","))


def refuse_to_train_alone() -> None:
    """Refuses, with a ValueError, to be one of several processes that know nothing of each other.

    Each would train a model of its own, all of them in one folder.
    """
    several = max(told_processes(), jax.process_count())
    if several > 1 and not jax.distributed.is_initialized():
        raise ValueError(
            f"This is one of {several} processes of one job, and they do not know of each other: each would train a "
            "model of its own into the same folder. Train with `python -m utils.training`, which joins them, or call "
            "jax.distributed.initialize() first."
        )


def join(address: str = "", count: int = 0, number: int = 0) -> None:
    """Makes this one of several processes: number ``number`` of ``count`` with the first one at ``address``.

    Without an address JAX asks SLURM, MPI or the TPU pod; where none tells of others, it stays alone. It must come
    before anything is computed.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # what CPUs talk by
    told: dict[str, Any] = {"initialization_timeout": START, "shutdown_timeout_seconds": END}
    if address:  # on one machine, where nobody else is to reach them
        told |= {"coordinator_address": address, "coordinator_bind_address": address, "num_processes": count}
        told |= {"process_id": number, "cluster_detection_method": "deactivate"}
        told["local_device_ids"] = [number]  # of GPUs, if there are any
    try:
        jax.distributed.initialize(**told, heartbeat_timeout_seconds=SIGN_OF_LIFE)
    except ValueError:  # JAX found no others
        if address or told_processes() > 1:
            raise
    note(process=jax.process_index(), of=jax.process_count())
    share(None)  # gloo connects now, while all are here: it waits for half a minute and no longer


def is_first() -> bool:
    """Whether this process leads, as an only one does."""
    return jax.process_index() == 0


def note(**news: Any) -> None:
    """Notes what this process has come to, for `launch`, which ends all once one notes nothing new for too long.

    It looks from the first ``step`` on that is noted. Without `launch` nothing is written.
    """
    if file := os.environ.get(NOTE):
        with Path(file).open("r+", encoding="utf-8") as kept:
            words = json.dumps(json.load(kept) | news)
            kept.seek(0)
            kept.write(words.ljust(NOTE_LENGTH))


@contextmanager
def waiting() -> Iterator[None]:
    """Notes that what is done here may have to wait for other processes: if it lasts, one of them is stuck."""
    note(waits=True)
    yield
    note(waits=False)


@waiting()
def share(value: T) -> T:
    """Gives every process what the first one has, as JSON holds it, NumPy's numbers included."""
    if jax.process_count() == 1:
        return value
    words = json.dumps(value, default=lambda number: number.item()) if is_first() else ""
    own = np.frombuffer(words.encode(), np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(own))))
    return json.loads(_sent(own, length).tobytes())


def _sent(own: np.ndarray, length: int) -> np.ndarray:
    """The bytes of the first process, (length,) uint8, in all; whole numbers, whose sum with zeros is exact."""
    size = min(PIECE, 1 << max(length - 1, 255).bit_length())  # few sizes, since each is compiled
    padded = np.zeros(-(-length // size) * size, np.uint8)
    padded[: len(own)] = own
    pieces = [multihost_utils.broadcast_one_to_all(piece) for piece in padded.reshape(-1, size)]
    return np.concatenate(pieces)[:length]


def lead(work: Callable[..., Any], *arguments: Any) -> Any:
    """Does some work in the first process alone, and gives it what came of that; the others wait, and get None.

    An error of the first is an error of all: theirs is a `LeadError`.
    """
    if jax.process_count() == 1:
        return work(*arguments)
    result, trouble = None, ""
    if is_first():
        try:
            result = work(*arguments)
        except Exception as error:
            share(f"{type(error).__name__}: {error}")
            raise
    if trouble := share(trouble):
        raise LeadError(trouble)
    return result


def in_turn(work: Callable[[], T]) -> T:
    """Does some work in the first process, and then in all others, which find the files that it has left."""
    result = lead(work)
    return result if is_first() else work()


@waiting()
def agree(mark: str, what: str) -> None:
    """Makes sure that a mark, of equal length everywhere, is the same in all processes; else a ValueError."""
    if jax.process_count() == 1:
        return
    marks = multihost_utils.process_allgather(np.frombuffer(mark.encode(), np.uint8))
    if others := [number for number, own in enumerate(marks) if own.tobytes() != marks[0].tobytes()]:
        raise ValueError(
            f"Process {others[0]} of {len(marks)} has {what} than the first one; give all of them the same data, model "
            "and settings."
        )


def own_share(mesh: jax.sharding.Mesh) -> tuple[int, int]:
    """Which part of the rows this process loads, and of how many; a ValueError if the mesh has no equal parts."""
    owners = [device.process_index for device in mesh.devices.flat]
    processes = sorted(set(owners))
    if len({owners.count(process) for process in processes}) > 1:
        raise ValueError("The processes have different numbers of devices; give each as many.")
    return processes.index(jax.process_index()), len(processes)


def own_sharding(sharding: NamedSharding) -> NamedSharding:
    """The same sharding over the devices of this process alone."""
    mesh = sharding.mesh
    if jax.process_count() == 1:
        return sharding
    return NamedSharding(jax.sharding.Mesh(mesh.local_devices, mesh.axis_names, mesh.axis_types), sharding.spec)


def own_copies(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """Arrays that are whole on every device of a mesh, as they lie on those of this process; nothing is copied."""
    if jax.process_count() == 1:
        return tree
    here = own_sharding(NamedSharding(mesh, PartitionSpec()))

    def own(array: jax.Array) -> jax.Array:
        parts = [part.data for part in array.addressable_shards]
        return jax.make_array_from_single_device_arrays(array.shape, here, parts)

    return jax.tree.map(own, tree)


def for_orbax(tree: Any) -> Any:
    """Arrays as one process may save them: of several, on the host, since Orbax refuses what lies on some devices."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, tree)


@waiting()
def spread(tree: Any, like: Any, sharding: NamedSharding) -> Any:
    """Gives every process the arrays that the first one has, whole on every device, bit by bit.

    ``like`` has their structure, shapes and types, in NumPy; the ``tree`` of the others is not looked at.
    """
    if jax.process_count() == 1:
        return tree
    leaves, structure = jax.tree.flatten(like)
    given = [np.asarray(leaf).reshape(-1).view(np.uint8) for leaf in jax.tree.leaves(tree)] if is_first() else []
    told = _sent(np.concatenate(given) if given else np.zeros(0, np.uint8), sum(leaf.nbytes for leaf in leaves))
    ends = np.cumsum([leaf.nbytes for leaf in leaves])
    arrays = [
        told[end - leaf.nbytes : end].view(leaf.dtype).reshape(leaf.shape)
        for leaf, end in zip(leaves, ends, strict=True)
    ]
    placed = [jax.make_array_from_process_local_data(sharding, array, array.shape) for array in arrays]
    return jax.tree.unflatten(structure, placed)
