"""What drawn images give before real ones: none, icons, or 1,500 to 40,000 rendered scenes, then the same RSICD.

    python -m standins.pretraining.rendered --data-dir FOLDER --seeds 0 1

Every arm has the same model (the shape of clip-miniature: 1.4 million parameters, 64 x 64 pixels) and tokenizer, sees
about 40,000 drawn images in all, be they 1,500 again and again or 40,000 once, and is then trained for 5 epochs on
RSICD's train split. A seed governs the drawn images, the first weights, the order and the views. Scored are the 1,027
test images with a category (k=1 among 30, "An aerial photograph of {}") and all with a caption (mean recall, strict);
nothing is chosen by these scores. An arm that was interrupted resumes; all five take an hour a seed on one core.

    python -m standins.pretraining.rendered --data-dir FOLDER --without airport center ...

trains each arm a second time, on no real image of these categories, and scores how many of their test images are found
among all 30 names, either way.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from standins.pretraining.clip import AERIAL_ENGLISH, icons_to_train_on, starter_config, train_tokenizer
from standins.pretraining.earth import retrieval_of, unlike_held_out
from standins.scenes import CATEGORIES, build_miniature
from utils.clip import CLIP
from utils.datasets import CaptionDataset, load_dataset
from utils.evaluation import zero_shot
from utils.plots.look import BLUE, GRAY, INK, new_panels, styled
from utils.training import TrainingSettings, train

ROOT = Path(__file__).resolve().parents[3]
SEEN = 40_000  # drawn images that every arm sees
SCENES = {"1500-scenes": 50, "10000-scenes": 334, "40000-scenes": 1334}  # of each category
ICONS = 371  # of each category, of which every tenth is held out
ARMS = ("none", "icons", *SCENES)
METRICS = {"k=1": "k=1 among 30 names", "recall": "mean recall"}
LEFT_OUT = "k=1 of those left out"
DRAWN = TrainingSettings(batch_size=64, learning_rate=1.5e-3, warmup_steps=100)  # as clip-miniature learned icons
Scores = dict[str, list[dict[str, float]]]  # of each arm, one a seed
REAL = TrainingSettings(batch_size=128, epochs=5, learning_rate=1e-3, warmup_steps=50, validate_every=5)


def drawn_images(arm: str, folder: Path, seed: int) -> CaptionDataset:
    """The icons or scenes of an arm: of each category as many; a smaller number of scenes is a part of the larger."""
    if arm == "icons":
        return icons_to_train_on(folder / "icons", ICONS, seed)
    counts = {"train": SCENES["40000-scenes"], "val": 4}
    scenes = load_dataset("miniature", build_miniature(folder / "scenes", seed + 1, counts))
    wanted = {f"{category}_{number + 1}" for category in CATEGORIES for number in range(SCENES[arm])}
    kept = (item for item in scenes if item.split == "val" or item.path.stem in wanted)
    return CaptionDataset(kept, "scenes", splits=("train", "val"))


def pretrained(model: CLIP, arm: str, folder: Path, seed: int) -> CLIP:
    """The model after it has seen its drawn images."""
    if arm == "none":
        return model
    drawn = drawn_images(arm, folder, seed)
    of_an_epoch = len(drawn.split("train")) // DRAWN.batch_size * DRAWN.batch_size
    epochs = round(SEEN / of_an_epoch)
    settings = replace(DRAWN, seed=seed, epochs=epochs, validate_every=epochs)
    return train(model, drawn.split("train"), drawn.split("val"), settings, folder / arm / "drawn").model


def scores_of(model: CLIP, test: CaptionDataset, without: Sequence[str]) -> dict[str, float]:
    """k=1 and mean recall on the test images, and k=1 of those of some categories alone."""
    found = zero_shot(model, test, "documents")
    scores = {"k=1": found.score(), "recall": retrieval_of(model, test).mean_recall}
    watched = np.isin(found.labels, [found.class_names.index(name) for name in without])
    return scores | ({LEFT_OUT: float(np.mean(found.hits()[watched]))} if without else {})


def real_images(rsicd: CaptionDataset, without: Sequence[str]) -> dict[str, CaptionDataset]:
    """What an arm is trained on, by the folder that its run gets: all, and all but some categories."""
    images = {"real": unlike_held_out(rsicd).with_cache()}
    if without:
        kept = (item for item in images["real"] if item.category not in without)
        images["_".join(("without", *without))] = CaptionDataset(kept, "rsicd", splits=("train",)).with_cache()
    return images


def after_real(start: CLIP, images: CaptionDataset, rsicd: CaptionDataset, seed: int, output: Path) -> CLIP:
    """The model after the real images; a training that was finished in the folder is not done again."""
    return train(start, images, rsicd.split("val").captioned(), replace(REAL, seed=seed), output).model


def run(data_dir: Path, folder: Path, seeds: list[int], arms: list[str], without: Sequence[str] = ()) -> Scores:
    """Trains what has not been yet, and scores it all: for each arm, and each arm without, one row a seed."""
    rsicd = load_dataset("rsicd", data_dir)
    real, test = real_images(rsicd, without), rsicd.split("test")
    words = [caption for item in real["real"] for caption in item.captions]
    tokenizer = train_tokenizer([*words, *AERIAL_ENGLISH * 3], 2048)
    scores = Scores()
    for seed, arm in itertools.product(seeds, arms):
        model = CLIP(starter_config(tokenizer), rngs=nnx.Rngs(seed), tokenizer=tokenizer)
        start = pretrained(model, arm, folder / str(seed), seed)
        for kind, images in real.items():
            name = arm if kind == "real" else f"{arm}, {kind.replace('_', ' ')}"
            trained = after_real(start, images, rsicd, seed, folder / str(seed) / arm / kind)
            scores.setdefault(name, []).append(scores_of(trained, test, without))
            print(f"seed {seed}, {name}: {scores[name][-1]}", flush=True)
    return scores


@styled
def drawing(scores: Scores) -> Figure:
    """One point a seed, a stroke at their mean."""
    figure, panels = new_panels(10, 3.4, columns=len(METRICS))
    for axis, (metric, label) in zip(panels[0], METRICS.items(), strict=True):
        for place, (arm, of_seeds) in enumerate(scores.items()):
            values = [row[metric] for row in of_seeds]
            axis.scatter([place] * len(values), values, color=GRAY if arm == "none" else BLUE, s=28, zorder=3)
            axis.hlines(statistics.mean(values), place - 0.25, place + 0.25, color=INK, linewidth=1.2)
        axis.set_xticks(range(len(scores)), [arm.replace("-", "\n") for arm in scores])
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    return figure


def main() -> None:
    """Measures and prints from the command line, and draws if asked to."""
    parser = argparse.ArgumentParser(description="Measure what drawn images give before the same real training.")
    parser.add_argument("--data-dir", type=Path, required=True, help="holds RSICD, see data/README.md")
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "pretraining", help="drawn images, runs, results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--without", nargs="+", choices=CATEGORIES, default=[], help="categories to leave out, too")
    parser.add_argument("--figure", type=Path, help="where the figure goes")
    arguments = parser.parse_args()
    scores = run(arguments.data_dir, arguments.run, arguments.seeds, arguments.arms, arguments.without)
    print(f"seeds {arguments.seeds} on {jax.devices()[0].device_kind}: mean (each seed)")
    for arm, of_seeds in scores.items():
        cells = []
        for metric in of_seeds[0]:
            values = [row[metric] for row in of_seeds]
            cells.append(f"{statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})")
        print(f"| {arm} | {' | '.join(cells)} |")
    if arguments.figure:
        drawing(scores).savefig(arguments.figure, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
