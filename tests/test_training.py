"""The loss against torch and open_clip, schedules and optimizers against optax, and what a run can be."""

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import islice
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from training_world import SETTINGS, colors, parameters, same, tiny_model

from utils.clip import CLIP
from utils.datasets import CaptionDataset, eval_transform, read_image
from utils.training import (
    TrainingSettings,
    contrastive_loss,
    learning_rate_schedule,
    load_or_train,
    positive_pairs,
    train,
    validate,
)
from utils.training.loss import MAX_LOGIT_SCALE, batch_positives
from utils.training.optimizer import adafactor_by_layer, decay_mask, make_optimizer, moving_average
from utils.training.run import STEPS_AHEAD, TrainingRun
from utils.training.step import OUTSIDE_THE_STEP
from utils.training.trainable import split_model
from utils.training.validation import _batch_size, _mean_loss, recall_interval

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def model(tmp_path) -> CLIP:
    return tiny_model(tmp_path)


@pytest.fixture
def dataset(tmp_path) -> CaptionDataset:
    return colors(tmp_path)


def unit(seed: int, shape: tuple[int, int]) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


# --- the loss ---------------------------------------------------------------------------------------------


def test_loss_and_gradients_are_those_of_open_clip():
    import torch
    from open_clip.loss import ClipLoss

    images, texts, scale = unit(0, (6, 8)), unit(1, (6, 8)), 2.5
    theirs = [torch.tensor(values, requires_grad=True) for values in (images, texts, np.float32(scale))]
    expected = ClipLoss()(theirs[0], theirs[1], theirs[2].exp())
    expected.backward()
    ours, gradients = jax.value_and_grad(contrastive_loss, argnums=(0, 1, 2))(images, texts, jnp.float32(scale))
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


def test_equal_captions_and_other_captions_of_an_image_are_no_negatives():
    # Image 0 holds captions 7 and 8 and drew 7; image 1 holds 8 alone; image 2 holds 9 and 7 and drew 9.
    # Row 3 is image 2 again, with its other caption, as in an epoch of all pairs.
    pairs = positive_pairs(jnp.array([7, 8, 9, 7]), jnp.array([[7, 8], [8, -1], [9, 7], [9, 7]]))
    assert pairs.astype(int).tolist() == [[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]]


def test_a_shared_caption_pulls_where_the_plain_loss_pushes():
    # Image 0 owns captions 7 and 8 and drew 7; image 1 owns 8 alone; image 2 owns 9 and 7 and drew 9.
    batch = {"caption_ids": jnp.array([7, 8, 9]), "caption_sets": jnp.array([[7, 8], [8, -1], [9, 7]])}
    images = jnp.eye(4)[:3] * 0.8 + 0.2
    images, texts = images / jnp.linalg.norm(images, axis=1, keepdims=True), jnp.eye(4)[:3]

    def pull_towards_text_1(loss: str) -> float:
        gradient = jax.grad(contrastive_loss)(images, texts, jnp.log(3.0), batch_positives(batch, loss))
        return float(-gradient[0] @ texts[1])

    assert pull_towards_text_1("plain") < 0 < pull_towards_text_1("multi_positive")


def test_similarities_and_loss_are_float32_whatever_comes_in():
    images, texts = jnp.asarray(unit(4, (4, 8)), jnp.bfloat16), jnp.asarray(unit(5, (4, 8)), jnp.bfloat16)
    loss = contrastive_loss(images, texts, jnp.float32(4.6))
    exact = contrastive_loss(images.astype(jnp.float32), texts.astype(jnp.float32), jnp.float32(4.6))
    assert loss.dtype == jnp.float32 and float(loss) == float(exact)
    coarse = jnp.bfloat16(4.59)
    scaled = contrastive_loss(images, texts, coarse)
    assert scaled.dtype == jnp.float32
    assert float(scaled) == float(contrastive_loss(images, texts, coarse.astype(jnp.float32)))
    # Accelerators would multiply float32 in fewer bits unless told otherwise.
    assert "HIGHEST" in str(jax.make_jaxpr(contrastive_loss)(images, texts, jnp.float32(4.6)))


def test_logit_scale_never_passes_ln_100(model, dataset):
    assert np.exp(MAX_LOGIT_SCALE) == pytest.approx(100)
    model.logit_scale[...] = jnp.float32(MAX_LOGIT_SCALE + 0.1)
    run = TrainingRun(model, dataset, dataset, SETTINGS)
    for _ in range(3):
        run.advance()
    assert all(row["logit_scale"] <= MAX_LOGIT_SCALE + 1e-6 for row in run.fetch_history())


# --- schedule and optimizer -------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "middle"), [("linear", 0.05), ("cosine", 0.05)])
def test_schedules_rise_to_the_peak_and_fall_to_zero(shape, middle):
    settings = TrainingSettings(learning_rate=0.1, warmup_steps=10, schedule=shape)
    schedule = learning_rate_schedule(settings, 50)
    values = [float(schedule(step)) for step in (0, 5, 10, 30, 50)]
    assert values == pytest.approx([0, 0.05, 0.1, middle, 0], abs=1e-8)
    quarter = {"linear": 0.075, "cosine": 0.05 * (1 + np.cos(np.pi / 4))}[shape]
    assert float(schedule(20)) == pytest.approx(quarter, rel=1e-5)


def test_warm_up_never_eats_a_short_run():
    schedule = learning_rate_schedule(TrainingSettings(learning_rate=0.1, warmup_steps=50), 6)
    assert max(float(schedule(step)) for step in range(6)) == pytest.approx(0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_decay_is_for_matrices_of_linear_layers_alone(model, optimizer):
    gradients = jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param))
    state = nnx.state(model, nnx.Param)
    updates = []
    for decay in (0.0, 0.5):
        settings = TrainingSettings(optimizer=optimizer, weight_decay=decay)
        transformation = make_optimizer(split_model(model, settings), settings)
        update = jax.jit(lambda *trees, it=transformation: it.update(trees[0], it.init(trees[1]), trees[1])[0])(
            gradients, state
        )
        updates.append(dict(nnx.to_flat_state(update)))
    spared = set()
    for path, value in nnx.to_flat_state(state):
        change = np.asarray(updates[1][path][...]) - np.asarray(updates[0][path][...])
        if path[-1] == "kernel":
            np.testing.assert_allclose(change, -0.5 * np.asarray(value[...]), atol=1e-6)
        else:
            assert not change.any(), path
            spared |= set(map(str, path))
    assert {"logit_scale", "position_embedding", "class_embedding", "bias", "scale", "embedding"} <= spared
    marked = dict(nnx.to_flat_state(decay_mask(split_model(model, settings))))
    assert {path[-1] for path, leaf in marked.items() if jax.tree.leaves(leaf)[0]} == {"kernel"}


def test_adamw_is_optax_with_the_rate_outside(model):
    settings = TrainingSettings(weight_decay=0.5, b1=0.8, b2=0.9, max_gradient_norm=3.0)
    ours = optax.chain(make_optimizer(split_model(model, settings), settings), optax.scale(0.01))
    adamw = optax.adamw(0.01, b1=0.8, b2=0.9, eps=1e-6, weight_decay=0.5, mask=decay_mask(split_model(model, settings)))
    theirs = optax.chain(optax.clip_by_global_norm(3.0), adamw)
    start = nnx.state(model, nnx.Param)
    ends = []
    for optimizer in (ours, theirs):
        values, memory = start, optimizer.init(start)
        for step in range(3):
            gradients = jax.tree.map(lambda value, factor=1.0 + step: jnp.cos(factor * value), values)
            updates, memory = jax.jit(optimizer.update)(gradients, memory, values)
            values = optax.apply_updates(values, updates)
        ends.append(values)
    jax.tree.map(lambda got, expected: np.testing.assert_allclose(got, expected, atol=1e-6), *ends)


def test_runs_that_differ_outside_the_step_share_a_compiled_one(model, dataset):
    def step(**changes):
        return TrainingRun(model, dataset, dataset, replace(SETTINGS, **changes)).train_step

    shared = step()
    assert step(epochs=7, learning_rate=0.5, warmup_steps=1, schedule="cosine", seed=3) is shared
    within = {"weight_decay": 0.3, "loss": "plain", "ema_decay": 0.9, "frozen_parts": ("text_tower",)}
    for name, value in within.items():
        assert step(**{name: value}) is not step(), name
    assert step() is step() and step(compute_dtype="bfloat16") is not step()


def test_every_setting_is_either_outside_the_step_or_a_reason_for_another():
    names = {field.name for field in fields(TrainingSettings)}
    assert set(OUTSIDE_THE_STEP) < names
    # What is named here has a say in a step: whoever adds a setting decides where it belongs.
    assert names - set(OUTSIDE_THE_STEP) == {
        *("optimizer", "b1", "b2", "weight_decay", "max_gradient_norm", "ema_decay", "loss", "frozen_parts"),
        *("lora_rank", "lora_alpha", "compute_dtype", "rematerialize", "micro_batch_size"),
    }


def test_adafactor_is_optax_with_every_layer_a_parameter_of_its_own():
    rng = np.random.default_rng(0)
    sizes = {"early_blocks": (3, 130, 140), "kernel": (128, 150), "bias": (40,)}
    values, gradients = (
        {
            name: rng.normal(size=size).astype(np.float32) * (1 + number)
            for number, (name, size) in enumerate(sizes.items())
        }
        for _ in range(2)
    )
    values["early_blocks"] *= np.array([0.1, 1, 10], np.float32)[:, None, None]  # layers of different size

    def apart(tree: dict) -> dict:
        return tree | {"early_blocks": list(tree["early_blocks"])}

    def state(tree: dict) -> nnx.State:
        parameters = {name: nnx.Param(jnp.asarray(value)) for name, value in tree.items()}
        return nnx.State({"text": {"early_blocks": parameters.pop("early_blocks")}, "head": parameters})

    theirs, expected = optax.adafactor(0.01), apart(values)
    ours, got = optax.chain(adafactor_by_layer(), optax.scale(0.01)), state(values)
    their_state, our_state = theirs.init(expected), ours.init(got)
    for _ in range(3):
        update, their_state = jax.jit(theirs.update)(apart(gradients), their_state, expected)
        expected = optax.apply_updates(expected, update)
        update, our_state = jax.jit(ours.update)(state(gradients), our_state, got)
        got = optax.apply_updates(got, update)
    layers = np.stack(expected["early_blocks"])
    np.testing.assert_allclose(got["text"]["early_blocks"][...], layers, rtol=1e-5, atol=1e-6)
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(got["head"][name][...], expected[name], rtol=1e-5, atol=1e-6)


def test_moving_average_forgets_the_start_first_and_then_slowly():
    assert float(moving_average(jnp.float32(1), jnp.float32(0), jnp.int32(0), 0.99)) == pytest.approx(0.1)
    assert float(moving_average(jnp.float32(1), jnp.float32(0), jnp.int32(10**6), 0.99)) == pytest.approx(0.99)


def test_the_average_is_what_is_validated_and_exported(model, dataset, tmp_path, monkeypatch):
    from utils.training import contrastive

    seen = []
    monkeypatch.setattr(
        contrastive, "validate", lambda model, *_: seen.append(parameters(model)) or {"validation_recall": 0.5}
    )
    settings = replace(SETTINGS, ema_decay=0.9)
    result = train(model, dataset, dataset, settings, tmp_path / "run")
    averaged, plain = CLIP.from_pretrained(result.model_dir), TrainingRun(model, dataset, dataset, settings)
    assert all(np.array_equal(x, y) for x, y in zip(seen[-1], parameters(averaged), strict=True))
    while not plain.finished:
        plain.advance()
    del plain.state["average"]
    assert not same(plain.model(), averaged)


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"epochs": -1},
        {"learning_rate": 0.0},
        {"learning_rate": "1e-5"},
        {"weight_decay": -0.1},
        {"seed": -1},
        {"seed": 2**32},
        {"workers": 0},
        {"b2": 1.0},
        {"ema_decay": 1.5},
        {"loss": "triplet"},
        {"optimizer": "sgd"},
        {"schedule": "step"},
        {"captions": "five"},
        {"augmentation": None},
        {"compute_dtype": "float16"},
        {"micro_batch_size": 3, "batch_size": 8},
        {"frozen_parts": ("head",)},
        {"lora_rank": 0},
        {"lora_alpha": 8.0},  # without lora_rank it would do nothing
        {"b1": 0.8, "optimizer": "adafactor"},
        {"b2": 0.9, "optimizer": "adafactor"},
        {"patience": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainingSettings(**wrong)


def test_settings_with_an_effect_are_taken():
    assert TrainingSettings(lora_alpha=8.0, lora_rank=2).lora_alpha == 8.0
    assert TrainingSettings(b1=0.8).b1 == 0.8 and TrainingSettings(optimizer="adafactor").b2 == 0.98


@pytest.mark.parametrize(
    ("batch", "micro", "records", "fitted"),
    [
        (40, None, 100, (40, None)),
        (40, None, 9, (9, None)),
        (40, None, 0, (1, None)),
        (1024, 256, 48, (48, None)),
        (1024, 256, 300, (256, 256)),
        (40, 8, 24, (24, 8)),
    ],
)
def test_a_batch_is_fitted_to_few_images(batch, micro, records, fitted):
    settings = TrainingSettings(batch_size=batch, micro_batch_size=micro).fitted_to(records)
    assert (settings.batch_size, settings.micro_batch_size) == fitted


def test_settings_from_a_profile_may_be_lists():
    settings = TrainingSettings(frozen_parts=["logit_scale"])
    assert settings.frozen_parts == ("logit_scale",) and "workers" not in settings.identity


def test_data_that_cannot_be_trained_on_are_refused(model, dataset, tmp_path):
    with pytest.raises(ValueError, match="at least one image"):
        train(model, dataset, dataset[:0], SETTINGS, tmp_path / "run")
    with pytest.raises(ValueError, match="batch of 9"):
        train(model, dataset, dataset, replace(SETTINGS, batch_size=9), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- a run ------------------------------------------------------------------------------------------------


def test_images_without_captions_are_left_out_and_the_rest_is_trained_on(model, dataset, tmp_path):
    """A blank caption in train, one in val, and a batch that no longer fits what remains of the short training."""
    partly = CaptionDataset([replace(dataset[0], captions=()), replace(dataset[1], captions=(".",)), *dataset[2:]])
    with pytest.warns(UserWarning, match="2 of 8 images have no caption and are left out") as said:
        made = load_or_train(tmp_path / "none", model, partly, partly, replace(SETTINGS, epochs=1, batch_size=8))
    assert sum("no caption" in str(warning.message) for warning in said) <= 2  # one for each of the two sets
    assert np.isfinite(np.asarray(made.logit_scale[...]))
    again = load_or_train(tmp_path / "none", model, partly, partly, replace(SETTINGS, epochs=1, batch_size=8))
    assert same(made, again)
    bare = CaptionDataset([replace(item, captions=()) for item in dataset], "x")
    for sets in ((bare, dataset), (dataset, bare)):
        with pytest.raises(ValueError, match="x: none of its 8 images has a caption"):
            train(model, *sets, SETTINGS, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_captions_that_are_cut_are_counted_at_the_start(model, dataset, tmp_path):
    tokens = model.tokenizer.model_max_length
    long = CaptionDataset([replace(dataset[0], captions=("red " * tokens * 9, "red")), *dataset[1:]], "long")
    with pytest.warns(UserWarning, match=f"long: 1 of .* captions are longer than the {tokens} tokens"):
        train(model, long, dataset, replace(SETTINGS, epochs=1), tmp_path / "run")


def test_training_learns(model, dataset):
    settings = replace(SETTINGS, epochs=10)
    run = TrainingRun(model, dataset, dataset, settings)
    before = validate(model, dataset, settings)
    while not run.finished:
        run.advance()
    run.validate()
    losses = [row["loss"] for row in run.history]
    assert np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    assert run.history[-1]["validation_loss"] < before["validation_loss"]
    assert run.history[-1]["validation_recall"] > before["validation_recall"]


class OnDevice:
    """A number in the place of one on a device; it counts how often any is fetched."""

    fetched = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        OnDevice.fetched += 1
        return np.float32(self.value)[...]


def run_with_losses(
    model: CLIP, dataset: CaptionDataset, loss_at: Callable[[int], float], **changes: object
) -> TrainingRun:
    """A run of forty steps that compute nothing and give these losses."""
    run = TrainingRun(model, dataset, dataset, replace(SETTINGS, **{"epochs": 20, **changes}))
    run.state = {}

    def step(state: dict, batch: dict, rate: float) -> tuple[dict, dict]:
        values = {"loss": loss_at(run.step + 1), "gradient_norm": 1.0, "logit_scale": 1.0}
        return state, {name: OnDevice(value) for name, value in values.items()}

    run.train_step = step
    return run


def test_steps_are_dispatched_before_the_metrics_of_earlier_ones_are_fetched(model, dataset, monkeypatch):
    monkeypatch.setattr(OnDevice, "fetched", 0)
    run = run_with_losses(model, dataset, float)
    for _ in range(STEPS_AHEAD):
        run.advance()
    assert OnDevice.fetched == 0 and run.history == []
    run.advance()
    assert OnDevice.fetched == 3 and len(run.history) == 1
    steps = list(range(1, STEPS_AHEAD + 2))
    for _ in range(2):  # each is fetched once
        assert [row["loss"] for row in run.fetch_history()] == [row["step"] for row in run.history] == steps
        assert OnDevice.fetched == 3 * len(steps)


def test_a_loss_is_fetched_as_soon_as_two_more_steps_are_on_their_way(model, dataset):
    run = run_with_losses(model, dataset, lambda step: np.nan if step == 3 else 1.0)
    for step in range(1, STEPS_AHEAD + 3):
        run.advance()
        assert len(run.history) == max(0, step - STEPS_AHEAD)  # the progress bar shows the last one
    with pytest.raises(FloatingPointError, match="loss of step 3 is nan"):
        run.advance()


@pytest.mark.parametrize("changes", [{"micro_batch_size": 2}, {"rematerialize": True}])
def test_a_run_that_saves_memory_has_no_second_batch_on_the_devices(model, dataset, changes):
    run = run_with_losses(model, dataset, float, **changes)
    for step in (1, 2, 3):
        run.advance()
        assert len(run.history) == step


def test_learning_rates_are_computed_for_no_more_than_an_epoch(model, dataset, monkeypatch):
    """A run that is to last until patience ends it may have a million steps to come."""
    asked = []

    def schedule_of(*arguments: object) -> Callable[[int], object]:
        schedule = learning_rate_schedule(*arguments)
        return lambda step: asked.append(step) or schedule(step)

    monkeypatch.setattr("utils.training.run.learning_rate_schedule", schedule_of)
    run = run_with_losses(model, dataset, float, epochs=500_000)
    for step in (1, 2, 3):
        run.advance()
        assert asked == list(range(2 if step <= 2 else 4))
    whole = learning_rate_schedule(run.settings, run.total_steps)
    assert [row["learning_rate"] for row in run.fetch_history()] == [float(whole(step)) for step in range(3)]


def test_a_loss_that_is_not_finite_is_noticed_before_any_checkpoint(model, dataset):
    run = run_with_losses(model, dataset, lambda step: np.nan if step == 3 else 1.0)
    *_, third = islice(TrainingRun(model, dataset, dataset, run.settings).batches, 3)
    for _ in range(4):
        run.advance()
    with pytest.raises(FloatingPointError, match="loss of step 3 is nan") as stop:
        run.save(None)
    assert all(dataset[int(number)].name in str(stop.value) for number in third["index"])


def test_a_run_decodes_each_image_once(model, dataset, monkeypatch):
    paths = []
    monkeypatch.setattr(
        "utils.datasets.captioned_image.read_image", lambda path, how: paths.append(path) or read_image(path, how)
    )
    run = TrainingRun(model, dataset[:4], dataset[4:], replace(SETTINGS, epochs=2, workers=1))
    while not run.finished:
        run.advance()
        run.validate()
    assert sorted(paths) == sorted(item.path for item in dataset)


def test_one_seed_one_run_whatever_the_workers_and_the_prefetch(model, dataset, monkeypatch):
    losses = []
    for seed, workers, ahead in ((1, 1, 1), (1, 3, 7), (2, 1, 1)):
        monkeypatch.setattr("utils.datasets.batches.RECORDS_AHEAD", ahead)
        run = TrainingRun(model, dataset, dataset, replace(SETTINGS, seed=seed, workers=workers))
        while not run.finished:
            run.advance()
        losses.append([row["loss"] for row in run.fetch_history()])
    assert losses[0] == losses[1] != losses[2]


def test_an_epoch_of_all_pairs_has_as_many_steps(model, dataset):
    run = TrainingRun(model, dataset, dataset, replace(SETTINGS, captions="all", augmentation="published"))
    pairs = sum(len(item.captions) for item in dataset)
    assert run.total_steps == 3 * (pairs // 4) == len(list(run.batches))


def test_load_or_train_prefers_what_is_there_and_leaves_the_starting_point(tmp_path, dataset, capsys, model):
    before = parameters(model)
    load_or_train(tmp_path / "finetuned", model, dataset, dataset, SETTINGS)
    assert "short" in capsys.readouterr().out
    assert all(np.array_equal(x, y) for x, y in zip(before, parameters(model), strict=True))
    load_or_train(tmp_path / "finetuned", model, dataset, dataset, replace(SETTINGS, seed=2))  # in a folder of its own
    assert len(list(tmp_path.glob("finetuned-short-*"))) == 2
    made = train(model, dataset, dataset, SETTINGS, tmp_path / "finetuned")
    assert not same(made.model, model)
    capsys.readouterr()
    assert same(made.model, load_or_train(tmp_path / "finetuned", model, dataset, dataset, SETTINGS))
    assert "Warning" not in capsys.readouterr().out
    others = CaptionDataset(dataset, "others")  # whose name says that the model was trained on something else
    load_or_train(tmp_path / "finetuned", model, others, dataset, SETTINGS)
    assert f"was trained on {dataset.name}, not on others" in capsys.readouterr().out


# --- validation and choice --------------------------------------------------------------------------------


def test_validation_in_small_batches_is_that_of_one(model, dataset, monkeypatch):
    settings = replace(SETTINGS, batch_size=8)
    whole = validate(model, dataset, settings)
    parts = validate(model, dataset, replace(settings, micro_batch_size=2))
    assert whole == pytest.approx(parts, rel=1e-5)
    images = nnx.jit(CLIP.encode_images)(model, _plain_images(model, dataset))
    from utils.clip import tokenize
    from utils.datasets import caption_table

    texts = nnx.jit(CLIP.encode_texts)(model, tokenize(model.tokenizer, [item.captions[0] for item in dataset]))
    _, sets = caption_table(dataset)
    expected = contrastive_loss(images, texts, model.logit_scale[...], positive_pairs(sets[:, 0], sets))
    assert whole["validation_loss"] == pytest.approx(float(expected), rel=1e-5)


def test_validation_loss_is_torchs_over_whole_batches():
    import torch
    from open_clip.loss import ClipLoss

    images, texts, scale = unit(0, (8, 6)), unit(1, (10, 6)), np.float32(1.5)
    sets = np.stack([np.arange(8)[::-1], np.full(8, 9)], axis=1)  # the last image's first caption is text 0
    settings = TrainingSettings(batch_size=3, loss="plain", warmup_steps=0)
    batches = [(images[:3], texts[[7, 6, 5]]), (images[3:6], texts[[4, 3, 2]])]  # two images are left over
    expected = [ClipLoss()(*map(torch.tensor, pair), torch.tensor(scale).exp()).item() for pair in batches]
    assert _mean_loss(images, texts, sets, scale, settings) == pytest.approx(np.mean(expected), rel=1e-5)
    whole = ClipLoss()(torch.tensor(images), torch.tensor(texts[sets[:, 0]]), torch.tensor(scale).exp())
    large = replace(settings, batch_size=99)
    assert _mean_loss(images, texts, sets, scale, large) == pytest.approx(whole.item(), rel=1e-5)


def test_recall_interval_is_as_wide_as_the_theory_of_two_means():
    generator = np.random.default_rng(0)
    ranks = {"image_to_text": generator.integers(0, 20, 400), "text_to_image": generator.integers(0, 40, 900)}
    hits = [((rows < 1) * 1.0 + (rows < 5) + (rows < 10)) / 3 for rows in ranks.values()]
    spread = np.sqrt(sum(rows.var() / len(rows) for rows in hits)) / 2
    low, high = recall_interval(ranks, 3)
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    assert (low + high) / 2 == pytest.approx(np.mean([rows.mean() for rows in hits]), abs=0.2 * spread)
    assert recall_interval(ranks, 3) == (low, high) != recall_interval(ranks, 4)


@pytest.mark.parametrize(
    ("batch", "micro", "devices", "expected"),
    [(4, None, None, 4), (400, None, None, 64), (400, 20, None, 20), (20, None, 8, 24), (1024, None, 8, 512)],
)
def test_validation_embeds_in_batches_that_devices_can_share(batch, micro, devices, expected):
    settings = TrainingSettings(batch_size=batch, micro_batch_size=micro)
    sharding = devices and SimpleNamespace(mesh=SimpleNamespace(size=devices))
    assert _batch_size(settings, sharding) == expected


def _plain_images(model: CLIP, dataset: CaptionDataset) -> np.ndarray:
    return np.stack([eval_transform(read_image(item.path), model.preprocessing) for item in dataset])


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_best_epoch_is_chosen_on_validation_recall(model, dataset, tmp_path, monkeypatch, keep_best):
    from utils.training import contrastive

    recalls, seen = iter((0.2, 0.5, 0.5, 0.1, 0.9)), []

    def fake(model: CLIP, data: CaptionDataset, *_: object) -> dict[str, float]:
        assert list(data) == list(dataset)
        seen.append(parameters(model))
        return {"validation_loss": 1.0, "validation_recall": next(recalls)}

    monkeypatch.setattr(contrastive, "validate", fake)
    settings = replace(SETTINGS, epochs=10, patience=2, keep_best=keep_best, keep_last=1)
    result = train(model, dataset, dataset, settings, tmp_path / "run")
    # Two epochs without gain after the second; of equal recalls the earlier one stays.
    assert len(seen) == 4 and result.exported_step == (4 if keep_best else 8)
    wanted = seen[1] if keep_best else seen[3]
    assert all(np.array_equal(x, y) for x, y in zip(wanted, parameters(result.model), strict=True))
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"4", "8"}


def test_validation_comes_every_so_many_epochs_and_at_the_end(model, dataset, tmp_path):
    settings = replace(SETTINGS, epochs=5, validate_every=2, keep_last=9)
    result = train(model, dataset, dataset, settings, tmp_path / "run")
    validated = [row["step"] for row in result.history if "validation_recall" in row]
    per_epoch = len(result.history) // 5
    assert validated == [2 * per_epoch, 4 * per_epoch, 5 * per_epoch]
    assert {int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()} == set(validated)


def test_training_never_opens_a_test_image(model, tmp_path):
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    items = [replace(item, split=split) for item, split in zip(colors(tmp_path, 12), splits, strict=True)]
    for item in items[10:]:
        item.path.unlink()
    data = CaptionDataset(items, "colors")
    settings = replace(SETTINGS, keep_best=True)
    assert train(model, data.split("train"), data.split("val"), settings, tmp_path / "run").exported_step
