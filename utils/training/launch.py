"""Starts processes that train together, watches them, and ends all of them once one has ended before its time.

JAX notices a process that is gone, but ends the others in words of its own, and not at once. So none of them is the
command itself: that stays outside, sees how each ends, and says it in a sentence.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.training.processes import NOTE, NOTE_LENGTH, SIGN_OF_LIFE

# How a process ends that knows why: with a sentence that it leaves, stopped and saved, after what the first one says.
SAID, STOPPED, FOLLOWED, CUT_OFF = 2, 130, 3, 4
GRACE = 5.0  # seconds for the others to end by themselves
STUCK_AFTER = 3600.0  # seconds; no compilation, validation or checkpoint is to take as long
NAME = "python -m utils.training"
AGAIN = "start the same command again to resume from the last checkpoint"


@dataclass
class Worker:
    """One of the processes, with the files for its last sentence, for all else that it writes, and for its note."""

    process: subprocess.Popen[bytes]
    said: Path
    log: Path
    note: Path
    noted: int = 0  # when, in nanoseconds, as its file says
    since: float = 0.0  # when that was seen first, in seconds
    stuck_for: float = 0.0  # seconds, if that was too long
    code: int = 0  # with which it ended; below zero the signal that ended it
    ended_by_us: bool = False

    def told(self) -> dict[str, Any]:
        """What it has noted: ``process``, ``of`` how many, whether it ``waits`` for others, and its ``step`` if any."""
        return json.loads(self.note.read_text(encoding="utf-8"))

    @property
    def name(self) -> str:
        """Which of all processes it is, on whatever machine."""
        return "process {process} of {of}".format_map(self.told())


def launch(
    command: Sequence[str], job: Mapping[str, Any], count: int, together: bool, stuck_after: float = STUCK_AFTER
) -> int:
    """Runs a command in so many processes on this machine, and returns the exit status for all of them.

    Each is given, appended to the command, a file of JSON with what ``job`` says, and with ``number``, ``count``, and
    ``address``, where they meet, or an empty one if they are not ``together`` but of a job that others have started;
    ``said`` is the file for the sentence that it ends with, ``log`` that for what nobody needs to read. The first
    Ctrl-C asks them to stop at a step that is saved, as SIGTERM does; the second ends them. One that notes nothing new
    for ``stuck_after`` seconds (see `processes.note`) is ended, and the others with it.
    """
    folder = Path(tempfile.mkdtemp(prefix="training-"))
    told = {**job, "count": count, "address": f"127.0.0.1:{free_port()}" if together else ""}
    workers: list[Worker] = []
    with _interrupts(workers) as asked:
        try:
            for number in range(count):
                workers.append(_start(command, {**told, "number": number}, folder))
            _wait(workers, stuck_after)
        finally:
            _end(workers)
    code, sentence, log = _outcome(workers, asked())
    if sentence:
        print(f"\n{sentence}{f' What it wrote: {log}' if log else ''}", file=sys.stderr)
    if not log:
        shutil.rmtree(folder)
    return code


def _start(command: Sequence[str], job: Mapping[str, Any], folder: Path) -> Worker:
    number = job["number"]
    said, log, told, note = (folder / f"{number}.{name}" for name in ("said", "log", "json", "note"))
    told.write_text(json.dumps({**job, "said": str(said), "log": str(log)}), encoding="utf-8")
    first = json.dumps({"process": number, "of": job["count"], "waits": False})
    note.write_text(first.ljust(NOTE_LENGTH), encoding="utf-8")
    # Not of this terminal's group: what Ctrl-C means to them, they are told here. Their standard input ends with this
    # process, however it ends, and so do they.
    environment = os.environ | {NOTE: str(note)}
    process = subprocess.Popen([*command, str(told)], stdin=subprocess.PIPE, start_new_session=True, env=environment)
    return Worker(process, said, log, note)


@contextmanager
def _interrupts(workers: list[Worker]) -> Iterator[Callable[[], int]]:
    """Hands interrupts on to the workers; yields how many there were."""
    count = 0

    def hand_on(number: int, frame: Any) -> None:
        nonlocal count
        count += 1
        if count == 1:
            print("\nStopping after this step; once more, and all ends at once.", file=sys.stderr)
        for worker in workers:
            worker.process.terminate() if count == 1 else worker.process.kill()

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(workers: Sequence[Worker], stuck_after: float) -> None:
    """Returns when all have ended, or `GRACE` after the first that ended otherwise than finished or stopped."""
    end = float("inf")
    while time.monotonic() < end:
        codes = [worker.process.poll() for worker in workers]
        if None not in codes:
            return
        before_its_time = any(code not in (None, 0, STOPPED) for code in codes)
        if end == float("inf") and (before_its_time or _end_stuck(workers, stuck_after)):
            end = time.monotonic() + GRACE
        time.sleep(0.05)


def _end_stuck(workers: Sequence[Worker], stuck_after: float) -> bool:
    """Ends one of the workers if it, or what it waits for, has stood still for too long; says whether one was ended.

    Who waits for others may do so twice as long: the one that they wait for, on whichever machine, comes first.
    """
    now = time.monotonic()
    here = [worker for worker in workers if worker.process.poll() is None]
    for worker in here:
        noted = worker.note.stat().st_mtime_ns
        if noted != worker.noted:
            worker.noted, worker.since = noted, now
    for worker in here:
        told = worker.told() if now - worker.since > stuck_after else {}
        limit = stuck_after * 2 if told.get("waits") else stuck_after
        if "step" in told and now - worker.since > limit:
            stuck = next((other for other in here if not other.told()["waits"]), worker)
            stuck.stuck_for = limit
            os.kill(stuck.process.pid, signal.SIGABRT)  # at which it writes into its log what it was doing
            return True
    return False


def _end(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.ended_by_us = True
        with suppress(subprocess.TimeoutExpired):  # what waits for a dead disk cannot even be killed
            worker.code = worker.process.wait(GRACE)
        if worker.process.stdin:
            worker.process.stdin.close()


def _outcome(workers: Sequence[Worker], asked: int) -> tuple[int, str, Path | None]:
    """The exit status for all, why they ended before their time, in a sentence, and the log that says more of it.

    The sentence is empty where the first process says it, on another machine.
    """
    if stuck := next((worker for worker in workers if worker.stuck_for), None):
        return SAID, f"{NAME}: {_stuck_how(stuck)}, and all were ended; {AGAIN}.", stuck.log
    if all(worker.code == 0 for worker in workers):
        return 0, "", None
    if asked or all(worker.code == STOPPED for worker in workers):
        return STOPPED, _said(workers, STOPPED) or f"Stopped; {AGAIN}.", None
    if sentence := _said(workers, SAID):
        return SAID, f"{NAME}: {sentence}", None
    for worker in workers:
        who = f"{NAME}: {worker.name}"
        if worker.code < 0 and worker.code != -signal.SIGABRT and not worker.ended_by_us:
            how = f"was ended from outside ({signal.Signals(-worker.code).name}: for want of memory, perhaps)"
            return SAID, f"{who} {how}, and the others with it; {AGAIN}.", None
        if worker.code == 1:
            error = _last_line(worker.log)
            return 1, f"{who} ended in an error, and the others with it: {error}", worker.log
    if all(worker.code == FOLLOWED for worker in workers):
        return SAID, "", None
    lost = next((worker for worker in workers if worker.code == -signal.SIGABRT), workers[0])
    how = f"gave no sign of life for {SIGN_OF_LIFE} seconds, or was cut off"
    return SAID, f"{NAME}: a process {how}, and the others were ended with it; {AGAIN}.", lost.log


def _stuck_how(worker: Worker) -> str:
    told, seconds = worker.told(), f"{worker.stuck_for:,g} seconds"
    where = f"after step {told['step']}" if told.get("step") else "before its first step"
    if told["waits"]:
        return f"{worker.name} waited for the others for {seconds} {where} (a device or the network, perhaps)"
    return f"{worker.name} stood still for {seconds} {where}"


def _said(workers: Sequence[Worker], code: int) -> str:
    """The sentence of the first of the workers that ended so; empty if none did."""
    files = (worker.said for worker in workers if worker.code == code and worker.said.is_file())
    return next((file.read_text(encoding="utf-8") for file in files), "")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((line for line in reversed(lines) if line.strip()), "it says no more")


def free_port() -> int:
    """A port of 127.0.0.1 that is free, below those that systems give to whoever asks for any, and so free to stay."""
    for port in random.SystemRandom().sample(range(10_000, 32_000), 1_000):
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("none of a thousand ports of 127.0.0.1 is free")
