"""What a translator is, and its translations kept on the disk, so that nothing is lost or translated twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from utils.progress import progress_bar

# How long one run waits for another that writes, in seconds; a write takes milliseconds.
_PATIENCE = 60.0

_TABLE = """
CREATE TABLE IF NOT EXISTS translations (
    translator TEXT NOT NULL,
    source TEXT NOT NULL,
    target TEXT NOT NULL,
    text TEXT NOT NULL,
    translation TEXT NOT NULL,
    PRIMARY KEY (translator, source, target, text)
) WITHOUT ROWID
"""


class TranslationError(ValueError):
    """Captions cannot be translated; the message says what is wrong, where, and what to do."""


class Translator(Protocol):
    """Translates texts between English and other languages, given by their codes.

    Its name tells everything that the output depends on: the cache takes two translators of one name for the same.
    """

    name: str
    languages: frozenset[str]

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translates a batch, in the same order, or raises TranslationError."""
        ...


class TranslationCache:
    """An SQLite file of translations, keyed by translator, languages and text.

    Several processes may use one file at once. Each call of `add` is one transaction: after a kill, a crash or
    a full disk the file holds what was added before. A missing file is made; ``:memory:`` keeps nothing. All methods
    raise TranslationError if the file cannot be opened or is something else.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self.path = str(path)
        with self._clear_errors():
            if self.path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_PATIENCE)
            with self._connection:
                self._connection.execute(_TABLE)

    def __enter__(self) -> TranslationCache:
        """Returns the cache itself; it is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the file."""
        self._connection.close()

    def __len__(self) -> int:
        """Returns the number of translations kept."""
        with self._clear_errors():
            return self._connection.execute("SELECT count(*) FROM translations").fetchone()[0]

    def find(self, translator: str, source: str, target: str, texts: Iterable[str]) -> dict[str, str]:
        """Returns the translations of those texts that are known."""
        query = "SELECT text, translation FROM translations WHERE (translator, source, target, text) = (?, ?, ?, ?)"
        with self._clear_errors():
            rows = (self._connection.execute(query, (translator, source, target, text)).fetchone() for text in texts)
            return dict(row for row in rows if row)

    def add(self, translator: str, source: str, target: str, translations: Mapping[str, str]) -> None:
        """Keeps translations, all of them or none; one that another run has added meanwhile stays."""
        rows = [(translator, source, target, text, translation) for text, translation in translations.items()]
        with self._clear_errors(), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO translations VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turns what SQLite and the file system say into one sentence with the way out."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise TranslationError(f"{self.path}: {_explain(error)}") from error


def _explain(error: Exception) -> str:
    code = getattr(error, "sqlite_errorname", "")
    if code == "SQLITE_FULL" or code.startswith("SQLITE_IOERR"):
        return f"the disk is full ({error}); make room and run again: the translations kept so far are safe."
    if code in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        return f"this is not a cache of translations, or a damaged one ({error}); give another file, or delete it."
    if code.startswith("SQLITE_BUSY"):
        return f"another run has held this file for {_PATIENCE:.0f} seconds; wait for it and run again."
    return f"the cache of translations cannot be used ({error}); check the folder and its permissions."


def translate_all(
    texts: Sequence[str], translator: Translator, source: str, target: str, cache: TranslationCache, batch_size: int
) -> dict[str, str]:
    """Returns the translation of each distinct text and writes every batch to the cache as it comes.

    Texts of similar length share a batch, so that little is spent on padding. Only what the cache does not hold
    is translated, also where another run has added it meanwhile.
    """
    if batch_size < 1:
        raise TranslationError(f"the batch size is {batch_size}; at least one text must go through at once.")
    known = cache.find(translator.name, source, target, texts)
    unknown = sorted(set(texts) - known.keys(), key=lambda text: (len(text), text))
    with progress_bar(total=len(unknown), desc=f"{source} to {target}", unit="text", disable=not unknown) as bar:
        for start in range(0, len(unknown), batch_size):
            batch = unknown[start : start + batch_size]
            known |= cache.find(translator.name, source, target, batch)
            if wanted := [text for text in batch if text not in known]:
                translations = translator.translate(wanted, source, target)
                if len(translations) != len(wanted):
                    raise TranslationError(f"{translator.name} gave {len(translations)} texts for {len(wanted)}.")
                new = dict(zip(wanted, translations, strict=True))
                cache.add(translator.name, source, target, new)
                known |= new
            bar.update(len(batch))
    return known
