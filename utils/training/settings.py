"""What governs a run: one object that refuses what could not train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from utils.choices import AUGMENTATIONS, COMPUTE_DTYPES, LARGEST_SEED, SETTINGS

# The parts of a CLIP that can be kept as they are. A projection belongs to no tower.
PARTS = ("image_tower", "text_tower", "image_projection", "text_projection", "logit_scale")

CHOICES: dict[str, tuple[str | None, ...]] = {
    **{name: words for name, words in SETTINGS.items() if words},
    "augmentation": AUGMENTATIONS,
    "compute_dtype": (None, *COMPUTE_DTYPES),
}
ABOVE_ZERO = (
    *("batch_size", "epochs", "learning_rate", "max_gradient_norm", "workers", "keep_last", "lora_alpha"),
    *("images_on_device", "micro_batch_size", "lora_rank", "validate_every", "checkpoint_every", "patience"),
)


def _without_effect(default: Any) -> Any:
    """A setting that may change between stopping a run and resuming it: it does not affect the result."""
    return field(default=default, metadata={"without_effect": True})


@dataclass(frozen=True)
class TrainingSettings:
    """What governs a run; two runs with equal settings and data on one machine end with equal weights.

    A setting of None is off unless it says otherwise.
    """

    parts: ClassVar[tuple[str, ...]] = PARTS  # of the model, each of which can be kept as it is

    batch_size: int = 128  # pairs in the global batch, over all devices: each is a negative for all others
    epochs: int = 10  # passes over the training records
    learning_rate: float = 1e-4  # peak of the schedule
    warmup_steps: int = 50  # of the linear warm-up, at most a third of the run
    schedule: str = "linear"  # how the rate falls from the peak to zero: linear, as published, or cosine
    optimizer: str = "adamw"  # or adafactor as the published v1 (with a learning rate of 1e-4)
    b1: float = 0.9  # AdamW's decay of the mean of the gradients; Adafactor keeps none
    b2: float = 0.98  # AdamW's decay of the mean of their squares
    weight_decay: float = 0.1  # decoupled, scaled by the rate, on the matrices of linear layers only
    max_gradient_norm: float = 1.0  # gradients with a larger global norm are scaled down to it
    ema_decay: float | None = None  # of a moving average (0.999, say), which is validated and exported then
    loss: str = "multi_positive"  # takes equal and other captions of an image as right; plain, as published, as wrong
    captions: str = "one"  # drawn for each image and visit, or all, as published: an epoch has every pair once
    augmentation: str = "aerial"  # or zoom, published or none, see `utils.datasets.train_transform`
    # Images are kept on the devices, squares of so many pixels, and cut and turned there: for a GPU, which would wait
    # for the processor else. Views are drawn otherwise then, so the run is another one. None: files, batch by batch.
    images_on_device: int | None = None
    frozen_parts: tuple[str, ...] = ()  # which of `parts` stay as they are
    lora_rank: int | None = None  # so many directions of attention matrices, not the towers (Hu et al. 2021)
    lora_alpha: float = 16.0  # low-rank changes are scaled by lora_alpha / lora_rank
    # float32, bfloat16, auto for the faster one on this machine, or None as the model was loaded, for the transformers;
    # parameters, their reductions, similarities and loss are always float32.
    compute_dtype: str | None = None
    rematerialize: bool = False  # activations are computed again on the way back: slower, smaller
    micro_batch_size: int | None = None  # the whole batch's gradient in the memory of so many pairs (Gao et al. 2021)
    keep_best: bool = False  # the model with the best validation recall is exported, and not the last one
    patience: int | None = None  # epochs without a better validation recall, after which it stops
    validate_every: int = 1  # epochs between validations, each with a checkpoint; the last epoch always has one
    checkpoint_every: int | None = _without_effect(None)  # steps between checkpoints, besides those
    keep_last: int = _without_effect(2)  # checkpoints kept, besides that of the best epoch
    seed: int = 0  # of the order of the images, the augmentation and the captions drawn
    workers: int = _without_effect(2)  # threads that decode images
    tensorboard: bool = _without_effect(True)  # whether to write TensorBoard events beside the history

    def __post_init__(self) -> None:
        """Refuses what could not train, with a ValueError that names the setting, its value and what it must be."""
        object.__setattr__(self, "frozen_parts", tuple(self.frozen_parts))  # profiles write lists
        for name in ABOVE_ZERO:
            self._require(name, lambda value: value > 0, "above zero")
        for name in ("warmup_steps", "weight_decay"):
            self._require(name, lambda value: value >= 0, "zero or more")
        self._require("seed", lambda value: 0 <= value <= LARGEST_SEED, f"from 0 to {LARGEST_SEED:,}")
        for name in ("b1", "b2", "ema_decay"):
            self._require(name, lambda value: 0 <= value < 1, "at least 0 and below 1")
        for name, choices in CHOICES.items():
            shown = ", ".join(choice for choice in choices if choice)
            self._require(name, choices.__contains__, f"one of {shown}")
        if unknown := [part for part in self.frozen_parts if part not in self.parts]:
            raise ValueError(f"frozen_parts names {', '.join(unknown)}; there are {', '.join(self.parts)}.")
        if set(self.parts) == set(self.frozen_parts):
            raise ValueError("frozen_parts names every part, so nothing would be trained; leave one out.")
        if self.lora_rank and {"image_tower", "text_tower"} <= set(self.frozen_parts):
            raise ValueError("lora_rank is set but frozen_parts names both towers; leave one of them out.")
        idle = {"lora_alpha": "without lora_rank"} if self.lora_rank is None else {}
        idle |= {"b1": "with Adafactor", "b2": "with Adafactor"} if self.optimizer == "adafactor" else {}
        for name, when in idle.items():
            if self._differs(name):
                raise ValueError(f"{name} is {getattr(self, name)}, which has no effect {when}; leave it out.")
        if self.images_on_device and self.augmentation == "published":
            raise ValueError("images_on_device cannot be had with the augmentation published; choose aerial or zoom.")
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(f"micro_batch_size is {self.micro_batch_size}; it must divide {self.batch_size} pairs.")

    def _require(self, name: str, holds: Callable[[Any], bool], wanted: str) -> None:
        value = getattr(self, name)
        try:
            allowed = not self._differs(name) if value is None else holds(value)
        except TypeError:  # YAML gives 1e-5 as text
            allowed = False
        if not allowed:
            raise ValueError(f"{name} is {value!r}; it must be {wanted}.")

    def fitted_to(self, records: int) -> TrainingSettings:
        """These settings with a batch that so many training records fill; a micro-batch still divides it."""
        batch, micro = min(self.batch_size, max(records, 1)), self.micro_batch_size
        if micro is not None and batch % micro:
            batch, micro = (batch - batch % micro, micro) if batch > micro else (batch, None)
        return replace(self, batch_size=batch, micro_batch_size=micro)

    def _differs(self, name: str) -> bool:
        """Whether a setting is not what it is by default."""
        return getattr(self, name) != next(f.default for f in fields(self) if f.name == name)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that affect the result, by which runs are told apart, as JSON holds them."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata.get("without_effect")}
        return values | {"frozen_parts": list(self.frozen_parts)}
