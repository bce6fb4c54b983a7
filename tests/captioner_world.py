"""A tiny captioner of a tiny CLIP, its settings, and what is run in a process of its own."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from training_world import arrays, colors, difference

from utils.captioning import Captioner, CaptioningSettings
from utils.captioning.objective import CAPTIONING
from utils.clip import CLIP
from utils.training.run import TrainingRun
from utils.training.step import data_mesh

SETTINGS = CaptioningSettings(
    batch_size=4, epochs=3, learning_rate=1e-2, warmup_steps=1, caption_tokens=16, seed=1, keep_best=False
)


def tiny_captioner(clip: CLIP, **changes: object) -> Captioner:
    """The same at every call, of two layers; its mapper is a transformer of the patches."""
    mapper = {"kind": "transformer", "source": "patches", "mapper_layers": 2, "prefix_length": 3}
    return Captioner.start(clip, **mapper | {"layers": 2, "width": 32} | changes)


def compare_meshes(folder: Path, report: Path) -> None:
    """One device and eight simulated ones, whole and in micro-batches; writes the loss and the greatest differences."""
    jax.config.update("jax_num_cpu_devices", 8)
    jax.config.update("jax_disable_most_optimizations", True)
    settings = CaptioningSettings(batch_size=16, epochs=1, caption_tokens=8)
    start, dataset = tiny_captioner(CLIP.from_pretrained(folder)), colors(folder, 16)
    batch, results, figures = None, {}, {}
    for name, devices, micro in (("one", 1, None), ("eight", 8, None), ("in micro-batches", 8, 8)):
        mesh = data_mesh(jax.devices()[:devices])
        run = TrainingRun(start, dataset, dataset, settings, mesh, CAPTIONING)
        batch = batch or {key: value for key, value in next(run.batches).items() if key != "index"}
        function = CAPTIONING.loss_and_gradients(run.split.graphdef, replace(settings, micro_batch_size=micro), mesh)
        placed = jax.device_put(batch, run.sharded)
        loss, gradient = jax.jit(function)(run.state["trained"], run.state["frozen"], placed)
        results[name] = float(loss), arrays(ravel_pytree(gradient)[0])
        if micro is None:
            figures[name] = CAPTIONING.validate(run.model(), dataset, settings, run.sharded)["validation_loss"]
        run.batches.close()
    loss, expected = results.pop("one")
    about = {"loss": loss, "largest": max(np.abs(array).max() for array in expected)}
    about["validation"] = abs(figures["one"] - figures["eight"])
    for name, (other, got) in results.items():
        about[name] = max(abs(other - loss), difference(expected, got))
    report.write_text(json.dumps(about, default=float))
