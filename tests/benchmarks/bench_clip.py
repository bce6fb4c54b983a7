"""How fast is a ViT-B/32 here: ours against transformers' torch CLIPModel and open_clip, in one run.

    python tests/benchmarks/bench_clip.py

All three have the published shape and random weights, get the same pictures and the same token ids, compute in
float32 on all cores, and take turns; a ratio is that of the medians. Our share of the peak divides the floating
point operations of our matrix products, counted by hand below, by what the largest square product reaches here.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import open_clip
import torch
from flax import nnx
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage, ImagePreprocessing, train_batches
from utils.training import TrainingSettings, data_mesh
from utils.training.step import first_state, make_train_step
from utils.training.trainable import split_model

LENGTH = 32  # tokens: the longest caption of a batch of RSICD, rounded up; the published run padded to 77


def caption_tokens(batch: int) -> np.ndarray:
    """Token ids (batch, LENGTH) of texts of 8 to 24 tokens, begun, ended and padded as CLIP's tokenizer does."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 40_000, (batch, LENGTH))
    ids[:, 0] = 49_406
    for row, end in zip(ids, rng.integers(8, 24, batch), strict=True):
        row[end:] = 49_407
    return ids.astype(np.int32)


def pictures(batch: int) -> np.ndarray:
    """Normalized pixels, (batch, 224, 224, 3) float32."""
    return np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype(np.float32)


# --- the three models ----------------------------------------------------------------------------------------


class Ours:
    """The course's CLIP and its own training step, compiled by XLA."""

    def __init__(self, config: CLIPConfig, images: np.ndarray, tokens: np.ndarray) -> None:
        self.model = CLIP(config, rngs=nnx.Rngs(0))
        rows = jnp.arange(len(images))
        self.batch = {"images": jnp.asarray(images), "tokens": jnp.asarray(tokens)}
        self.batch |= {"caption_ids": rows, "caption_sets": rows[:, None]}
        self.encode = nnx.jit(lambda model, pixels: model.encode_images(pixels))

        settings = TrainingSettings(batch_size=len(images), loss="plain")
        mesh = data_mesh()
        split = split_model(self.model, settings)
        self.state = first_state(split, settings, mesh)
        self.train_step = make_train_step(split, settings, mesh)

        self.compile_seconds = {}
        for name, call in (("encode", self.encode_images), ("step", self.step)):
            start = time.perf_counter()
            call()
            self.compile_seconds[name] = time.perf_counter() - start

    def encode_images(self) -> None:
        self.encode(self.model, self.batch["images"]).block_until_ready()

    def step(self) -> None:
        self.state, metrics = self.train_step(self.state, self.batch, 1e-5)
        metrics["loss"].block_until_ready()


class Torch:
    """A torch model with AdamW and the clipping that ours has.

    Args:
        model: The module.
        encode: Gives unit-length image embeddings.
        loss: Gives the contrastive loss.
    """

    def __init__(self, model: torch.nn.Module, encode: Callable, loss: Callable) -> None:
        self.model, self.encode, self.loss = model, encode, loss
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1)

    def encode_images(self) -> None:
        with torch.inference_mode():
            self.encode(self.model.eval())

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model.train()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()


def torch_transformers(config: CLIPConfig, images: np.ndarray, tokens: np.ndarray) -> Torch:
    """transformers' CLIPModel, with its own loss."""
    pixels, ids = torch.tensor(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(tokens).long()

    def loss(model: CLIPModel) -> torch.Tensor:
        return model(input_ids=ids, pixel_values=pixels, return_loss=True).loss

    return Torch(CLIPModel(config), lambda model: model.get_image_features(pixel_values=pixels), loss)


def torch_open_clip(images: np.ndarray, tokens: np.ndarray) -> Torch:
    """open_clip's ViT-B-32-quickgelu, with its own loss; its texts always have 77 tokens."""
    pixels = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    ids = torch.zeros((len(tokens), 77), dtype=torch.long)  # open_clip ends a text with its highest token
    ids[:, : tokens.shape[1]] = torch.tensor(tokens).long()
    contrast = open_clip.ClipLoss()

    def loss(model: torch.nn.Module) -> torch.Tensor:
        return contrast(*model(pixels, ids))

    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    return Torch(model, lambda model: model.encode_image(pixels, normalize=True), loss)


# --- measuring -----------------------------------------------------------------------------------------------


def take_turns(calls: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy moment hits all.

    A turn begins with a call that is not timed: the first one after another library's gets its memory again from
    the system, which whoever encodes a set of pictures pays once and not for each batch.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_flops(size: int = 4096, repeats: int = 3) -> float:
    """Floating point operations a second of the better library's square float32 product."""
    ours, theirs = jnp.ones((size, size)), torch.ones((size, size))
    multiply = jax.jit(jnp.matmul)
    medians = take_turns(
        {"jax": lambda: multiply(ours, ours).block_until_ready(), "torch": lambda: theirs @ theirs}, repeats
    )
    return 2 * size**3 / min(medians.values())


def tower_flops(tokens: int, width: int, inner: int, layers: int) -> float:
    """Operations of our matrix products for one sample, forward: the last layer is asked for one token alone."""

    def layer(asked: int) -> float:
        keys_and_values, query_and_output = 4 * tokens * width**2, 4 * asked * width**2
        return keys_and_values + query_and_output + 4 * asked * width * inner + 4 * asked * tokens * width

    return (layers - 1) * layer(tokens) + layer(1)


def image_flops(config: CLIPConfig) -> float:
    """Operations for one picture, forward."""
    vision = config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2
    embedding = 2 * patches * vision.patch_size**2 * 3 * vision.hidden_size
    return embedding + tower_flops(patches + 1, vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers)


def pair_flops(config: CLIPConfig) -> float:
    """Operations of a training step for one pair: forward, and twice as much backward."""
    text = config.text_config
    return 3 * (
        image_flops(config) + tower_flops(LENGTH, text.hidden_size, text.intermediate_size, text.num_hidden_layers)
    )


def waiting_share(step: Callable[[], None], batch: int, steps: int) -> float:
    """Share of the time that a step waits for its input: JPEG files of 224 pixels, aerial, two workers."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        items = []
        for number in range(batch):
            path = Path(place) / f"{number}.jpg"
            coarse = Image.fromarray(rng.integers(0, 255, (28, 28, 3), dtype=np.uint8))
            coarse.resize((224, 224), Image.Resampling.BICUBIC).save(path, quality=75)
            items.append(CaptionedImage(path, ("a river .",), "train", None, "made up"))
        batches = train_batches(
            CaptionDataset(items),
            ImagePreprocessing(),
            lambda texts: np.zeros((len(texts), LENGTH), np.int32),
            batch_size=batch,
            epochs=steps + 1,
            seed=0,
            workers=2,
        )
        next(batches)
        waited = 0.0
        start = time.perf_counter()
        for _ in range(steps):
            before = time.perf_counter()
            next(batches)
            waited += time.perf_counter() - before
            step()
        return waited / (time.perf_counter() - start)


def report(title: str, unit: str, batch: int, medians: dict[str, float], flops: float, peak: float) -> None:
    """Prints one table; the ratio is ours over the other's."""
    print(f"\n{title}\n")
    print(f"| | {unit} a second | ours is faster by | share of the peak |")
    print("|---|---|---|---|")
    ours = medians["ours"]
    for name, seconds in medians.items():
        share = f"{batch * flops / seconds / peak:.0%}" if name == "ours" else ""
        print(f"| {name} | {batch / seconds:.1f} | {seconds / ours:.2f} | {share} |")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    batch = arguments.batch_size

    config = CLIPConfig()
    images, tokens = pictures(batch), caption_tokens(batch)
    config.text_config.eos_token_id = 49_407
    ours = Ours(config, images, tokens)
    others = {
        "transformers (torch)": torch_transformers(config, images, tokens),
        "open_clip (torch)": torch_open_clip(images, tokens),
    }
    models = {"ours": ours, **others}
    peak = peak_flops()
    print(f"ViT-B/32, batch {batch}, {torch.get_num_threads()} threads, peak {peak / 1e9:.0f} GFLOP/s")
    print("compile and first call: " + ", ".join(f"{k} {v:.1f} s" for k, v in ours.compile_seconds.items()))

    measure = partial(take_turns, repeats=arguments.repeats)
    encoding = measure({name: model.encode_images for name, model in models.items()})
    report("Encoding pictures", "pictures", batch, encoding, image_flops(config), peak)
    training = measure({name: model.step for name, model in models.items()})
    report("Training step, AdamW", "pairs", batch, training, pair_flops(config), peak)
    share = waiting_share(ours.step, batch, arguments.repeats)
    print(f"\nThe step waits for its input {share:.1%} of the time (224 px JPEG, aerial, two workers).")


if __name__ == "__main__":
    main()
