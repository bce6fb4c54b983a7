"""One process at a time in a folder, and none locked out by a dead one."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from utils.files import FolderInUseError, sole_owner

HOLD = """
import os, sys, time
from pathlib import Path
from utils.files import sole_owner
with sole_owner(Path(sys.argv[1]), "training"):
    print("held by", os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    # On Windows a virtual environment's python starts another one, which has a number of its own.
    words, _, process.owner = process.stdout.readline().strip().rpartition(" ")
    assert words == "held by"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_owner_is_told_who_the_first_one_is(tmp_path, holder):
    expected = rf"run is in use by process {holder.owner} on .*, training there since \d{{4}}-.*; wait"
    with pytest.raises(FolderInUseError, match=expected), sole_owner(tmp_path / "run", "training"):
        pass


def test_a_killed_owner_locks_nobody_out(tmp_path, holder):
    psutil.Process(int(holder.owner)).kill()
    holder.wait()
    with sole_owner(tmp_path / "run", "training"):
        pass


def test_one_process_cannot_own_a_folder_twice_and_can_again_afterwards(tmp_path):
    with (
        sole_owner(tmp_path, "training"),
        pytest.raises(FolderInUseError, match=f"process {os.getpid()}"),
        sole_owner(tmp_path, "training"),
    ):
        pass
    with sole_owner(tmp_path, "training"):
        assert (tmp_path / ".owner.json").is_file()
    assert not (tmp_path / ".owner.json").exists()


def test_a_lock_whose_note_is_missing_still_holds(tmp_path, holder):
    (tmp_path / "run" / ".owner.json").unlink()
    with pytest.raises(FolderInUseError, match="another process"), sole_owner(tmp_path / "run", "training"):
        pass


def test_a_note_that_windows_keeps_while_somebody_reads_it_keeps_no_lock(tmp_path, monkeypatch):
    """There a file that is open is not deleted; the work is done all the same, and the folder is free."""

    def held(path, missing_ok=False):
        if path.name == ".owner.json":
            raise PermissionError(13, "it is open", str(path))

    with monkeypatch.context() as windows:
        windows.setattr(Path, "unlink", held)
        with sole_owner(tmp_path, "training"):
            pass
    with sole_owner(tmp_path, "training"):
        pass
