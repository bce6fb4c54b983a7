"""The loss against torch, the step, resuming, and what a run leaves behind."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from tiny_clip import tiny_config, write_checkpoint

from utils.clip import CLIP
from utils.datasets import CaptionDataset, CaptionedImage
from utils.training import (
    MAX_LOGIT_SCALE,
    TrainingSettings,
    contrastive_loss,
    decay_mask,
    learning_rate_schedule,
    load_or_train,
    positive_pairs,
    train,
)

SETTINGS = TrainingSettings(batch_size=4, epochs=3, learning_rate=3e-3, warmup_steps=2, seed=1)


def tiny_model(folder) -> CLIP:
    """A CLIP of a few thousand parameters, the same at every call."""
    write_checkpoint(folder, tiny_config())
    return CLIP.from_pretrained(folder)


@pytest.fixture
def model(tmp_path) -> CLIP:
    return tiny_model(tmp_path)


@pytest.fixture
def dataset(tmp_path) -> CaptionDataset:
    items = []
    for number, color in enumerate(("red", "green", "blue", "white", "black", "orange", "gray", "pink")):
        path = tmp_path / f"{color}_{number}.png"
        Image.new("RGB", (20, 20), color).save(path)
        items.append(CaptionedImage(path, (color, f"{color} field"), "train", color, "test"))
    return CaptionDataset(items, "colours")


def unit(seed: int, shape: tuple[int, int]) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def parameters(model) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]


# --- the loss ---------------------------------------------------------------------------------------------


def test_loss_and_gradients_are_those_of_open_clip():
    import torch
    from open_clip.loss import ClipLoss

    images, texts, scale = unit(0, (6, 8)), unit(1, (6, 8)), 2.5
    theirs = [torch.tensor(values, requires_grad=True) for values in (images, texts, np.float32(scale))]
    expected = ClipLoss()(theirs[0], theirs[1], theirs[2].exp())
    expected.backward()
    ours, gradients = jax.value_and_grad(contrastive_loss, argnums=(0, 1, 2))(
        images, texts, jnp.float32(scale)
    )
    assert float(ours) == pytest.approx(expected.item(), rel=1e-5)
    for got, tensor in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(got), tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_loss_with_shared_captions_is_torch_cross_entropy_with_soft_targets():
    import torch
    from torch.nn.functional import cross_entropy

    images, texts = unit(2, (5, 8)), unit(3, (5, 8))
    positives = np.eye(5, dtype=bool)
    positives[0, 3] = positives[4, 1] = positives[4, 2] = True
    logits = torch.tensor(images @ texts.T) * 10
    wanted = torch.tensor(positives).float()
    expected = (
        cross_entropy(logits, wanted / wanted.sum(1, keepdim=True))
        + cross_entropy(logits.T, wanted.T / wanted.T.sum(1, keepdim=True))
    ) / 2
    ours = contrastive_loss(images, texts, jnp.log(10.0), jnp.asarray(positives))
    assert float(ours) == pytest.approx(expected.item(), rel=1e-5)


def test_loss_is_float32_whatever_comes_in():
    images, texts = jnp.asarray(unit(4, (4, 8)), jnp.bfloat16), jnp.asarray(unit(5, (4, 8)), jnp.bfloat16)
    loss = contrastive_loss(images, texts, jnp.float32(4.6))
    exact = contrastive_loss(images.astype(jnp.float32), texts.astype(jnp.float32), jnp.float32(4.6))
    assert loss.dtype == jnp.float32 and float(loss) == float(exact)


def test_positive_pairs_by_hand():
    # Image 0 holds captions 7 and 8 and drew 7; image 1 holds 8 alone; image 2 holds 9 and 7 and drew 9.
    pairs = positive_pairs(jnp.array([7, 8, 9]), jnp.array([[7, 8], [8, -1], [9, 7]]))
    assert pairs.tolist() == [[True, True, False], [False, True, False], [True, False, True]]


# --- schedule and optimizer -------------------------------------------------------------------------------


def test_schedule_rises_to_the_peak_and_falls_to_zero():
    schedule = learning_rate_schedule(TrainingSettings(learning_rate=0.1, warmup_steps=10), 50)
    values = [float(schedule(step)) for step in (0, 5, 10, 30, 50)]
    assert values == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-8)


def test_warm_up_never_eats_a_short_run():
    schedule = learning_rate_schedule(TrainingSettings(learning_rate=0.1, warmup_steps=50), 6)
    assert max(float(schedule(step)) for step in range(6)) == pytest.approx(0.1)


def test_decay_is_for_matrices_of_linear_layers_alone(model):
    flat = dict(nnx.to_flat_state(decay_mask(model)))
    decayed = {path for path, marked in flat.items() if getattr(marked, "value", marked)}
    assert decayed and all(path[-1] == "kernel" for path in decayed)
    spared = {str(part) for path in set(flat) - decayed for part in path}
    assert {
        "logit_scale",
        "position_embedding",
        "token_embedding",
        "class_embedding",
        "bias",
        "scale",
    } <= spared


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"epochs": -1}, {"learning_rate": 0.0}, {"weight_decay": -0.1}, {"workers": 0}],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


# --- a run ------------------------------------------------------------------------------------------------


def test_training_learns_and_leaves_what_transformers_loads(model, dataset, tmp_path):
    from transformers import CLIPModel

    settings = TrainingSettings(
        batch_size=8, epochs=25, learning_rate=1e-2, warmup_steps=5, augmentation="none"
    )
    result = train(model, dataset, dataset, settings, tmp_path / "run")
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.5 * losses[0]
    assert result.history[-1]["validation_loss"] < np.log(8)
    assert float(result.model.logit_scale[...]) <= MAX_LOGIT_SCALE + 1e-6
    CLIPModel.from_pretrained(result.model_dir)
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert len(rows) == 25 and float(rows[-1]["loss"]) == pytest.approx(losses[-1])


def test_the_starting_point_is_left_as_it_is(model, dataset, tmp_path):
    before = parameters(model)
    result = train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    assert all(np.array_equal(x, y) for x, y in zip(before, parameters(model), strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(before, parameters(result.model), strict=True))


def test_same_seed_same_model_and_another_seed_another(tmp_path, dataset):
    results = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        settings = TrainingSettings(batch_size=4, epochs=2, learning_rate=3e-3, seed=seed)
        results.append(
            parameters(train(tiny_model(tmp_path), dataset, dataset, settings, tmp_path / name).model)
        )
    assert all(np.array_equal(x, y) for x, y in zip(results[0], results[1], strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(results[0], results[2], strict=True))


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, dataset, monkeypatch):
    from utils import training

    whole = train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "whole")
    advance, steps = training._Run.advance, []

    def advance_until_the_fourth(run):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(advance(run))

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training._Run, "advance", advance_until_the_fourth)
        train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "stopped")
    resumed = train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "stopped")
    for expected, got in zip(parameters(whole.model), parameters(resumed.model), strict=True):
        np.testing.assert_array_equal(expected, got)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_a_finished_run_is_not_trained_again(tmp_path, dataset, monkeypatch):
    from utils import training

    first = train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "run")
    monkeypatch.setattr(training._Run, "advance", lambda run: pytest.fail("a finished run took a step"))
    again = train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "run")
    assert again.history == first.history
    for expected, got in zip(parameters(first.model), parameters(again.model), strict=True):
        np.testing.assert_array_equal(expected, got)


def test_a_folder_of_another_run_is_refused(tmp_path, dataset):
    train(tiny_model(tmp_path), dataset, dataset, SETTINGS, tmp_path / "run")
    other = TrainingSettings(batch_size=4, epochs=3, learning_rate=1e-4, warmup_steps=2, seed=1)
    with pytest.raises(ValueError, match="learning_rate"):
        train(tiny_model(tmp_path), dataset, dataset, other, tmp_path / "run")
    with pytest.raises(ValueError, match="other data"):
        train(tiny_model(tmp_path), dataset[:7], dataset, SETTINGS, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run(model, dataset, tmp_path):
    model.logit_scale[...] = jnp.float32(np.nan)
    with pytest.raises(FloatingPointError, match="step 1 is nan"):
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")


def test_load_or_train_prefers_what_is_there(tmp_path, dataset, capsys):
    start = tiny_model(tmp_path)
    before = parameters(start)
    load_or_train(tmp_path / "finetuned", start, dataset, dataset, SETTINGS)
    assert "short" in capsys.readouterr().out
    assert all(np.array_equal(x, y) for x, y in zip(before, parameters(start), strict=True))
    made = train(start, dataset, dataset, SETTINGS, tmp_path / "finetuned")
    loaded = load_or_train(tmp_path / "finetuned", tiny_model(tmp_path), dataset, dataset, SETTINGS)
    assert all(np.array_equal(x, y) for x, y in zip(parameters(made.model), parameters(loaded), strict=True))
