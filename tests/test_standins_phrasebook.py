"""The phrase book's grammar in four languages, and the committed translators that learned it."""

import json
import re

import numpy as np
import pytest
from standins.phrasebook import LANGUAGES, english, paraphrase, translate
from standins.phrasebook.language import Agreement, inflect, noun_forms
from standins.phrasebook.parsing import NounPhrase, parse
from standins.phrasebook.sampling import MAIN_THINGS, pairs, sample_caption
from standins.phrasebook.transfer import Voice, say_in_english, voice_of
from standins.pretraining.marian import PhrasebookSettings, save_model, train_model, train_tokenizers
from standins.pretraining.marian_tokenizers import shared_vocabulary, train_sentencepiece, write_tokenizer
from standins.pretraining.round_trips import is_broken, keeps_meaning, load, translate_texts
from standins.pretraining.translators import CHECKPOINTS
from standins.scenes import patterns
from standins.scenes.english import NOUNS as MINIATURE_NOUNS
from standins.scenes.grammar import slots_of


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads on so little work wait for each other more than they work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


FOLDERS = [CHECKPOINTS / f"marian-miniature-{direction}" for direction in ("en-romance", "romance-en")]

# Checked by hand for gender, number, contraction and accents.
SENTENCES = {
    "many white planes are parked next to a long building in an airport .": (
        "De nombreux avions blancs sont garés à côté d'un long bâtiment dans un aéroport.",
        "Muchos aviones blancos están estacionados al lado de un edificio largo en un aeropuerto.",
        "Molti aerei bianchi sono parcheggiati accanto a un edificio lungo in un aeroporto.",
        "Muitos aviões brancos estão estacionados ao lado de um prédio longo em um aeroporto.",
    ),
    "two gray churches are surrounded by some trees and a road .": (
        "Deux églises grises sont entourées de quelques arbres et d'une route.",
        "Dos iglesias grises están rodeadas de algunos árboles y de una carretera.",
        "Due chiese grigie sono circondate da alcuni alberi e da una strada.",
        "Duas igrejas cinzas estão cercadas por algumas árvores e por uma estrada.",
    ),
    "several boats are on the river near a bridge .": (
        "Plusieurs bateaux se trouvent sur la rivière près d'un pont.",
        "Varios barcos están sobre el río cerca de un puente.",
        "Diverse barche si trovano sul fiume vicino a un ponte.",
        "Vários barcos ficam sobre o rio perto de uma ponte.",
    ),
    "beside the stadium there are five houses .": (
        "À côté du stade il y a cinq maisons.",
        "Junto al estadio hay cinco casas.",
        "Accanto allo stadio ci sono cinque case.",
        "Ao lado do estádio há cinco casas.",
    ),
    "the color of the planes is white .": (
        "La couleur des avions est blanche.",
        "El color de los aviones es blanco.",
        "Il colore degli aerei è bianco.",
        "A cor dos aviões é branca.",
    ),
    "there is an oval church here .": (
        "Il y a une église ovale ici.",
        "Hay una iglesia ovalada aquí.",
        "C'è una chiesa ovale qui.",
        "Há uma igreja oval aqui.",
    ),
    "wind has drawn some ripples in the desert .": (
        "Le vent a dessiné quelques ondulations dans le désert.",
        "El viento ha dibujado algunas ondulaciones en el desierto.",
        "Il vento ha disegnato alcune increspature nel deserto.",
        "O vento desenhou algumas ondulações no deserto.",
    ),
    "the houses are orange .": (
        "Les maisons sont orange.",
        "Las casas son naranja.",
        "Le case sono arancioni.",
        "As casas são laranja.",
    ),
    "this is a dense residential area .": (
        "Voici une zone résidentielle dense.",
        "Esta es una zona residencial densa.",
        "Questa è un'area residenziale densa.",
        "Esta é uma área residencial densa.",
    ),
}


@pytest.mark.parametrize("caption", SENTENCES)
def test_sentences_checked_by_hand(caption):
    assert tuple(translate(caption, code) for code in LANGUAGES) == SENTENCES[caption]


@pytest.mark.parametrize(
    ("code", "singular", "plural"),
    [
        ("fr", "bâtiment central", "bâtiments centraux"),
        ("fr", "terrain de jeux", "terrains de jeux"),
        ("fr", "campus", "campus"),
        ("es", "avión", "aviones"),
        ("es", "árbol", "árboles"),
        ("es", "estación de tren", "estaciones de tren"),
        ("it", "parco", "parchi"),
        ("it", "spiaggia", "spiagge"),
        ("it", "campo da calcio", "campi da calcio"),
        ("it", "edificio alto", "edifici alti"),
        ("pt", "jardim", "jardins"),
        ("pt", "avião", "aviões"),
        ("pt", "zona comercial", "zonas comerciais"),
    ],
)
def test_plurals(code, singular, plural):
    assert noun_forms(f"m {singular}", LANGUAGES[code])[1:] == (singular, plural)


def test_inflection_takes_one_two_or_four_forms():
    many = Agreement(feminine=True, plural=True)
    assert inflect("blanc/blanche", many, LANGUAGES["fr"]) == "blanches"
    assert inflect("gris/gris/grises/grises", many, LANGUAGES["es"]) == "grises"
    assert inflect("verde", many, LANGUAGES["it"]) == "verdi"
    assert inflect("=laranja", many, LANGUAGES["pt"]) == "laranja"


@pytest.mark.parametrize(
    ("code", "text", "joined"),
    [
        ("fr", "près de le parc et de les arbres", "près du parc et des arbres"),
        ("fr", "autour de le étang", "autour de l'étang"),
        ("fr", "près de de nombreux arbres", "près de nombreux arbres"),
        ("fr", "avec des longues ombres", "avec de longues ombres"),
        ("es", "cerca de el río", "cerca del río"),
        ("it", "in il deserto, su gli alberi, di la area", "nel deserto, sugli alberi, dell'area"),
        ("it", "un stadio vicino a i stadi", "uno stadio vicino agli stadi"),
        ("pt", "em o parque, por as casas, a a praia", "no parque, pelas casas, à praia"),
    ],
)
def test_contractions(code, text, joined):
    assert LANGUAGES[code].contract(text) == joined


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_says_everything(code):
    language = LANGUAGES[code]
    assert set(language.nouns) == set(english.NOUNS)
    assert set(language.adjectives) == set(english.ADJECTIVES)
    assert set(language.numbers) == set(english.NUMBERS)
    assert set(language.quantities) == set(english.QUANTITIES)
    assert set(language.verbs) == set(english.VERBS)
    assert set(language.phrases) == set(english.PHRASES)
    foreign = {entry.split(" ", 1)[1].split("/")[0] for entry in language.nouns.values()}
    foreign |= {*language.quantities.values(), *language.verbs.values(), *language.phrases.values()}
    assert set(language.english) <= foreign | {language.measure[2:]}, "an English word for nothing"
    for entry in language.nouns.values():
        assert entry[:2] in ("m ", "f ")


def all_patterns():
    tables = [
        *patterns.CATEGORY_PATTERNS.values(),
        *patterns.LAYOUT_PATTERNS.values(),
        patterns.PLAIN_PATTERNS,
        patterns.ASIDE_PATTERNS,
        patterns.COLOR_PATTERNS,
    ]
    return [pattern for table in tables for pattern in table]


def test_every_pattern_can_be_translated():
    from standins.scenes.facts import Thing
    from standins.scenes.grammar import fill_pattern

    rng = np.random.default_rng(0)
    names = [*MAIN_THINGS.values(), *MINIATURE_NOUNS]
    for pattern in all_patterns():
        for count in (1, 2, 40):
            things = {}
            for slot in slots_of(pattern):
                name = slot.replace("_", " ")
                name = name if name in MINIATURE_NOUNS else names[int(rng.integers(len(names)))]
                things[slot] = Thing(name, count, "white", "oval")
            caption = fill_pattern(pattern, things, False, rng)
            assert say_in_english(parse(caption), Voice({})) == f"{caption.removesuffix(' .')}."
            for code in LANGUAGES:
                translated = translate(caption, code)
                assert not re.search(r"[][{}|/=*<>]|\s\s", translated), translated
                assert keeps_meaning(caption, paraphrase(caption, code)), (caption, code)


def test_all_categories_have_patterns():
    assert set(MAIN_THINGS) == set(patterns.CATEGORY_PATTERNS)


def test_parsing_finds_noun_phrases_and_refuses_what_it_does_not_know():
    first, *_ = parse("A large number of pieces of green farmlands are near a road.")
    assert first == NounPhrase("a large number of", "farmland", True, ("green",), True)
    with pytest.raises(ValueError, match="zebra"):
        parse("a zebra is near a road .")


@pytest.mark.parametrize("code", LANGUAGES)
def test_equal_foreign_words_have_equal_english_words(code):
    heard: dict[str, str] = {}
    for key, entry in LANGUAGES[code].nouns.items():
        assert heard.setdefault(entry, voice_of(code).words[key]) == voice_of(code).words[key]


def test_sampled_pairs_repeat_with_the_seed_and_keep_their_meaning():
    for direction in ("en-romance", "romance-en"):
        first, again, other = (pairs(direction, seed) for seed in (3, 3, 4))
        sampled = [next(first) for _ in range(50)]
        assert sampled == [next(again) for _ in range(50)] != [next(other) for _ in range(50)]
    rng = np.random.default_rng(5)
    for _ in range(200):
        caption = sample_caption(rng)
        assert all(keeps_meaning(caption, paraphrase(caption, code)) for code in LANGUAGES)


def test_meaning_is_things_numbers_and_colors():
    assert keeps_meaning("two white planes are near a pond .", "Two white aircraft are close to a pond.")
    assert not keeps_meaning("two white planes are near a pond .", "three white planes are near a pond.")
    assert not keeps_meaning("two white planes are near a pond .", "two gray planes are near a pond.")
    assert not keeps_meaning("two white planes are near a pond .", "two white boats are near a pond.")


def test_tokenizer_is_marians(tmp_path):
    pytest.importorskip("sentencepiece")
    texts = ["a plane is in an airport .", "Un avion se trouve dans un aéroport."] * 20
    model = train_sentencepiece(texts, 200)
    vocabulary = shared_vocabulary([model])
    tokenizer = write_tokenizer(tmp_path, model, model, vocabulary, ("en", "roa"))
    numbers = tokenizer(">>fr<< a plane").input_ids
    assert numbers[0] == vocabulary[">>fr<<"] and numbers[-1] == 0
    assert tokenizer.decode(tokenizer(texts[1]).input_ids, skip_special_tokens=True) == texts[1]
    assert tokenizer.unk_token_id not in tokenizer("Zebra, quetzál?").input_ids


def test_a_trained_model_can_be_loaded_and_repeats_with_the_seed(tmp_path):
    settings = PhrasebookSettings(
        steps=3, batch_size=2, tokenizer_texts=30, width=16, inner_width=16, english_pieces=150, romance_pieces=200
    )
    english_model, romance_model = train_tokenizers(settings)
    vocabulary = shared_vocabulary((english_model, romance_model))
    tokenizer = write_tokenizer(tmp_path, english_model, romance_model, vocabulary, ("en", "roa"))
    model, again = (train_model("en-romance", tokenizer, settings) for _ in range(2))
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert bool((one == other).all())
    save_model(model, tmp_path)
    loaded, _ = load(tmp_path)
    assert not loaded.get_input_embeddings().weight[-1].any(), "the decoder starts from zeros"
    assert loaded.final_logits_bias[0, -1] == -1e4
    for name, weight in model.named_parameters():
        if "embed_positions" not in name:  # these are sines, computed again
            assert bool((loaded.get_parameter(name) == weight).all()), name


def test_broken_texts_are_found():
    assert is_broken("a road .", "") and is_broken("a road .", "a road of road of road of road.")
    assert is_broken("two planes are near a road .", "Two planes are are near.")
    assert not is_broken("two planes are near a road .", "Two aircraft are close to a road.")


@pytest.fixture(scope="module")
def translators():
    return [load(folder) for folder in FOLDERS]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_committed_folders_are_small_and_complete(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("README.md", "config.json", "generation_config.json", "model.safetensors"),
        *("source.spm", "target.spm", "tokenizer_config.json", "vocab.json"),
    }
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert vocabulary["</s>"] == 0 and vocabulary["<pad>"] == len(vocabulary) - 1
    assert set(vocabulary.values()) == set(range(len(vocabulary)))
    assert {">>fr<<", ">>es<<", ">>it<<", ">>pt<<", "<unk>"} <= set(vocabulary)


def test_committed_models_are_marians(translators):
    for model, tokenizer in translators:
        padding = model.config.vocab_size - 1
        assert model.config.decoder_start_token_id == model.config.pad_token_id == padding
        assert tokenizer.pad_token_id == padding and tokenizer.eos_token_id == model.config.eos_token_id == 0
        assert model.generation_config.num_beams == 4
        assert str(model.dtype) == "torch.float32"
        assert not model.get_input_embeddings().weight[padding].any()


CAPTIONS = [
    "many planes are parked next to a long building in an airport .",
    "Two white storage tanks are near a road.",
    "a gray oval stadium is surrounded by many green trees and a parking lot .",
    "nine red houses are in a dense residential area .",
    "a curved river winds through the land .",
    "the church is orange .",
]


@pytest.mark.parametrize("code", LANGUAGES)
def test_round_trips_keep_the_meaning(translators, code):
    there, back = translators
    returned = translate_texts(back, translate_texts(there, [f">>{code}<< {caption}" for caption in CAPTIONS]))
    for caption, paraphrased in zip(CAPTIONS, returned, strict=True):
        assert keeps_meaning(caption, paraphrased), (caption, paraphrased)
