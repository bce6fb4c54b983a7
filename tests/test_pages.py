"""The pages that people read first: links of README, CONTRIBUTING, the glossary and the notebooks, by their form."""

import re
import tomllib
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml

LINK = re.compile(r"(?<!\\)\]\(([^)\s]+)\)")
PAGES = (
    *("README.md", "CONTRIBUTING.md", "data/README.md", "data/checkpoints/README.md"),
    *("nbs/glossary.md", "nbs/teacher.md"),
)


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def text_of(path) -> str:
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def broken_links(path, text: str) -> list[str]:
    broken = []
    for link in LINK.findall(text):
        parts = urlsplit(link)
        if parts.scheme:
            well_formed = parts.scheme == "https" and "." in (parts.hostname or "") and " " not in link
        else:
            target = path.parent / unquote(parts.path) if parts.path else path
            is_line = target.suffix == ".py" and re.fullmatch(r"L\d+", parts.fragment)  # see tests/test_lessons.py
            inside = not parts.fragment or is_line or parts.fragment in anchors(text_of(target))
            well_formed = target.exists() and bool(inside)
        if not well_formed:
            broken.append(f"{path.name} -> {link}")
    return broken


def test_links_lead_somewhere(root):
    pages = [root / page for page in PAGES] + sorted((root / "docs").glob("*.md"))
    pages += sorted((root / "nbs").glob("*.ipynb")) + sorted((root / "nbs" / "solutions").glob("*.ipynb"))
    links = [link for page in pages for link in LINK.findall(text_of(page))]
    assert len(links) > 100
    assert [link for page in pages for link in broken_links(page, text_of(page))] == []


@pytest.mark.parametrize("link", ["nbs/no.ipynb", "#no-heading", "http://plain.org", "https://nowhere"])
def test_a_broken_link_is_noticed(root, link):
    assert broken_links(root / "README.md", f"[text]({link})")


def test_readme_names_every_notebook_and_the_pages_every_target(root):
    readme = (root / "README.md").read_text(encoding="utf-8")
    for path in sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb")):
        assert f"[{path.stem}](nbs/{path.name})" in readme
    pages = [root / "CONTRIBUTING.md", *(root / "docs").glob("*.md")]
    everything = readme + "".join(path.read_text(encoding="utf-8") for path in pages)
    targets = re.findall(r"^([a-z]+):.*## ", (root / "Makefile").read_text(), re.MULTILINE)
    described = {"help": "`make` alone", "lint": "", "notebooks": ""}  # the last two are for contributors
    for target in targets:
        assert described.get(target, f"make {target}") in everything, target


def test_the_readme_is_a_page_long_and_its_scores_are_those_of_the_page_of_results(root):
    readme, results = ((root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
    assert len(readme.split()) < 1400
    measured = re.findall(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", readme)
    marked = "".join(re.findall(r"<!-- measured: .*?<!-- end -->", results, re.DOTALL))
    first = re.findall(r"^\| (?:baseline|fine-tuned) \| ([^|]+) \|", marked, re.MULTILINE)
    assert measured == first and len(first) == 4
    marks = re.findall(r"<!-- measured: (\S+) -->", results)
    assert [(root / "docs" / mark).resolve().relative_to(root / "runs").parts[1:] for mark in marks] == [
        ("evaluation",)
    ] * 2


def test_the_page_for_teachers_has_a_section_for_every_notebook(root):
    sections = re.findall(r"^## (\d\d): .* \(\d+ minutes", (root / "nbs" / "teacher.md").read_text(), re.MULTILINE)
    assert sections == [path.stem[:2] for path in sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb"))]


def test_the_page_for_teachers_has_minutes_for_every_exercise(root):
    page = (root / "nbs" / "teacher.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\*\*Exercise:\*\* (.+)$", page, re.MULTILINE)
    notebooks = sorted((root / "nbs").glob("[0-9][0-9]_*.ipynb"))
    for path, line in zip(notebooks, lines, strict=True):
        exercises = re.findall(r"^## Exercise \d", text_of(path), re.MULTILINE)
        assert len(re.findall(r"\(\d+(?: minutes)?\)", line)) == len(exercises), path.stem


def test_the_plan_for_three_hours_goes_on_to_the_page_by_sections_that_there_are(root):
    plan = (root / "docs" / "teach.md").read_text(encoding="utf-8").split("## Three hours\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (\d):(\d\d) \| (.+) \| (.+) \|$", plan, re.MULTILINE)
    starts = [60 * int(hour) + int(minute) for hour, minute, *_ in rows]
    assert starts[0] == 0 and starts == sorted(set(starts)) and 160 <= starts[-1] < 180
    assert rows[-1][-1].endswith("`make demo PROFILE=workshop`")
    for *_, notebooks, said in rows:
        places = [(root / "docs" / link).resolve() for link in LINK.findall(notebooks)]
        there = {int(number) for path in places for number in re.findall(r"^## (\d+)\. ", text_of(path), re.MULTILINE)}
        named = re.search(r"sections ([\d, ]+)(?:and|to) (\d+)", said)
        numbers = {int(number) for number in re.findall(r"\d+", named[0])} if named else set()
        assert numbers <= there and (named is not None) == (len(places) == 1), said


def test_citation_and_licence_are_those_of_the_project(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "type"} <= citation.keys()
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "Apache-2.0"
    license = (root / "LICENSE").read_text()
    assert license.split()[:4] == ["Apache", "License", "Version", "2.0,"] and "END OF TERMS" in license


def test_the_words_are_in_order_and_none_is_both_said_and_not_said(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Words\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (?!word \|)(.+) \| .+ \| (.+) \|$", text, re.MULTILINE)
    words = [word for word, _ in rows]
    assert len(words) >= 40 and words == sorted(set(words))
    for word, instead in rows:
        assert word not in instead.split(", "), word
