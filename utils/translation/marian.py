"""Marian models as translators, run by CTranslate2 on a CPU and by transformers on a GPU."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.choices import TRANSLATION_ENGINES
from utils.files import find_checkpoint
from utils.translation.translator import TranslationError

if TYPE_CHECKING:
    from transformers import GenerationConfig, MarianTokenizer

# transformers searches on while a longer hypothesis may still win, CTranslate2 until so many hypotheses a beam are
# finished.
PATIENCE = 1.25


@dataclass(frozen=True)
class GenerationSettings:
    """How a translation is searched for; None takes the model's own ``generation_config.json``.

    The published run called ``generate()`` with nothing, so the defaults here are its settings.

    Attributes:
        num_beams: Hypotheses that beam search keeps.
        length_penalty: Exponent of the length by which a hypothesis' score is divided.
        max_length: Most tokens of a translation, with the one that starts it and the one that ends it.
        temperature: Draws each token at random at this temperature, in place of beam search.
        top_k: When drawing, only among the k likeliest tokens.
        top_p: When drawing, only among the likeliest tokens that together reach this probability.
        seed: When drawing, the seed.
    """

    num_beams: int | None = None
    length_penalty: float | None = None
    max_length: int | None = None
    temperature: float | None = None
    top_k: int = 50
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what could not work.

        Raises:
            ValueError: Naming the setting, its value and what it must be.
        """
        for name in ("num_beams", "max_length", "temperature", "top_k", "top_p"):
            value, bound = getattr(self, name), 2 if name == "max_length" else 0
            if value is not None and not value > bound:
                raise ValueError(f"{name} is {value!r}; it must be above {bound}.")
        if self.temperature is None and (self.top_k, self.top_p, self.seed) != (50, 1.0, 0):
            raise ValueError("top_k, top_p and seed say how to draw; give a temperature too, or leave them out.")
        if self.temperature is not None and (self.num_beams or 1) > 1:
            raise ValueError(
                f"num_beams is {self.num_beams} and temperature {self.temperature}; a translation is either "
                "searched for or drawn: give one of them."
            )


class MarianTranslator:
    """English to Romance languages and back, with two Marian models in transformers' format.

    Args:
        to_romance: Folder or Hub name of the model from English; it must know ``>>fr<<`` and the like.
        to_english: Folder or Hub name of the model to English.
        settings: How a translation is searched for.
        engine: ``ctranslate2`` (float32), ``ctranslate2-int8`` (weights of 8 bits: faster, a few texts differ),
            ``transformers``, or ``auto``: transformers where torch sees a GPU or a temperature is set, else
            CTranslate2 in float32.
        device: ``cpu``, ``cuda``, or ``auto``: a GPU if torch sees one.

    Attributes:
        name: The models with a fingerprint of their files, the engine and the settings.
        languages: Codes of the languages that the model from English knows.

    Raises:
        TranslationError: If a model is missing, is no Marian model or lacks language codes.
        ValueError: If there is no such engine, or it cannot draw.
    """

    def __init__(
        self,
        to_romance: str | Path = "Helsinki-NLP/opus-mt-en-ROMANCE",
        to_english: str | Path = "Helsinki-NLP/opus-mt-ROMANCE-en",
        settings: GenerationSettings | None = None,
        engine: str = "auto",
        device: str = "auto",
    ) -> None:
        settings = settings or GenerationSettings()
        engine, device = _choose(engine, device, settings)
        with _quiet_loading():
            self._to_romance = _Direction(to_romance, settings, engine, device)
            self._to_english = _Direction(to_english, settings, engine, device)
        self.languages = self._to_romance.languages
        if not self.languages:
            raise TranslationError(
                f"{to_romance} knows no language codes such as >>fr<<; give a model from English to several "
                "languages, such as Helsinki-NLP/opus-mt-en-ROMANCE."
            )
        self.name = f"{self._to_romance.name} and {self._to_english.name} by {engine}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translates one batch, see `Translator.translate`."""
        if source == "en" and target in self.languages:
            return self._to_romance.translate([f">>{target}<< {text}" for text in texts])
        if target == "en" and source in self.languages:
            return self._to_english.translate(list(texts))
        raise TranslationError(
            f"cannot translate from {source!r} to {target!r}: one side must be 'en', the other one of "
            f"{', '.join(sorted(self.languages))}."
        )


class _Direction:
    """One Marian model with its tokenizer and engine."""

    def __init__(self, name_or_path: str | Path, settings: GenerationSettings, engine: str, device: str) -> None:
        folder = _find_marian(name_or_path)
        from transformers import GenerationConfig, MarianTokenizer

        self._tokenizer: MarianTokenizer = MarianTokenizer.from_pretrained(folder)
        config = GenerationConfig.from_pretrained(folder)
        search = _resolve(settings, config)
        if engine != "transformers":
            search["patience"] = 1.0 if config.early_stopping is True else PATIENCE
        run_by = _Transformers if engine == "transformers" else _CTranslate2
        self._engine = run_by(folder, self._tokenizer, search, engine, device)
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
        return self._tokenizer.batch_decode(self._engine.generate(batch), skip_special_tokens=True)


class _Transformers:
    """transformers' own `generate`, in float32."""

    def __init__(
        self, folder: Path, tokenizer: MarianTokenizer, search: dict[str, Any], _engine: str, device: str
    ) -> None:
        import torch
        from transformers import GenerationConfig, MarianMTModel

        self._tokenizer, self._search, self._device = tokenizer, search, device
        self._model = MarianMTModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
        options = {name: value for name, value in search.items() if name != "seed"}
        self._config = GenerationConfig.from_pretrained(folder)
        self._config.update(**options, do_sample="temperature" in search)

    def generate(self, batch: list[list[int]]) -> list[list[int]]:
        import torch

        if "seed" in self._search:
            torch.manual_seed(_batch_seed(self._search["seed"], batch))
        inputs = self._tokenizer.pad({"input_ids": batch}, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            return self._model.generate(**inputs, generation_config=self._config).tolist()


class _CTranslate2:
    """The same model converted for CTranslate2."""

    def __init__(
        self, folder: Path, tokenizer: MarianTokenizer, search: dict[str, Any], engine: str, device: str
    ) -> None:
        import ctranslate2
        from transformers import GenerationConfig

        self._tokenizer, self._search = tokenizer, search
        # transformers counts the token that starts the decoder, and the end where it forces one into the last place.
        ends = GenerationConfig.from_pretrained(folder).forced_eos_token_id is not None
        self._longest = search["max_length"] - (2 if ends else 1)
        with tempfile.TemporaryDirectory() as place:
            converted = Path(place) / "model"
            ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted))
            compute_type = "int8" if engine == "ctranslate2-int8" else "float32"
            self._model = ctranslate2.Translator(str(converted), device=device, compute_type=compute_type)

    def generate(self, batch: list[list[int]]) -> list[list[int]]:
        tokens = [self._tokenizer.convert_ids_to_tokens(ids) for ids in batch]
        results = self._model.translate_batch(
            tokens,
            beam_size=self._search["num_beams"],
            length_penalty=self._search["length_penalty"],
            patience=self._search["patience"],
            max_decoding_length=self._longest,
        )
        return [self._tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]


def _choose(engine: str, device: str, settings: GenerationSettings) -> tuple[str, str]:
    """Decides what ``auto`` means on this machine.

    CTranslate2's random generator belongs to its threads and cannot be set back, so drawing, which must follow
    its seed, is transformers' alone.
    """
    import torch

    if engine not in TRANSLATION_ENGINES:
        raise ValueError(f"the engine {engine!r} is none of {', '.join(TRANSLATION_ENGINES)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    draws = settings.temperature is not None
    if draws and engine.startswith("ctranslate2"):
        raise ValueError(f"the engine {engine!r} cannot draw by a seed; with a temperature take 'transformers'.")
    if engine == "auto":
        engine = "ctranslate2" if device == "cpu" and not draws else "transformers"
    return engine, device


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
    """Returns the folder of a model that is one of Marian's and whole."""
    try:
        folder = find_checkpoint(name_or_path, example="Helsinki-NLP/opus-mt-en-ROMANCE")
    except FileNotFoundError as error:
        raise TranslationError(str(error)) from error
    try:
        kind = json.loads((folder / "config.json").read_text())["model_type"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        kind = None
    if kind != "marian":
        raise TranslationError(f"{folder} holds a model of type {kind!r}; give the folder of a 'marian'.")
    needed = ("source.spm", "target.spm", "vocab.json", "generation_config.json")
    absent = [name for name in needed if not (folder / name).is_file()]
    if absent:
        raise TranslationError(f"{folder} lacks {' and '.join(absent)}; fetch the model again.")
    return folder


def _resolve(settings: GenerationSettings, config: GenerationConfig) -> dict[str, Any]:
    """Returns explicit values for everything that the search depends on."""
    given = asdict(settings)
    penalty = 1.0 if config.length_penalty is None else config.length_penalty  # zero is a setting too: none
    own = {"num_beams": config.num_beams or 1, "length_penalty": penalty, "max_length": config.max_length or 512}
    search = {name: value if given[name] is None else given[name] for name, value in own.items()}
    if settings.temperature is not None:
        search |= {name: given[name] for name in ("temperature", "top_k", "top_p", "seed")}
        search["num_beams"] = 1
    return search


def _fingerprint(folder: Path) -> str:
    """Returns eight hexadecimal digits that tell a model's files from any other's."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".spm", ".safetensors", ".bin"):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


def _batch_seed(seed: int, batch: list[list[int]]) -> int:
    """Returns a seed for one batch, so that a run that was stopped and goes on draws what it would have drawn."""
    return int.from_bytes(hashlib.sha256(f"{seed} {batch}".encode()).digest()[:4])
