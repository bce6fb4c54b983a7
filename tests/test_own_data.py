"""People's own pictures: read as they say, divided as they say, in a folder for each category without a caption."""

import json
import re
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import rasterio
from PIL import Image
from training_world import SETTINGS, colors

from utils.category_names import category_words
from utils.check import check_data
from utils.course import CourseError, course_notebooks
from utils.course.splits import open_splits
from utils.datasets import (
    CaptionDataset,
    CaptionedImage,
    DatasetError,
    ImageReading,
    load_dataset,
    read_image,
    shown_reading,
)
from utils.demo import render
from utils.demo.__main__ import load_index_and_presence
from utils.demo.answers import Answers
from utils.evaluation import evaluate, summary_text
from utils.finder import PresenceModel, calibrate_presence
from utils.search import ImageIndex
from utils.training import caption_by_category, load_or_train, train
from utils.training.category_captions import is_captioned_by_category

pytestmark = pytest.mark.usefixtures("quick_compilation")

SHORT = replace(SETTINGS, epochs=1)


@pytest.fixture
def counts(tmp_path):
    """A folder of 12-bit pictures with four bands, four of each of three categories."""
    folder = tmp_path / "counts"
    for category in range(3):
        for number in range(4):
            values = np.random.default_rng([category, number]).integers(0, 1000 * (category + 1), (4, 16, 16))
            write(folder / f"kind_{category}" / f"{number}.tif", values.astype(np.uint16))
    return folder


def write(path, values, driver="GTiff"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
    with (
        warnings.catch_warnings(action="ignore"),  # no place on the Earth
        rasterio.open(path, "w", driver=driver, dtype=values.dtype, **shape) as file,
    ):
        file.write(values)
    return path


# --- readings ----------------------------------------------------------------------------------------------------


def test_empty_lists_are_what_is_default(counts):
    assert ImageReading([], []) == ImageReading()
    assert list(load_dataset(counts, stretch=[], bands=[])) == list(load_dataset(counts))


def test_what_is_made_of_pictures_says_how_they_were_read(counts, model, tmp_path, capsys):
    run = tmp_path / "run"
    ours, others = (
        caption_by_category(load_dataset(counts, stretch=stretch, bands=[4, 3, 2])) for stretch in ([0, 3000], [0, 500])
    )
    train(model, ours, ours[::4], SHORT, run / "finetuned")
    noted = [{"stretch": [0, 3000], "bands": [4, 3, 2]}]
    assert json.loads((run / "finetuned" / "run.json").read_text())["data"]["reading"] == noted
    card = (run / "finetuned" / "model" / "README.md").read_text()
    assert "Images were read from 0 to 3000, bands 4, 3, 2" in card
    with pytest.raises(ValueError, match=r"other data \(.*read from 0 to 3000.*, not .*read from 0 to 500"):
        train(model, others, others[::4], SHORT, run / "finetuned")
    capsys.readouterr()
    tuned = load_or_train(run / "finetuned", model, ours, ours, SHORT)
    assert not capsys.readouterr().out
    load_or_train(run / "finetuned", model, others, others, SHORT)
    assert "Warning: the model" in (said := capsys.readouterr().out) and "now read from 0 to 500" in said

    content = evaluate(model, tuned, ours).as_json()
    assert content["reading"] == noted and "(images read from 0 to 3000, bands" in summary_text(content)
    presence = calibrate_presence(tuned, ours)
    assert PresenceModel.load(presence.save(run / "presence.json")) == presence
    assert presence.calibrated_on["reading"] == noted
    # The page asks a presence model of the run only if it was calibrated on pictures read as visitors' will be.
    for dataset, fits in ((ours, True), (others, False)):
        ImageIndex.build(tuned, dataset, run / "index", progress=False)
        assert (load_index_and_presence(run)[1] is not None) == fits


@pytest.mark.parametrize("path", course_notebooks(Path(__file__).parents[1]), ids=lambda path: path.stem)
def test_every_notebook_reads_pictures_as_its_parameters_say(path):
    code = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    assert not re.findall(r"read_image\([^,()]*\)", code)
    if "open_splits(globals(), " in code:
        return  # as the next test says
    for name, parameter in (
        ("stretch", "STRETCH"),
        ("bands", "BANDS"),
        ("val_from_train", "VAL_FROM_TRAIN"),
        ("rename", "RENAME"),
    ):
        assert re.search(rf'{name}(=|": ){parameter}\b', code), parameter


def test_splits_are_opened_as_the_parameters_say(counts):
    parameters = {"DATASET": str(counts), "DATA_DIR": "", "STRETCH": [100, 900], "BANDS": [4, 3, 2]}
    parameters |= {"VAL_FROM_TRAIN": 0.0, "RENAME": {"kind_0": "port"}, "SEED": 1, "IMAGES_PER_SPLIT": 2}
    train, test = open_splits(parameters, "train", "test")
    (reading,) = {item.reading for item in load_dataset(counts, stretch=[100, 900], bands=[4, 3, 2])}
    assert {item.reading for item in (*train, *test)} == {reading} and len(train) == 2
    assert train[0].split == "train" and test[0].split == "test"
    assert {item.category for item in (*train, *test)} <= {"port", "kind_1", "kind_2"}
    with pytest.raises(DatasetError, match="no category kind_9 to rename; it has kind_0, kind_1, kind_2"):
        open_splits(parameters | {"RENAME": {"kind_9": "port"}}, "train")
    with pytest.raises(CourseError, match="STRETCH"):
        open_splits(parameters | {"STRETCH": [9, 1]}, "train")


def test_nothing_is_noted_of_pictures_that_are_read_as_they_are(model, tmp_path):
    plain = colors(tmp_path / "colors")
    assert "reading" not in evaluate(model, model, plain).as_json()
    assert "reading" not in calibrate_presence(model, plain).calibrated_on
    assert shown_reading({}) == ""


def test_a_look_at_every_file_reads_the_bands_that_training_reads(counts):
    assert load_dataset(counts, bands=[4, 3, 2]).verify().ok
    report = load_dataset(counts, bands=[7, 1, 1]).verify()
    assert len(report.unreadable) == 12 and "none of number 7" in str(report.unreadable[0])


def test_the_page_shows_pictures_as_the_model_saw_them(model, counts):
    index = ImageIndex.build(model, load_dataset(counts, bands=[4, 3, 2]), progress=False)
    answers = Answers(index)
    found = answers.by_text("a kind", 3)
    html = render.search_answer(found, answers.rows, answers.thumbnails)
    for hit in found.hits:
        seen = read_image(hit.path, index.reading)
        (place,) = answers.thumbnails.addresses([answers.rows[hit.path]])
        assert hit.reading == index.reading and place in html
        shown = Image.open(answers.thumbnails.find(f"/{place}"))
        np.testing.assert_allclose(np.mean(shown, axis=(0, 1)), np.mean(seen, axis=(0, 1)), atol=3)  # it is a JPEG
        chosen = answers.member_image(str(answers.rows[hit.path]))
        np.testing.assert_array_equal(chosen, seen)


@pytest.mark.parametrize(("name", "driver"), [("0.img", "HFA"), ("0.IMG", "ENVI"), ("0.ntf", "NITF")])
def test_pictures_of_remote_sensing_programs_are_found_and_read(tmp_path, name, driver):
    values = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    write(tmp_path / "field" / name, values, driver)
    (tmp_path / "field" / "disk.img").write_bytes(bytes(1024))
    with pytest.warns(UserWarning, match="1 images are damaged and are left out: disk.img"):
        (item,) = load_dataset(tmp_path)
    assert item.category == "field"
    np.testing.assert_array_equal(np.asarray(read_image(item.path)), values.transpose(1, 2, 0))


# --- a validation split --------------------------------------------------------------------------------------------


def published_without_val(tmp_path):
    """Forty training images of two categories and ten test images, as RSITMD has no third split."""
    colors(tmp_path, 8)
    names = [path.name for path in sorted(tmp_path.glob("*.png"))]
    rows = ["filename,caption,split,category"]
    for number in range(50):
        shutil.copy(tmp_path / names[number % 8], tmp_path / f"{number}.png")
        rows += [
            f"{number}.png,{text} {number},{'test' if number >= 40 else 'train'},kind {number % 4 == 0}"
            for text in "ab"
        ]
    (tmp_path / "own.csv").write_text("\n".join(rows))
    return tmp_path / "own.csv"


def test_validation_is_drawn_from_train_by_category_and_test_stays(tmp_path):
    path = published_without_val(tmp_path)
    plain, drawn = load_dataset(path), load_dataset(path, val_from_train=0.2, seed=1)
    assert drawn.splits == ("train", "val", "test") and [i.path for i in drawn] == [i.path for i in plain]
    assert list(drawn.split("test")) == list(plain.split("test"))
    validation = drawn.split("val")
    assert len(validation) == 8 and len(drawn.split("train")) == 32
    assert sum(item.category == "kind True" for item in validation) == 2  # a quarter, as of all
    assert all(len(item.captions) == 2 for item in drawn)
    assert list(load_dataset(path, split="val", val_from_train=0.2, seed=1)) == list(validation)
    assert "(32 train, 8 val, 10 test)" in check_data(str(path), val_from_train=0.2)[0].found
    assert list(load_dataset(path, split="val", val_from_train=0.2, seed=2)) != list(validation)


def test_validation_is_drawn_only_where_it_can_be(tmp_path, counts):
    path = published_without_val(tmp_path)
    for share in (-0.1, 0.6, 1):
        with pytest.raises(DatasetError, match=r"above 0 and at most 0\.5"):
            load_dataset(path, val_from_train=share)
    with pytest.raises(DatasetError, match="has no splits, so all three are drawn"):
        load_dataset(counts, val_from_train=0.1)
    with pytest.raises(DatasetError, match=r"no split 'val'.*VAL_FROM_TRAIN = 0\.1"):
        load_dataset(path).split("val")
    path.write_text(path.read_text().replace(" 40,test", " 40,val"))
    with pytest.raises(DatasetError, match="own has a val split, so none is drawn"):
        load_dataset(path, val_from_train=0.1)
    with pytest.raises(DatasetError, match=r"too few train images \(1\) to spare one"):
        (tmp_path / "one.csv").write_text("filename,caption,split\n0.png,a,train\n1.png,b,test")
        load_dataset(tmp_path / "one.csv", val_from_train=0.1)


# --- a folder for each category --------------------------------------------------------------------------------------


def test_category_names_become_words():
    names = ("storagetanks", "StorageTanks", "BareLand", "golf_course", "dense residential", "port", "Port", "_")
    words = ["storage tanks", "storage tanks", "bare land", "golf course", "dense residential", "port", "Port", "_"]
    assert [category_words(name) for name in names] == words


def test_odd_files_beside_category_folders_are_no_captions(counts):
    odd = {
        "labels.csv": "Straße;Größe\n1;2\n".encode("latin-1"),
        "ort.tsv": "Größe\tSpalte\n".encode("utf-16-le"),
        "empty.jsonl": b"",
        "broken.json": b'{"type": "FeatureCollection", ',
        "names.json": '{"kind": "Größe"}'.encode("latin-1"),
    }
    for name, content in odd.items():
        (counts / name).write_bytes(content)
    assert len(load_dataset(counts)) == 12
    for name, content in (
        ("a.csv", "filename,caption\n0.png,Größe\n".encode("latin-1")),
        ("b.tsv", "Filename\tCaption\n0.png\tGröße\n".encode("utf-16-le")),
        ("marked.csv", "filename,caption\n0.png,Größe\n".encode("utf-8-sig")),
        ("marked.tsv", "filename\tcaption\n0.png\tGröße\n".encode("utf-16")),
        ("c.jsonl", '{"filename": "0.png", "captions": ["Größe"]}'.encode("latin-1")),
        ("d.json", b'{"images": [{"filename": "0.png", "sentences": ['),
    ):
        (counts / name).write_bytes(content)
        with pytest.raises(DatasetError, match=rf"{name}|none of the 1 listed images"):
            load_dataset(counts)
        (counts / name).unlink()


def without_captions(dataset):
    items = [CaptionedImage(i.path, (), i.split, i.category, i.source) for i in dataset]
    return CaptionDataset(items, dataset.name)


def test_where_nothing_can_be_trained_the_model_stands_alone(model, tmp_path, capsys):
    bare = without_captions(colors(tmp_path / "colors"))
    assert load_or_train(tmp_path / "run" / "finetuned", model, bare, bare, SHORT) is model
    assert "none can be trained without captions" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()

    evaluation = evaluate(model, model, bare)
    content = evaluation.as_json()
    assert list(content["zero_shot"]["documents"]["scores"]) == ["baseline"]
    assert "gain" not in content["zero_shot"]["documents"] and content["retrieval"] == {}
    folder = evaluation.write(tmp_path / "evaluation")
    assert sorted(path.name for path in folder.glob("*.png")) == ["confusion.png", "scores.png"]
    page = (folder / "README.md").read_text()
    assert page.startswith("# Baseline: colors") and "no image has a caption" in page
    assert "fine-tuned" not in page and "| gain" not in page and "nan" not in page


def test_captions_made_of_categories_are_learned_and_the_card_says_so(model, tmp_path):
    bare = without_captions(colors(tmp_path / "colors"))
    captioned = caption_by_category(bare)
    assert captioned[0].captions[0] == "satellite imagery of red." and len(set(captioned[0].captions)) == 18
    train(model, captioned, captioned, SHORT, tmp_path / "run")
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "Nobody described these images: their captions are CLIP's 18 published aerial prompts" in card
    assert "names of 8 categories" in card
    assert not is_captioned_by_category(colors(tmp_path / "colors"))
    nameless = CaptionDataset([CaptionedImage(bare[0].path, (), None, None, "x")], "x")
    with pytest.raises(DatasetError, match="x: no image has a category to make captions of"):
        caption_by_category(nameless)
