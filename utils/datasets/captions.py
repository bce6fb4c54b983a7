"""What is a caption, and what only stands where one should be."""

import ast
import json
import re
from functools import lru_cache

# What captions files call the captions, the course's own word first.
CAPTION_FIELDS = ("captions", "sentences", "caption", "text", "title", "raw")

# What tables, pandas, databases and JSON write where nothing is known, and Excel for what it took for a formula.
PLACEHOLDERS = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "<na>", "\\n"})
PLACEHOLDERS |= {"#name?", "#value!", "#ref!", "#null!", "#num!", "#div/0!"}

# Possessive throughout ("*+"): a long cell that is no list after all takes one pass.
_QUOTED = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_LIST_ITEM = rf"(?:{_QUOTED}|None|nan|null|NaN)"
# Commas between the items (Python, JSON) or none (NumPy).
_LIST = re.compile(rf"[\[(]\s*+(?:{_LIST_ITEM}\s*+,?+\s*+)*+[\])]", re.DOTALL)


@lru_cache  # rows of a table have all the same
def caption_fields(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return which fields of an entry, or columns of a table, hold its captions: the first known, then numbered.

    Numbered are `caption_1` or "caption 2" with or without a `caption`, and `raw_1` of NWPU-Captions.
    """
    for name in CAPTION_FIELDS:
        stem = name.removesuffix("s")
        plain = [field for field in (name, stem) if field in fields and field in CAPTION_FIELDS][:1]
        numbered = [field for field in fields if re.fullmatch(rf"{stem}s?[ _-]?\d+", field)]
        if plain or numbered:
            return (*plain, *numbered)
    return ()


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
    """Return the captions in a cell of a table: none, one, or those of a list.

    pandas and the csv module write a list as Python or NumPy print it (``['a', 'b']``, ``['a' 'b']``), other
    programs as JSON. A text that merely begins with a bracket is one caption.

    Args:
        cell: The text of the cell.

    Returns:
        The captions, verbatim, without blanks and placeholders.
    """
    return tuple(filter(is_filled, _listed(cell.strip()) or (cell,)))


def _listed(text: str) -> list[str] | None:
    """Return the texts of a list; None where the text is no list of texts, [""] for an empty one."""
    if text[:1] not in ("[", "(") or not _LIST.fullmatch(text):
        return None
    try:
        found = json.loads(text)  # first: its escapes are not Python's
    except json.JSONDecodeError:
        try:
            # One by one: Python would join texts that stand side by side without a comma.
            found = [ast.literal_eval(quoted) for quoted in re.findall(_QUOTED, text, re.DOTALL)]
        except (SyntaxError, ValueError):  # a line break or a broken escape within quotes
            return None
    return [item for item in found if isinstance(item, str)] or [""]
