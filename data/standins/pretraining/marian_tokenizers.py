"""Trains the two SentencePiece models and their shared vocabulary, in the files that `MarianTokenizer` reads."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from standins.phrasebook.transfer import LANGUAGES

if TYPE_CHECKING:
    from transformers import MarianTokenizer

END, UNKNOWN, PADDING = "</s>", "<unk>", "<pad>"
_SPECIAL = (END, UNKNOWN, "<s>")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZàâáãçèéêëíìîïñóòôõöœúùûüÀÁÂÃÇÉÈÊÍÓÔÕÚ0123456789.,;:!?'-"


def train_sentencepiece(texts: Iterable[str], size: int) -> bytes:
    """Trains byte-pair encoding (Sennrich et al. 2016), which keeps frequent words whole.

    Args:
        texts: Sentences to learn from.
        size: At most so many pieces.

    Returns:
        The model as it is written into a .spm file. It changes nothing in a text (no normalization tables, which
        would take four fifths of the file), and it can spell words that it has not seen.
    """
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=size,
        model_type="bpe",
        character_coverage=1.0,
        required_chars=_LETTERS,
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def shared_vocabulary(models: Iterable[bytes]) -> dict[str, int]:
    """Numbers the pieces of several models in Helsinki's order: end, unknown, language marks, pieces, padding."""
    import sentencepiece

    entries = dict.fromkeys((END, UNKNOWN, *(f">>{code}<<" for code in LANGUAGES)))
    for model in models:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = [processor.id_to_piece(number) for number in range(processor.get_piece_size())]
        entries |= dict.fromkeys(piece for piece in pieces if piece not in _SPECIAL)
    return {entry: number for number, entry in enumerate([*entries, PADDING])}


def write_tokenizer(
    folder: Path, source: bytes, target: bytes, vocabulary: dict[str, int], languages: tuple[str, str]
) -> MarianTokenizer:
    """Writes a tokenizer into a folder.

    Args:
        folder: Where; it must be there.
        source: SentencePiece model of what is translated.
        target: SentencePiece model of translations.
        vocabulary: Number of each piece of either.
        languages: Names of both sides, such as ("en", "roa").

    Returns:
        The tokenizer, loaded from the folder.
    """
    from transformers import MarianTokenizer

    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": languages[0],
        "target_lang": languages[1],
        "eos_token": END,
        "unk_token": UNKNOWN,
        "pad_token": PADDING,
        "model_max_length": 512,
        "separate_vocabs": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return MarianTokenizer.from_pretrained(folder)
