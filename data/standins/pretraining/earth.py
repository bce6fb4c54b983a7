"""The small CLIP that knows real images from above: trained on RSICD and UCM, from nothing or from rendered scenes.

    python -m standins.pretraining.earth --data-dir FOLDER

trains a tokenizer and a model on the train splits in FOLDER, by the very loop that the course fine-tunes with
(`utils.training`), and writes data/checkpoints/clip-earth-small/ in transformers' own format. Images that show the same
as one of val or test, of either data set, are not trained on. It takes a few minutes on a GPU and hours on two
cores; the same command resumes a run that was interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flax import nnx

from standins.pretraining.clip import AERIAL_ENGLISH, MAX_TOKENS, train_tokenizer
from standins.scenes import build_miniature
from utils.clip import CLIP, embed_texts
from utils.datasets import CaptionDataset, load_dataset
from utils.datasets.formats import read_jsonl
from utils.evaluation import (
    PROTOCOLS,
    distinct_captions,
    embed_dataset,
    find_near_duplicates,
    score_retrieval,
    zero_shot,
)
from utils.files import read_json, write_whole
from utils.finder import PresenceModel, calibrate_presence, evaluate_presence, learn_aerial
from utils.training import TrainingSettings, train

if TYPE_CHECKING:
    from transformers import CLIPConfig, CLIPTokenizer

    from utils.evaluation.retrieval import RetrievalResult

ROOT = Path(__file__).resolve().parents[3]
CHECKPOINT_FOLDER = ROOT / "data" / "checkpoints" / "clip-earth-small"
MADE_BY = "training.json"  # beside the weights: what governed the run, and what it took
PRESENCE = "presence.json"  # beside the weights: what says whether an image shows a feature, and whether it is aerial
DATA_SETS = ("rsicd", "ucm")
# What an image's category says of it, beside its captions: as people write the name, and as file names spell it.
CATEGORY_PROMPTS = (PROTOCOLS["documents"], PROTOCOLS["split_names"])


@dataclass(frozen=True)
class EarthSettings:
    """What governs the making of the small Earth model; the defaults made the checkpoint that is committed."""

    seed: int = 0  # of the scenes, the first weights and the training
    scenes: int = 0  # rendered ones that it learns from before the real images
    scene_steps: int = 1500  # batches of them
    without: tuple[str, ...] = ()  # categories whose images are not trained on
    vocabulary_size: int = 3072  # at most so many entries of the tokenizer
    image_size: int = 96  # in pixels, as the others of images
    kept_size: int = 128  # that of the squares from which views are cut
    patch_size: int = 8
    width: int = 256  # of the vision transformer, with heads of 64
    layers: int = 6
    text_width: int = 192
    text_layers: int = 4
    dim: int = 256  # of the common space
    epochs: int = 150
    batch_size: int = 512
    learning_rate: float = 1e-3  # peak of a cosine schedule
    warmup_steps: int = 300
    weight_decay: float = 0.2
    compute_dtype: str = "bfloat16"


def build_earth(
    data_dir: Path, run: Path, settings: EarthSettings = EarthSettings(), paraphrases: Path | None = None
) -> CLIP:
    """Trains the model in the folder of a run, or resumes there, and gives the one of the best validation recall."""
    train_set, validation_set = images_to_learn_from(data_dir, settings.without)
    if paraphrases:
        train_set = with_paraphrases(train_set, paraphrases)
    texts = [caption for item in train_set for caption in item.captions]
    tokenizer = train_tokenizer([*texts, *AERIAL_ENGLISH * 3], settings.vocabulary_size)
    model = CLIP(earth_config(tokenizer, settings), rngs=nnx.Rngs(settings.seed), tokenizer=tokenizer)
    training = training_settings(settings)
    if settings.scenes:
        scenes = rendered_scenes(run / "scenes", settings)
        few = replace(training, keep_best=False, patience=None).fitted_to(len(scenes.split("train")))
        few = replace(few, epochs=-(-settings.scene_steps // (len(scenes.split("train")) // few.batch_size)))
        model = train(model, scenes.split("train"), scenes.split("val"), few, run / "on_scenes").model
    result = train(model, train_set, validation_set, training, run / "on_images")
    note = {
        "settings": asdict(settings),
        "images": len(train_set),
        "captions": sum(len(set(item.captions)) for item in train_set),
        "paraphrases": paraphrases.name if paraphrases else None,
        "exported_step": result.exported_step,
        "validation_recall": max(row.get("validation_recall", 0.0) for row in result.history),
        "minutes": sum(row["seconds"] for row in result.history) / 60,
        "made_with": read_json(run / "on_images" / "run.json").get("provenance", []),
    }
    write_whole(run / MADE_BY, json.dumps(note, indent=2) + "\n")
    return result.model


def both_data_sets(data_dir: Path) -> CaptionDataset:
    """All splits of RSICD and UCM."""
    first, second = (load_dataset(name, data_dir) for name in DATA_SETS)
    return first + second


def images_to_learn_from(data_dir: Path, without: Sequence[str] = ()) -> tuple[CaptionDataset, CaptionDataset]:
    """The train and val images of both data sets, with their captions; those of train say their category, too.

    What shows the same as an image of val or test, of either data set, is not among those of train, and neither is an
    image of a category to do without. A ValueError names a category that none has.
    """
    both = both_data_sets(data_dir)
    if unknown := sorted(set(without) - set(both.categories)):
        raise ValueError(f"No image is of {', '.join(unknown)}; the categories are {', '.join(both.categories)}.")
    kept = [
        replace(item, captions=(*item.captions, *category_captions(item.category)))
        for item in unlike_held_out(both)
        if item.category not in without
    ]
    print(f"{len(kept):,} images to train on.")
    return CaptionDataset(kept, both.name, splits=("train",)), both.split("val").captioned()


def unlike_held_out(dataset: CaptionDataset) -> CaptionDataset:
    """The train images with captions that do not show the same as one of val or test, and says how many do."""
    held_out = {item.path for item in dataset if item.split != "train"}
    seen_elsewhere = set()
    for pair in find_near_duplicates(dataset):
        paths = {pair.first.path, pair.second.path}
        seen_elsewhere |= paths - held_out if paths & held_out else set()
    print(f"Train images that show what is held out, and are left out: {len(seen_elsewhere)}")
    kept = (item for item in dataset.split("train").captioned() if item.path not in seen_elsewhere)
    return CaptionDataset(kept, dataset.name, splits=("train",))


def with_paraphrases(dataset: CaptionDataset, path: Path) -> CaptionDataset:
    """Adds what a .jsonl, as `utils.translation` writes it, says in other words of images of RSICD."""
    written = {Path(entry.filename).name: entry.captions for entry in read_jsonl(path)}
    items = (
        replace(item, captions=tuple(dict.fromkeys((*item.captions, *written.get(item.name, ())))))
        if item.source == "rsicd"
        else item
        for item in dataset
    )
    return CaptionDataset(items, dataset.name, splits=dataset.splits)


def category_captions(category: str | None) -> tuple[str, ...]:
    """What stands in the captions for a category, each text once."""
    prompts = (text for protocol in CATEGORY_PROMPTS for text in protocol.prompts(category or ""))
    return tuple(dict.fromkeys(prompts)) if category else ()


def rendered_scenes(folder: Path, settings: EarthSettings) -> CaptionDataset:
    """Scenes drawn by `standins.scenes`, as many of each of the thirty categories, with a few for validation."""
    counts = {"train": -(-settings.scenes // 30), "val": 4}
    drawn = build_miniature(folder, seed=settings.seed + 1, images_per_split=counts)
    return load_dataset("miniature", drawn)


def earth_config(tokenizer: CLIPTokenizer, settings: EarthSettings) -> CLIPConfig:
    """The shape of the model: its folder stays below 16 MB in float16."""
    from transformers import CLIPConfig

    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = _tower(settings.text_width, settings.text_layers) | special
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": MAX_TOKENS}
    vision = _tower(settings.width, settings.layers)
    vision |= {"image_size": settings.image_size, "patch_size": settings.patch_size}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=settings.dim)


def _tower(width: int, layers: int) -> dict[str, Any]:
    heads = max(width // 64, 1)
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def training_settings(settings: EarthSettings) -> TrainingSettings:
    """Those of `utils.training`: strong views from above, a cosine, an average of the weights, the best epoch."""
    taken_over = ("seed", "epochs", "batch_size", "learning_rate", "warmup_steps", "weight_decay", "compute_dtype")
    return TrainingSettings(
        **{name: getattr(settings, name) for name in taken_over},
        schedule="cosine",
        augmentation="zoom",
        images_on_device=settings.kept_size,
        ema_decay=0.999,
        keep_best=True,
        validate_every=max(1, settings.epochs // 5),
        patience=max(1, settings.epochs // 5),  # the recall falls once it has begun to
        workers=8,
    )


def write_presence(folder: Path, data_dir: Path) -> Path:
    """Calibrates on val images, for the model in a folder, when a feature is present; the file lies beside the weights.

    Mosaics are of RSICD, since UCM has other names for the same; images of both tell what an image from above is.
    """
    model, both = CLIP.from_pretrained(folder), both_data_sets(data_dir)
    presence = calibrate_presence(model, load_dataset(DATA_SETS[0], data_dir, split="val"))
    aerial = learn_aerial(model, both.split("train"), both.split("val"))
    return replace(presence, aerial=aerial).save(folder / PRESENCE)


def scores(folder: Path, data_dir: Path) -> dict[str, Any]:
    """What the model in a folder reaches on the test splits, with intervals over images where a score is of images."""
    model, figures = CLIP.from_pretrained(folder), dict[str, Any]()
    for name in DATA_SETS:
        test = load_dataset(name, data_dir, split="test")
        for protocol in ("documents", "split_names", "ensemble"):
            figures[f"{name}: k=1, {protocol}"] = zero_shot(model, test, protocol).interval()
        figures[f"{name}: mean recall, strict"] = retrieval_of(model, test).interval()
    test = load_dataset(DATA_SETS[0], data_dir, split="test")
    report = evaluate_presence(model, PresenceModel.load(folder / PRESENCE), test)
    for part, of in (("single images", report.singles), ("mosaics", report.mosaics)):
        figures[f"{DATA_SETS[0]}: presence in {part}, area under the curve"] = f"{of.auc:.3f}"
    return figures


def retrieval_of(model: CLIP, dataset: CaptionDataset) -> RetrievalResult:
    """How well images and captions find each other; an image's own captions alone are right."""
    images, found = embed_dataset(model, dataset.captioned())
    captions = [item.captions for item in found]
    return score_retrieval(images, embed_texts(model, distinct_captions(captions)), captions)


def write_readme(folder: Path, figures: Mapping[str, Any]) -> None:
    """Says in the checkpoint's folder what it is, how it was made, and what it reaches."""
    note = read_json(folder / MADE_BY)
    weights = sum(np.size(array) for array in CLIP.from_pretrained(folder).transformers_weights().values())
    rows = "\n".join(f"| {name} | {figure} |" for name, figure in figures.items())
    device = note["made_with"][0]["device"]["kind"] if note["made_with"] else "a device that was not noted"
    text = README.format(rows=rows, millions=weights / 1e6, device=device, **note | note["settings"])
    write_whole(folder / "README.md", text)


README = """# clip-earth-small: a small CLIP that knows real images from above

A CLIP of {millions:.1f} million parameters for images of {image_size}x{image_size} pixels, stored as float16 in
transformers' own format. It was trained from nothing on {images:,} images of the train splits of RSICD and UCM with
{captions:,} captions: their own, those that CLIP-rsicd published as back-translated, and "An aerial photograph of" with
the category of an image. So it has been taught the categories of these two data sets by name, and what it scores below
is no measure of names that it has never met: [a smaller model](../../../docs/rendered_scenes.md#categories-left-out)
was right hardly more often than a guess on six categories whose images it had not been trained on.

| on test images | value, 95 % of bootstrap draws in brackets |
|---|---|
{rows}

k=1 is the share of images whose category is the best of 30 (RSICD) or 21 (UCM). "documents" is the published prompt
with unsplit names, "split_names" the same with names of several words written so, "ensemble" CLIP's 18 aerial prompts,
none of which it was trained on; mean recall counts an image's own captions alone. On RSICD's test images OpenAI's
ViT-B/32, with 86 million parameters in its image tower, has 0.572 (published with the first prompt) and a mean recall
of 0.156 (VT-RSBS).

`presence.json` lets the finder (`utils.finder`) say how probable it is that an image shows a feature, calibrated on
mosaics of RSICD's val images; presence above is measured on mosaics of its test images. It also tells images that
differ more from training images than 99 % of the val images do: [what that catches and what
not](../../../docs/search_page.md#is-it-there-at-all-and-is-it-from-above).

[What it finds among UCM's test images](../../../docs/earth_small.md#what-it-finds-in-real-images), right and wrong
alike, is drawn where the site is built beside them.

## How it was made

    python -m standins.pretraining.earth --data-dir FOLDER --paraphrases textaug_train_rsicd.jsonl

with seed {seed}: batches of {batch_size}, learning rate {learning_rate:g} after {warmup_steps} steps, a cosine over
{epochs} epochs, weight decay {weight_decay:g}, views of 30 to 100 % of an image in all eight symmetries, multi-positive
loss, an average of the weights. The best model on the val splits is that of step {exported_step:,} (mean recall
{validation_recall:.3f}); after it the recall fell. {minutes:.1f} minutes of training steps on one {device}. Images that
show the same as one of val or test, of either data set, were left out; test images were not looked at while choosing.
For this run the images were copies of 128x128 pixels (WebP); the command reduces the originals itself, so that its
model differs a little. It has not been run on two cores, where it takes hours.

## Limits

Two data sets of a few thousand images, most of them at 0.3 to 3 meters a pixel, taught it all that it knows: some forty
kinds of places and the plain English of their captions. RSICD is provided to researchers, without an explicit license,
and these weights are offered likewise; UCM's images are in the public domain.
"""


def main() -> None:
    """Trains, scores and writes the checkpoint from the command line."""
    defaults = EarthSettings()
    names = [name for name in asdict(defaults) if name != "without"]
    parser = argparse.ArgumentParser(description="Train the small CLIP that knows real images from above.")
    parser.add_argument("--data-dir", type=Path, required=True, help="holds RSICD and UCM_captions, see data/README.md")
    parser.add_argument("--output", type=Path, default=CHECKPOINT_FOLDER, help="the checkpoint folder")
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "earth", help="checkpoints, to resume from")
    parser.add_argument("--paraphrases", type=Path, help="a .jsonl of more captions for RSICD's train images")
    parser.add_argument("--without", nargs="+", default=(), help="categories whose images are not trained on")
    parser.add_argument("--set", nargs="+", default=(), metavar="NAME=VALUE", help=f"of {', '.join(names)}")
    arguments = parser.parse_args()
    changed = {}
    for pair in arguments.set:
        name, _, value = pair.partition("=")
        if name not in names:
            parser.error(f"--set has no {name}; there are {', '.join(names)}")
        kind = type(getattr(defaults, name))
        try:
            changed[name] = kind(value)
        except ValueError:
            parser.error(f"--set {pair}: {value!r} is no {kind.__name__}")
    if arguments.paraphrases and not arguments.paraphrases.is_file():
        parser.error(f"there is no {arguments.paraphrases}; leave --paraphrases out, or name the .jsonl")
    settings = replace(defaults, without=tuple(arguments.without), **changed)
    model = build_earth(arguments.data_dir, arguments.run, settings, arguments.paraphrases)
    model.save_pretrained(arguments.output, weights_dtype=np.float16)
    shutil.copy(arguments.run / MADE_BY, arguments.output / MADE_BY)
    write_presence(arguments.output, arguments.data_dir)
    write_readme(arguments.output, scores(arguments.output, arguments.data_dir))
    print((arguments.output / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
