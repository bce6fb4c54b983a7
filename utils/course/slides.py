"""Slides of each notebook's figures, for a beamer: ``make slides``.

A page a notebook, without scripts and with nothing from elsewhere, since a room may have no network: nbconvert's own
slides fetch theirs. A figure fills a screen, under the heading of its section; space and page keys go on.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter

from utils.course.places import CourseError, course_notebooks, find_root
from utils.files import disk_trouble_in_words, write_whole

KINDS = ("image/png", "image/jpeg")
DRAWING = re.compile(r"!\[([^\]]*)\]\((images/[^)]+)\)")
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
html {{ scroll-snap-type: y mandatory; background: white; color: black; font: 2.4vh/1.4 sans-serif }}
.text_cell {{ box-sizing: border-box; height: 100vh; padding: 3vh 5vw; scroll-snap-align: start; break-after: page }}
.text_cell, .text_cell_render, .inner_cell {{ display: flex; flex-direction: column; min-height: 0; flex: 1 }}
.prompt, .anchor-link {{ display: none }}
h1 {{ margin: auto 0 0; font-size: 7vh; line-height: 1.2 }}
h1 + p {{ margin: 2vh 0 auto }}
h2 {{ margin: 0 0 2vh; font-size: 4.4vh }}
p {{ margin: 0 0 2vh; max-height: 20vh; overflow: auto }}
p:has(img) {{ flex: 1; min-height: 0; max-height: none; text-align: center; overflow: hidden }}
img {{ width: 100%; height: 100%; object-fit: contain }}
</style>
<body>
{body}
</body>
</html>
"""


def figures(notebook: Any) -> Iterator[tuple[str, str, str]]:
    """Each figure of an executed notebook: the heading above it, what it shows in words, and where its image is."""
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("## "):
                    heading = line[3:]
                for words, place in DRAWING.findall(line):
                    yield heading, words, place
        for output in cell.get("outputs", []):
            for kind in KINDS:
                if kind in output.get("data", {}):
                    words = output.metadata.get(kind, {}).get("alt", "")
                    yield heading, words, f"data:{kind};base64,{''.join(output.data[kind].split())}"


def as_slides(path: Path) -> str:
    """An executed notebook's title and figures as a page; a `CourseError` says that it has no figure."""
    notebook = nbformat.read(path, as_version=4)
    title, _, rest = notebook.cells[0].source.removeprefix("# ").partition("\n")
    promise = rest.strip().split("\n\n")[-1]
    slides = [f"# {title}\n\n{promise}"]
    for heading, words, place in figures(notebook):
        alt = re.sub(r"[\[\]]", "", words)
        slides.append(f"## {heading or title}\n\n![{alt}]({place})\n\n{words}")
    if len(slides) == 1:
        raise CourseError(f"{path} has no figure; execute it first, as make course or JupyterLab does.")
    shown = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(slide) for slide in slides])
    exporter = HTMLExporter(template_name="basic", embed_images=True)
    body, _ = exporter.from_notebook_node(shown, resources={"metadata": {"name": path.stem, "path": str(path.parent)}})
    return PAGE.format(title=html.escape(title), body=body)


def main(argv: list[str] | None = None) -> int:
    """Writes the slides of all notebooks, as they are committed or of a run, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m utils.course.slides", description="Writes figures as slides.")
    parser.add_argument("folder", type=Path, help="for the pages; older ones are replaced")
    parser.add_argument("--run", type=Path, help="a run of the course, such as runs/mine; else as committed")
    arguments = parser.parse_args(argv)
    try:
        paths = course_notebooks(find_root())
        if arguments.run:
            paths = sorted(arguments.run.glob("[0-9][0-9]_*.ipynb"))
        if not paths:
            raise CourseError(f"{arguments.run} holds no executed notebook; run the course there first.")
        with disk_trouble_in_words(arguments.folder):
            arguments.folder.mkdir(parents=True, exist_ok=True)
            for path in paths:
                write_whole(arguments.folder / f"{path.stem}.html", as_slides(path))
    except (CourseError, OSError) as error:
        print(f"make slides: {error}", file=sys.stderr)
        return 2
    print(f"Slides of {len(paths)} notebooks, to be opened in a browser: {arguments.folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
