"""What a run survives: kills, interrupts, a full disk, numbers that are not finite, and somebody else's folder."""

import errno
import json
import resource
import shutil
import signal
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from training_world import SETTINGS as PLAIN
from training_world import child, colors, parameters, same, tiny_model, train_until_killed

from utils.clip import CLIP
from utils.datasets import CaptionDataset
from utils.training import TrainingStopped, train
from utils.training.identity import claim_folder, describe_run
from utils.training.run import TrainingRun, take_steps

pytestmark = pytest.mark.usefixtures("quick_compilation")

SETTINGS = replace(PLAIN, ema_decay=0.9, checkpoint_every=1, keep_best=True)


@pytest.fixture(scope="module")
def dataset(folder) -> CaptionDataset:
    return colors(folder)


@pytest.fixture(scope="module")
def whole(model, dataset, tmp_path_factory):
    """The run that was never stopped."""
    return train(model, dataset, dataset, SETTINGS, tmp_path_factory.mktemp("whole") / "run")


def untimed(history: list[dict]) -> list[dict]:
    return [{name: row[name] for name in row if not name.startswith("seconds")} for row in history]


def stop_after(monkeypatch, step: int) -> None:
    """Sends the interrupt of Ctrl-C once a step is under way."""
    advance = TrainingRun.advance

    def wrapped(run: TrainingRun) -> None:
        if run.step == step - 1:
            signal.raise_signal(signal.SIGINT)
        advance(run)

    monkeypatch.setattr(TrainingRun, "advance", wrapped)


# --- stopped and resumed ----------------------------------------------------------------------------------


def test_a_run_killed_again_and_again_ends_with_the_same_bits(folder, whole, tmp_path):
    output = tmp_path / "run"
    left = []
    for moment in ("step 2", "save 3", "save 6", "export"):
        assert child(train_until_killed, folder, output, SETTINGS, moment) == -signal.SIGKILL, moment
        left.append({path.name for path in (output / "checkpoints").iterdir()})
    # Both kills during a save came while it was half written, and the next start swept it out.
    assert any("tmp" in name and "3" in name for name in left[1])
    assert any("tmp" in name and "6" in name for name in left[2]) and not any("tmp" in name for name in left[3])
    assert not (output / "model").exists()
    assert child(train_until_killed, folder, output, SETTINGS, "never") == 0
    assert same(whole.model, CLIP.from_pretrained(output / "model"))
    saved = json.loads((output / "checkpoints" / "6" / "progress" / "metadata").read_text())
    assert untimed(saved["history"]) == untimed(whole.history)


@pytest.mark.parametrize("step", [2, 5])
def test_an_interrupt_saves_says_how_to_resume_and_loses_nothing(model, dataset, whole, tmp_path, monkeypatch, step):
    settings = replace(SETTINGS, checkpoint_every=None)
    handler = signal.getsignal(signal.SIGINT)  # a shell that starts tests in the background has it ignored
    with monkeypatch.context() as patched, pytest.raises(TrainingStopped) as stop:
        stop_after(patched, step)
        train(model, dataset, dataset, settings, tmp_path / "run")
    sentence = str(stop.value)
    assert f"step {step} of 6" in sentence and "again" in sentence and "\n" not in sentence
    assert signal.getsignal(signal.SIGINT) is handler
    # Free settings, such as the number of workers, may change in between.
    resumed = train(model, dataset, dataset, replace(SETTINGS, workers=1), tmp_path / "run")
    assert same(whole.model, resumed.model) and untimed(resumed.history) == untimed(whole.history)


class NineSteps:
    """A run of nine steps in one epoch that notes what was saved."""

    settings, total_steps, step = PLAIN, 9, 0
    history = ({"loss": 1.0},)

    def fetch_history(self) -> tuple:
        return self.history

    def __init__(self) -> None:
        self.saved: list[int] = []

    @property
    def finished(self) -> bool:
        return self.step == self.total_steps

    validation_is_due = finished

    def advance(self) -> None:
        self.step += 1

    def validate(self) -> None:
        pass

    def save(self, _checkpoints: object) -> None:
        self.saved.append(self.step)


def test_an_interrupt_at_any_moment_stops_at_a_step_that_was_saved(tmp_path):
    for calls in range(1, 5):
        run, asked = NineSteps(), iter([False] * calls + [True] * 9)
        with pytest.raises(TrainingStopped):
            take_steps(run, None, lambda _: None, lambda asked=asked: next(asked), tmp_path)
        assert run.saved == [run.step], calls


def test_in_a_notebook_an_interrupt_is_one_line(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell().run_cell(
        "from utils.training import TrainingStopped\nraise TrainingStopped('Stopped and saved at step 2')"
    )
    assert capsys.readouterr().out.strip() == "Stopped and saved at step 2"


def test_a_second_interrupt_does_not_wait(model, dataset, tmp_path, monkeypatch):
    def interrupted_twice(run: TrainingRun) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingRun, "advance", interrupted_twice)
    with pytest.raises(KeyboardInterrupt) as stop:
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    assert not isinstance(stop.value, TrainingStopped)


def test_a_finished_run_is_not_trained_again(model, dataset, whole, monkeypatch):
    monkeypatch.setattr(TrainingRun, "advance", lambda run: pytest.fail("a finished run took a step"))
    again = train(model, dataset, dataset, SETTINGS, whole.model_dir.parent)
    assert again.history == whole.history and same(again.model, whole.model)


def test_the_last_checkpoints_and_the_best_are_kept(model, dataset, whole):
    best = max((row for row in whole.history if "validation_recall" in row), key=lambda row: row["validation_recall"])
    kept = {int(path.name) for path in (whole.model_dir.parent / "checkpoints").iterdir()}
    assert kept == {5, 6, best["step"]} and whole.exported_step == best["step"]


# --- what a run refuses -----------------------------------------------------------------------------------


def refused(model: CLIP, data: CaptionDataset, settings, output, kind=ValueError) -> str:
    before = sorted((path, path.stat().st_mtime_ns) for path in output.rglob("*"))
    with pytest.raises(kind) as refusal:
        train(model, data, data, settings, output)
    assert sorted((path, path.stat().st_mtime_ns) for path in output.rglob("*")) == before
    sentence = str(refusal.value)
    assert "\n" not in sentence and str(output) in sentence
    return sentence


def test_the_folder_of_another_run_is_refused(model, dataset, whole, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(whole.model_dir.parent, output)
    sentence = refused(model, dataset, replace(SETTINGS, learning_rate=1e-4), output)
    assert "learning_rate 0.003, not 0.0001" in sentence and "another folder" in sentence
    sentence = refused(model, dataset[:7], SETTINGS, output)
    assert "other data (colors, 8 images" in sentence and "7 images" in sentence
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    twin = tiny_model(tmp_path / "twin")
    twin.logit_scale[...] = jnp.float32(1)
    for start in (other, twin):
        assert "another starting model" in refused(start, dataset, SETTINGS, output)
    note = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({"settings": note["settings"]}))
    assert "another version" in refused(model, dataset, SETTINGS, output)
    (output / "run.json").write_text("{")
    assert "run.json that cannot be read" in refused(model, dataset, SETTINGS, output)


def test_checkpoints_that_do_not_fit_or_are_damaged_are_named(model, dataset, whole, tmp_path):
    other = tiny_model(tmp_path / "other", text={"num_hidden_layers": 1})
    output = tmp_path / "run"
    train(other, dataset, dataset, replace(SETTINGS, epochs=1, checkpoint_every=None), output)
    shutil.copy(whole.model_dir.parent / "run.json", output / "run.json")
    with pytest.raises(ValueError, match=r"step 2 in .* damaged, or of another model or run") as refusal:
        train(model, dataset, dataset, SETTINGS, output)
    assert "\n" not in str(refusal.value)
    shutil.rmtree(output / "checkpoints")
    shutil.copytree(whole.model_dir.parent / "checkpoints", output / "checkpoints")
    for path in (output / "checkpoints" / "6" / "state").rglob("d/*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"step 6 in .* delete its folder to resume"):
        train(model, dataset, dataset, SETTINGS, output)
    # Doing what the sentence says helps.
    shutil.rmtree(output / "checkpoints" / "6")
    assert same(train(model, dataset, dataset, SETTINGS, output).model, whole.model)


def test_a_folder_without_a_checkpoint_may_be_claimed_again(model, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingRun, "advance", lambda run: (_ for _ in ()).throw(MemoryError("too much")))
    for size in (8, 4):
        with pytest.raises(MemoryError):
            train(model, dataset, dataset, replace(SETTINGS, batch_size=size), tmp_path / "run")


def test_half_a_checkpoint_is_nothing_to_lose(model, dataset, tmp_path):
    for size in (8, 4):
        claim_folder(tmp_path, describe_run(model, dataset, dataset, replace(SETTINGS, batch_size=size)))
        (tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp").mkdir(parents=True, exist_ok=True)
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["batch_size"] == 4


def test_a_full_disk_is_one_sentence_and_nothing_is_half_written(model, dataset, whole, tmp_path, monkeypatch):
    output = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises(TrainingStopped):
        stop_after(patched, 3)
        train(model, dataset, dataset, SETTINGS, output)
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond what the small ones need: as on a full disk, a write comes back refused.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, room[1]))
        with pytest.raises(OSError) as refusal:
            train(model, dataset, dataset, SETTINGS, output)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    sentence = str(refusal.value)
    assert "checkpoint of step 4" in sentence and "resume from step 3" in sentence and "\n" not in sentence
    assert "(File too large)" in sentence  # and nothing of it in Orbax's words
    assert refusal.value.__suppress_context__
    assert {path.name for path in (output / "checkpoints").iterdir()} <= {"2", "3"}
    assert not [path for path in output.rglob("*") if "partial" in path.name or "tmp" in path.name]
    assert same(train(model, dataset, dataset, SETTINGS, output).model, whole.model)


def test_a_disk_that_is_full_for_the_small_files_is_one_sentence(model, dataset, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("utils.training.identity.write_whole", full)
    with pytest.raises(OSError, match="the disk is full; what was written before is whole"):
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")


# --- numbers that are not finite --------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_step_and_files_and_leaves_the_last_checkpoint(
    model, dataset, whole, tmp_path, monkeypatch
):
    advance, names = TrainingRun.advance, []

    def poisoned(run: TrainingRun) -> None:
        if run.step == 4:
            batch = next(run.batches)
            names.extend(dataset[int(index)].name for index in batch["index"])
            batch["images"] = np.full_like(batch["images"], np.nan)
            run.batches = iter([batch])
        advance(run)

    with monkeypatch.context() as patched, pytest.raises(FloatingPointError, match="loss of step 5 is nan") as stop:
        patched.setattr(TrainingRun, "advance", poisoned)
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    assert all(name in str(stop.value) for name in names) and len(names) == 4
    assert (tmp_path / "run" / "checkpoints" / "4").is_dir()
    assert not (tmp_path / "run" / "checkpoints" / "5").exists()
    assert same(train(model, dataset, dataset, SETTINGS, tmp_path / "run").model, whole.model)


def test_embeddings_that_are_not_finite_stop_the_validation(model, dataset):
    from utils.training import validate

    copy = model.copy()
    copy.vision.class_embedding[...] = jnp.full_like(copy.vision.class_embedding[...], np.nan)
    with pytest.raises(FloatingPointError, match="not finite"):
        validate(copy, dataset, SETTINGS)
    assert all(np.isfinite(array).all() for array in parameters(model))
