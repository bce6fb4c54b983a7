"""The folder of a run never mixes two runs, and passes nothing old or damaged for what it is not."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from permissions import assert_as_new, umask
from training_world import SETTINGS as PLAIN
from training_world import colors, parameters, same

from utils.clip import CLIP
from utils.clip.checkpoints import written_whole
from utils.datasets import CaptionDataset, CaptionedImage, data_fingerprint
from utils.files import FolderInUseError, sole_owner
from utils.training import TrainingResult, caption_by_category, load_or_train, run, run_folder, train
from utils.training.checkpoints import open_checkpoints, restore_checkpoint
from utils.training.identity import NOTE, check_model, export_model, mark_of, note_model, other_data
from utils.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("quick_compilation")

SETTINGS = replace(PLAIN, epochs=2, tensorboard=False)
OTHER = replace(SETTINGS, seed=2)


@pytest.fixture(scope="module")
def dataset(folder) -> CaptionDataset:
    return colors(folder)


@pytest.fixture(scope="module")
def finished(model, dataset, tmp_path_factory) -> TrainingResult:
    with umask(0o027):
        return train(model, dataset, dataset, SETTINGS, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def others(model, dataset, tmp_path_factory) -> TrainingResult:
    """What another seed leaves."""
    return train(model, dataset, dataset, OTHER, tmp_path_factory.mktemp("others") / "run")


@pytest.fixture
def output(finished, tmp_path) -> Path:
    """A copy of the finished run's folder."""
    return shutil.copytree(finished.model_dir.parent, tmp_path / "run")


def sentence_of(kind: type[Exception], call, *arguments) -> str:
    with pytest.raises(kind) as refusal:
        call(*arguments)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_whom_the_umask_lets_read_a_new_file_may_read_all_that_a_training_leaves(finished):
    assert (finished.model_dir.parent / "checkpoints").is_dir()
    assert_as_new(finished.model_dir.parent, 0o027)


def test_the_mark_of_a_data_set_is_that_of_earlier_folders(tmp_path):
    (tmp_path / "red.png").write_bytes(b"123")
    paths = (tmp_path / "red.png", Path("not there.png"))
    items = [CaptionedImage(path, ("red", "a field"), "train", None, "test") for path in paths]
    assert data_fingerprint(CaptionDataset(items, "colors")) == "26ad24bba83e3ede"


# --- two trainings in one folder --------------------------------------------------------------------------


def test_a_second_training_is_refused_before_it_compiles_or_claims_anything(model, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "first_state", lambda *_: pytest.fail("it compiled"))
    with sole_owner(tmp_path, "training"):
        sentence = sentence_of(FolderInUseError, train, model, dataset, dataset, SETTINGS, tmp_path)
        assert f"process {os.getpid()}" in sentence and "choose another folder" in sentence
        assert {path.name for path in tmp_path.iterdir()} == {".lock", ".owner.json"}


def test_a_training_owns_its_folder_until_the_card_is_written(model, dataset, output, monkeypatch):
    write_card, met = run.write_card, []

    def meet_another(*arguments: object) -> None:
        met.append(sentence_of(FolderInUseError, train, model, dataset, dataset, SETTINGS, output))
        write_card(*arguments)

    monkeypatch.setattr(run, "write_card", meet_another)
    train(model, dataset, dataset, SETTINGS, output)
    assert len(met) == 1


def test_whoever_reads_a_finished_model_waits_for_no_training(model, dataset, output, finished):
    with sole_owner(output, "training"):
        assert same(load_or_train(output, model, dataset, dataset, OTHER), finished.model)


def test_two_notebooks_share_a_short_run_that_is_finished_and_meet_in_no_other(
    model, dataset, tmp_path, finished, capsys
):
    of_the_run = (model, dataset, dataset, SETTINGS)
    short = run_folder(tmp_path, "absent-short", *of_the_run)
    with sole_owner(short, "training"):
        assert str(short) in sentence_of(FolderInUseError, load_or_train, tmp_path / "absent", *of_the_run)
    shutil.copytree(finished.model_dir.parent, short, dirs_exist_ok=True)
    with sole_owner(short, "training"):
        assert same(load_or_train(tmp_path / "absent", *of_the_run), finished.model)
    assert f"taking the short one in {short}" in capsys.readouterr().out
    (short / "model" / "model.safetensors").write_bytes(b"")  # is written again from the last checkpoint
    assert same(load_or_train(tmp_path / "absent", *of_the_run), finished.model)
    assert same(CLIP.from_pretrained(short / "model"), finished.model)


def test_a_checkpoint_of_another_run_is_refused(model, dataset, output, others):
    shutil.copytree(others.model_dir.parent / "checkpoints", output / "checkpoints", dirs_exist_ok=True)
    sentence = sentence_of(ValueError, train, model, dataset, dataset, SETTINGS, output)
    assert "step 4" in sentence and "of another run" in sentence and "delete its folder" in sentence


def test_checkpoints_of_earlier_versions_are_resumed(model, dataset, output, finished):
    shutil.rmtree(output / "checkpoints" / "4")
    path = output / "checkpoints" / "2" / "progress" / "metadata"
    progress = json.loads(path.read_text())
    assert progress.pop("mark") == mark_of(output) and progress.pop("checksum")
    path.write_text(json.dumps(progress))
    assert same(train(model, dataset, dataset, SETTINGS, output).model, finished.model)


def test_a_damaged_run_json_is_told(model, dataset, output):
    note = (output / "run.json").read_text()
    for damaged in (note.replace('"start"', '"stbrt"'), note.replace('"data"', '"dbta"'), "[]"):
        (output / "run.json").write_text(damaged)
        sentence = sentence_of(ValueError, train, model, dataset, dataset, SETTINGS, output)
        assert "run.json that cannot be read" in sentence


# --- flipped bits -----------------------------------------------------------------------------------------


def flipped(path: Path, bit: int) -> bytes:
    """The content of a file, in which one bit was turned over."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def test_no_flipped_bit_in_a_checkpoint_gives_other_weights(model, dataset, output):
    it = TrainingRun(model, dataset, dataset, SETTINGS)
    generator, refused = np.random.default_rng(0), 0
    with open_checkpoints(output) as checkpoints:

        def restored() -> tuple[list[np.ndarray], dict]:
            state, progress = restore_checkpoint(checkpoints, 4, it.state, it.replicated, mark_of(output))
            return [np.asarray(leaf) for leaf in run.jax.tree.leaves(state)], progress["history"]

        arrays, history = restored()
        files = [path for path in (output / "checkpoints" / "4").rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        for path in [path for path in files if path.stat().st_size] + [largest] * 8:
            whole, bit = path.read_bytes(), int(generator.integers(8 * path.stat().st_size))
            path.write_bytes(flipped(path, bit))
            try:
                got, its_history = restored()
                assert its_history == history, (path, bit)
                assert all(map(np.array_equal, got, arrays)), (path, bit)
            except ValueError as error:
                assert "damaged" in str(error) and "\n" not in str(error)
                refused += 1
            path.write_bytes(whole)
    assert refused >= 8


def test_a_checkpoint_under_another_number_is_refused(model, dataset, output):
    (output / "checkpoints" / "4").rename(output / "checkpoints" / "6")
    assert "damaged" in sentence_of(ValueError, train, model, dataset, dataset, SETTINGS, output)


# --- the exported model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", NOTE])
def test_a_flipped_bit_in_the_exported_model_is_told_and_mended_by_the_training(model, dataset, output, finished, name):
    path = output / "model" / name
    path.write_bytes(flipped(path, 8 * path.stat().st_size // 2))
    sentence = sentence_of(ValueError, load_or_train, output, model, dataset, dataset, SETTINGS)
    assert name in sentence and "start the training of this folder again" in sentence
    train(model, dataset, dataset, SETTINGS, output)
    assert same(load_or_train(output, model, dataset, dataset, SETTINGS), finished.model)


def test_exchanged_weights_are_told_and_taken_once_the_note_is_gone(model, dataset, output, others):
    shutil.copy(others.model_dir / "model.safetensors", output / "model")
    sentence = sentence_of(ValueError, load_or_train, output, model, dataset, dataset, SETTINGS)
    assert "model.safetensors" in sentence and f"delete {output / 'model' / NOTE}" in sentence
    (output / "model" / NOTE).unlink()
    assert same(load_or_train(output, model, dataset, dataset, SETTINGS), others.model)


@pytest.mark.parametrize("noted", [True, False])
def test_an_old_model_does_not_pass_for_that_of_a_new_run(model, dataset, output, others, monkeypatch, noted):
    """Folders of earlier versions have no note in their model."""
    shutil.rmtree(output / "checkpoints")
    if not noted:
        (output / "model" / NOTE).unlink()
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(TrainingRun, "advance", lambda _: (_ for _ in ()).throw(MemoryError))
        train(model, dataset, dataset, OTHER, output)
    sentence = sentence_of(ValueError, load_or_train, output, model, dataset, dataset, OTHER)
    assert "not of the run that run.json beside it tells of" in sentence
    train(model, dataset, dataset, OTHER, output)
    assert same(load_or_train(output, model, dataset, dataset, OTHER), others.model)


def test_the_same_run_begun_again_leaves_its_earlier_model_readable(model, dataset, output, finished, monkeypatch):
    shutil.rmtree(output / "checkpoints")
    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(TrainingRun, "advance", lambda _: (_ for _ in ()).throw(MemoryError))
        train(model, dataset, dataset, SETTINGS, output)
    assert same(load_or_train(output, model, dataset, dataset, SETTINGS), finished.model)


def test_an_export_that_is_killed_between_two_files_leaves_one_model_or_none(output, finished, others, monkeypatch):
    model_dir, replace_file = output / "model", Path.replace
    original = {path.name: path.read_bytes() for path in model_dir.iterdir()}

    class KilledError(BaseException):
        pass

    def killed_after(count: int) -> None:
        left = iter(range(count))

        def wrapped(path: Path, target: Path) -> Path:
            if Path(target).parent == model_dir and next(left, None) is None:
                raise KilledError
            return replace_file(path, target)

        monkeypatch.setattr(Path, "replace", wrapped)

    seen = []
    for count in range(9):
        for path in model_dir.iterdir():
            path.unlink()
        for name, content in original.items():
            (model_dir / name).write_bytes(content)
        killed_after(count)
        try:
            export_model(others.model, model_dir, "others", 4)
            seen.append("new")
        except KilledError:
            seen.append("old" if (model_dir / "config.json").is_file() else "none")
        monkeypatch.undo()
        if seen[-1] != "none":
            expected = others.model if seen[-1] == "new" else finished.model
            assert same(CLIP.from_pretrained(model_dir), expected)
        assert not (model_dir / "README.md").exists()  # it told of the run before
    assert seen[0] == "none" and seen[-1] == "new" and "old" not in seen
    assert not list(output.glob(".*model*"))


def test_a_folder_inside_a_model_is_no_damage(tmp_path):
    """Jupyter makes one where somebody opens a file; earlier versions noted it as null."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    note_model(tmp_path, "mark", 4)
    assert json.loads((tmp_path / NOTE).read_text())["files"][".ipynb_checkpoints"] is None
    check_model(tmp_path, "mark")


def test_a_disk_that_is_full_for_a_model_is_told_as_such(tmp_path):
    with pytest.raises(OSError, match="No space left") as refusal, written_whole(tmp_path / "model"):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert refusal.value.errno == 28 and not list(tmp_path.iterdir())


def test_parameters_of_the_two_seeds_differ(finished, others):
    """Else none of the above could fail."""
    assert not all(map(np.array_equal, parameters(finished.model), parameters(others.model)))


def test_a_model_of_other_data_of_the_same_name_is_told(output, model, dataset, tmp_path, capsys):
    darker = CaptionDataset([replace(item, captions=("dark",)) for item in dataset], dataset.name)
    wordless = [replace(item, captions=(*item.captions, " .")) for item in dataset]
    for one in (dataset, dataset[:5], CaptionDataset(wordless, dataset.name)):  # a part may be of the same
        assert other_data(output, dataset, one) is None
    assert other_data(output, CaptionDataset(dataset, "own"), dataset) == f"{dataset.name}, not on own"
    assert other_data(output / "nowhere", dataset, dataset) is None
    load_or_train(output, model, dataset, dataset, SETTINGS)
    assert "Warning" not in capsys.readouterr().out
    note = json.loads((output / "run.json").read_text())
    note["validation_data"]["fingerprint"] = data_fingerprint(caption_by_category(dataset))
    (tmp_path / "run.json").write_text(json.dumps(note))  # as CAPTIONS_FILE = "categories" leaves it
    assert other_data(tmp_path, dataset, dataset) is None
    load_or_train(output, model, darker, darker, SETTINGS)
    assert f"was trained on other images or captions that are called {dataset.name}, too" in capsys.readouterr().out
