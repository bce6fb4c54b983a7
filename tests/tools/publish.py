"""A release made ready, for a person to look at, commit and tag: ``make release VERSION=0.2.0``.

It checks, changes the version everywhere, and leaves in a folder what goes with the release: the site, the archive of
the sources, and the notes. ``DRY=1`` writes nothing and says what would be done, and what is in the way.
"""

from __future__ import annotations

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from build_site import build
from release import current, release, released

from utils.course import CourseError, find_root
from utils.files import write_whole

_UNRELEASED = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## \[|^\[Unreleased\]:|\Z)", re.MULTILINE | re.DOTALL)


def unreleased(root: Path) -> str:
    """What the change log says of the next release; empty where that is nothing but headings."""
    found = _UNRELEASED.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    said = found[1].strip() if found else ""
    return said if re.search(r"^- \S", said, re.MULTILINE) else ""


def in_the_way(root: Path, version: str) -> list[str]:
    """What a release waits for: sentences, each with what to do."""
    sentences = []
    changed = _git(root, "status", "--porcelain")
    if changed is None:
        sentences.append("This is no checkout of git, which a release is tagged in; clone the repository.")
    elif changed:
        first = changed.splitlines()[0][3:]
        sentences.append(f"There are changes that are not committed, {first} the first; commit them or take them back.")
    if version != current(root)["version"] and not unreleased(root):
        sentences.append(
            "CHANGELOG.md says nothing under Unreleased; write what users will notice. "
            "make release DRY=1 drafts it from the commits."
        )
    if _git(root, "tag", "--list", f"v{version}"):
        sentences.append(f"The tag v{version} is there already; give a newer version, or delete it with git tag -d.")
    return sentences


def notes(root: Path) -> str:
    """The draft of the notes: what is unreleased in the change log, or else the commits since the last tag."""
    commits = _git(root, "log", "--no-merges", "--format=- %s", f"v{current(root)['version']}..HEAD")
    return unreleased(root) or (commits or "- (no commit since the last tag)").strip()


def publish(root: Path, version: str, folder: Path) -> list[Path]:
    """Changes the version everywhere, and builds what goes with the release into a folder.

    Returns:
        The files of the checkout that have changed. If the site or the archive fails, they are as they were.

    Raises:
        CourseError: If something is in the way, or a place names another version.
    """
    texts = released(root, version)
    if sentences := in_the_way(root, version):
        raise CourseError(sentences[0])
    before, said = {path: path.read_bytes() for path in texts}, notes(root)
    try:
        changed = release(root, version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(root, folder / "site")
        archive(root, folder / f"clip-earth-course-{version}.tar.gz")
        write_whole(folder / "notes.md", f"{said}\n")
    except BaseException:
        for path, content in before.items():
            write_whole(path, content)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return changed


def archive(root: Path, path: Path) -> None:
    """Packs what git knows, as it lies here, below one folder named as the archive; nobody's name or time is in it."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    names = sorted(filter(None, (_git(root, "ls-files", "-z") or "").split("\0")))
    with gzip.GzipFile(path, "wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as packed:
        for name in names:
            packed.add(root / name, f"{path.name.removesuffix('.tar.gz')}/{name}", recursive=False, filter=anonymous)


def _git(root: Path, *arguments: str) -> str | None:
    """What git answers, or None if it cannot."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def main(argv: list[str] | None = None) -> int:
    """Makes a release ready from the command line; the exit status is 0 if it is, or in a dry run could be."""
    parser = argparse.ArgumentParser(description="Makes a release ready.")
    parser.add_argument("version", help="three numbers, such as 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; say what would be done")
    arguments = parser.parse_args(argv)
    version = arguments.version
    try:
        root = find_root()
        if arguments.dry_run:
            print(f"{version} would change {len(released(root, version))} files. The notes of the release would be:\n")
            print("\n".join([notes(root), "", *(f"In the way: {said}" for said in in_the_way(root, version))]))
            return 0
        folder = root / "runs" / "release" / version
        changed = publish(root, version, folder)
    except (CourseError, OSError, ValueError) as error:
        print(f"make release: {error}", file=sys.stderr)
        return 2
    place = folder.relative_to(root)
    print(f"{version} now stands in {len(changed)} files; the site, the archive and the notes are in {place}.")
    print(f"Look at them with git diff, run make test, commit them, and tag the commit: git tag v{version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
