"""Several processes that train one model: what one process gives, what a kill leaves, and what the command says."""

import json
import os
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from training_world import SETTINGS as PLAIN
from training_world import colors, parameters, started, train_together

from utils.datasets import train_batches
from utils.training import __main__ as command
from utils.training import processes, train
from utils.training.__main__ import main, parse_arguments, plan
from utils.training.launch import _end_stuck as end_stuck
from utils.training.launch import free_port, launch

pytestmark = pytest.mark.usefixtures("quick_compilation")

TWENTY_STEPS = replace(PLAIN, epochs=10, validate_every=5, learning_rate=1e-3, keep_best=True)
RUNS = {"whole": replace(TWENTY_STEPS, ema_decay=0.9), "cached": replace(TWENTY_STEPS, micro_batch_size=2)}


@pytest.fixture(autouse=True)
def logs(tmp_path_factory, monkeypatch) -> None:
    """Logs that a sentence names are kept: here."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("logs")))


# --- two are as one ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(folder):
    return colors(folder)


@pytest.fixture(scope="module")
def arguments(folder, dataset, tmp_path_factory):
    """The command line of a run of 40 steps, each with a checkpoint, on the colored images."""
    file = tmp_path_factory.mktemp("data") / "colors.jsonl"
    lines = []
    for item in dataset:
        for split, name in (("train", item.path.name), ("val", f"val_{item.path.name}")):  # an image is of one split
            if split == "val":
                shutil.copy(item.path, folder / name)
            lines.append({"filename": name, "captions": item.captions, "split": split, "category": item.category})
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = "SETTINGS={checkpoint_every: 1, tensorboard: false, keep_best: false}"
    values = ["BATCH_SIZE=4", "EPOCHS=20", "VALIDATE_EVERY=20", "LEARNING_RATE=0.001", "CAPTIONS_FILE=", settings]
    places = ["--dataset", str(file), "--data-dir", str(folder), "--model", str(folder)]
    return [*places, "--set", *values, "--processes", "2"]


@pytest.fixture(scope="module")
def together(root, folder, arguments, tmp_path_factory):
    """The folder where two processes have trained `RUNS` and what the command is asked for, and what they say of it."""
    output = tmp_path_factory.mktemp("together")
    planned = plan(root, parse_arguments([*arguments, "--to", str(output / "command")]))
    del planned["SETTINGS"]["checkpoint_every"]  # it has no effect on what comes out
    address = f"127.0.0.1:{free_port()}"
    pair = [started(train_together, folder, output, RUNS, planned, address, number) for number in range(2)]
    for process in pair:
        process.join(300)
    for process in pair:
        process.kill()
    assert [process.exitcode for process in pair] == [0, 0]
    return output, [json.loads((output / f"left-{number}.json").read_text()) for number in range(2)]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_the_losses_and_parameters_of_one(model, dataset, together, tmp_path, name):
    output, left = together
    alone = train(model, dataset, dataset, RUNS[name], tmp_path / "run")
    losses = [row["loss"] for row in alone.history]
    assert len(losses) == 20 and min(losses) < losses[0] - 1
    for number in range(2):
        np.testing.assert_allclose(left[number][name], losses, rtol=0, atol=1e-5)
        with np.load(output / f"{name}-{number}.npz") as own:
            for array, other in zip(own.values(), parameters(alone.model), strict=True):
                np.testing.assert_allclose(array, other, rtol=0, atol=1e-5)
    # And the folder is that of any run, with a model and a card, which tell of all devices.
    theirs, ours = ({path.name for path in top.iterdir()} for top in (output / name, tmp_path / "run"))
    assert theirs == ours and (output / name / "model" / "model.safetensors").is_file()
    assert "| device | 2 x cpu (cpu) |" in (output / name / "model" / "README.md").read_text()


def test_each_loads_its_own_rows_and_sums_whole_gradients(together):
    for left in together[1]:
        assert left["rows"] == [2]  # of four
        assert "all-reduce" in left["step"] and "reduce-scatter" not in left["step"]  # gloo's is wrong for large ones


def test_processes_that_differ_are_refused_all_of_them(together):
    output, left = together
    for own in left:
        assert own["apart"].startswith("Process 1 of 2 has other data, another model or other settings than the first")
    assert not (output / "apart" / "run.json").exists()
    assert "is in use by process" in left[0]["in use"] and "is in use by process" in left[1]["in use"]


@pytest.mark.parametrize("captions", ["one", "all"])
def test_shares_of_a_batch_are_its_rows_and_either_resumes_where_the_other_was(model, dataset, captions):
    def stream(share):
        def tokens(texts):
            return np.array([[len(text)] for text in texts], np.int32)

        how = {"batch_size": 4, "epochs": 2, "seed": 3, "captions": captions, "share": share}
        return train_batches(dataset, model.preprocessing, tokens, **how)

    whole, *halves = map(stream, ((0, 1), (0, 2), (1, 2)))
    for batch in (next(whole), next(whole)):
        for number, half in enumerate(halves):
            for name, rows in next(half).items():
                np.testing.assert_array_equal(rows, batch[name][number::2])
    assert whole.get_state() == halves[0].get_state() == halves[1].get_state()
    state = whole.get_state()
    for one, other in ((whole, stream((0, 1))), (halves[1], stream((1, 2)))):
        other.set_state(state)
        np.testing.assert_array_equal(next(one)["images"], next(other)["images"])


# --- the command ------------------------------------------------------------------------------------------


def steps_saved(output: Path) -> list[int]:
    folders = (output / "finetuned" / "checkpoints").glob("*")
    return [int(path.name) for path in folders if path.name.isdigit()]  # others are half written


@pytest.fixture
def run_until(root, arguments, tmp_path, monkeypatch, capfd):
    """Runs the command in this process until something happens to process 1; gives status and last line."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root / "tests"), *filter(None, sys.path)]))
    for name, value in {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}.items():
        monkeypatch.setenv(name, value)

    def run(moment: str, *more: str) -> tuple[int, str]:
        code = f"from training_world import work_until; work_until({moment!r})"
        monkeypatch.setattr(command, "launch", lambda _, *rest: launch([sys.executable, "-c", code], *rest))
        status = main([*arguments, "--to", str(tmp_path), *more])
        assert not [child for child in psutil.Process().children() if code in child.cmdline()]
        return status, re.split(r"[\r\n]", capfd.readouterr().err.strip())[-1]

    return run


def test_a_run_stopped_stuck_and_killed_says_so_and_resumes_to_the_same_bits(
    arguments, together, run_until, tmp_path, monkeypatch
):
    status, sentence = run_until("stopped")
    assert status == 130 and "Stopped and saved at step" in sentence

    def once_it_is_stuck(workers: list, stuck_after: float) -> bool:  # however long a busy machine takes to that image
        return (tmp_path / "stuck").exists() and end_stuck(workers, stuck_after)

    with monkeypatch.context() as patched:
        patched.setattr("utils.training.launch._end_stuck", once_it_is_stuck)
        status, sentence = run_until("stuck", "--stuck-after", "10")
    how = r"process 1 of 2 stood still for 10 seconds after step (\d+), and all were ended; start the same command "
    told = re.fullmatch(rf"python -m utils.training: {how}again to resume .*What it wrote: (.*)", sentence)
    assert told, sentence
    assert "in read_until" in Path(told[2]).read_text()  # and where
    assert status == 2 and max(steps_saved(tmp_path)) == int(told[1])

    status, sentence = run_until("killed")
    assert status == 2 and time.time() - (tmp_path / "killed").stat().st_mtime < 20
    assert "process 1 of 2 was ended from outside (SIGKILL" in sentence and "same command again" in sentence

    monkeypatch.setattr(command, "launch", launch)
    assert main([word.replace("checkpoint_every: 1, ", "") for word in [*arguments, "--to", str(tmp_path)]]) == 0
    for name in ("model.safetensors", "config.json"):
        one, other = (top / "finetuned" / "model" / name for top in (together[0] / "command", tmp_path))
        assert one.read_bytes() == other.read_bytes()


NOTED = """
import json, os, sys, time
number = json.load(open(sys.argv[1]))["number"]
for told in [{told}[number]] if number < len({told}) else []:
    open(os.environ["TRAINING_NOTE"], "w").write(json.dumps(told))
time.sleep({seconds})
"""
WAITS = {"process": 0, "of": 2, "waits": True, "step": 12}


@pytest.mark.parametrize(
    ("notes", "together", "sentence"),
    [
        ([WAITS], True, "process 1 of 2 stood still for 1 seconds before its first step"),
        ([WAITS, WAITS | {"process": 1}], True, "process [01] of 2 waited for the others for 1 seconds after step 12"),
        ([WAITS | {"process": 5, "of": 8}], False, "process 5 of 8 waited for the others for 1 seconds after step 12"),
        ([WAITS | {"waits": False}], False, "process 0 of 2 stood still for 0.5 seconds after step 12, and all were"),
    ],
)
def test_who_stands_still_is_told_from_who_waits(monkeypatch, capfd, notes, together, sentence):
    monkeypatch.setattr("utils.training.launch.GRACE", 0.2)
    code = NOTED.format(told=notes, seconds=60)
    start = time.monotonic()
    assert launch([sys.executable, "-c", code], {}, 1 + together, together, stuck_after=0.5) == 2
    said = capfd.readouterr().err.strip()
    assert re.match(f"python -m utils.training: {sentence}", said) and "\n" not in said
    assert time.monotonic() - start < 50  # and not as long as they would have slept


def test_nothing_is_too_slow_before_the_first_step():
    code = NOTED.format(told=[], seconds=1)
    assert launch([sys.executable, "-c", code], {}, 2, True, stuck_after=0.1) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "nope"], "no profile 'nope'; choose one of"),
        (["--set", "EPOCS=3"], "No notebook has the parameters EPOCS (command line)"),
        (["--set", "EPOCHS=0"], "EPOCHS is 0; it must be a whole number"),
        (["--set", "SETTINGS={hue: red}"], "SETTINGS is {'hue': 'red'}; it must be"),
        (["--dataset", "no/such.csv"], "DATASET is 'no/such.csv', and there is no"),
        (["--data-dir", "no/such"], "and there is no folder"),
        (["--processes", "-1"], "--processes is -1; it must be 1 or more"),
        (["--stuck-after", "0"], "--stuck-after is 0; it must be more than 0 seconds"),
        (["--to", "utils"], "which is a part of the course itself"),
    ],
)
def test_what_cannot_work_is_one_sentence(root, monkeypatch, capsys, arguments, sentence):
    monkeypatch.chdir(root)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m utils.training: ") and sentence in said and said.count("\n") == 1


def test_on_windows_processes_are_refused_before_any_is_started(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.platform", "win32")
    assert main(["--processes", "2"]) == 2
    assert "On Windows processes cannot train together; leave --processes out" in capsys.readouterr().err


SLURM = {"JOB_ID": "7", "STEP_NODELIST": "node[1-2]", "NTASKS": "2", "PROCID": "1", "LOCALID": "0"}


OF_TWO = [{f"SLURM_{name}": value for name, value in SLURM.items()}, {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}]


@pytest.mark.parametrize("environment", OF_TWO)
@pytest.mark.parametrize("count", ["1", "2"])
def test_one_of_several_starts_no_others(root, monkeypatch, capsys, environment, count):
    """Each would start as many, which know of each other alone, and train into the same folder."""
    monkeypatch.chdir(root)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["--processes", count]) == 2
    assert f"--processes is {count}, and this is one of 2 processes that were started" in capsys.readouterr().err


@pytest.mark.parametrize("environment", OF_TWO)
def test_one_of_several_that_do_not_know_of_each_other_is_refused(model, dataset, tmp_path, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert processes.told_processes() == 2
    with pytest.raises(ValueError, match="one of 2 processes of one job") as refusal:
        train(model, dataset, dataset, PLAIN, tmp_path / "run")
    assert "python -m utils.training" in str(refusal.value) and not (tmp_path / "run").exists()
