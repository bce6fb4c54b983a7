"""Memory of a training step against the batch, in one go and in pieces (gradient caching).

    python tests/benchmarks/bench_memory.py                        # the course's small model
    python tests/benchmarks/bench_memory.py --model vit-b-32 --dtype bfloat16

What is counted is what XLA says of the compiled step: the temporary buffers, that is activations, gradients and
workspace. Parameters, optimizer state and the batch of pixels come on top; they are the same both ways and are
listed apart. Nothing is run and no weights are made, so ViT-B/32 can be asked about on a small machine; compiling
its twelve steps takes some minutes on two cores.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import jax
import jax.numpy as jnp
from flax import nnx
from transformers import CLIPConfig

from utils.clip import CLIP
from utils.training import TrainingSettings, data_mesh
from utils.training.contrastive import CONTRASTIVE
from utils.training.step import first_state, make_train_step
from utils.training.trainable import split_model

SMALL_MODEL = Path(__file__).resolve().parents[2] / "data" / "checkpoints" / "clip-miniature"
MIB = 2**20


def step_bytes(model: CLIP, settings: TrainingSettings) -> dict[str, int]:
    """Compiles one step, without weights, and asks what it needs.

    Args:
        model: A model of abstract arrays.
        settings: Batch, micro-batch and optimizer.

    Returns:
        Bytes of the ``state``, of the ``batch`` and of the ``temporary`` buffers of a step.
    """
    mesh = data_mesh(jax.devices()[:1])
    state = jax.eval_shape(lambda: first_state(split_model(_zeros(model), settings), settings, mesh))
    size, length = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings
    rows = settings.batch_size
    batch = {
        "images": jax.ShapeDtypeStruct((rows, size, size, 3), jnp.float32),
        "tokens": jax.ShapeDtypeStruct((rows, length), jnp.int32),
        "caption_ids": jax.ShapeDtypeStruct((rows,), jnp.int32),
        "caption_sets": jax.ShapeDtypeStruct((rows, 5), jnp.int32),
    }
    step = make_train_step(split_model(model, settings), settings, mesh, CONTRASTIVE)
    analysis = step.lower(state, batch, 1e-5).compile().memory_analysis()
    counted = {"state": _bytes(state), "batch": _bytes(batch)}
    return counted | {"temporary": analysis.temp_size_in_bytes}


def _zeros(model: CLIP) -> CLIP:
    """The abstract model with arrays, to be used under `jax.eval_shape` alone."""
    graphdef, state = nnx.split(model)
    return nnx.merge(graphdef, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state))


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Memory of a training step against the batch.")
    parser.add_argument("--model", default="small", help="small, vit-b-32, or a folder with config.json")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--micro", type=int, default=64, help="pairs in a micro-batch")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rematerialize", action="store_true", help="activations computed again on the way back")
    arguments = parser.parse_args()
    if arguments.model == "vit-b-32":
        config = CLIPConfig()  # transformers' defaults are those of OpenAI's ViT-B/32
    else:
        config = CLIPConfig.from_pretrained(SMALL_MODEL if arguments.model == "small" else arguments.model)
    model = nnx.eval_shape(
        lambda: CLIP(config, rngs=nnx.Rngs(0), dtype=jnp.dtype(arguments.dtype), rematerialize=arguments.rematerialize)
    )
    device = jax.devices()[0]
    print(f"{arguments.model}, {arguments.dtype}, pieces of {arguments.micro}, on {device.device_kind}")
    print("temporary buffers of the compiled step, MiB")
    print(f"{'batch':>6} {'in one go':>10} {'in pieces':>10} {'ratio':>6}   (state, pixels and tokens besides)")
    for size in arguments.batches:
        one, pieces = (
            step_bytes(model, TrainingSettings(batch_size=size, micro_batch_size=micro))
            for micro in (None, min(arguments.micro, size))
        )
        whole, small = one["temporary"] / MIB, pieces["temporary"] / MIB
        besides = f"({one['state'] / MIB:,.0f}, {one['batch'] / MIB:,.0f})"
        print(f"{size:>6} {whole:>10,.0f} {small:>10,.0f} {whole / small:>6.1f}   {besides}", flush=True)


if __name__ == "__main__":
    main()
