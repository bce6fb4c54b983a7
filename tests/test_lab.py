"""A notebook in JupyterLab, in a real browser: what a student sees after Run All Cells, and what the look finds."""

import os
import shutil

import nbformat
import pytest
from look_at_lab import BROWSERS, ROOT, copy_notebooks, look_at, open_browser, served_lab

# Each cell has one thing that nobody should see.
WRONG = {
    "cell-00 writes to stderr": "import warnings\nwarnings.warn('old')",
    "cell-01 shows noise": "print('FutureWarning: old')",
    "cell-02 prints a line that is broken off": "print(200 * 'x')",
    "cell-03 is wider than the page": (
        "from IPython.display import HTML\nHTML('<div style=\"width: 3000px\">wide</div>')"
    ),
    "cell-04 has a figure without an alternative text": (
        "from PIL import Image\nfrom IPython.display import display\ndisplay(Image.new('RGB', (8, 8)))"
    ),
    "cell-05 shows a widget as text": (
        "display({'application/vnd.jupyter.widget-view+json': {'model_id': '0', 'version_major': 2, "
        "'version_minor': 0}}, raw=True)"
    ),
    "cell-06 failed: ZeroDivisionError": "1 / 0",
    "cell-07 was not run": "print('never')",
}

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """Looks at a notebook of nbs/, or at one made here of cells."""
    if not any(map(shutil.which, BROWSERS)):
        reason = f"none of {', '.join(BROWSERS)} is installed"
        (pytest.fail if os.environ.get("REQUIRE_SHARED") == "1" else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("lab")
    copy_notebooks(ROOT / "nbs", folder)
    with served_lab(folder) as (address, server), open_browser() as browser:

        def look(name, cells=(), pictures=None):
            if cells:
                notebook = nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": KERNEL})
                for number, cell in enumerate(notebook.cells):
                    cell.id = f"cell-{number:02d}"
                nbformat.write(notebook, folder / "nbs" / name)
            return look_at(browser, address, server, name, pictures)

        yield look


def test_a_lesson_looks_as_it_should(look, tmp_path):
    sight = look("template.ipynb", pictures=tmp_path)
    assert not sight.complaints
    assert sight.seconds > 0 and sight.peak > 2**25
    assert len(list(tmp_path.glob("template-*.png"))) >= 2


def test_whatever_is_wrong_is_found(look):
    cells = [*map(nbformat.v4.new_code_cell, WRONG.values()), nbformat.v4.new_markdown_cell("$\\nonsense$")]
    complaints = [said for said in look("wrong.ipynb", cells).complaints if said.startswith("cell-")]
    expected = [*WRONG, "cell-08 shows a formula as raw text"]
    assert len(complaints) == len(expected)
    for words in expected:
        assert any(complaint.startswith(words) for complaint in complaints), words
