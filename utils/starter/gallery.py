"""Icons to be looked at again: what the starting checkpoint knew before it was fine-tuned on scenes."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from utils.datasets import CaptionDataset, load_dataset
from utils.files import disk_trouble_in_words, write_whole
from utils.starter.pretraining import StarterSettings, write_icons

CAPTIONS_FILE = "icons.jsonl"


def icon_dataset(folder: str | Path, per_category: int = 10, seed: int = 1) -> CaptionDataset:
    """Draws icons that the starting checkpoint has never seen, once; a second call reads what is there.

    They are of the kind that it was trained on and of other seeds, so they show what a model that was fine-tuned
    on something else has forgotten. Three hundred take about two seconds.

    Args:
        folder: Where a folder of their own is made for them; its name tells number and seed.
        per_category: Icons of each of the thirty categories.
        seed: Governs the drawings and captions; not that of the pre-training.

    Returns:
        The icons, all of the split "test", with category and captions.

    Raises:
        ValueError: If `per_category` is less than 1, or the seed is negative or that of the pre-training.
        OSError: If the folder cannot be written.
    """
    if per_category < 1:
        raise ValueError(f"{per_category} icons of a category cannot be drawn; ask for 1 or more.")
    if seed < 0 or seed == StarterSettings.seed:
        raise ValueError(
            f"The icons of seed {seed} cannot be had: the starting checkpoint was trained on those of seed "
            f"{StarterSettings.seed}, and a seed is not negative. Choose 1 or more."
        )
    place = Path(folder).expanduser() / f"icons_{per_category}_seed_{seed}"
    if not (place / CAPTIONS_FILE).is_file():
        with disk_trouble_in_words(place):
            _draw(place, per_category, seed)
    return load_dataset(place / CAPTIONS_FILE)


def _draw(place: Path, per_category: int, seed: int) -> None:
    """Draws into a temporary folder beside the place and moves it there, so that half of it is never seen."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        icons = write_icons(temporary, per_category, seed, StarterSettings.icon_size)
        lines = (
            {
                "filename": item.name,
                "captions": item.captions,
                "category": item.category,
                "split": "test",
            }
            for item in icons
        )
        write_whole(temporary / CAPTIONS_FILE, "".join(json.dumps(line) + "\n" for line in lines))
        temporary.chmod(0o755)
        try:
            temporary.rename(place)
        except OSError:
            # Somebody else was quicker and has drawn the same.
            if not (place / CAPTIONS_FILE).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
