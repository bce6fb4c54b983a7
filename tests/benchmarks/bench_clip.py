"""How fast is a ViT-B/32 here: ours against transformers' torch CLIPModel and open_clip, in one run.

    python tests/benchmarks/bench_clip.py
    python tests/benchmarks/bench_clip.py --processor-time --skip-training    # on a machine that others use, too
    python tests/benchmarks/bench_clip.py --library ours --skip-training      # then the others: a process for each

All three have the published shape and random weights, get the same pictures and the same token ids, compute on all
cores, or on the GPU that both JAX and torch see, and take turns; a ratio is that of the medians. In bfloat16, torch's
weights are cast once for encoding, and a step is its autocast's, with weights in float32 as ours has them. In int8,
torch's linear layers are its dynamically quantized ones; ours, written below and not in the course, have weights by
channel and activations by row, multiplied by XLA to int32; OpenVINO's are quantized by nncf, where both are installed
(`pip install openvino nncf`). Our share of the peak divides the floating point operations of our matrix products in
float32, counted by hand below, by what the largest square product reaches here.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from utils.clip import CLIP, embed_images
from utils.clip.compute_types import processor
from utils.datasets import CaptionDataset, CaptionedImage, ImagePreprocessing, train_batches
from utils.importing import hidden
from utils.training import TrainingSettings, data_mesh
from utils.training.contrastive import CONTRASTIVE
from utils.training.step import first_state, make_train_step
from utils.training.trainable import split_model

TYPES = ("float32", "bfloat16", "int8")
LIBRARIES = ("ours", "transformers", "open_clip")
DEVICE = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"  # of torch's models
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


class EightBits(nnx.Module):
    """A linear layer whose weights are int8 by channel, and whose inputs become int8 by row; for encoding alone."""

    def __init__(self, layer: nnx.Linear) -> None:
        kernel = layer.kernel[...]
        self.scale = nnx.Param(jnp.abs(kernel).max(axis=-2, keepdims=True) / 127)
        self.kernel, self.bias = nnx.Param(jnp.round(kernel / self.scale[...]).astype(jnp.int8)), layer.bias

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (..., inputs) to (..., outputs) of the same type."""
        rows = x.reshape(-1, x.shape[-1]).astype(jnp.float32)
        scale = jnp.maximum(jnp.abs(rows).max(axis=1, keepdims=True), 1e-9) / 127
        whole = jnp.round(rows / scale).astype(jnp.int8)
        sums = jax.lax.dot_general(whole, self.kernel[...], (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32)
        outputs = sums * (scale * self.scale[...]) + self.bias[...]
        return outputs.astype(x.dtype).reshape(*x.shape[:-1], -1)


def in_eight_bits(model: CLIP) -> CLIP:
    """A copy of a model whose vision transformer multiplies int8, and does the rest in bfloat16."""
    model = nnx.clone(model.copy("bfloat16"))
    for _, part in list(nnx.iter_graph(model.vision.transformer)):
        for name, layer in list(vars(part).items()) if isinstance(part, nnx.Module) else ():
            if isinstance(layer, nnx.Linear):
                setattr(part, name, EightBits(layer))
    return model


class Ours:
    """The course's CLIP and its own training step, compiled by XLA; one state for the steps of all types."""

    def __init__(self, config: CLIPConfig, images: np.ndarray, tokens: np.ndarray) -> None:
        self.model = CLIP(config, rngs=nnx.Rngs(0))
        rows = jnp.arange(len(images))
        self.batch = {"images": jnp.asarray(images), "tokens": jnp.asarray(tokens)}
        self.batch |= {"caption_ids": rows, "caption_sets": rows[:, None]}
        self.state = None

    def encoder(self, dtype: str) -> Callable[[], object]:
        """A call that encodes the images, as the course does."""
        model = in_eight_bits(self.model) if dtype == "int8" else self.model.copy(dtype)
        return lambda: embed_images(model, [{"images": self.batch["images"]}])

    def step(self, dtype: str) -> Callable[[], object]:
        """A call that takes a training step."""
        settings = TrainingSettings(batch_size=len(self.batch["images"]), loss="plain", compute_dtype=dtype)
        split, mesh = split_model(self.model, settings), data_mesh()
        if self.state is None:
            self.state = first_state(split, settings, mesh)
        train_step = make_train_step(split, settings, mesh, CONTRASTIVE)

        def take() -> None:
            self.state, metrics = train_step(self.state, self.batch, 1e-5)
            metrics["loss"].block_until_ready()

        return take


class Torch:
    """A torch model with AdamW and the clipping that ours has.

    Args:
        model: The module.
        encode: Gives unit-length image embeddings, of a model and pixels.
        loss: Gives the contrastive loss.
        pixels: (batch, 3, height, width) float32.
    """

    def __init__(self, model: torch.nn.Module, encode: Callable, loss: Callable, pixels: torch.Tensor) -> None:
        self.model, self.encode, self.loss, self.pixels = model.to(DEVICE), encode, loss, pixels
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1)

    def encoder(self, dtype: str) -> Callable[[], object]:
        """A call that encodes the images."""
        model, pixels = self.model.eval(), self.pixels
        if dtype == "bfloat16":
            model, pixels = copy.deepcopy(model).bfloat16(), pixels.bfloat16()
        if dtype == "int8":
            # torch keeps the attention layers of its own, which open_clip has, from being quantized.
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

        def encode() -> None:
            with torch.inference_mode():
                self.encode(model, pixels).cpu()  # which waits for a GPU

        return encode

    def step(self, dtype: str) -> Callable[[], object]:
        """A call that takes a training step."""

        def take() -> None:
            self.optimizer.zero_grad()
            with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = self.loss(self.model.train())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            next(self.model.parameters()).sum().item()  # which waits for a GPU

        return take


def of_torch(images: np.ndarray) -> torch.Tensor:
    """From pixels (batch, height, width, 3) to (batch, 3, height, width), where torch computes."""
    return torch.tensor(images, device=DEVICE).permute(0, 3, 1, 2).contiguous()


def torch_transformers(config: CLIPConfig, images: np.ndarray, tokens: np.ndarray) -> Torch:
    """transformers' CLIPModel, with its own loss."""
    pixels, ids = of_torch(images), torch.tensor(tokens, device=DEVICE).long()

    def loss(model: CLIPModel) -> torch.Tensor:
        return model(input_ids=ids, pixel_values=pixels, return_loss=True).loss

    def encode(model: CLIPModel, pixels: torch.Tensor) -> torch.Tensor:
        return model.get_image_features(pixel_values=pixels).pooler_output

    return Torch(CLIPModel(config), encode, loss, pixels)


def torch_open_clip(images: np.ndarray, tokens: np.ndarray) -> Torch:
    """open_clip's ViT-B-32-quickgelu, with its own loss; its texts always have 77 tokens."""
    import open_clip

    pixels = of_torch(images)
    ids = torch.zeros(
        (len(tokens), 77), dtype=torch.long, device=DEVICE
    )  # open_clip ends a text with its highest token
    ids[:, : tokens.shape[1]] = torch.tensor(tokens, device=DEVICE)
    contrast = open_clip.ClipLoss()

    def loss(model: torch.nn.Module) -> torch.Tensor:
        return contrast(*model(pixels, ids))

    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None)
    return Torch(model, lambda model, pixels: model.encode_image(pixels, normalize=True), loss, pixels)


def openvino_encoder(config: CLIPConfig, images: np.ndarray) -> Callable[[], object] | None:
    """A call that encodes images by OpenVINO, with transformers' vision tower in int8; None where it is missing."""
    if not (find_spec("openvino") and find_spec("nncf")):
        print("OpenVINO is left out: pip install openvino nncf")
        return None
    with hidden("openvino_telemetry"):
        import nncf
        import openvino.tools.ovc

    pixels = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    tower = CLIPModel(config).eval().vision_model
    exported = openvino.convert_model(tower, example_input=torch.tensor(pixels), input=[pixels.shape])
    quantized = nncf.quantize(exported, nncf.Dataset([pixels]), model_type=nncf.ModelType.TRANSFORMER, subset_size=1)
    compiled = openvino.compile_model(quantized, "CPU")
    return lambda: compiled(pixels)


# --- measuring -----------------------------------------------------------------------------------------------


def take_turns(
    calls: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy moment hits all.

    A turn begins with a call that is not timed: the first one after another library's gets its memory again from
    the system, which whoever encodes a set of pictures pays once and not for each batch.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def peak_flops(size: int = 4096, repeats: int = 3) -> float:
    """Floating point operations a second of the better library's square float32 product."""
    ours, theirs = jnp.ones((size, size)), torch.ones((size, size), device=DEVICE)
    multiply = jax.jit(jnp.matmul)
    medians = take_turns(
        {"jax": lambda: multiply(ours, ours).block_until_ready(), "torch": lambda: (theirs @ theirs)[0, 0].item()},
        repeats,
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


def report(title: str, batch: int, medians: dict[str, float], types: Sequence[str]) -> None:
    """Prints a table with a row for each library and a column for each type: rates, and how often theirs ours is."""
    print(f"\n{title}\n\n| | {' | '.join(types)} |\n|---|{'---|' * len(types)}")
    for library in dict.fromkeys(name.split(", ")[0] for name in medians):
        cells = []
        for dtype in types:
            seconds, ours = medians.get(f"{library}, {dtype}"), medians.get(f"ours, {dtype}")
            ratio = "" if library == "ours" or not (seconds and ours) else f" (ours: {seconds / ours:.2f} times)"
            cells.append(f"{batch / seconds:.1f}{ratio}" if seconds else "")
        print(f"| {library} | {' | '.join(cells)} |")


def instructions() -> str:
    """Those of this processor for products of matrices, as Linux names them."""
    known = (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "avx512_bf16",
        "amx_bf16",
        "amx_int8",
        "asimddp",
        "bf16",
        "i8mm",
    )
    path = Path("/proc/cpuinfo")
    flags = path.read_text().split() if path.is_file() else []
    return " ".join(flag for flag in known if flag in flags) or "instructions unknown"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dtype", nargs="+", choices=TYPES, default=TYPES, help="types to compute in")
    parser.add_argument("--library", nargs="+", choices=LIBRARIES, default=LIBRARIES, help="those in this process")
    parser.add_argument("--processor-time", action="store_true", help="count the processor's seconds, not the wall's")
    parser.add_argument("--skip-training", action="store_true", help="encode alone, in a third of the memory")
    arguments = parser.parse_args()
    batch, types = arguments.batch_size, arguments.dtype

    config = CLIPConfig()
    images, tokens = pictures(batch), caption_tokens(batch)
    config.text_config.eos_token_id = 49_407
    make = {
        "ours": lambda: Ours(config, images, tokens),
        "transformers": lambda: torch_transformers(config, images, tokens),
        "open_clip": lambda: torch_open_clip(images, tokens),
    }
    models = {name: make[name]() for name in arguments.library}
    clock = time.process_time if arguments.processor_time else time.perf_counter
    measure = partial(take_turns, repeats=arguments.repeats, clock=clock)
    gpu = f", {jax.devices()[0].device_kind}" if DEVICE == "cuda" else ""
    print(f"ViT-B/32, batch {batch}, {torch.get_num_threads()} threads, {processor()}: {instructions()}{gpu}")

    calls = {f"{name}, {dtype}": model.encoder(dtype) for dtype in types for name, model in models.items()}
    if "int8" in types and "ours" in models and (call := openvino_encoder(config, images)):
        calls["OpenVINO, int8"] = call
    encoding = measure(calls)
    report("Images a second, encoding", batch, encoding, types)
    if "ours, float32" in encoding and not arguments.processor_time:
        print(
            f"\nEncoding in float32: {batch * image_flops(config) / encoding['ours, float32'] / peak_flops():.0%} of "
            "the peak of a matrix product."
        )
    if arguments.skip_training:
        return
    calls.clear()
    trained = [dtype for dtype in types if dtype != "int8"]
    steps = {f"{name}, {dtype}": model.step(dtype) for dtype in trained for name, model in models.items()}
    training = measure(steps)
    report("Pairs a second, training step with AdamW", batch, training, trained)
    if trained and "ours" in models:
        share = waiting_share(steps[f"ours, {trained[0]}"], batch, arguments.repeats)
        print(f"\nThe step waits for its input {share:.1%} of the time (224 px JPEG, aerial, two workers).")


if __name__ == "__main__":
    main()
