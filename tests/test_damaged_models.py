"""Model folders that are damaged, wrapped or not of one piece: each is put right, or refused in one sentence."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flax import nnx
from safetensors.torch import load_file, save_file
from tiny_clip import tiny_config, write_checkpoint
from transformers import AutoTokenizer

from utils.clip import CLIP, weight_files

pytestmark = pytest.mark.usefixtures("one_torch_thread")

Change = Callable[[Path], Any]
TOWERS = ("text_config", "vision_config")
MATRIX = "vision_model.encoder.layers.1.mlp.fc1.weight"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A checkpoint that transformers wrote."""
    folder = tmp_path_factory.mktemp("whole")
    write_checkpoint(folder, tiny_config())
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


def write(name: str, content: Any) -> Change:
    """Puts text, bytes or JSON in the place of a file."""
    raw = content if isinstance(content, bytes) else None
    return lambda folder: (folder / name).write_bytes(
        raw if raw is not None else (content if isinstance(content, str) else json.dumps(content)).encode()
    )


def cut(name: str, share: float) -> Change:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return change


def configure(name: str, value: Any, tower: str | None = None) -> Change:
    def change(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())
        (settings[tower] if tower else settings)[name] = value
        (folder / "config.json").write_text(json.dumps(settings))

    return change


def put_in(file: str, name: str, value: Any) -> Change:
    def change(folder: Path) -> None:
        settings = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(settings | {name: value}))

    return change


def weigh(alter: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        alter(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return change


def set_value(name: str, value: float) -> Change:
    return weigh(lambda weights: weights[name].view(-1)[-1:].fill_(value))


def silence(prefix: str) -> Change:
    return weigh(lambda weights: [w.zero_() for n, w in weights.items() if n.startswith(prefix)])


def header(alter: Callable[[dict[str, Any]], Any]) -> Change:
    """Rewrites the header of the safetensors file alone."""

    def change(folder: Path) -> None:
        path = folder / "model.safetensors"
        content = path.read_bytes()
        (size,) = struct.unpack("<Q", content[:8])
        entries = json.loads(content[8 : 8 + size])
        alter(entries)
        new = json.dumps(entries).encode()
        path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])

    return change


def pickled(wrap: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    def change(folder: Path) -> None:
        torch.save(wrap(load_file(folder / "model.safetensors")), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    return change


def instead_of_pickle(content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / "pytorch_model.bin").write_bytes(content)
        (folder / "model.safetensors").unlink()

    return change


def indexed(weight_map: Any) -> Change:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return change


def add_tokens(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["orthophoto"])
    tokenizer.save_pretrained(folder)


DAMAGED: dict[str, tuple[Change, str]] = {
    "configuration: a web page": (write("config.json", "<!doctype html><title>Sign in"), "is a web page"),
    "configuration: empty": (write("config.json", ""), "is not valid JSON"),
    "configuration: cut": (cut("config.json", 0.5), "is not valid JSON"),
    "configuration: too deep": (write("config.json", "[" * 100_000), "is not valid JSON"),
    "configuration: no text": (write("config.json", b"\xff\xfe\x00"), "is not valid JSON"),
    "configuration: null": (write("config.json", None), "is not a JSON object"),
    "configuration: a tower of text": (configure("text_config", "large"), "a text_config that is no JSON object"),
    "configuration: a tower as a list": (configure("vision_config", []), "a vision_config that is no JSON object"),
    "sizes: projection as text": (
        configure("projection_dim", "24"),
        "a projection_dim of 24; it must be a whole number",
    ),
    "sizes: no projection": (configure("projection_dim", None), "projection_dim of None"),
    "sizes: another projection": (configure("projection_dim", 25), "visual_projection.weight (24, 48)"),
    "sizes: the scale": (configure("logit_scale_init_value", "warm"), "logit_scale_init_value of warm"),
    "sizes: width as text": (configure("hidden_size", "32", TOWERS[0]), "text_config.hidden_size of 32; it must"),
    "sizes: no width": (configure("hidden_size", 0, TOWERS[1]), "vision_config.hidden_size of 0"),
    "sizes: a negative width": (configure("hidden_size", -48, TOWERS[1]), "hidden_size of -48"),
    "sizes: an absurd width": (configure("hidden_size", 3 * 2**26, TOWERS[1]), "instead of (201326592, 3, 8, 8)"),
    "sizes: an absurd depth": (configure("num_hidden_layers", 10**7, TOWERS[0]), "lacks weights (text_model.enc"),
    "sizes: no layers": (configure("num_hidden_layers", 0, TOWERS[0]), "num_hidden_layers of 0"),
    "sizes: half a layer": (configure("num_hidden_layers", 2.5, TOWERS[0]), "num_hidden_layers of 2.5"),
    "sizes: no heads": (configure("num_attention_heads", 0, TOWERS[0]), "num_attention_heads of 0"),
    "sizes: five heads": (configure("num_attention_heads", 5, TOWERS[0]), "5 heads do not divide"),
    "sizes: an absurd MLP": (configure("intermediate_size", 10**8, TOWERS[1]), "instead of (100000000, 48)"),
    "sizes: absurd images": (configure("image_size", 10**8, TOWERS[1]), "instead of (156250000000001, 48)"),
    "sizes: oblong images": (configure("image_size", [32, 64], TOWERS[1]), "image_size of [32, 64]"),
    "sizes: no patch": (configure("patch_size", None, TOWERS[1]), "patch_size of None"),
    "sizes: a patch too large": (configure("patch_size", 64, TOWERS[1]), "and hold a patch"),
    "sizes: gray images": (configure("num_channels", 1, TOWERS[1]), "must have 3 channels"),
    "sizes: absurd tokens": (configure("vocab_size", 10**8, TOWERS[0]), "instead of (100000000, 32)"),
    "sizes: absurd positions": (configure("max_position_embeddings", 10**8, TOWERS[0]), "instead of (100000000, 32)"),
    "configuration: activation": (configure("hidden_act", "swish", TOWERS[1]), "the activation 'swish'"),
    "configuration: no norm": (configure("layer_norm_eps", None, TOWERS[0]), "layer_norm_eps of None"),
    "configuration: two ends": (configure("eos_token_id", [58, 59], TOWERS[0]), "eos_token_id of [58, 59]"),
    "configuration: another end": (configure("eos_token_id", 5, TOWERS[0]), "ends texts without the token 5"),
    "tokenizer: null": (write("tokenizer.json", None), "tokenizer.json is not a JSON object"),
    "tokenizer: a list": (write("tokenizer.json", []), "tokenizer.json is not a JSON object"),
    "tokenizer: cut": (cut("tokenizer.json", 0.5), "tokenizer.json is not valid JSON"),
    "tokenizer: without a model": (write("tokenizer.json", {}), "cannot be read"),
    "tokenizer: its model is null": (put_in("tokenizer.json", "model", None), "cannot be read"),
    "tokenizer: settings are a list": (write("tokenizer_config.json", []), "is not a JSON object"),
    "tokenizer: length as text": (put_in("tokenizer_config.json", "model_max_length", "long"), "cannot be read"),
    "tokenizer: no length": (put_in("tokenizer_config.json", "model_max_length", 0), "a length of 2 or more"),
    "tokenizer: one token too many": (add_tokens, "gives token ids up to 60, but the model has embeddings for 60"),
    "index: outside": (indexed({"logit_scale": "../outside.safetensors"}), "is not a file beside it"),
    "index: an absolute path": (indexed({"logit_scale": "/etc/passwd"}), "is not a file beside it"),
    "index: a number": (indexed({"logit_scale": 5}), "names '5', which is not a file"),
    "index: a list": (indexed(["model.safetensors"]), "names no files under 'weight_map'"),
    "index: nothing there": (indexed({"logit_scale": "a.safetensors"}), "is not a file beside it"),
    "weights: empty": (write("model.safetensors", b""), "cannot be read as safetensors"),
    "weights: a web page": (write("model.safetensors", "<html>Sign in</html>"), "cannot be read as safetensors"),
    "weights: an absurd header": (write("model.safetensors", b"\xff" * 64), "cannot be read as safetensors"),
    "weights: cut": (cut("model.safetensors", 0.9), "cannot be read as safetensors"),
    "weights: a shape that does not fit": (
        header(lambda entries: entries[MATRIX].update(shape=[2**40, 2**20])),
        "cannot be read as safetensors",
    ),
    "weights: past the end": (
        header(lambda entries: entries[MATRIX].update(data_offsets=[0, 2**60])),
        "cannot be read as safetensors",
    ),
    "weights: turned": (
        weigh(lambda weights: weights.update({MATRIX: weights[MATRIX].T.contiguous()})),
        f"{MATRIX} (48, 96) instead of (96, 48)",
    ),
    "weights: whole numbers": (
        weigh(lambda weights: weights.update({MATRIX: weights[MATRIX].int()})),
        f"weight {MATRIX} is of int32",
    ),
    "weights: NaN": (set_value(MATRIX, np.nan), f"weight {MATRIX} holds NaN"),
    "weights: infinite": (set_value("logit_scale", np.inf), "weight logit_scale holds NaN"),
    "weights: a silent tower": (silence("text_model."), "weights of text_model are all zero"),
    "weights: a silent projection": (silence("visual_projection"), "weights of visual_projection are all zero"),
    "pickle: a web page": (instead_of_pickle(b"<html>Sign in</html>"), "as torch weights (it is a web page); download"),
    "pickle: a pointer": (
        instead_of_pickle(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"),
        "as torch weights (it is a pointer of Git LFS, which git lfs pull replaces by the file itself)",
    ),
    "pickle: something else": (instead_of_pickle(b"abcdefgh" * 9), "(it is damaged, or holds something else)"),
    "pickle: empty": (pickled(lambda weights: {}), "holds a dict and not weights"),
    "pickle: a list": (pickled(lambda weights: list(weights.values())), "holds a list and not weights"),
    "pickle: no weights": (pickled(lambda weights: {"epoch": 3, "optimizer": {}}), "holds 'epoch', 'optimizer'"),
    "pickle: of a tensor only": (pickled(lambda weights: weights[MATRIX]), "holds a Tensor and not weights"),
    "pickle: another model": (
        pickled(lambda weights: {"state_dict": {"visual.proj": weights[MATRIX]}}),
        "there is no vision_model.embeddings.position_embedding.weight",
    ),
    "images: a list": (write("preprocessor_config.json", []), "is not a JSON object"),
    "images: of another size": (
        write("preprocessor_config.json", {"size": 36, "crop_size": 36}),
        "asks for size 36 and crop_size 36",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_model_folder_is_refused_in_one_sentence(case, folder):
    damage, words = DAMAGED[case]
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        CLIP.from_pretrained(folder)
    message = str(caught.value)
    assert words in message, message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message.replace(str(folder), "FOLDER")) < 500


@pytest.mark.parametrize("case", [name for name in DAMAGED if "absurd" in name and "sizes" in name])
def test_absurd_sizes_are_refused_before_weights_or_model_take_memory(case, folder, monkeypatch):
    DAMAGED[case][0](folder)
    monkeypatch.setattr(weight_files, "_read_safetensors", lambda file: pytest.fail(f"{file} was read"))
    monkeypatch.setattr(nnx, "eval_shape", lambda function: pytest.fail("a model was built"))
    with pytest.raises(ValueError, match="The checkpoint"):
        CLIP.from_pretrained(folder)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"state_dict": weights, "optimizer": {"step": 3}, "epoch": 3},
        lambda weights: {"model_state_dict": weights, "loss": 0.5},
        lambda weights: {"model": weights},
        lambda weights: {"epoch": 1, "model": {"state_dict": weights}},
        lambda weights: {f"module.{name}": weight for name, weight in weights.items()},
        lambda weights: {f"_orig_mod.module.{name}": weight for name, weight in weights.items()},
        lambda weights: {"state_dict": {f"model.{name}": weight for name, weight in weights.items()}},
    ],
)
def test_wrapped_and_prefixed_weights_are_those_within(wrap, folder):
    expected = load_file(folder / "model.safetensors")
    pickled(wrap)(folder)
    ours = CLIP.from_pretrained(folder).transformers_weights()
    assert ours.keys() == expected.keys()
    assert all(np.array_equal(ours[name], expected[name]) for name in ours)


def test_prefixed_safetensors_are_read_too(folder):
    expected = load_file(folder / "model.safetensors")
    save_file({f"module.{n}": w for n, w in expected.items()}, folder / "model.safetensors")
    ours = CLIP.from_pretrained(folder).transformers_weights()
    assert all(np.array_equal(ours[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("checkpoint-500/config.json", "its folder 'checkpoint-500' may"),
        ("other.txt", "holds no weights by the name of a whole model"),
    ],
)
def test_folders_of_other_programs_say_the_way_to_a_checkpoint(file, words, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    with pytest.raises(FileNotFoundError, match=words):
        CLIP.from_pretrained(tmp_path)
