"""The notebooks on images without captions: each does what it can, or is left out with a sentence, and none fails."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image

from utils.course import LeftOut, course_notebooks

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    pytest.mark.filterwarnings("ignore"),  # as the notebooks show them
]

COURSE = {path.stem[:2]: path for path in course_notebooks(Path(__file__).parents[1])}
IMAGES = 120
LEFT_OUT = {
    "flat": {"01", "02", "03", "04", "05", "07", "08", "09", "10"},  # neither captions nor categories
    "by category": {"01", "02", "03", "04", "09", "10"},
}


@pytest.fixture(scope="module")
def collections(tmp_path_factory) -> Path:
    """Images of noise in one folder, and the same in four folders."""
    top = tmp_path_factory.mktemp("collections")
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3)).astype(np.uint8)
        for place in ("flat", f"by category/kind_{number % 4}"):
            (top / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(top / place / f"{number}.png")
    return top


def execute(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Executes a notebook's cells here, with some of its parameters replaced, and gives what they have defined."""
    names: dict[str, Any] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and "hide-input" not in tags:
            exec(cell.source, names)
            if "parameters" in tags:
                names |= {name: value for name, value in values.items() if name in names}
    return names


@pytest.mark.parametrize("number", sorted(COURSE.keys() - {"00"}))
@pytest.mark.parametrize("kind", LEFT_OUT)
def test_a_notebook_does_what_it_can_with_bare_images(kind, number, collections, folder, monkeypatch, root):
    monkeypatch.chdir(root)
    monkeypatch.setattr(plt, "show", lambda *_: None)
    values = {"DATASET": str(collections / kind), "MODEL": str(folder), "OUTPUT_DIR": str(collections / "runs" / kind)}
    if number in LEFT_OUT[kind]:
        with pytest.raises(LeftOut) as told:
            execute(COURSE[number], values)
        assert "\n" not in str(told.value) and str(told.value).endswith(".")
        return
    names = execute(COURSE[number], values)
    if number == "06":
        assert len(names["index"]) == IMAGES  # nothing was trained, so all are unseen
    assert not (collections / "runs" / kind / "finetuned").exists()
