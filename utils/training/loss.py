"""The contrastive loss of CLIP, and what it takes for a match."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax

# CLIP's own bound (Radford et al. 2021, section 2.5): logits are scaled by at most 100.
MAX_LOGIT_SCALE = math.log(100)


def positive_pairs(caption_ids: jax.Array, caption_sets: jax.Array) -> jax.Array:
    """Marks the pairs of a batch that belong together: those whose text is one of the image's captions.

    Args:
        caption_ids: (batch,) integers, the caption drawn for each image.
        caption_sets: (batch, captions) integers, every caption of each image, padded with negative numbers.

    Returns:
        (batch, batch) bool; row an image, column a text. The diagonal is True.
    """
    return jnp.any(caption_sets[:, None, :] == caption_ids[None, :, None], axis=-1)


def contrastive_loss(
    image_embeddings: jax.Array, text_embeddings: jax.Array, logit_scale: jax.Array, positives: jax.Array | None = None
) -> jax.Array:
    """The symmetric contrastive loss of CLIP over the whole batch, in float32 (Radford et al. 2021, figure 3).

    With ``positives`` the target of each row and each column is spread evenly over all its positives (Khosla
    et al. 2020, equation 2), so an image is not pushed away from a caption that describes it word for word.

    Args:
        image_embeddings: (batch, dim), of unit length.
        text_embeddings: (batch, dim), of unit length; row i belongs to image i.
        logit_scale: Scalar; logits are scaled by its exponential.
        positives: (batch, batch) bool, row an image, column a text; by default the diagonal alone.

    Returns:
        Scalar float32: the mean of the image-to-text and text-to-image cross-entropies, in nats.
    """
    images, texts = image_embeddings.astype(jnp.float32), text_embeddings.astype(jnp.float32)
    logits = jnp.exp(logit_scale.astype(jnp.float32)) * jnp.matmul(images, texts.T, precision="highest")
    wanted = (jnp.eye(len(images)) if positives is None else positives).astype(jnp.float32)
    cross_entropies = [
        optax.softmax_cross_entropy(scores, targets / targets.sum(axis=1, keepdims=True)).mean()
        for scores, targets in ((logits, wanted), (logits.T, wanted.T))
    ]
    return sum(cross_entropies) / 2


def batch_positives(batch: dict[str, jax.Array], loss: str) -> jax.Array | None:
    """The positives of a training batch: those of `positive_pairs`, or None for the loss ``plain``."""
    return positive_pairs(batch["caption_ids"], batch["caption_sets"]) if loss == "multi_positive" else None
