"""The version and the address: named in many places, changed in one go, and nothing else with them."""

import json
import re
import shutil

import pytest
from release import current, main, move, places, release

from utils.course import CourseError

KINDS = ("version", "address")
NAMED_APART = "CHANGELOG.md"  # it keeps the versions of all releases
DAY = "2030-01-02"


@pytest.fixture
def copy(root, tmp_path):
    """A checkout of the files that name the two, with the folder by which a checkout is known."""
    for path in {path for kind in KINDS for path, _ in places(root, kind)}:
        target = tmp_path / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tmp_path / "nbs" / "profiles").mkdir()
    return tmp_path


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def next_version(folder) -> str:
    major, minor, _ = current(folder)["version"].split(".")
    return f"{major}.{int(minor) + 1}.0"


def date_of(folder) -> str:
    return re.search(r'^date-released: "(.+)"$', (folder / "CITATION.cff").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_names_what_pyproject_names(root, kind):
    for path, pattern in places(root, kind):
        found = set(re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE))
        assert found == {current(root)[kind]}, path


def test_no_other_file_names_the_address_or_the_tag(root):
    """One that did would keep the old ones at the next release."""
    named, known = current(root), {path for kind in KINDS for path, _ in places(root, kind)}
    tag = re.compile(rf"\bv{re.escape(named['version'])}(?![\w.])")
    folders = [root / name for name in (".github", "docs", "findings", "nbs", "tests", "utils")]
    files = {path for folder in folders for path in folder.rglob("*.*") if ".ipynb_checkpoints" not in path.parts}
    files = {path for path in files if path.suffix not in (".png", ".jpg", ".pyc")}
    for path in (files | {*root.glob("*"), root / "data" / "README.md"}) - known:
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            assert named["address"] not in text and not tag.search(text), path


def test_a_place_that_is_known_has_no_further_ones_of_another_form(root):
    """What a release leaves behind of the old address or tag, it would leave behind for good."""
    named = current(root)
    for kind, value in (("version", f"v{named['version']}"), ("address", named["address"])):
        patterns: dict = {}
        for path, pattern in places(root, kind):
            patterns.setdefault(path, []).append(pattern)
        for path in patterns.keys() - {root / NAMED_APART}:
            text = path.read_text(encoding="utf-8")
            for pattern in patterns[path]:
                text = re.sub(pattern, "", text, flags=re.MULTILINE)
            assert value not in text, path


def test_the_change_log_and_the_citation_tell_one_date(root):
    headings = re.findall(r"^## \[(.+)\](?: - (.+))?$", (root / NAMED_APART).read_text(), re.MULTILINE)
    assert headings[:2] == [("Unreleased", ""), (current(root)["version"], date_of(root))]


def test_a_release_changes_the_version_and_nothing_else(copy):
    old, new, before, old_day = current(copy)["version"], next_version(copy), contents(copy), date_of(copy)
    changed = release(copy, new, DAY)
    after = contents(copy)
    assert {str(path.relative_to(copy)) for path in changed} == before.keys() == after.keys()
    assert current(copy)["version"] == new and date_of(copy) == DAY
    for name in before.keys() - {NAMED_APART}:
        assert before[name] != after[name]
        back = after[name].replace(new.encode(), old.encode()).replace(DAY.encode(), old_day.encode())
        assert back == before[name], name
    log = after[NAMED_APART].decode()
    assert f"## [Unreleased]\n\n## [{new}] - {DAY}\n" in log
    assert f"/compare/v{new}...HEAD\n[{new}]: https://github.com/" in log
    assert f"/compare/v{old}...v{new}\n[{old}]: " in log
    assert len(log.splitlines()) == len(before[NAMED_APART].decode().splitlines()) + 3


def test_a_release_can_be_asked_for_twice(copy):
    new = next_version(copy)
    release(copy, new, DAY)
    once = contents(copy)
    assert release(copy, new, "2031-01-01") == [] and contents(copy) == once


def test_an_address_changes_alone_twice_and_back(copy):
    before, old, new = contents(copy), current(copy)["address"], "some-body/Fork_of.it"
    assert len(move(copy, new)) == len(before)
    once = contents(copy)
    assert {name: text.replace(new.encode(), old.encode()) for name, text in once.items()} == before
    assert not any(old.encode() in text for text in once.values())
    assert move(copy, new) == [] and contents(copy) == once
    move(copy, old)
    assert contents(copy) == before


def test_the_rest_of_a_notebook_stays(copy):
    path = next((copy / "nbs").glob("04_*.ipynb"))
    before = json.loads(path.read_bytes())["cells"]
    release(copy, next_version(copy))
    move(copy, "some-body/fork")
    after = json.loads(path.read_bytes())["cells"]
    differing = [cell["id"] for cell, other in zip(before, after, strict=True) if cell != other]
    first = next(cell["id"] for cell in before if cell["cell_type"] == "code")
    assert differing == [before[0]["id"], first]  # the badge, and the cell that clones
    assert [cell.get("outputs") for cell in before] == [cell.get("outputs") for cell in after]


@pytest.mark.parametrize("version", ["", "0.2", "v0.2.0", "0.02.0", "0.2.0rc1", "0.2.0\n", "0.0.0"])
def test_a_bad_or_an_old_version_is_refused(copy, version):
    before = contents(copy)
    with pytest.raises(CourseError, match=r"give (three numbers|a newer one)"):
        release(copy, version)
    assert contents(copy) == before


@pytest.mark.parametrize(
    "address",
    ["", "name", "a/b/c", "https://github.com/a/b", "a/b.git", "a/..", "-a/b", "a b/c", "a/b\n", 'a/b"', r"a/b\1"],
)
def test_a_bad_address_is_refused(copy, address):
    before = contents(copy)
    with pytest.raises(CourseError, match="give REPO=owner/name"):
        move(copy, address)
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("nbs/template.ipynb", "--branch v{version}", "--branch v9.9.9", "nbs/template.ipynb, which is 9.9.9;"),
        ("nbs/template.ipynb", "/blob/v{version}/", "/blob/main/", "nbs/template.ipynb, which is nowhere"),
        ("CITATION.cff", "\nversion: {version}", "", "CITATION.cff, which is nowhere to be found"),
        ("CITATION.cff", "date-released: ", "released: ", "the date of CITATION.cff"),
        ("CHANGELOG.md", "## [Unreleased]\n", "", "CHANGELOG.md should have '## [Unreleased]"),
        ("CHANGELOG.md", "## [{version}] - ", "## {version}, ", "The newest release of CHANGELOG.md"),
        ("pyproject.toml", "[project.urls]", "[urls]", "pyproject.toml gives no version in [project]"),
        ("README.md", "/blob/v{version}/", "/blob/v{version}/\udce9", "can't decode byte 0xe9"),
    ],
)  # fmt: skip
def test_what_does_not_stand_where_it_is_expected_is_refused(copy, capsys, monkeypatch, name, old, new, said):
    version, path = current(copy)["version"], copy / name
    text = path.read_text(encoding="utf-8")
    assert old.format(version=version) in text
    asked = next_version(copy)
    text = text.replace(old.format(version=version), new.format(version=version))
    path.write_bytes(text.encode(errors="surrogateescape"))
    before = contents(copy)
    monkeypatch.chdir(copy)
    assert main(["--version", asked]) == 2
    error = capsys.readouterr().err
    assert error.startswith("make release: ") and said in error
    if name.endswith(".ipynb"):  # also where nothing would be left to do
        with pytest.raises(CourseError, match="nbs/template"):
            release(copy, version)
    assert contents(copy) == before


def test_a_lost_address_is_refused(copy):
    (copy / "README.md").write_text("No badge.\n")
    before = contents(copy)
    with pytest.raises(CourseError, match=r"as the address of README\.md, which is nowhere to be found"):
        move(copy, "some-body/fork")
    assert contents(copy) == before


def test_the_command_line_says_what_was_done(copy, capsys, monkeypatch):
    monkeypatch.chdir(copy / "nbs")
    new = next_version(copy)
    assert main(["--version", new]) == 0
    assert f"git tag v{new}" in capsys.readouterr().out
    assert main(["--address", "some-body/fork"]) == 0 == main(["--address", "some-body/fork"])
    assert capsys.readouterr().out.splitlines()[-1] == "some-body/fork stands everywhere already."
    assert current(copy) == {"version": new, "address": "some-body/fork"}


def test_an_address_that_its_surroundings_have_in_them_changes_alone(copy):
    before, old = contents(copy), current(copy)["address"]
    move(copy, "t/c")  # as in "/content/course"
    move(copy, old)
    assert contents(copy) == before
