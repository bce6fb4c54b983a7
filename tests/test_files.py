"""What the system says of a disk, in words."""

import errno
import json
import os

import pytest

from utils.files import disk_trouble_in_words, printable, write_whole


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
    names = [os.fsdecode(b"caf\xe9.jpg"), r"caf\udce9.jpg", "café.jpg"]
    for text in (json.dumps(names), json.dumps(names, ensure_ascii=False)):
        write_whole(tmp_path / "names.json", text)
        assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == names
    assert [printable(name) for name in names] == [r"caf\udce9.jpg", r"caf\udce9.jpg", "café.jpg"]
