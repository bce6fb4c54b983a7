"""Fine-tuning CLIP: the contrastive loss, the sharded step, and a loop that resumes where it stopped."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tqdm.auto import tqdm

from utils.clip import CLIP, tokenize
from utils.images import caption_table, eval_batches, train_batches

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

# CLIP's own bound (Radford et al. 2021, section 2.5): logits are scaled by at most 100.
MAX_LOGIT_SCALE = math.log(100)


@dataclass(frozen=True)
class TrainingSettings:
    """What governs a run; two runs with equal settings and data on one machine end with equal weights.

    Attributes:
        batch_size: Pairs in the global batch, over all devices.
        epochs: Passes over the training images.
        learning_rate: Peak of the schedule: linear warm-up, then linear decay to zero.
        warmup_steps: Steps of the warm-up, at most a third of the run.
        weight_decay: AdamW's decoupled decay, on the matrices of linear layers only.
        max_gradient_norm: Gradients with a larger global norm are scaled down to it.
        augmentation: ``none`` or ``aerial``, see `utils.images.train_transform`.
        seed: Governs the order of the images, the augmentation and the captions drawn.
        workers: Threads that decode images.
    """

    batch_size: int = 128
    epochs: int = 10
    learning_rate: float = 1e-4
    warmup_steps: int = 50
    weight_decay: float = 0.1
    max_gradient_norm: float = 1.0
    augmentation: str = "aerial"
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        """Refuses what could not train.

        Raises:
            ValueError: Naming the setting, its value and what it must be.
        """
        for name in ("batch_size", "epochs", "learning_rate", "max_gradient_norm", "workers"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be above zero.")
        for name in ("warmup_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must not be negative.")


@dataclass
class TrainingResult:
    """What a run leaves.

    Attributes:
        model: The trained model.
        history: One row a step; ``validation_loss`` stands only in the last row of an epoch.
        model_dir: The folder that transformers' ``CLIPModel.from_pretrained`` loads.
    """

    model: CLIP
    history: list[dict[str, float]]
    model_dir: Path


def positive_pairs(caption_ids: jax.Array, caption_sets: jax.Array) -> jax.Array:
    """Marks the pairs of a batch that belong together: those whose text is one of the image's captions.

    Args:
        caption_ids: (batch,) integers, the caption drawn for each image.
        caption_sets: (batch, captions) integers, every caption of each image, padded with negative numbers.

    Returns:
        (batch, batch) bool; row an image, column a text. The diagonal is True.
    """
    return jnp.any(caption_sets[:, None, :] == caption_ids[None, :, None], axis=-1)


def contrastive_loss(
    image_embeddings: jax.Array,
    text_embeddings: jax.Array,
    logit_scale: jax.Array,
    positives: jax.Array | None = None,
) -> jax.Array:
    """The symmetric contrastive loss of CLIP over the whole batch, in float32 (Radford et al. 2021, figure 3).

    With ``positives`` the target of each row and each column is spread evenly over all its positives (Khosla
    et al. 2020, equation 2), so a picture is not pushed away from a caption that describes it word for word.

    Args:
        image_embeddings: (batch, dim), of unit length.
        text_embeddings: (batch, dim), of unit length; row i belongs to image i.
        logit_scale: Scalar; logits are scaled by its exponential.
        positives: (batch, batch) bool, row an image, column a text; by default the diagonal alone.

    Returns:
        Scalar float32: the mean of the image-to-text and text-to-image cross-entropies, in nats.
    """
    images, texts = image_embeddings.astype(jnp.float32), text_embeddings.astype(jnp.float32)
    logits = jnp.exp(logit_scale.astype(jnp.float32)) * jnp.matmul(images, texts.T, precision="highest")
    wanted = (jnp.eye(len(images)) if positives is None else positives).astype(jnp.float32)
    cross_entropies = [
        optax.softmax_cross_entropy(scores, targets / targets.sum(axis=1, keepdims=True)).mean()
        for scores, targets in ((logits, wanted), (logits.T, wanted.T))
    ]
    return sum(cross_entropies) / 2


def learning_rate_schedule(settings: TrainingSettings, total_steps: int) -> optax.Schedule:
    """Linear warm-up to the peak, then linear decay to zero at the last step."""
    warmup = min(settings.warmup_steps, total_steps // 3)
    rise = optax.linear_schedule(0.0, settings.learning_rate, warmup)
    fall = optax.linear_schedule(settings.learning_rate, 0.0, total_steps - warmup)
    return optax.join_schedules([rise, fall], [warmup])


def decay_mask(model: CLIP) -> nnx.State:
    """Marks the kernels of linear layers: norms, biases, embeddings and logit_scale are never decayed."""
    kernels = {
        (*path, "kernel") for path, module in nnx.iter_modules(model) if isinstance(module, nnx.Linear)
    }
    return nnx.map_state(lambda path, _: tuple(path) in kernels, nnx.state(model, nnx.Param))


def make_optimizer(model: CLIP, settings: TrainingSettings, total_steps: int) -> nnx.Optimizer:
    """AdamW with CLIP's betas and epsilon (Radford et al. 2021, table 18), global-norm clipping first."""
    transformation = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adamw(
            learning_rate_schedule(settings, total_steps),
            b1=0.9,
            b2=0.98,
            eps=1e-6,
            weight_decay=settings.weight_decay,
            mask=decay_mask(model),
        ),
    )
    return nnx.Optimizer(model, transformation, wrt=nnx.Param)


def data_mesh() -> jax.sharding.Mesh:
    """One axis, ``data``, over every device there is."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def make_train_step(graphdef: nnx.GraphDef) -> Callable[[nnx.State, dict[str, jax.Array]], Any]:
    """Compiles one optimisation step.

    The batch is sharded over ``data`` and the loss is written over the whole of it, so the compiler gathers
    the embeddings of all devices: every image sees every caption of the global batch as a negative.

    Args:
        graphdef: The structure of the pair (model, optimizer).

    Returns:
        A function of (state, batch) that gives the next state and a dictionary of float32 scalars. The state
        passed in is donated: use it no more.
    """

    @partial(jax.jit, donate_argnums=0)
    def train_step(state: nnx.State, batch: dict[str, jax.Array]) -> tuple[nnx.State, dict[str, jax.Array]]:
        model, optimizer = nnx.merge(graphdef, state)

        def loss_of(model: CLIP) -> jax.Array:
            images = model.encode_images(batch["images"])
            texts = model.encode_texts(batch["tokens"])
            positives = positive_pairs(batch["caption_ids"], batch["caption_sets"])
            return contrastive_loss(images, texts, model.logit_scale[...], positives)

        loss, gradients = nnx.value_and_grad(loss_of)(model)
        optimizer.update(model, gradients)
        model.logit_scale[...] = jnp.minimum(model.logit_scale[...], MAX_LOGIT_SCALE)
        metrics = {
            "loss": loss,
            "gradient_norm": optax.global_norm(gradients),
            "logit_scale": model.logit_scale[...],
        }
        return nnx.state((model, optimizer)), metrics

    return train_step


def train(
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    output_dir: str | Path,
) -> TrainingResult:
    """Fine-tunes a model and writes it where transformers can load it.

    A checkpoint of parameters, optimizer, data position and history is written at the end of each epoch; a
    second call with the same folder and settings goes on from the last one.

    Args:
        start: The starting point; it is left as it is.
        train_set: Images with captions.
        validation_set: Images with captions, for the loss at the end of each epoch.
        settings: What governs the run.
        output_dir: Receives ``checkpoints/``, ``history.csv``, ``run.json`` and ``model/``.

    Returns:
        The trained model, its history and its folder.

    Raises:
        ValueError: If the folder holds a run with other settings or data, or the data cannot be trained on.
        FloatingPointError: If the loss is no longer finite; the last checkpoint stays.
    """
    output_dir = Path(output_dir)
    model = nnx.clone(start)
    steps_per_epoch = len(train_set) // settings.batch_size
    batches = train_batches(
        train_set,
        model.preprocessing,
        partial(tokenize, model.tokenizer),
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
        augmentation=settings.augmentation,
        workers=settings.workers,
    )
    total_steps = steps_per_epoch * settings.epochs
    _claim_folder(output_dir, settings, train_set, model)
    run = _Run(model, settings, total_steps, batches)
    with _checkpoints(output_dir) as checkpoints:
        run.restore(checkpoints)
        progress = tqdm(total=total_steps, initial=run.step, desc="fine-tuning", unit="step")
        while run.step < total_steps:
            run.advance()
            progress.update()
            progress.set_postfix(loss=f"{run.history[-1]['loss']:.3f}")
            if run.step % steps_per_epoch == 0:
                nnx.update((model, run.optimizer), run.state)
                run.history[-1]["validation_loss"] = validation_loss(model, validation_set, settings)
                run.save(checkpoints)
                _write_history(run.history, output_dir / "history.csv")
        progress.close()
    nnx.update((model, run.optimizer), run.state)
    model.save_pretrained(output_dir / "model")
    return TrainingResult(model, run.history, output_dir / "model")


@dataclass
class _Run:
    """The moving parts of a run: device state, data iterator, step counter, history."""

    model: CLIP
    settings: TrainingSettings
    total_steps: int
    batches: Any
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        mesh = data_mesh()
        if self.settings.batch_size % mesh.size:
            raise ValueError(
                f"A batch of {self.settings.batch_size} cannot be shared evenly by {mesh.size} devices; "
                f"choose a multiple of {mesh.size}."
            )
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.sharded = NamedSharding(mesh, PartitionSpec("data"))
        self.schedule = learning_rate_schedule(self.settings, self.total_steps)
        self.optimizer = make_optimizer(self.model, self.settings, self.total_steps)
        graphdef, state = nnx.split((self.model, self.optimizer))
        # A copy of its own: each step gives its arrays away, and those of the starting point must survive.
        self.state = jax.device_put(jax.tree.map(jnp.copy, state), self.replicated)
        self.train_step = make_train_step(graphdef)

    def advance(self) -> None:
        """Takes one step and notes its row of history."""
        start = time.perf_counter()
        batch = next(self.batches)
        index = batch.pop("index")
        batch = {name: jax.device_put(array, self.sharded) for name, array in batch.items()}
        waited = time.perf_counter() - start
        self.state, metrics = self.train_step(self.state, batch)
        row = {name: float(value) for name, value in metrics.items()}
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(
                f"The loss of step {self.step + 1} is {row['loss']} (images {sorted(index.tolist())[:8]} ... of "
                "the training set); lower the learning rate. The last checkpoint is untouched."
            )
        row["learning_rate"] = float(self.schedule(self.step))
        row["seconds"] = time.perf_counter() - start
        row["seconds_waiting"] = waited
        self.step += 1
        self.history.append({"step": self.step, **row})

    def save(self, checkpoints: ocp.CheckpointManager) -> None:
        """Writes everything that resuming needs; Orbax makes the folder appear whole or not at all."""
        progress = {"iterator": _plain_json(self.batches.get_state()), "history": self.history}
        checkpoints.save(
            self.step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(self.state), progress=ocp.args.JsonSave(progress)
            ),
        )

    def restore(self, checkpoints: ocp.CheckpointManager) -> None:
        """Goes back to the newest checkpoint, if there is one."""
        step = checkpoints.latest_step()
        if step is None:
            return
        abstract = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=self.replicated), self.state
        )
        restored = checkpoints.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract), progress=ocp.args.JsonRestore()
            ),
        )
        self.state, self.step = restored["state"], step
        self.history = restored["progress"]["history"]
        self.batches.set_state(restored["progress"]["iterator"])


def load_or_train(
    output_dir: str | Path,
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
) -> CLIP:
    """The model that an earlier run left in a folder; where there is none, one trained now, beside it.

    Args:
        output_dir: The folder of the earlier run.
        start: The starting point of the training that may be needed; left as it is.
        train_set: As for `train`.
        validation_set: As for `train`.
        settings: Of the training that may be needed; a short one will do.

    Returns:
        The fine-tuned model.
    """
    output_dir = Path(output_dir)
    if (output_dir / "model" / "config.json").is_file():
        return CLIP.from_pretrained(output_dir / "model")
    short_dir = output_dir.with_name(f"{output_dir.name}-short")
    print(f"No fine-tuned model in {output_dir}: training a short one in {short_dir}.")
    return train(start, train_set, validation_set, settings, short_dir).model


def validation_loss(model: CLIP, dataset: CaptionDataset, settings: TrainingSettings) -> float:
    """The contrastive loss on held-out images, each with its first caption, without augmentation.

    The loss depends on the number of negatives, so it is averaged over batches of the training batch size (or
    of the whole set, if that is smaller); images beyond the last whole batch are left out.
    """
    size = min(settings.batch_size, len(dataset))
    dataset = dataset[: len(dataset) // size * size]
    tokens = tokenize(model.tokenizer, [item.captions[0] for item in dataset])
    _, caption_sets = caption_table(dataset)
    losses = []
    for batch in eval_batches(dataset, model.preprocessing, batch_size=size, workers=settings.workers):
        rows = batch["index"]
        positives = positive_pairs(caption_sets[rows, 0], caption_sets[rows])
        losses.append(_evaluation_loss(model, batch["images"], tokens[rows], positives))
    return float(np.mean(losses))


@nnx.jit
def _evaluation_loss(model: CLIP, images: jax.Array, tokens: jax.Array, positives: jax.Array) -> jax.Array:
    return contrastive_loss(
        model.encode_images(images), model.encode_texts(tokens), model.logit_scale[...], positives
    )


def _checkpoints(output_dir: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    return ocp.CheckpointManager((output_dir / "checkpoints").absolute(), options=options)


def _claim_folder(
    output_dir: Path, settings: TrainingSettings, train_set: CaptionDataset, model: CLIP
) -> None:
    """Notes what this run is, or refuses a folder that holds another one."""
    path = output_dir / "run.json"
    ours = {
        "settings": {name: value for name, value in asdict(settings).items() if name != "workers"},
        "data": {
            "name": train_set.name,
            "images": len(train_set),
            "fingerprint": _data_fingerprint(train_set),
        },
        "start": _model_fingerprint(model),
    }
    if path.is_file():
        theirs = json.loads(path.read_text())
        changed = [name for name in ("data", "start") if theirs.get(name) != ours[name]]
        before = theirs.get("settings", {})
        changed += [name for name, value in ours["settings"].items() if before.get(name) != value]
        if changed:
            raise ValueError(
                f"{output_dir} holds a run with other {' and '.join(changed)}; choose another folder, or delete "
                "this one to start anew."
            )
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    _write_text(path, json.dumps(ours, indent=2) + "\n")


def _data_fingerprint(dataset: CaptionDataset) -> str:
    digest = hashlib.sha256()
    for item in dataset:
        digest.update(repr((item.name, item.path.stat().st_size, item.captions)).encode())
    return digest.hexdigest()[:16]


def _model_fingerprint(model: CLIP) -> str:
    digest = hashlib.sha256()
    for array in jax.tree.leaves(nnx.state(model, nnx.Param)):
        digest.update(np.asarray(array).tobytes())
    return digest.hexdigest()[:16]


def _write_history(history: list[dict[str, float]], path: Path) -> None:
    columns = ["step", "loss", "validation_loss", "learning_rate", "gradient_norm", "logit_scale"]
    columns += ["seconds", "seconds_waiting"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    """Writes under a temporary name first, so that a reader never sees half a file."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(text)
    temporary.replace(path)


def _plain_json(value: Any) -> Any:
    """Turns Grain's iterator state (NumPy scalars included) into what JSON can hold."""
    return json.loads(json.dumps(value, default=lambda scalar: scalar.item()))
