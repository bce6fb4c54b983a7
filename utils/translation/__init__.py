"""Back-translation: captions sent through a Romance language and back, so that repeats become paraphrases.

`MarianTranslator` translates, `TranslationCache` remembers, `backtranslate` decides what is replaced and
`AugmentedCaptions` is what comes out: a data set, and for each new caption where it came from.
"""

from utils.translation.backtranslation import LANGUAGES, AugmentedCaptions, BackTranslation, backtranslate
from utils.translation.cache import TranslationCache
from utils.translation.handover import load_or_backtranslate
from utils.translation.marian import GenerationSettings, MarianTranslator
from utils.translation.quality import are_at_home, distances, find_failures
from utils.translation.translator import TranslationError, Translator

__all__ = [
    "LANGUAGES",
    "AugmentedCaptions",
    "BackTranslation",
    "GenerationSettings",
    "MarianTranslator",
    "TranslationCache",
    "TranslationError",
    "Translator",
    "are_at_home",
    "backtranslate",
    "distances",
    "find_failures",
    "load_or_backtranslate",
]
