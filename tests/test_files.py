"""What the system says of a disk, in words."""

import errno
import os

import pytest

from utils.files import disk_trouble_in_words


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
