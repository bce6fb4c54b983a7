"""What comes out of a run: the folder, its card, and the history in two forms."""

import csv
import json
import re
import shutil
import socket
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image
from training_world import SETTINGS, colors, same, tiny_model

from utils.clip import CLIP
from utils.clip.embedding import weights_digest
from utils.datasets import data_fingerprint
from utils.files import provenance
from utils.files.provenance import versions
from utils.training import TrainingResult, TrainingStopped, identity, train
from utils.training.identity import (
    check_model,
    claim_folder,
    describe_run,
    mark_of,
    note_provenance,
    provenance_of,
    run_of,
)
from utils.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="module")
def model(folder) -> CLIP:
    # Its tokenizer knows little more than letters, so the labels of the snippet need many positions.
    return tiny_model(folder, text={"max_position_embeddings": 48})


@pytest.fixture(scope="module")
def result(model, folder) -> TrainingResult:
    dataset = colors(folder)
    return train(model, dataset, dataset, SETTINGS, folder / "run")


def events(folder) -> dict[str, dict[int, float]]:
    """Reads TensorBoard's files as TensorBoard does: a start of a session at a step revokes what was from it on."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    values: dict[str, dict[int, float]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4  # eight bytes of length, and a checksum of each part
            if event.session_log.status == SessionLog.START:
                for curve in values.values():
                    for step in [step for step in curve if step >= event.step]:
                        del curve[step]
            for value in event.summary.value:
                values.setdefault(value.tag, {})[event.step] = value.simple_value
    return values


# --- history ----------------------------------------------------------------------------------------------


def test_history_as_a_table(result):
    with (result.model_dir.parent / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "learning_rate", "gradient_norm", "logit_scale", "seconds"):
        assert [float(row[name]) for row in rows] == pytest.approx([row[name] for row in result.history])
    assert [row["step"] for row in rows if row["validation_recall"]] == ["2", "4", "6"]


def test_history_as_tensorboard_events(result):
    curves = events(result.model_dir.parent / "tensorboard")
    for name in ("loss", "validation_loss", "validation_recall", "learning_rate"):
        expected = {row["step"]: row[name] for row in result.history if name in row}
        assert curves[name] == pytest.approx(expected)


def test_events_of_a_run_that_was_stopped_are_those_of_one_run(model, folder, result, tmp_path, monkeypatch):
    dataset, save = colors(folder), TrainingRun.save

    def fail(run: TrainingRun, checkpoints: object) -> None:
        if run.step == 4:
            raise MemoryError
        save(run, checkpoints)

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(TrainingRun, "save", fail)  # steps 3 and 4 are reported, and not saved
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    got, expected = (events(path / "tensorboard") for path in (tmp_path / "run", folder / "run"))
    assert got["loss"] == expected["loss"] and got["validation_recall"] == expected["validation_recall"]
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2


# --- the folder and its card ------------------------------------------------------------------------------


def test_the_snippet_of_the_card_runs_and_is_the_model(result, tmp_path, monkeypatch, capsys):
    card = (result.model_dir / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert '"a photo of a {label}"' in code.replace('f"', '"') and "CLIPProcessor" in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(result.model_dir)
    Image.new("RGB", (40, 30), "green").save("stadium_1.jpg")
    names: dict = {}
    exec(code, names)
    lines = capsys.readouterr().out.strip().splitlines()
    assert [line[:16].strip() for line in lines] == [
        "residential area", "playground", "stadium", "forest", "airport"
    ]  # fmt: skip
    inputs = names["inputs"]
    ours = result.model.logits(inputs["pixel_values"].permute(0, 2, 3, 1).numpy(), inputs["input_ids"].numpy())
    theirs = names["model"](**inputs).logits_per_image
    assert theirs.detach().numpy() == pytest.approx(np.asarray(ours), abs=1e-4)


def test_the_card_says_what_was_done(result):
    card = (result.model_dir / "README.md").read_text()
    last = result.history[-1]
    assert "colors" in card and "step 6 of 6" in card and f"{last['validation_recall']:.3f}" in card
    for line in ("| learning_rate | 0.003 |", "| loss | multi_positive |", "| batch_size | 4 |", "seed 1"):
        assert line in card
    assert str(result.model_dir.parent) not in card and "87,601 parameters" in card
    with Image.open(result.model_dir / "loss_curve.png") as curve:
        assert curve.format == "PNG" and len(curve.convert("L").getcolors()) > 10


def test_a_run_notes_what_it_was_made_with_and_the_card_says_it(result, model, folder):
    output = result.model_dir.parent
    note = json.loads((output / "run.json").read_text())
    (entry,) = note["provenance"]
    changing = {"commit": None}  # somebody may commit while the tests run
    assert entry["versions"] | changing == versions() | changing
    assert entry["versions"]["jax"] == jax.__version__
    device = jax.devices()[0]
    assert entry["device"] == {"platform": device.platform, "kind": device.device_kind, "count": jax.device_count()}
    assert entry["data"] == {"name": "colors", "fingerprint": data_fingerprint(colors(folder))}
    assert entry["model"] == {"name": folder.name, "weights": weights_digest(model)[:16]}
    for private in (str(folder), str(Path.home()), socket.gethostname()):
        assert f'"{private}' not in json.dumps(note)
    card = (result.model_dir / "README.md").read_text()
    assert f"| start | {folder.name}, weights {weights_digest(model)[:16]} |" in card
    assert f"jax {jax.__version__}, jaxlib" in card and "base_model" not in card


def test_provenance_is_no_part_of_which_run_it_is(result, model, folder, tmp_path, monkeypatch):
    dataset, output = colors(folder), tmp_path / "run"
    shutil.copytree(result.model_dir.parent, output)
    note = json.loads((output / "run.json").read_text())
    entry = note.pop("provenance")[0]
    (output / "run.json").write_text(json.dumps(note))  # as a run of before has it
    assert mark_of(output) == run_of(output / "model") == mark_of(result.model_dir.parent)
    check_model(output / "model", mark_of(output))
    again = train(model, dataset, dataset, SETTINGS, output)
    assert same(again.model, result.model) and provenance_of(output) == []
    assert "| versions | not noted |" in (output / "model" / "README.md").read_text()

    older = entry | {"versions": {"jax": "0.1"}}
    (output / "run.json").write_text(json.dumps(note | {"provenance": [older]}))
    monkeypatch.setattr(identity, "versions", lambda: {"jax": "0.2"})
    note_provenance(output, dataset, model, 4)
    note_provenance(output, dataset, model, 5)  # nothing has changed since
    assert [noted["from_step"] for noted in provenance_of(output)] == [0, 4]
    assert provenance_of(output)[1]["model"] == entry["model"]
    assert mark_of(output) == mark_of(result.model_dir.parent)
    claim_folder(output, describe_run(model, dataset, dataset, SETTINGS))
    assert len(provenance_of(output)) == 2


def test_a_start_from_the_hub_is_the_base_model_of_the_card(result, model, folder, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--openai--clip" / "snapshots" / commit
    shutil.copytree(result.model_dir, snapshot)
    start = CLIP.from_pretrained(snapshot)
    assert start.metadata.source == {"name": "openai/clip", "revision": commit}
    assert start.copy("bfloat16").metadata.source == start.metadata.source
    dataset = colors(folder)
    tuned = train(start, dataset, dataset, replace(SETTINGS, epochs=1), tmp_path / "run")
    card = ModelCard.load(tuned.model_dir / "README.md")
    assert card.data.base_model == "openai/clip" and card.data.library_name == "transformers"
    assert f"| start | openai/clip at revision {commit}, weights" in card.text


def test_a_commit_is_that_of_the_course_and_says_whether_files_differ(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "utils" / "files" / "provenance.py"))
    assert "commit" not in versions()
    git("init")
    assert "commit" not in versions()  # without a first commit
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "-m", "first")
    commit = versions()["commit"]
    assert len(commit) == 12 and "+" not in commit
    (tmp_path / "new.txt").write_text("of no matter")
    assert versions()["commit"] == commit
    (tmp_path / "a.txt").write_text("b")
    assert versions()["commit"] == f"{commit}+changes"


def test_the_folder_is_the_model(result):
    assert same(result.model, CLIP.from_pretrained(result.model_dir)) and result.exported_step == 6


def test_a_run_that_stops_leaves_no_model(model, folder, tmp_path, monkeypatch):
    def stop(run: TrainingRun) -> None:
        raise TrainingStopped("stopped")

    monkeypatch.setattr(TrainingRun, "advance", stop)
    dataset = colors(folder)
    with pytest.raises(TrainingStopped):
        train(model, dataset, dataset, SETTINGS, tmp_path / "run")
    assert not (tmp_path / "run" / "model").exists()
