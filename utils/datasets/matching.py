"""How what is said of images finds their files: by the names that are listed, wherever they resolve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captioned_image import CaptionedImage
from utils.datasets.captions import DatasetError, Listing
from utils.datasets.files import match_below, match_images

DEEPEST = 3  # folders below the given one in which plain names are looked for


def with_images(
    listings: Sequence[Listing], name: str, splits: Sequence[str] = (), above: Path | None = None, is_told: bool = False
) -> CaptionDataset:
    """Joins annotations with their files; those of each listing lie in one folder, which holds most of them.

    Args:
        listings: What is said of images, and in which folders they may lie.
        name: Of the data set.
        splits: That belong to it even if no image is in them.
        above: A folder in which, and right below which, names are looked for at last, as those in COCO's `annotations`.
        is_told: Whether somebody named the folders: then absolute names of another machine are looked for in them.
    """
    parts: dict[bool, list[CaptionedImage]] = {True: [], False: []}
    for listing in listings:
        names, folders = _relative([entry.filename for entry in listing.annotations], listing.folders, name, is_told)
        found, folder = _find(names, [one for one in folders if one.is_dir()] or folders[:1], above)
        if not found:
            raise DatasetError(
                f"{name}: none of the {len(names):,} listed images, {names[0]!r} the first, is in "
                f"{', '.join(map(str, dict.fromkeys(folders)))}; put them there or say with data_dir where they lie"
            )
        for filename, entry in zip(names, listing.annotations, strict=True):
            path = found.get(filename, folder / filename)
            known = entry.split, entry.category, entry.source or name
            item = CaptionedImage(path, entry.captions, *known, written_by=entry.written_by)
            parts[filename in found].append(item)
    return CaptionDataset(parts[True], name, parts[False], splits)


def _relative(
    filenames: list[str], folders: Sequence[Path], name: str, is_told: bool
) -> tuple[list[str], Sequence[Path]]:
    """Makes absolute names, as open_clip's tables have them, relative to the one of some folders that they lie in.

    Those of another machine are taken relative to the folder that they share. A captions file may come from others, so
    it cannot name a file elsewhere: that is a `DatasetError`.
    """
    absolute = [path for filename in filenames if (path := _absolute(filename)) is not None]
    if not absolute:
        return filenames, folders
    shared = absolute[0].parent
    while not all(path.is_relative_to(shared) for path in absolute) and shared != shared.parent:
        shared = shared.parent
    if len(absolute) == len(filenames) and shared.name:
        for place in (PurePosixPath(folder.absolute().as_posix()) for folder in folders):
            if shared.is_relative_to(place):
                return [path.relative_to(place).as_posix() for path in absolute], [Path(place)]
        if is_told:
            return [path.relative_to(shared).as_posix() for path in absolute], folders
    raise DatasetError(
        f"{name}: {str(absolute[0])!r} leads out of the image folder; list images relative to that folder, or say with "
        "data_dir in which folder they lie"
    )


def _absolute(filename: str) -> PurePath | None:
    windows, posix = PureWindowsPath(filename), PurePosixPath(filename)
    return posix if posix.is_absolute() else windows if windows.drive else None


def _find(names: list[str], folders: Sequence[Path], above: Path | None) -> tuple[dict[str, Path], Path]:
    """Finds the files of names in the folder that holds most of them, the first of equals; the nearest way first."""
    tops = {PurePosixPath(name).parts[0] for name in names if "/" in name}
    # The folder itself may be the first of the names: train2017 for train2017/1.jpg.
    parents = [folder.absolute().parent for folder in folders if folder.absolute().name in tops]
    ways: list[tuple[Callable[[list[str], Path], dict[str, Path]], Sequence[Path]]] = [
        (match_images, folders),
        (match_images, parents),
        (partial(match_below, depth=1), folders),
        (_match_without_folders, folders),
        *((partial(match_below, depth=depth), [above] if above else []) for depth in (0, 1)),
        *((partial(match_below, depth=depth), folders) for depth in range(2, DEEPEST + 1)),
    ]
    for match, places in ways:
        tried = [(match(names, place), place) for place in places]
        found, folder = max(tried, key=lambda pair: len(pair[0]), default=({}, folders[0]))
        if found:
            return found, folder
    return {}, folders[0]


def _match_without_folders(names: list[str], folder: Path) -> dict[str, Path]:
    """Finds names without the folders that all of them share, as RSICD's of the Hub, rsicd_images/airport_1.jpg."""
    shared = PurePosixPath(names[0]).parts[:-1]
    while shared and any(PurePosixPath(name).parts[: len(shared)] != shared for name in names):
        shared = shared[:-1]
    if not shared:
        return {}
    short = {PurePosixPath(*PurePosixPath(name).parts[len(shared) :]).as_posix(): name for name in names}
    return {short[name]: path for name, path in match_images(list(short), folder).items()}
