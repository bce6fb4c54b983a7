"""Back-translation: captions sent through a Romance language and back, so that repeats become paraphrases.

`MarianTranslator` translates, `TranslationCache` remembers, `backtranslate` decides what is replaced and
`AugmentedCaptions` is what comes out: a data set, and for each new caption where it came from.
"""

from utils.translation.backtranslation import LANGUAGES, AugmentedCaptions, BackTranslation, backtranslate
from utils.translation.cache import TranslationCache, TranslationError, Translator
from utils.translation.loading import load_or_backtranslate
from utils.translation.marian import GenerationSettings, MarianTranslator
from utils.translation.quality import Distances, distances, find_failures
