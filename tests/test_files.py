"""What the system says of a disk, in words."""

import errno
import json
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

from utils.files import disk_trouble_in_words, from_home, leads_out, printable, write_whole, writing


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "it is read-only"),
        (errno.EACCES, "this user may not write there"),
        (errno.ENOTDIR, "Not a directory"),
    ],
)
def test_disk_trouble_is_told_in_words(tmp_path, number, words):
    with pytest.raises(OSError, match=words) as caught, disk_trouble_in_words(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.errno == number


def test_names_that_are_no_utf_8_are_written_and_those_in_json_come_back_exactly(tmp_path):
    names = ["caf\udce9.jpg", r"caf\udce9.jpg", "café.jpg"]
    for text in (json.dumps(names), json.dumps(names, ensure_ascii=False)):
        write_whole(tmp_path / "names.json", text)
        assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == names
    assert [printable(name) for name in names] == [r"caf\udce9.jpg", r"caf\udce9.jpg", "café.jpg"]


def test_a_tilde_is_a_home_folder_and_elsewhere_a_letter(monkeypatch, tmp_path, root):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert from_home("~/maps") == tmp_path / "maps" and from_home("~") == tmp_path
    for name in ("~no such user", "~no such user/maps", "maps/~", "~$port.jpg"):
        assert from_home(name) == Path(name)
    raising = [path for path in (root / "utils").rglob("*.py") if ".expanduser()" in path.read_text(encoding="utf-8")]
    assert not raising, "Path.expanduser raises a RuntimeError for a name such as ~old; use from_home"


def held(path):
    """What Windows raises where another program has a file open."""
    error = PermissionError(errno.EACCES, "The process cannot access the file", str(path))
    error.winerror = 32
    return error


@pytest.fixture
def scanner(monkeypatch):
    """A virus scanner that has what is renamed open for so many tries."""
    asked, left, replace = [], [0], Path.replace

    def refuse_a_while(source, target):
        asked.append(target)
        if len(asked) <= left[0]:
            raise held(source)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refuse_a_while)
    return left


def test_what_a_scanner_has_open_for_a_moment_is_waited_for(tmp_path, scanner):
    scanner[0] = 3
    write_whole(tmp_path / "scores.json", "new")
    assert (tmp_path / "scores.json").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


def test_what_stays_open_is_said_to_be_and_nothing_half_written_stays(tmp_path, scanner, monkeypatch):
    monkeypatch.setattr(writing, "_PATIENCE", 0.1)
    (tmp_path / "scores.json").write_text("old")
    scanner[0] = 10**6
    with pytest.raises(OSError, match=r"or a program has .*scores.json.partial open"), disk_trouble_in_words(tmp_path):
        write_whole(tmp_path / "scores.json", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_what_is_forbidden_for_good_is_not_waited_for(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(writing, "_PATIENCE", 10**6)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "scores.json", "new")


@pytest.mark.parametrize(
    ("name", "here", "on_windows"),
    [
        ("port/a.png", False, False),
        ("a..b.png", False, False),
        ("../a.png", True, True),
        ("/a.png", True, True),
        (r"..\a.png", False, True),
        (r"b\..\..\a.png", False, True),
        (r"\\server\share\a.png", False, True),
        ("C:/a.png", False, True),
        ("C:a.png", False, True),
    ],
)
def test_names_that_lead_out_are_known_by_the_rules_of_the_system(name, here, on_windows):
    assert (leads_out(name, PurePosixPath), leads_out(name, PureWindowsPath)) == (here, on_windows)
