"""Which run a folder holds: its settings, data and starting point, noted so that no other goes on from it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from utils.clip import CLIP
from utils.clip.identity import weights_digest
from utils.datasets import CaptionDataset, data_fingerprint, reading_note, shown_reading
from utils.datasets.hub import data_source
from utils.files import write_whole
from utils.files.provenance import PROVENANCE, devices, versions
from utils.training.category_captions import caption_by_category
from utils.training.export import NOTE, note_model
from utils.training.history import WANDB_NOTE
from utils.training.settings import TrainingSettings

FORMAT = 2  # of checkpoints and of run.json


def claim_folder(
    output_dir: Path, settings: TrainingSettings, train_set: CaptionDataset, validation_set: CaptionDataset, start: CLIP
) -> str:
    """Notes in ``run.json`` what this run is, or refuses a folder that holds another one.

    What an equal run was made with so far stays noted, see `note_provenance`.

    A folder without a whole checkpoint holds nothing to lose and may be claimed anew. A model in it stays, with
    a note that it is not of this run.

    Returns:
        The mark of this run: checkpoints and model carry it.

    Raises:
        ValueError: If the folder holds a run with other settings, data or starting point; it says which.
    """
    path = output_dir / "run.json"
    ours = _describe_run(settings, train_set, validation_set, start)
    if any(path.name.isdecimal() for path in (output_dir / "checkpoints").glob("*")):
        differences = _read_differences(path, ours)
        if differences:
            raise ValueError(
                f"{output_dir} holds a run with {' and '.join(differences)}; choose another folder, or delete "
                "this one to start anew."
            )
    elif mark_of(output_dir) != _mark(ours):
        _set_apart(output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    earlier = provenance_of(output_dir) if mark_of(output_dir) == _mark(ours) else []
    _write(path, ours | ({PROVENANCE: earlier} if earlier else {}))
    return _mark(ours)


def note_provenance(output_dir: Path, train_set: CaptionDataset, start: CLIP, step: int) -> None:
    """Notes in ``run.json`` with what the steps from here on are made, unless it is what the last ones were made with.

    Args:
        output_dir: A claimed folder.
        train_set: As for `claim_folder`.
        start: As for `claim_folder`.
        step: Steps taken so far.
    """
    note = json.loads((output_dir / "run.json").read_text(encoding="utf-8"))
    data = {name: note["data"][name] for name in ("name", "fingerprint")} | data_source(train_set)
    ours = {
        "versions": versions(),
        "device": devices(),
        "data": data,
        "model": {**start.metadata.source, "weights": note["start"]["fingerprint"]},
    }
    earlier = note.get(PROVENANCE, [])
    if not earlier or {**earlier[-1], "from_step": None} != {**ours, "from_step": None}:
        _write(output_dir / "run.json", note | {PROVENANCE: [*earlier, {"from_step": step, **ours}]})


def provenance_of(output_dir: Path) -> list[dict[str, Any]]:
    """What the run in a folder was made with, an entry for each change of it; empty if nothing is noted."""
    try:
        return list(json.loads((output_dir / "run.json").read_text(encoding="utf-8"))[PROVENANCE])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write(path: Path, note: dict[str, Any]) -> None:
    write_whole(path, json.dumps(note, indent=2) + "\n")


def _set_apart(output_dir: Path) -> None:
    """Keeps what an earlier run left in a folder from passing for that of the next one."""
    model_dir = output_dir / "model"
    if (model_dir / "config.json").is_file() and not (model_dir / NOTE).is_file():
        note_model(model_dir, mark_of(output_dir))
    (output_dir / WANDB_NOTE).unlink(missing_ok=True)


def run_folder(
    parent: str | os.PathLike,
    name: str,
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
) -> Path:
    """A folder for a run by the way, which an equal run finds again and no other one can meet.

    Args:
        parent: Where it stands.
        name: What it begins with; a mark of the run follows.
        start: As for `train`.
        train_set: As for `train`.
        validation_set: As for `train`.
        settings: As for `train`.
    """
    note = json.dumps(_describe_run(settings, train_set, validation_set, start), sort_keys=True)
    return Path(parent) / f"{name}-{hashlib.sha256(note.encode()).hexdigest()[:6]}"


def mark_of_run(
    settings: TrainingSettings, train_set: CaptionDataset, validation_set: CaptionDataset, start: CLIP
) -> str:
    """The mark that `claim_folder` gives to such a run."""
    return _mark(_describe_run(settings, train_set, validation_set, start))


def mark_of(output_dir: Path) -> str | None:
    """The mark of the run that ``run.json`` tells of; None if it tells of none."""
    try:
        return _mark(json.loads((output_dir / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _mark(note: dict[str, Any]) -> str:
    """Hexadecimal digits; a setting that came later and is None is as if it were not there, and so is provenance."""
    note = {name: value for name, value in note.items() if name != PROVENANCE}
    settings = {name: value for name, value in note["settings"].items() if value is not None}
    text = json.dumps(note | {"settings": settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def note_of_data(output_dir: Path) -> dict[str, Any] | None:
    """What is noted of the data that the run in a folder was trained on; None if nothing is."""
    try:
        note = json.loads((output_dir / "run.json").read_text(encoding="utf-8"))["data"]
        return note if isinstance(note["name"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def other_data(output_dir: Path, train_set: CaptionDataset, validation_set: CaptionDataset) -> str | None:
    """What the run in a folder was trained on, in words, if that is other data than these.

    Data of one name are told apart by the validation set, which no back-translation changes, with its own captions or
    those made of categories. One of another number of images may be a part of the same, and nothing is said of it.

    Args:
        output_dir: The folder.
        train_set: The data in question.
        validation_set: Their validation set.

    Returns:
        The words, or None if nothing is noted there or no difference is seen.
    """
    try:
        note = json.loads((output_dir / "run.json").read_text(encoding="utf-8"))
        name, theirs = note["data"]["name"], note["validation_data"]
        images, mark = theirs["images"], theirs["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if name != train_set.name:
        return str(name)
    spoken = [replace(item, captions=item.captions_with_words) for item in validation_set if item.captions_with_words]
    named = caption_by_category(validation_set).named() if validation_set.categories else ()
    marks = (data_fingerprint(CaptionDataset(items)) for items in (spoken, named))
    if len(spoken) == images and mark not in marks:
        return f"other pictures or captions that are called {name}, too"
    return None


def _describe_run(
    settings: TrainingSettings, train_set: CaptionDataset, validation_set: CaptionDataset, start: CLIP
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "settings": settings.deciding,
        "data": _describe_data(train_set),
        "validation_data": _describe_data(validation_set),
        "start": _describe_model(start),
    }


def _read_differences(path: Path, ours: dict[str, Any]) -> list[str]:
    try:
        return _differences(json.loads(path.read_text(encoding="utf-8")), ours)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path.parent} holds checkpoints, but its {path.name} cannot be read ({type(error).__name__}), so "
            "nobody knows of which run they are; choose another folder, or delete this one to start anew."
        ) from None


def _differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What is not the same, in words."""
    if theirs.get("format") != ours["format"]:
        return ["checkpoints of another version of this course"]
    found = []
    for name, words in (("data", "data"), ("validation_data", "validation data")):
        if theirs[name] != ours[name]:
            found.append(f"other {words} ({_shown_data(theirs[name])}, not {_shown_data(ours[name])})")
    if theirs["start"]["sizes"] != ours["start"]["sizes"]:
        sizes = [f"{_parameters(note['start']):,}" for note in (theirs, ours)]
        found.append(f"a model of another size ({sizes[0]} parameters, not {sizes[1]})")
    elif theirs["start"] != ours["start"]:
        found.append("another starting model of the same size")
    before = theirs["settings"]
    for name, value in ours["settings"].items():
        if before.get(name) != value:
            found.append(f"{name} {before.get(name)!r}, not {value!r}")
    return found


def _shown_data(note: dict[str, Any]) -> str:
    reading = f", read {shown_reading(note)}" if "reading" in note else ""
    return f"{note['name'] or 'a data set'}, {note['images']:,} images{reading}, mark {note['fingerprint'][:6]}"


def _parameters(start: dict[str, Any]) -> int:
    return sum(int(np.prod(size)) for size in start["sizes"].values())


def _describe_data(dataset: CaptionDataset) -> dict[str, Any]:
    note = {"name": dataset.name, "images": len(dataset), "fingerprint": data_fingerprint(dataset)}
    return note | reading_note(dataset)


def _describe_model(model: CLIP) -> dict[str, Any]:
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    sizes = {".".join(map(str, path)): list(jax.tree.leaves(leaf)[0].shape) for path, leaf in state}
    dtype = str(np.dtype(model.vision.dtype))
    return {"fingerprint": weights_digest(model)[:16], "compute_dtype": dtype, "sizes": sizes}
