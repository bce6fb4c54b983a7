"""The model card of a run: what it was trained on and how, what it reached, and how to use it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import jax
from flax import nnx

from utils import plots
from utils.datasets import reading_note, shown_reading
from utils.files import write_whole
from utils.training.category_captions import is_captioned_by_category
from utils.training.history import Row
from utils.training.objective import Objective
from utils.training.settings import TrainingSettings

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset


def write_card(
    model_dir: Path,
    model: Any,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    history: list[Row],
    exported_step: int,
    provenance: Sequence[Mapping[str, Any]],
    objective: Objective[Any],
) -> None:
    """Writes ``README.md`` and ``loss_curve.png`` beside the weights of ``model``, which is that of a step."""
    start = provenance[0]["model"] if provenance else {}
    set_to = {name: value for name, value in settings.identity.items() if name != "seed"}
    words = objective.card_words(model, validation_set, settings, history[exported_step - 1])
    figure_rows = _figure_rows(history, exported_step, words.pop("figure_rows"))
    text = Template(objective.card.read_text(encoding="utf-8")).substitute(
        base_model=f"base_model: {start['name']}\nbase_model_relation: finetune\n" if "revision" in start else "",
        data=train_set.name or "images with captions",
        pairs=f"{len(history) * settings.batch_size:,}",
        steps=f"{len(history):,}",
        name=model_dir.name,
        data_rows=f"{_data_row('train', train_set)}\n{_data_row('validation', validation_set)}",
        data_notes="".join(f"{note}\n\n" for note in _data_notes(train_set)),
        figure_rows="\n".join(figure_rows),
        seed=settings.seed,
        setting_rows="\n".join(f"| {name} | {_shown(value)} |" for name, value in set_to.items()),
        parameters=f"{sum(array.size for array in jax.tree.leaves(nnx.state(model, nnx.Param))):,}",
        size=model.preprocessing.image_size,
        made_with_rows="\n".join(_made_with_rows(provenance)),
        **words,
    )
    write_whole(model_dir / "loss_curve.png", _loss_curve(history, objective.chance(settings)))
    write_whole(model_dir / "README.md", text)


def _data_row(kind: str, dataset: CaptionDataset) -> str:
    captions = [caption for item in dataset for caption in item.captions]
    name = f"{kind}: {dataset.name}" if dataset.name else kind
    return f"| {name} | {len(dataset):,} | {len(captions):,} | {len(set(captions)):,} |"


def _data_notes(dataset: CaptionDataset) -> list[str]:
    """What is special about the images and captions; nothing where they are as published."""
    notes = []
    if is_captioned_by_category(dataset):
        notes.append(
            "Nobody described these images: their captions are CLIP's 18 published aerial prompts, filled with the "
            f"names of {len(dataset.categories)} categories. Fine-tuning taught the model these names and no other "
            "language."
        )
    if reading := shown_reading(reading_note(dataset)):
        notes.append(f"Images were read {reading}; read others of the sensor so, too.")
    return notes


def _figure_rows(history: list[Row], exported_step: int, validated: Sequence[str]) -> list[str]:
    minutes = sum(row["seconds"] for row in history) / 60
    return [
        f"| exported model | that of step {exported_step:,} of {len(history):,} |",
        f"| training loss of that step | {history[exported_step - 1]['loss']:.3f} |",
        *validated,
        f"| time in training steps | {minutes:.1f} minutes |",
    ]


def _made_with_rows(provenance: Sequence[Mapping[str, Any]]) -> list[str]:
    """Starting model, data, device and versions; the latter two again where they changed in the midst of the run."""
    if not provenance:
        return ["| versions | not noted |"]
    start, data = provenance[0]["model"], provenance[0]["data"]
    rows = [
        f"| start | {_named(start)}, weights {start['weights']} |",
        f"| data | {_named(data)}, mark {data['fingerprint']} |",
    ]
    for entry in provenance:
        device = entry["device"]
        since = f", from step {entry['from_step']:,} on" if entry["from_step"] else ""
        rows.append(f"| device{since} | {device['count']} x {device['kind']} ({device['platform']}) |")
        shown = ", ".join(map(" ".join, entry["versions"].items()))
        rows.append(f"| versions{since} | {shown} |")
    return rows


def _named(source: Mapping[str, str]) -> str:
    """A name, with the revision where it came from the Hub."""
    name = source.get("repository") or source.get("name") or "without a name"
    return f"{name} at revision {source['revision']}" if "revision" in source else name


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _loss_curve(history: list[Row], chance: float | None) -> bytes:
    ends = [row for row in history if "validation_loss" in row]
    figure = plots.loss_curves(
        [row["step"] for row in history],
        [row["loss"] for row in history],
        [row["step"] for row in ends],
        [row["validation_loss"] for row in ends],
        chance=chance,
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
