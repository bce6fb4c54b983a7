"""Processes that end with their parent, and hidden folders of the dead that the living clear away."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from utils.files import drafts, publish, workshop

PARENT = """
import sys, time
from pathlib import Path
from utils.files import worker_pool, workshop

if __name__ == "__main__":
    with workshop(Path(sys.argv[1]), "drawing") as draft, worker_pool(2) as pool:
        (draft / "picture").touch()
        for job in [pool.submit(time.sleep, 0.1) for _ in range(8)]:
            job.result()
        print("at work", flush=True)
        pool.submit(time.sleep, 60)
        time.sleep(60)
"""


@pytest.fixture
def parent(tmp_path):
    """A process in the middle of making ``tmp_path / "made"`` with two others."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "made"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout.readline() == "at work\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def hidden(folder: Path) -> list[Path]:
    return list(folder.glob(".made-*"))


def test_no_worker_outlives_a_killed_parent_and_its_hidden_folder_goes_at_the_next_start(tmp_path, parent):
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2 and len(hidden(tmp_path)) == 1
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive and len(hidden(tmp_path)) == 1
    with workshop(tmp_path / "made", "drawing") as draft:
        assert hidden(tmp_path) == [draft.parent]
        publish(draft, tmp_path / "made")
    assert not hidden(tmp_path) and (tmp_path / "made").is_dir()


def test_what_somebody_is_at_work_in_or_owns_is_not_cleared_away(tmp_path, parent):
    for name in (".made-12345678", ".made-notes", ".made-by me"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
    theirs = {path for path in hidden(tmp_path) if not (path / "notes.txt").is_file()}
    with workshop(tmp_path / "made", "drawing"):
        pass
    left = hidden(tmp_path)
    assert len(left) == 4 and theirs.issubset(left) and len(theirs) == 1
    assert (next(iter(theirs)) / "draft" / "picture").is_file()


def test_what_was_moved_aside_when_its_replacer_was_killed_is_put_back(tmp_path):
    aside = tmp_path / ".made-abcd_123" / "replaced"
    aside.mkdir(parents=True)
    (aside / "model").write_text("whole")
    with pytest.raises(KeyboardInterrupt), workshop(tmp_path / "made", "drawing"):
        raise KeyboardInterrupt
    assert (tmp_path / "made" / "model").read_text() == "whole" and not hidden(tmp_path)


def test_a_hidden_folder_that_is_swept_before_it_is_locked_is_made_once_more(tmp_path, monkeypatch):
    own, lost = drafts.sole_owner, []

    def lose_once(place: Path, doing: str):
        if lost:
            return own(place, doing)
        lost.append(place)
        drafts.sweep_workshops(tmp_path / "made")
        raise FileNotFoundError(place)

    monkeypatch.setattr(drafts, "sole_owner", lose_once)
    with workshop(tmp_path / "made", "drawing") as draft:
        assert draft.parent != lost[0] and hidden(tmp_path) == [draft.parent]
    assert not hidden(tmp_path)


def test_two_who_make_the_same_at_once_both_end_well(tmp_path):
    with workshop(tmp_path / "made", "drawing") as first, workshop(tmp_path / "made", "drawing") as second:
        for draft in (first, second):
            (draft / "name").write_text(draft.parent.name)
            publish(draft, tmp_path / "made")
    assert (tmp_path / "made" / "name").read_text() == second.parent.name and not hidden(tmp_path)


def test_what_was_there_is_put_back_where_the_new_cannot_come(tmp_path, monkeypatch):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "model").write_text("whole")
    rename = Path.rename

    def refuse_drafts(source, target):  # as Windows does while a program has a file of it open
        if source.name == "draft":
            raise PermissionError(13, "Access is denied", str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", refuse_drafts)
    with pytest.raises(PermissionError), workshop(tmp_path / "made", "drawing") as draft:
        publish(draft, tmp_path / "made")
    assert (tmp_path / "made" / "model").read_text() == "whole" and not hidden(tmp_path)
