"""Tables of captions as programs save them: commas, semicolons or tabs, and columns as the field names them."""

import csv
import io
import re
from collections import Counter
from pathlib import Path

from utils.datasets.captions import caption_fields
from utils.datasets.formats import (
    FILE_FIELDS,
    Annotation,
    DatasetError,
    NoCaptionsError,
    annotation_of_row,
    merge_repeated_names,
    read_text,
)


def read_csv(path: Path) -> list[Annotation]:
    """Read a table with the columns `filename` and `caption`, and `split` and `category` if known.

    Several rows of one file are several captions of it, and so are a list in a cell and numbered columns (`caption_1`,
    `caption_2`); an empty caption is none. Commas, semicolons (as spreadsheets write them in much of Europe) and tabs
    are understood, and what Excel adds: a first line ``sep=;``, empty rows, UTF-16. Of other names for the columns,
    `FILE_FIELDS`, `CAPTION_FIELDS` and `SPLIT_FIELDS` are known.

    Args:
        path: The table, UTF-8 or UTF-16 with its mark.

    Returns:
        The annotations in the order in which the files are first named.

    Raises:
        NoCaptionsError: It is a table of something else: no column holds captions.
        DatasetError: The file is missing, lacks a column or has one twice, or a row does not fit the header.
    """
    text, delimiter, skipped = _without_preamble(read_text(path))
    if "\0" in text:
        raise DatasetError(f"{path}: the text holds zero bytes, so it is no table in UTF-8; save it as UTF-8")
    header = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter or max(",;\t", key=header.count), strict=True)
    try:
        columns = [name.strip().lower() for name in rows.fieldnames or ()]
        rows.fieldnames = _renamed(columns, f"{path}, line {skipped + 1}")
        records = [
            annotation_of_row(row, f"{path}, line {skipped + rows.line_num}")
            for row in rows
            if any(cell and cell != [""] for cell in row.values())  # Excel's empty rows are `;;`
        ]
    except csv.Error as error:
        line = skipped + rows.reader.line_num
        raise DatasetError(f"{path}, line {line}: this is not valid CSV ({error}); mend the line") from error
    return merge_repeated_names(records, path)


def promises_captions(path: Path) -> bool:
    """Whether a file that cannot be read, such as one in Latin-1, has a column or a field for captions.

    Args:
        path: A regular file: a table, JSON or JSON lines.
    """
    text = path.read_bytes().replace(b"\0", b"").decode("latin-1")  # it decodes anything, and ASCII as it is
    if path.suffix.lower() in (".json", ".jsonl"):
        fields = re.findall(r'"(\w+)"\s*:', text)
    else:
        header = _without_preamble(text)[0].split("\n", 1)[0]
        fields = [name.strip('"\r ').lower() for name in re.split("[,;\t]", header)]
    return bool(caption_fields(tuple(fields)))


def _without_preamble(text: str) -> tuple[str, str | None, int]:
    """Return a table from its header on, the delimiter that Excel's `sep=` line names, and the lines before."""
    delimiter, skipped = None, 0
    while text:
        line, _, rest = text.partition("\n")
        named = re.fullmatch(r'"?sep=(.)"?', line.strip("\r\n "))
        if line.strip() and not named:
            break
        delimiter = named[1] if named else delimiter
        text, skipped = rest, skipped + 1
    return text, delimiter, skipped


def _renamed(columns: list[str], where: str) -> list[str]:
    """Return the columns with that of file names called `filename`."""
    if all(count < 2 for name, count in Counter(columns).items() if name):
        known = next((name for name in FILE_FIELDS if name in columns), None)
        columns = ["filename" if name == known else name for name in columns]
    found = {"filename": "filename" in columns, "caption": bool(caption_fields(tuple(columns)))}
    absent = [name for name, there in found.items() if not there]
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise DatasetError(
            f"{where}: the header names {' and '.join(twice)} twice; give each further caption a row of its own"
        )
    if absent:
        kind = NoCaptionsError if "caption" in absent else DatasetError
        raise kind(
            f"{where}: the header lacks {' and '.join(absent)}; it has {', '.join(columns)}: give the columns of file "
            "names and captions these names"
        )
    return columns
