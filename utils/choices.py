"""Words and bounds of parameters, each written once: for the rooms that act on them and for what refuses others early.

They stand on the ground so that the runner of the course can ask for them without the packages that act on them.
"""

AUGMENTATIONS = ("aerial", "zoom", "published", "none")
TRANSLATION_ENGINES = ("auto", "ctranslate2", "ctranslate2-int8", "transformers")
COMPUTE_DTYPES = ("float32", "bfloat16", "auto")
PROMPTS = ("documents", "script", "notebook")  # the published ones by name; any other is a template
CAPTION_CHOICES = ("one", "all")
# What SETTINGS may name, of `utils.training.TrainingSettings` all that has no parameter of its own; with the words that
# it may be, where it is one of several.
SETTINGS: dict[str, tuple[str, ...]] = {
    "captions": CAPTION_CHOICES,
    "loss": ("multi_positive", "plain"),
    "optimizer": ("adamw", "adafactor"),
    "schedule": ("linear", "cosine"),
    **dict.fromkeys(("b1", "b2", "max_gradient_norm", "ema_decay", "frozen_parts", "lora_rank", "lora_alpha"), ()),
    **dict.fromkeys(("rematerialize", "micro_batch_size", "keep_best", "patience", "checkpoint_every"), ()),
    **dict.fromkeys(("images_on_device", "keep_last", "workers", "tensorboard"), ()),
}
LARGEST_SEED = 2**32 - 1  # larger ones JAX refuses, or takes for the smaller ones of the same lowest 32 bits
LARGEST_VAL_SHARE = 0.5  # of train, where a data set has no val split
