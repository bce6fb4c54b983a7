"""Folders as data sets: what in them holds the captions, or else their own names, and texts beside the images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

from utils.datasets.captions import (
    SPLITS,
    Annotation,
    DatasetError,
    Listing,
    caption_texts,
    split_name,
    splits_in_names,
    splits_of_files,
)
from utils.datasets.files import IMAGE_ENDINGS, find_images, walk_images
from utils.datasets.formats import READERS, names_captions, read_text
from utils.datasets.reports import name_a_few
from utils.datasets.shards import read_shards
from utils.datasets.tables import holds_images_or_captions, read_tables
from utils.files import printable

INNER = ("", "images", "imgs", "RSICD_images")  # where the images of a captions file may lie below its folder
# A lone folder of these names says where images are, not what they show.
_PLACES = frozenset({"images", "imgs", "image", "img", "pictures", "photos", "data", "jpegimages", "rsicd_images"})
TABLES = (".parquet", ".arrow")
SOURCES = (*READERS, *TABLES, ".tar")


def read_files(paths: Sequence[Path], title: str, data_dir: Path | None, folder: Path | None = None) -> list[Listing]:
    """Reads files that are one data set: of shards and tables any number, of captions one for each split.

    The images of captions are looked for in ``data_dir`` first, then beside each file, then in the data set's folder,
    each time also in a usual folder right below.
    """

    def folders(path: Path) -> list[Path]:
        tops = [top for top in (data_dir, path.parent, folder) if top is not None]
        return [top / inner for top in dict.fromkeys(tops) for inner in INNER]

    ending = paths[0].suffix.lower()
    if ending == ".tar":
        return [read_shards(paths, title)]
    splits = splits_of_files(paths)
    known = [(path, split, folders(path)) for path, split in zip(paths, splits, strict=True)]
    tables = [of for of in known if of[0].suffix.lower() in TABLES]
    listings = read_tables(tables, title) if tables else []
    for path, split, places in known:
        if path.suffix.lower() not in TABLES:
            entries = [replace(entry, split=entry.split or split) for entry in READERS[path.suffix.lower()](path)]
            listings.append(Listing(entries, places))
    return [replace(one, annotations=_with_splits_of_folders(one.annotations)) for one in listings]


def _with_splits_of_folders(annotations: list[Annotation]) -> list[Annotation]:
    """Splits by the first folder in which the listed names differ, as imagefolders have them; if none is told."""
    parts = [PurePosixPath(entry.filename).parts[:-1] for entry in annotations]
    same = takewhile(lambda folders: len(set(folders)) == 1, zip(*parts, strict=False))
    shared = len(list(same))  # of images/train/1.jpg and images/test/1.jpg, and of absolute names
    names = [re.sub(r"[\d_-]+$", "", part[shared]) if part[shared:] else "" for part in parts]  # of train2017/1.jpg
    splits = [name if name in SPLITS else None for name in map(split_name, names)]
    if any(entry.split for entry in annotations) or len(set(splits) - {None}) < 2:
        return annotations
    return [replace(entry, split=split) for entry, split in zip(annotations, splits, strict=True)]


def read_folder(folder: Path, data_dir: Path | None) -> list[Listing]:
    """Reads the captions files in a folder or right below it, or its tables, or its shards, or else its folders."""
    sources, unused = _captions_files(folder)
    if sources:
        listings = read_files(sources, folder.resolve().name, data_dir, folder)
    elif not walk_images(folder) and (packed := _packed(folder)):
        return read_files(packed, folder.resolve().name, data_dir, folder)
    else:
        listings = [read_category_folders(folder)]
        listings[0] = replace(listings[0], notes=(*listings[0].notes, *_said_of_metadata(folder)))
    unused += sorted(folder.glob("*.tar"))
    said = f"{', '.join(printable(path.name) for path in unused)} may hold captions too, and are not used"
    return [replace(listings[0], notes=(*listings[0].notes, *([said] if unused else []))), *listings[1:]]


def _packed(folder: Path) -> list[Path]:
    """The tables or else the shards at any depth of a folder, as of the Hub or as `save_to_disk` leaves them."""
    found = (sorted(folder.rglob(f"*{ending}")) for ending in (*TABLES, ".tar"))
    return next((paths for paths in found if paths), [])


def _captions_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files with the captions of a folder, and those that are passed over for imagefolder's ``metadata``."""
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    further = sorted({path.parent for one in below for path in one.glob("[!.]*/metadata.*")})  # data/train, on the Hub
    for places in ([folder], below, further):
        found = [path for place in places for path in _sources_in(place)]
        metadata = [path for path in found if path.stem == "metadata"]
        chosen = metadata or found
        if not chosen:
            continue
        whole = {path.suffix.lower() for path in chosen} == {".parquet"} and not metadata
        one_each = len({path.parent for path in chosen}) == len(chosen) and bool(metadata)
        splits = splits_in_names([path.stem for path in chosen])
        if len(chosen) > 1 and not (whole or one_each) and (None in splits or len(set(splits)) < len(chosen)):
            names = ", ".join(printable(path.relative_to(folder)) for path in chosen)
            raise DatasetError(f"{folder} has captions in several files, {names}: give the path of the one to use")
        return chosen, [path for path in found if path not in chosen]
    return [], []


def _said_of_metadata(folder: Path) -> list[str]:
    """What is to be said of the metadata of an imagefolder in which nothing is called as captions are."""
    below = ("", "[!.]*/", "[!.]*/[!.]*/")
    found = [path for place in below for path in folder.glob(f"{place}metadata.*") if path.suffix.lower() in SOURCES]
    if not found:
        return []
    names = name_a_few(sorted(printable(path.relative_to(folder)) for path in found))
    return [f"{names}: no column is called as names and captions of images are, file_name and text, so it is not used"]


def _sources_in(folder: Path) -> list[Path]:
    """Files of captions that lie in a folder, other than those beside an image of the same name."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    images = {path.stem for path in files if path.suffix.lower() in IMAGE_ENDINGS}
    text = [path for path in files if path.suffix.lower() in READERS and path.stem not in images]
    return [path for path in text if names_captions(path)] + [
        path for path in files if path.suffix.lower() == ".parquet" and holds_images_or_captions(path)
    ]


def read_category_folders(folder: Path) -> Listing:
    """Lists images that lie in a folder per category, with train, val and test above them or not, sorted by path.

    `airport/1.jpg` has the category airport and no split, `train/airport/1.jpg` has both, `train/1.jpg` a split alone.
    Deeper folders belong to their category. Hidden ones are passed over. Split folders may not stand beside others.
    A lone folder above all others, as EuroSAT's `2750`, is passed through; one without others whose name is that of a
    place, such as `images`, is no category. `1.txt` beside `1.jpg` holds its captions, one a line.
    """
    found, left_out = find_images(folder)
    paths = [path.relative_to(folder) for path in found]
    if not paths:
        said = f"no images are in this folder (looked for {', '.join(IMAGE_ENDINGS)})"
        raise DatasetError("; ".join([f"{folder}: {said}", *left_out]))
    below = _without_lone_folders([path.parts for path in paths])
    tops = {parts[0] for parts in below if len(parts) > 1}
    split_tops = {top for top in tops if split_name(top) in SPLITS}
    nested = sorted(top for top in split_tops if any(parts[0] == top and len(parts) > 2 for parts in below))
    if nested and tops != split_tops:
        raise DatasetError(
            f"{folder}: the split folder {nested[0]} stands beside {', '.join(sorted(tops - split_tops))}; "
            "keep either splits or categories at the top"
        )
    splits: list[str | None] = [None] * len(paths)
    if tops and tops == split_tops:
        splits = [split_name(printable(parts[0])) if len(parts) > 1 else None for parts in below]
        below = _without_lone_folders([parts[len(parts) > 1 :] for parts in below])
    categories = [printable(parts[0]) if len(parts) > 1 else None for parts in below]
    texts, text_notes = _texts_beside(folder, paths)
    known = zip(paths, splits, categories, strict=True)
    annotations = [Annotation(path.as_posix(), texts.get(path, ()), split, category) for path, split, category in known]
    return Listing(annotations, [folder], (*_said_of_one_category(categories, paths), *text_notes, *left_out))


def _without_lone_folders(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Takes folders off that hold all others, from the top down: places, and what has folders alone; no split's."""
    while min(map(len, paths)) > 1 and len({path[0] for path in paths}) == 1:
        lone, inner = paths[0][0], {path[1] if len(path) > 2 else None for path in paths}
        if split_name(lone) in SPLITS or (lone.lower() not in _PLACES and (None in inner or len(inner) == 1)):
            break
        paths = [path[1:] for path in paths]
    return paths


def _said_of_one_category(categories: list[str | None], paths: list[Path]) -> list[str]:
    """What is to be said if the folders tell no two images apart, although they lie in one."""
    places = {printable(path.parent.name) for path in paths}
    if len(set(categories)) > 1 or (categories[0] is None and not all(name.lower() in _PLACES for name in places)):
        return []
    if categories[0] is None:
        where = ", ".join(sorted(places))
        return [f"all {len(paths):,} images lie in {where}, which says where, not what they are: none has a category"]
    said = f"all {len(paths):,} images are of one category, {categories[0]}, among which every model is always right: "
    return [said + "scores by category say nothing"]


def _texts_beside(folder: Path, paths: list[Path]) -> tuple[dict[Path, tuple[str, ...]], list[str]]:
    """The captions in texts that are called as the image beside them, and what is to be said of them."""
    images: dict[Path, list[Path]] = {}
    for path in paths:
        images.setdefault(path.with_suffix(""), []).append(path)
    texts: dict[Path, tuple[str, ...]] = {}
    numbers, lost = [], []
    for place in sorted({path.parent for path in paths}):
        for file in sorted((folder / place).glob("*.txt")):
            named = images.get(place / file.stem, [])
            if not named:
                lost.append(printable(file.name))
                continue
            lines = [caption for line in read_text(file).splitlines() for caption in caption_texts(line)]
            if lines and not any(re.search(r"[^\W\d_]", line) for line in lines):
                numbers.append(file.name)  # boxes, as detectors are trained on
            else:
                texts |= dict.fromkeys(named, tuple(lines))
    notes = []
    if not texts:  # img2dataset writes the same into both
        files = (file for place in {path.parent for path in paths} for file in (folder / place).iterdir())
        beside = Counter(file.suffix for file in files if file.relative_to(folder).with_suffix("") in images)
        for ending in sorted({".caption", ".json"} & beside.keys()):
            notes.append(f"{beside[ending]:,} {ending} beside images are not read: give captions in .txt, or one table")
    if numbers:
        notes.append(f"{len(numbers):,} texts beside images hold numbers and no captions, and are not used")
    if texts and lost:
        notes.append(f"{len(lost):,} texts have no image beside them and are not used, the first is {lost[0]}")
    return texts, notes


def read_class_lists(folder: Path) -> dict[str, str]:
    """Reads RSICD's `txtclasses_rsicd`, a text file of names a class: the class of each image, by its name's stem.

    Classes are called what their list is called, with spaces: "storage tanks".
    """
    lists = sorted(folder.glob("*.txt"))
    if not lists:
        raise DatasetError(f"{folder}: no class lists (*.txt) are here; put RSICD's txtclasses_rsicd there")
    classes: dict[str, str] = {}
    for path in lists:
        for line in read_text(path).splitlines():
            stem = PurePosixPath(line.strip()).stem
            if stem and classes.setdefault(stem, path.stem) != path.stem:
                raise DatasetError(f"{path}: {line.strip()} stands in the list of {classes[stem]} as well")
    return classes
