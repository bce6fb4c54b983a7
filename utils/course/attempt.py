"""One answer tried by the course's own checker, in a process of its own: what `grade` starts for each exercise.

It reads from standard input what to define and which function to try, and writes one line to standard output, which
the answer itself cannot print to.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
from typing import Any

# Bytes of address space (JAX reserves more than it uses), of a file, and of a core dump.
LIMITS = {"RLIMIT_AS": 8 * 2**30, "RLIMIT_FSIZE": 64 * 2**20, "RLIMIT_CORE": 0}


def verdict(lesson: str, copy: str, name: str) -> str:
    """What the lesson's ``check_NAME`` says of the copy's ``NAME``: ``passed``, ``not yet: ...`` or ``error: ...``."""
    said = io.StringIO()
    try:
        checkers: dict[str, Any] = {"__name__": "lesson"}
        answers: dict[str, Any] = {"__name__": "copy"}
        exec(lesson, checkers)
        exec(copy, answers)
        with contextlib.redirect_stdout(said):
            right = checkers[f"check_{name}"](answers[name])
    except BaseException as error:  # sys.exit is one of them
        return f"error: {type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": ")
    hint = re.findall(r"^Not yet: (.*)", said.getvalue(), re.MULTILINE)[-1:]  # what the answer printed came before
    if right is True:
        return "passed"
    raised = re.fullmatch(r"(?:trying it ended with )?(\w+(?:Error|Exception)\b.*)", *hint) if hint else None
    return f"error: {raised[1]}" if raised else f"not yet: {hint[0] if hint else 'the checker says no more'}"


def limit_resources() -> None:
    """Sets `LIMITS`, as far as the system knows them: Windows none, macOS some."""
    with contextlib.suppress(ImportError):
        import resource

        for name, most in LIMITS.items():
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (most, most))


def end_after(seconds: float) -> None:
    """Ends this process then, whatever it computes: who started it may have been killed and no longer watch."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds))  # also where an answer never lets a thread of Python's run
    else:  # on Windows
        timer = threading.Timer(seconds, os._exit, [1])
        timer.daemon = True
        timer.start()


def main() -> None:
    """Tries the answer that standard input tells of."""
    asked = json.load(sys.stdin)
    report, silence = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    limit_resources()
    end_after(asked["seconds"] + 5)
    told = verdict(asked["lesson"], asked["copy"], asked["name"])
    os.write(report, (told.replace("\n", " ") + "\n").encode("utf-8", "backslashreplace"))
    os._exit(0)  # threads that the answer has left behind are not waited for


if __name__ == "__main__":
    main()
