"""The small Earth model: what it may learn from, and that the committed one is what its README says."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from standins.pretraining import earth
from standins.pretraining.earth import CHECKPOINT_FOLDER, EarthSettings

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage, load_dataset
from utils.evaluation import zero_shot

TINY = {"image_size": 16, "kept_size": 20, "width": 32, "layers": 1, "text_width": 32, "text_layers": 1, "dim": 32}


def picture(folder: Path, number: int) -> Path:
    """An image with detail of its own."""
    noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = folder / f"park_{number}.png"
    Image.fromarray(noise).filter(ImageFilter.GaussianBlur(3)).save(path)
    return path


@pytest.fixture
def both(tmp_path, monkeypatch) -> dict[str, CaptionDataset]:
    """Two small data sets in the places of RSICD and UCM; a turned copy of a test image of one is in the other."""
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    sets = {}
    for offset, name in ((0, "rsicd"), (100, "ucm")):
        items = [
            CaptionedImage(picture(tmp_path, offset + n), (f"park {n} .",), split, "storagetanks", name)
            for n, split in enumerate(splits)
        ]
        sets[name] = CaptionDataset(items, name)
    copy = sets["ucm"][0].path
    Image.open(sets["rsicd"][9].path).rotate(90).save(copy)
    monkeypatch.setattr(earth, "load_dataset", lambda name, place: sets.get(name) or load_dataset(name, place))
    return sets


def test_what_shows_the_same_as_a_held_out_image_is_not_trained_on(both, capsys):
    train_set, validation_set = earth.images_to_learn_from(Path())
    names = {item.name for item in train_set}
    assert both["ucm"][0].name not in names
    assert len(names) == 11
    assert "show what is held out, and are left out: 1\n" in capsys.readouterr().out
    assert {item.split for item in train_set} == {"train"}
    assert {item.split for item in validation_set} == {"val"}


def test_only_train_captions_say_the_category_in_both_spellings(both):
    train_set, validation_set = earth.images_to_learn_from(Path())
    assert train_set[0].captions == (
        "park 0 .",
        "An aerial photograph of storagetanks",
        "An aerial photograph of storage tanks",
    )
    assert validation_set[0].captions == ("park 6 .",)
    assert len(earth.images_to_learn_from(Path(), without=("storagetanks",))[0]) == 0
    with pytest.raises(ValueError, match="No image is of moon; the categories are storagetanks"):
        earth.images_to_learn_from(Path(), without=("moon",))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "without=moon"], "--set has no without; there are seed, scenes"),
        (["--set", "epochs=many"], "--set epochs=many: 'many' is no int"),
        (["--paraphrases", "nowhere.jsonl"], "there is no nowhere.jsonl"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_read(words, sentence, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["earth", "--data-dir", "nowhere", *words])
    with pytest.raises(SystemExit):
        earth.main()
    assert sentence in capsys.readouterr().err


def test_paraphrases_are_added_to_images_of_rsicd_alone(both, tmp_path):
    train_set, _ = earth.images_to_learn_from(Path())
    lines = [{"filename": f"rsicd_images/{item.name}", "captions": ["another park", "park 1 ."]} for item in train_set]
    path = tmp_path / "paraphrases.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = earth.with_paraphrases(train_set, path)
    assert more[1].captions[-1] == "another park"
    assert more[1].captions.count("park 1 .") == 1
    assert {item.source: "another park" in item.captions for item in more} == {"rsicd": True, "ucm": False}


def test_the_command_trains_from_scenes_and_images_and_says_what_it_took(both, tmp_path):
    settings = replace(EarthSettings(), **TINY, batch_size=4, epochs=5, warmup_steps=1, scenes=30, scene_steps=2)
    settings = replace(settings, compute_dtype="float32", vocabulary_size=400)
    model = earth.build_earth(Path(), tmp_path / "run", settings)
    note = json.loads((tmp_path / "run" / earth.MADE_BY).read_text())
    assert note["settings"] == asdict(settings) | {"without": []}
    assert note["images"] == 11
    assert model.vision.image_size == 16
    assert (tmp_path / "run" / "on_scenes" / "model" / "config.json").is_file()


def test_the_committed_model_fits_its_place_and_loads_in_transformers():
    from transformers import CLIPModel, CLIPProcessor

    assert sum(path.stat().st_size for path in CHECKPOINT_FOLDER.iterdir()) < 16e6
    assert CLIPModel.from_pretrained(CHECKPOINT_FOLDER).config.vision_config.image_size == 96
    processor = CLIPProcessor.from_pretrained(CHECKPOINT_FOLDER)
    assert processor(text=["a bridge over a river"], return_tensors="pt")["input_ids"].shape[1] < 12


def readme_figure(row: str) -> float:
    text = (CHECKPOINT_FOLDER / "README.md").read_text(encoding="utf-8")
    return float(re.search(rf"\| {re.escape(row)} \| ([\d.]+)", text)[1])


@pytest.mark.parametrize("name", ["rsicd", "ucm"])
def test_the_committed_model_scores_what_its_readme_says(name, shared):
    model = CLIP.from_pretrained(CHECKPOINT_FOLDER)
    score = zero_shot(model, load_dataset(name, shared / "data", split="test")).score()
    assert score == pytest.approx(readme_figure(f"{name}: k=1, documents"), abs=0.005)
