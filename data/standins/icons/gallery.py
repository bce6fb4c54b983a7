"""Icons drawn into a folder: to train the starting checkpoint on, and to see what it still knows after fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from standins.icons.captions import write_icon_captions
from standins.icons.render import DRAWINGS, render_icon
from utils.files import from_home, publish, workshop, write_whole

CAPTIONS_FILE = "icons.jsonl"
ICON_SIZE = 72  # height and width in pixels, a little more than the model takes in
PRETRAINING_SEED = 0  # of the icons that the starting checkpoint was trained on


@dataclass(frozen=True)
class WrittenIcon:
    """An icon on the disk.

    Attributes:
        path: Its PNG file.
        index: Which of its category it is, from 0.
        category: One of RSICD's thirty.
        captions: Five sentences.
    """

    path: Path
    index: int
    category: str
    captions: tuple[str, ...]


def write_icons(folder: Path, per_category: int, seed: int, size: int = ICON_SIZE) -> Iterator[WrittenIcon]:
    """Draws icons of every category into a folder, which is made if it is not there.

    Args:
        folder: Where the PNG files go.
        per_category: Icons of each category.
        seed: Each icon has its own generator, made from this and its number.
        size: Height and width in pixels.

    Yields:
        Each icon once it is written, the first of every category first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(per_category):
        for number, category in enumerate(DRAWINGS):
            rng = np.random.default_rng([seed, number, index])
            icon = render_icon(category, rng, size)
            path = folder / f"{category}_{index + 1}.png"
            icon.image.save(path, compress_level=1)
            yield WrittenIcon(path, index, category, tuple(write_icon_captions(icon, rng)))


def build_icons(folder: str | Path, per_category: int = 20, seed: int = 1) -> Path:
    """Draws icons that the starting checkpoint has never seen, once; a second call finds what is there.

    They are of the kind that it was trained on and of other seeds, so they show what a model that was fine-tuned
    on something else has forgotten. Six hundred take about four seconds.

    Args:
        folder: Where a new folder is made for them; its name tells number and seed.
        per_category: Icons of each of the thirty categories.
        seed: Governs the drawings and captions; not that of the pre-training.

    Returns:
        The captions file, beside the icons; all of them are of the split "test".

    Raises:
        ValueError: If `per_category` is less than 1, or the seed is negative or that of the pre-training.
        OSError: If the folder cannot be written.
    """
    if per_category < 1:
        raise ValueError(f"{per_category} icons of a category cannot be drawn; ask for 1 or more.")
    if seed < 0 or seed == PRETRAINING_SEED:
        raise ValueError(
            f"The icons of seed {seed} cannot be had: the starting checkpoint was trained on those of seed "
            f"{PRETRAINING_SEED}, and a seed is not negative. Choose 1 or more."
        )
    place = from_home(folder) / f"icons_{per_category}_seed_{seed}"
    if not (place / CAPTIONS_FILE).is_file():
        with workshop(place, "drawing icons") as draft:
            _write_with_captions(draft, per_category, seed)
            if not (place / CAPTIONS_FILE).is_file():  # else another process was quicker, with the same icons
                publish(draft, place)
    return place / CAPTIONS_FILE


def _write_with_captions(folder: Path, per_category: int, seed: int) -> None:
    lines = (
        {"filename": icon.path.name, "captions": icon.captions, "category": icon.category, "split": "test"}
        for icon in write_icons(folder, per_category, seed)
    )
    write_whole(folder / CAPTIONS_FILE, "".join(json.dumps(line) + "\n" for line in lines))
