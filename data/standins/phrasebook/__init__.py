"""A phrase book of the miniature's captions in five languages.

`english` lists what can be said, `french`, `spanish`, `italian` and `portuguese` say it, `parsing` takes a caption
apart and `transfer` puts it together again; `sampling` writes pairs to learn from.
"""

from standins.phrasebook.transfer import LANGUAGES, paraphrase, translate

__all__ = ["LANGUAGES", "paraphrase", "translate"]
"""The phrase book itself; the models are made by `python -m standins.pretraining.translators`."""
