"""Runs side by side: a table for people, and the same as CSV for pandas."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest

from utils.course.compare import as_markdown, main, read_run, table_of
from utils.evaluation import paired_bootstrap


@pytest.fixture
def runs(tmp_path):
    """Two runs: the second lacks a notebook and has a metric of its own; only the first has noted parameters."""
    first, second = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    for folder, metrics in (
        (first, {"04_train": {"loss": 1.23456}, "05_evaluate": {"top1": 0.5, "test_images": 300.0}}),
        (second, {"05_evaluate": {"top1": 0.75, "mean_recall": 0.1}}),
    ):
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics))
    noted = {
        "profile": "small",
        "parameters": {"04_train": {"EPOCHS": 3, "DATASET": "x"}, "08_on": {"EPOCHS": 9, "PROMPT": "a {}"}},
    }
    (first / "parameters.json").write_text(json.dumps(noted))
    return first, second


def test_columns_are_runs_and_rows_metrics_with_empty_cells_for_what_is_missing(runs):
    assert table_of(map(read_run, runs)) == [
        ["notebook", "metric", "a", "b", "b - a"],
        ["", "profile", "small", "", ""],
        ["", "DATASET", "x", "", ""],
        ["", "EPOCHS", "3", "", ""],
        ["", "PROMPT", "a {}", "", ""],
        ["04_train", "loss", "1.23456", "", ""],
        ["05_evaluate", "top1", "0.5", "0.75", "+0.25 (no interval: one figure a run)"],
        ["05_evaluate", "test_images", "300", "", ""],
        ["05_evaluate", "mean_recall", "", "0.1", ""],
    ]


def kept(folder: Path, ranks: list[int], images: str = "abcd", score: float | None = None) -> Path:
    """Leaves a run whose predictions have these ranks, and its metric."""
    zero_shot = {
        "images": list(images),
        "categories": ["port"] * len(images),
        "ranks": {"prompt": {"fine-tuned": ranks}},
    }
    (folder / "evaluation").mkdir(parents=True)
    (folder / "evaluation" / "predictions.json").write_text(json.dumps({"data": "x test", "zero_shot": zero_shot}))
    score = np.mean(np.array(ranks) < 1) if score is None else score
    (folder / "metrics.json").write_text(
        json.dumps({"provenance": {"versions": {"jax": "1"}}, "05_evaluate": {"finetuned_top1": score}})
    )
    return folder


def test_differences_have_an_interval_where_the_images_are_the_same(tmp_path):
    folders = [
        kept(tmp_path / "first", [0, 1, 1, 0]),
        kept(tmp_path / "same", [0, 0, 1, 1], images="dcba"),
        kept(tmp_path / "others", [0, 0, 0, 1], images="abce"),
        kept(tmp_path / "stale", [0, 0, 0, 1], score=0.5),
        kept(tmp_path / "none", [0, 0, 0, 1]),
    ]
    (folders[-1] / "evaluation" / "predictions.json").write_text("{}")
    header, row = table_of(map(read_run, folders))
    assert header[-4:] == ["same - first", "others - first", "stale - first", "none - first"]
    expected = paired_bootstrap([1, 0, 0, 1], [0, 0, 1, 1])  # as the first run orders them
    assert row[-4] == f"{expected:+.4f}"
    assert row[-3] == "+0.25 (no interval: other images)"
    assert row[-2] == "+0 (no interval: predictions of another run)"
    assert row[-1] == "+0.25 (no interval: predictions not kept)"


def test_markdown_rounds_and_keeps_a_bar_in_a_name_from_making_a_column():
    lines = as_markdown([["notebook", "metric", "a|b"], ["05", "top1", "0.123456"]]).splitlines()
    assert lines == ["| notebook | metric | a\\|b |", "| --- | --- | --- |", "| 05 | top1 | 0.1235 |"]


def test_the_command_writes_both_files_and_pandas_reads_the_sheet(runs, tmp_path, capsys):
    target = tmp_path / "new" / "table.md"
    assert main([*map(str, runs), "--to", str(target)]) == 0
    assert "| 05_evaluate | top1 | 0.5 | 0.75 | +0.25 (no" in capsys.readouterr().out
    assert "| 05_evaluate | top1 | 0.5 | 0.75 | +0.25 (no" in target.read_text()
    sheet = pandas.read_csv(target.with_suffix(".csv"), dtype=str).set_index(["notebook", "metric"])
    assert float(sheet.loc[("05_evaluate", "top1"), "b"]) == 0.75
    assert pandas.isna(sheet.loc[("04_train", "loss"), "b"])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "No such file"), ("{not json", "has no metrics.json that can be read"), ('{"04": 3}', "has no metrics")],
)
def test_a_folder_without_a_run_is_one_sentence(runs, tmp_path, capsys, content, sentence):
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    if content is not None:
        (wrong / "metrics.json").write_text(content)
    assert main([str(runs[0]), str(wrong), "--to", str(tmp_path / "t.md")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and str(wrong) in error and error.count("\n") == 1
    assert not (tmp_path / "t.md").exists()
