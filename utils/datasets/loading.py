"""`load_dataset`: finds a published data set by its name, or reads your own captions by their path."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from utils.datasets.caption_dataset import CaptionDataset
from utils.datasets.captions import SPLITS, DatasetError, Listing
from utils.datasets.files import walk_images
from utils.datasets.folders import SOURCES, read_class_lists, read_files, read_folder
from utils.datasets.formats import names_captions, read_json
from utils.datasets.hub import fetch_rsicd
from utils.datasets.matching import with_images
from utils.datasets.reports import name_a_few
from utils.datasets.tables import read_hub_object
from utils.files import disk_trouble_in_words, expanded, file_in_the_way, printable

ROOT = Path(__file__).resolve().parents[2]
DATA_FOLDER = ROOT / "data"  # what people put there
FETCHED_FOLDER = ROOT / "runs" / "data"  # what comes by itself: the checkout may be read-only but for runs/

# UC Merced's 21 classes. Image k of UCM-captions (1 to 2,100) belongs to class (k - 1) // 100 of them.
# fmt: off
UCM_CATEGORIES = (
    "agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential",
    "forest", "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark",
    "overpass", "parkinglot", "river", "runway", "sparseresidential", "storagetanks", "tenniscourt",
)
# fmt: on


def _category_before_underscore(filename: str) -> str | None:
    return filename.partition("_")[0] or None if "_" in filename else None  # of airport_1.jpg, not of 00001.jpg


def _category_of_ucm_number(filename: str) -> str | None:
    number = Path(filename).stem
    known = number.isdecimal() and 1 <= int(number) <= 100 * len(UCM_CATEGORIES)
    return UCM_CATEGORIES[(int(number) - 1) // 100] if known else None


@dataclass(frozen=True)
class _Published:
    """Where a published data set has its parts, and how a file name tells the category."""

    name: str
    title: str  # in the `dataset` field of its JSON
    folder: str  # in the data folder
    annotations: str  # its JSON
    images: str  # its image folder
    category: Callable[[str], str | None]


_RSICD = _Published("rsicd", "rsicd", "RSICD", "dataset_rsicd.json", "RSICD_images", _category_before_underscore)
_PUBLISHED = {
    "rsicd": _RSICD,
    "ucm": _Published("ucm", "UCM", "UCM_captions", "dataset.json", "imgs", _category_of_ucm_number),
    "sydney": _Published("sydney", "Sydney", "Sydney_captions", "dataset.json", "imgs", lambda filename: None),
    # The stand-in has RSICD's layout in every respect.
    "miniature": replace(_RSICD, name="miniature", title="rsicd-miniature", folder="miniature"),
}


def load_dataset(
    name: str | Path | Any,
    data_dir: str | Path | None = None,
    split: str | None = None,
    class_lists: bool = False,
    stretch: str | Sequence[float] = "auto",
    bands: Sequence[int] | None = None,
    check_files: bool = True,
    val_from_train: float = 0.0,
    seed: int = 0,
    rename: Mapping[str, str] | None = None,
) -> CaptionDataset:
    """Loads a published data set by its name, or your own images by the path of their captions.

    It is in the order of the captions file. What is listed but not on the disk as a regular file is left out, counted
    and named in a warning, and stands in `missing`. Endings may differ ("1.tif" listed, "1.jpg" there). Data that
    cannot be found or read are a `DatasetError`.

    Args:
        name: "rsicd", "ucm" or "sydney", the published JSON with its image folder; RSICD is fetched from the Hugging
            Face Hub if `data_dir` is not given and no copy is in the data folder. Or "miniature", the rendered
            stand-in, or "icons", 600 map symbols and line drawings of the same categories that the starting checkpoint
            has not seen, all of the split "test"; both are made on first use.
            Or a .json in Karpathy's form, COCO's or NWPU's, a .jsonl with `filename` and `captions`, or a .csv with
            `filename` and `caption`, each with `split` and `category` if known, or named as in Hugging Face's metadata
            or open_clip's tables (so also what `utils.translation` writes).
            Or a .parquet with images, as on the Hub, or with their names; shards of webdataset, "data-{000..003}.tar".
            Images in them are written once into `runs/data/unpacked`, and so are those of a `datasets.Dataset` or
            `DatasetDict`, which may stand here itself.
            Or a folder with one of these, or with a folder for each category, with train, val and test above them or
            not, and with texts beside images or not.
        data_dir: For a name: the folder of the data set (`RSICD`, `UCM_captions`, `Sydney_captions`, `miniature`) or
            the one above it; by default `data` in the checkout. For a captions file: the image folder or one above it,
            if it is not that of the file or beside it.
        split: Return this split only.
        class_lists: Take RSICD's categories from the lists in `txtclasses_rsicd`: 31 for all images ("storage tanks"),
            not the 30 ("storagetanks") that stand before the underscore of most file names.
        stretch: Of images with more than 8 bits, see `CaptionDataset.with_reading`.
        bands: Of images with other bands than three, likewise.
        check_files: Leave out damaged images, as the missing; see `CaptionDataset.without_damaged`.
        val_from_train: The share of train that becomes val where there is none, see `CaptionDataset.with_validation`.
        seed: Of that draw, and of the icons.
        rename: Other names for categories, see `CaptionDataset.with_categories_renamed`.
    """
    data_dir = None if data_dir is None else Path(data_dir)
    if data_dir is not None and (blocked := file_in_the_way(data_dir)):
        raise DatasetError(f"data_dir is {data_dir}, and {blocked} is a file: give the folder with the images")
    published = _PUBLISHED.get(name.lower()) if isinstance(name, str) else None
    if class_lists and published is not _RSICD:
        raise DatasetError(f"class_lists goes with 'rsicd' alone, not with {str(name)!r}")
    if isinstance(name, str) and name.lower() == "icons":
        whole = _load_icons(data_dir, seed)
    elif published:
        whole = _load_published(published, data_dir, class_lists)
    else:
        whole, notes = _load_own(name, data_dir)
        for note in notes:
            warnings.warn(f"{whole.name}: {note}", stacklevel=2)
    whole = whole.with_categories_renamed(rename) if rename else whole
    whole = whole.with_reading(stretch, bands)  # before it is divided: one range for all
    whole = whole.with_validation(val_from_train, seed) if val_from_train else whole
    dataset = whole if split is None else whole.split(split)
    if split is None and (unused := _in_no_usual_split(whole)):
        warnings.warn(unused, stacklevel=2)
    dataset = dataset.without_damaged() if check_files else dataset
    if by_machine := sum(item.written_by is not None for item in dataset):
        said = (
            f"{by_machine:,} of {len(dataset):,} images have captions by a machine: search them, but measure no model"
        )
        warnings.warn(f"{dataset.name}: {said} by them", stacklevel=2)
    missing, damaged = [item.name for item in dataset.missing], [item.name for item, _ in dataset.damaged]
    of = f"{len(missing):,} of {len(dataset) + len(missing):,} listed images are not on the disk as regular files"
    for names, which in ((missing, of), (damaged, f"{len(damaged):,} images are damaged")):
        if names:
            warnings.warn(f"{dataset.name}: {which} and are left out: {name_a_few(names)}", stacklevel=2)
    return dataset


def _in_no_usual_split(dataset: CaptionDataset) -> str:
    """Says how many images of a data set with splits are in none of train, val and test; empty if all are in one."""
    counts = Counter(item.split for item in dataset if item.split not in SPLITS)
    named = [f"{count:,} in {name!r}" if name else f"{count:,} without a split" for name, count in counts.items()]
    said = (
        f"{dataset.name}: {counts.total():,} of {len(dataset):,} images are in none of the splits {', '.join(SPLITS)}, "
        f"so the notebooks do not use them: {', '.join(named)}"
    )
    return said if counts and dataset.splits else ""


def find_dataset(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Returns the folder in which `load_dataset` finds a published data set, None if it has to be made or fetched."""
    published = _PUBLISHED[name]
    top = DATA_FOLDER if data_dir is None else Path(data_dir)
    folders = [top, top / published.folder]
    if top.resolve() == DATA_FOLDER:
        folders.append(FETCHED_FOLDER / published.folder)
    return next((folder for folder in folders if (folder / published.annotations).is_file()), None)


def _find_or_make(published: _Published, data_dir: Path | None) -> Path:
    """Returns the folder of a published data set; makes the miniature or fetches RSICD if it is to be had."""
    top = DATA_FOLDER if data_dir is None else data_dir
    is_default, place = top.resolve() == DATA_FOLDER, top / published.folder
    is_miniature = published.name == "miniature"
    # One that lies in the usual place is looked at by its maker, whether it is of today's making.
    if not (is_miniature and is_default) and (folder := find_dataset(published.name, data_dir)):
        return folder
    if is_miniature:
        from standins.scenes import build_miniature

        return build_miniature(None if is_default else place)
    if published.name == "rsicd" and is_default:
        return fetch_rsicd(FETCHED_FOLDER / published.folder)
    raise DatasetError(
        f"{published.name} is not in {top} nor in {place}: put {published.annotations} and the folder "
        f"{published.images} into {place}, or say with data_dir where they lie"
    )


def _load_published(published: _Published, data_dir: Path | None, class_lists: bool) -> CaptionDataset:
    folder = _find_or_make(published, data_dir)
    path = folder / published.annotations
    annotations, title = read_json(path)
    if title != published.title and title in {other.title for other in _PUBLISHED.values()}:
        raise DatasetError(f"{path}: this is the data set {title!r}, not {published.title!r}")
    classes = read_class_lists(folder / "txtclasses_rsicd") if class_lists else {}
    category = (lambda filename: classes.get(Path(filename).stem)) if class_lists else published.category
    annotations = [replace(entry, category=category(entry.filename)) for entry in annotations]
    return with_images([Listing(annotations, [folder / published.images])], published.name, splits=SPLITS)


def _load_icons(data_dir: Path | None, seed: int) -> CaptionDataset:
    """Draws icons on first use; those of the next seed, for the checkpoint was trained on those of seed 0."""
    from standins.icons import build_icons

    if seed < 0:
        raise DatasetError(f"the seed of the icons is {seed}; give 0 or more")
    top = FETCHED_FOLDER if data_dir is None or data_dir.resolve() == DATA_FOLDER else data_dir
    with disk_trouble_in_words(top):
        return _load_own(build_icons(top, seed=seed + 1), None)[0]


def _load_own(source: Any, data_dir: Path | None) -> tuple[CaptionDataset, list[str]]:
    """Reads your own images and captions; returns the sentences on what is there and not used, too."""
    if not isinstance(source, str | os.PathLike):
        listings, name = read_hub_object(source, [data_dir or Path()])
        dataset = with_images(listings, name, is_told=data_dir is not None)
        return dataset, [*_notes_of(listings), *_without_captions(dataset)]
    paths = _existing(str(source), data_dir)
    path = paths[0]
    if path.is_dir():
        name, listings, above = printable(path.name), read_folder(path, data_dir), None
    elif path.suffix.lower() not in SOURCES or (path.suffix == ".txt" and not names_captions(path)):
        raise DatasetError(
            f"{path}: captions must be a .json, .jsonl or .csv file, a .parquet, shards in .tar, or a folder of "
            "images; of a spreadsheet, save the sheet as CSV (UTF-8), with the columns filename and caption"
        )
    else:
        pattern = re.sub(r"[-_.]*\{.*", "", Path(source).stem)  # data-{000..003} is called data
        name, place = printable(pattern if len(paths) > 1 and pattern else path.stem), path.absolute().parent
        above = place.parent if data_dir is None and place.name == "annotations" else None  # as COCO's
        listings = read_files(paths, name, data_dir)
    dataset = with_images(listings, name, above=above, is_told=data_dir is not None)
    return dataset, [*_notes_of(listings), *_unlisted(dataset, path), *_without_captions(dataset)]


def _notes_of(listings: Sequence[Listing]) -> list[str]:
    return [note for listing in listings for note in listing.notes]


def _existing(source: str, data_dir: Path | None) -> list[Path]:
    """The file, the folder or the shards that a path, which may be a pattern, stands for; or a `DatasetError`."""
    paths = [Path(source)] if Path(source).exists() else [Path(one) for one in expanded(source)]
    if data_dir is not None and not any(path.exists() for path in paths):
        paths = [data_dir / path for path in paths]
    absent = [str(path) for path in paths if not path.exists()]
    if absent and len(paths) > 1:
        raise DatasetError(f"{source}: {len(absent):,} of {len(paths):,} shards are not there: {name_a_few(absent)}")
    if absent:
        raise DatasetError(
            f"there is no data set {absent[0]!r}: give one of {', '.join(_PUBLISHED)}, icons, or the path of a .json, "
            ".jsonl or .csv of captions, of a .parquet or .tar, or of a folder with a folder for each category"
        )
    if special := [path for path in paths if not (path.is_file() or path.is_dir())]:  # a pipe would be waited for
        raise DatasetError(f"{special[0]}: this is not a regular file; give the path of a file of captions")
    if len(paths) > 1 and {path.suffix.lower() for path in paths} not in ({".tar"}, {".parquet"}):
        raise DatasetError(f"{source}: several files are one data set if they are .tar or .parquet; give one path")
    return paths


def _unlisted(dataset: CaptionDataset, folder: Path) -> Iterator[str]:
    """Says how many images of a folder its captions do not list; of a file nobody knows what else belongs to it."""
    real = cache(os.path.realpath)  # folders are few
    known = {(real(item.path.parent), item.path.name) for item in (*dataset, *dataset.missing)}
    images = walk_images(folder) if folder.is_dir() else []
    others = [path for path in images if (real(path.parent), path.name) not in known]
    if len(images) > len(others) > 0:
        names = name_a_few([printable(path.relative_to(folder)) for path in others])
        yield f"{len(others):,} images of the folder are in no list of captions and are left out: {names}"


def _without_captions(dataset: CaptionDataset) -> Iterator[str]:
    bare = [item.name for item in dataset if not item.captions]
    if 0 < len(bare) < len(dataset):
        yield f"{len(bare):,} of {len(dataset):,} images have no caption: {name_a_few(bare)}"
