"""A run from start to finish: steps, validation, checkpoints, and the model that comes out."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from utils.clip import CLIP, count_cut, tokenize
from utils.datasets import steps_per_epoch, train_batches
from utils.files import disk_trouble_in_words, sole_owner
from utils.progress import progress_bar
from utils.training.card import write_card
from utils.training.checkpoints import open_checkpoints, restore_checkpoint, save_checkpoint, tidy
from utils.training.export import export_model
from utils.training.history import Reporter, Row, check_reporters, open_reporters
from utils.training.identity import claim_folder, note_provenance, provenance_of
from utils.training.interruption import TrainingStopped, stop_on_interrupt
from utils.training.optimizer import learning_rate_schedule
from utils.training.parts import merge_low_rank, prepare, trained_filter
from utils.training.settings import TrainingSettings
from utils.training.step import State, TrainStep, data_mesh, first_state, make_train_step
from utils.training.validation import validate

if TYPE_CHECKING:
    from utils.datasets import CaptionDataset

FILES_SHOWN = 5


@dataclass
class TrainingResult:
    """What a run leaves.

    Attributes:
        model: The exported model.
        history: One row a step; ``validation_loss`` and ``validation_recall`` stand only in the rows that a
            validation followed.
        model_dir: The folder that transformers' ``CLIPModel.from_pretrained`` loads.
        exported_step: The step whose model it is: the last one, or with ``keep_best`` that of the best epoch.
    """

    model: CLIP
    history: list[Row]
    model_dir: Path
    exported_step: int


def train(
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    output_dir: str | Path,
) -> TrainingResult:
    """Fine-tunes a model and writes it where transformers can load it.

    Checkpoints hold all that a run is made of: parameters, their average, optimizer and its place in the
    schedule, the position in the data and with it every random draw, history and best epoch. A second call
    with the same folder, settings and data goes on from the last one and ends with the same bits as a run that
    was never stopped. One training at a time works in a folder; whoever reads a finished model waits for none.

    Args:
        start: The starting point; it is left as it is.
        train_set: Images with captions; those without one are left out, with a warning that counts and names them.
        validation_set: Images with captions, likewise, for loss and recall at the end of epochs, by which the best
            epoch is chosen. Never the test split.
        settings: What governs the run.
        output_dir: Receives ``checkpoints/``, ``history.csv``, ``tensorboard/``, ``run.json`` and ``model/``.

    Returns:
        The trained model, its history and its folder.

    Raises:
        ValueError: If the folder holds a run with other settings or data, or the data cannot be trained on.
        FloatingPointError: If the loss is no longer finite; the last checkpoint stays.
        TrainingStopped: If the run was interrupted; it was saved.
        FolderInUseError: If another training works in the folder; it says which.
        OSError: If the disk is full; the last checkpoint stays.
    """
    output_dir = Path(output_dir)
    check_reporters(settings)
    run = Run(start, train_set, validation_set, settings)  # first: what cannot be trained leaves no folder
    _tell_cut_captions(run)
    with closing(run.batches), disk_trouble_in_words(output_dir), sole_owner(output_dir, "training"):
        return _train(run, output_dir)


def _train(run: Run, output_dir: Path) -> TrainingResult:
    """As `train`, in a folder that nobody else works in."""
    settings, data = run.settings, (run.train_set, run.validation_set)
    # Of the data as given, so that whoever has them finds the run again.
    run.mark = claim_folder(output_dir, settings, *run.given, run.start)
    with open_checkpoints(output_dir) as checkpoints:
        run.restore(checkpoints)
        if not run.finished:
            note_provenance(output_dir, run.given[0], run.start, run.step)
        reports = open_reporters(output_dir, settings, run.history, run.finished)
        with stop_on_interrupt() as stop_asked, reports as reporters:
            _run_to_the_end(run, checkpoints, reporters, stop_asked, output_dir)
        exported_step = run.choose_export(checkpoints)
    model, model_dir = run.model(), output_dir / "model"
    export_model(model, model_dir, run.mark, exported_step)
    write_card(model_dir, model, *data, settings, run.history, exported_step, provenance_of(output_dir))
    return TrainingResult(model, run.history, model_dir, exported_step)


def _tell_cut_captions(run: Run) -> None:
    """Says how many captions the model cannot read to their end: beyond it they may all be one and the same."""
    for dataset in (run.train_set, run.validation_set):
        captions = [caption for item in dataset for caption in item.captions]
        if cut := count_cut(run.start.tokenizer, captions):
            warnings.warn(
                f"{dataset.name or 'the data'}: {cut:,} of {len(captions):,} captions are longer than the "
                f"{run.start.tokenizer.model_max_length} tokens that the model reads; it learns from their beginning.",
                stacklevel=3,
            )


def _run_to_the_end(
    run: Run,
    checkpoints: ocp.CheckpointManager,
    reporters: list[Reporter],
    stop_asked: Callable[[], bool],
    output_dir: Path,
) -> None:
    """Steps, with validations and checkpoints where they are due."""
    every = run.settings.checkpoint_every
    with progress_bar(total=run.total_steps, initial=run.step, desc="fine-tuning", unit="step") as progress:
        while not run.finished:
            run.advance()
            progress.set_postfix(loss=f"{run.history[-1]['loss']:.3f}", refresh=False)
            progress.update()
            if run.validation_is_due:
                run.validate()
            stopping = stop_asked()  # asked once, so that no stop comes between saving and stopping
            if run.validation_is_due or stopping or (every and run.step % every == 0):
                for reporter in reporters:  # first, so that what is saved as finished was reported
                    reporter.report(run.history)
                run.save(checkpoints)
            if stopping and not run.finished:
                raise TrainingStopped(
                    f"Stopped and saved at step {run.step} of {run.total_steps}: run the same cell or command "
                    f"again to go on from there ({output_dir})."
                )


@dataclass
class Run:
    """The moving parts of a run: device state, data iterator, history, and the best epoch so far.

    Attributes:
        start: The starting point, left as it is.
        train_set: Images with captions; those without are left out, see `CaptionDataset.captioned`.
        validation_set: Held-out images with captions; likewise.
        given: The two as they were given.
        settings: What governs the run.
        mesh: The devices.
        step: Steps taken.
        history: One row a step.
        best_step: The step at the end of the best epoch so far, by validation recall.
        mark: Which run it is; its checkpoints carry it.
    """

    start: CLIP
    train_set: CaptionDataset
    validation_set: CaptionDataset
    settings: TrainingSettings
    mesh: jax.sharding.Mesh = field(default_factory=data_mesh)
    step: int = 0
    history: list[Row] = field(default_factory=list)
    best_step: int | None = None
    mark: str | None = None

    def __post_init__(self) -> None:
        """Sets up what is quickly there; nothing is compiled before a folder is ours."""
        settings = self.settings
        self.given = self.train_set, self.validation_set
        self.train_set = self.train_set.captioned().with_cache()
        self.validation_set = self.validation_set.captioned().with_cache(self.train_set.cache)
        self._check()
        self.steps_per_epoch = steps_per_epoch(self.train_set, settings.batch_size, settings.captions)
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.batches = train_batches(
            self.train_set,
            self.start.preprocessing,
            partial(tokenize, self.start.tokenizer),
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            seed=settings.seed,
            augmentation=settings.augmentation,
            captions=settings.captions,
            workers=settings.workers,
        )
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.sharded = NamedSharding(self.mesh, PartitionSpec("data"))
        self.schedule = learning_rate_schedule(settings, self.total_steps)
        self.prepared = prepare(self.start, settings)
        self.graphdef, *_ = nnx.split(self.prepared, trained_filter(settings), ...)

    def _check(self) -> None:
        """Refuses what does not fit the model, the devices or the data."""
        if self.start.tokenizer is None:
            raise ValueError("The starting model has no tokenizer; load it from a folder that holds one.")
        if not len(self.validation_set):
            raise ValueError(
                "Validation needs at least one image with a caption; give the validation split of the data, or make "
                "one with dataset.with_random_splits()."
            )
        for name in ("batch_size", "micro_batch_size"):
            size = getattr(self.settings, name)
            if size is not None and size % self.mesh.size:
                raise ValueError(
                    f"A {name} of {size} cannot be shared evenly by {self.mesh.size} devices; choose a multiple of "
                    f"{self.mesh.size}."
                )

    @cached_property
    def state(self) -> State:
        """All that the run changes on the devices."""
        return first_state(self.prepared, self.settings, self.mesh)

    @cached_property
    def train_step(self) -> TrainStep:
        """The compiled step."""
        return make_train_step(self.prepared, self.settings, self.mesh)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or the recall has not risen for too many epochs."""
        return self.step >= self.total_steps or self._out_of_patience()

    @property
    def validation_is_due(self) -> bool:
        """Whether the last step ended the run, or an epoch that is to be validated."""
        interval = self.steps_per_epoch * self.settings.validate_every
        return self.step % interval == 0 or self.step == self.total_steps

    def _out_of_patience(self) -> bool:
        if self.settings.patience is None or self.best_step is None:
            return False
        return self.step - self.best_step >= self.settings.patience * self.steps_per_epoch

    def advance(self) -> None:
        """Takes one step and notes its row of history.

        Raises:
            FloatingPointError: If the loss or its gradient is not finite; it names the step and the files.
        """
        start = time.perf_counter()
        batch = next(self.batches)
        index = batch.pop("index")
        batch = {name: jax.device_put(array, self.sharded) for name, array in batch.items()}
        waited = time.perf_counter() - start
        learning_rate = float(self.schedule(self.step))
        self.state, metrics = self.train_step(self.state, batch, learning_rate)
        row = {name: float(value) for name, value in metrics.items()}
        for name, words in (("loss", "loss"), ("gradient_norm", "gradient")):
            if not math.isfinite(row[name]):
                raise FloatingPointError(self._sentence_about(words, row[name], index))
        row["learning_rate"] = learning_rate
        row["seconds"] = time.perf_counter() - start
        row["seconds_waiting"] = waited
        self.step += 1
        self.history.append({"step": self.step, **row})

    def _sentence_about(self, words: str, value: float, index: np.ndarray) -> str:
        names = list(dict.fromkeys(self.train_set[int(number)].name for number in index))
        more = f" and {len(names) - FILES_SHOWN} more" if len(names) > FILES_SHOWN else ""
        return (
            f"The {words} of step {self.step + 1} is {value} (files {', '.join(names[:FILES_SHOWN])}{more}); look at "
            "them and lower the learning rate. The last checkpoint is untouched."
        )

    def model(self) -> CLIP:
        """The model as it would be exported now: the average if there is one, low-rank changes merged."""
        parameters = self.state.get("average", self.state["trained"])
        return merge_low_rank(nnx.merge(self.graphdef, parameters, self.state["frozen"]))

    def validate(self) -> None:
        """Measures the model on the validation set and notes whether it is the best so far."""
        row = self.history[-1]
        row |= validate(self.model(), self.validation_set, self.settings, self.sharded)
        best = self.history[self.best_step - 1]["validation_recall"] if self.best_step else -math.inf
        if row["validation_recall"] > best:
            self.best_step = self.step

    def save(self, checkpoints: ocp.CheckpointManager) -> None:
        """Writes a checkpoint of everything, then deletes those that are no longer needed."""
        progress = {
            "iterator": self.batches.get_state(),
            "history": self.history,
            "best_step": self.best_step,
            "mark": self.mark,
        }
        save_checkpoint(checkpoints, self.step, self.state, progress)
        tidy(checkpoints, self.settings.keep_last, self.best_step)

    def restore(self, checkpoints: ocp.CheckpointManager) -> None:
        """Goes back to the newest checkpoint, if there is one."""
        step = checkpoints.latest_step()
        if step is None:
            return
        self.state, progress = restore_checkpoint(checkpoints, step, self.state, self.replicated, self.mark)
        self.step, self.history, self.best_step = step, progress["history"], progress["best_step"]
        self.batches.set_state(progress["iterator"])

    def choose_export(self, checkpoints: ocp.CheckpointManager) -> int:
        """Goes to the state whose model is exported, and gives its step."""
        if not self.settings.keep_best or self.best_step in (None, self.step):
            return self.step
        self.state, _ = restore_checkpoint(checkpoints, self.best_step, self.state, self.replicated, self.mark)
        return self.best_step
