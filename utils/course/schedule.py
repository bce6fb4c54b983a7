"""The schedule: which notebook waits for which, and which may run beside another one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from utils import ACCELERATORS
from utils.files.workers import usable_cores

# Bytes that must be free for a second notebook, and how many more for each of the trained model's: it is trained again.
MEMORY_BESIDE, MEMORY_OF_WEIGHTS = 4 * 2**30, 10


@dataclass(frozen=True)
class Beside:
    """Of a notebook that may run beside another one: those that it waits for, and the results that it leaves."""

    waits_for: tuple[str, ...]
    leaves: tuple[str, ...] = ()  # of `ledger.PASSED_ON`


# By the stem. Any other notebook runs alone, behind all before it: it measures time, or it is not known what it reads.
BESIDE = {
    "05_evaluate_zero_shot": Beside(("04_finetune_clip",), ("evaluation",)),
    "07_find_features": Beside(("04_finetune_clip",), ("presence.json", "scene.jpg")),
    "08_beyond_rsicd": Beside(("04_finetune_clip",)),
    "09_caption_images": Beside(("04_finetune_clip",)),
}


def waits_for(stem: str, stems: Iterable[str]) -> list[str]:
    """Those of the notebooks ``stems``, in reading order, that a notebook waits for: what they leave it may read."""
    earlier = [one for one in sorted(stems) if one < stem]
    return [one for one in earlier if stem not in BESIDE or one in BESIDE[stem].waits_for]


def next_to_start(waiting: Sequence[Path], running: Collection[Path], output_dir: Path) -> Path | None:
    """The first of the waiting notebooks that may start beside those that run; None if it has to wait for their end."""
    unfinished = {path.stem for path in (*waiting, *running)}
    for path in waiting:
        beside = path.stem in BESIDE and all(one.stem in BESIDE for one in running)
        if not waits_for(path.stem, unfinished) and (not running or (beside and has_room_beside(running, output_dir))):
            return path
    return None


def has_room_beside(running: Collection[Path], output_dir: Path) -> bool:
    """Whether a second notebook may start: there are cores and memory for it, and no accelerator, which one takes."""
    weights = sum(file.stat().st_size for file in (output_dir / "finetuned" / "model").glob("*.safetensors"))
    has_memory = psutil.virtual_memory().available >= MEMORY_BESIDE + MEMORY_OF_WEIGHTS * weights
    return len(running) < 2 <= usable_cores() and has_memory and not any(map(find_spec, ACCELERATORS))
