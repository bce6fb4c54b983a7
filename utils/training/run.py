"""A run from start to finish: steps, validation, checkpoints, and the model that comes out."""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Generic

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from utils.clip import CLIP
from utils.datasets import steps_per_epoch, train_batches
from utils.files import disk_trouble_in_words, sole_owner
from utils.progress import progress_bar
from utils.training import identity, processes
from utils.training.card import write_card
from utils.training.checkpoints import open_checkpoints, restore_checkpoint, save_checkpoint
from utils.training.contrastive import CONTRASTIVE
from utils.training.device_batches import DeviceBatches
from utils.training.history import Report, Row, open_reports
from utils.training.objective import Model, Objective
from utils.training.optimizer import learning_rate_schedule
from utils.training.settings import TrainingSettings
from utils.training.step import State, TrainStep, data_mesh, first_state, make_train_step
from utils.training.stopping import TrainingStopped, stop_on_interrupt, stopping_together

if TYPE_CHECKING:
    import orbax.checkpoint as ocp

    from utils.datasets import CaptionDataset

STEPS_AHEAD = 2  # dispatched beyond the one that the devices are at; each holds a batch in their memory


@dataclass
class TrainingResult(Generic[Model]):
    """What a run leaves."""

    model: Model  # the exported one
    history: list[Row]  # one row a step, with the figures of the validation where one followed
    model_dir: Path  # the folder that holds it; transformers' CLIPModel.from_pretrained loads a CLIP
    exported_step: int  # whose model it is: the last step, or with keep_best that of the best epoch


def train(
    start: CLIP,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    output_dir: str | Path,
) -> TrainingResult[CLIP]:
    """Fine-tunes a CLIP and writes it where transformers can load it.

    Checkpoints hold all that a run is made of, down to the position in the data and with it every random draw. A second
    call with the same folder, settings and data resumes from the last one and ends with the same bits as a run that
    was never stopped. One training at a time works in a folder; reading a finished model waits for none.

    Args:
        start: The starting point; it is left as it is.
        train_set: Images with captions; those without one are left out, with a warning that counts and names them.
        validation_set: Likewise, for loss and recall, by which the best epoch is chosen. Never the test split.
        settings: What governs the run.
        output_dir: Receives ``checkpoints/``, ``history.csv``, ``tensorboard/``, ``run.json`` and ``model/``.

    Raises:
        ValueError: If the folder holds a run with other settings or data, or the data cannot be trained on.
        FloatingPointError: If the loss is no longer finite; the last checkpoint stays.
        TrainingStopped: If the run was interrupted; it was saved.
        FolderInUseError: If another training works in the folder; it says which.
        OSError: If the disk is full; the last checkpoint stays.
    """
    return run_training(CONTRASTIVE, start, train_set, validation_set, settings, output_dir)


def run_training(
    objective: Objective[Model],
    start: Model,
    train_set: CaptionDataset,
    validation_set: CaptionDataset,
    settings: TrainingSettings,
    output_dir: str | Path,
) -> TrainingResult[Model]:
    """Trains a model as an objective says: what `train`, which tells of arguments and errors, does for CLIP."""
    processes.refuse_to_train_alone()
    output_dir, settings = Path(output_dir), objective.settle(settings, start)
    # First: what cannot be trained leaves no folder.
    run = TrainingRun(start, train_set, validation_set, settings, objective=objective)
    processes.note(step=run.step)
    _warn_of_cut_captions(run, start)
    with ExitStack() as held:
        held.enter_context(closing(run.batches))
        held.enter_context(disk_trouble_in_words(output_dir))
        processes.lead(lambda: held.enter_context(sole_owner(output_dir, "training")))
        # Described by the data as given, so that the same data find the run again.
        description = identity.describe_run(start, train_set, validation_set, settings, objective)
        processes.agree(identity.mark_of_run(description), "other data, another model or other settings")
        run.mark = processes.lead(lambda: identity.claim_folder(output_dir, description))
        checkpoints = processes.lead(lambda: held.enter_context(open_checkpoints(output_dir)))
        run.restore(checkpoints)
        if not run.finished:
            processes.lead(lambda: identity.note_provenance(output_dir, train_set, start, run.step))
        with_events = settings.tensorboard and not run.finished  # all those of a finished run are there
        columns = objective.figures, objective.metrics
        with ExitStack() as reporting, stop_on_interrupt() as stop_asked:
            report = processes.lead(
                lambda: reporting.enter_context(open_reports(output_dir, run.history, with_events, *columns))
            )
            take_steps(run, checkpoints, report, stop_asked, output_dir)
        exported_step = run.choose_export(checkpoints)
        model = run.model()
        processes.lead(_export, run, model, output_dir, exported_step)
        return TrainingResult(model, run.history, output_dir / "model", exported_step)


def _export(run: TrainingRun, model: Any, output_dir: Path, step: int) -> None:
    """Writes the model of a step, with its card."""
    model_dir = output_dir / "model"
    identity.export_model(model, model_dir, str(run.mark), step)
    data, made_with = (run.train_set, run.validation_set), identity.provenance_of(output_dir)
    write_card(model_dir, model, *data, run.settings, run.history, step, made_with, run.objective)


def _warn_of_cut_captions(run: TrainingRun, start: Any) -> None:
    """Says how many captions are longer than what is read: beyond that they may all be one and the same."""
    for dataset in (run.train_set, run.validation_set):
        captions = [caption for item in dataset for caption in item.captions]
        cut, length = run.objective.count_cut(start, captions, run.settings)
        if cut:
            warnings.warn(
                f"{dataset.name or 'the data'}: {cut:,} of {len(captions):,} captions are longer than the "
                f"{length} tokens that the model reads; it learns from their beginning.",
                stacklevel=4,
            )


def take_steps(
    run: TrainingRun,
    checkpoints: ocp.CheckpointManager,
    report: Report,
    stop_asked: Callable[[], bool],
    output_dir: Path,
) -> None:
    """Takes all steps that are left, with validations and checkpoints where they are due.

    What is written into the folder is for the first process alone; others have no checkpoints and no report.
    """
    every = run.settings.checkpoint_every
    shown = {"desc": "fine-tuning", "unit": "step", "disable": not processes.is_first()}
    with progress_bar(total=run.total_steps, initial=run.step, **shown) as progress:
        while not run.finished:
            run.advance()
            progress.update()
            if run.validation_is_due:
                run.validate()
            # Asked once, so that no stop comes between saving and stopping.
            stopping = stopping_together(run.step, stop_asked)
            if run.validation_is_due or stopping or (every and run.step % every == 0):
                # First, so that what is saved as finished was reported.
                processes.lead(report, run.fetch_history())
                run.save(checkpoints)
            if run.history:
                progress.set_postfix(loss=f"{run.history[-1]['loss']:.3f}", refresh=False)
            if stopping and not run.finished:
                raise TrainingStopped(
                    f"Stopped and saved at step {run.step} of {run.total_steps}: run the same cell or command "
                    f"again to resume from there ({output_dir})."
                )


class TrainingRun:
    """The moving parts of a run: device state, data iterator, history, and the best epoch so far."""

    def __init__(
        self,
        start: Any,
        train_set: CaptionDataset,
        validation_set: CaptionDataset,
        settings: TrainingSettings,
        mesh: jax.sharding.Mesh | None = None,
        objective: Objective[Any] = CONTRASTIVE,
    ) -> None:
        """Sets up what needs no compilation; a ValueError says what does not fit model, devices or data."""
        self.settings, self.mesh, self.objective = settings, mesh or data_mesh(), objective
        self.step = 0  # taken, or on their way on the devices
        self.history: list[Row] = []  # one row a step, as far as metrics were fetched, see `fetch_history`
        self.best_step: int | None = None  # at the end of the best epoch so far, by the objective's best figure
        self.mark: str | None = None  # which run it is; its checkpoints carry it
        # Of each step that is on its way: its rate, seconds of waiting, metrics on the devices, and which images.
        self._running: deque[tuple[float, float, dict[str, jax.Array], np.ndarray]] = deque()
        self._last_end = 0.0  # in seconds
        self._learning_rates: dict[int, float] = {}
        # Both are for a small memory, which then holds the batch at hand and no other. Their steps are long anyway.
        saves_memory = settings.micro_batch_size is not None or settings.rematerialize
        self._steps_ahead = 0 if saves_memory else STEPS_AHEAD
        self.train_set = train_set.captioned().with_cache()
        self.validation_set = validation_set.captioned().with_cache(self.train_set.cache)
        if start.tokenizer is None:
            raise ValueError("The starting model has no tokenizer; load it from a folder that holds one.")
        if not len(self.validation_set):
            raise ValueError(
                "Validation needs at least one image with a caption; give the validation split of the data, or make "
                "one with dataset.with_random_splits()."
            )
        size, devices = settings.micro_batch_size or settings.batch_size, self.mesh.size
        if size % devices:
            raise ValueError(
                f"A batch or micro-batch of {size} cannot be shared evenly by {devices} devices; choose a multiple of "
                f"{devices}."
            )
        self.steps_per_epoch = steps_per_epoch(self.train_set, settings.batch_size, settings.captions)
        self.total_steps = self.steps_per_epoch * settings.epochs
        self.schedule = learning_rate_schedule(settings, self.total_steps)
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.sharded = NamedSharding(self.mesh, PartitionSpec("data"))
        stream: Callable[..., Any] = partial(train_batches, share=processes.own_share(self.mesh))
        if settings.images_on_device:
            stream = partial(DeviceBatches, side=settings.images_on_device, sharding=self.sharded)
        self.batches = stream(
            self.train_set,
            start.preprocessing,
            partial(objective.tokenize, start, settings=settings),
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            seed=settings.seed,
            augmentation=settings.augmentation,
            captions=settings.captions,
            workers=settings.workers,
        )
        self.split = objective.split(start, settings)

    @cached_property
    def state(self) -> State:
        """Everything that the run changes on the devices."""
        return first_state(self.split, self.settings, self.mesh)

    @cached_property
    def train_step(self) -> TrainStep:
        """The compiled step."""
        return make_train_step(self.split, self.settings, self.mesh, self.objective)

    def _learning_rate(self) -> float:
        """Of the next step, with those of its epoch: one computed between two steps would wait for the first.

        Each takes the devices half a millisecond; all at once would delay a run that may stop long before its end.
        """
        if self.step not in self._learning_rates:
            end = (self.step // self.steps_per_epoch + 1) * self.steps_per_epoch
            self._learning_rates = {step: float(self.schedule(step)) for step in range(self.step, end)}
        return self._learning_rates[self.step]

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or no epoch was better for too many."""
        last = self.total_steps
        if self.settings.patience is not None and self.best_step is not None:
            last = min(last, self.best_step + self.settings.patience * self.steps_per_epoch)
        return self.step >= last

    @property
    def validation_is_due(self) -> bool:
        """Whether the last step ended the run, or an epoch that is to be validated."""
        interval = self.steps_per_epoch * self.settings.validate_every
        return self.step % interval == 0 or self.step == self.total_steps

    def advance(self) -> None:
        """Dispatches one step; its row of the history comes when `STEPS_AHEAD` more are, or with `fetch_history`."""
        start = time.perf_counter()
        if not self._running:
            self._last_end = start
        batch = next(self.batches)
        index = batch.pop("index")
        batch = {name: self._placed(array) for name, array in batch.items()}
        waiting = time.perf_counter() - start
        with processes.waiting():
            rate = self._learning_rate()
            self.state, metrics = self.train_step(self.state, batch, rate)
        self.step += 1
        processes.note(step=self.step)
        self._running.append((rate, waiting, metrics, index))
        if len(self._running) > self._steps_ahead:
            self._fetch_one()

    def _placed(self, rows: Any) -> jax.Array:
        """Puts the rows that this process has of an array on its devices; images may lie there already."""
        if isinstance(rows, jax.Array):
            return rows
        whole = (self.settings.batch_size, *rows.shape[1:])
        return jax.make_array_from_process_local_data(self.sharded, rows, whole)

    def fetch_history(self) -> list[Row]:
        """The history of all steps so far: waits for those on their way and fetches their metrics.

        A loss or gradient that is not finite is a FloatingPointError, at most `STEPS_AHEAD` steps late, and always
        before the next validation, report or checkpoint, so that none holds a broken model.
        """
        while self._running:
            self._fetch_one()
        return self.history

    @processes.waiting()
    def _fetch_one(self) -> None:
        """Waits for the first step that is on its way, and adds its row to the history."""
        rate, waiting, metrics, index = self._running.popleft()
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        step, now = len(self.history) + 1, time.perf_counter()
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(values[name]):
                index = multihost_utils.process_allgather(index).reshape(-1)
                files = ", ".join(dict.fromkeys(self.train_set[int(number)].name for number in index))
                raise FloatingPointError(
                    f"The {name} of step {step} is {values[name]} (files {shorten(files, 200, placeholder=' ...')}); "
                    "look at them and lower the learning rate. The last checkpoint is untouched."
                )
        times = {"seconds": now - self._last_end, "seconds_waiting": waiting}
        self.history.append({"step": step, **values, "learning_rate": rate, **times})
        self._last_end = now

    def model(self) -> Any:
        """The model as it would be exported now: the average if there is one, low-rank changes merged."""
        names = "average" if "average" in self.state else "trained", "frozen"
        parameters, frozen = (processes.own_copies(self.state[name], self.mesh) for name in names)
        return self.objective.assemble(self.split.graphdef, parameters, frozen)

    def validate(self) -> None:
        """Measures the model on the validation set and notes whether it is the best so far."""
        row = self.fetch_history()[-1]
        model, sharding = self.model(), processes.own_sharding(self.sharded)
        row |= processes.share(
            processes.lead(lambda: self.objective.validate(model, self.validation_set, self.settings, sharding))
        )
        quality = self.objective.quality
        if self.best_step is None or quality(row) > quality(self.history[self.best_step - 1]):
            self.best_step = self.step

    def save(self, checkpoints: ocp.CheckpointManager) -> None:
        """Writes a checkpoint of everything, then deletes those that are no longer needed.

        The first process does: all that the others have is in it, but for a place on its disk.
        """
        progress = {"iterator": self.batches.get_state(), "history": self.fetch_history()}
        progress |= {"best_step": self.best_step, "mark": self.mark}
        state = processes.for_orbax(self.state)
        processes.lead(lambda: save_checkpoint(checkpoints, self.step, state, progress, self.settings.keep_last))

    def restore(self, checkpoints: ocp.CheckpointManager) -> None:
        """Goes back to the newest checkpoint, if there is one."""
        step = processes.share(processes.lead(lambda: checkpoints.latest_step()))
        if step is None:
            return
        progress = self._read(checkpoints, step)
        self.step, self.history, self.best_step = step, progress["history"], progress["best_step"]
        processes.note(step=step)
        self.batches.set_state(progress["iterator"])

    def _read(self, checkpoints: ocp.CheckpointManager, step: int) -> dict[str, Any]:
        """Takes the state of a checkpoint, which the first process reads and hands on, and returns its progress."""
        like = processes.for_orbax(self.state)
        read = processes.lead(lambda: restore_checkpoint(checkpoints, step, like, self.replicated, self.mark))
        state, progress = read or (like, {})
        self.state = processes.spread(state, like, self.replicated)
        return processes.share(progress)

    def choose_export(self, checkpoints: ocp.CheckpointManager) -> int:
        """Goes to the state whose model is exported, and gives its step."""
        if not self.settings.keep_best or self.best_step is None or self.best_step == self.step:
            return self.step
        self._read(checkpoints, self.best_step)
        return self.best_step
