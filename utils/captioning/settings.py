"""What governs the training of a captioner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from utils.training import TrainingSettings

# Settings that have no meaning here, and what to do instead.
_NOT_HERE = {
    "loss": "captions are learned word by word, and no other caption of a batch is wrong",
    "optimizer": "a captioner is trained by adamw",
    "lora_rank": "name the image tower or the decoder in frozen_parts to keep it as it is",
    "rematerialize": "micro_batch_size saves memory here",
}


@dataclass(frozen=True)
class CaptioningSettings(TrainingSettings):
    """`TrainingSettings` with what fits captions by default; those that have no meaning here are a ValueError.

    A batch has no negatives, so its size is one of speed and noise, and a micro-batch gives the same gradient.
    """

    parts: ClassVar[tuple[str, ...]] = ("image_tower", "mapper", "decoder")

    batch_size: int = 64  # images in the global batch, over all devices, each with a caption
    learning_rate: float = 1e-3  # peak of the schedule; of a published GPT-2 rather 1e-4
    frozen_parts: tuple[str, ...] = ("image_tower",)  # which of `parts` stay as they are
    keep_best: bool = True  # the model with the best validation CIDEr-D is exported, and not the last one
    caption_tokens: int = 32  # read of a caption, its end included, and written of one

    def __post_init__(self) -> None:
        """Refuses what could not train, with a ValueError that names the setting, its value and what it must be."""
        super().__post_init__()
        self._require("caption_tokens", lambda value: value > 1, "above one")
        for name, instead in _NOT_HERE.items():
            if self._differs(name):
                raise ValueError(f"{name} is {getattr(self, name)!r}, which no captioner has; {instead}.")
