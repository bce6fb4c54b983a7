"""What happens on the devices: parts, low rank, precision, micro-batches, and a mesh of eight."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from training_world import SETTINGS, child, colors, compare_meshes, parameters
from transformers import CLIPModel

from utils.clip import CLIP, normalize
from utils.datasets import CaptionDataset
from utils.training import TrainingSettings, contrastive_loss, positive_pairs
from utils.training.contrastive import cached_gradients, make_loss_and_gradients
from utils.training.run import TrainingRun
from utils.training.step import data_mesh, join_batch, split_batch
from utils.training.trainable import part_of, split_model

pytestmark = pytest.mark.usefixtures("quick_compilation")


# One setting for several tests, so that its step is compiled once.
FROZEN = replace(SETTINGS, frozen_parts=("image_tower", "logit_scale"), ema_decay=0.9, micro_batch_size=2)


@pytest.fixture(scope="module")
def dataset(folder) -> CaptionDataset:
    return colors(folder, 16)


def steps(model: CLIP, dataset: CaptionDataset, settings: TrainingSettings, count: int) -> TrainingRun:
    run = TrainingRun(model, dataset, dataset, settings)
    for _ in range(count):
        run.advance()
    return run


def a_batch(model: CLIP, dataset: CaptionDataset, settings: TrainingSettings) -> dict[str, np.ndarray]:
    batch = next(TrainingRun(model, dataset, dataset, settings).batches)
    return {name: value for name, value in batch.items() if name != "index"}


def loss_and_gradients(model: CLIP, batch: dict, settings: TrainingSettings) -> tuple[float, list[np.ndarray]]:
    split = split_model(model, settings)
    function = make_loss_and_gradients(split.graphdef, settings, data_mesh())
    compiled = jax.jit(function).lower(split.trained, split.frozen, batch).compile()
    loss, gradients = compiled(split.trained, split.frozen, batch)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return float(loss), [np.asarray(leaf) for leaf in jax.tree.leaves(gradients)], memory


@nnx.jit
def embed(tower: nnx.Module, inputs: np.ndarray) -> jax.Array:
    return normalize(tower(inputs))


def largest(gradients: list[np.ndarray]) -> float:
    return max(float(np.abs(gradient).max()) for gradient in gradients)


# --- parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frozen", "optimizer"),
    [(FROZEN.frozen_parts, "adamw"), (("text_tower", "image_projection", "text_projection"), "adafactor")],
)
def test_frozen_parts_stay_the_same_bits_and_the_optimizer_knows_nothing_of_them(model, dataset, frozen, optimizer):
    settings = replace(FROZEN, frozen_parts=frozen, optimizer=optimizer)
    model = nnx.clone(model)
    model.logit_scale[...] = jnp.float32(4.7)  # above the bound, which is for what is trained
    run = steps(model, dataset, settings, 3)
    after = dict(nnx.to_flat_state(nnx.state(run.model(), nnx.Param)))
    trained = 0
    for path, before in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        equal = np.array_equal(before[...], after[path][...])
        assert equal == (part_of(path) in frozen), path
        trained += 0 if equal else before[...].size
    held = sum(np.size(leaf) for leaf in jax.tree.leaves(run.state["optimizer"]))
    everything = sum(array.size for array in parameters(model))
    if optimizer == "adamw":
        assert 2 * trained <= held < 2 * trained + 10
    assert held < 2 * everything
    assert sum(array.size for array in jax.tree.leaves(run.state["average"])) == trained


def test_low_rank_changes_nothing_at_first_and_then_only_itself(model, dataset):
    settings = replace(SETTINGS, lora_rank=2, lora_alpha=6.0, frozen_parts=("logit_scale",))
    split, pixels = split_model(model, settings), a_batch(model, dataset, settings)["images"]
    wrapped = nnx.merge(split.graphdef, split.trained, split.frozen)
    np.testing.assert_allclose(embed(wrapped.vision, pixels), embed(model.vision, pixels), atol=1e-6)
    run = steps(model, dataset, settings, 4)
    names = {path[-1] for path, _ in nnx.to_flat_state(run.state["trained"])}
    towers = {path[-1] for path, _ in nnx.to_flat_state(run.state["trained"]) if part_of(path).endswith("tower")}
    assert towers == {"lora_a", "lora_b"} and names == {"lora_a", "lora_b", "kernel"}  # the projections'
    for old, new in zip(jax.tree.leaves(split.frozen), jax.tree.leaves(run.state["frozen"]), strict=True):
        np.testing.assert_array_equal(old, new)


def test_low_rank_merged_is_the_same_model_in_torch(model, dataset, tmp_path):
    settings = replace(SETTINGS, lora_rank=2, lora_alpha=6.0, frozen_parts=("logit_scale",))
    run = steps(model, dataset, settings, 6)
    unmerged = nnx.merge(run.split.graphdef, run.state["trained"], run.state["frozen"])
    batch = a_batch(model, dataset, settings)
    pixels, tokens = batch["images"], batch["tokens"]
    theirs = CLIPModel.from_pretrained(run.model().save_pretrained(tmp_path / "merged"))
    with torch.no_grad():
        outputs = theirs(input_ids=torch.tensor(tokens).long(), pixel_values=torch.tensor(pixels).permute(0, 3, 1, 2))
    assert np.abs(embed(unmerged.vision, pixels) - embed(model.vision, pixels)).max() > 1e-3
    np.testing.assert_allclose(embed(unmerged.vision, pixels), outputs.image_embeds.numpy(), atol=2e-5)
    np.testing.assert_allclose(embed(unmerged.text, tokens), outputs.text_embeds.numpy(), atol=2e-5)


def test_a_frozen_tower_gets_no_low_rank(model):
    settings = replace(SETTINGS, lora_rank=2, frozen_parts=("text_tower",))
    split = split_model(model, settings)
    paths = [path for path, _ in nnx.to_flat_state(split.trained) if path[-1] in ("lora_a", "lora_b")]
    assert paths and all(path[0] == "vision" for path in paths)


# --- precision and memory ---------------------------------------------------------------------------------


def test_bfloat16_computes_while_parameters_and_loss_stay_float32(model, dataset):
    settings = replace(SETTINGS, batch_size=16)
    batch = a_batch(model, dataset, settings)
    exact, expected, _ = loss_and_gradients(model, batch, settings)
    loss, gradients, _ = loss_and_gradients(model, batch, replace(settings, compute_dtype="bfloat16"))
    assert loss != exact and loss == pytest.approx(exact, rel=0.02)
    assert all(gradient.dtype == np.float32 for gradient in gradients)
    cosine = sum(np.vdot(x, y) for x, y in zip(expected, gradients, strict=True))
    lengths = [np.sqrt(sum(np.vdot(x, x) for x in tree)) for tree in (expected, gradients)]
    assert cosine / np.prod(lengths) > 0.99
    run = TrainingRun(model, dataset, dataset, replace(settings, compute_dtype="bfloat16"))
    after, metrics = jax.eval_shape(run.train_step, run.state, batch, 0.1)
    assert {leaf.dtype for leaf in jax.tree.leaves((run.state, after, metrics))} == {
        jnp.dtype("float32"),
        jnp.dtype("int32"),
    }
    assert embed(run.model().vision, batch["images"]).dtype == jnp.float32


def test_rematerialization_gives_the_same_gradient(model, dataset):
    settings = replace(SETTINGS, batch_size=16)
    batch = a_batch(model, dataset, settings)
    loss, expected, memory = loss_and_gradients(model, batch, settings)
    other, got, less = loss_and_gradients(model, batch, replace(settings, rematerialize=True))
    assert other == pytest.approx(loss, rel=1e-6)
    for x, y in zip(expected, got, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * largest(expected))
    assert less < memory


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2, "loss": "plain"}])
def test_micro_batches_give_the_gradient_of_the_whole(model, dataset, changes):
    settings = replace(SETTINGS, batch_size=16, **changes)
    batch = a_batch(model, dataset, settings)
    loss, expected, memory = loss_and_gradients(model, batch, settings)
    other, got, less = loss_and_gradients(model, batch, replace(settings, micro_batch_size=4))
    assert other == pytest.approx(loss, rel=1e-5)
    for x, y in zip(expected, got, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * largest(expected))
    assert less < memory / 2


def test_the_schedule_counts_optimizer_steps_and_not_micro_batches(model, dataset):
    run = steps(model, dataset, FROZEN, 3)
    counts = {int(leaf) for leaf in jax.tree.leaves(run.state["optimizer"]) if np.ndim(leaf) == 0}
    assert (counts - {0}) == {3}
    rates = [row["learning_rate"] for row in run.fetch_history()]
    assert rates == pytest.approx([0, SETTINGS.learning_rate / 2, SETTINGS.learning_rate])


def test_a_batch_cut_up_and_joined_is_the_same():
    mesh = data_mesh()
    array = np.arange(24).reshape(12, 2)
    micro_batches = jax.jit(lambda a: split_batch(a, 4, mesh))(array)
    assert micro_batches.shape == (3, 4, 2)
    np.testing.assert_array_equal(jax.jit(lambda a: join_batch(a, mesh))(micro_batches), array)


def test_cached_gradients_are_torchs_of_the_whole_batch():
    """Two towers of one matrix each, a loss scale, twelve pairs in micro-batches of four."""
    from open_clip.loss import ClipLoss

    rng = np.random.default_rng(0)
    inputs = {"images": rng.normal(size=(12, 5)), "tokens": rng.normal(size=(12, 7))}
    weights = {"image": rng.normal(size=(5, 3)), "text": rng.normal(size=(7, 3)), "scale": np.array(0.5)}
    inputs, weights = jax.tree.map(np.float32, (inputs, weights))
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    images, texts = torch.tensor(inputs["images"]), torch.tensor(inputs["tokens"])
    expected = ClipLoss()(images @ theirs["image"], texts @ theirs["text"], theirs["scale"].exp())
    expected.backward()
    mesh = data_mesh()

    def embed(trained, batch):
        return batch["images"] @ trained["image"], batch["tokens"] @ trained["text"]

    def loss_of(trained, images, texts):
        return contrastive_loss(images, texts, trained["scale"])

    @jax.jit
    def in_micro_batches(trained, inputs):
        return cached_gradients(embed, loss_of, trained, split_batch(inputs, 4, mesh), mesh)

    loss, gradients = in_micro_batches(weights, inputs)
    assert float(loss) == pytest.approx(expected.item(), rel=1e-5)
    for name, tensor in theirs.items():
        np.testing.assert_allclose(gradients[name], tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


# --- eight devices ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def meshes(folder, tmp_path_factory):
    report = tmp_path_factory.mktemp("meshes") / "report.json"
    assert child(compare_meshes, folder, report) == 0
    return json.loads(report.read_text()), np.load(report.with_suffix(".npz"))


def test_one_device_and_eight_have_the_same_loss_and_gradients(meshes):
    report, _ = meshes
    assert report["devices"] == 8 and report["largest"] > 0.01
    for name in ("eight", "in_micro_batches"):
        assert report[name]["loss"] < 1e-5 and report[name]["gradients"] < 1e-5 * report["largest"]


def test_one_device_and_eight_end_with_the_same_model(meshes):
    report, _ = meshes
    # Adam divides by the size of the gradient, so where that is zero but for rounding, rounding moves it a little.
    assert report["steps"] == 20 and report["after"] < 0.02 * report["moved"]


def test_negatives_are_those_of_the_global_batch(meshes, model):
    report, arrays = meshes
    images, texts, ids, sets = (arrays[name] for name in arrays.files)
    scale = model.logit_scale[...]
    whole = contrastive_loss(images, texts, scale, positive_pairs(ids, sets))
    shards = [
        contrastive_loss(images[i : i + 2], texts[i : i + 2], scale, positive_pairs(ids[i : i + 2], sets[i : i + 2]))
        for i in range(0, 16, 2)
    ]
    assert report["loss"] == pytest.approx(float(whole), abs=1e-5)
    assert report["loss"] > 1.5 * float(np.mean(shards))


def test_a_batch_that_devices_cannot_share_is_refused(model, dataset, monkeypatch):
    class Three:
        size = 3

    with pytest.raises(ValueError, match="multiple of 3"):
        TrainingRun(model, dataset, dataset, SETTINGS, mesh=Three())
