"""Marian models as translators, run by CTranslate2 on a CPU and by transformers on a GPU."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from utils.choices import TRANSLATION_ENGINES
from utils.files import digest_of_file, find_checkpoint
from utils.translation.cache import TranslationError

if TYPE_CHECKING:
    from transformers import GenerationConfig, MarianTokenizer

# transformers searches on while a longer hypothesis may still win, CTranslate2 until so many a beam are finished.
PATIENCE = 1.25

# From the token numbers of a batch of texts to those of their translations.
_Generate = Callable[[list[list[int]]], list[list[int]]]


@dataclass(frozen=True)
class GenerationSettings:
    """How a translation is searched for; None takes the model's own ``generation_config.json``.

    The published run called ``generate()`` with nothing, so the defaults here are its settings. The score of a
    hypothesis is divided by its length to the power of ``length_penalty``; ``max_length`` counts tokens, with the one
    that starts a translation and the one that ends it.
    """

    num_beams: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, naming the setting, its value and what it must be."""
        for name, value, bound in (("num_beams", self.num_beams, 0), ("max_length", self.max_length, 2)):
            if value is not None and not value > bound:
                raise ValueError(f"{name} is {value!r}; it must be above {bound}.")


class MarianTranslator:
    """English to Romance languages and back, with two Marian models in transformers' format.

    Models are folders or names on the Hub; the one from English must know language codes such as ``>>fr<<``. Engines
    are ``ctranslate2`` (float32), ``ctranslate2-int8`` (weights of 8 bits: faster, a few texts differ),
    ``transformers``, or ``auto``: transformers where torch sees a GPU, else CTranslate2 in float32. Devices are
    ``cpu``, ``cuda``, or ``auto``: the GPU where torch sees one.

    Raises:
        TranslationError: If a model is missing, is not a Marian model or lacks language codes.
        ValueError: If there is no such engine.
    """

    def __init__(
        self,
        to_romance: str | Path = "Helsinki-NLP/opus-mt-en-ROMANCE",
        to_english: str | Path = "Helsinki-NLP/opus-mt-ROMANCE-en",
        settings: GenerationSettings | None = None,
        engine: str = "auto",
        device: str = "auto",
    ) -> None:
        import torch

        settings = settings or GenerationSettings()
        if engine not in TRANSLATION_ENGINES:
            raise ValueError(f"the engine {engine!r} is not one of {', '.join(TRANSLATION_ENGINES)}.")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if engine == "auto":
            engine = "ctranslate2" if device == "cpu" else "transformers"
        with _quiet_loading():
            self._to_romance = _Direction(to_romance, settings, engine, device)
            self._to_english = _Direction(to_english, settings, engine, device)
        self.languages = self._to_romance.languages
        if not self.languages:
            raise TranslationError(
                f"{to_romance} knows no language codes such as >>fr<<; give one like Helsinki-NLP/opus-mt-en-ROMANCE."
            )
        self.name = f"{self._to_romance.name} and {self._to_english.name} by {engine}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translates one batch, see `Translator.translate`."""
        if source == "en" and target in self.languages:
            return self._to_romance.translate([f">>{target}<< {text}" for text in texts])
        if target == "en" and source in self.languages:
            return self._to_english.translate(list(texts))
        known = f"one side must be 'en', the other one of {', '.join(sorted(self.languages))}"
        raise TranslationError(f"cannot translate from {source!r} to {target!r}: {known}.")


class _Direction:
    """One Marian model with its tokenizer and engine."""

    def __init__(self, name_or_path: str | Path, settings: GenerationSettings, engine: str, device: str) -> None:
        folder = _find_marian(name_or_path)
        from transformers import GenerationConfig, MarianTokenizer

        self._tokenizer: MarianTokenizer = MarianTokenizer.from_pretrained(folder)
        config = GenerationConfig.from_pretrained(folder)
        search = _resolve(settings, config)
        if engine == "transformers":
            self._generate = self._by_transformers(folder, config, search, device)
        else:
            search["patience"] = 1.0 if config.early_stopping is True else PATIENCE
            compute_type = "int8" if engine == "ctranslate2-int8" else "float32"
            self._generate = self._by_ctranslate2(folder, config, search, device, compute_type)
        codes = (re.fullmatch(">>(.+)<<", token) for token in self._tokenizer.get_vocab())
        self.languages = frozenset(code.group(1) for code in codes if code)
        how = " ".join(f"{name}={value}" for name, value in search.items())
        self.name = f"{Path(name_or_path).name}@{_fingerprint(folder)} ({how})"

    def translate(self, texts: list[str]) -> list[str]:
        batch = self._tokenizer(texts, verbose=False)["input_ids"]
        most = self._tokenizer.model_max_length
        for text, ids in zip(texts, batch, strict=True):
            if len(ids) > most:
                raise TranslationError(
                    f"{text[:60]!r}... has {len(ids)} tokens and the model reads {most}; shorten it."
                )
        return self._tokenizer.batch_decode(self._generate(batch), skip_special_tokens=True)

    def _by_transformers(
        self, folder: Path, config: GenerationConfig, search: dict[str, float], device: str
    ) -> _Generate:
        """Returns transformers' own `generate`, in float32."""
        import torch
        from transformers import MarianMTModel

        model = MarianMTModel.from_pretrained(folder, dtype=torch.float32).eval()
        model.to(device)
        config.update(**search, do_sample=False)

        def generate(batch: list[list[int]]) -> list[list[int]]:
            inputs = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(device)
            with torch.inference_mode():
                return model.generate(**inputs, generation_config=config).tolist()

        return generate

    def _by_ctranslate2(
        self, folder: Path, config: GenerationConfig, search: dict[str, float], device: str, compute_type: str
    ) -> _Generate:
        """Returns the search of CTranslate2 with the same model, converted."""
        import ctranslate2

        with tempfile.TemporaryDirectory() as place:
            converted = str(Path(place) / "model")
            ctranslate2.converters.TransformersConverter(str(folder)).convert(converted)
            model = ctranslate2.Translator(converted, device=device, compute_type=compute_type)
        numbers, unknown = self._tokenizer.get_vocab(), self._tokenizer.unk_token_id
        # transformers counts the token that starts the decoder, and the end where it forces one into the last place.
        longest = search["max_length"] - (1 if config.forced_eos_token_id is None else 2)
        beams, penalty, patience = (search[name] for name in ("num_beams", "length_penalty", "patience"))

        def generate(batch: list[list[int]]) -> list[list[int]]:
            tokens = [self._tokenizer.convert_ids_to_tokens(ids) for ids in batch]
            results = model.translate_batch(
                tokens, beam_size=beams, length_penalty=penalty, patience=patience, max_decoding_length=longest
            )
            return [[numbers.get(token, unknown) for token in result.hypotheses[0]] for result in results]

        return generate


@contextmanager
def _quiet_loading() -> Iterator[None]:
    """Silences a bar that lasts a blink, and the advice to install a package that translation never calls."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _find_marian(name_or_path: str | Path) -> Path:
    """Returns the folder of a complete Marian model."""
    try:
        folder = find_checkpoint(name_or_path, example="Helsinki-NLP/opus-mt-en-ROMANCE")
    except FileNotFoundError as error:
        raise TranslationError(str(error)) from error
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = None
    if kind != "marian":
        raise TranslationError(f"{folder} holds a model of type {kind!r}; give the folder of a 'marian'.")
    needed = ("source.spm", "target.spm", "vocab.json", "generation_config.json")
    if absent := [name for name in needed if not (folder / name).is_file()]:
        raise TranslationError(f"{folder} lacks {' and '.join(absent)}; fetch the model again.")
    return folder


def _resolve(settings: GenerationSettings, config: GenerationConfig) -> dict[str, float]:
    """Returns explicit values for everything that the search depends on, in the order that names are made of."""
    own = {
        "num_beams": config.num_beams or 1,
        "length_penalty": 1.0 if config.length_penalty is None else config.length_penalty,  # zero means none
        "max_length": config.max_length or 512,
    }
    return own | {name: value for name in own if (value := getattr(settings, name)) is not None}


def _fingerprint(folder: Path) -> str:
    """Returns eight hexadecimal digits that tell a model's files from any other's."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".spm", ".safetensors", ".bin")]
    return hashlib.sha256(bytes.fromhex("".join(map(digest_of_file, files)))).hexdigest()[:8]
