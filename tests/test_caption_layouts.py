"""Captions files as others publish and save them: read right, or refused in a sentence that says what to do."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.datasets import DatasetError, load_dataset


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two pictures in folders per class, one of them beside these as well."""
    for name in ("port/port_0.png", "field/field_0.png", "0.png"):
        draw(tmp_path / "images" / name)
    return tmp_path


NWPU = {
    "port": [{"filename": "port_0.png", "imgid": 3, "split": "train", "raw": "ships", "raw_1": "a pier"}],
    "field": [{"filename": "field_0.png", "imgid": 4, "split": "val", "raw": "a field", "raw_1": "green"}],
}
COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 8, "file_name": "port_0.png"}],
    "annotations": [{"image_id": 7, "caption": "a road"}, {"image_id": 7, "caption": "a tree"}],
}


def test_nwpu_captions_have_their_classes_and_all_captions(folder):
    (folder / "dataset_nwpu.json").write_text(json.dumps(NWPU))
    dataset = load_dataset(folder / "dataset_nwpu.json")
    assert [(item.name, item.captions, item.split, item.category) for item in dataset] == [
        ("port_0.png", ("ships", "a pier"), "train", "port"),
        ("field_0.png", ("a field", "green"), "val", "field"),
    ]


def test_coco_joins_captions_with_images_by_number(folder):
    draw(folder / "images/port_0.png")
    path = folder / "captions_train.json"
    path.write_text(json.dumps(COCO))
    assert [item.captions for item in load_dataset(path)] == [("a road", "a tree"), ()]
    path.write_text(json.dumps({**COCO, "annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}))
    with pytest.raises(DatasetError, match="COCO's annotations in this file hold no captions"):
        load_dataset(path)
    path.write_text(json.dumps({**COCO, "annotations": [{"image_id": 9, "caption": "lost"}]}))
    with pytest.raises(DatasetError, match="a caption is of image 9, which is not among"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.json", '{"image_path": "0.png", "captions": ["a road", "a tree"]}\n'),  # JSON lines, run_clip's
        ("list.json", '[{"filename": "0.png", "captions": ["a road", "a tree"]}]'),
        ("metadata.jsonl", '{"file_name": "0.png", "text": "a road"}\n{"file_name": "0.png", "text": "a tree"}\n'),
        ("open_clip.tsv", "filepath\ttitle\n0.png\ta road\n0.png\ta tree\n"),
        ("metadata.csv", "file_name,text\n0.png,a road\n0.png,a tree\n"),
        ("numbered.csv", "filename,caption_1,caption_2,caption_3\n0.png,a road,a tree,\n"),
        ("first.csv", "filename,Caption,Caption 2\n0.png,a road,a tree\n"),
        ("numbered.jsonl", '{"filename": "0.png", "text": "a road", "text2": "a tree", "text3": null}'),
        ("nwpu.csv", "filename,raw,raw_1\n0.png,a road,a tree\n"),
        (
            "tokens.json",
            '{"images": [{"filename": "0.png", "sentences": [{"raw": null, "tokens": ["a", "road"]}, "a tree"]}]}',
        ),
        ("sep.csv", "sep=;\r\nfilename;caption;split\r\n0.png;a road;\r\n0.png;a tree;\r\n;;\r\n"),
        ("blank.csv", "\r\n\r\nfilename,caption\r\n0.png,a road\r\n\r\n0.png,a tree\r\n"),
        ("unicode.csv", "\ufefffilename\tcaption\r\n0.png\ta road\r\n0.png\ta tree\r\n"),
    ],
)
def test_other_words_for_the_same_are_understood(folder, name, text):
    encoding = "utf-16-le" if name == "unicode.csv" else "utf-8"
    (folder / name).write_bytes(text.encode(encoding))
    (item,) = load_dataset(folder / name)
    assert (item.name, item.captions) == ("0.png", ("a road", "a tree"))


def test_a_plain_name_that_two_class_folders_have_is_found_in_neither(folder):
    draw(folder / "images/field/port_0.png")
    lines = ['{"filename": "port_0.png", "caption": "ships"}', '{"filename": "field_0.png", "caption": "a field"}']
    (folder / "own.jsonl").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match=r"1 of 2 listed images are not on the disk.*port_0\.png"):
        (item,) = load_dataset(folder / "own.jsonl")
    assert item.captions == ("a field",)


def test_lines_are_counted_from_the_top_of_the_file(folder):
    (folder / "own.csv").write_text("sep=,\n\nfilename,caption\n0.png,a,b\n")
    with pytest.raises(DatasetError, match="line 4: the row has more"):
        load_dataset(folder / "own.csv")
    (folder / "own.csv").write_text("sep=,\nfile,caption\n0.png,a\n")
    with pytest.raises(DatasetError, match="line 2: the header lacks filename; it has file, caption: give"):
        load_dataset(folder / "own.csv")


def test_a_spreadsheet_is_refused_with_the_way_out(folder):
    (folder / "own.xlsx").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"save the sheet as CSV \(UTF-8\)"):
        load_dataset(folder / "own.xlsx")


def test_a_folder_that_holds_captions_is_read_by_them_and_one_of_class_names_by_its_folders(folder):
    (folder / "classes.csv").write_text("Filename,Label,ClassName\nport/port_0.png,0,port\n")
    (folder / "label_map.json").write_text('{"port": 0}')
    (folder / "labels.json").write_text('[{"filename": "port/port_0.png", "category": 3}]')
    assert [item.category for item in load_dataset(folder)] == [None, "field", "port"]
    (folder / "a.csv").write_text("filename,caption\n0.png,x\n")
    with pytest.warns(UserWarning, match="2 images of the folder are in no list of captions and are left out"):
        (item,) = load_dataset(folder)
    assert (item.name, item.captions) == ("0.png", ("x",))
    (folder / "a.csv").unlink()
    for name, text, message in (
        ("b.jsonl", '{"filename": "0.png", "captions": [broken', r"b\.jsonl, line 1: this is not valid JSON"),
        ("c.json", json.dumps({**COCO, "annotations": [{"image_id": 9, "caption": "lost"}]}), r"c\.json: .* image 9"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(DatasetError, match=message):
            load_dataset(folder)
        (folder / name).unlink()


def test_images_in_no_split_that_is_used_are_counted_and_named(folder):
    rows = ["filename,caption,split", "0.png,a,restval", "port/port_0.png,b,fold2", "field/field_0.png,c,"]
    (folder / "own.csv").write_text("\n".join(rows))
    with pytest.warns(UserWarning, match="own: 2 of 3 images are in none of .*: 1 in 'fold2', 1 without a split"):
        dataset = load_dataset(folder / "own.csv")
    assert [item.split for item in dataset] == ["train", "fold2", None]  # COCO's protocols train on restval
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_dataset(folder / "own.csv", split="train")
        (folder / "own.csv").write_text("filename,caption\n0.png,a\n")
        load_dataset(folder / "own.csv")  # no splits at all: nobody expects one


@pytest.mark.parametrize("nothing", ["nan", "None", "NULL", "N/A", "-", " ", "#REF!"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_placeholder_is_no_split_and_no_category(folder, nothing, ending):
    text = f"filename,caption,split,category\n0.png,a road,{nothing},{nothing}\n"
    if ending == "jsonl":
        text = json.dumps({"filename": "0.png", "caption": "a road", "split": nothing, "category": nothing})
    (folder / f"captions.{ending}").write_text(text)
    (image,) = load_dataset(folder / f"captions.{ending}")
    assert (image.captions, image.split, image.category) == (("a road",), None, None)


def test_what_pandas_writes_for_nothing_is_nothing(folder):
    line = '{"filename": "0.png", "captions": NaN, "split": NaN, "category": null, "source": NaN}'
    (folder / "captions.jsonl").write_text(line)
    (image,) = load_dataset(folder / "captions.jsonl")
    assert (image.captions, image.split, image.category, image.source) == ((), None, None, "captions")
    (folder / "captions.jsonl").write_text(
        '{"filename": NaN, "file_name": "0.png", "filepath": NaN, "captions": []}\n'
        '{"filename": "port/port_0.png", "filepath": NaN, "captions": []}'
    )
    assert [image.name for image in load_dataset(folder / "captions.jsonl")] == ["0.png", "port_0.png"]
    (folder / "captions.jsonl").write_text('{"filename": NaN, "captions": ["a road"]}')
    with pytest.raises(DatasetError, match=r"line 1: the name of an image \('filename'\) is missing"):
        load_dataset(folder / "captions.jsonl")


@pytest.mark.parametrize("column", ["set", "Subset", "partition", "phase"])
def test_usual_splits_in_a_column_of_another_name_are_splits(folder, column):
    (folder / "captions.csv").write_text(f"filename,caption,{column}\n0.png,a road,Validation\n")
    assert [image.split for image in load_dataset(folder / "captions.csv")] == ["val"]
    (folder / "captions.csv").write_text(f"filename,caption,{column}\n0.png,a road,A\n")
    assert load_dataset(folder / "captions.csv").splits == ()
