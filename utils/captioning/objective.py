"""What a captioner learns: the next token of a caption, from the image and the tokens before it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from utils.captioning.captioner import Captioner
from utils.captioning.loss import caption_losses
from utils.captioning.scores import TOKENIZER
from utils.captioning.settings import CaptioningSettings
from utils.captioning.tokens import caption_tokens, counted, token_ids
from utils.captioning.validation import validate_captions
from utils.clip.compute_types import compute_type
from utils.clip.embedding import weights_digest
from utils.training import TrainingResult, TrainingSettings
from utils.training.history import Row
from utils.training.objective import Batch, LossAndGradients, Objective
from utils.training.run import run_training
from utils.training.step import split_batch
from utils.training.trainable import SplitModel

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset


def train_captioner(
    start: Captioner,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: CaptioningSettings,
    output_dir: str | Path,
) -> TrainingResult[Captioner]:
    """Trains a captioner as `utils.training.train` does a CLIP: it survives, resumes with equal bits, and is exported.

    The best epoch is the one whose captions of the validation images have the highest CIDEr-D.
    """
    return run_training(CAPTIONING, start, train_set, validation_set, settings, output_dir)


class Captioning(Objective[Captioner]):
    """The objective of a captioner; the best epoch is the one of the highest CIDEr-D on validation images."""

    figures = ("validation_loss", "validation_cider")
    best = "validation_cider"
    card = Path(__file__).with_name("card.md")

    def settle(self, settings: TrainingSettings, start: Captioner) -> TrainingSettings:
        """The settings with the type that ``auto`` stands for; captions that outgrow the positions are a ValueError."""
        if not isinstance(start, Captioner):
            raise ValueError(f"A {type(start).__name__} is no captioner; make one with Captioner.start(clip).")
        if not isinstance(settings, CaptioningSettings):
            raise ValueError("A captioner is trained with CaptioningSettings; give those in place of TrainingSettings.")
        prefix, positions = start.mapper.config.prefix_length, start.decoder.config.n_positions
        if prefix + settings.caption_tokens > positions:
            raise ValueError(
                f"A prefix of {prefix} and captions of {settings.caption_tokens} tokens (caption_tokens) are longer "
                f"than the decoder's {positions} positions; shorten one of them."
            )
        if settings.compute_dtype is None:
            return settings
        dtype = compute_type(settings.compute_dtype, start.clip.architecture.vision)
        return replace(settings, compute_dtype=jnp.dtype(dtype).name)

    def describe(self, start: Captioner) -> dict[str, Any]:
        """Fingerprint of the weights, type, and what the weights do not tell of mapper, decoder and tokenizer."""
        vocabulary = sorted(start.tokenizer.get_vocab().items())
        return {
            "fingerprint": weights_digest(start)[:16],
            "compute_dtype": str(np.dtype(start.decoder.dtype)),
            "mapper": start.mapper.config.settings(),
            "decoder": start.decoder.config.settings(),
            "tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()[:16],
        }

    def split(self, start: Captioner, settings: TrainingSettings) -> SplitModel:
        """Trained are the parameters that a caption depends on, of all parts that are not frozen."""

        def is_trained(path: tuple[Any, ...], value: Any) -> bool:
            part = part_of(path, start.mapper.config.source)
            return isinstance(value, nnx.Param) and part is not None and part not in settings.frozen_parts

        captioner = start.copy(settings.compute_dtype, _length(settings))
        graphdef, *states = nnx.split(captioner, is_trained, ...)
        return SplitModel(graphdef, *states)

    def tokenize(self, start: Captioner, texts: Sequence[str], settings: TrainingSettings) -> np.ndarray:
        """As `utils.captioning.tokens.caption_tokens` does."""
        return caption_tokens(start.tokenizer, texts, _length(settings))

    def count_cut(self, start: Captioner, texts: Sequence[str], settings: TrainingSettings) -> tuple[int, int]:
        """How many captions have more tokens than ``caption_tokens``, and that."""
        length = _length(settings)
        return sum(len(row) > length for row in token_ids(start.tokenizer, texts)), length

    def loss_and_gradients(
        self, graphdef: nnx.GraphDef, settings: TrainingSettings, mesh: jax.sharding.Mesh
    ) -> LossAndGradients:
        """The mean over all tokens of a batch; in micro-batches the sums are added up, and give the same."""

        def total(trained: nnx.State, frozen: nnx.State, batch: Batch) -> jax.Array:
            model = nnx.merge(graphdef, trained, frozen)
            logits = model.logits(model.prefix(batch["images"]), batch["tokens"])
            return jnp.sum(caption_losses(logits, batch["tokens"], model.end_token))

        def loss_and_gradients(trained: nnx.State, frozen: nnx.State, batch: Batch) -> tuple[jax.Array, nnx.State]:
            end = nnx.merge(graphdef, trained, frozen).end_token
            tokens = jnp.sum(counted(batch["tokens"], end)).astype(jnp.float32)
            batch = {name: batch[name] for name in ("images", "tokens")}
            if settings.micro_batch_size is None:
                sums = jax.value_and_grad(total)(trained, frozen, batch)
            else:

                def add(sums: Any, micro_batch: Batch) -> tuple[Any, None]:
                    return jax.tree.map(jnp.add, sums, jax.value_and_grad(total)(trained, frozen, micro_batch)), None

                nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)
                sums, _ = jax.lax.scan(add, nothing, split_batch(batch, settings.micro_batch_size, mesh))
            return jax.tree.map(lambda value: value / tokens, sums)

        return loss_and_gradients

    def validate(
        self,
        model: Captioner,
        dataset: CaptionDataset,
        settings: TrainingSettings,
        sharding: jax.sharding.NamedSharding | None = None,
    ) -> dict[str, float]:
        """As `utils.captioning.validation.validate_captions` does."""
        return validate_captions(model, dataset, settings, _length(settings), sharding)

    def quality(self, row: Row) -> tuple[float, ...]:
        """CIDEr-D, and of equals the loss: of one image, or of equal captions, each epoch has a CIDEr-D of 0."""
        return row[self.best], -row["validation_loss"]

    def card_words(
        self, model: Captioner, validation_set: CaptionDataset, settings: TrainingSettings, exported: Row
    ) -> dict[str, Any]:
        """Loss and CIDEr-D on the validation images, and what the captioner is made of."""
        names = {"validation_loss": "validation loss, nats a token", "validation_cider": "validation CIDEr-D"}
        rows = [f"| {shown} | {exported[name]:.3f} |" for name, shown in names.items() if name in exported]
        decoder, mapper = model.decoder.config, model.mapper.config
        return {
            "figure_rows": rows,
            "decoder": f"{decoder.n_layer} layers of {decoder.n_embd}, {decoder.vocab_size:,} tokens",
            "tokenizer": type(model.tokenizer).__name__,
            "mapper": f"{mapper.kind} from the {mapper.source} to a prefix of {mapper.prefix_length} vectors",
            "caption_tokens": _length(settings),
            "references": shown_references(validation_set),
            "words": f"words are those of {TOKENIZER}",
        }


CAPTIONING = Captioning()


def part_of(path: tuple[Any, ...], source: str) -> str | None:
    """The part of a captioner that a parameter belongs to; None for one that no caption depends on.

    Those are CLIP's text tower and logit scale and, where the source is the patches, what follows them in the image
    tower: no gradient would hold against their decay.
    """
    if path[0] != "clip":
        return str(path[0])
    if path[1] != "vision":
        return None
    after_patches = path[2] in ("last_norm", "projection") or path[2:4] == ("transformer", "last_block")
    return None if source == "patches" and after_patches else "image_tower"


def shown_references(dataset: CaptionDataset) -> str:
    """How many captions images have to be compared with, and how many of them are distinct."""
    counts = [len(item.captions_with_words) for item in dataset]
    distinct = [len(set(item.captions_with_words)) for item in dataset]
    return f"{np.mean(counts):.1f} on average, of which {np.mean(distinct):.1f} differ"


def _length(settings: TrainingSettings) -> int:
    assert isinstance(settings, CaptioningSettings)  # `settle` has refused others
    return settings.caption_tokens
