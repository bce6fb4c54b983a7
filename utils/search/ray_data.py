"""Shards embedded by all machines of a Ray cluster, through Ray Data: an optional extra, ``scale``.

Each actor loads the model and takes one shard after the other: reads, cuts, embeds and writes it, so that nothing large
travels. If a machine is lost, Ray gives its shards to another; a shard that is there already is not done again.
"""

from __future__ import annotations

import logging
import os
import platform
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from utils.files import usable_cores
from utils.progress import progress_bar
from utils.search.embedder import Embedder, Job, ModelFacts
from utils.search.engines import SearchError
from utils.search.shards import Shard, rows_in

SHARE = 4  # CPUs that an actor computes on: more make one model little faster, and fewer need more memory
SECONDS, TRIALS = 10, 3  # to answer at an address, and to start a cluster here
_ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Joins the cluster at an address (``auto`` or HOST:PORT), or starts one on this machine alone (``local``).

    An ImportError says that Ray is not installed, a `SearchError`, that there is no such cluster or it failed.
    """
    _check(address)
    with _without_words() as stream:
        ray = _library()
        _join(ray, address)
        try:
            yield Cluster(stream)
        except ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()[-1]
            raise SearchError(f"Ray gave up ({said}); whole shards are kept, and the same command resumes.") from None
        finally:
            ray.shutdown()


def _join(ray: Any, address: str) -> None:
    here = {"include_dashboard": False, "num_cpus": usable_cores()} if address == "local" else {}
    for tries_left in reversed(range(TRIALS if here else 1)):  # a busy machine may start Ray's processes too slowly
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **here)
            return
        except Exception as error:  # Ray raises many kinds, some of them without a kind
            ray.shutdown()
            if not tries_left:
                said = " ".join(str(error).split())
                what = "Ray did not start" if here else f"There is no Ray cluster at {address!r}"
                raise SearchError(f"{what} ({said}); start one with ray start, or leave the address out.") from None


def _check(address: str) -> None:
    """Refuses an address that is none, or where nothing listens: Ray would try for minutes."""
    host, _, port = address.rpartition(":")
    if address in ("auto", "local"):
        return
    if not host or not port.isdecimal() or "/" in host:
        raise SearchError(f"{address!r} is no address of a Ray cluster; give auto, local or HOST:PORT.")
    try:
        socket.create_connection((host, int(port)), SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SearchError(f"There is no Ray cluster at {address!r} ({error}); start one with ray start.") from None


def _library() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: it would report to its makers, unasked
    try:
        import ray.data
    except ImportError:
        raise ImportError(
            'Ray is not installed, which the course does without: pip install "clip-earth-course[scale]", or leave '
            "the address out."
        ) from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _without_words() -> Iterator[TextIO]:
    """Keeps what Ray writes into both outputs from the terminal, for which it gives a stream.

    Some of it comes from threads of C++, and no level of a logger reaches it. Ray has it all in its own logs.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal = sys.stderr
    kept = [os.dup(number) for number in (1, 2)]
    with ExitStack() as stack:
        for place in kept:
            stack.callback(os.close, place)  # last of all, when the stream has nothing more to write
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        own = stack.enter_context(open(kept[1], "w", encoding="utf-8", closefd=False))
        for number in (1, 2):
            os.dup2(nowhere.fileno(), number)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                yield own if terminal is sys.__stderr__ else terminal
        finally:
            for number, place in zip((1, 2), kept, strict=True):
                os.dup2(place, number)


class Cluster:
    """The `utils.search.embedder.Workers` of a cluster."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(_python_path())}}

    def facts(self, model: str) -> ModelFacts:
        """Asks an actor: this process, which may hold no accelerator, starts no JAX."""
        import ray

        asked: Any = ray.remote(num_cpus=1, max_restarts=3, max_task_retries=3)(_Asked)
        actor = asked.options(runtime_env=self._environment).remote(self._share()[0])
        found, trouble = ray.get(actor.facts.remote(model))
        ray.kill(actor)
        if trouble:
            raise SearchError(trouble)
        return found

    def embed(self, job: Job, shards: Sequence[Shard], bar: Any) -> None:
        """See `utils.search.embedder.Workers`."""
        import ray.data

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        context.max_errored_blocks = 0  # else Ray would wait for ever for an actor that has ended (ray#62746)
        share, count = self._share()
        rows = ray.data.from_items([{"shard": shard.as_json()} for shard in shards], override_num_blocks=len(shards))
        told = rows.map_batches(
            _Actor,
            fn_constructor_args=(job, share),
            batch_size=1,
            concurrency=min(count, len(shards)),
            num_cpus=_reserved(share),
            scheduling_strategy="SPREAD",
            runtime_env=self._environment,
        )
        for batch in told.iter_batches(batch_size=None, prefetch_batches=0):
            for planned, written, trouble in zip(*(batch[name].tolist() for name in _COLUMNS), strict=True):
                if trouble:
                    raise SearchError(trouble)
                bar.total += written - planned
                bar.update(written)

    def _share(self) -> tuple[int, int]:
        """The CPUs that an actor computes on, and how many actors there are."""
        import ray

        machines = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        machines = [cpus for cpus in machines if cpus] or [1]
        share = min(SHARE, *machines)
        return share, sum(cpus // share for cpus in machines)


_COLUMNS = ("planned", "written", "trouble")


def _reserved(share: int) -> float:
    """The CPUs that an actor takes in Ray's books: one fewer, or Ray's own tasks may find none left (ray#44687).

    Of a single CPU it is more than half, so that no machine has two actors and another one none.
    """
    return share - 1 if share > 1 else 0.6


def _python_path() -> list[str]:
    """Where Python finds the course, on machines that share this checkout; elsewhere it is installed."""
    return [str(_ROOT), str(_ROOT / "data"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def _model(name: str, threads: int) -> Any:
    """Loads a model in an actor, with so many threads to compute on."""
    os.environ["NPROC"] = str(threads)  # from which XLA takes the number, where it would take that of all CPUs
    from utils.clip import CLIP

    return CLIP.from_pretrained(name)


class _Asked:
    """An actor that says what a model is."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def facts(self, model: str) -> tuple[Any, str]:
        try:
            return ModelFacts.of(_model(model, self._threads)), ""
        except (ImportError, OSError, ValueError) as error:
            return None, str(error)


class _Actor:
    """An actor that embeds shards. What is in the way it tells as a row, since Ray would wrap an error in its own."""

    def __init__(self, job: Job, threads: int) -> None:
        self._job, self._threads = job, threads
        self._embedder: Embedder | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        """Embeds the shard of the only row, and gives a row of `_COLUMNS`."""
        shard = Shard.of_json(batch["shard"][0])
        written, trouble = 0, ""
        try:
            # It is there where Ray asks again, since a machine is lost on which only the answer was.
            written = rows_in(self._job.folder, shard)[0] or self._ready().embed(shard)
        except (ImportError, OSError, ValueError) as error:
            trouble = str(error)
        return {name: [value] for name, value in zip(_COLUMNS, (shard.count, written, trouble), strict=True)}

    def _ready(self) -> Embedder:
        if self._embedder is None:
            model = _model(self._job.model, self._threads)
            if (found := ModelFacts.of(model).fingerprint) != self._job.settings.model:
                raise SearchError(
                    f"{self._job.model} is another model on {platform.node()} (fingerprint {found}, not "
                    f"{self._job.settings.model}); copy it to every machine, or name one that all share."
                )
            self._embedder = Embedder(self._job, model, progress_bar(total=0, disable=True))
        return self._embedder
