"""The house: which room imports which, and which modules make an executed notebook stale."""

import pytest

from utils.course.drawing import COMMANDS, DRAWING, draw, floors, room_imports
from utils.course.imports import imported_modules, module_imports, used_modules


@pytest.fixture(scope="module")
def rooms(root) -> dict[str, set[str]]:
    return room_imports(root)


def test_no_import_runs_back_up(rooms):
    built = floors(rooms)  # raises at a circle
    assert len(built) <= 7 and len(rooms) <= 17, "add a room only for a subject of its own"
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


def test_a_notebook_stands_on_what_it_imports_and_on_no_stand_in(root):
    used = {path.relative_to(root).as_posix() for path in used_modules(root, ["from utils.clip import CLIP"])}
    assert {"utils/clip/model.py", "utils/datasets/transforms.py", "utils/files/hub.py"} <= used
    assert not any(path.startswith(("data/", "utils/search", "utils/demo")) for path in used)


def test_notebooks_do_not_stand_on_what_runs_them(root):
    used = {path.relative_to(root).as_posix() for path in used_modules(root, ["from utils.course import record"])}
    assert "utils/course/metrics.py" in used and not {"utils/course/run.py", "utils/course/execution.py"} & used
    assert not any(path.startswith(("utils/datasets", "utils/evaluation")) for path in used)


def test_magics_and_cells_that_are_no_python_are_no_hindrance(root):
    cells = ["!pip list\n%%time\nfrom utils import plots", "what is this"]
    assert root / "utils" / "plots" / "look.py" in used_modules(root, cells)
