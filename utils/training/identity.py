"""Which run a folder holds: its settings, data and starting point, noted so that no other one resumes it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from utils.clip import CLIP
from utils.clip.identity import weights_digest
from utils.datasets import CaptionDataset, data_fingerprint, reading_note, shown_reading
from utils.datasets.hub import data_source
from utils.files.provenance import PROVENANCE, devices, versions
from utils.training.category_captions import caption_by_category
from utils.training.export import NOTE, note_model, read_note, write_note
from utils.training.settings import TrainingSettings

FORMAT = 2  # of checkpoints and of run.json
Note = dict[str, Any]  # what run.json holds


def describe_run(
    start: CLIP, train_set: CaptionDataset, validation_set: CaptionDataset, settings: TrainingSettings
) -> Note:
    """What makes a run the one that it is, as JSON holds it."""
    parameters = nnx.to_flat_state(nnx.state(start, nnx.Param))
    return {
        "format": FORMAT,
        "settings": settings.identity,
        "data": _describe_data(train_set),
        "validation_data": _describe_data(validation_set),
        "start": {
            "fingerprint": weights_digest(start)[:16],
            "compute_dtype": str(np.dtype(start.vision.dtype)),
            "sizes": {".".join(map(str, path)): list(leaf[...].shape) for path, leaf in parameters},
        },
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
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
) -> Path:
    """A folder in ``parent`` that an equal run finds again and no other one can meet: ``name`` and a mark of the run.

    The other arguments are those of `train`.
    """
    note = json.dumps(describe_run(start, train_set, validation_set, settings), sort_keys=True)
    return Path(parent) / f"{name}-{hashlib.sha256(note.encode()).hexdigest()[:6]}"


def mark_of(output_dir: Path) -> str | None:
    """The mark of the run that ``run.json`` tells of; None if it tells of none."""
    try:
        return mark_of_run(read_note(output_dir / "run.json"))
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
            differences = _differences(read_note(output_dir / "run.json"), ours)
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


def note_provenance(output_dir: Path, train_set: CaptionDataset, start: CLIP, step: int) -> None:
    """Notes in a claimed folder what the steps after ``step`` are made with, if that differs from the ones before."""
    path = output_dir / "run.json"
    note = read_note(path)
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
    return list(read_note(output_dir / "run.json").get(PROVENANCE, []))


def other_data(output_dir: Path, train_set: CaptionDataset, validation_set: CaptionDataset) -> str | None:
    """What the run in a folder was trained on, in words, if that is other data; None if no difference is seen.

    Data of one name are told apart by the validation set, which no back-translation changes, with its own captions or
    those made of categories. One of another number of images may be a part of the same, and nothing is said of it.
    """
    note = read_note(output_dir / "run.json")
    try:
        name, theirs = note["data"]["name"], note["validation_data"]
        images, mark = theirs["images"], theirs["fingerprint"]
    except (KeyError, TypeError):
        return None
    if name != train_set.name:
        return str(name)
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
