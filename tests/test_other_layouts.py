"""Data sets as others store them, images and captions together: read as they are, and nothing left out in silence."""

import errno
import io
import json
import os
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from utils.datasets import DatasetError, ImagePreprocessing, eval_batches, load_dataset, unpacking
from utils.datasets.captions import splits_in_names
from utils.datasets.tables import _free_name
from utils.files import expanded

NAMES = ("port_0", "port_1", "field_0", "field_1")
CAPTIONS = {name: (f"a {name}", f"{name} from above") for name in NAMES}


@pytest.fixture(autouse=True)
def unpacked(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    monkeypatch.setattr(unpacking, "UNPACKED_FOLDER", folder)
    return folder


def pixels(name: str) -> np.ndarray:
    return np.random.default_rng(NAMES.index(name)).integers(0, 256, (8, 8, 3), np.uint8)


def png(name: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(name)).save(stream, "PNG")
    return stream.getvalue()


def draw(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        (folder / f"{name}.png").write_bytes(png(name))
    return folder


def check(dataset, captions=CAPTIONS) -> None:
    """Every image has its own pixels and its own captions."""
    assert sorted(item.path.stem for item in dataset) == sorted(captions)
    for index, item in enumerate(dataset):
        assert item.captions == captions[item.path.stem]
        np.testing.assert_array_equal(np.asarray(dataset.open(index)), pixels(item.path.stem))


def said(path, *sentences, **how):
    """Loads with warnings that say all of this, and nothing else."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dataset = load_dataset(path, **how)
    texts = [str(one.message) for one in caught]
    assert len(texts) == len(sentences) and all(one in text for one, text in zip(sentences, texts, strict=True)), texts
    return dataset


def write_rows(path: Path, rows: list[dict]) -> None:
    """Metadata as a table, JSON lines or Parquet."""
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [",".join(rows[0]), *(",".join(json.dumps(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines))


# --- imagefolder ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("form", ["one text", "rows", "a list"])
def test_an_imagefolder_is_read_by_its_folder(tmp_path, ending, form):
    folder = draw(tmp_path / "photos")
    captions = {name: texts[:1] for name, texts in CAPTIONS.items()} if form == "one text" else CAPTIONS
    if form == "a list" and ending != "csv":
        rows = [{"file_name": f"{name}.png", "text": list(texts)} for name, texts in captions.items()]
    else:
        rows = [{"file_name": f"{name}.png", "text": text} for name, texts in captions.items() for text in texts]
    write_rows(folder / f"metadata.{ending}", rows)
    check(said(folder), captions)
    check(said(folder / f"metadata.{ending}"), captions)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("place", ["in each split", "in each split of data", "above them"])
def test_an_imagefolders_folders_are_its_splits(tmp_path, place, ending):
    splits = {"train": ("port_0", "field_0"), "validation": ("port_1",), "test": ("field_1",)}
    rows = {
        split: [{"file_name": f"{name}.png", "caption": text} for name in names for text in CAPTIONS[name]]
        for split, names in splits.items()
    }
    top = tmp_path / "data" if place == "in each split of data" else tmp_path  # as on the Hub
    for split, names in splits.items():
        draw(top / split, *names)
        if place != "above them":
            write_rows(top / split / f"metadata.{ending}", rows[split])
    if place == "above them":
        every = [{**row, "file_name": f"{split}/{row['file_name']}"} for split in splits for row in rows[split]]
        write_rows(tmp_path / f"metadata.{ending}", every)
    dataset = said(tmp_path)
    check(dataset)
    assert {item.path.stem: item.split for item in dataset} == {
        "port_0": "train", "field_0": "train", "port_1": "val", "field_1": "test"
    }  # fmt: skip


def test_an_imagefolder_as_datasets_reads_it(tmp_path):
    hub = pytest.importorskip("datasets")
    folder = draw(tmp_path / "photos" / "train", *NAMES[:3])
    draw(tmp_path / "photos" / "test", NAMES[3])
    for split, names in (("train", NAMES[:3]), ("test", NAMES[3:])):
        rows = [{"file_name": f"{name}.png", "text": list(CAPTIONS[name])} for name in names]
        write_rows(folder.parent / split / "metadata.jsonl", rows)
    theirs = hub.load_dataset("imagefolder", data_dir=str(folder.parent), cache_dir=str(tmp_path / "hub"))
    ours = said(folder.parent)
    check(ours)
    assert {split: len(part) for split, part in theirs.items()} == {
        split: len(ours.split(split)) for split in ("train", "test")
    }
    objects = said(theirs)  # the very rows, by the paths that they were read from
    check(objects)
    assert [item.split for item in objects] == ["train"] * 3 + ["test"]


def test_images_that_captions_do_not_list_are_counted_and_named(tmp_path):
    folder = draw(tmp_path)
    write_rows(folder / "metadata.csv", [{"file_name": "port_0.png", "text": "a port"}])
    (folder / "other.csv").write_text("filename,caption\nport_1.png,x\n")
    dataset = said(
        folder,
        "other.csv may hold captions too, and are not used",
        "3 images of the folder are in no list of captions and are left out: field_0.png, field_1.png, port_1.png",
    )
    assert len(dataset) == 1
    (folder / "metadata.csv").unlink()
    (folder / "more.csv").write_text("filename,caption\nport_1.png,x\n")
    with pytest.raises(DatasetError, match=r"in several files, more\.csv, other\.csv: give the path of the one"):
        load_dataset(folder)


@pytest.mark.parametrize("place", ["", "train"])
def test_metadata_without_a_column_of_captions_is_told(tmp_path, place):
    draw(tmp_path / place)
    write_rows(tmp_path / place / "metadata.jsonl", [{"file_name": f"{name}.png", "about": "x"} for name in NAMES])
    said(tmp_path, "metadata.jsonl: no column is called as names and captions of images are, file_name and text")


# --- texts beside images, and folders ------------------------------------------------------------------------------


def test_texts_beside_images_are_their_captions_a_line_each(tmp_path):
    for name in NAMES:
        draw(tmp_path / name.partition("_")[0], name)
        if name != "field_1":
            path = tmp_path / name.partition("_")[0] / f"{name}.txt"
            path.write_text("\n".join(CAPTIONS[name]) + "\n\n")
    (tmp_path / "port" / "notes.txt").write_text("taken in spring")
    dataset = said(
        tmp_path,
        "1 texts have no image beside them and are not used, the first is notes.txt",
        "1 of 4 images have no caption: field_1.png",
    )
    check(dataset, CAPTIONS | {"field_1": ()})
    assert dataset.categories == ("field", "port")


@pytest.mark.parametrize("ending", [".caption", ".json"])
def test_captions_beside_images_in_other_files_are_told(tmp_path, ending):
    for name in draw(tmp_path / "port").glob("*.png"):
        name.with_suffix(ending).write_text('{"caption": "a port"}')
    said(tmp_path / "port", f"4 {ending} beside images are not read: give captions in .txt, or one table")


def test_numbers_beside_images_are_no_captions(tmp_path):
    for number, name in enumerate(NAMES):
        draw(tmp_path / name.partition("_")[0], name)
        (tmp_path / name.partition("_")[0] / f"{name}.txt").write_text(f"{number} 0.5 0.5 0.25 0.125\n")
    check(said(tmp_path, "4 texts beside images hold numbers and no captions"), dict.fromkeys(NAMES, ()))


@pytest.mark.parametrize(
    ("folders", "categories", "sentences"),
    [
        ({"images": NAMES}, (), ["all 4 images lie in images, which says where, not what they are: none has"]),
        ({"train/images": NAMES[:2], "test/images": NAMES[2:]}, (), ["all 4 images lie in images"]),
        ({"port": NAMES}, ("port",), ["all 4 images are of one category, port, among which every model"]),
        ({"images/port": NAMES[:2], "images/field": NAMES[2:]}, ("field", "port"), []),
        ({"2750/SeaLake": NAMES[:2], "2750/River": NAMES[2:]}, ("River", "SeaLake"), []),
        ({"images/train/port": NAMES[:2], "images/test/field": NAMES[2:]}, ("field", "port"), []),
        ({"": NAMES}, (), []),
    ],
)
def test_a_lone_folder_is_a_place_and_no_category(tmp_path, folders, categories, sentences):
    for folder, names in folders.items():
        draw(tmp_path / folder, *names)
    dataset = said(tmp_path, *sentences)
    assert dataset.categories == categories and len(dataset) == 4
    assert dataset.splits == (("train", "test") if any("train" in folder for folder in folders) else ())


# --- names that resolve ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_dir", ["set", "set/pictures", "set/pictures/train2017", "set/pictures/train2017/port"])
@pytest.mark.parametrize("listed", ["{}.png", "train2017/{}.png", "/elsewhere/train2017/port/{}.png", "port/{}.png"])
def test_the_image_folder_may_be_given_at_any_height(tmp_path, data_dir, listed):
    draw(tmp_path / "set/pictures/train2017/port")
    if listed == "train2017/{}.png":
        draw(tmp_path / "set/pictures/train2017")
        (tmp_path / "set/pictures/train2017/port").rename(tmp_path / "set/port")
        data_dir = data_dir.removesuffix("/port")
    rows = [{"filepath": listed.format(name), "title": text} for name, texts in CAPTIONS.items() for text in texts]
    (tmp_path / "lists").mkdir()
    write_rows(tmp_path / "lists" / "own.csv", rows)
    check(said(tmp_path / "lists" / "own.csv", data_dir=tmp_path / data_dir))


def test_the_given_folder_goes_before_that_of_the_file_and_this_before_the_one_above(tmp_path):
    for place, name in ((".", "port_0"), ("train", "port_1"), ("elsewhere", "field_0")):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "0.png").write_bytes(png(name))
    write_rows(tmp_path / "train" / "metadata.csv", [{"file_name": "0.png", "text": "a"}])
    for path, data_dir, place in (
        (tmp_path, None, "train"),
        (tmp_path / "train/metadata.csv", None, "train"),
        (tmp_path / "train/metadata.csv", tmp_path / "elsewhere", "elsewhere"),
        (tmp_path, tmp_path / "elsewhere", "elsewhere"),
    ):
        with warnings.catch_warnings(action="ignore"):  # of the other images
            (item,) = load_dataset(path, data_dir)
        assert item.path == tmp_path / place / "0.png"


@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_open_clips_tables_hold_absolute_paths(tmp_path, delimiter):
    """As open_clip_train's CsvDataset opens them: `filepath` as it stands there, `title`, tabs by default."""
    folder = draw(tmp_path / "images")
    rows = [delimiter.join([str(folder / f"{name}.png"), text]) for name, texts in CAPTIONS.items() for text in texts]
    path = tmp_path / "train.csv"
    path.write_text("\n".join([delimiter.join(["filepath", "title"]), *rows]))
    check(said(path))
    (tmp_path / "lists").mkdir()
    path = path.rename(tmp_path / "lists" / "train.csv")
    with pytest.raises(DatasetError, match=r"leads out of the image folder; .*or say with data_dir"):
        load_dataset(path)
    check(said(path, data_dir=tmp_path))


def test_cocos_files_are_one_data_set_with_their_splits(tmp_path):
    for split, names in (("train2017", NAMES[:3]), ("val2017", NAMES[3:])):
        draw(tmp_path / split, *names)
        content = {
            "images": [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate(names)],
            "annotations": [
                {"id": 0, "image_id": n, "caption": text} for n, name in enumerate(names) for text in CAPTIONS[name]
            ],
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"captions_{split}.json").write_text(json.dumps(content))
        instances = {"images": content["images"], "annotations": [{"id": 0, "image_id": 0, "bbox": [0, 0, 1, 1]}]}
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(instances))
    dataset = said(tmp_path)
    check(dataset)
    assert [item.split for item in dataset] == ["train", "train", "train", "val"]
    check(said(tmp_path / "annotations" / "captions_val2017.json"), {"field_1": CAPTIONS["field_1"]})


@pytest.mark.parametrize("above", ["/somewhere/else", "images"])
def test_splits_are_the_first_folders_in_which_names_differ(tmp_path, above):
    rows = []
    for split, names in (("train", NAMES[:3]), ("test", NAMES[3:])):
        draw(tmp_path / "images" / split, *names)
        rows += [f"{above}/{split}/{name}.png\t{text}" for name in names for text in CAPTIONS[name]]
    (tmp_path / "pairs.csv").write_text("\n".join(["filepath\ttitle", *rows]))
    dataset = said(tmp_path / "pairs.csv", data_dir=tmp_path)
    check(dataset)
    assert [item.split for item in dataset] == ["train", "train", "train", "test"]


def test_json_that_is_nested_without_end_is_a_sentence(tmp_path):
    draw(tmp_path)
    (tmp_path / "captions.json").write_text("[" * 200_000)
    with pytest.raises(DatasetError, match="nested too deep"):
        load_dataset(tmp_path / "captions.json")
    with pytest.raises(DatasetError, match="nested too deep"):
        load_dataset(shard(tmp_path / "own.tar", {"0.png": png("port_0"), "0.json": b"[" * 200_000}))


# --- RSITMD, NWPU, Flickr30k -----------------------------------------------------------------------------------------


def karpathy(names=NAMES, **extra) -> dict:
    sentences = {name: [{"raw": text, "tokens": text.split()} for text in CAPTIONS[name]] for name in names}
    images = [{"filename": f"{name}.png", "split": "test", "sentences": sentences[name]} for name in names]
    return {"images": images, **extra}


@pytest.mark.parametrize("title", [{"dataset": "RSITMD"}, {}])
def test_the_labels_of_rsitmd_are_its_categories(tmp_path, title):
    draw(tmp_path / "images")
    (tmp_path / "dataset_RSITMD.json").write_text(json.dumps(karpathy(**title)))
    dataset = said(tmp_path)
    check(dataset)
    assert [item.category for item in dataset] == ["port", "port", "field", "field"]


def test_a_label_that_a_file_gives_is_a_category_and_a_number_is_none(tmp_path):
    draw(tmp_path)
    entries = karpathy()["images"]
    for entry, label in zip(entries, ("a port", "3", "field", None), strict=True):
        entry["label"] = label
    (tmp_path / "own.json").write_text(json.dumps({"images": entries}))
    assert [item.category for item in said(tmp_path)] == ["a port", None, "field", None]


@pytest.mark.parametrize("data_dir", [None, "NWPU", "NWPU/NWPU_images"])
def test_nwpu_captions_lie_in_a_folder_a_class(tmp_path, data_dir):
    rows: dict[str, list] = {"port": [], "field": []}
    for number, name in enumerate(NAMES):
        folder = name.partition("_")[0]
        draw(tmp_path / "NWPU/NWPU_images" / folder, name)
        one, other = CAPTIONS[name]
        numbers = {"imgid": number, "sentids": 2 * number, "sentids_1": 2 * number + 1}
        rows[folder] += [{"filename": f"{name}.png", "split": "train", "raw": one, "raw_1": other, **numbers}]
    path = tmp_path / "NWPU/dataset_nwpu.json"
    path.write_text(json.dumps(rows))
    dataset = said(path, data_dir=data_dir and tmp_path / data_dir)
    check(dataset)
    assert dataset.categories == ("field", "port")
    check(said(tmp_path / "NWPU"))


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("results_20130124.token", "", "{name}.png#{number}\t{text}"),
        ("captions.txt", "image,caption", "{name}.png,{text}"),
        ("results.csv", "image_name| comment_number| comment", "{name}.png| {number}| {text}"),
    ],
)
def test_flickr30ks_tables(tmp_path, name, header, row):
    draw(tmp_path / "flickr30k-images")
    lines = [
        row.format(name=image, number=n, text=text) for image, texts in CAPTIONS.items() for n, text in enumerate(texts)
    ]
    (tmp_path / name).write_text("\n".join([header] * bool(header) + lines) + "\n")
    check(said(tmp_path / name))
    check(said(tmp_path))


def test_flickr30ks_table_has_no_quotes_and_lacks_a_bar(tmp_path):
    draw(tmp_path, "port_0", "field_0")
    rows = ["image_name| comment_number| comment", 'port_0.png| 0| "Hi" says a port .', "port_0.png| 4   A port ."]
    (tmp_path / "results.csv").write_text("\n".join([*rows, "field_0.png| 0| A field ."]) + "\n")
    check(said(tmp_path), {"port_0": ('"Hi" says a port .', "A port ."), "field_0": ("A field .",)})


# --- shards ----------------------------------------------------------------------------------------------------------


def shard(path: Path, files: dict[str, bytes]) -> Path:
    """A tar file as webdataset's writer makes it."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def sample(name: str, key: str = "") -> dict[str, bytes]:
    known = {"caption": CAPTIONS[name][1], "split": None, "key": key}
    return {
        f"{key or name}.png": png(name),
        f"{key or name}.txt": CAPTIONS[name][0].encode(),
        f"{key or name}.json": json.dumps(known).encode(),
        f"{key or name}.cls": name.partition("_")[0].encode(),
    }


def test_shards_are_unpacked_once_and_read_by_many(tmp_path, unpacked, capsys):
    path = shard(tmp_path / "own.tar", {k: v for name in NAMES for k, v in sample(name).items()})
    dataset = said(path)
    check(dataset)
    assert dataset.categories == ("field", "port") and "written once" in capsys.readouterr().out
    files = {file: file.stat().st_mtime_ns for file in unpacked.rglob("*")}
    check(said(path))
    assert not capsys.readouterr().out and files == {file: file.stat().st_mtime_ns for file in unpacked.rglob("*")}
    batches = list(eval_batches(dataset, ImagePreprocessing(8), batch_size=2, workers=4))
    assert np.concatenate([batch["index"] for batch in batches]).tolist() == [0, 1, 2, 3]
    shard(path, sample("port_1"))  # another content under the same name
    check(said(path), {"port_1": CAPTIONS["port_1"]})
    assert len(list(unpacked.iterdir())) == 1


def test_repeated_captions_of_a_shard_stay_as_they_are(tmp_path):
    known = {"captions": ["a road", "a road", "a tree"]}
    files = {"0.png": png("port_0"), "0.json": json.dumps(known).encode(), "1.png": png("port_1")}
    files |= {"1.txt": b"a road\na road\n", "1.json": json.dumps(known).encode()}
    dataset = said(shard(tmp_path / "own.tar", files))
    assert [item.captions for item in dataset] == [("a road", "a road", "a tree")] * 2


def test_a_pattern_names_many_shards_and_their_samples_stay_apart(tmp_path):
    for number, name in enumerate(NAMES):
        shard(tmp_path / f"data-{number:03d}.tar", sample(name, "000"))
    with pytest.raises(DatasetError, match=r"1 of 5 shards are not there: .*data-004\.tar"):
        load_dataset(tmp_path / "data-{000..004}.tar")
    for source in (tmp_path / "data-{000..003}.tar", tmp_path):
        dataset = said(source)
        assert [item.captions for item in dataset] == list(CAPTIONS.values())
        for index, name in enumerate(NAMES):
            np.testing.assert_array_equal(np.asarray(dataset.open(index)), pixels(name))
    assert dataset.splits == ()
    for number, split in enumerate(("train", "train", "val", "test")):
        (tmp_path / f"data-{number:03d}.tar").rename(tmp_path / f"{split}-{number}.tar")
    assert [item.split for item in said(tmp_path / "{train-0,train-1,val-2,test-3}.tar")] == [
        "train", "train", "val", "test"
    ]  # fmt: skip


def test_the_folders_of_shards_are_splits_and_may_count_their_shards_alike(tmp_path):
    for split, names in (("train", NAMES[:2]), ("val", NAMES[2:3]), ("test", NAMES[3:])):
        (tmp_path / split).mkdir()
        for number, name in enumerate(names):
            shard(tmp_path / split / f"{number:05d}.tar", sample(name, "000"))
    dataset = said(tmp_path)
    found = {item.captions: (item.split, np.asarray(dataset.open(index))) for index, item in enumerate(dataset)}
    for name, split in zip(NAMES, ("train", "train", "val", "test"), strict=True):
        assert found[CAPTIONS[name]][0] == split
        np.testing.assert_array_equal(found[CAPTIONS[name]][1], pixels(name))


def test_classes_that_are_numbers_without_names_are_told(tmp_path):
    files = {"0.png": png("port_0"), "0.cls": b"3", "1.png": png("port_1"), "1.cls": b"port"}
    dataset = said(shard(tmp_path / "own.tar", files), "1 images have the number of a class and not its name")
    assert [item.category for item in dataset] == [None, "port"]
    rows = {"image": [png(name) for name in NAMES], "label": [0, 0, 1, 1]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "own.parquet")
    said(tmp_path / "own.parquet", "label holds numbers of classes and not their names, which are no categories")


def test_what_in_shards_is_not_used_is_counted(tmp_path):
    others = {"lost.txt": b"a road", "port_0.seg.png": b"", "port_0.npy": b"", "field_0.png": png("field_0")}
    check(
        said(
            shard(tmp_path / "own.tar", {**sample("port_0"), **others}),
            "1 samples of own.tar have a caption and no image, the first is lost",
            "neither an image nor a caption are not used: 1 .npy, 1 .seg.png",
            "1 of 2 images have no caption: field_0.png",
        ),
        {"port_0": CAPTIONS["port_0"], "field_0": ()},
    )


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "b/../../a.png", "link.png"])
def test_a_shard_that_leads_out_of_its_folder_is_refused_and_leaves_nothing(tmp_path, unpacked, name):
    path = shard(tmp_path / "own.tar", sample("port_0") | ({name: png("port_1")} if name != "link.png" else {}))
    if name == "link.png":
        with tarfile.open(path, "a") as tar:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(link)
    with pytest.raises(DatasetError, match="is a link or leads out of the folder; the shard is not used"):
        load_dataset(path)
    assert not list(unpacked.rglob("*.png")) and not (tmp_path / "a.png").exists()


def test_a_name_of_a_shard_that_no_file_can_have_is_one_sentence(tmp_path, unpacked):
    """As on Windows one with a question mark."""
    path = shard(tmp_path / "own.tar", sample("port_0"))
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo(f"{300 * 'a'}.png"))
    with pytest.raises(DatasetError, match="this system has no files of that name; give it another one"):
        load_dataset(path)
    assert not list(unpacked.rglob("*.png"))


def test_names_of_rows_become_names_that_every_system_has():
    taken = set()
    given = ["port/a.png", r"C:\port\A.png", "12:30?.png", "CON.png", "nul", "console.png", ".."]
    names = [_free_name(name, number, b"", taken) for number, name in enumerate(given)]
    assert names == ["a.png", "A-1-1.png", "12-30-.png", "0000003.png", "0000004.jpg", "console.png", "0000006.jpg"]


def test_a_shard_that_breaks_off_leaves_nothing(tmp_path, unpacked):
    path = shard(tmp_path / "own.tar", {k: v for name in NAMES for k, v in sample(name).items()})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetError, match=r"own\.tar: this is not a whole tar file .*fetch it again"):
        load_dataset(path)
    assert not list(unpacked.iterdir())


def test_a_shard_that_breaks_off_between_two_files_is_said_to(tmp_path):
    path = shard(tmp_path / "own.tar", {f"{name}.png": png(name) for name in NAMES})
    with tarfile.open(path) as tar:
        end = tar.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:end])
    assert len(said(path, "own.tar does not end as a tar file does: it may be cut off, 2 images in")) == 2


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, unpacked, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = shard(tmp_path / "own.tar", sample("port_0"))
    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"could not be written into .*the disk is full"):
        patch.setattr("shutil.copyfileobj", full)
        load_dataset(path)
    assert not list(unpacked.iterdir())
    check(said(path), {"port_0": CAPTIONS["port_0"]})


def test_a_pipe_is_no_shard(tmp_path):
    os.mkfifo(tmp_path / "own.tar")
    with pytest.raises(DatasetError, match="not a regular file"):
        load_dataset(tmp_path / "own.tar")


def test_shards_that_webdataset_wrote_and_reads(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(f"{tmp_path}/data-%03d.tar", maxcount=3, verbose=0) as writer:
        for name in NAMES:
            writer.write({"__key__": name, "png": pixels(name), "txt": CAPTIONS[name][0], "json": {"a": 1}})
    pattern = f"{tmp_path}/data-{{000..001}}.tar"
    theirs = webdataset.WebDataset(pattern, shardshuffle=False).decode("rgb8").to_tuple("__key__", "png", "txt")
    ours = said(pattern)
    rows = list(theirs)
    assert [key for key, _, _ in rows] == [item.path.stem for item in ours] == list(NAMES)
    for index, (_, image, text) in enumerate(rows):
        np.testing.assert_array_equal(np.asarray(ours.open(index)), image)
        assert ours[index].captions == (text,)


# --- tables with images ----------------------------------------------------------------------------------------------


def hub_table(names=NAMES, features=None, **columns) -> pyarrow.Table:
    """Rows as Hugging Face's `Dataset.to_parquet` writes them."""
    images = [{"bytes": png(name), "path": f"{name}.png"} for name in names]
    data = {"image": images, "caption": [list(CAPTIONS[name]) for name in names], **columns}
    table = pyarrow.table(data)
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features or {}}})})


def test_parquet_as_the_hub_has_it(tmp_path, unpacked):
    classes = {"label": {"names": ["field", "port"], "_type": "ClassLabel"}}
    (tmp_path / "data").mkdir()
    for split, names in (("train", NAMES[:3]), ("test", NAMES[3:])):
        table = hub_table(names, classes, label=[int(name.startswith("port")) for name in names])
        parquet.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    dataset = said(tmp_path)
    check(dataset)
    assert [item.name for item in dataset.split("test")] == ["field_1.png"] and len(dataset.split("train")) == 3
    assert all(item.category == item.name.partition("_")[0].removesuffix(".png") for item in dataset)
    path = tmp_path / "data" / "train-00000-of-00001.parquet"
    alone = said(path)
    check(alone, {name: CAPTIONS[name] for name in NAMES[:3]})
    assert alone.splits == ()  # what nobody divided is called train, too
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetError, match="this is not a whole Parquet file"):
        load_dataset(path)


def test_rows_that_repeat_an_image_add_to_its_captions(tmp_path):
    rows = [(name, text) for name in NAMES for text in CAPTIONS[name]]
    content = {"png": [png(name) for name, _ in rows], "text": [text for _, text in rows], "mask": [b"x"] * len(rows)}
    content = {name: [*values, None] for name, values in content.items()}
    parquet.write_table(pyarrow.table(content), tmp_path / "own.parquet")
    dataset = said(
        tmp_path / "own.parquet",
        "own.parquet: mask hold images too and are not used",
        "1 rows have no image",
        "4 rows repeat an image: their captions stand together",
    )
    assert [item.captions for item in dataset] == list(CAPTIONS.values())
    np.testing.assert_array_equal(np.asarray(dataset.open(3)), pixels("field_1"))


def test_parquet_of_categories_alone_and_of_paths(tmp_path):
    draw(tmp_path / "images")
    images = [{"bytes": png(name), "path": None} for name in NAMES]
    parquet.write_table(pyarrow.table({"image": images, "label": ["b", "a", "b", "a"]}), tmp_path / "labels.parquet")
    dataset = said(tmp_path / "labels.parquet")
    assert [(item.captions, item.category) for item in dataset] == [((), "b"), ((), "a"), ((), "b"), ((), "a")]
    paths = [f"{name}.png" for name in NAMES]
    captions = [list(CAPTIONS[name]) for name in NAMES]
    for name, column in (("image", [{"bytes": None, "path": path} for path in paths]), ("file_name", paths)):
        parquet.write_table(pyarrow.table({name: column, "captions": captions}), tmp_path / "paths.parquet")
        check(said(tmp_path / "paths.parquet"))
    parquet.write_table(pyarrow.table({"image": ["/etc/a.png"], "text": ["x"]}), tmp_path / "paths.parquet")
    with pytest.raises(DatasetError, match="leads out of the image folder"):
        load_dataset(tmp_path / "paths.parquet")
    for nothing in ([], [{"bytes": None, "path": None}]):
        column = pyarrow.array(nothing, pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}))
        texts = pyarrow.array(["x"] * len(nothing), pyarrow.string())
        parquet.write_table(pyarrow.table({"image": column, "text": texts}), tmp_path / "paths.parquet")
        with pytest.raises(DatasetError, match=r"paths\.parquet.*(no images are listed|name of an image)"):
            load_dataset(tmp_path / "paths.parquet")
    parquet.write_table(pyarrow.table({"picture": ["a.png"], "text": ["x"]}), tmp_path / "paths.parquet")
    with pytest.raises(DatasetError, match=r"no column holds images .*; its columns are picture, text"):
        load_dataset(tmp_path / "paths.parquet")


def test_a_table_of_others_reaches_no_file_of_this_machine(tmp_path, unpacked):
    secret = draw(tmp_path / "home", "port_1") / "port_1.png"
    images = [{"bytes": png("port_0"), "path": "../../" + "up" * 300 + ".png"}, {"bytes": None, "path": str(secret)}]
    parquet.write_table(pyarrow.table({"image": images, "text": ["a", "b"]}), tmp_path / "own.parquet")
    dataset = said(tmp_path / "own.parquet", "1 rows have no image")
    assert [item.path.name for item in dataset] == ["up" * 30 + ".png"]
    assert dataset[0].path.resolve().is_relative_to(unpacked.resolve())


def test_a_dataset_object_gives_the_images_and_captions_that_it_has(tmp_path, unpacked):
    hub = pytest.importorskip("datasets")
    features = hub.Features(
        image=hub.Image(), sentences=hub.List(hub.Value("string")), label=hub.ClassLabel(names=["field", "port"])
    )
    rows = {
        "image": [Image.fromarray(pixels(name)) for name in NAMES],
        "sentences": [list(CAPTIONS[name]) for name in NAMES],
        "label": [int(name.startswith("port")) for name in NAMES],
    }
    whole = hub.Dataset.from_dict(rows, features=features)
    chosen = whole.shuffle(seed=1).select(range(3))  # by indices, not by what lies on the disk
    ours = said(chosen)
    assert len(ours) == 3
    for index, row in enumerate(chosen):
        np.testing.assert_array_equal(np.asarray(ours.open(index)), np.asarray(row["image"]))
        assert ours[index].captions == tuple(row["sentences"])
        assert ours[index].category == features["label"].int2str(row["label"])
    divided = hub.DatasetDict(train=whole.select([0, 1]), validation=whole.select([2]), test=whole.select([3]))
    assert [item.split for item in said(divided)] == ["train", "train", "val", "test"]
    whole.to_parquet(str(tmp_path / "own.parquet"))
    written = said(tmp_path / "own.parquet")
    assert [(item.captions, item.category) for item in written] == [
        (CAPTIONS[name], name.partition("_")[0]) for name in NAMES
    ]
    draw(tmp_path / "lie")
    paths = {"image": [str(tmp_path / "lie" / f"{name}.png") for name in NAMES], "text": list(NAMES)}
    check(said(hub.Dataset.from_dict(paths).cast_column("image", hub.Image())), {name: (name,) for name in NAMES})
    whole.save_to_disk(str(tmp_path / "saved"))
    divided.save_to_disk(str(tmp_path / "divided"))
    assert [item.captions for item in said(tmp_path / "saved")] == list(CAPTIONS.values())
    assert sorted((item.split, item.captions[0]) for item in said(tmp_path / "divided")) == [
        ("test", "a field_1"), ("train", "a port_0"), ("train", "a port_1"), ("val", "a field_0")
    ]  # fmt: skip
    with pytest.raises(DatasetError, match=r"a IterableDataset is no data set: .*not with streaming=True"):
        load_dataset(whole.to_iterable_dataset())


def test_arrow_files_are_read_without_the_library_that_wrote_them(tmp_path):
    table = hub_table(features={"label": {"names": ["port", "field"]}}, label=[0, 0, 1, -1])
    for place in ("saved", "saved/train"):
        (tmp_path / place).mkdir()
    path = tmp_path / "saved/train/data-00000-of-00001.arrow"
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    (tmp_path / "saved/dataset_dict.json").write_text('{"splits": ["train"]}')
    features = {"image": {"_type": "Image"}, "caption": {"feature": {"dtype": "string"}, "_type": "List"}}
    (tmp_path / "saved/train/dataset_info.json").write_text(json.dumps({"features": features}, indent=2))
    dataset = said(tmp_path / "saved")
    check(dataset)
    assert [item.category for item in dataset] == ["port", "port", "field", None]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DatasetError, match="this is not a whole Arrow file"):
        load_dataset(tmp_path / "saved")


def test_names_speak_of_splits_where_they_differ_in_nothing_else():
    assert splits_in_names(["captions_train2017", "captions_val2017"]) == ["train", "val"]
    assert splits_in_names(["train-00000-of-00002", "train-00001-of-00002", "validation-0-of-1", "extra"]) == [
        "train", "train", "val", None
    ]  # fmt: skip
    for names in (["train"], ["train-0", "train-1"], ["train_station", "test_site"], ["train_test", "val"]):
        assert splits_in_names(names) == [None] * len(names)


def test_braces_stand_for_many_paths():
    assert expanded("d-{08..11}.tar") == ["d-08.tar", "d-09.tar", "d-10.tar", "d-11.tar"]
    assert expanded("{a,b}/{1..2}.tar") == ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]
    for alone in ("a.tar", "{a}.tar", "{3..1}.tar", "{1..999999999999}.tar"):
        assert expanded(alone) == [alone]


def test_what_is_no_data_set_is_refused():
    with pytest.raises(DatasetError, match="a list is no data set: give a name, a path"):
        load_dataset([1, 2])


# --- names of categories ---------------------------------------------------------------------------------------------


def test_categories_are_renamed_and_may_become_one(tmp_path):
    for folder, names in (("BareLand", NAMES[:1]), ("footballfield", NAMES[1:2]), ("playground", NAMES[2:])):
        draw(tmp_path / folder, *names)
    dataset = load_dataset(tmp_path, rename={"BareLand": "bareland", "footballfield": "playground"})
    assert [item.category for item in dataset] == ["bareland", "playground", "playground", "playground"]
    message = r"has no category Beach, port to rename; it has BareLand, footballfield, playground"
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path, rename={"port": "harbor", "BareLand": "bareland", "Beach": "beach"})
    with pytest.raises(DatasetError, match="a category cannot be called ''"):
        load_dataset(tmp_path, rename={"BareLand": ""})
    swapped = load_dataset(tmp_path, rename={"BareLand": "playground", "playground": "BareLand"})
    assert [item.category for item in swapped] == ["playground", "footballfield", "BareLand", "BareLand"]
