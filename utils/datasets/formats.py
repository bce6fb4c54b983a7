"""The file formats that captions come in.

Every reader returns plain `Annotation` records and opens no image; `utils.datasets.files` finds the files.
Readers change nothing in a caption: back-translation and duplicate counts depend on the exact text. Only what is
blank, or a placeholder such as "NaN", is left out, and a list that a table holds as text is taken apart.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from utils.datasets.captions import caption_fields, caption_texts, is_filled, known_name
from utils.datasets.files import IMAGE_ENDINGS, walk_images
from utils.files import printable

# Other words for the three usual splits. Any further name ("fold2") is kept as it is.
SPLIT_ALIASES = {
    "training": "train",
    "restval": "train",  # of Karpathy's COCO: every published protocol trains on them
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}
SPLITS = ("train", "val", "test")

# What captions files call the picture, the course's own word first: Hugging Face's imagefolder says file_name,
# open_clip filepath, run_clip image_path. In Karpathy's form `filepath` is a folder.
FILE_FIELDS = ("filename", "file_name", "image_path", "filepath")
# Understood where what they hold is one of the usual splits.
SPLIT_FIELDS = ("split", "set", "subset", "partition", "phase")


class DatasetError(ValueError):
    """Pictures or captions cannot be loaded; the message says what is wrong, where, and what to do."""


class NoCaptionsError(DatasetError):
    """A file holds no captions but something else, such as the names of classes."""


@dataclass(frozen=True)
class Annotation:
    """What a captions file says of one picture.

    Attributes:
        filename: Path of the picture as listed, relative to the image folder, with forward slashes.
        captions: Zero, one or more captions, verbatim.
        split: Name of the split, or None where the file gives none.
        category: Name of the category, or None where the file gives none.
        source: Name of the data set that the picture comes from, or None where the file gives none.
    """

    filename: str
    captions: tuple[str, ...] = ()
    split: str | None = None
    category: str | None = None
    source: str | None = None


def split_name(text: str | None) -> str | None:
    """Return the usual name of a split: "Validation" is "val"; blank, a placeholder or None is None."""
    text = known_name(text)
    lowered = (text or "").lower()
    return lowered if lowered in SPLITS else SPLIT_ALIASES.get(lowered, text)


def split_of(entry: dict) -> str | None:
    """Return the split of an entry: of its `split`, or a usual one under another name of `SPLIT_FIELDS`."""
    others = (split_name(entry[field]) for field in SPLIT_FIELDS[1:] if field in entry)
    return split_name(entry.get("split")) or next((split for split in others if split in SPLITS), None)


def read_karpathy_json(path: Path) -> tuple[list[Annotation], str]:
    """Read captions in Karpathy's JSON form, in which RSICD, UCM and Sydney are published.

    The form is `{"images": [{"filename", "split", "sentences": [{"raw"}]}], "dataset"}`. `filepath` (a
    folder, as in COCO's files) and `category` are read where they are given. A sentence without `raw` is put
    together from its `tokens`.

    Args:
        path: The JSON file.

    Returns:
        The annotations in the order of the file, and the name in its `dataset` field ("" where it has none).

    Raises:
        DatasetError: The file is missing, is no JSON, or an entry lacks what it needs.
    """
    content = _json_of(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise NoCaptionsError(f"{path}: expected Karpathy's form, an object with a list called 'images'")
    return _of_entries(content["images"], path, "entry {} of 'images'"), str(content.get("dataset") or "")


def read_json(path: Path) -> list[Annotation]:
    """Read captions in any of the JSON forms of the field.

    Karpathy's (RSICD, UCM, Sydney), COCO's (`images` and `annotations` with a `caption` each), that of NWPU-Captions
    (a list for each class, captions in `raw`, `raw_1` and so on), a list of objects as of JSON lines, and JSON lines
    that are called .json.

    Args:
        path: The JSON file.

    Returns:
        The annotations in the order of the file.

    Raises:
        NoCaptionsError: It is JSON of something else.
        DatasetError: The file is missing, is no JSON, or an entry lacks what it needs.
    """
    try:
        content = _json_of(path)
    except DatasetError:
        if not _has_json_lines(path):
            raise
        return read_jsonl(path)
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        return _of_entries(content, path, "entry {}")
    if isinstance(content, dict) and set(FILE_FIELDS) & set(content):
        return read_jsonl(path)  # of one line
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return _of_entries(_coco_entries(content, path), path, "entry {} of 'images'")
    if isinstance(content, dict) and content and all(map(_is_class_of_nwpu, content.values())):
        entries = [{"category": name, **entry} for name, rows in content.items() for entry in rows]
        return _of_entries(entries, path, "entry {}")
    return read_karpathy_json(path)[0]


def _json_of(path: Path) -> object:
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}, line {error.lineno}: this is not valid JSON ({error.msg}); mend it or fetch it again"
        ) from error


def _has_json_lines(path: Path) -> bool:
    """Whether the first line is a whole JSON object by itself."""
    try:
        return isinstance(json.loads(read_text(path).lstrip().split("\n", 1)[0]), dict)
    except json.JSONDecodeError:
        return False


def _of_entries(entries: Iterable[object], path: Path, place: str) -> list[Annotation]:
    records = (
        _annotation_of_entry(entry, f"{path}, {place.format(number)}") for number, entry in enumerate(entries, start=1)
    )
    return merge_repeated_names(records, path)


def _coco_entries(content: dict, path: Path) -> list[dict]:
    """Join COCO's `images` and `annotations`, which know each other by number."""
    try:
        captions: dict[object, list] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            captions[annotation["image_id"]] += [annotation["caption"]] if "caption" in annotation else []
        if content["annotations"] and not any(captions.values()):
            raise NoCaptionsError(f"{path}: COCO's annotations in this file hold no captions; give its captions file")
        return [{**image, "captions": captions[image["id"]]} for image in content["images"]]
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO's captions, 'images' with 'id' and 'file_name' and 'annotations' with 'image_id' "
            f"and 'caption'; {error} is missing or not what it should be"
        ) from None


def _is_class_of_nwpu(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(entry, dict) and "raw" in entry for entry in rows)


def read_jsonl(path: Path) -> list[Annotation]:
    """Read one JSON object a line: `filename`, `captions` (a list), and `split`, `category`, `source` if known.

    Args:
        path: The JSONL file; blank lines are skipped.

    Returns:
        The annotations in the order of the file.

    Raises:
        DatasetError: The file is missing, or a line is broken; the message gives the number of the line.
    """

    def records() -> Iterator[Annotation]:
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise DatasetError(f"{where}: this is not valid JSON ({error.msg}); mend the line") from error
            yield _annotation_of_entry(entry, where)

    return merge_repeated_names(records(), path)


def read_category_folders(folder: Path) -> list[Annotation]:
    """List pictures that lie in a folder per category, with train, val and test above them or not.

    `airport/1.jpg` has the category airport and no split; `train/airport/1.jpg` has both; `train/1.jpg` has a
    split alone. Deeper folders belong to their category. Hidden files and folders are passed over.

    Args:
        folder: The top folder.

    Returns:
        Annotations without captions, sorted by path.

    Raises:
        DatasetError: No pictures are there, or split folders stand beside other folders.
    """
    paths = [path.relative_to(folder) for path in walk_images(folder)]
    if not paths:
        raise DatasetError(f"{folder}: no pictures are in this folder (looked for {', '.join(IMAGE_ENDINGS)})")
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    split_tops = {top for top in tops if split_name(top) in SPLITS}
    nested = sorted(top for top in split_tops if any(p.parts[0] == top and len(p.parts) > 2 for p in paths))
    if nested and tops != split_tops:
        raise DatasetError(
            f"{folder}: the split folder {nested[0]} stands beside {', '.join(sorted(tops - split_tops))}; "
            "keep either splits or categories at the top"
        )
    has_splits = bool(tops) and tops == split_tops
    annotations = []
    for path in paths:
        folders = path.parts[:-1]
        split = split_name(printable(folders[0])) if has_splits and folders else None
        categories = folders[1:] if has_splits else folders
        category = printable(categories[0]) if categories else None
        annotations.append(Annotation(path.as_posix(), (), split, category))
    return annotations


def read_class_lists(folder: Path) -> dict[str, str]:
    """Read RSICD's `txtclasses_rsicd`: one text file a class, each line the name of one of its pictures.

    Args:
        folder: The folder of the lists.

    Returns:
        The class of each picture, keyed by its file name without the ending. Classes are called what their
        list is called, with spaces: "storage tanks".

    Raises:
        DatasetError: The folder or its lists are missing, or a picture stands in two lists.
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


def merge_repeated_names(annotations: Iterable[Annotation], path: Path) -> list[Annotation]:
    """Join the entries of one file name: their captions in order, the split and category that they agree on.

    Args:
        annotations: The entries as read.
        path: The captions file, for messages.

    Returns:
        One annotation a file name, in the order of first mention.

    Raises:
        DatasetError: Two entries of a name put it into different splits or categories, or nothing was read.
    """
    merged: dict[str, Annotation] = {}
    for new in annotations:
        old = merged.setdefault(new.filename, new)
        if old is new:
            continue
        for field in ("split", "category", "source"):
            first, second = getattr(old, field), getattr(new, field)
            if first and second and first != second:
                raise DatasetError(
                    f"{path}: {new.filename} is listed twice, with {field} {first!r} and {second!r}; keep one"
                )
        merged[new.filename] = replace(
            old,
            captions=old.captions + new.captions,
            split=old.split or new.split,
            category=old.category or new.category,
            source=old.source or new.source,
        )
    if not merged:
        raise DatasetError(f"{path}: no pictures are listed in this file")
    return list(merged.values())


def _annotation_of_entry(entry: object, where: str) -> Annotation:
    """Turn one JSON object, of Karpathy's form or of a JSONL line, into an annotation."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: expected an object with 'filename' and captions, found {str(entry)[:60]!r}")
    if not (fields := caption_fields(tuple(entry))):
        raise NoCaptionsError(f"{where}: 'captions' (or 'sentences') is missing; give a list of texts")
    sentences = [sentence for field in fields for sentence in _listed(entry[field], field, where)]
    for field in (*FILE_FIELDS, "split", "category", "source"):
        if not isinstance(entry.get(field), str) and not _is_nothing(entry.get(field)):
            raise DatasetError(f"{where}: '{field}' must be text, found {entry[field]!r}")
    known = {field: value for field, value in entry.items() if not _is_nothing(value)}
    filename = next((known[field] for field in FILE_FIELDS if known.get(field)), "")
    if known.get("filepath") and filename == known.get("filename"):  # Karpathy's folder
        filename = f"{known['filepath']}/{filename}"
    captions = (_caption_text(sentence, where) for sentence in sentences if not _is_nothing(sentence))
    return Annotation(
        filename=_safe_name(filename, where),
        captions=tuple(filter(is_filled, captions)),
        split=split_of(entry),
        category=known_name(entry.get("category")),
        source=known_name(entry.get("source")),
    )


def _listed(value: object, field: str, where: str) -> list:
    if isinstance(value, str):
        return list(caption_texts(value))
    if _is_nothing(value):
        return []
    if not isinstance(value, list):
        raise DatasetError(f"{where}: '{field}' must be a list of texts, found {value!r}")
    return value


def _is_nothing(value: object) -> bool:
    """Whether JSON says that nothing is known: null, or NaN as pandas writes it."""
    return value is None or value != value


def _caption_text(sentence: object, where: str) -> str:
    """Return the text of a caption that is given as text or as Karpathy's object with `raw` or `tokens`."""
    if isinstance(sentence, dict):
        tokens = sentence.get("tokens")
        joined = " ".join(map(str, tokens)) if isinstance(tokens, list) else None
        raw = sentence.get("raw")
        sentence = joined if joined is not None and raw in (None, "") else raw
    if not isinstance(sentence, str):
        raise DatasetError(f"{where}: a caption must be text, found {sentence!r}")
    return sentence


def annotation_of_row(row: dict, where: str) -> Annotation:
    """Turn one row of a CSV into an annotation."""
    if None in row or None in row.values():
        raise DatasetError(
            f"{where}: the row has more or fewer columns than the header; put captions with commas in quotes"
        )
    return Annotation(
        filename=_safe_name(row["filename"].strip(), where),
        captions=tuple(text for field in caption_fields(tuple(row)) for text in caption_texts(row[field])),
        split=split_of(row),
        category=known_name(row.get("category")),
    )


def _safe_name(filename: str, where: str) -> str:
    """Return a listed name in one spelling, and refuse one that would lead out of the image folder."""
    name = PurePosixPath(filename.replace("\\", "/"))
    if not name.name or "\0" in filename:
        raise DatasetError(f"{where}: the name of a picture ('filename') is missing or not a name: {filename!r}")
    if name.is_absolute() or ".." in name.parts or re.match("[A-Za-z]:", filename):
        raise DatasetError(
            f"{where}: {filename!r} leads out of the image folder; list pictures relative to that folder"
        )
    return str(name)


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, with or without a byte order mark, or UTF-16 with one."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DatasetError(f"{path}: this is no regular file; give the path of a file of captions")
    try:
        content = path.read_bytes()
        # Excel's "Unicode text" is UTF-16; universal line ends, as `read_text` gives them.
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DatasetError(f"{path}: the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: the text is not UTF-8 (byte {error.start}); save it as UTF-8") from error
