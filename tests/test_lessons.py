"""What the notebooks write out by hand is what the package computes, on models and data of its own."""

import re

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exercise_world import NOTEBOOKS, definitions
from flax import nnx
from training_world import SETTINGS, colors, tiny_model

from utils.training import contrastive_loss, learning_rate_schedule
from utils.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("quick_compilation")

MEET, FINETUNE = (definitions(NOTEBOOKS / f"{stem}.ipynb") for stem in ("03_meet_clip", "04_finetune_clip"))
LINK = re.compile(r"\[`(\w+)`\]\(\.\./(utils/[\w/]+\.py)#L(\d+)\)")


def unit(rows: int, dim: int, seed: int) -> jnp.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return jnp.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), jnp.float32)


def test_the_written_blocks_give_what_both_towers_give(tmp_path):
    model = tiny_model(tmp_path)
    vision, text, block = model.vision, model.text, MEET["block"]
    size = vision.image_size
    pixels = np.random.default_rng(0).standard_normal((size, size, 3)).astype(np.float32)
    patches = MEET["patchify"](pixels[None], vision.patch_size)[0] @ vision.patch_embedding.kernel[...]
    hidden = jnp.concatenate([vision.class_embedding[...][None], patches]) + vision.position_embedding[...]
    hidden = vision.first_norm(hidden)
    for layer in MEET["blocks_of"](vision):
        hidden, weights = block(hidden, layer)
        np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    by_hand = vision.projection(vision.last_norm(hidden[0]))
    np.testing.assert_allclose(by_hand, vision(pixels[None])[0], rtol=1e-4, atol=1e-5)

    ids = jnp.asarray(model.tokenizer("a red field")["input_ids"])
    hidden = text.token_embedding(ids) + text.position_embedding[: len(ids)]
    for layer in MEET["blocks_of"](text):
        hidden, weights = block(hidden, layer, jnp.tri(len(ids), dtype=bool))
        assert not np.triu(weights, 1).any()
    by_hand = text.projection(text.last_norm(hidden[-1]))
    np.testing.assert_allclose(by_hand, text(ids[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("marks", [np.eye(6), np.random.default_rng(0).random((6, 6)) < 0.3])
def test_the_written_loss_is_that_of_training(marks):
    positives = jnp.asarray(marks, bool) | jnp.eye(6, dtype=bool)
    arguments = unit(6, 5, 1), unit(6, 5, 2), jnp.asarray(2.0), positives
    np.testing.assert_allclose(FINETUNE["quiz_loss"](*arguments), contrastive_loss(*arguments), rtol=1e-5)


def test_the_first_losses_of_the_written_step_are_those_of_train(tmp_path):
    model, dataset = tiny_model(tmp_path), colors(tmp_path)
    run = TrainingRun(model, dataset, dataset, SETTINGS)
    batches, student = TrainingRun(model, dataset, dataset, SETTINGS).batches, model.copy()
    is_matrix = nnx.map_state(lambda path, _: path[-1] == "kernel", nnx.state(student, nnx.Param))
    chain = optax.chain(
        optax.clip_by_global_norm(SETTINGS.max_gradient_norm),
        optax.adamw(
            learning_rate_schedule(SETTINGS, run.total_steps),
            SETTINGS.b1,
            SETTINGS.b2,
            eps=1e-6,
            weight_decay=SETTINGS.weight_decay,
            mask=is_matrix,
        ),
    )
    optimizer, written = nnx.Optimizer(student, chain, wrt=nnx.Param), []
    while not run.finished:
        run.advance()
        batch = {name: array for name, array in next(batches).items() if name != "index"}
        written.append(float(FINETUNE["training_step"](student, optimizer, batch)))
    losses = [row["loss"] for row in run.fetch_history()]
    assert losses[0] != losses[-1]
    np.testing.assert_allclose(written, losses, rtol=1e-4)


def test_links_lead_to_the_lines_where_what_they_name_is_defined(root):
    text = (NOTEBOOKS / "04_finetune_clip.ipynb").read_text(encoding="utf-8")
    found = LINK.findall(text)
    assert len(found) >= 5 and text.count("](../utils/") == len(found)
    for name, path, line in found:
        there = (root / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert there.startswith(f"def {name}("), f"{path}#L{line} is not {name}, but {there!r}"
