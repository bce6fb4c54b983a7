"""What is a caption, and what only stands where one should be."""

import ast
import json
import re

# What table software, pandas and JSON write where nothing is known.
PLACEHOLDERS = frozenset({"nan", "none", "null", "na", "n/a", "#n/a", "<na>"})

# Possessive throughout ("*+"): a long cell that is no list after all takes one pass.
_QUOTED = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_LIST_ITEM = rf"(?:{_QUOTED}|None|nan|null|NaN)"
# Commas between the items (Python, JSON) or none (NumPy).
_LIST = re.compile(rf"[\[(]\s*+(?:{_LIST_ITEM}\s*+,?+\s*+)*+[\])]", re.DOTALL)


def is_filled(text: str) -> bool:
    """Whether somebody wrote something: neither blank nor a placeholder such as "NaN"."""
    return text.strip().lower() not in PLACEHOLDERS | {""}


def has_words(text: str) -> bool:
    """Whether a caption says something; a bare full stop, as RSICD has it three times, does not."""
    return is_filled(text) and re.search(r"\w", text) is not None


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
