"""The version and the address that badges, first cells and the citation name: ``make address``, and for `publish`.

A notebook on Colab fetches its own release of the package from its own repository, so both stand written out in it.
``pyproject.toml`` says what they are, every other place follows it.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tomllib
from pathlib import Path

from utils.course import CourseError, course_notebooks, find_root
from utils.files import write_whole

# The text around a value, which is the group; a file has each of its patterns at least once.
_BADGE = {
    "version": r"/blob/v([^/\s]+)/nbs/",
    "address": r"colab\.research\.google\.com/github/([^/\s]+/[^/\s]+)/blob/",
}
_CLONE = {"version": r" --branch v(\S+) ", "address": r"https://github\.com/(\S+) /content/course "}
_FILES = {
    "pyproject.toml": {"version": r'^version = "(.+)"$', "address": r'^Repository = "https://github\.com/(.+)"$'},
    "CITATION.cff": {
        "version": r"^version: (.+)$",
        "address": r'^repository-code: "https://github\.com/(.+)"$',
        "date": r'^date-released: "(.+)"$',
    },
    ".zenodo.json": {
        "version": r'^  "version": "(.+)",$',
        "address": r'"https://github\.com/([^"]+)", "relation": "isSupplementTo"',
    },
    # Its versions are headings that stay, see `_changelog`.
    "CHANGELOG.md": {"address": r"^\[.+\]: https://github\.com/([^/\s]+/[^/\s]+)/"},
    "README.md": _BADGE,
    "docs/machines.md": {"address": r"^git clone https://github\.com/(\S+)"},
}
_RELEASES = re.compile(r"^## \[(\d.*?)\] - (.+)$", re.MULTILINE)  # of the change log: version and date

_VERSION = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", re.ASCII)
_ADDRESS = re.compile(r"[a-z\d][a-z\d-]{0,38}/(?!\.\.?$)[\w.-]{1,100}(?<!\.git)", re.ASCII | re.IGNORECASE)


def current(root: Path) -> dict[str, str]:
    """The ``version`` and the ``address`` (owner/name on GitHub) that ``pyproject.toml`` gives."""
    try:
        project = tomllib.loads(_read(root / "pyproject.toml"))["project"]
        address = project["urls"]["Repository"].removeprefix("https://github.com/")
        return {"version": project["version"], "address": address}
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise CourseError(
            f"pyproject.toml gives no version in [project] and Repository in [project.urls] ({error}); add them."
        ) from error


def places(root: Path, kind: str) -> list[tuple[Path, str]]:
    """The files that name a ``version``, an ``address`` or a ``date``, each with a pattern whose group is the value."""
    files = [(root / name, patterns) for name, patterns in _FILES.items()]
    for lesson in (*course_notebooks(root), root / "nbs" / "template.ipynb"):
        files += [(lesson, _BADGE), (lesson, _CLONE)]
    files += [(solution, _CLONE) for solution in sorted((root / "nbs" / "solutions").glob("*.ipynb"))]
    return [(path, patterns[kind]) for path, patterns in files if kind in patterns]


def released(root: Path, version: str, day: str = "") -> dict[Path, str]:
    """The texts that a release changes: the version wherever it is named, and a heading in the change log.

    The day is that of the release, by default today. What is the version already changes nothing.

    Raises:
        CourseError: If that is not a version, or an older one, or a file names another one than ``pyproject.toml``.
    """
    if not _VERSION.fullmatch(version):
        raise CourseError(f"{version!r} is not a version; give three numbers, as in VERSION=0.2.0.")
    old, log = current(root), root / "CHANGELOG.md"
    dates = dict(_RELEASES.findall(_read(log)))
    latest = next(iter(dates), "")
    if latest != old["version"]:
        raise CourseError(
            f"The newest release of CHANGELOG.md is {latest!r}, but pyproject.toml has version {old['version']}; "
            "correct the one that is wrong."
        )
    if _numbers(version) < _numbers(latest):
        raise CourseError(f"{version} is older than {latest}, the current version; give a newer one.")
    dates.setdefault(version, day or datetime.date.today().isoformat())
    texts = _replaced(root, {"version": (latest, version), "date": (dates[latest], dates[version])})
    if version != latest:
        texts[log] = _changelog(_read(log), latest, version, dates[version], old["address"])
    return {path: text for path, text in texts.items() if text != _read(path)}


def release(root: Path, version: str, day: str = "") -> list[Path]:
    """Writes what `released` gives, or nothing; returns the files changed."""
    return _write(released(root, version, day))


def move(root: Path, address: str) -> list[Path]:
    """Changes the address of the repository, ``owner/name`` on GitHub, wherever it is named.

    It returns what `release` does, and refuses what names another address; nothing is written then.
    """
    if not _ADDRESS.fullmatch(address):
        raise CourseError(f"{address!r} is not a repository of GitHub; give REPO=owner/name, and no more of it.")
    return _write(_replaced(root, {"address": (current(root)["address"], address)}))


def _replaced(root: Path, values: dict[str, tuple[str, str]]) -> dict[Path, str]:
    """The texts with a new value in every place of a kind, all of which must have the old one; nothing is written."""
    texts: dict[Path, str] = {}
    for kind, (old, new) in values.items():
        for path, pattern in places(root, kind):
            text = texts.get(path) or _read(path)
            matches = list(re.finditer(pattern, text, re.MULTILINE))
            found = {match[1] for match in matches}
            if found != {old}:
                named = ", ".join(sorted(found - {old})) or "nowhere to be found"
                where = path.relative_to(root)
                raise CourseError(f"Expected {old} as the {kind} of {where}, which is {named}; correct it there first.")
            for match in reversed(matches):  # by its place, for what surrounds it may have the same letters
                text = text[: match.start(1)] + new + text[match.end(1) :]
            texts[path] = text
    return texts


def _write(texts: dict[Path, str]) -> list[Path]:
    changed = [path for path, text in texts.items() if text != _read(path)]
    for path in changed:
        write_whole(path, texts[path].encode())
    return changed


def _changelog(text: str, old: str, new: str, day: str, address: str) -> str:
    """The change log with a heading and a link for a newer version."""
    compare = f"https://github.com/{address}/compare"
    heading, link = "## [Unreleased]\n", f"[Unreleased]: {compare}/v{old}...HEAD\n"
    links = f"[Unreleased]: {compare}/v{new}...HEAD\n[{new}]: {compare}/v{old}...v{new}\n"
    for here, there in ((heading, f"{heading}\n## [{new}] - {day}\n"), (link, links)):
        if text.count(here) != 1:
            raise CourseError(f"CHANGELOG.md should have {here!r} once; write it as for earlier releases.")
        text = text.replace(here, there)
    return text


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _read(path: Path) -> str:
    return path.read_bytes().decode()  # line ends stay as they are


def main(argv: list[str] | None = None) -> int:
    """Changes the address from the command line; the exit status is 0 if every place has it."""
    parser = argparse.ArgumentParser(description="Changes the address of the repository.")
    parser.add_argument("address", help="owner/name on GitHub")
    address = parser.parse_args(argv).address
    try:
        changed = move(find_root(), address)
    except (CourseError, OSError, ValueError) as error:
        print(f"make address: {error}", file=sys.stderr)
        return 2
    print(f"{address} now stands in {len(changed)} files." if changed else f"{address} stands everywhere already.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
