"""Slides: every figure of a notebook, in its order, in one file that needs no network."""

import re

import nbformat
import pytest

from utils.course import CourseError, course_notebooks
from utils.course.slides import as_slides, figures, main


def test_every_figure_has_its_heading_and_its_words(root):
    path = course_notebooks(root)[4]
    shown = list(figures(nbformat.read(path, as_version=4)))
    page = as_slides(path)
    assert len(shown) >= 8 and page.count("<img") == len(shown) == page.count("<h2")
    assert all(heading and words for heading, words, _ in shown)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page) and "<script" not in page


def test_figures_stand_under_the_heading_above_them():
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n![a map](images/map.svg)"),
        nbformat.v4.new_markdown_cell("## 1. First"),
        nbformat.v4.new_code_cell(
            outputs=[
                nbformat.v4.new_output("display_data", {"image/png": "QUJD\n"}, metadata={"image/png": {"alt": "bars"}})
            ]
        ),
    ]
    shown = list(figures(nbformat.v4.new_notebook(cells=cells)))
    assert shown == [("", "a map", "images/map.svg"), ("1. First", "bars", "data:image/png;base64,QUJD")]


def test_a_notebook_without_figures_is_said_to_have_none(tmp_path):
    path = tmp_path / "00_empty.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Empty")]), path)
    with pytest.raises(CourseError, match="execute it first"):
        as_slides(path)


def test_the_command_says_what_it_wrote_and_what_is_missing(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main([str(tmp_path / "slides"), "--run", str(tmp_path)]) == 2
    assert "holds no executed notebook" in capsys.readouterr().err
    assert main([str(tmp_path / "slides")]) == 0
    assert len(list((tmp_path / "slides").glob("*.html"))) == len(course_notebooks(root))
