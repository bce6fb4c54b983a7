"""Progress bars: a line in a terminal; in a notebook plain HTML, which stays readable without the kernel."""

import io
import re

import nbformat
import pytest
from nbclient import NotebookClient
from tqdm import tqdm

from utils.progress import NotebookBar, progress_bar

CELL = """
from utils.progress import progress_bar
with progress_bar(total=20, desc="one & two", unit="step") as bar:
    for _ in range(7):
        bar.update()
        bar.set_postfix(loss="0.125")
list(progress_bar(iter("ab"), desc="unknown"))
list(progress_bar("ab", desc="hidden", disable=True))
print("done")
"""


def test_a_terminal_gets_the_line_of_tqdm():
    lines = io.StringIO()
    bar = progress_bar(range(3), desc="three", file=lines)
    assert type(bar) is tqdm and list(bar) == [0, 1, 2]
    assert re.search(r"three: 100%.*3/3", lines.getvalue())


@pytest.fixture(scope="module")
def outputs(root):
    """What a kernel hands to the notebook for the bars above."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(root)}}).execute()
    return notebook.cells[0].outputs


def test_a_notebook_keeps_the_last_state_of_each_bar_and_nothing_else(outputs):
    known, unknown, printed, *result = outputs
    assert "widget" not in str(outputs) and "stderr" not in str(outputs)
    assert {"value": "7", "max": "20"}.items() <= dict(re.findall(r'(\w+)="(\d+)"', known.data["text/html"])).items()
    assert "7/20" in known.data["text/html"] and "loss=0.125" in known.data["text/html"]
    assert "<progress" not in unknown.data["text/html"] and "2/?" in unknown.data["text/html"]
    assert printed.text == "done\n" and not result


def test_words_are_no_markup(outputs):
    assert "one &amp; two" in outputs[0].data["text/html"]
    assert 'aria-label="one &amp; two: ' in outputs[0].data["text/html"]
    assert "one & two: 35%" in outputs[0].data["text/plain"].replace("  ", " ")


def test_a_bar_that_never_moves_is_drawn_at_its_start(monkeypatch):
    bundles = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **_: bundles.append(bundle))
    NotebookBar(total=4, desc="waiting").close()
    assert 'value="0" max="4"' in bundles[0]["text/html"]
