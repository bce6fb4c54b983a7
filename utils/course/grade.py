"""What the checkers say of a class's copies of the notebooks, as a table: ``make grade FOLDER=class/``.

A student is a folder of copies, ``class/anna/03_meet_clip.ipynb``, or the rest of a file's name beside a notebook's,
``class/03_meet_clip_anna.ipynb`` or ``class/anna-03_meet_clip.ipynb``; copies without either are one student's, who is
called like the folder. If there are two of one notebook, the one changed last counts.

Of a copy only functions and imports are taken, and of these only what the answer needs; the checker, and all that it
needs, are the course's own. Each exercise is tried in a process with a time limit, a memory limit where the system has
one, an empty folder to work in and an environment without the teacher's variables. That keeps accidents apart. It is no
defense against malice: an answer may read what the user may read, and reach the network. Whoever must expect that runs
it in a container or a throwaway account.
"""

from __future__ import annotations

import argparse
import ast
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import nbformat

from utils.course import CourseError, course_notebooks, find_root
from utils.files import disk_trouble_in_words, printable, usable_cores, write_whole

MISSING, UNANSWERED, LATE = "no copy", "not answered", "timed out"
# Of the teacher's environment an answer gets these; Windows starts no network and no Python without its own.
KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE", "PATHEXT")
SHOWN = ("passed", "not yet", UNANSWERED, "error", LATE, MISSING)
Names = dict[str, list[ast.stmt]]


def definitions(path: Path, own: bool) -> Names:
    """The imports and functions of a notebook by the names they bind; of the course's own classes and literals too.

    A cell that is no Python is passed over; what is not a notebook raises a `CourseError`.
    """
    try:
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    except Exception as error:
        raise CourseError(f"{printable(path)} is not a notebook that can be read: {type(error).__name__}.") from error
    names: Names = {}
    for source in cells:
        for text in (source, re.sub(r"^([ \t]*)[%!].*", r"\1pass", source, flags=re.MULTILINE)):  # magics
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                _add(ast.parse(text).body, names, own)
                break
        else:  # an exercise in this cell is said to be broken, not to be missing
            broken = ast.parse("raise SyntaxError('its cell is not valid Python')").body
            names |= dict.fromkeys(re.findall(r"^def (\w+)\(", source, re.MULTILINE), broken)
    return names


def _add(body: list[ast.stmt], names: Names, own: bool) -> None:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                names.setdefault((alias.asname or alias.name).split(".")[0], []).append(node)
        elif isinstance(node, ast.FunctionDef) or (own and isinstance(node, ast.ClassDef)):
            names.pop(node.name, None)  # the last one counts, and in its place
            names[node.name] = [node]
        elif own and isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            with suppress(ValueError):  # what is computed is not taken
                ast.literal_eval(node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    names[ast.unparse(target)] = [node]


def needed(name: str, names: Names) -> str:
    """Source that defines a name and all that it uses: imports first, the rest in the order of the notebook."""
    wanted, found = [name], set()
    while wanted:
        if (one := wanted.pop()) not in found and one in names:
            found.add(one)
            wanted += [used.id for node in names[one] for used in ast.walk(node) if isinstance(used, ast.Name)]
    nodes = [node for one in names if one in found for node in names[one]]
    nodes.sort(key=lambda node: not isinstance(node, ast.Import | ast.ImportFrom))
    return "\n".join(["from __future__ import annotations", *dict.fromkeys(map(ast.unparse, nodes))])


def question(name: str, lesson: Names, copy: Names) -> dict[str, str] | str:
    """What `attempt` is to try, or in words why there is nothing to try."""
    if name not in copy:
        return f"{UNANSWERED}: the copy has no function {name}"
    if _code(copy[name]) == _code(lesson[name]):
        return UNANSWERED
    lent = {key: nodes for key, nodes in lesson.items() if key not in copy}
    return {"name": name, "lesson": needed(f"check_{name}", lesson), "copy": needed(name, lent | copy)}


def _code(nodes: list[ast.stmt]) -> str:
    """What a function does, without its docstring."""
    if isinstance(node := nodes[-1], ast.FunctionDef):
        nodes = node.body[ast.get_docstring(node) is not None :]
    return "\n".join(map(ast.unparse, nodes))


def attempt(asked: dict[str, str], root: Path, seconds: int, stop: threading.Event) -> str:
    """Tries an answer in a process of its own, and returns what its checker says."""
    keep = {name: os.environ[name] for name in KEPT if name in os.environ}
    keep |= {"PYTHONPATH": f"{root}{os.pathsep}{root / 'data'}", "PYTHONUTF8": "1", "JAX_PLATFORMS": "cpu"}
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as box,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as told,
    ):
        given.write(json.dumps({**asked, "seconds": seconds}).encode())
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-s", "-B", "-m", "utils.course.attempt"],
            cwd=box,
            env=keep | dict.fromkeys(("HOME", "TMPDIR", "USERPROFILE", "TEMP", "TMP"), box),
            stdin=given,
            stdout=told,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + seconds
            while process.poll() is None and time.monotonic() < end and not stop.is_set():
                time.sleep(0.05)
            late = process.poll() is None
        finally:
            end_with_children(process)
        told.seek(0)
        text = told.read(2000).decode("utf-8", "replace").strip()
    return LATE if late else text or "error: it ended without a verdict, as where memory runs out"


def end_with_children(process: subprocess.Popen) -> None:
    """Ends a process that was started in a session of its own, and what it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:  # on Windows, which has neither sessions nor groups of processes
        import psutil

        with suppress(psutil.Error):
            # A virtual environment's python is there a process that only starts another one.
            for child in (children := psutil.Process(process.pid).children(recursive=True)):
                child.kill()
            psutil.wait_procs(children, timeout=5)  # else their folder cannot be deleted
        process.kill()
    process.wait()


def copies(folder: Path, stems: list[str]) -> dict[str, dict[str, Path]]:
    """The copies of each student, by the stem of the course's notebook; students in alphabetical order.

    A folder that is missing, or has no copies in it, raises a `CourseError`.
    """
    if not folder.is_dir():
        raise CourseError(f"{printable(folder)} is not a folder; name the one that holds the copies with FOLDER=.")
    found: dict[str, dict[str, Path]] = {}
    paths = [path for path in folder.rglob("*.ipynb") if path.is_file()]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime, str(path))):
        parts, stem = path.relative_to(folder).parts, next((stem for stem in stems if stem in path.stem), None)
        if stem and not any(part.startswith(".") for part in parts):
            rest = path.stem.replace(stem, " ").strip(" _-")
            student = parts[0] if len(parts) > 1 else rest or folder.resolve().name
            found.setdefault(printable(student), {})[stem] = path
    if not found:
        raise CourseError(f"{printable(folder)} holds no copy of a notebook such as anna/{stems[0]}.ipynb.")
    return dict(sorted(found.items()))


def grade(root: Path, folder: Path, seconds: int = 60) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Yields each student's name, what is said of each exercise, and what is wrong with the copies."""
    lessons = {path.stem: definitions(path, own=True) for path in course_notebooks(root)}
    stop = threading.Event()

    def said_of(one: dict[str, str] | str) -> str:
        return one if isinstance(one, str) else attempt(one, root, seconds, stop)

    with ThreadPoolExecutor(usable_cores()) as pool:
        for student, paths in copies(folder, list(lessons)).items():
            asked, troubles = questions(lessons, paths)
            try:
                said = dict(zip(asked, pool.map(said_of, asked.values()), strict=True))
            except BaseException:  # Ctrl-C: what runs is ended, what waits does not begin
                stop.set()
                raise
            yield student, said, troubles


def questions(lessons: dict[str, Names], paths: dict[str, Path]) -> tuple[dict[str, dict[str, str] | str], list[str]]:
    """What is to be tried of a student's copies, by notebook and exercise, and what is wrong with the copies."""
    asked: dict[str, dict[str, str] | str] = {}
    troubles: list[str] = []
    for stem, lesson in lessons.items():
        copy, otherwise = None, MISSING
        try:
            copy = definitions(paths[stem], own=False) if stem in paths else None
        except CourseError as error:
            troubles, otherwise = [*troubles, str(error)], "error: not a notebook"
        for name in (name for name in lesson if f"check_{name}" in lesson):
            asked[f"{stem} {name}"] = otherwise if copy is None else question(name, lesson, copy)
    return asked, troubles


def as_csv(rows: dict[str, dict[str, str]]) -> str:
    """One row a student, with the number of passed exercises and a column for each."""
    text, keys = io.StringIO(), list(next(iter(rows.values())))
    table = [[student, list(said.values()).count("passed"), *map(said.get, keys)] for student, said in rows.items()]
    csv.writer(text, lineterminator="\n").writerows([["student", "passed", *keys], *table])
    return text.getvalue()


def as_table(rows: dict[str, dict[str, str]]) -> str:
    """How many students have what, by exercise."""
    lines = [f"{'':<46}" + "".join(f"{word:>14}" for word in SHOWN)]
    for key in next(iter(rows.values())):
        counts = Counter(said[key].split(":")[0] for said in rows.values())
        lines.append(f"{key:<46}" + "".join(f"{counts[word] or '.':>14}" for word in SHOWN))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Grades from the command line."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.grade", description="Tries a class's answers.")
    parser.add_argument("folder", help="with a folder a student, or files such as 03_meet_clip_anna.ipynb")
    parser.add_argument("--to", default="runs/grades.csv", help="the table, a .csv; an older one is replaced")
    parser.add_argument("--seconds", type=int, default=60, help="how long an answer may take")
    arguments = parser.parse_args(argv)
    table, rows, status = Path(arguments.to), {}, 0
    try:
        if not arguments.folder:
            raise CourseError("Name the folder that holds the copies, as in make grade FOLDER=class/.")
        if table.suffix != ".csv":
            raise CourseError(f"The table is a .csv, and TO= says {table}; name another.")
        with disk_trouble_in_words(table.parent):
            table.parent.mkdir(parents=True, exist_ok=True)
        for student, said, troubles in grade(find_root(), Path(arguments.folder), arguments.seconds):
            rows[student], passed = said, list(said.values()).count("passed")
            print("\n".join([f"{student}: {passed} of {len(said)} passed", *troubles]), flush=True)
    except (CourseError, OSError) as error:
        print(f"make grade: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make grade: stopped; the table holds who was graded before.", file=sys.stderr)
        status = 130
    if rows:
        with disk_trouble_in_words(table.parent):
            write_whole(table, as_csv(rows))
        print(f"\n{as_table(rows)}\n\n{table}, students: {len(rows)}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
