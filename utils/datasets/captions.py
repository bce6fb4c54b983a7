"""What files of captions say of images: one `Annotation` each, whatever the format.

Captions stay verbatim, as back-translation and duplicate counts need them. Only what is blank, or a placeholder such as
"NaN", is left out, and a list that a table holds as text is taken apart.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

SPLITS = ("train", "val", "test")
# Other words for them, restval of Karpathy's COCO, on which every published protocol trains. Any further name ("fold2")
# is kept as it is.
_ALIASES = {
    "training": "train",
    "restval": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
}
# What captions files call the captions, the image and the split, the course's own word first. Hugging Face's
# imagefolder says file_name, open_clip filepath, run_clip image_path. In Karpathy's form `filepath` is a folder.
CAPTION_FIELDS = ("captions", "sentences", "caption", "text", "title", "raw")
FILE_FIELDS = ("filename", "file_name", "image_path", "filepath")
SPLIT_FIELDS = ("split", "set", "subset", "partition", "phase")  # the others if they hold one of the usual splits

# What tables, pandas, databases and JSON write where nothing is known, and Excel for what it took for a formula.
PLACEHOLDERS = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "\\n"})
PLACEHOLDERS |= {"#name?", "#value!", "#ref!", "#null!", "#num!", "#div/0!"}

# Possessive throughout ("*+"): a long cell that is not a list after all takes one pass.
_QUOTED = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_LIST_ITEM = rf"(?:{_QUOTED}|None|nan|null|NaN)"
# Commas between the items (Python, JSON) or none (NumPy).
_LIST = re.compile(rf"[\[(]\s*+(?:{_LIST_ITEM}\s*+,?+\s*+)*+[\])]", re.DOTALL)


class DatasetError(ValueError):
    """Images or captions cannot be loaded; the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Annotation:
    """What a captions file says of one image; None where it says nothing."""

    filename: str  # relative to the image folder, with forward slashes
    captions: tuple[str, ...] = ()
    split: str | None = None
    category: str | None = None
    source: str | None = None  # the data set that the image comes from


def annotation_of(entry: Mapping, captions: tuple[str, ...], where: str) -> Annotation:
    """Makes an annotation of a row or a JSON object, whose name of an image has to lie in the image folder."""
    filename = next((entry[field] for field in FILE_FIELDS if entry.get(field)), "")
    if entry.get("filepath") and filename == entry.get("filename"):  # Karpathy's folder
        filename = f"{entry['filepath']}/{filename}"
    name = PurePosixPath(filename.replace("\\", "/"))
    if not name.name or "\0" in filename:
        raise DatasetError(f"{where}: the name of an image ('filename') is missing or not a name: {filename!r}")
    if name.is_absolute() or ".." in name.parts or re.match("[A-Za-z]:", filename):
        raise DatasetError(f"{where}: {filename!r} leads out of the image folder; list images relative to that folder")
    others = (split_name(entry.get(field)) for field in SPLIT_FIELDS[1:])
    split = split_name(entry.get("split")) or next((split for split in others if split in SPLITS), None)
    return Annotation(str(name), captions, split, known_name(entry.get("category")), known_name(entry.get("source")))


def merge_repeated_names(annotations: Iterable[Annotation], path: Path) -> list[Annotation]:
    """Joins the entries of one file name; a `DatasetError` if two contradict each other, or nothing was read."""
    merged: dict[str, Annotation] = {}
    for new in annotations:
        old, known = merged.get(new.filename, new), {}
        for field in ("split", "category", "source"):
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


def split_name(text: object) -> str | None:
    """Returns the usual name of a split: "Validation" is "val"; blank, a placeholder or None is None."""
    name = known_name(text)
    lowered = (name or "").lower()
    return lowered if lowered in SPLITS else _ALIASES.get(lowered, name)


def is_filled(text: str) -> bool:
    """Whether somebody wrote something: neither blank nor a placeholder such as "NaN"."""
    lowered = text.strip().lower()
    return bool(lowered) and lowered not in PLACEHOLDERS


def has_words(text: str) -> bool:
    """Whether a caption says something; a bare full stop, as RSICD has it three times, does not."""
    return is_filled(text) and re.search(r"\w", text) is not None


def known_name(text: object) -> str | None:
    """The name of a split, a category or a source; None where none is given, be it by a placeholder or a dash."""
    return text.strip() if isinstance(text, str) and has_words(text) else None


def caption_texts(cell: str) -> tuple[str, ...]:
    """Returns the captions in a cell of a table, verbatim, without blanks and placeholders: those of a list, or one.

    A list is written as JSON, or as Python or NumPy print it. A text that merely begins with a bracket is one caption.
    """
    return tuple(filter(is_filled, _listed(cell.strip()) or (cell,)))


def _listed(text: str) -> list[str] | None:
    """Returns the texts of a list; None where the text is not a list of texts, [""] for an empty one."""
    if not _LIST.fullmatch(text):
        return None
    with suppress(json.JSONDecodeError):  # first: its escapes are not Python's
        return [item for item in json.loads(text) if isinstance(item, str)] or [""]
    with suppress(SyntaxError, ValueError):  # a line break or a broken escape within quotes
        # One by one: Python would join texts that stand side by side without a comma.
        return [ast.literal_eval(quoted) for quoted in re.findall(_QUOTED, text, re.DOTALL)] or [""]
    return None
