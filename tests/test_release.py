"""The version and the address: named in many places, changed in one go, and nothing else with them."""

import json
import re
import shutil
import subprocess
import tarfile

import pytest
import yaml
from publish import in_the_way, notes, publish, unreleased
from publish import main as publish_main
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
    named = {str(path.relative_to(copy)) for path, _ in places(copy, "version")}
    assert {str(path.relative_to(copy)) for path in changed} == named | {NAMED_APART} and before.keys() == after.keys()
    assert current(copy)["version"] == new and date_of(copy) == DAY
    assert all(before[name] == after[name] for name in before.keys() - named - {NAMED_APART})
    for name in named:
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
    assert publish_main([asked, "--dry-run"]) == 2
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
    assert main(["some-body/fork"]) == 0 == main(["some-body/fork"])
    assert capsys.readouterr().out.splitlines()[-1] == "some-body/fork stands everywhere already."
    assert current(copy)["address"] == "some-body/fork"


def test_an_address_that_its_surroundings_have_in_them_changes_alone(copy):
    before, old = contents(copy), current(copy)["address"]
    move(copy, "t/c")  # as in "/content/course"
    move(copy, old)
    assert contents(copy) == before


# --- a whole release --------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(copy, monkeypatch):
    """The copy under git, with a tag of its version and a page that says it stands for the site."""
    for name, value in (
        ("HOME", copy),
        ("GIT_CONFIG_NOSYSTEM", 1),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@b"),
    ):
        monkeypatch.setenv(name, str(value))
        monkeypatch.setenv(name.replace("AUTHOR", "COMMITTER"), str(value))
    (copy / ".gitignore").write_text("runs/\n")
    git(copy, "init", "--quiet")
    commit(copy, "Begin")
    git(copy, "tag", f"v{current(copy)['version']}")
    monkeypatch.setattr("publish.build", lambda root, site: (site.mkdir(), (site / "index.html").touch()))
    monkeypatch.chdir(copy)
    return copy


def git(folder, *arguments):
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder, message):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def test_a_release_leaves_the_site_an_archive_and_notes(checkout, capsys):
    new, said = next_version(checkout), unreleased(checkout)
    assert publish_main([new]) == 0
    assert f"git tag v{new}" in capsys.readouterr().out
    folder = checkout / "runs" / "release" / new
    assert {path.name for path in folder.iterdir()} == {"site", f"clip-earth-course-{new}.tar.gz", "notes.md"}
    assert (folder / "notes.md").read_text() == f"{said}\n" and said.startswith("### ")
    with tarfile.open(folder / f"clip-earth-course-{new}.tar.gz") as packed:
        names, owners = packed.getnames(), {entry.uname for entry in packed}
        project = packed.extractfile(f"clip-earth-course-{new}/pyproject.toml").read().decode()
    assert f'version = "{new}"' in project and owners == {""} and not [name for name in names if "/runs/" in name]
    commit(checkout, f"Release {new}")
    assert in_the_way(checkout, new) == [] and unreleased(checkout) == ""


def test_a_dry_run_writes_nothing_and_says_what_is_in_the_way(checkout, capsys):
    before, new = contents(checkout), next_version(checkout)
    assert publish_main([new, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert unreleased(checkout) in out and "In the way" not in out and contents(checkout) == before
    (checkout / "README.md").write_text((checkout / "README.md").read_text() + "\n")
    assert publish_main([new, "--dry-run"]) == 0
    assert "In the way: There are changes that are not committed, README.md" in capsys.readouterr().out


def test_what_is_in_the_way_of_a_release_is_one_sentence_and_nothing_is_written(checkout, capsys):
    new = next_version(checkout)
    git(checkout, "tag", f"v{new}")
    refused(checkout, new, capsys, f"The tag v{new} is there already")
    git(checkout, "tag", "--delete", f"v{new}")
    log = checkout / "CHANGELOG.md"
    log.write_text(log.read_text().replace(unreleased(checkout), "### Added"))
    refused(checkout, new, capsys, "not committed, CHANGELOG.md the first")
    commit(checkout, "Say nothing")
    refused(checkout, new, capsys, "says nothing under Unreleased")
    assert notes(checkout) == "- Say nothing"  # a draft, from the commits
    shutil.rmtree(checkout / ".git")
    refused(checkout, new, capsys, "no checkout of git")


def refused(folder, version, capsys, said):
    before = contents(folder)
    assert publish_main([version]) == 2
    error = capsys.readouterr().err
    assert error.startswith("make release: ") and said in error and error.count("\n") == 1
    assert contents(folder) == before


def test_a_site_that_cannot_be_built_leaves_the_version_as_it_was(checkout, monkeypatch):
    def fail(root, site):
        raise CourseError("a link leads nowhere")

    monkeypatch.setattr("publish.build", fail)
    before, new = contents(checkout), next_version(checkout)
    with pytest.raises(CourseError, match="leads nowhere"):
        publish(checkout, new, checkout / "runs" / "release" / new)
    assert contents(checkout) == before and not (checkout / "runs" / "release" / new).exists()


def test_zenodo_is_told_what_the_citation_tells(root):
    zenodo = json.loads((root / ".zenodo.json").read_text(encoding="utf-8"))
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    for theirs, ours in (("title", "title"), ("version", "version"), ("license", "license"), ("keywords", "keywords")):
        assert zenodo[theirs] == citation[ours], theirs
    assert zenodo["description"] == f"<p>{citation['abstract'].strip()}</p>"
    assert [person["name"] for person in zenodo["creators"]] == [person["name"] for person in citation["authors"]]
    assert zenodo["upload_type"] == citation["type"] == "software"
    related = {other["identifier"] for other in zenodo["related_identifiers"]}
    named = {other["url"] for other in citation["references"] if "url" in other}
    assert related == named | {citation["repository-code"]}
