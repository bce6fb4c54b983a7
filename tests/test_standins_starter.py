"""The icons, the tokenizer and the committed starting checkpoint."""

import json
import re
import subprocess
import sys
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from standins.icons import build_icons, gallery
from standins.icons.captions import NAMES, write_icon_captions
from standins.icons.gallery import write_icons
from standins.icons.map_pen import LOOKS
from standins.icons.render import DRAWINGS, render_icon
from standins.pretraining.clip import AERIAL_ENGLISH, CHECKPOINT_FOLDER, icons_to_train_on, train_tokenizer
from standins.scenes.render import CATEGORIES

from utils.datasets import load_dataset

MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def model():
    from utils.clip import CLIP

    return CLIP.from_pretrained(CHECKPOINT_FOLDER)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(AERIAL_ENGLISH, 1000)


def test_icons_cover_the_categories_of_the_miniature():
    assert set(DRAWINGS) == set(NAMES) == set(CATEGORIES)


@pytest.mark.parametrize("look", LOOKS)
def test_every_category_draws_in_every_look(look):
    for category in DRAWINGS:
        icon = render_icon(category, np.random.default_rng(1), size=48, look=look)
        assert icon.image.size == (48, 48)
        assert np.asarray(icon.image).std() > 1, f"{category} as {look} is one flat color"


def test_icons_are_a_function_of_the_generator():
    def pixels(seed):
        return np.asarray(render_icon("port", np.random.default_rng(seed)).image)

    assert np.array_equal(pixels(3), pixels(3))
    assert not np.array_equal(pixels(3), pixels(4))


def test_icons_are_the_same_in_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from standins.icons.gallery import write_icons; "
        "list(write_icons(Path(sys.argv[1]), 1, 0, 32))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True)
    for icon in write_icons(tmp_path / "here", 1, 0, 32):
        assert icon.path.read_bytes() == (tmp_path / "there" / icon.path.name).read_bytes()


def test_unknown_category_and_look_are_refused():
    with pytest.raises(ValueError, match="volcano"):
        render_icon("volcano", np.random.default_rng(0))
    with pytest.raises(ValueError, match="oil"):
        render_icon("pond", np.random.default_rng(0), look="oil")


def test_captions_count_what_is_drawn():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        icon = render_icon("storagetanks", rng, size=16)
        captions = write_icon_captions(icon, rng)
        assert captions[0] == "an aerial photograph of storagetanks"
        word = ("two", "three", "four", "five", "six", "seven", "eight", "nine")[icon.count - 2]
        assert f"{word} storage tanks" in captions[-1]


def test_held_out_icons_are_a_tenth(tmp_path):
    icons = icons_to_train_on(tmp_path, 10, 0)
    assert len(icons.split("train")) == 270
    assert len(icons.split("val")) == 30
    assert icons.categories == tuple(sorted(CATEGORIES))


def test_tokenizer_encodes_any_text(tokenizer):
    every_character = [chr(code) for code in range(33, 0x2000) if chr(code).isprintable()]
    text = " ".join(every_character) + " 航空写真 🛩️ \x00\x7f"
    ids = tokenizer(text, truncation=False)["input_ids"]
    assert max(ids) == len(tokenizer) - 1 and min(ids) >= 0
    entries = tokenizer.convert_ids_to_tokens(ids[1:-1])
    assert tokenizer.unk_token not in entries
    expected = "".join(unicodedata.normalize("NFC", text).lower().split())
    assert tokenizer.decode(ids[1:-1]).replace(" ", "") == expected.replace(" ", "")


def test_tokenizer_round_trips_words(tokenizer):
    text = "two round storage tanks are near a road , naïve 7 zürich"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert tokenizer("A ROAD")["input_ids"] == tokenizer("  a\n road")["input_ids"]


def test_tokenizer_agrees_with_a_plain_byte_pair_encoder(tokenizer):
    """Against the algorithm as Sennrich et al. 2016 (algorithm 1) write it, on our merges."""
    merges = [tuple(pair) for pair in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]]
    rank = {pair: number for number, pair in enumerate(merges)}

    def encode(word):
        parts = [*word[:-1], word[-1] + "</w>"]
        while True:
            pairs = [pair for pair in pairwise(parts) if pair in rank]
            if not pairs:
                return parts
            best = min(pairs, key=rank.__getitem__)
            merged, position = [], 0
            while position < len(parts):
                if tuple(parts[position : position + 2]) == best:
                    merged.append(parts[position] + parts[position + 1])
                    position += 2
                else:
                    merged.append(parts[position])
                    position += 1
            parts = merged

    for word in ("storagetanks", "playground", "zebra", "roundabouts", "a", "unbuilt"):
        assert tokenizer.convert_ids_to_tokens(tokenizer(word)["input_ids"][1:-1]) == encode(word)


def test_checkpoint_tokenizer_keeps_clips_conventions(model):
    tokenizer = model.tokenizer
    ids = tokenizer("a pond")["input_ids"]
    last = len(tokenizer) - 1
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id) == (last - 1, last)
    assert tokenizer.pad_token_id == last
    text = model.config.text_config
    assert (text.vocab_size, text.eos_token_id, text.bos_token_id) == (last + 1, last, last - 1)
    assert tokenizer.model_max_length == text.max_position_embeddings == 64
    assert [len(tokenizer(name)["input_ids"]) for name in CATEGORIES] == [3] * 30, "each name is one token"


def test_checkpoint_is_small_and_half_precision():
    from safetensors import safe_open

    assert sum(file.stat().st_size for file in CHECKPOINT_FOLDER.iterdir()) < 6 * MEBIBYTE
    with safe_open(CHECKPOINT_FOLDER / "model.safetensors", "np") as weights:
        assert {str(weights.get_tensor(name).dtype) for name in weights.keys()} == {"float16"}  # noqa: SIM118


def test_checkpoint_gives_the_same_in_transformers(model):
    import torch
    from transformers import CLIPModel, CLIPProcessor

    from utils.clip import tokenize
    from utils.datasets import eval_transform

    reference = CLIPModel.from_pretrained(CHECKPOINT_FOLDER, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(CHECKPOINT_FOLDER)
    images = [render_icon(category, np.random.default_rng(0), size=100).image for category in ("pond", "port")]
    texts = ["a map of a pond", "three boats beside a pier in Zürich"]
    with torch.no_grad():
        expected = reference(**processor(text=texts, images=images, return_tensors="pt", padding=True))
    pixels = np.stack([eval_transform(image, model.preprocessing) for image in images])
    logits = np.asarray(model.logits(pixels, tokenize(model.tokenizer, texts)))
    np.testing.assert_allclose(logits, expected.logits_per_image.numpy(), rtol=2e-3, atol=2e-2)


def test_checkpoint_knows_something_and_not_enough(model):
    from utils.datasets import load_dataset
    from utils.evaluation import zero_shot

    scores = zero_shot(model, load_dataset("miniature", split="test")).scores()
    assert 0.2 <= scores[1] <= 0.6
    readme = (CHECKPOINT_FOLDER / "README.md").read_text()
    (row,) = re.findall(r"^\| miniature test, unsplit names \|(.+)\|$", readme, re.MULTILINE)
    stated = [float(figure) for figure in row.split("|")]
    assert stated == pytest.approx(list(scores.values()), abs=0.01), "README.md states other figures"


# --- icons as a data set --------------------------------------------------------------------------------------


def test_icons_are_drawn_once_and_are_not_those_of_the_pretraining(tmp_path, monkeypatch):
    icons = load_dataset(build_icons(tmp_path, per_category=2, seed=3))
    assert (len(icons), len(icons.categories), icons.splits) == (60, 30, ("test",))
    assert all(item.captions[0] == f"an aerial photograph of {item.category}" for item in icons)
    assert [path.name for path in tmp_path.iterdir()] == ["icons_2_seed_3"]
    pretraining = write_icons(tmp_path / "pretraining", 2, 0, 72)
    known = {icon.path.read_bytes() for icon in pretraining}
    assert not known & {item.path.read_bytes() for item in icons}
    monkeypatch.setattr(gallery, "_write_with_captions", lambda *_: pytest.fail("what is there was drawn again"))
    assert list(load_dataset(build_icons(tmp_path, per_category=2, seed=3))) == list(icons)


def test_icons_that_were_not_finished_are_never_seen(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gallery, "write_whole", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_icons(tmp_path, per_category=1, seed=3)
    assert list(tmp_path.iterdir()) == []


def test_icons_that_another_process_has_drawn_meanwhile_stay(tmp_path, monkeypatch):
    draw, place = gallery._write_with_captions, tmp_path / "icons_1_seed_3"

    def overtaken(folder, per_category, seed):
        draw(folder, per_category, seed)
        draw(place, per_category, seed)
        (place / "of the other").touch()

    monkeypatch.setattr(gallery, "_write_with_captions", overtaken)
    assert build_icons(tmp_path, per_category=1, seed=3).is_file()
    assert (place / "of the other").exists() and list(tmp_path.iterdir()) == [place]


def test_icons_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(ValueError, match="trained on those of seed 0"):
        build_icons(tmp_path, seed=0)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        build_icons(tmp_path, per_category=0)


def test_checkpoint_knows_icons_that_it_has_not_seen(model, tmp_path):
    from utils.evaluation import zero_shot

    score = zero_shot(model, load_dataset(build_icons(tmp_path, per_category=3))).score()
    assert 0.7 < score < 0.95, "it stated 0.8 or so of icons held out"
