"""On Colab: what the first cell of every notebook types there, and where results go."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from unittest.mock import Mock

import nbformat
import pytest
from release import current

from utils.course import course_notebooks

# Notes what it is called with, and as git leaves what a clone would: the last argument is the folder.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
if [ "$1" = clone ]; then for folder; do :; done; mkdir -p "$folder/nbs/profiles"; fi
"""


@pytest.fixture
def run_twice(root, tmp_path):
    """Runs the first code cell of a notebook two times in IPython; answers with all calls of git and pip."""
    for name in ("git", "pip"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(STUB)
        (tmp_path / "bin" / name).chmod(0o755)
    notebook = nbformat.read(root / "nbs" / "template.ipynb", as_version=4)
    cell = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    cell = cell.replace("/content/", f"{tmp_path}/content/")
    script = tmp_path / "bootstrap.ipy"
    script.write_text(
        f"{cell}\nos.chdir({str(root / 'nbs')!r})\n{cell}\n"
        "print('data' in map(os.path.basename, sys.path), 'at', os.getcwd())\n"
    )

    def run(**environment: str) -> tuple[list[str], str]:
        calls = tmp_path / "calls.txt"
        calls.touch()
        bare = {name: value for name, value in os.environ.items() if name != "COLAB_RELEASE_TAG"}
        bare |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "IPYTHONDIR": str(tmp_path / "ipython")}
        done = subprocess.run(
            [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", str(script)],
            env=bare | {"CALLS": str(calls)} | environment,
            cwd=root / "nbs",
            capture_output=True,
            text=True,
            check=True,
        )
        return calls.read_text().replace(str(tmp_path), "").splitlines(), done.stdout

    return run


def test_colab_clones_this_release_once_and_keeps_its_own_jax(run_twice, root, tmp_path):
    named = current(root)
    calls, printed = run_twice(COLAB_RELEASE_TAG="release-colab")
    clone, *installs = calls
    assert clone.startswith("git clone -q --depth 1 ") and f" --branch v{named['version']} " in clone
    assert clone.endswith(f" https://github.com/{named['address']} /content/course")
    assert installs == [f"pip install -q -e /content/course jax=={version('jax')}"] * 2
    assert printed.splitlines()[-1] == f"True at {tmp_path / 'content' / 'course'}", "the stand-ins are importable"


def test_elsewhere_nothing_is_fetched_and_the_course_is_found(run_twice, root):
    calls, printed = run_twice()
    assert calls == []
    assert printed.splitlines()[-1].endswith(f" at {root}")


def test_every_result_goes_where_the_drive_is_if_there_is_one(root):
    for path in course_notebooks(root):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
                assert not places_used_bare(cell.source), cell.source


def places_used_bare(source: str) -> list[str]:
    """Uses of the parameters for places that neither compare them nor hand them to what finds the drive."""
    tree, allowed = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("output_folder", "output_file"):
            allowed.update(map(id, node.args))
        if isinstance(node, ast.Compare | ast.BoolOp | ast.If | ast.IfExp):
            allowed.update(map(id, ast.iter_child_nodes(node)))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in allowed]
    return sorted(node.id for node in names if node.id in ("OUTPUT_DIR", "CAPTIONS_FILE"))


def test_a_bare_place_is_seen():
    bare = places_used_bare("save(Path(OUTPUT_DIR) / 'model')\nload(CAPTIONS_FILE)")
    assert bare == ["CAPTIONS_FILE", "OUTPUT_DIR"]
    assert not places_used_bare("if CAPTIONS_FILE and x:\n    f = output_file(OUTPUT_DIR, CAPTIONS_FILE)")


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({"side_effect": PackageNotFoundError}, "none is installed"),
        ({"return_value": "5.50.0"}, "Gradio 5.50.0 is installed"),
    ],
    ids=["none", "old"],
)
def test_the_page_says_which_gradio_it_needs(monkeypatch, installed, said):
    from utils.demo import demo_blocks

    monkeypatch.setattr("utils.demo.version", Mock(**installed))
    with pytest.raises(ImportError, match=rf'needs Gradio 6, and {said}: pip install "gradio>=6,<7"'):
        demo_blocks(index=None)
