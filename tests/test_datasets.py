"""The data sets: real RSICD, UCM and Sydney, and small folders with the dirt that users' folders have."""

import io
import json
import os
import random
import subprocess
import sys
import time
import unicodedata
import warnings
from collections import Counter
from pathlib import Path

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from utils.datasets import CaptionDataset, CaptionedImage, DatasetError, load_dataset, loading
from utils.datasets.hub import data_source

RSICD_CATEGORIES = (
    "airport bareland baseballfield beach bridge center church commercial denseresidential desert farmland "
    "forest industrial meadow mediumresidential mountain park parking playground pond port railwaystation resort "
    "river school sparseresidential square stadium storagetanks viaduct"
)


# --- made-up pictures and captions files ------------------------------------------------------------------


def picture(path: Path, value: int = 0, mode: str = "RGB") -> Path:
    """Write a small picture whose content is told by `value`, in the format that the ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value % 256, np.uint8)).convert(mode).save(path)
    return path


def karpathy(path: Path, entries: list[dict], **more: str) -> Path:
    """Write captions in Karpathy's form; an entry's `captions` become its sentences."""
    images = [
        {key: value for key, value in entry.items() if key != "captions"}
        | {"sentences": [{"raw": caption} for caption in entry.get("captions", [])]}
        for entry in entries
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images} | more), encoding="utf-8")
    return path


def jsonl(path: Path, entries: list[dict]) -> Path:
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), "utf-8")
    return path


def made_up(count: int, splits: tuple = (None,), categories: tuple = (None,)) -> CaptionDataset:
    """A data set without files, for what needs none."""
    return CaptionDataset(
        [
            CaptionedImage(
                Path(f"{i}.jpg"), (f"caption {i}",), splits[i % len(splits)], categories[i % len(categories)], "x"
            )
            for i in range(count)
        ],
        name="x",
    )


# --- the published data sets ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rsicd(shared: Path) -> CaptionDataset:
    return load_dataset("rsicd", shared / "data")


def test_rsicd_has_its_published_counts(rsicd):
    assert len(rsicd) == 10_921
    assert {name: len(rsicd.split(name)) for name in rsicd.splits} == {"train": 8734, "val": 1094, "test": 1093}
    assert not rsicd.missing
    train = [caption for item in rsicd.split("train") for caption in item.captions]
    assert (len(train), len(set(train))) == (43_670, 12_973)
    assert rsicd.categories == tuple(RSICD_CATEGORIES.split())
    assert len(rsicd.split("test").named()) == 1_027


def test_rsicd_captions_and_splits_stay_with_their_pictures(rsicd, shared):
    published = json.loads((shared / "data/RSICD/dataset_rsicd.json").read_text())["images"]
    expected = [(e["filename"], tuple(s["raw"] for s in e["sentences"]), e["split"]) for e in published]
    assert [(item.name, item.captions, item.split) for item in rsicd] == expected


def test_rsicd_class_lists_name_every_picture(rsicd, shared):
    listed = load_dataset("rsicd", shared / "data/RSICD", class_lists=True)
    assert len(listed.categories) == 31
    assert len(listed.named()) == 10_921
    assert "storage tanks" in listed.categories and "playfields" in listed.categories
    for plain, item in zip(rsicd, listed, strict=True):
        assert plain.category in (None, item.category.replace(" ", ""))


def test_rsicd_loads_fast(shared):
    def seconds() -> float:
        start = time.process_time()  # the processor's time: other work on the machine counts for less
        load_dataset("rsicd", shared / "data", split="test")
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 2


def test_ucm_is_found_although_the_list_says_tif(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ucm = load_dataset("ucm", shared / "data")
    assert len(ucm) == 2_100
    assert {name: len(ucm.split(name)) for name in ucm.splits} == {"train": 1680, "val": 210, "test": 210}
    assert Counter(item.category for item in ucm) == dict.fromkeys(ucm.categories, 100)
    assert len(ucm.categories) == 21
    assert {item.path.suffix for item in ucm} == {".jpg"}
    by_name = {item.name: item for item in ucm}
    for name, category, word in [
        ("100.jpg", "agricultural", "farmland"),
        ("101.jpg", "airplane", "airplanes"),
        ("1501.jpg", "parkinglot", "parking lot"),
        ("2100.jpg", "tenniscourt", "tennis courts"),
    ]:
        assert by_name[name].category == category
        assert any(word in caption for caption in by_name[name].captions)


def test_sydney_counts_and_names_what_is_missing(shared):
    with pytest.warns(UserWarning, match=r"sydney: 604 of 613 listed images .*10\.tif, .* and 601 more") as caught:
        sydney = load_dataset("sydney", shared / "data")
    assert len(caught) == 1 and "\n" not in str(caught[0].message)
    assert (len(sydney), len(sydney.missing)) == (9, 604)
    assert [item.name for item in sydney] == [f"{k}.tif" for k in range(1, 10)]
    assert sydney.categories == () and len(sydney.named()) == 0
    # A split that is known but empty is an empty data set, not an error.
    assert len(sydney.split("test")) == 0
    assert len(sydney.split("test").missing) == 58
    assert "604" in sydney.summary()
    report = sydney.verify()
    assert not report.ok and len(report.missing) == 604 and report.unreadable == ()


def test_verify_finds_the_picture_that_rsicd_has_twice(rsicd):
    industrial = CaptionDataset(item for item in rsicd if item.category in ("industrial", "bridge"))
    report = industrial.verify()
    assert [{path.name for path in group} for group in report.equal_content] == [
        {"industrial_203.jpg", "industrial_205.jpg"}
    ]
    assert report.equal_across_splits == () and report.ok
    assert "industrial_203.jpg = industrial_205.jpg" in str(report)


def test_another_data_set_in_the_place_of_this_one_is_refused(shared):
    with pytest.raises(DatasetError, match=r"'UCM', not 'Sydney'"):
        load_dataset("sydney", shared / "data/UCM_captions")
    with pytest.raises(DatasetError, match=r"'rsicd', not 'rsicd-miniature'"):
        load_dataset("miniature", shared / "data/RSICD")


def test_a_missing_published_set_says_where_to_put_it(tmp_path):
    for name, file in [("rsicd", "dataset_rsicd.json"), ("ucm", "dataset.json"), ("sydney", "dataset.json")]:
        with pytest.raises(DatasetError, match=file) as raised:
            load_dataset(name, tmp_path)
        assert str(tmp_path) in str(raised.value) and "data_dir" in str(raised.value)


# --- the miniature and the Hub ----------------------------------------------------------------------------


def test_icons_are_drawn_by_their_name_on_first_use(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "FETCHED_FOLDER", tmp_path / "fetched")
    drawn = []

    def draw(folder, seed):
        drawn.append((folder, seed))
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(place / "park_1.png")
        (place / "icons.jsonl").write_text('{"filename": "park_1.png", "captions": ["a park"], "split": "test"}')
        return place / "icons.jsonl"

    monkeypatch.setattr("standins.icons.build_icons", draw)
    icons = load_dataset("Icons", seed=4)
    assert (icons.name, icons.splits, len(icons)) == ("icons", ("test",), 1)
    load_dataset("icons", tmp_path / "elsewhere")
    # Seed 0 is that of the icons that the starting checkpoint was trained on.
    assert drawn == [(tmp_path / "fetched", 5), (tmp_path / "elsewhere", 1)]
    with pytest.raises(DatasetError, match="seed of the icons is -1; give 0 or more"):
        load_dataset("icons", seed=-1)


def test_published_data_need_no_stand_ins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "standins.scenes", None)  # as if only `utils` were on the path
    with pytest.raises(DatasetError, match="ucm is not in"):
        load_dataset("ucm", tmp_path / "nowhere")


def test_the_miniature_is_made_on_first_use(tmp_path, monkeypatch):
    def build(folder: Path | None = None) -> Path:
        folder = folder or tmp_path / "miniature"
        picture(folder / "RSICD_images/river_1.jpg")
        entry = {"filename": "river_1.jpg", "split": "val", "captions": ["a river"]}
        karpathy(folder / "dataset_rsicd.json", [entry])
        return folder

    module = type(sys)("standins.scenes")
    module.build_miniature = build
    monkeypatch.setitem(sys.modules, "standins.scenes", module)
    (item,) = load_dataset("miniature", split="val")
    assert item.path == tmp_path / "miniature/RSICD_images/river_1.jpg"
    assert (item.category, item.captions, item.source) == ("river", ("a river",), "miniature")
    monkeypatch.setattr(module, "build_miniature", lambda folder: pytest.fail("a named copy is read as it is"))
    assert len(load_dataset("miniature", tmp_path / "miniature")) == 1


HUB_NAMES = {"train": ["airport_1.jpg", "00001.jpg", "bridge_7.jpg"], "valid": ["port_2.jpg"], "test": ["pond_3.jpg"]}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """A local folder of Parquet files with the schema of the Hub's RSICD, and a data folder without RSICD."""
    schema = pa.schema(
        {
            "filename": pa.string(),
            "captions": pa.list_(pa.string()),
            "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        }
    )
    snapshot = tmp_path / "snapshots" / "0123abcd"
    (snapshot / "data").mkdir(parents=True)
    for split, names in HUB_NAMES.items():
        rows = [
            {
                "filename": f"rsicd_images/{name}",
                "captions": [f"{name} {number}" for number in range(5)],
                "image": {"bytes": picture(tmp_path / "pictures" / name, len(name)).read_bytes(), "path": name},
            }
            for name in names
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, snapshot / f"data/{split}-00000-of-00001-0123456789abcdef.parquet")
    monkeypatch.setattr(loading, "DATA_FOLDER", tmp_path / "empty")
    monkeypatch.setattr(loading, "FETCHED_FOLDER", tmp_path / "fetched")
    return snapshot


def test_rsicd_from_the_hub(hub, tmp_path, monkeypatch):
    asked = []

    def download(repository, **options):
        asked.append((repository, options["repo_type"]))
        return str(hub)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    rsicd = load_dataset("rsicd")
    expected = {(n, "val" if s == "valid" else s) for s, names in HUB_NAMES.items() for n in names}
    assert {(item.name, item.split) for item in rsicd} == expected
    for item in rsicd:
        assert item.captions == tuple(f"{item.name} {number}" for number in range(5))
        assert item.path.read_bytes() == (tmp_path / "pictures" / item.name).read_bytes()
    assert rsicd.categories == ("airport", "bridge", "pond", "port")
    assert data_source(rsicd) == {"repository": "arampacha/rsicd", "revision": "0123abcd"}
    assert len(load_dataset("rsicd")) == 5
    assert asked == [("arampacha/rsicd", "dataset")]  # the second time it is read from the disk
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["RSICD"]
    assert not (tmp_path / "empty").exists()  # the checkout itself may be read-only


def test_without_a_network_one_sentence_says_where_rsicd_goes(hub, tmp_path, monkeypatch):
    def offline(*args, **options):
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(DatasetError, match=r"dataset_rsicd\.json and the folder RSICD_images into") as raised:
        load_dataset("rsicd")
    assert str(tmp_path / "fetched" / "RSICD") in str(raised.value)


def test_a_cut_off_download_leaves_nothing_behind(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *args, **options: str(hub))
    file = next(hub.glob("data/test-*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="not a whole Parquet file"):
        load_dataset("rsicd")
    assert list((tmp_path / "fetched").iterdir()) == []


# --- your own captions and images ------------------------------------------------------------------------


def test_a_caption_never_slips_to_another_picture(tmp_path):
    """Shuffled lists with holes, repeats, other endings and capitals: what is found is what was meant."""
    for seed in range(30):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        listed_endings, disk_endings = [".tif", ".jpg", ".png", ""], [".jpg", ".png", ".JPG", ".bmp"]
        entries, on_disk, captions_of = [], {}, {}
        for number in range(40):
            stem = rng.choice(["", "north/", "south/"]) + rng.choice(["a_", "é", "x.2015_"]) + str(number)
            if rng.random() < 0.8:
                on_disk[stem] = picture(folder / (stem + rng.choice(disk_endings)), number)
            captions = captions_of[stem] = [f"{stem} {k}" for k in range(rng.choice([0, 1, 2, 5, 7]))]
            name = stem + rng.choice(listed_endings)
            cut = rng.randint(0, len(captions))
            entries += [{"filename": name, "captions": part} for part in (captions[:cut], captions[cut:])]
        order = list(range(len(entries)))
        rng.shuffle(order)
        path = jsonl(folder / "captions.jsonl", [entries[index] for index in order])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = load_dataset(path)
        assert {item.path for item in dataset} == set(on_disk.values())
        assert len(dataset) + len(dataset.missing) == 40
        for item in dataset:
            (stem,) = (stem for stem, path in on_disk.items() if path == item.path)
            assert sorted(item.captions) == sorted(captions_of[stem])


def test_two_names_never_share_a_file(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg")
    picture(tmp_path / "c.png")
    picture(tmp_path / "c.webp")
    names = ("a.jpg", "a.png", "b.tif", "b.bmp", "c.jpg", "c.png")
    entries = [{"filename": name, "captions": [name]} for name in names]
    with pytest.warns(UserWarning, match="3 of 6"):
        dataset = load_dataset(jsonl(tmp_path / "captions.jsonl", entries))
    assert [(item.name, *item.captions) for item in dataset] == [
        ("a.png", "a.png"),
        ("c.webp", "c.jpg"),
        ("c.png", "c.png"),
    ]
    picture(tmp_path / "north/1.jpg")
    entries = [{"filename": name, "captions": [name]} for name in ("North/1.jpg", "north/1.jpg")]
    with pytest.warns(UserWarning, match="1 of 2"):
        dataset = load_dataset(jsonl(tmp_path / "folders.jsonl", entries))
    assert [item.captions for item in dataset] == [("north/1.jpg",)]


def test_the_listed_ending_goes_before_another(tmp_path):
    for name in ("1.png", "1.JPG", "2.png", "2.jpg"):
        picture(tmp_path / name)
    path = jsonl(tmp_path / "c.jsonl", [{"filename": n, "captions": [n]} for n in ("1.jpg", "2.tif")])
    assert [item.name for item in load_dataset(path)] == ["1.JPG", "2.png"]


def test_unicode_names_match_however_accents_are_composed(tmp_path):
    composed = "aéroport_ž_机场.jpg"
    picture(tmp_path / unicodedata.normalize("NFD", composed))
    path = jsonl(tmp_path / "c.jsonl", [{"filename": composed, "captions": ["un aéroport"]}])
    assert load_dataset(path)[0].captions == ("un aéroport",)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 7])
def test_any_number_of_captions_is_kept(tmp_path, count):
    picture(tmp_path / "a.jpg")
    captions = [f" caption {k} . " for k in range(count)]
    path = karpathy(tmp_path / "own.json", [{"filename": "a.jpg", "captions": [*captions, "  "]}])
    dataset = load_dataset(path)
    assert dataset[0].captions == tuple(captions)  # verbatim; a blank one is none
    assert ("without captions 1: a.jpg" in dataset.summary()) == (count == 0)


def test_karpathy_json_of_ones_own(tmp_path):
    picture(tmp_path / "images/val2014/a.jpg")
    picture(tmp_path / "images/b.jpg")
    path = tmp_path / "own.json"
    images = [
        {"filepath": "val2014", "filename": "a.jpg", "split": "validation", "sentences": [{"tokens": ["a", "port"]}]},
        {"filename": "b.jpg", "split": "fold2", "category": "port", "sentences": [{"raw": "ships ."}]},
    ]
    path.write_text(json.dumps({"images": images}), encoding="utf-8")
    dataset = load_dataset(path)
    assert [item.captions for item in dataset] == [("a port",), ("ships .",)]
    assert dataset.splits == ("val", "fold2")
    assert [item.category for item in dataset] == [None, "port"]
    assert dataset[0].source == "own"


def test_csv_with_several_rows_a_picture(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(tmp_path / "imgs" / name)
    text = (
        "\ufeffFilename,caption,Split,category\r\n"
        'b.jpg,"two ships, and a pier",train,port\r\n'
        "a.jpg,a field,test,farmland\r\n"
        'b.jpg,"a ""port""",,\r\n'
        "c.jpg,,train,\r\n"
    )
    (tmp_path / "own.csv").write_bytes(text.encode())
    dataset = load_dataset(tmp_path / "own.csv")
    assert [(i.name, i.captions, i.split, i.category) for i in dataset] == [
        ("b.jpg", ("two ships, and a pier", 'a "port"'), "train", "port"),
        ("a.jpg", ("a field",), "test", "farmland"),
        ("c.jpg", (), "train", None),
    ]
    (tmp_path / "own.csv").write_text("filename;caption\na.jpg;trees, a road, a lake\n")
    assert load_dataset(tmp_path / "own.csv")[0].captions == ("trees, a road, a lake",)


def test_data_dir_names_the_image_folder(tmp_path):
    picture(tmp_path / "elsewhere/a.jpg")
    (tmp_path / "lists").mkdir()
    path = jsonl(tmp_path / "lists/c.jsonl", [{"filename": "a.jpg", "captions": ["a field"]}])
    assert load_dataset(path, data_dir=tmp_path / "elsewhere")[0].path == tmp_path / "elsewhere/a.jpg"
    with pytest.raises(DatasetError, match=r"none of the 1 listed images, 'a\.jpg' the first"):
        load_dataset(path)


def test_a_folder_for_each_category(tmp_path):
    for name in ("port/2.jpg", "port/1.PNG", "forest/deep/3.tif", ".hidden/4.jpg", "port/.5.jpg", "port/notes.txt"):
        picture(tmp_path / name) if not name.endswith("txt") else (tmp_path / name).write_text("")
    dataset = load_dataset(tmp_path)
    found = [(item.path.relative_to(tmp_path).as_posix(), item.category, item.split) for item in dataset]
    assert found == [("forest/deep/3.tif", "forest", None), ("port/1.PNG", "port", None), ("port/2.jpg", "port", None)]
    assert all(item.captions == () for item in dataset)


def test_images_of_a_folder_that_are_not_looked_for_are_named(tmp_path):
    (tmp_path / "port").mkdir()
    (tmp_path / "port" / "2.heic").write_bytes(b"some bytes")
    with pytest.raises(DatasetError, match=r"no images are in this folder .*; 1 image in a format that is not read is"):
        load_dataset(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "port" / "1.png")
    with pytest.warns(UserWarning, match=r"1 image in a format that is not read is left out: port/2\.heic; save as"):
        assert len(load_dataset(tmp_path)) == 1


def test_split_folders_above_the_categories(tmp_path):
    for name in ("train/port/1.jpg", "Validation/port/1.jpg", "test/forest/1.jpg"):
        picture(tmp_path / name)
    dataset = load_dataset(tmp_path)
    assert dataset.splits == ("train", "val", "test") and dataset.categories == ("forest", "port")
    assert [(i.split, i.category) for i in dataset.split("valid")] == [("val", "port")]
    picture(tmp_path / "raw/9.jpg")
    with pytest.raises(DatasetError, match="stands beside raw"):
        load_dataset(tmp_path)


BROKEN = {
    "cut.json": ('{"images": [\n{"filename": "a.jpg"', r"cut\.json, line 2: .*not valid JSON"),
    "form.json": ("[1]", r"form\.json: expected Karpathy's form"),
    "entry.json": ('{"images": [{"filename": "a.jpg"}]}', r"entry 1 of 'images': 'captions'"),
    "nameless.json": ('{"images": [{"filename": "", "sentences": []}]}', r"entry 1 .*name of an image"),
    "number.json": ('{"images": [{"filename": 7, "sentences": []}]}', r"'filename' must be text, found 7"),
    "empty.json": ('{"images": []}', r"no images are listed"),
    "cut.jsonl": ('{"filename": "a.jpg", "captions": []}\n\n{"filename"\n', r"cut\.jsonl, line 3: .*not valid"),
    "list.jsonl": ("[]\n", r"line 1: expected an object"),
    "caption.jsonl": ('{"filename": "a.jpg", "captions": [3]}', r"line 1: a caption must be text, found 3"),
    "split.jsonl": (
        '{"filename": "a.jpg", "captions": [], "split": "train"}\n'
        '{"filename": "./a.jpg", "captions": [], "split": "test"}',
        r"a\.jpg is listed twice, with split 'train' and 'test'",
    ),
    "header.csv": ("file,caption\na.jpg,x\n", r"line 1: the header lacks filename; it has file, caption"),
    "twice.csv": ("filename,caption,Caption\na.jpg,x,y\n", r"line 1: the header names caption twice; give .*row"),
    "row.csv": ("filename,caption\na.jpg,trees\na.jpg,trees, a lake\n", r"line 3: .*more or fewer columns"),
    "quote.csv": ('filename,caption\na.jpg,"x" y\n', r"line 2: this is not valid CSV"),
    "up.csv": ("filename,caption\n../a.jpg,x\n", r"line 2: '\.\./a\.jpg' leads out of the image folder"),
    "in.csv": ("filename,caption\nb/../../a.jpg,x\n", r"leads out of the image folder"),
    "root.csv": ("filename,caption\n/etc/a.jpg,x\n", r"leads out of the image folder"),
    "drive.csv": ("filename,caption\nC:\\a.jpg,x\n", r"leads out of the image folder"),
    "windows.csv": ("filename,caption\n..\\a.jpg,x\n", r"leads out of the image folder"),
    "captions.txt": ("a.jpg x\n", r"must be a \.json, \.jsonl or \.csv"),
}


@pytest.mark.parametrize("file", BROKEN)
def test_what_is_broken_is_said_in_a_sentence(tmp_path, file):
    text, message = BROKEN[file]
    picture(tmp_path / "a.jpg")
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path / file)


def test_what_is_not_there_is_said_in_a_sentence(tmp_path):
    with pytest.raises(DatasetError, match=r"no data set 'rsdic': give one of rsicd, ucm, sydney, miniature"):
        load_dataset("rsdic")
    with pytest.raises(DatasetError, match="no images are in this folder"):
        load_dataset(tmp_path)
    (tmp_path / "latin.csv").write_bytes("filename,caption\na.jpg,caf\xe9\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="not UTF-8"):
        load_dataset(tmp_path / "latin.csv")
    with pytest.raises(DatasetError, match="class_lists goes with 'rsicd' alone"):
        load_dataset("ucm", class_lists=True)


def test_class_lists_that_contradict_each_other_are_refused(tmp_path):
    picture(tmp_path / "RSICD_images/00001.jpg")
    karpathy(tmp_path / "dataset_rsicd.json", [{"filename": "00001.jpg", "split": "train"}])
    with pytest.raises(DatasetError, match="put RSICD's txtclasses_rsicd there"):
        load_dataset("rsicd", tmp_path, class_lists=True)
    (tmp_path / "txtclasses_rsicd").mkdir()
    for name in ("airport", "bare land"):
        (tmp_path / f"txtclasses_rsicd/{name}.txt").write_text("00001.jpg\n\n")
    with pytest.raises(DatasetError, match=r"bare land\.txt: 00001\.jpg stands in the list of airport as well"):
        load_dataset("rsicd", tmp_path, class_lists=True)


# --- what a data set can do -------------------------------------------------------------------------------


def test_length_indexing_slices_and_iteration():
    dataset = made_up(10, splits=("train", "val"))
    assert len(dataset) == 10 and dataset[-1] == dataset[9] == list(dataset)[9]
    part = dataset[2:8:2]
    assert isinstance(part, CaptionDataset) and list(part) == [dataset[2], dataset[4], dataset[6]]
    assert len(part.split("val")) == 0  # known, and empty here
    assert dataset[3].name == "3.jpg" and dataset[3] in dataset
    with pytest.raises(IndexError):
        dataset[10]


def test_an_unknown_split_lists_those_there_are():
    with pytest.raises(DatasetError, match=r"x has no split 'dev2'; it has train, test"):
        made_up(4, splits=("test", "train")).split("dev2")
    with pytest.raises(DatasetError, match=r"x has no splits.*with_random_splits"):
        made_up(4).split("train")


@pytest.mark.parametrize("n", [0, 1, 17, 60, 119])
def test_a_subset_takes_its_share_of_every_category_in_the_old_order(n):
    categories = ("a",) * 6 + ("b",) * 3 + (None,)
    dataset = made_up(120, splits=("train", "val", "test", "train"), categories=categories)
    subset = dataset.subset(n, seed=3)
    positions = [int(item.path.stem) for item in subset]
    assert len(subset) == n and positions == sorted(set(positions))
    for category, share in (("a", 0.6), ("b", 0.3), (None, 0.1)):
        count = sum(item.category == category for item in subset)
        assert abs(count - share * n) < 1
    assert list(subset) == list(dataset.subset(n, seed=3))


def test_a_subset_depends_on_its_seed_and_has_limits():
    dataset = made_up(300, categories=tuple("abcdefghij"))
    draws = {tuple(item.path for item in dataset.subset(30, seed)) for seed in range(5)}
    assert len(draws) == 5
    assert Counter(item.category for item in dataset.subset(30)) == dict.fromkeys("abcdefghij", 3)
    assert list(dataset.subset(1000)) == list(dataset)
    assert len(made_up(0).subset(0)) == 0
    with pytest.raises(DatasetError, match="subset of -1"):
        dataset.subset(-1)
    # Every picture has the same chance.
    times = Counter(item.path for seed in range(400) for item in dataset[:10].subset(5, seed))
    assert len(times) == 10 and min(times.values()) > 140


def test_random_splits_divide_every_category():
    dataset = made_up(200, splits=("old",), categories=tuple("abcd")).with_random_splits(seed=1)
    assert dataset.splits == ("train", "val", "test")
    assert [len(dataset.split(name)) for name in dataset.splits] == [160, 20, 20]
    assert [item.path for item in dataset] == [item.path for item in made_up(200)]
    for name, share in (("train", 40), ("val", 5), ("test", 5)):
        counts = Counter(item.category for item in dataset.split(name))
        assert all(abs(counts[category] - share) <= 1 for category in "abcd")
    again = made_up(200, splits=("old",), categories=tuple("abcd")).with_random_splits(seed=1)
    assert list(again) == list(dataset)
    halves = made_up(9).with_random_splits({"train": 0.5, "valid": 0.5, "test": 0})
    assert sorted(len(halves.split(name)) for name in halves.splits) == [0, 4, 5]
    for fractions in ({}, {"train": 0.5}, {"train": 1.5, "test": -0.5}):
        with pytest.raises(DatasetError, match="sum to 1"):
            dataset.with_random_splits(fractions)


def test_concatenation_keeps_equal_file_names_apart(tmp_path):
    sets = []
    for number, source in enumerate(("one", "two")):
        picture(tmp_path / source / "a.jpg", 50 * number)
        entry = {"filename": "a.jpg", "split": ("train", "test")[number], "captions": [source]}
        listed = [entry, {"filename": "gone.jpg", "split": "train", "captions": []}]
        with pytest.warns(UserWarning, match=r"1 of 2 .*gone\.jpg"):
            sets.append(load_dataset(karpathy(tmp_path / source / f"{source}.json", listed)))
    both = sets[0] + sets[1]
    assert [(item.source, item.captions) for item in both] == [("one", ("one",)), ("two", ("two",))]
    assert (made_up(1, splits=("val",))[:0] + made_up(1)).splits == ("val",)  # known, although empty
    assert len({item.path for item in both}) == 2 and both.splits == ("train", "test")
    assert len(both.missing) == 2 and both.name == "one + two"


def test_the_summary_counts():
    items = [
        CaptionedImage(Path("1.jpg"), ("same", "same"), "train", "port", "own"),
        CaptionedImage(Path("2.jpg"), (), "test", None, "own"),
        CaptionedImage(Path("3.jpg"), ("same", "other", "third"), None, "pond", "own"),
    ]
    lines = repr(CaptionDataset(items, "own", missing=[CaptionedImage(Path("4.jpg"), (), "test", None, "own")]))
    assert [" ".join(line.split()) for line in lines.splitlines()] == [
        "own",
        "split images captions unique per image categories missing",
        "train 1 2 1 2 1 0",
        "test 1 0 0 0 0 1",
        "no split 1 3 3 3 1 0",
        "all 3 5 3 0 to 3 2 1",
        "without captions 1: 2.jpg",
        "without a category 1",
        "listed but not on the disk 1: 4.jpg",
    ]
    assert "all 0" in " ".join(repr(CaptionDataset([])).split())


# --- broken and unusual pictures --------------------------------------------------------------------------


def test_verify_accepts_every_kind_of_picture_and_names_the_broken(tmp_path):
    for number, (name, mode) in enumerate(
        [("gray.png", "L"), ("palette.gif", "P"), ("alpha.png", "RGBA"), ("cmyk.jpg", "CMYK"), ("deep.png", "I;16")]
    ):
        if mode == "I;16":
            Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / name)
        else:
            picture(tmp_path / name, 40 * number, mode)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "turned.jpg", exif=turned)
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    (tmp_path / "truncated.jpg").write_bytes(buffer.getvalue()[:-500])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_bytes(b"<html>not found</html>")
    report = load_dataset(tmp_path).verify()
    assert report.image_count == 9 and not report.ok
    assert {path.name for path, _ in report.unreadable} == {"truncated.jpg", "empty.jpg", "page.jpg"}
    assert "page.jpg (not an image)" in str(report)
    assert "truncated" in {path.name: reason for path, reason in report.unreadable}["truncated.jpg"]


def test_verify_tells_a_test_picture_that_stands_in_train(tmp_path):
    for name in ("train/port/1.jpg", "train/port/2.jpg", "test/port/3.jpg"):
        picture(tmp_path / name, 7)
    picture(tmp_path / "test/port/4.jpg", 200)
    dataset = load_dataset(tmp_path)
    report = dataset.verify()
    assert [{path.name for path in group} for group in report.equal_content] == [{"1.jpg", "2.jpg", "3.jpg"}]
    assert report.equal_across_splits == report.equal_content and not report.ok
    assert dataset.split("train").verify().equal_across_splits == ()
    (tmp_path / "test/port/4.jpg").unlink()
    assert [path.name for path, _ in dataset.verify().unreadable] == ["4.jpg"]


def test_importing_the_data_sets_loads_nothing_heavy(root):
    code = (
        "import sys, utils.datasets; "
        "print([m for m in ('jax', 'torch', 'nmslib', 'pyarrow', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- categories held out ----------------------------------------------------------------------------------


def test_categories_are_held_out():
    data = made_up(12, splits=("train", "test"), categories=("pond", "port", None))
    others = data.without_categories(["port"])
    assert list(others) == [item for item in data if item.category != "port"] and len(others) == 8
    assert others.splits == ("train", "test")
    assert list(data.without_categories([])) == list(data)


def test_unknown_categories_are_named():
    data = made_up(4, categories=("pond", "port"))
    with pytest.raises(DatasetError, match="x has no images of desert, river; it has pond, port"):
        data.without_categories(["river", "pond", "desert"])
    with pytest.raises(DatasetError, match=r"not one text: write \['pond'\]"):
        data.without_categories("pond")
