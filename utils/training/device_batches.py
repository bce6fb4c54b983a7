"""Training batches whose images lie on the devices, which cut and turn them: a GPU takes more than a processor makes.

Like `utils.datasets.train_batches`, it is a function of one seed and the position in the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from utils.datasets import CaptionDataset, ImagePreprocessing, caption_table
from utils.datasets.images.stretch import ImageError
from utils.datasets.transforms import COLOR_JITTER, SMALLEST_CROP, square
from utils.progress import progress_bar

RATIOS = np.log((3 / 4, 4 / 3))  # of a crop's width to its height
GRAY = (0.299, 0.587, 0.114)  # the weights of R, G and B in the brightness of a pixel, as Pillow has them


class DeviceBatches(Iterator[dict[str, Any]]):
    """The stream of `utils.datasets.train_batches` for images that fit the memory of each device, 3 bytes a pixel.

    Images are kept as squares of ``side`` pixels: of an oblong one the center, or with ``squash`` all of it. Arguments,
    arrays, and what happens to damaged images are as there, but that ``images`` lie on the devices, shared out along
    the batch by ``sharding``.
    """

    def __init__(
        self,
        dataset: CaptionDataset,
        preprocessing: ImagePreprocessing,
        tokenize: Callable[[Sequence[str]], np.ndarray],
        *,
        side: int,
        sharding: NamedSharding,
        batch_size: int,
        epochs: int,
        seed: int,
        augmentation: str = "aerial",
        captions: str = "one",
        workers: int = 2,
    ) -> None:
        texts, self.caption_sets = caption_table(dataset)
        numbers = {text: number for number, text in enumerate(texts)}
        self.tokens = tokenize(texts)
        self.own_captions = [np.array([numbers[text] for text in item.captions]) for item in dataset]
        images, taken_for = decode_squares(dataset, side, preprocessing.squash, workers)
        everywhere = NamedSharding(sharding.mesh, PartitionSpec())
        self.images = jax.make_array_from_process_local_data(everywhere, images, images.shape)
        # A record is an image, or an image with one of its captions.
        self.records = taken_for[:, None]
        if captions == "all":
            self.records = np.array([(index, own) for index in taken_for for own in self.own_captions[index]])
        self.batch_size, self.seed, self.step = batch_size, seed, 0
        self.steps_per_epoch = len(self.records) // batch_size
        self.steps = self.steps_per_epoch * epochs
        self.key = jax.random.key(seed)
        self.views = partial(
            jax.jit(random_views, static_argnames=("preprocessing", "augmentation"), out_shardings=sharding),
            preprocessing=preprocessing,
            augmentation=augmentation,
        )

    def __next__(self) -> dict[str, Any]:
        """Returns the next batch."""
        if self.step == self.steps:
            raise StopIteration
        epoch, position = divmod(self.step, self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.records))
        rows = self.records[order[position * self.batch_size :][: self.batch_size]]
        index = rows[:, 0]
        generator = np.random.default_rng((self.seed, epoch, position))
        caption_ids = rows[:, 1] if rows.shape[1] > 1 else [generator.choice(self.own_captions[one]) for one in index]
        batch = {
            "images": self.views(self.images, index, jax.random.fold_in(self.key, self.step)),
            "tokens": self.tokens[caption_ids],
            "caption_ids": np.asarray(caption_ids, np.int32),
            "caption_sets": self.caption_sets[index],
            "index": np.asarray(index, np.int64),
        }
        self.step += 1
        return batch

    def get_state(self) -> dict[str, int]:
        """The position in the run, as JSON holds it."""
        return {"step": self.step}

    def set_state(self, state: dict[str, int]) -> None:
        """Goes to a position in the run."""
        self.step = state["step"]

    def close(self) -> None:
        """Lets the images go."""
        del self.images


def decode_squares(dataset: CaptionDataset, side: int, squash: bool, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Decodes every image to (images, side, side, 3) uint8, and says which image stands in for each, (images,) int64.

    That is itself, or for one that turns out to be damaged, which a warning names, the next that is not. Where none can
    be decoded, the reason is raised as an `ImageError`.
    """

    def decode(index: int) -> np.ndarray | ImageError:
        try:
            return np.asarray(square(dataset.open(index), side, squash))
        except ImageError as error:
            return error

    images, whole = np.zeros((len(dataset), side, side, 3), np.uint8), np.zeros(len(dataset), bool)
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        decoded = pool.map(decode, range(len(dataset)))
        for index, pixels in enumerate(progress_bar(decoded, "reading images", len(dataset), unit="image")):
            if isinstance(pixels, ImageError):
                reason = pixels
                warnings.warn(f"{dataset[index].path}: {pixels} The next image takes its place.", stacklevel=3)
            else:
                images[index], whole[index] = pixels, True
    if not whole.any():
        raise ImageError(f"None of {len(dataset):,} images can be decoded: {reason}")
    places = np.arange(len(dataset))
    following = np.searchsorted(places[whole], places) % whole.sum()
    return images, places[whole][following]


def random_views(
    images: jax.Array, index: jax.Array, key: jax.Array, preprocessing: ImagePreprocessing, augmentation: str
) -> jax.Array:
    """Draws a view of each of some images: from (images, side, side, 3) uint8 to (batch, size, size, 3) float32.

    The augmentations are those of `utils.datasets.train_transform`; crops are cubic here, too, but what lies beside one
    colors its edge.
    """
    size, chosen = preprocessing.image_size, images[index].astype(jnp.float32) / 255
    whole = jnp.array([0, 0, images.shape[1], images.shape[1]], jnp.float32)
    if augmentation == "none":
        views = jax.vmap(lambda image: resized_box(image, whole, size))(chosen)
    else:
        draw = partial(random_view, size=size, smallest_crop=SMALLEST_CROP[augmentation])
        views = jax.vmap(draw)(chosen, jax.random.split(key, len(index)))
    return (views - jnp.array(preprocessing.mean)) / jnp.array(preprocessing.std)


def random_view(image: jax.Array, key: jax.Array, size: int, smallest_crop: float) -> jax.Array:
    """One draw of ``aerial`` or ``zoom``, of (side, side, 3) float32 from 0 to 1, to (size, size, 3)."""
    keys, side = jax.random.split(key, 5), image.shape[0]
    share = jax.random.uniform(keys[0], minval=smallest_crop)
    root = jnp.exp(jax.random.uniform(keys[1], minval=RATIOS[0], maxval=RATIOS[1]) / 2)
    height, width = (side * jnp.minimum(jnp.sqrt(share) * factor, 1) for factor in (1 / root, root))
    top, left = jax.random.uniform(keys[2], (2,)) * jnp.array([side - height, side - width])
    view = resized_box(image, jnp.array([top, left, height, width]), size)
    # All eight symmetries of a square, each as often.
    turned, upside_down, mirrored = jax.random.bernoulli(keys[3], shape=(3,))
    view = jnp.where(turned, view.swapaxes(0, 1), view)
    view = jnp.where(upside_down, view[::-1], view)
    view = jnp.where(mirrored, view[:, ::-1], view)
    brightness, contrast, saturation = jax.random.uniform(
        keys[4], (3,), minval=1 - COLOR_JITTER, maxval=1 + COLOR_JITTER
    )
    view = jnp.clip(view * brightness, 0, 1)
    view = blended(view, (view @ jnp.array(GRAY)).mean(), contrast)
    return blended(view, (view @ jnp.array(GRAY))[..., None], saturation)


def resized_box(image: jax.Array, box: jax.Array, size: int) -> jax.Array:
    """Resizes a box (top, left, height, width) in pixels of an image to (size, size, 3), cubic and antialiased."""
    scale = size / box[2:]
    resized = jax.image.scale_and_translate(image, (size, size, 3), (0, 1), scale, -box[:2] * scale, "cubic")
    return jnp.clip(resized, 0, 1)


def blended(view: jax.Array, plain: jax.Array, factor: jax.Array) -> jax.Array:
    """Goes from a plain image to the view and, with a factor above 1, beyond, within 0 to 1."""
    return jnp.clip(plain + factor * (view - plain), 0, 1)
