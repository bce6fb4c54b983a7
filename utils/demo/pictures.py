"""A folder of somebody's own images, made searchable in one go: its index is kept under ``runs/``, never beside them.

The index belongs to one folder and one model. At the next start it is there at once: what is new or has changed is
embedded, and what is gone is dropped.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from utils.course import CourseError
from utils.course.places import from_here
from utils.files import from_home, printable
from utils.search.embed import EARTH_MODEL

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset
    from utils.search import ImageIndex

KEPT = Path("runs/demo")  # holds a folder for each folder of images with each model
LETTERS = 32  # of a folder's name in that of its index: paths of Windows are short


def images_in(folder: Path) -> tuple[CaptionDataset, list[str]]:
    """Every image in a folder, at any depth, without captions and categories, and what is to be said of others.

    No file is opened. What the folders are called is not taken for what the images show, and no captions file is read:
    nothing that happens to lie there keeps an image from being found. A `CourseError` says that there is no such folder
    or no image.
    """
    from utils.datasets import CaptionDataset, CaptionedImage
    from utils.datasets.files import IMAGE_ENDINGS, find_images

    if not folder.is_dir():
        there = "is a file, and no folder" if folder.exists() else "is not there"
        raise CourseError(f"{folder} {there}; name the folder that holds your images.")
    folder = folder.resolve()  # by whichever link it is named, its images are the same
    name = printable(folder.name)
    paths, left_out = find_images(folder)
    images = [CaptionedImage(path, (), None, None, name) for path in paths]
    if not images:
        said = f"There is no image in {folder}, nor in a folder below it; looked for {', '.join(IMAGE_ENDINGS)}"
        raise CourseError(f"{'; '.join([said, *left_out])}.")
    return CaptionDataset(images, name), left_out


def folder_of_index(root: Path, images: Path, model: str | Path) -> Path:
    """Where the index of a folder of images by a model is kept: below `KEPT`, named after both, and no other's."""
    place = from_home(model)
    which = str(place.resolve() if place.exists() else model)
    digest = hashlib.sha256(f"{images.resolve()}\0{which}".encode(errors="surrogatepass")).hexdigest()[:8]
    names = [re.sub(r"[^\w.-]+", "-", Path(one).name)[:LETTERS] for one in (images.resolve(), which)]
    return root / KEPT / "-".join([*filter(None, names), digest])


def index_pictures(root: Path, pictures: str, model: str = "") -> tuple[ImageIndex, Path]:
    """Makes the images in a folder searchable with a model, `EARTH_MODEL` if none is named.

    Returns the index and the folder that keeps it. Whatever is in the way is a `CourseError`, an OSError or a
    ValueError of one sentence; Ctrl-C loses nothing that was embedded.
    """
    folder = from_home(pictures)
    images, left_out = images_in(folder)
    clip_folder = model or root / EARTH_MODEL
    if not model and not (root / EARTH_MODEL).is_dir():
        raise CourseError(f"{EARTH_MODEL} is not in this checkout; name a model with MODEL=, a folder or on the Hub.")
    where = folder_of_index(root, folder, clip_folder)
    print(f"{len(images):,} images in {printable(folder)}; their index is kept in {from_here(where)}.", flush=True)
    for said in left_out:
        print(f"{said}.", flush=True)

    from utils.clip import CLIP
    from utils.search import ImageIndex
    from utils.search.storage import recorded_reading

    recorded = recorded_reading(where)
    clip = CLIP.from_pretrained(clip_folder)
    how = {} if recorded is None else recorded.describe()
    index = ImageIndex.build(clip, images.with_reading(**how, measured=recorded is None), where)
    if index.skipped:
        print(_said_of_unreadable(index, folder), flush=True)
    return index, where


def _said_of_unreadable(index: ImageIndex, folder: Path) -> str:
    """How many images cannot be read, which, and why the first cannot."""
    from utils.datasets.reports import name_a_few

    names = [printable(os.path.relpath(one.path, folder.resolve())) for one in index.skipped]
    are = "is" if len(names) == 1 else "are"
    return f"{len(names):,} cannot be read and {are} left out: {name_a_few(names)}. {index.skipped[0].reason}"
