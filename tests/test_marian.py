"""Marian as a translator: its texts are those of transformers' own `generate`, whatever runs it."""

import json
import shutil
from pathlib import Path

import httpx
import huggingface_hub
import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from utils.datasets import load_dataset
from utils.translation import LANGUAGES, GenerationSettings, MarianTranslator, TranslationError

ROOT = Path(__file__).resolve().parents[1]
TO_ROMANCE = ROOT / "data" / "checkpoints" / "marian-miniature-en-romance"
TO_ENGLISH = ROOT / "data" / "checkpoints" / "marian-miniature-romance-en"


def marian(settings: GenerationSettings | None = None, engine: str = "ctranslate2") -> MarianTranslator:
    return MarianTranslator(TO_ROMANCE, TO_ENGLISH, settings, engine, device="cpu")


@pytest.fixture(scope="module")
def captions() -> list[str]:
    texts = {caption for item in load_dataset("miniature", split="test") for caption in item.captions}
    return sorted(texts)[::16]


def test_transformers_engine_is_plain_generate(captions):
    tokenizer = MarianTokenizer.from_pretrained(TO_ROMANCE)
    model = MarianMTModel.from_pretrained(TO_ROMANCE, dtype=torch.float32).eval()
    inputs = tokenizer([f">>it<< {caption}" for caption in captions], return_tensors="pt", padding=True)
    expected = tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)
    assert marian(engine="transformers").translate(captions, "en", "it") == expected


LONGER_SEARCHED = (
    "an irregular lake lies among many green trees .",
    "here are lots of buildings and lots of green trees .",
)


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_beams": 6}, {"length_penalty": 0.0}, {"max_length": 8}, {"max_length": 8, "num_beams": 1}],
    ids=str,
)
def test_ctranslate2_searches_as_long_as_transformers(settings):
    fast, plain = (marian(GenerationSettings(**settings), engine) for engine in ("ctranslate2", "transformers"))
    assert fast.translate(LONGER_SEARCHED, "en", "fr") == plain.translate(LONGER_SEARCHED, "en", "fr")


@pytest.mark.parametrize("settings", [None, GenerationSettings(num_beams=1)], ids=["beams", "greedy"])
def test_ctranslate2_gives_the_texts_of_transformers(captions, settings):
    fast, plain = marian(settings, "ctranslate2"), marian(settings, "transformers")
    for language in LANGUAGES:
        pivots = plain.translate(captions, "en", language)
        assert fast.translate(captions, "en", language) == pivots
        assert fast.translate(pivots, language, "en") == plain.translate(pivots, language, "en")


def test_eight_bits_give_nearly_the_same_texts(captions):
    exact, quantized = (
        marian(engine=engine).translate(captions, "en", "fr") for engine in ("ctranslate2", "ctranslate2-int8")
    )
    same = [one == other for one, other in zip(exact, quantized, strict=True)]
    assert sum(same) > 0.9 * len(same)


def test_a_batch_of_one_gives_what_a_batch_of_many_gives(captions):
    translator = marian()
    together = translator.translate(captions[:6], "en", "pt")
    assert [translator.translate([caption], "en", "pt")[0] for caption in captions[:6]] == together


def test_auto_is_ctranslate2_where_torch_sees_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert MarianTranslator(TO_ROMANCE, TO_ENGLISH).name.endswith("by ctranslate2")


def test_a_models_own_settings_are_kept(tmp_path):
    own = shutil.copytree(TO_ENGLISH, tmp_path / TO_ENGLISH.name)
    settings = json.loads((own / "generation_config.json").read_text())
    own_settings = {"length_penalty": 0.0, "early_stopping": True}
    (own / "generation_config.json").write_text(json.dumps(settings | own_settings))
    translator = MarianTranslator(TO_ROMANCE, own, engine="ctranslate2", device="cpu")
    one, other = translator.name.split(" and ")
    assert "length_penalty=1.0" in one and "length_penalty=0.0" in other
    assert "patience=1.25" in one and "patience=1.0" in other


def test_the_name_tells_models_and_settings_apart(tmp_path):
    changed = shutil.copytree(TO_ENGLISH, tmp_path / TO_ENGLISH.name)
    (changed / "vocab.json").write_text((changed / "vocab.json").read_text() + "\n")
    names = {
        marian().name,
        marian(GenerationSettings(num_beams=2)).name,
        marian(GenerationSettings(length_penalty=0.6)).name,
        marian(engine="transformers").name,
        MarianTranslator(TO_ROMANCE, changed, engine="ctranslate2", device="cpu").name,
    }
    assert len(names) == 5
    assert marian().name == marian().name


# --- bad input -----------------------------------------------------------------------------------------------


def test_an_unknown_language_is_named():
    with pytest.raises(TranslationError, match=r"from 'en' to 'de'.* es, fr, it, pt"):
        marian().translate(["a river ."], "en", "de")


def test_a_text_beyond_the_model_is_refused():
    with pytest.raises(TranslationError, match=r"a river near.* tokens and the model reads 512"):
        marian().translate(["a river near " * 400], "en", "fr")


def test_a_model_that_cannot_be_fetched_says_why(monkeypatch):
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    error = ConnectionError("no network")
    with pytest.raises(TranslationError, match=r"'someone/marian'.*'Helsinki-NLP/opus-mt-en-ROMANCE' while there"):
        MarianTranslator("someone/marian")
    response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
    error = huggingface_hub.errors.GatedRepoError("gated", response=response)
    with pytest.raises(TranslationError, match=r"'someone/marian' .*: it is gated; accept its terms"):
        MarianTranslator("someone/marian")


def test_a_folder_of_another_model_is_refused(tmp_path):
    with pytest.raises(TranslationError, match="a model of type 'clip'"):
        MarianTranslator(ROOT / "data" / "checkpoints" / "clip-miniature", TO_ENGLISH)
    deaf = shutil.copytree(TO_ROMANCE, tmp_path / "deaf")
    vocabulary = (deaf / "vocab.json").read_text()
    (deaf / "vocab.json").write_text(vocabulary.replace("<<", "--"))
    with pytest.raises(TranslationError, match="no language codes"):
        MarianTranslator(deaf, TO_ENGLISH)
    half = shutil.copytree(TO_ROMANCE, tmp_path / "half", ignore=shutil.ignore_patterns("*.spm"))
    with pytest.raises(TranslationError, match=r"lacks source\.spm and target\.spm"):
        MarianTranslator(half, TO_ENGLISH)
    dumb = shutil.copytree(TO_ROMANCE, tmp_path / "dumb", ignore=shutil.ignore_patterns("generation*"))
    with pytest.raises(TranslationError, match=r"lacks generation_config\.json"):
        MarianTranslator(dumb, TO_ENGLISH)
    for content in ("{}", "[]", '{"model_type": "mar'):
        (dumb / "config.json").write_text(content)
        with pytest.raises(TranslationError, match=r"dumb.* give the folder of a 'marian'"):
            MarianTranslator(dumb, TO_ENGLISH)
    (dumb / "config.json").unlink()
    with pytest.raises(TranslationError, match=r"dumb.* give the folder of a 'marian'"):
        MarianTranslator(dumb, TO_ENGLISH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0; it must be above 0"),
        ({"max_length": 2}, "max_length is 2; it must be above 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationSettings(**settings)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="'fairseq' is not one of auto, ctranslate2"):
        marian(engine="fairseq")
