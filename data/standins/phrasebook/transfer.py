"""Translates a caption chunk by chunk, and says in English what a translator back would say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from standins.phrasebook import english
from standins.phrasebook.french import LANGUAGE as FRENCH
from standins.phrasebook.italian import LANGUAGE as ITALIAN
from standins.phrasebook.language import Agreement, Language, agree, inflect, noun_forms
from standins.phrasebook.parsing import Chunk, Lexicon, NounPhrase, Phrase, Verb, parse, plain_lexicon
from standins.phrasebook.portuguese import LANGUAGE as PORTUGUESE
from standins.phrasebook.spanish import LANGUAGE as SPANISH

LANGUAGES: dict[str, Language] = {language.code: language for language in (FRENCH, SPANISH, ITALIAN, PORTUGUESE)}
"""The four languages by their codes."""


_REPEATED = frozenset(("de", "di", "da", "a", "por"))
"""What is said again after "and": "près d'un lac et d'une route"."""


@dataclass(frozen=True)
class Voice:
    """A way to word an English caption.

    Attributes:
        words: Wordings by key; nouns, verbs and measures as "singular/plural". What is not here stays as it is.
        capitalized: Whether a sentence begins with a capital letter.
        color_first: Whether the color comes before the shape.
    """

    words: Mapping[str, str]
    capitalized: bool = False
    color_first: bool = False


def translate(caption: str, code: str) -> str:
    """Translates an English caption.

    Args:
        caption: A caption in the miniature's words.
        code: "fr", "es", "it" or "pt".

    Returns:
        A sentence with a capital letter and a full stop.

    Raises:
        ValueError: If the caption holds something that the phrase book does not know.
    """
    return say(parse(caption), LANGUAGES[code])


def paraphrase(caption: str, code: str) -> str:
    """What becomes of an English caption on its way through another language and back.

    Args:
        caption: A caption in the miniature's words.
        code: The language on the way.

    Returns:
        An English sentence of the same meaning.

    Raises:
        ValueError: If the caption holds something that the phrase book does not know.
    """
    return say_in_english(parse(caption), voice_of(code))


def say(chunks: tuple[Chunk, ...], language: Language) -> str:
    """Says parsed English in another language."""
    subject = _subject_agreement(chunks, language)
    words = []
    for at, chunk in enumerate(chunks):
        if isinstance(chunk, NounPhrase):
            words.append(_noun_phrase(chunk, language, first=at == 0))
        elif isinstance(chunk, Verb):
            words.append(language.verbs[chunk.key].split("/")[chunk.plural])
        elif chunk.key in language.adjectives:
            words.append(inflect(language.adjectives[chunk.key], subject, language))
        else:
            opens = chunk.key in english.OPENINGS and at + 1 < len(chunks)
            agreement = _agreement(chunks[at + 1], language) if opens else subject
            words.append(agree(language.phrases[chunk.key], agreement, language))
            if chunk.key == "and" and at >= 2 and isinstance(before := chunks[at - 2], Phrase):
                words += _REPEATED.intersection(language.phrases[before.key].split()[-1:])
    return _sentence(language.contract(" ".join(words)), capitalized=True)


def say_in_english(chunks: tuple[Chunk, ...], voice: Voice) -> str:
    """Says parsed English again, in another voice."""
    words = []
    for chunk in chunks:
        if isinstance(chunk, NounPhrase):
            words.append(_english_noun_phrase(chunk, voice))
        elif isinstance(chunk, Verb):
            plain = chunk.key.split(" (")[0]
            words.append(voice.words.get(chunk.key, plain).split("/")[chunk.plural])
        else:
            words.append(voice.words.get(chunk.key, chunk.key).removesuffix(" ."))
    return _sentence(" ".join(words), voice.capitalized)


@cache
def voice_of(code: str) -> Voice:
    """How a translator from a language words English: a function of the foreign words, as a translator is."""
    language = LANGUAGES[code]
    words: dict[str, str] = {}
    entries = {key: language.nouns[key].split(" ", 1)[1].split("/")[0] for key in english.NOUNS}
    entries |= {**language.quantities, **language.verbs, **language.phrases}
    entries["piece of"] = language.measure.split(" ", 1)[1]
    first_meanings: dict[str, str] = {}
    for key, foreign in entries.items():
        meaning = first_meanings.setdefault(foreign, key)
        said = language.english.get(foreign, _plain_wording(meaning))
        words[key] = _with_plural(said) if key in english.NOUNS else said
    return Voice(words, language.capitalized, color_first=language.color_first)


@cache
def broad_lexicon() -> Lexicon:
    """The miniature's words and all that the four translators say for them."""
    plain = plain_lexicon()
    determiners, measures = dict(plain.determiners), dict(plain.measures)
    nouns, chunks = dict(plain.nouns), dict(plain.chunks)
    for code in LANGUAGES:
        for key, said in voice_of(code).words.items():
            singular, _, plural = said.partition("/")
            if key in english.NOUNS:
                nouns.setdefault(plural, (key, True))
                nouns.setdefault(singular, (key, False))
            elif key in english.MEASURES:
                measures |= {singular: False, plural: True}
            elif key in english.QUANTITIES:
                determiners.setdefault(said, key)
            elif key in english.VERBS:
                chunks.setdefault(singular, Verb(key.split(" (")[0], False))
                chunks.setdefault(plural, Verb(key.split(" (")[0], True))
            else:
                chunks.setdefault(said, Phrase(key))
    return Lexicon(determiners, measures, plain.adjectives, nouns, chunks)


def _plain_wording(key: str) -> str:
    """A key in its own words, with the plural of nouns and measures."""
    plural = english.NOUNS.get(key) or english.MEASURES.get(key)
    return f"{key}/{plural}" if plural else key.split(" (")[0]


def _with_plural(noun: str) -> str:
    """Adds a regular English plural where none is given."""
    if "/" in noun:
        return noun
    return f"{noun}/{noun}{'es' if noun.endswith(('s', 'ch', 'x')) else 's'}"


def _agreement(chunk: Chunk, language: Language) -> Agreement:
    """Gender and number of a noun phrase, in another language."""
    if not isinstance(chunk, NounPhrase):
        return Agreement()
    entry = language.nouns[chunk.noun] if chunk.measure is None else language.measure
    return Agreement(entry.startswith("f "), chunk.plural)


def _subject_agreement(chunks: Iterable[Chunk], language: Language) -> Agreement:
    """Gender and number of the noun phrases that a sentence begins with."""
    subjects = []
    for chunk in chunks:
        if isinstance(chunk, NounPhrase):
            subjects.append(_agreement(chunk, language))
        elif chunk != Phrase("and"):
            break
    if len(subjects) > 1:
        return Agreement(all(subject.feminine for subject in subjects), plural=True)
    return subjects[0] if subjects else Agreement()


def _noun_phrase(phrase: NounPhrase, language: Language, first: bool) -> str:
    """A noun phrase in another language; first: whether it begins the sentence."""
    feminine, singular, plural = noun_forms(language.nouns[phrase.noun], language)
    own = Agreement(feminine, phrase.plural_noun)
    words = [plural if phrase.plural_noun else singular]
    adjectives = [inflect(language.adjectives[word], own, language) for word in phrase.adjectives]
    words += sorted(adjectives, key=lambda adjective: " " in adjective)  # "rouge en forme d'anneau"
    if phrase.measure is not None:
        _, *measures = noun_forms(language.measure, language)
        words.insert(0, measures[phrase.measure])
    determiner = _determiner(phrase, language, first)
    return " ".join([determiner, *words] if determiner else words)


def _determiner(phrase: NounPhrase, language: Language, first: bool) -> str:
    """The article, number or quantity of a noun phrase in another language."""
    agreement = _agreement(phrase, language)
    if phrase.determiner == "the":
        return inflect(language.definite, agreement, language)
    if phrase.determiner == "a" or (not phrase.determiner and first):
        return inflect(language.indefinite, agreement, language)
    if not phrase.determiner:
        return language.bare
    return agree({**language.numbers, **language.quantities}[phrase.determiner], agreement, language)


def _english_noun_phrase(phrase: NounPhrase, voice: Voice) -> str:
    """A noun phrase in an English voice."""
    noun = voice.words.get(phrase.noun, _plain_wording(phrase.noun))
    adjectives = list(phrase.adjectives)
    if voice.color_first:
        adjectives.sort(key=lambda word: word not in english.COLORS)
    words = [*adjectives, noun.split("/")[phrase.plural_noun]]
    if phrase.measure is not None:
        words.insert(0, voice.words.get("piece of", "piece of/pieces of").split("/")[phrase.measure])
    determiner = voice.words.get(phrase.determiner, phrase.determiner)
    if determiner == "a" and words[0][0] in "aeiou":
        determiner = "an"
    return " ".join([determiner, *words] if determiner else words)


def _sentence(text: str, capitalized: bool) -> str:
    """A text with its capital letter and its full stop."""
    return (text[0].upper() if capitalized else text[0]) + text[1:] + "."
