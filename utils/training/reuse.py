"""A model for the notebooks after the training: that of an earlier run, or a short one trained now."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from utils.clip import CLIP
from utils.datasets import CaptionDataset, reading_note, shown_reading
from utils.training.export import check_model, is_whole, read_note
from utils.training.identity import describe_run, mark_of, mark_of_run, other_data, run_folder
from utils.training.run import train
from utils.training.settings import TrainingSettings


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
        _warn_of_other_data(output_dir, train_set, validation_set)
        check_model(output_dir / "model", mark_of(output_dir))
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
    short_dir = run_folder(output_dir.parent, f"{output_dir.name}-short", *of_the_run)
    if is_whole(short_dir / "model", mark_of_run(describe_run(*of_the_run))):
        print(f"No fine-tuned model in {output_dir}: taking the short one in {short_dir}.")
        return CLIP.from_pretrained(short_dir / "model", jnp.dtype(settings.compute_dtype or start.vision.dtype))
    print(f"No fine-tuned model in {output_dir}: training a short one in {short_dir}.")
    return train(*of_the_run, short_dir).model


def _warn_of_other_data(output_dir: Path, train_set: CaptionDataset, validation_set: CaptionDataset) -> None:
    """Says so if the model in a folder was trained on other data, or on the same read otherwise."""
    theirs, ours = read_note(output_dir / "run.json").get("data"), reading_note(train_set)
    theirs = theirs if isinstance(theirs, dict) else {}
    if theirs.get("name") == train_set.name and theirs.get("reading", []) != ours.get("reading", []):
        before, now = (shown_reading(each) or "as they are" for each in (theirs, ours))
        print(
            f"Warning: the model in {output_dir} was trained on images read {before}, and they are now read {now}; set "
            "STRETCH and BANDS as they were, or name another OUTPUT_DIR for a model of these."
        )
    elif trained_on := other_data(output_dir, train_set, validation_set):
        print(
            f"Warning: the model in {output_dir} was trained on {trained_on}, not on {train_set.name}; name another "
            "OUTPUT_DIR for one of these data."
        )
