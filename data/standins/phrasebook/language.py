"""What a language of the phrase book consists of, and how its words agree."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

_BRACKETS = re.compile(r"\[([^\]]*)\]")
_AFTER_THE_HEAD = {"de", "des", "di", "da", "dei", "en", "ad", "em"}  # what follows these keeps its number


@dataclass(frozen=True)
class Agreement:
    """What articles, adjectives and participles agree with."""

    feminine: bool = False
    plural: bool = False


@dataclass(frozen=True, eq=False)
class Language:
    """The tables of one language; `standins.phrasebook.french` explains their notation.

    Attributes:
        code: Two letters, as in the mark ">>fr<<".
        name: The name of the language in English.
        nouns: Nouns with their gender, by the English singular.
        measure: The word for "piece of", with its gender.
        adjectives: Adjectives, by the English word; so are the other tables.
        numbers: Exact counts from two.
        quantities: Inexact counts.
        verbs: Verbs, singular and plural.
        phrases: All else.
        definite: The four forms of the definite article.
        indefinite: The four forms of the indefinite article.
        bare: The article of a plural that English leaves without one, if this language wants one everywhere;
            at the beginning of a sentence it is the indefinite article in all four.
        english: How a translator from this language puts its words into English.
        capitalized: Whether that translator begins a sentence with a capital letter.
        color_first: Whether that translator puts the color before the shape.
        plural: Regular plural of one word.
        contract: Joins prepositions and articles in a finished sentence.
    """

    code: str
    name: str
    nouns: Mapping[str, str]
    measure: str
    adjectives: Mapping[str, str]
    numbers: Mapping[str, str]
    quantities: Mapping[str, str]
    verbs: Mapping[str, str]
    phrases: Mapping[str, str]
    definite: str
    indefinite: str
    bare: str
    english: Mapping[str, str]
    capitalized: bool
    color_first: bool
    plural: Callable[[str], str]
    contract: Callable[[str], str]


def agree(text: str, agreement: Agreement, language: Language) -> str:
    """Puts everything in brackets into the form that agrees: "[garé/garée]" becomes "garées"."""
    return _BRACKETS.sub(lambda match: inflect(match[1], agreement, language), text)


@cache
def inflect(forms: str, agreement: Agreement, language: Language) -> str:
    """Picks or makes a form.

    Args:
        forms: One form for both genders, masculine and feminine, or all four with the plurals last; "=" before a
            word says that it never changes.
        agreement: What it has to agree with.
        language: Whose plural rule to use where no plural is given.

    Returns:
        The form.
    """
    if forms.startswith("="):
        return forms[1:]
    given = forms.split("/")
    if len(given) == 4:
        return given[2 * agreement.plural + agreement.feminine]
    form = given[agreement.feminine] if len(given) == 2 else given[0]
    return language.plural(form) if agreement.plural else form


@cache
def noun_forms(entry: str, language: Language) -> tuple[bool, str, str]:
    """Reads a noun's entry.

    Args:
        entry: Such as "m avion" or "f casa/case".
        language: Whose plural rule to use where no plural is given.

    Returns:
        Whether it is feminine, its singular and its plural.
    """
    gender, words = entry.split(" ", 1)
    singular, _, plural = words.partition("/")
    return gender == "f", singular, plural or _plural_phrase(singular, language)


def _plural_phrase(singular: str, language: Language) -> str:
    """Puts the head of a noun and its adjectives into the plural: "gares ferroviaires", "campi da calcio"."""
    words = singular.split()
    head = next((at for at, word in enumerate(words) if word in _AFTER_THE_HEAD or word.startswith("d'")), len(words))
    return " ".join([*map(language.plural, words[:head]), *words[head:]])
