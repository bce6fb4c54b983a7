"""A tiny model, a few colored images, and processes of their own for what a test cannot do to itself."""

import itertools
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing import forkserver
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree
from PIL import Image
from tiny_clip import tiny_config, write_checkpoint

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage
from utils.files import sole_owner
from utils.training import TrainingSettings, train
from utils.training.run import TrainingRun

COLORS = ("red", "green", "blue", "white", "black", "orange", "gray", "pink")
SETTINGS = TrainingSettings(batch_size=4, epochs=3, learning_rate=3e-3, warmup_steps=2, seed=1)


def tiny_model(folder: Path, **changes: dict) -> CLIP:
    """A CLIP of a few thousand parameters, the same at every call."""
    folder.mkdir(exist_ok=True)
    write_checkpoint(folder, tiny_config(**changes))
    return CLIP.from_pretrained(folder)


def colors(folder: Path, count: int = 8) -> CaptionDataset:
    """Images of one color with some noise; every color is described by two captions, or one, or three."""
    folder.mkdir(exist_ok=True)
    items = []
    for number in range(count):
        color = COLORS[number % len(COLORS)]
        path = folder / f"{color}_{number}.png"
        pixels = np.asarray(Image.new("RGB", (20, 20), color), np.int16)
        noise = np.random.default_rng(number).integers(-9, 10, pixels.shape)
        Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(path)
        captions = (color, f"{color} field", "a field")[: (2, 1, 3)[number % 3]]
        items.append(CaptionedImage(path, captions, "train", color, "test"))
    return CaptionDataset(items, "colors")


def parameters(model: CLIP) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]


def same(first: CLIP, second: CLIP) -> bool:
    pairs = zip(parameters(first), parameters(second), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


# --- processes --------------------------------------------------------------------------------------------

# A fork server has imported everything once; its children start at once and have devices of their own.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["training_world", "torchvision.transforms.v2", "grain"])


def started(function: Callable, *arguments: object) -> multiprocessing.Process:
    """Starts a function of a module in a process of its own."""
    before = os.environ.get("PYTHONPATH")
    # The server does not take over the path that it was told of, and would import nothing.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    forkserver.ensure_running()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    process = PROCESSES.Process(target=function, args=arguments)
    process.start()
    return process


def child(function: Callable, *arguments: object, seconds: float = 120) -> int:
    """Runs a function of a module in a process of its own and gives its exit code, -9 if it was killed."""
    process = started(function, *arguments)
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{function.__name__} still ran after {seconds} seconds")
    return process.exitcode


def train_until_killed(folder: Path, output: Path, settings: TrainingSettings, moment: str) -> None:
    """Trains, and kills itself at a moment; ``never`` lets it end."""
    jax.config.update("jax_disable_most_optimizations", True)
    model, dataset = CLIP.from_pretrained(folder), colors(folder)
    kind, _, number = moment.partition(" ")
    if kind == "step":
        _kill_after_step(int(number))
    elif kind == "export":
        CLIP.save_pretrained = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "save":
        threading.Thread(target=_kill_while_saving, args=(output, number), daemon=True).start()
    train(model, dataset, dataset, settings, output)


def _kill_after_step(step: int) -> None:
    advance = TrainingRun.advance

    def wrapped(it: TrainingRun) -> None:
        advance(it)
        if it.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    TrainingRun.advance = wrapped


def _kill_while_saving(output: Path, step: str) -> None:
    """Kills the process as soon as files of a checkpoint lie under its unfinished name."""
    while True:
        if any((output / "checkpoints").glob(f"{step}.orbax-checkpoint-tmp*/*/*")):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.0005)


def compare_meshes(folder: Path, report: Path) -> None:
    """One device and eight simulated ones: loss, gradients and twenty steps; writes the greatest differences."""
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_disable_most_optimizations", True)
    from dataclasses import replace

    from utils.training.contrastive import make_loss_and_gradients
    from utils.training.step import data_mesh

    settings = TrainingSettings(batch_size=16, epochs=20, learning_rate=1e-3, warmup_steps=2, max_gradient_norm=1e9)
    model, dataset = CLIP.from_pretrained(folder), colors(folder, 16)
    one, eight = (
        TrainingRun(model, dataset, dataset, settings, mesh=data_mesh(devices))
        for devices in (jax.devices()[:1], jax.devices())
    )
    batch = {name: value for name, value in next(one.batches).items() if name != "index"}
    one.batches.set_state(eight.batches.get_state())
    in_micro_batches = make_loss_and_gradients(eight.split.graphdef, replace(settings, micro_batch_size=8), eight.mesh)
    placed = jax.device_put(batch, eight.sharded)
    loss, gradient = jax.jit(in_micro_batches)(eight.state["trained"], eight.state["frozen"], placed)
    results = {"in_micro_batches": (float(loss), arrays(ravel_pytree(gradient)[0]))}
    for name, it in (("one", one), ("eight", eight)):
        it.advance()
        # Without clipping Adam's mean, one long row, is after one step the gradient itself by 1 - b1.
        mean = optax.tree_utils.tree_get(it.state["optimizer"], "mu")
        results[name] = (it.fetch_history()[0]["loss"], [array / (1 - settings.b1) for array in arrays(mean)])
    embeddings = [
        np.asarray(nnx.jit(encode)(model, batch[name]))
        for encode, name in ((CLIP.encode_images, "images"), (CLIP.encode_texts, "tokens"))
    ]
    np.savez(report.with_suffix(".npz"), *embeddings, batch["caption_ids"], batch["caption_sets"])
    for it in (one, eight):
        while not it.finished:
            it.advance()
    loss, expected = results.pop("one")
    differences = {
        name: {"loss": abs(other - loss), "gradients": difference(expected, got)}
        for name, (other, got) in results.items()
    }
    about = {"devices": eight.mesh.size, "steps": one.step, "loss": loss}
    about["largest"] = max(np.abs(array).max() for array in expected)
    about["after"] = difference(parameters(one.model()), parameters(eight.model()))
    about["moved"] = difference(parameters(one.model()), parameters(model))
    report.write_text(json.dumps(about | differences, default=float))


def train_together(
    folder: Path, output: Path, runs: dict[str, TrainingSettings], planned: dict, address: str, number: int
) -> None:
    """One of two processes: trains all runs with the other one, tries to differ from it, and leaves what came of it."""
    jax.config.update("jax_disable_most_optimizations", True)
    from dataclasses import replace

    from utils.training import processes
    from utils.training.__main__ import finetune

    processes.join(address, 2, number)
    model, dataset = CLIP.from_pretrained(folder), colors(folder)
    left = {}
    for name, settings in runs.items():
        result = train(model, dataset, dataset, settings, output / name)
        np.savez(output / f"{name}-{number}.npz", *parameters(result.model))
        left[name] = [row["loss"] for row in result.history]
    finetune(planned)
    run = TrainingRun(model, dataset, dataset, settings)
    batch = {name: run._placed(array) for name, array in next(run.batches).items() if name != "index"}
    left["rows"] = [shard.data.shape[0] for shard in batch["tokens"].addressable_shards]
    left["step"] = run.train_step.lower(run.state, batch, 1e-3).compile().as_text()
    for name, change in {"apart": {"seed": 2 + number}, "in use": {}}.items():
        held = sole_owner(output / name, "a test") if (name, number) == ("in use", 0) else nullcontext()
        with held:
            try:
                train(model, dataset, dataset, replace(settings, **change), output / name)
            except (ValueError, OSError, processes.LeadError) as error:
                left[name] = str(error)
    (output / f"left-{number}.json").write_text(json.dumps(left))
    jax.distributed.shutdown()


def work_until(moment: str) -> None:
    """One of the workers of `launch`: at the ninth image of number 1 comes Ctrl-C, a kill, or nothing any more."""
    from utils.training.__main__ import work

    job = json.loads(Path(sys.argv[1]).read_text())
    read, reads = CaptionDataset.open, itertools.count()

    def read_until(dataset: CaptionDataset, index: int) -> Image.Image:
        number = next(reads)
        if number == 8:
            (Path(job["parameters"]["OUTPUT_DIR"]) / moment).touch()
        if number == 8 and moment == "stopped":
            os.kill(os.getppid(), signal.SIGINT)
        if number == 8 and moment == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if number >= 8 and moment == "stuck":
            time.sleep(600)
        return read(dataset, index)

    if job["number"] == 1:
        CaptionDataset.open = read_until
    work(job)


def arrays(tree: object) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return max(float(np.abs(x - y).max()) for x, y in zip(first, second, strict=True))
