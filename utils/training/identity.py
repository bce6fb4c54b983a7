"""Which run a folder and the model in it are of, noted so that no other run is resumed and no other model taken."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from utils.clip.checkpoints import written_whole
from utils.datasets import CaptionDataset, data_fingerprint, reading_note, shown_reading
from utils.datasets.hub import data_source
from utils.files import digest_of_file, digest_of_folder, read_json, write_whole
from utils.files.provenance import PROVENANCE, devices, versions
from utils.training.category_captions import caption_by_category
from utils.training.contrastive import CONTRASTIVE
from utils.training.objective import Objective
from utils.training.settings import TrainingSettings

NOTE = ".run.json"  # hidden, so that transformers does not take it along
CARD_FILES = ("README.md", "loss_curve.png")
FORMAT = 2  # of checkpoints and of run.json
Note = dict[str, Any]  # what run.json holds


def describe_run(
    start: Any,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    objective: Objective[Any] = CONTRASTIVE,
) -> Note:
    """What makes a run the one that it is, as JSON holds it."""
    return {
        "format": FORMAT,
        "settings": objective.settle(settings, start).identity,
        "data": _describe_data(train_set),
        "validation_data": _describe_data(validation_set),
        "start": objective.describe(start),
    }


def _describe_data(images: CaptionDataset) -> Note:
    return {"name": images.name, "images": len(images), "fingerprint": data_fingerprint(images)} | reading_note(images)


def mark_of_run(note: Note) -> str:
    """Hexadecimal digits; a setting that came later and is None is as if it were not there, and so is provenance."""
    note = {name: value for name, value in note.items() if name != PROVENANCE}
    settings = {name: value for name, value in note["settings"].items() if value is not None}
    return hashlib.sha256(json.dumps(note | {"settings": settings}, sort_keys=True).encode()).hexdigest()[:16]


def run_folder(
    parent: str | os.PathLike,
    name: str,
    start: Any,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    objective: Objective[Any] = CONTRASTIVE,
) -> Path:
    """A folder in ``parent``, of ``name`` and a mark, that an equal run finds again and no other one can meet."""
    note = json.dumps(describe_run(start, train_set, validation_set, settings, objective), sort_keys=True)
    return Path(parent) / f"{name}-{hashlib.sha256(note.encode()).hexdigest()[:6]}"


def mark_of(output_dir: Path) -> str | None:
    """The mark of the run that ``run.json`` tells of; None if it tells of none."""
    try:
        return mark_of_run(read_json(output_dir / "run.json"))
    except (KeyError, TypeError, AttributeError):
        return None


def claim_folder(output_dir: Path, ours: Note) -> str:
    """Notes in ``run.json`` what this run is, as `describe_run` gives it, or refuses a folder that holds another one.

    The note of an equal run stays, with what that was made with so far. A folder without a whole checkpoint holds
    nothing to lose and may be claimed. A model in it stays, with a note that it is not of this run. Returns the mark
    of this run, which checkpoints and model carry; a ValueError says what differs in another one.
    """
    mark, theirs = mark_of_run(ours), mark_of(output_dir)
    if theirs == mark:
        return mark
    if any(path.name.isdecimal() for path in (output_dir / "checkpoints").glob("*")):
        try:
            differences = _differences(read_json(output_dir / "run.json"), ours)
        except (KeyError, TypeError, AttributeError):
            differences = ["a run.json that cannot be read"]
        if differences:
            raise ValueError(
                f"{output_dir} holds a run with {' and '.join(differences)}; choose another folder, or delete this one "
                "to start again."
            )
    else:  # what an earlier run left must not pass for that of this one
        model_dir = output_dir / "model"
        if (model_dir / "config.json").is_file() and not (model_dir / NOTE).is_file():
            note_model(model_dir, theirs)
    write_note(output_dir / "run.json", ours)
    return mark


def note_provenance(output_dir: Path, train_set: CaptionDataset, start: Any, step: int) -> None:
    """Notes in a claimed folder what the steps after ``step`` are made with, if that differs from the ones before."""
    path = output_dir / "run.json"
    note = read_json(path)
    ours = {
        "versions": versions(),
        "device": devices(),
        "data": {name: note["data"][name] for name in ("name", "fingerprint")} | data_source(train_set),
        "model": {**start.metadata.source, "weights": note["start"]["fingerprint"]},
    }
    earlier = note.get(PROVENANCE, [])
    if not earlier or earlier[-1] != {"from_step": earlier[-1]["from_step"], **ours}:
        write_note(path, note | {PROVENANCE: [*earlier, {"from_step": step, **ours}]})


def provenance_of(output_dir: Path) -> list[dict[str, Any]]:
    """What the run in a folder was made with, an entry for each change of it; empty if nothing is noted."""
    return list(read_json(output_dir / "run.json").get(PROVENANCE, []))


def other_data(output_dir: Path, train_set: CaptionDataset, validation_set: CaptionDataset) -> str | None:
    """What the run in a folder was trained on, in words, if that is other data; None if no difference is seen.

    Data of one name are told apart by how they are read and by the validation set, which no back-translation changes,
    with its own captions or those made of categories. One of another number of images may be a part of the same.
    """
    note = read_json(output_dir / "run.json")
    try:
        name, theirs = note["data"]["name"], note["validation_data"]
        images, mark = theirs["images"], theirs["fingerprint"]
        before, now = (shown_reading(each) or "as they are" for each in (note["data"], reading_note(train_set)))
    except (KeyError, TypeError):
        return None
    if name != train_set.name:
        return f"{name}, not on {train_set.name}"
    if before != now:
        return f"images read {before}, which are now read {now} (set STRETCH and BANDS as they were)"
    spoken = [replace(item, captions=item.captions_with_words) for item in validation_set if item.captions_with_words]
    named = caption_by_category(validation_set).named() if validation_set.categories else ()
    marks = (data_fingerprint(CaptionDataset(items)) for items in (spoken, named))
    if len(spoken) == images and mark not in marks:
        return f"other images or captions that are called {name}, too"
    return None


def _differences(theirs: Note, ours: Note) -> list[str]:
    """What is not the same, in words."""
    before = theirs["settings"]
    if theirs.get("format") != ours["format"]:
        return ["checkpoints of another version of this course"]
    found = []
    for name in ("data", "validation_data"):
        if theirs[name] != ours[name]:
            shown = f"{_shown_data(theirs[name])}, not {_shown_data(ours[name])}"
            found.append(f"other {name.replace('_', ' ')} ({shown})")
    if theirs["start"] != ours["start"]:
        found.append("another starting model")
    for name, value in ours["settings"].items():
        if before.get(name) != value:
            found.append(f"{name} {before.get(name)!r}, not {value!r}")
    return found


def _shown_data(note: Note) -> str:
    reading = f", read {shown_reading(note)}" if "reading" in note else ""
    return f"{note['name'] or 'a data set'}, {note['images']:,} images{reading}, mark {note['fingerprint'][:6]}"


def export_model(model: Any, model_dir: Path, mark: str, step: int) -> None:
    """Writes the model of a step, noting its run; a kill at any moment leaves this model, the one before, or none.

    What a killed export left beside the folder is removed.
    """
    for left in model_dir.parent.glob(f".*{model_dir.name}[.-]*"):
        shutil.rmtree(left, ignore_errors=True)
    if run_of(model_dir) != mark:  # a card of another run would praise this one if we were killed before ours
        for name in CARD_FILES:
            (model_dir / name).unlink(missing_ok=True)
    with written_whole(model_dir) as temporary:
        model.save_pretrained(temporary)
        note_model(temporary, mark, step)


def note_model(model_dir: Path, mark: str | None, step: int | None = None) -> None:
    """Notes which run left the files of a folder; a mark of None stands for one that nobody knows."""
    # A hidden folder, such as Jupyter makes, is noted as null; earlier versions noted every folder so.
    files = {path.name: _digest(path) for path in sorted(model_dir.iterdir()) if path.name not in CARD_FILES}
    write_note(model_dir / NOTE, {"run": mark, "step": step, "files": files})


def write_note(path: Path, note: dict[str, Any]) -> None:
    """Writes a note in JSON."""
    write_whole(path, json.dumps(note, indent=2) + "\n")


def run_of(model_dir: Path) -> str | None:
    """The mark of the run that left a model; None if no note tells of one."""
    return read_json(model_dir / NOTE).get("run")


def check_model(model_dir: Path, mark: str | None) -> None:
    """Refuses, with a ValueError, a model that is not what a run of this mark (None: any run) left, file by file.

    One without a note is taken as it is.
    """
    path = model_dir / NOTE
    if not path.is_file():
        return
    way_out = f"delete {path} to take the model as it is, or start the training of this folder again, to its end"
    note = read_json(path)
    files = note.get("files")
    if "run" not in note or not isinstance(files, dict):
        raise ValueError(f"{path} cannot be read; {way_out}.")
    if mark not in (None, note["run"]):
        raise ValueError(
            f"The model in {model_dir} is not of the run that run.json beside it tells of, whose training has not "
            f"ended there; {way_out}."
        )
    noted = {name: digest for name, digest in files.items() if digest or not (model_dir / name).is_dir()}
    if changed := [name for name, digest in noted.items() if _digest(model_dir / name) != digest]:
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
    if path.is_dir() and not path.name.startswith("."):  # a model of several has a folder for each
        return digest_of_folder(path)
    return digest_of_file(path) if path.is_file() else None
