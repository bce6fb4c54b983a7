"""The site: every page and notebook of the repository and a reference of `utils`, as HTML: ``make site``.

The pages lie where GitHub shows them. Here they are laid out for Sphinx in a folder of their own, their links changed
to where each now is, and to the repository where a file is no page; `docs/conf.py` says how they are built.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import site_reference
import site_searches
from draw_imports import DRAWING, floors, room_imports
from release import current

from utils.course import CourseError, course_notebooks, find_root
from utils.datasets import DatasetError
from utils.files import write_whole

LINK = re.compile(r"(?<!\\)(\]\()([^)\s]+)(\))")
COLAB_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
ICON_SCRIPT = re.compile(r"<script[^>]*/fontawesome\.js[^>]*></script>\s*")
FIRST_HEADING = "\n## "
# Where four kinds of readers go on, in front of the first heading of the first page.
DOORS = """
::::{grid} 1 1 2 2
:gutter: 3

:::{grid-item-card} Read
Every notebook with its outputs, from [your set-up](nbs/00_check_setup.ipynb) to
[a whole archive](nbs/10_scale_out.ipynb); [the results](results.md); [a glossary](nbs/glossary.md).
:::
:::{grid-item-card} Run
[Two commands](#two-commands) on Linux and Mac; Windows, conda, containers, Colab and rooms without a network:
[any machine](machines.md). [What you can ask for](options.md), and [how long it takes](speed.md).
:::
:::{grid-item-card} Teach
[A plan for three hours](teach.md), [notes on every notebook](nbs/teacher.md),
[solutions](nbs/solutions/index.md), and slides and copies for a class.
:::
:::{grid-item-card} Search your own images
[A folder, in the browser](search_page.md), [an archive of scenes](archives.md), or all of the course on
[your images and your model](your_images.md).
:::
::::
"""
NO_SPHINX = "Sphinx is not installed; make site installs it, or: .venv/bin/pip install -e '.[site]'"


def pages(root: Path) -> dict[str, str]:
    """The pages, by their place in the repository: where each lies in the site."""
    found = [root / "CONTRIBUTING.md", root / "CHANGELOG.md", root / "data" / "README.md"]
    found += [*course_notebooks(root), root / "nbs" / "template.ipynb", *sorted((root / "nbs").glob("*.md"))]
    found += sorted((root / "nbs" / "solutions").glob("*.ipynb"))
    names = [path.relative_to(root).as_posix() for path in found]
    own = {path.relative_to(root).as_posix(): path.name for path in sorted((root / "docs").glob("*.md"))}
    return {"README.md": "index.md"} | own | {name: name for name in names}


def pictures(root: Path) -> dict[str, str]:
    """The images and drawings, by their place in the repository: where each lies in the site."""
    names = [path.relative_to(root).as_posix() for path in sorted((root / "nbs" / "images").iterdir())]
    return {name: name for name in names}


def lay_out(root: Path, source: Path, data_dir: Path | None = None) -> None:
    """Writes what Sphinx reads into an empty folder; real images come from ``data_dir``, if they are there."""
    moved = pages(root) | pictures(root)
    for name in pictures(root):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, source / name)
    shutil.copytree(root / "docs" / "_static", source / "_static")
    texts = {place: _page(root, name, moved) for name, place in pages(root).items()}
    texts["index.md"] = texts["index.md"].replace(FIRST_HEADING, DOORS + FIRST_HEADING, 1) + contents(root)
    if searches := site_searches.search_categories(root, data_dir):
        drawn = site_searches.draw_searches(searches, source)
        page = site_searches.PAGE
        texts[page] = site_searches.SEARCHES.sub(lambda _: drawn, texts[page])
    texts["nbs/solutions/index.md"] = _solutions(root)
    texts |= site_reference.pages(root)
    for place, text in texts.items():
        (source / place).parent.mkdir(parents=True, exist_ok=True)
        write_whole(source / place, text)


def build(root: Path, site: Path, data_dir: Path | None = None) -> None:
    """Builds the whole site anew into a folder, which appears whole or not at all.

    The data set of real images that it shows is looked for below ``data_dir``, by default in `data`.

    Raises:
        CourseError: If Sphinx is not installed, or warned of something, such as a link that leads nowhere.
    """
    if importlib.util.find_spec("sphinx_book_theme") is None:
        raise CourseError(NO_SPHINX)
    work = site.with_name(f".{site.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    lay_out(root, work / "source", data_dir)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html"]
    command += ["--conf-dir", str(root / "docs"), "--doctree-dir", str(work / "read"), str(work / "source")]
    done = subprocess.run([*command, str(work / "html")], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(work)
        said = done.stderr.strip().replace(f"{(work / 'source').resolve()}/", "")
        raise CourseError(f"The site was not built; correct what Sphinx says:\n{said}")
    _lighten(work / "html")
    (work / "html" / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
    shutil.rmtree(site, ignore_errors=True)
    (work / "html").replace(site)
    shutil.rmtree(work)


def _lighten(html: Path) -> None:
    """Leaves out a script of the theme that is more than half of what a page weighs.

    It draws icons that the theme's style sheet draws, too.
    """
    for page in html.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(ICON_SCRIPT.sub("", text), encoding="utf-8")
    for file in (html / "_static" / "scripts").glob("fontawesome.js*"):
        file.unlink()


def contents(root: Path) -> str:
    """The table of contents beside every page, made from what lies in the folders."""
    learn = ["teach.md", "nbs/teacher.md", "nbs/glossary.md", "nbs/solutions/index.md"]
    reached, package = (
        ["results.md", "rendered_scenes.md", "speed.md"],
        ["design.md", "CONTRIBUTING.md", "CHANGELOG.md", "Template of a notebook <nbs/template.ipynb>"],
    )
    others = {name for name in pages(root).values() if "/" not in name} - {"index.md", *learn, *reached, *package}
    groups = {
        "The course": [_numbered(path, f"nbs/{path.name}") for path in course_notebooks(root)],
        "Learn and teach": learn,
        "Use it": [*sorted(others), "data/README.md"],
        "What it reaches": reached,
        "The package": ["reference/index.md", *package],
    }
    return "".join(_toctree(caption, names) for caption, names in groups.items())


def relink(text: str, name: str, moved: dict[str, str], root: Path, repository: str) -> str:
    """Markdown whose links lead, from where the page now is, to where the others now are.

    What is no page of the site is linked in the repository; what is not there either stays as it is, for Sphinx to
    complain about.
    """
    here = PurePosixPath(moved[name]).parent

    def lead(found: re.Match[str]) -> str:
        link = found[2]
        if link == COLAB_BADGE:
            return found[1] + os.path.relpath("_static/open_in_colab.svg", here) + found[3]
        path, mark, fragment = link.partition("#")
        if not path or re.match(r"\w+:", link):
            return found[0]
        target = os.path.normpath(PurePosixPath(name).parent / path)
        if target in moved:
            link = os.path.relpath(moved[target], here) + mark + fragment
        elif (root / target).exists():
            kind = "tree" if (root / target).is_dir() else "blob"
            link = f"{repository.replace('/KIND/', f'/{kind}/')}/{target}{mark}{fragment}"
        return found[1] + link + found[3]

    return LINK.sub(lead, text)


def _page(root: Path, name: str, moved: dict[str, str]) -> str:
    text = (root / name).read_text(encoding="utf-8")
    named = current(root)
    repository = f"https://github.com/{named['address']}/KIND/v{named['version']}"
    if not name.endswith(".ipynb"):
        if name == "CONTRIBUTING.md":
            text = DRAWING.sub(lambda _: _rooms(root), text)
        return relink(text, name, moved, root, repository)
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relink("".join(cell["source"]), name, moved, root, repository)
        elif alternative := _alternative_text(cell):
            cell["metadata"]["mystnb"] = {"image": {"alt": alternative}}
    return json.dumps(notebook)


def _alternative_text(cell: dict[str, Any]) -> str:
    """What the figures of a cell say to those who cannot see them; myst-nb takes it from the cell alone."""
    notes = [note for output in cell["outputs"] for note in output.get("metadata", {}).values()]
    return " ".join(note["alt"] for note in notes if isinstance(note, dict) and "alt" in note)


def _numbered(notebook: Path, place: str) -> str:
    """The line of a table of contents for a notebook: its number and title, and where it lies."""
    return f"{notebook.name[:2]} {_heading(notebook)} <{place}>"


def _heading(notebook: Path) -> str:
    """The title of a notebook, without the marks that a table of contents would show as they are."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "markdown").splitlines()
    return next((line[2:].replace("`", "") for line in lines if line.startswith("# ")), notebook.stem)


def _rooms(root: Path) -> str:
    """As a table what CONTRIBUTING draws by Mermaid, which would be a script from elsewhere."""
    rooms = room_imports(root)
    rows = ["| floor | room | imports |", "|---|---|---|"]
    for number, floor in enumerate(floors(rooms), start=1):
        rows += [f"| {number} | `{room}` | {', '.join(sorted(rooms[room])) or 'no other room'} |" for room in floor]
    return "\n".join([*rows[:2], *reversed(rows[2:]), ""])


def _solutions(root: Path) -> str:
    names = [_numbered(path, path.name) for path in sorted((root / "nbs" / "solutions").glob("*.ipynb"))]
    return (
        f"# Solutions\n\nThe exercises of each notebook, solved. Try them first.\n{_toctree('', names, hidden=False)}"
    )


def _toctree(caption: str, names: list[str], hidden: bool = True) -> str:
    options = [f":caption: {caption}"] * bool(caption) + [":hidden:"] * hidden
    return "\n".join(["", "```{toctree}", *options, "", *names, "```", ""])


def main(argv: list[str] | None = None) -> int:
    """Builds the site from the command line; the exit status is 0 if it is there."""
    parser = argparse.ArgumentParser(description="Builds the site.")
    parser.add_argument("site", type=Path, nargs="?", default=Path("runs/site"), help="its folder")
    parser.add_argument("--data-dir", default="", help="holds UCM_captions, whose images it may show (data/)")
    arguments = parser.parse_args(argv)
    site, data_dir = arguments.site, Path(arguments.data_dir).expanduser() if arguments.data_dir else None
    try:
        build(find_root(), site, data_dir)
    except (CourseError, DatasetError, OSError) as error:
        print(f"make site: {error}", file=sys.stderr)
        return 2
    if not any((site / "_images").glob(site_searches.DRAWING.format("*"))):
        print("Without searches in real images: no UCM_captions was found; DATA_DIR=folder says where it lies.")
    print(f"Built {len(list(site.rglob('*.html')))} pages; begin with {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
