"""Takes an English caption apart into noun phrases, verbs and phrases, longest first."""

from dataclasses import dataclass
from functools import cache

from standins.phrasebook import english

ARTICLES = {"a": "a", "an": "a", "the": "the"}


@dataclass(frozen=True)
class NounPhrase:
    """A noun with what stands before it.

    Attributes:
        determiner: "a", "the", a number, a quantity, or "" for a bare plural.
        noun: A key of `english.NOUNS`.
        plural_noun: Whether the noun itself stands in the plural.
        adjectives: Colors and shapes, in their order.
        measure: None, or whether "piece of" stands in the plural.
    """

    determiner: str
    noun: str
    plural_noun: bool
    adjectives: tuple[str, ...] = ()
    measure: bool | None = None

    @property
    def plural(self) -> bool:
        """Whether a verb after this phrase stands in the plural."""
        return self.plural_noun if self.measure is None else self.measure


@dataclass(frozen=True)
class Verb:
    """A key of `english.VERBS`, and its number."""

    key: str
    plural: bool


@dataclass(frozen=True)
class Phrase:
    """A key of `english.PHRASES`, or an adjective that stands alone."""

    key: str


Chunk = NounPhrase | Verb | Phrase


@dataclass(frozen=True)
class Lexicon:
    """Every English wording that is understood, by its kind."""

    determiners: dict[str, str]
    measures: dict[str, bool]
    adjectives: frozenset[str]
    nouns: dict[str, tuple[str, bool]]
    chunks: dict[str, Verb | Phrase]


@cache
def plain_lexicon() -> Lexicon:
    """The miniature's own words."""
    nouns: dict[str, tuple[str, bool]] = {}
    for singular, plural in english.NOUNS.items():
        nouns[plural] = (singular, True)
        nouns[singular] = (singular, False)
    chunks: dict[str, Verb | Phrase] = {phrase: Phrase(phrase) for phrase in (*english.PHRASES, *english.ADJECTIVES)}
    for verb in english.VERBS:
        singular, plural = verb.removesuffix(" (state)").removesuffix(" (quality)").split("/")
        chunks.setdefault(singular, Verb(verb, False))
        chunks.setdefault(plural, Verb(verb, True))
    determiners = ARTICLES | {word: word for word in (*english.NUMBERS, *english.QUANTITIES)}
    measures = {word: word in english.MEASURES.values() for pair in english.MEASURES.items() for word in pair}
    return Lexicon(determiners, measures, frozenset(english.ADJECTIVES), nouns, chunks)


def parse(caption: str, lexicon: Lexicon | None = None) -> tuple[Chunk, ...]:
    """Takes a caption apart.

    Args:
        caption: An English sentence, with or without a full stop and a capital letter.
        lexicon: What is understood; by default the miniature's own words.

    Returns:
        Noun phrases, verbs and phrases in the order of the caption.

    Raises:
        ValueError: If it holds something that the lexicon does not know.
    """
    lexicon = lexicon or plain_lexicon()
    words = [*caption.lower().replace(".", " ").split(), "."]
    chunks: list[Chunk] = []
    start = 0
    while words[start:] not in ([], ["."]):
        found = [match for match in (_chunk(words, start, lexicon), _noun_phrase(words, start, lexicon)) if match]
        if not found:
            raise ValueError(f"The phrase book does not know {' '.join(words[start:])!r} in {caption!r}.")
        end, chunk = max(found, key=lambda match: match[0])
        chunks.append(chunk)
        start = end
    return tuple(_with_kinds(chunks))


def _longest(words: list[str], start: int, known: dict | frozenset, most: int = 9) -> int:
    """Where the longest known wording ends that begins here; `start` if there is none."""
    ends = range(min(len(words), start + most), start, -1)
    return next((end for end in ends if " ".join(words[start:end]) in known), start)


def _chunk(words: list[str], start: int, lexicon: Lexicon) -> tuple[int, Chunk] | None:
    """The longest verb or phrase that begins here, with its end."""
    end = _longest(words, start, lexicon.chunks)
    return (end, lexicon.chunks[" ".join(words[start:end])]) if end > start else None


def _noun_phrase(words: list[str], start: int, lexicon: Lexicon) -> tuple[int, Chunk] | None:
    """The noun phrase that begins here, with its end."""
    at = _longest(words, start, lexicon.determiners)
    determiner = lexicon.determiners.get(" ".join(words[start:at]), "")
    before_adjectives = _longest(words, at, lexicon.measures)
    measure = lexicon.measures.get(" ".join(words[at:before_adjectives]))
    before_noun = before_adjectives
    while before_noun < len(words) and words[before_noun] in lexicon.adjectives:
        before_noun += 1
    end = _longest(words, before_noun, lexicon.nouns)
    if end == before_noun:
        return None
    noun, plural = lexicon.nouns[" ".join(words[before_noun:end])]
    if english.NOUNS[noun] == noun:
        plural = False
    return end, NounPhrase(determiner, noun, plural, tuple(words[before_adjectives:before_noun]), measure)


def _with_kinds(chunks: list[Chunk]) -> list[Chunk]:
    """Tells the kinds of "is" apart by what follows."""
    kinds = dict.fromkeys(english.STATES, " (state)") | dict.fromkeys(english.QUALITIES, " (quality)")
    kinds |= dict.fromkeys(english.ADJECTIVES, " (quality)")
    result = list(chunks)
    for at, chunk in enumerate(chunks[:-1]):
        following = chunks[at + 1]
        if isinstance(chunk, Verb) and chunk.key == "is/are" and isinstance(following, Phrase):
            result[at] = Verb(chunk.key + kinds.get(following.key, ""), chunk.plural)
    return result
