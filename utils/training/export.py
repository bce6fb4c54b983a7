"""The exported model and the note in its folder: which run left it, and what its files were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from utils.clip import CLIP
from utils.clip.checkpoints import written_whole
from utils.files import digest_of_file, write_whole

NOTE = ".run.json"  # hidden, so that transformers does not take it along
CARD_FILES = ("README.md", "loss_curve.png")


def export_model(model: CLIP, model_dir: Path, mark: str, step: int) -> None:
    """Writes the model of a step, noting its run; a kill at any moment leaves this model, the one before, or none.

    What a killed export left beside the folder is removed.
    """
    for left in model_dir.parent.glob(f".*{model_dir.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    if run_of(model_dir) != mark:  # a card of another run would praise this one if we were killed before ours
        for name in CARD_FILES:
            (model_dir / name).unlink(missing_ok=True)
    with written_whole(model_dir) as temporary:
        model.save_pretrained(temporary)
        note_model(temporary, mark, step)


def note_model(model_dir: Path, mark: str | None, step: int | None = None) -> None:
    """Notes which run left the files of a folder; a mark of None stands for one that nobody knows."""
    # Whatever is not a file, such as a folder that Jupyter makes, is noted as null, as by earlier versions.
    files = {path.name: _digest(path) for path in sorted(model_dir.iterdir()) if path.name not in CARD_FILES}
    write_note(model_dir / NOTE, {"run": mark, "step": step, "files": files})


def write_note(path: Path, note: dict[str, Any]) -> None:
    """Writes a note in JSON."""
    write_whole(path, json.dumps(note, indent=2) + "\n")


def read_note(path: Path) -> dict[str, Any]:
    """What a note in JSON holds; empty if it is not there or cannot be read."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def run_of(model_dir: Path) -> str | None:
    """The mark of the run that left a model; None if no note tells of one."""
    return read_note(model_dir / NOTE).get("run")


def check_model(model_dir: Path, mark: str | None) -> None:
    """Refuses, with a ValueError, a model that is not what a run of this mark (None: any run) left, file by file.

    One without a note is taken as it is.
    """
    path = model_dir / NOTE
    if not path.is_file():
        return
    way_out = f"delete {path} to take the model as it is, or start the training of this folder again, to its end"
    note = read_note(path)
    files = note.get("files")
    if "run" not in note or not isinstance(files, dict):
        raise ValueError(f"{path} cannot be read; {way_out}.")
    if mark not in (None, note["run"]):
        raise ValueError(
            f"The model in {model_dir} is not of the run that run.json beside it tells of, whose training has not "
            f"ended there; {way_out}."
        )
    if changed := [name for name, digest in files.items() if _digest(model_dir / name) != digest]:
        raise ValueError(
            f"{' and '.join(changed)} in {model_dir}: damaged, exchanged or missing since the training wrote the "
            f"model; {way_out}."
        )


def is_whole(model_dir: Path, mark: str) -> bool:
    """Whether the model in a folder is just as this run left it."""
    try:
        check_model(model_dir, mark)
    except ValueError:
        return False
    return run_of(model_dir) == mark and (model_dir / "config.json").is_file()


def _digest(path: Path) -> str | None:
    return digest_of_file(path) if path.is_file() else None
