"""The text formats that captions come in: Karpathy's, COCO's and NWPU's JSON, JSON lines, tables, Flickr's token files.

Every reader returns plain `Annotation` records in the order of the file and opens no image. A file that is missing or
broken, or lacks what it needs, raises a `DatasetError` that names the place in it.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

from utils.datasets.captions import SPLITS, Annotation, DatasetError, caption_texts, is_filled, known_name, split_name

# What captions files call the captions, the image and the split, the course's own word first. Hugging Face's
# imagefolder says file_name, open_clip filepath, run_clip image_path, Flickr's tables image or image_name. In
# Karpathy's form `filepath` is a folder.
CAPTION_FIELDS = ("captions", "sentences", "caption", "text", "title", "raw", "comment")
FILE_FIELDS = ("filename", "file_name", "image_path", "filepath", "image_name", "image")
SPLIT_FIELDS = ("split", "set", "subset", "partition", "phase")  # the others if they hold one of the usual splits
CATEGORY_FIELDS = ("category", "label", "class_name", "class")  # the others if they hold a name, not a number
DELIMITERS = ",;\t|"
_TOKEN = re.compile(r"(\S.*)#\d+\t(.*)")  # Flickr30k's and Flickr8k's: name, number, caption


def read_json(path: Path) -> tuple[list[Annotation], str]:
    """Reads captions in Karpathy's form, in which RSICD, UCM and Sydney are published, and its `dataset`, or "".

    The form is `{"images": [{"filename", "split", "sentences": [{"raw"}]}], "dataset"}`. `filepath` (a folder) and
    `category` are read where they are given; a sentence without `raw` is put together from its `tokens`. Also read are
    COCO's form (`images` and `annotations`), NWPU-Captions', `{class: [{"filename", "split", "raw", "raw_1"}]}`, a list
    of objects as of JSON lines, and JSON lines that are called .json. RSITMD's labels stand in its file names.
    """
    try:
        content = _parsed(read_text(path), path)
    except DatasetError as error:
        if "Extra data" in str(error):  # as behind the first line of JSON lines, which is whole by itself
            return read_jsonl(path), ""
        raise
    if isinstance(content, dict) and set(FILE_FIELDS) & set(content):
        content = [content]  # of JSON lines, the only one
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        return _of_entries(content, path), ""
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        return _of_entries(_coco_entries(content, path), path, "entry {} of 'images'"), ""
    if content and isinstance(content, dict) and all(map(_is_class_of_nwpu, content.values())):
        return _of_entries([{"category": name, **row} for name, rows in content.items() for row in rows], path), ""
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DatasetError(f"{path}: expected Karpathy's form, an object with a list called 'images'")
    title = str(content.get("dataset") or "")
    read = _of_entries(content["images"], path, "entry {} of 'images'")
    if "rsitmd" in (title + path.stem).lower():
        read = [replace(entry, category=entry.category or _label_of_rsitmd(entry.filename)) for entry in read]
    return read, title


def _label_of_rsitmd(filename: str) -> str | None:
    return PurePosixPath(filename).stem.rpartition("_")[0] or None  # of baseballfield_452.tif


def _is_class_of_nwpu(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) and "raw" in row for row in rows)


def _parsed(text: str, path: Path, first_line: int = 1) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DatasetError(
            f"{path}, line {line}: this is not valid JSON ({error.msg}); mend it or fetch the file again"
        ) from error
    except RecursionError:
        raise DatasetError(f"{path}: this is nested too deep to be a file of captions; fetch it again") from None


def _of_entries(entries: Iterable[object], path: Path, place: str = "entry {}") -> list[Annotation]:
    read = (_of_entry(entry, f"{path}, {place.format(number)}") for number, entry in enumerate(entries, start=1))
    return merge_repeated_names(read, path)


def _coco_entries(content: dict, path: Path) -> list[dict]:
    """Joins COCO's `images` and `annotations`, which know each other by number."""
    try:
        captions: dict[object, list] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if annotation["image_id"] not in captions:
                raise DatasetError(
                    f"{path}: a caption is of image {annotation['image_id']!r}, which is not among the 'images' of "
                    "this file; leave such captions out, or fetch the file again"
                )
            captions[annotation["image_id"]] += [annotation["caption"]] if "caption" in annotation else []
        if content["annotations"] and not any(captions.values()):
            raise DatasetError(f"{path}: COCO's annotations in this file hold no captions; give its captions file")
        return [{**image, "captions": captions[image["id"]]} for image in content["images"]]
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: expected COCO's captions, 'images' with 'id' and 'file_name' and 'annotations' with 'image_id' "
            f"and 'caption'; {error} is missing or not what it should be"
        ) from None


def read_jsonl(path: Path) -> list[Annotation]:
    """Reads one JSON object a line: `filename`, `captions` (a list), and, if known, `split`, `category`, `source`.

    `written_by` names the program that wrote the captions, where no person did.
    """
    lines = [(number, line) for number, line in enumerate(read_text(path).split("\n"), start=1) if line.strip()]
    read = (_of_entry(_parsed(line, path, number), f"{path}, line {number}") for number, line in lines)
    return merge_repeated_names(read, path)


def _of_entry(entry: object, where: str) -> Annotation:
    """Turns one JSON object, of Karpathy's form or of a JSONL line, into an annotation."""
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: expected an object with 'filename' and captions, found {str(entry)[:60]!r}")
    if not caption_fields(tuple(entry)):
        raise DatasetError(f"{where}: 'captions' (or 'sentences') is missing; give a list of texts")
    # Nothing is known where JSON says null, or NaN as pandas writes it.
    known = {field: value for field, value in entry.items() if value is not None and value == value}
    for field in (*FILE_FIELDS, "split", "category", "source", "written_by"):
        if not isinstance(known.get(field, ""), str):
            raise DatasetError(f"{where}: '{field}' must be text, found {entry[field]!r}")
    return annotation_of(known, captions_in(known, where), where)


def captions_in(known: Mapping, where: str) -> tuple[str, ...]:
    """Returns the captions in an object's fields, each a text, a list of texts, or of objects as Karpathy's."""
    sentences: list[object] = []
    for field in caption_fields(tuple(known)):
        value = known.get(field, [])
        if not isinstance(value, str | list):
            raise DatasetError(f"{where}: '{field}' must be a list of texts, found {value!r}")
        sentences += caption_texts(value) if isinstance(value, str) else value
    captions = (_caption_text(one, where) for one in sentences if one is not None and one == one)
    return tuple(filter(is_filled, captions))


def _caption_text(sentence: object, where: str) -> str:
    """Returns the text of a caption that is given as text or as Karpathy's object with `raw` or `tokens`."""
    if isinstance(sentence, dict):
        tokens, raw = sentence.get("tokens"), sentence.get("raw")
        sentence = " ".join(map(str, tokens)) if isinstance(tokens, list) and raw in (None, "") else raw
    if not isinstance(sentence, str):
        raise DatasetError(f"{where}: a caption must be text, found {sentence!r}")
    return sentence


def read_csv(path: Path) -> list[Annotation]:
    """Reads a table with the columns `filename` and `caption`, and `split` and `category` if known.

    Several rows of one file are several captions of it, and so are a list in a cell and numbered columns (`caption_1`).
    Commas, semicolons (as spreadsheets write them in much of Europe), tabs and upright bars are understood, and what
    Excel adds: a first line ``sep=;``, empty rows, UTF-16. Flickr30k's token files, `name#0`, a tab and a caption on
    each line, have no header.
    """
    text, delimiter, skipped = _without_preamble(read_text(path))
    if _TOKEN.match(text):
        return _read_tokens(text, path)
    if "\0" in text:
        raise DatasetError(f"{path}: the text holds zero bytes, so it is not a table in UTF-8; save it as UTF-8")
    header = text.split("\n", 1)[0]
    delimiter = delimiter or max(DELIMITERS, key=header.count)
    is_flickrs = "| comment_number|" in header  # Flickr30k's has no quotes, and one of its rows lacks the second bar
    text = re.sub(r"(?m)^([^|\n]+\|\s*\d+)[ \t]+([^|\n]+)$", r"\1| \2", text) if is_flickrs else text
    rows = csv.DictReader(
        io.StringIO(text),
        delimiter=delimiter,
        strict=True,
        skipinitialspace=delimiter == "|",
        quoting=csv.QUOTE_NONE if is_flickrs else csv.QUOTE_MINIMAL,
    )
    try:
        columns = [name.strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = _checked_columns(columns, f"{path}, line {skipped + 1}")
        records = [
            _of_row(row, f"{path}, line {skipped + rows.line_num}")
            for row in rows
            if any(cell and cell != [""] for cell in row.values())  # Excel's empty rows are `;;`
        ]
    except csv.Error as error:
        line = skipped + rows.reader.line_num
        raise DatasetError(f"{path}, line {line}: this is not valid CSV ({error}); mend the line") from error
    return merge_repeated_names(records, path)


def _read_tokens(text: str, path: Path) -> list[Annotation]:
    read = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            if not (found := _TOKEN.fullmatch(line)):
                raise DatasetError(f"{path}, line {number}: expected 'name#0', a tab and a caption; mend the line")
            read.append(annotation_of({"filename": found[1]}, caption_texts(found[2]), f"{path}, line {number}"))
    return merge_repeated_names(read, path)


def _without_preamble(text: str) -> tuple[str, str | None, int]:
    """Returns a table from its header on, the delimiter that Excel's `sep=` line names, and the lines before."""
    preamble = re.match(r'(?:\s*\n|[ ]*"?sep=(.)"?[ \r]*\n)*', text)
    start = preamble.end() if preamble else 0
    return text[start:], preamble[1] if preamble else None, text.count("\n", 0, start)


def _checked_columns(columns: list[str], where: str) -> list[str]:
    """Returns the columns with that of file names called `filename`."""
    if twice := [name for name, count in Counter(columns).items() if name and count > 1]:
        raise DatasetError(
            f"{where}: the header names {' and '.join(twice)} twice; give each further caption a row of its own"
        )
    known = next((name for name in FILE_FIELDS if name in columns), None)
    columns = ["filename" if name == known else name for name in columns]
    found = {"filename": known, "caption": caption_fields(tuple(columns))}
    if absent := [name for name, there in found.items() if not there]:
        raise DatasetError(
            f"{where}: the header lacks {' and '.join(absent)}; it has {', '.join(columns)}: give the columns of file "
            "names and captions these names"
        )
    return columns


def _of_row(row: dict, where: str) -> Annotation:
    if None in row or None in row.values():
        raise DatasetError(
            f"{where}: the row has more or fewer columns than the header; put captions with commas in quotes"
        )
    captions = tuple(text for field in caption_fields(tuple(row)) for text in caption_texts(row[field]))
    known = {field: row[field] for field in (*SPLIT_FIELDS, *CATEGORY_FIELDS) if field in row}
    return annotation_of(known | {"filename": row["filename"].strip()}, captions, where)


READERS = {
    ".json": lambda path: read_json(path)[0],
    ".jsonl": read_jsonl,
    **dict.fromkeys((".csv", ".tsv", ".txt", ".token"), read_csv),
}


def names_captions(path: Path) -> bool:
    """Whether a file, be it broken or in Latin-1, has columns or fields for file names and captions."""
    text = path.read_bytes().decode("ascii", "ignore").replace("\0", "")  # the names, in whatever encoding
    if path.suffix.lower() in (".json", ".jsonl"):
        # Not of an object: what features a data set has, as in dataset_info.json, is no caption.
        fields = re.findall(r'"(\w+)"\s*:\s*[^{\s]', text)
    else:
        text = _without_preamble(text)[0]
        header = text.split("\n", 1)[0]
        fields = [name.strip('"\r ').lower() for name in re.split(f"[{DELIMITERS}]", header)]
        if _TOKEN.match(text):
            return True
    return not set(FILE_FIELDS).isdisjoint(fields) and bool(caption_fields(tuple(fields)))


def read_text(path: Path) -> str:
    """Reads a text file: UTF-8, with or without a byte order mark, or UTF-16 with one."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DatasetError(f"{path}: this is not a regular file; give the path of a file of captions")
    try:
        content = path.read_bytes()
        # Excel's "Unicode text" is UTF-16; universal line ends, as `read_text` gives them.
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise DatasetError(f"{path}: the file cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: the text is not UTF-8 (byte {error.start}); save it as UTF-8") from error


def annotation_of(entry: Mapping, captions: tuple[str, ...], where: str) -> Annotation:
    """Makes an annotation of a row or a JSON object, whose name of an image may not lead upward.

    An absolute name stays one: whether it lies in the image folder is seen where that is looked for.
    """
    filename = next((entry[field] for field in FILE_FIELDS if entry.get(field)), "")
    if entry.get("filepath") and filename == entry.get("filename"):  # Karpathy's folder
        filename = f"{entry['filepath']}/{filename}"
    name = PurePosixPath(filename.replace("\\", "/"))
    if not name.name or "\0" in filename:
        raise DatasetError(f"{where}: the name of an image ('filename') is missing or not a name: {filename!r}")
    if ".." in name.parts:
        raise DatasetError(f"{where}: {filename!r} leads out of the image folder; list images relative to that folder")
    others = (split_name(entry.get(field)) for field in SPLIT_FIELDS[1:])
    split = split_name(entry.get("split")) or next((split for split in others if split in SPLITS), None)
    names = (known_name(entry.get(field)) for field in CATEGORY_FIELDS[1:])
    category = known_name(entry.get("category")) or next((name for name in names if name and not name.isdigit()), None)
    source, written_by = known_name(entry.get("source")), known_name(entry.get("written_by"))
    return Annotation(str(name), captions, split, category, source, written_by)


def merge_repeated_names(annotations: Iterable[Annotation], path: Path) -> list[Annotation]:
    """Joins the entries of one file name; a `DatasetError` if two contradict each other, or nothing was read."""
    merged: dict[str, Annotation] = {}
    for new in annotations:
        old, known = merged.get(new.filename, new), {}
        for field in ("split", "category", "source", "written_by"):
            first, second = getattr(old, field), getattr(new, field)
            if first and second and first != second:
                raise DatasetError(
                    f"{path}: {new.filename} is listed twice, with {field} {first!r} and {second!r}; keep one"
                )
            known[field] = first or second
        captions = new.captions if old is new else old.captions + new.captions
        merged[new.filename] = Annotation(new.filename, captions, **known)
    if not merged:
        raise DatasetError(f"{path}: no images are listed in this file")
    return list(merged.values())


@lru_cache  # rows of a table have all the same
def caption_fields(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Returns which fields or columns hold the captions: the first known one, and numbered ones such as `caption_1`."""
    for name in CAPTION_FIELDS:
        stem = name.removesuffix("s")
        plain = [field for field in (name, stem) if field in fields and field in CAPTION_FIELDS][:1]
        numbered = [field for field in fields if re.fullmatch(rf"{stem}s?[ _-]?\d+", field)]
        if plain or numbered:
            return (*plain, *numbered)
    return ()
