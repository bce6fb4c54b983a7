"""What is said of an image, an `Annotation`, and how the texts and names in it are understood, whatever the format.

Captions stay verbatim, as back-translation and duplicate counts need them. Only what is blank, or a placeholder such as
"NaN", is left out, and a list that a table holds as text is taken apart.
"""

import ast
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "val", "test")
# Other words for them, restval of Karpathy's COCO, on which every published protocol trains. Any further name ("fold2")
# is kept as it is.
_ALIASES = {
    **dict.fromkeys(("training", "restval"), "train"),
    **dict.fromkeys(("valid", "validation", "dev"), "val"),
    "testing": "test",
}
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
    written_by: str | None = None  # the program that wrote the captions, if no person did


@dataclass(frozen=True)
class Listing:
    """What one source, a file or a folder, lists of images."""

    annotations: list[Annotation]
    folders: list[Path]  # where the files may lie: the one that holds most of them is taken
    notes: tuple[str, ...] = ()  # on what is there and not used, in sentences without a full stop


def split_name(text: object) -> str | None:
    """Returns the usual name of a split: "Validation" is "val"; blank, a placeholder or None is None."""
    name = known_name(text)
    lowered = (name or "").lower()
    return lowered if lowered in SPLITS else _ALIASES.get(lowered, name)


def splits_in_names(names: Sequence[str]) -> list[str | None]:
    """Returns the split that each name of a file speaks of: "captions_train2017" is "train".

    All are None if they speak of one alone, for Hugging Face calls whatever is undivided train, or if they differ
    otherwise, too: train_station and test_site are no splits.
    """
    words = [{split_name(word) or "" for word in re.split("[^a-z]+", name.lower())} - {""} for name in names]
    told = [of.intersection(SPLITS) for of in words]
    found = [next(iter(one)) if len(one) == 1 else None for one in told]
    others = {frozenset(of - one) for of, one in zip(words, told, strict=True) if len(one) == 1}
    return found if len(set(found) - {None}) > 1 and len(others) == 1 else [None] * len(names)


def splits_of_files(paths: Sequence[Path]) -> list[str | None]:
    """Returns the split that each file's name speaks of or, where none does, its folder's: see `splits_in_names`."""
    found = splits_in_names([path.stem for path in paths])
    return found if any(found) else splits_in_names([path.parent.name for path in paths])


def is_filled(text: str) -> bool:
    """Whether somebody wrote something: neither blank nor a placeholder such as "NaN"."""
    lowered = text.strip().lower()
    return bool(lowered) and lowered not in PLACEHOLDERS


def has_words(text: str) -> bool:
    """Whether a caption says something; a bare full stop, as RSICD has it three times, does not."""
    return is_filled(text) and has_letters(text)


def has_letters(text: str) -> bool:
    """Whether a text has any letter or digit; a model asked with marks alone, or an emoji, gives arbitrary images."""
    return re.search(r"\w", text) is not None


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
