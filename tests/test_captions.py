"""Captions as people's tables hold them: lists, placeholders, blanks, and texts that CLIP cannot read whole."""

import csv
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.clip import CLIP, count_cut, tokenize
from utils.datasets import CaptionDataset, CaptionedImage, DatasetError, load_dataset
from utils.datasets.captions import caption_texts, has_words


def table(path: Path, rows: list[list[str]]) -> Path:
    """Write a table and a small picture for every file that it names."""
    for name, *_ in rows[1:]:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path.parent / name)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def pictures(*captions: tuple[str, ...]) -> CaptionDataset:
    items = (CaptionedImage(Path(f"{n}.png"), texts, None, None, "own") for n, texts in enumerate(captions))
    return CaptionDataset(items, "own")


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ('["a field", "a road \\u00e9"]', ("a field", "a road é")),
        ("['a lake', \"the shore's end\"]", ("a lake", "the shore's end")),
        ("['a farm'\n 'a barn']", ("a farm", "a barn")),  # as NumPy prints arrays
        ("('a', nan, None)", ("a",)),
        ("[]", ()),
        ("[nan]", ()),
        (" a 'field' . ", (" a 'field' . ",)),
        ("[a field]", ("[a field]",)),
        ("('tis) said", ("('tis) said",)),
        ("NaN", ()),
        (" None ", ()),
        ("#NAME?", ()),  # Excel's, of a caption that begins with a dash or an equals sign
        ("none of the fields is green", ("none of the fields is green",)),
        (" . ", (" . ",)),  # RSICD's, counted as published
    ],
)
def test_a_cell_holds_no_caption_one_or_a_list_of_them(cell, texts):
    assert caption_texts(cell) == texts


def test_a_long_cell_that_is_no_list_after_all_is_read_in_one_pass():
    for cell in ("[" + " " * 100_000, "['a'" + " ,  " * 30_000, "[" + "'a' " * 30_000 + "x"):
        assert caption_texts(cell) == (cell,)


def test_lists_and_placeholders_in_a_table_become_captions_and_none(tmp_path):
    rows = [["filename", "caption"], ["0.png", "['a lake', 'still water']"], ["0.png", "a pond"]]
    dataset = load_dataset(table(tmp_path / "captions.csv", [*rows, ["1.png", "nan"]]))
    assert [item.captions for item in dataset] == [("a lake", "still water", "a pond"), ()]
    lines = ['{"filename": "0.png", "captions": [null, NaN, "a pond"]}', '{"filename": "1.png", "captions": []}']
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    assert [item.captions for item in load_dataset(tmp_path / "captions.jsonl")] == [("a pond",), ()]


def test_what_has_no_words_is_left_out_counted_and_named():
    assert [has_words(text) for text in ("a field", " .", "", "NULL", "7", "田")] == [True, *[False] * 3, True, True]
    dataset = pictures(("a field", " ."), (), (".",), ("a road",))
    with pytest.warns(UserWarning, match=re.escape("2 of 4 images have no caption and are left out: 1.png, 2.png")):
        kept = dataset.captioned()
    assert [(item.name, item.captions) for item in kept] == [("0.png", ("a field",)), ("3.png", ("a road",))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kept.captioned() is kept and len(pictures().captioned()) == 0
    with pytest.raises(DatasetError, match="own: none of its 2 images has a caption; give a"):
        pictures((), ("NaN",)).captioned()


def test_texts_that_the_model_cannot_read_whole_are_counted(root):
    tokenizer = CLIP.from_pretrained(root / "data/checkpoints/clip-miniature").tokenizer
    limit = tokenizer.model_max_length
    longest = "road " * (limit - 2)  # and two that begin and end every text
    texts = ["a road", longest, longest + "road", longest + "field"]
    assert count_cut(tokenizer, texts) == 2 and count_cut(tokenizer, []) == 0
    assert len({row.tobytes() for row in tokenize(tokenizer, texts)}) == 2
