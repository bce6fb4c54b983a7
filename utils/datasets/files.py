"""How a listed name finds its image on the disk."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from utils.datasets.reports import name_a_few
from utils.files import printable

# What Pillow or GDAL decodes and people keep images in; .img is ERDAS Imagine's or, with a .hdr beside it, ENVI's,
# .ntf NITF's. Where one name has several files that differ in the ending alone, the first ending in this row wins:
# lossless formats stand first.
IMAGE_ENDINGS = (
    *(".png", ".tif", ".tiff", ".bmp", ".img", ".ntf"),
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".jp2", ".webp", ".avif", ".gif"),
)
# Images too, of telephones, cameras and mapping agencies: not looked for, but never passed over in silence.
OTHER_ENDINGS = {".heic", ".heif", ".jpf", ".jpx", ".j2k", ".jxl", ".tga", ".psd", ".ecw", ".sid", ".nitf"}
OTHER_ENDINGS |= {".dng", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".pef", ".raf", ".rw2"}


def match_images(filenames: Sequence[str], folder: Path) -> dict[str, Path]:
    """Finds the files of distinct names relative to a folder, although endings may differ from the list.

    A file of exactly the listed name is taken first. Each other name may take a file of the same stem and any
    readable ending that no exact name has taken: UCM lists `1.tif` where converted copies hold `1.jpg`. Where
    two names would take one file, neither gets it: a caption must never slip to another image. Accented
    letters match whether the file system composes them or not. No file is opened.
    """
    by_parent: dict[str, list[str]] = {}
    for name in filenames:
        by_parent.setdefault(name.rpartition("/")[0], []).append(name)
    found: dict[str, Path] = {}
    for parent, names in by_parent.items():
        place = folder / parent
        if place.is_dir():
            # Unlike `Path.is_file`, this raises nothing for a link into a closed folder.
            files = [path.name for path in place.iterdir() if os.path.isfile(path)]  # noqa: PTH113
            matches = _match_in_folder([name.rpartition("/")[2] for name in names], files)
            prefix = f"{parent}/" if parent else ""
            found |= {prefix + name: place / file for name, file in matches.items()}
    return found


def match_below(filenames: Sequence[str], folder: Path, depth: int) -> dict[str, Path]:
    """Finds listed names in the folders so far below, as those per class that a list of plain names leaves out.

    A name that several folders know is found in none: a caption must never slip to another image.
    """
    folders = [folder]
    for _ in range(depth):
        inner = (path for one in folders if one.is_dir() for path in sorted(one.iterdir()))
        folders = [path for path in inner if not path.name.startswith(".") and path.is_dir()]
    matches = [match_images(filenames, path) for path in folders]
    counts = Counter(name for match in matches for name in match)
    return {name: path for match in matches for name, path in match.items() if counts[name] == 1}


def walk_images(folder: Path) -> list[Path]:
    """Lists by name every visible image at and below a folder, through links too, sorted by path."""
    return find_images(folder)[0]


def find_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Lists the images of a folder as `walk_images` does, and says what of it is left out.

    Images of `OTHER_ENDINGS`, and folders that cannot be opened, are named in a sentence each, without a full stop.
    """
    paths: list[Path] = []
    others: list[Path] = []
    closed: list[OSError] = []
    walked = set()
    for top, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = Path(top).resolve()
        if real in walked:  # a link that leads back up
            folders.clear()
            continue
        walked.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = [name for name in files if not name.startswith(".")]
        paths += [Path(top, name) for name in visible if _split_ending(name)[1]]
        others += [Path(top, name) for name in visible if Path(name).suffix.lower() in OTHER_ENDINGS]
    return sorted(paths), _said_of_left_out(folder, sorted(others), closed)


def _said_of_left_out(folder: Path, others: Sequence[Path], closed: Sequence[OSError]) -> list[str]:
    said = []
    if others:
        names = name_a_few([printable(os.path.relpath(path, folder)) for path in others])
        are = "image in a format that is not read is" if len(others) == 1 else "images in formats that are not read are"
        said.append(f"{len(others):,} {are} left out: {names}; save as JPEG or PNG what belongs to them")
    if closed:
        names = name_a_few(sorted(printable(os.path.relpath(error.filename, folder)) for error in closed))
        are = "folder cannot be opened and is" if len(closed) == 1 else "folders cannot be opened and are"
        said.append(f"{len(closed):,} {are} left out: {names} ({closed[0].strerror})")
    return said


def _match_in_folder(names: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """Matches plain file names with the files of one folder, by the rule of `match_images`."""
    matches = {name: name for name in set(files).intersection(names)}
    free: dict[str, dict[str, str]] = {}  # by stem, then by ending
    for file in sorted(set(files) - set(matches), reverse=True):  # of several in other capitals, the first
        stem, ending = _split_ending(file)
        if ending:
            free.setdefault(stem, {})[ending] = file
    listed = {name: _split_ending(name) for name in names if name not in matches}
    claims = Counter(stem for stem, _ in listed.values())
    for name, (stem, ending) in listed.items():
        if claims[stem] == 1 and stem in free:
            best = ending if ending in free[stem] else min(free[stem], key=IMAGE_ENDINGS.index)
            matches[name] = free[stem][best]
    return matches


def _split_ending(name: str) -> tuple[str, str]:
    """Splits a file name into its stem, accents composed, and an image's ending in lower case; "tile.2015" has none."""
    name = unicodedata.normalize("NFC", name)
    stem, dot, ending = name.rpartition(".")
    ending = (dot + ending).lower()
    return (stem, ending) if stem and ending in IMAGE_ENDINGS else (name, "")
