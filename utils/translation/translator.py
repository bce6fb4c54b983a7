"""What a translator is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TranslationError(ValueError):
    """Captions cannot be translated; the message says what is wrong, where, and what to do."""


class Translator(Protocol):
    """Texts in, texts out. Anything with these three members will do.

    Attributes:
        name: Names everything that the output depends on: models, decoding, settings. Two translators of one
            name must give the same texts, since the cache tells them apart by it.
        languages: Codes of the languages that it translates to from English, and from to English.
    """

    name: str
    languages: frozenset[str]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translates one batch.

        Args:
            texts: Any number of texts.
            source: Code of their language, such as ``en``.
            target: Code of the language wanted.

        Returns:
            As many texts, in the same order.

        Raises:
            TranslationError: If a text or a language cannot be translated.
        """
        ...
