"""The house: which room imports which, and which modules make an executed notebook stale."""

import ast
import re
import subprocess
import sys

import nbformat
import pytest
from draw_imports import COMMANDS, DRAWING, draw, floors, room_imports

from utils.course.imports import PACKAGES, imported_modules, module_imports, modules, used_modules

MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)


@pytest.fixture(scope="module")
def rooms(root) -> dict[str, set[str]]:
    return room_imports(root)


def test_no_import_runs_back_up(rooms):
    built = floors(rooms)  # raises at a circle
    assert len(built) <= 8 and len(rooms) <= 18, "add a room only for a subject of its own"
    assert "utils.finder" in built[1 + next(n for n, floor in enumerate(built) if "utils.clip" in floor)]


def test_no_module_imports_in_a_circle(root):
    floors(inner_imports(root))  # raises at a circle, and names it


def inner_imports(root):
    """Imports of modules, without those that a package's own ``__init__`` hands on."""
    imports = module_imports(root)
    packages = {name for name in imports if any(other.startswith(f"{name}.") for other in imports)}
    return {name: imported - packages for name, imported in imports.items() if name not in packages}


def test_the_drawing_is_that_of_the_code(root, rooms):
    page = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (drawn,) = (found[0] for found in DRAWING.finditer(page))
    assert draw(rooms) in drawn, "make imports draws it"


def test_of_the_lessons_stand_ins_import_the_ground_alone(root, rooms):
    assert rooms["standins"] <= set(floors(rooms)[0])
    imported = {name for names in module_imports(root).values() for name in names}
    above = {name for name in imported if name.startswith(COMMANDS)}
    assert all(other.startswith(COMMANDS) for other, names in module_imports(root).items() if names & above)


def test_rooms_in_a_circle_are_refused():
    with pytest.raises(ValueError, match="cycle"):
        floors({"a": {"b"}, "b": {"a"}, "c": set()})


def test_an_arrow_that_others_imply_is_left_out():
    drawn = draw({"top": {"middle", "ground"}, "middle": {"ground"}, "ground": set()})
    assert "top --> middle" in drawn and "middle --> ground" in drawn and "top --> ground" not in drawn


def test_imports_in_functions_and_for_type_checkers_count():
    source = "if TYPE_CHECKING:\n    from a import B\ndef f():\n    import c.d\n    from e import g\n"
    assert imported_modules(source, ["a", "c.d", "e.g", "h"]) == {"a", "c.d", "e.g"}


def bound_names(path):
    """Every name that a module gives something to, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def sources_that_import(root):
    """Code that no ordinary test imports: of notebooks, and of what is run by hand."""
    for path in sorted((root / "nbs").rglob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield path, MAGIC.sub(r"\1pass", cell.source)
    for path in sorted((root / "tests").rglob("*.py")):
        yield path, path.read_text(encoding="utf-8")


def test_what_notebooks_benchmarks_and_trials_import_is_there(root):
    files = modules(root)
    for path, source in sources_that_import(root):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
                assert node.module in files, f"{path} imports {node.module}"
                wanted = {alias.name for alias in node.names}
                wanted -= {name for name in wanted if f"{node.module}.{name}" in files}
                assert wanted <= bound_names(files[node.module]), f"{path} imports {wanted} of {node.module}"
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names if alias.name.partition(".")[0] in PACKAGES]
                assert files.keys() >= set(named), f"{path} imports {named}"


def test_a_notebook_stands_on_what_it_imports_and_on_no_stand_in_behind_it(root):
    used = {path.relative_to(root).as_posix() for path in used_modules(root, ["from utils.clip import CLIP"])}
    assert {"utils/clip/model.py", "utils/datasets/transforms.py", "utils/files/hub.py"} <= used
    assert not any(path.startswith(("data/", "utils/search", "utils/demo")) for path in used)


def test_a_notebook_that_draws_stands_on_the_stand_ins_that_it_imports(root):
    cell = "from standins.icons.render import render_icon\nfrom utils.datasets import load_dataset"
    used = {
        path.relative_to(root / "data" / "standins").as_posix()
        for path in used_modules(root, [cell])
        if path.is_relative_to(root / "data")
    }
    assert {"icons/__init__.py", "icons/render.py", "icons/map_pen.py"} <= used
    assert not any(name.startswith("scenes") for name in used)  # `load_dataset` has them drawn, as data


def test_notebooks_do_not_stand_on_what_runs_them(root):
    used = {path.relative_to(root).as_posix() for path in used_modules(root, ["from utils.course import record"])}
    assert "utils/course/metrics.py" in used and not {"utils/course/run.py", "utils/course/execution.py"} & used
    assert not any(path.startswith(("utils/datasets", "utils/evaluation")) for path in used)


def test_magics_are_no_hindrance(root):
    cells = ["!pip list\n%%time\nfrom utils import plots"]
    used = used_modules(root, cells)
    assert root / "utils" / "plots" / "look.py" in used and root / "utils" / "clip" / "model.py" not in used


def test_behind_a_cell_that_cannot_be_read_all_of_the_package_counts(root):
    used = used_modules(root, ["found = !ls\nfrom utils.plots import show"])  # IPython's, and no Python
    assert {root / "utils" / "plots" / "look.py", root / "utils" / "clip" / "model.py"} <= set(used)


def test_a_module_that_cannot_be_read_stops_no_other_notebook(tmp_path):
    (tmp_path / "utils").mkdir()
    for name, source in {"__init__": "", "broken": "def", "whole": "from utils import broken"}.items():
        (tmp_path / "utils" / f"{name}.py").write_text(source)
    used = used_modules(tmp_path, ["import utils.whole as whole"])
    assert [path.stem for path in used] == ["__init__", "broken", "whole"]


def test_an_import_that_is_added_meanwhile_counts(tmp_path):
    (tmp_path / "utils").mkdir()
    for name in ("__init__", "above", "below"):
        (tmp_path / "utils" / f"{name}.py").write_text("")
    used = [[path.stem for path in used_modules(tmp_path, ["from utils import above"])]]
    (tmp_path / "utils" / "above.py").write_text("def f():\n    import utils.below as b\n")
    used.append([path.stem for path in used_modules(tmp_path, ["from utils import above"])])
    assert used == [["__init__", "above"], ["__init__", "above", "below"]]


HEAVY = ("torch", "torchvision", "sklearn", "matplotlib", "pandas", "scipy")  # 0.4 GB and a second or two


def test_a_model_its_images_and_their_augmentation_take_nothing_heavy(root, tmp_path):
    steps = f"""
import sys
import numpy as np
from PIL import Image
from utils.clip import CLIP, embed_texts
from utils.datasets import ImagePreprocessing
from utils.datasets.transforms import eval_transform, train_transform
from utils.training.history import open_reports

model = CLIP.from_pretrained("data/checkpoints/clip-miniature")
embed_texts(model, ["a harbor"])
image = Image.effect_noise((90, 80), 50).convert("RGB")
eval_transform(image, model.preprocessing)
for augmentation in ("aerial", "published"):
    train_transform(image, model.preprocessing, augmentation, np.random.default_rng(0))
with open_reports(__import__("pathlib").Path({str(tmp_path)!r}), [], True) as report:
    report([{{"step": 1, "loss": 2.0}}])
model.save_pretrained({str(tmp_path / "model")!r})
print([name for name in {HEAVY} if name in sys.modules])
import torch  # is still to be had
"""
    done = subprocess.run([sys.executable, "-c", steps], cwd=root, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr[-800:]
    assert list((tmp_path / "tensorboard").iterdir())
