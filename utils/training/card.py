"""The model card of a run: what it was trained on and how, what it reached, and how to use it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from utils import plots
from utils.clip import CLIP
from utils.datasets import reading_note, shown_reading
from utils.files import write_whole
from utils.training.category_captions import is_captioned_by_category
from utils.training.history import Row
from utils.training.settings import TrainingSettings

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

CARD = """---
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags:
- clip
- remote-sensing
{base_model}---

# A CLIP fine-tuned on {data}

Made from the run itself: {pairs:,} image-caption pairs in {steps:,} steps. It is used like any CLIP of
`transformers`: for zero-shot classification of images taken from above, and for finding them by words.

## Use

```python
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

model = CLIPModel.from_pretrained("{name}")
processor = CLIPProcessor.from_pretrained("{name}")

image = Image.open("stadium_1.jpg")
labels = ["residential area", "playground", "stadium", "forest", "airport"]
prompts = [f"a photo of a {{label}}" for label in labels]
inputs = processor(text=prompts, images=image, return_tensors="pt", padding=True)
probabilities = model(**inputs).logits_per_image.softmax(dim=1)[0]
for label, probability in zip(labels, probabilities):
    print(f"{{label:<20}} {{probability:.1%}}")
```

## Data

| | images | captions | distinct captions |
|---|---|---|---|
{data_rows}

{data_notes}The choice of the model and every figure below rest on these images; test images were not looked at.

## Figures of the run

| | |
|---|---|
{figure_rows}

Protocol: validation images are resized and cropped at the center, without augmentation. The validation loss compares
each image with its first caption in batches of {loss_batch}; guessing costs {chance:.2f} nats. The recall is the mean
of recall@1, @5 and @10 from image to text and from text to image, over all validation images and their distinct
captions; any caption of the image, word for word, counts as found. Its interval is a bootstrap over the queries;
what another seed of the training would change is not in it. One run, seed {seed}.

![Training loss at each step and validation loss where it was measured](loss_curve.png)

## Settings

| | |
|---|---|
{setting_rows}

{parameters:,} parameters, images of {size} x {size} pixels.

## Made with

| | |
|---|---|
{made_with_rows}

## Limits

Measured on data like those it was trained on; how it does on other sensors, scales or regions has not been
measured. The licenses of the starting weights and of the data apply.
"""


def write_card(
    model_dir: Path,
    model: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    history: list[Row],
    exported_step: int,
    provenance: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes ``README.md`` and ``loss_curve.png`` beside a model's weights.

    ``history`` has one row a step; ``model`` is that of ``exported_step``, and ``provenance`` is what it was made with,
    as `utils.training.identity.provenance_of` gives it.
    """
    loss_batch = min(settings.batch_size, len(validation_set))
    text = CARD.format(
        data=train_set.name or "images with captions",
        pairs=len(history) * settings.batch_size,
        steps=len(history),
        name=model_dir.name,
        data_rows="\n".join([_data_row("train", train_set), _data_row("validation", validation_set)]),
        data_notes="".join(f"{note}\n\n" for note in _data_notes(train_set)),
        figure_rows="\n".join(_figure_rows(history, exported_step)),
        loss_batch=loss_batch,
        chance=np.log(loss_batch),
        seed=settings.seed,
        setting_rows="\n".join(
            f"| {name} | {_shown(value)} |" for name, value in settings.identity.items() if name != "seed"
        ),
        parameters=sum(array.size for array in model.transformers_weights().values()),
        size=model.preprocessing.image_size,
        base_model=_base_model(provenance),
        made_with_rows="\n".join(_made_with_rows(provenance)),
    )
    write_whole(model_dir / "loss_curve.png", _loss_curve(history, settings))
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


def _figure_rows(history: list[Row], exported_step: int) -> list[str]:
    exported = history[exported_step - 1]
    rows = [f"| exported model | that of step {exported_step:,} of {len(history):,} |"]
    shown = {"loss": "training loss of that step", "validation_loss": "validation loss"}
    for name, words in (shown | {"validation_recall": "validation recall"}).items():
        if name in exported:
            bounds = [exported.get(f"{name}_{side}") for side in ("low", "high")]
            interval = "" if None in bounds else f", 95 % interval {bounds[0]:.3f} to {bounds[1]:.3f}"
            rows.append(f"| {words} | {exported[name]:.3f}{interval} |")
    minutes = sum(row["seconds"] for row in history) / 60
    return [*rows, f"| time in training steps | {minutes:.1f} minutes |"]


def _base_model(provenance: Sequence[Mapping[str, Any]]) -> str:
    """The line of the card's metadata about the starting model, where the Hub has it."""
    start = provenance[0]["model"] if provenance else {}
    return f"base_model: {start['name']}\nbase_model_relation: finetune\n" if "revision" in start else ""


def _made_with_rows(provenance: Sequence[Mapping[str, Any]]) -> list[str]:
    """Starting model, data, device and versions; the latter two again where they changed in the midst of the run."""
    if not provenance:
        return ["| versions | not noted |"]
    start, data = provenance[0]["model"], provenance[0]["data"]
    rows = [f"| start | {_named(start)}, weights {start['weights']} |"]
    rows.append(f"| data | {_named(data)}, mark {data['fingerprint']} |")
    for entry in provenance:
        device = entry["device"]
        since = f", from step {entry['from_step']:,} on" if entry["from_step"] else ""
        rows.append(f"| device{since} | {device['count']} x {device['kind']} ({device['platform']}) |")
        shown = ", ".join(f"{name} {version}" for name, version in entry["versions"].items())
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


def _loss_curve(history: list[Row], settings: TrainingSettings) -> bytes:
    ends = [row for row in history if "validation_loss" in row]
    figure = plots.loss_curves(
        [row["step"] for row in history],
        [row["loss"] for row in history],
        [row["step"] for row in ends],
        [row["validation_loss"] for row in ends],
        chance=float(np.log(settings.batch_size)),
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
