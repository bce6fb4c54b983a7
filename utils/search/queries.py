"""What is asked, as a vector; and whether a model can be the one that stored vectors are of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from utils.datasets import AS_STORED, ImageError, ImageReading, eval_transform, image_of_array, read_image, to_rgb
from utils.datasets.captions import has_letters
from utils.search.catalog import WithoutFile
from utils.search.engines import SearchError
from utils.search.storage import Contents

if TYPE_CHECKING:
    from utils.clip import CLIP

AnyImage = str | Path | Image.Image | np.ndarray

# How close a model's own vectors of a few images must be to stored ones, on average: another way to shrink images, even
# by the nearest pixel, left 0.99 on RSICD with the small models; other images lie at 0.3 to 0.8, other models at 0.
SAME_MODEL, IMAGES_COMPARED = 0.9, 4
CAPTIONS_COMPARED = 64


def embed_text(model: CLIP, text: str | Sequence[str]) -> np.ndarray:
    """Embeds a text, or the mean of several, (dim,) float32 of unit length.

    A `SearchError` says that one is empty, or has no letters; a warning, that one is longer than the model reads.
    """
    from utils.clip import cut_in_words, embed_texts, unit_length

    texts = [text] if isinstance(text, str) else list(text)
    if not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        raise SearchError("The text to search for is empty; write what the image shows.")
    for one in texts:
        if not has_letters(one):
            raise SearchError(
                f"The text to search for is {one.strip()!r}, without any letters; write what the image shows."
            )
    if cut := cut_in_words(model, texts):
        warnings.warn(cut, stacklevel=3)
    return unit_length(embed_texts(model, texts).mean(axis=0))


def embed_image(model: CLIP, image: AnyImage, reading: ImageReading = AS_STORED) -> np.ndarray:
    """Embeds an image, (dim,) float32 of unit length; a `SearchError` if it cannot be decoded."""
    from utils.clip import embed_images

    try:
        pixels = eval_transform(_decoded(image, reading), model.preprocessing)
    except ImageError as error:
        raise SearchError(f"This is not an image to search with: {error}") from None
    return embed_images(model, [{"images": pixels[None]}])[0]


def mix(text: np.ndarray, image: np.ndarray, text_weight: float) -> np.ndarray:
    """``text_weight * text + (1 - text_weight) * image`` at unit length; a `SearchError` for a weight beyond 0 to 1."""
    from utils.clip import unit_length

    if not 0 <= text_weight <= 1:
        raise SearchError(f"text_weight is {text_weight}; it goes from 0, the image alone, to 1, the text alone.")
    return unit_length(np.float32(text_weight) * text + np.float32(1 - text_weight) * image)


def _decoded(image: AnyImage, reading: ImageReading) -> Image.Image:
    """An upright 8-bit RGB image from whatever was given; an `ImageError` says why there is none."""
    if isinstance(image, str | Path):
        return read_image(image, reading)
    if isinstance(image, np.ndarray):
        return image_of_array(image, reading)[0]
    if not isinstance(image, Image.Image):
        raise ImageError(f"a {type(image).__name__} was given; give a path, a Pillow image or an array.")
    try:
        return to_rgb(ImageOps.exif_transpose(image), reading)
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"it cannot be decoded ({error}); open it again.") from None


def check_model(model: CLIP, contents: Contents) -> None:
    """Refuses a model that cannot be that of an index's vectors, with a `SearchError`, and warns of an unlikely one.

    Its own vectors of a few images are compared; where no image is here, it is tried whether captions find theirs.
    """
    from utils.clip import embed_texts

    own, dim = model.architecture.projection_dim, contents.embeddings.shape[1]
    if own != dim:
        raise SearchError(
            f"The index holds vectors of {dim} numbers and the model gives {own}; load the model that made them."
        )
    cosines = list(islice(_cosines(model, contents), IMAGES_COMPARED))
    if cosines and np.mean(cosines) < SAME_MODEL:
        raise SearchError(
            f"The model sees the images otherwise than the vectors say, at a cosine of {np.mean(cosines):.2f} on "
            f"average of {len(cosines)}; load the model that made them, or give each vector its own image's name."
        )
    if cosines:
        return
    members = enumerate(contents.dataset)
    captions = [(row, item.captions_with_words[0]) for row, item in members if item.captions_with_words]
    chosen = captions[:: max(1, len(captions) // CAPTIONS_COMPARED)][:CAPTIONS_COMPARED]
    if len({caption for _, caption in chosen}) < CAPTIONS_COMPARED // 4:
        return
    texts = embed_texts(model, [caption for _, caption in chosen])
    # What all texts have in common makes some images close to each, and says nothing of which is whose.
    similarities = (texts - texts.mean(axis=0)) @ contents.embeddings[[row for row, _ in chosen]].T
    beaten = np.mean(similarities < np.diag(similarities)[:, None])
    # By chance a caption's own image beats half of the images, within three standard errors of equally likely ranks.
    if beaten < 0.5 + 3 / np.sqrt(12 * len(chosen)):
        warnings.warn(
            f"With this model {len(chosen)} captions do not find their images: each fits its own better than "
            f"{beaten:.0%} of the others, where chance gives 50%; load the model that made the vectors.",
            stacklevel=3,
        )


def _cosines(model: CLIP, contents: Contents) -> Iterator[float]:
    """How close the model's own vectors of images that are here are to those of the index."""
    for item, vector in zip(contents.dataset, contents.embeddings, strict=True):
        if not isinstance(item, WithoutFile) and item.path.is_file():
            with suppress(SearchError):  # a damaged file says nothing of the model
                yield float(embed_image(model, item.path, item.reading) @ vector)
