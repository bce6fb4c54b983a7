"""Where things are: the top of the checkout, its notebooks, the folder for results; and what stops a run."""

from __future__ import annotations

import os
from pathlib import Path

from utils.files import from_home


class CourseError(Exception):
    """Something that stops a run of the course; the message says what, where and what to do."""


class LeftOut(Exception):  # noqa: N818  not an error: data without categories are fine, too
    """Raised in a notebook whose data give it nothing to work on; the course continues with the next one."""


def find_root() -> Path:
    """The top of the checkout, from anywhere inside it; outside of one it raises a `CourseError`."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "nbs" / "profiles").is_dir():
            return folder
    raise CourseError(f"{here} is not inside the course; change into the folder that holds nbs/ and utils/.")


def course_notebooks(root: Path) -> list[Path]:
    """The numbered notebooks, in reading order."""
    return sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb"))


def from_here(path: Path) -> str:
    """A path as seen from the working folder; as it is on another drive of Windows, where no path leads across."""
    try:
        return os.path.relpath(path)
    except ValueError:
        return str(path)


def output_folder(path: str) -> Path:
    """Where results go: as the parameter says, ``~`` the home folder.

    On Colab with Drive mounted, a relative path lies in the Drive, where it outlives the machine.
    """
    drive = Path("/content/drive/MyDrive")
    if "COLAB_RELEASE_TAG" in os.environ and drive.is_dir():
        return drive / "clip-earth-course" / from_home(path)
    return from_home(path)


def output_file(folder: str, name: str) -> Path:
    """A file that a notebook may have left: a bare name lies in ``folder``, an OUTPUT_DIR, a path where it says."""
    return output_folder(f"{folder}/{name}" if is_bare(name) else name)


def is_bare(name: str) -> bool:
    """Whether a name of a file is that alone, and no path."""
    return not ("/" in name or os.sep in name or Path(name).is_absolute())
