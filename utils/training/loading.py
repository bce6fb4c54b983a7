"""The model that an earlier run has left, or one that is trained now in its place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.clip import CLIP
from utils.training import identity
from utils.training.run import train
from utils.training.settings import TrainingSettings

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset


def load_or_train(
    output_dir: str | Path,
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
) -> CLIP:
    """Loads the model that an earlier run left in a folder; where there is none, one trained now, beside it.

    The other arguments are those of `train`, for the training that may be needed; settings of a short one will do.
    A warning says so if the earlier run was trained on other data, as far as its note tells. Where images have no
    captions to train on, it is ``start``, the very object, so that nobody compares a model with itself.

    Raises:
        ValueError: If the model is of another run than the folder tells of, or damaged.
        FolderInUseError: If another process is training that short one.
    """
    output_dir = Path(output_dir)
    if (output_dir / "model" / "config.json").is_file():
        if trained_on := identity.other_data(output_dir, train_set, validation_set):
            print(
                f"Warning: the model in {output_dir} was trained on {trained_on}; name another OUTPUT_DIR for a model "
                "of these data."
            )
        identity.check_model(output_dir / "model", identity.mark_of(output_dir))
        return CLIP.from_pretrained(output_dir / "model")
    counts = [len(item.captions_with_words) for item in train_set]
    if not (any(counts) and any(item.captions_with_words for item in validation_set)):
        print(
            f"No fine-tuned model in {output_dir}, and none can be trained without captions in train and val: MODEL "
            "itself is used, and what compares it with a fine-tuned one is left out."
        )
        return start
    # Images without a caption are left out, and a batch cannot hold more than remain.
    settings = settings.fitted_to(sum(counts) if settings.captions == "all" else int(np.count_nonzero(counts)))
    of_the_run = (start, train_set, validation_set, settings)
    short_dir = identity.run_folder(output_dir.parent, f"{output_dir.name}-short", *of_the_run)
    if identity.is_whole(short_dir / "model", identity.mark_of_run(identity.describe_run(*of_the_run))):
        print(f"No fine-tuned model in {output_dir}: taking the short one in {short_dir}.")
        return CLIP.from_pretrained(short_dir / "model", settings.compute_dtype or start.vision.dtype)
    print(f"No fine-tuned model in {output_dir}: training a short one in {short_dir}.")
    return train(*of_the_run, short_dir).model
