"""Checkpoints of transformers and Flax old and new, models of other kinds, and MODEL= wherever it is given."""

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from flax.serialization import msgpack_serialize
from flax.traverse_util import unflatten_dict
from forms_world import assert_features_of_transformers, assert_same_features, of_openai, open_clip_model, sentence
from safetensors.torch import load_file, save_file
from tiny_clip import tiny_config, torch_clip, write_checkpoint
from torch import nn
from transformers import CLIPTextModel, SiglipConfig, SiglipModel

from utils.check import check_models
from utils.clip import CLIP
from utils.course import CourseError
from utils.course.ledger import _mark_of_checkpoint
from utils.course.run import plan_course, results_folder
from utils.course.sweep.runs import _copy_untrained
from utils.files import find_checkpoint

pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return open_clip_model()


# --- transformers


def old_configuration(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    settings = json.loads((folder / "config.json").read_text())
    for tower in ("vision_config", "text_config"):
        settings[f"{tower}_dict"] = settings.pop(tower)
    settings["text_config_dict"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(settings))


def bin_shards(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    names = sorted(weights)
    shards = {"pytorch_model-00001-of-00002.bin": names[:50], "pytorch_model-00002-of-00002.bin": names[50:]}
    for file, within in shards.items():
        torch.save({name: weights[name] for name in within}, folder / file)
    of_file = {name: file for file, within in shards.items() for name in within}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": of_file}))
    (folder / "model.safetensors").unlink()


def as_bin(change):
    def write(folder: Path, weights: dict[str, torch.Tensor]) -> None:
        torch.save({name: change(weight) for name, weight in weights.items()}, folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()

    return write


def scale_of_one(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    save_file(weights | {"logit_scale": weights["logit_scale"].reshape(1)}, folder / "model.safetensors")


OF_TRANSFORMERS = {
    "old configuration": old_configuration,
    "shards of .bin": bin_shards,
    ".bin": as_bin(lambda weight: weight),
    "a scale of shape (1,)": scale_of_one,
}


@pytest.mark.parametrize("form", OF_TRANSFORMERS)
def test_folders_of_transformers_old_and_new_give_its_features(form, tmp_path):
    reference = write_checkpoint(tmp_path, tiny_config())
    OF_TRANSFORMERS[form](tmp_path, load_file(tmp_path / "model.safetensors"))
    assert_features_of_transformers(CLIP.from_pretrained(tmp_path), reference)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halved_bin_weights_give_the_features_of_the_halved_model(dtype, tmp_path):
    reference = write_checkpoint(tmp_path, tiny_config())
    as_bin(lambda weight: weight.to(dtype))(tmp_path, load_file(tmp_path / "model.safetensors"))
    assert_features_of_transformers(CLIP.from_pretrained(tmp_path), reference.to(dtype).float())


# --- Flax


def flax_layout(weights: dict[str, torch.Tensor]) -> dict:
    """The tree of transformers 4's ``FlaxCLIPModel``, as its ``save_pretrained`` writes it."""
    flat = {}
    for name, tensor in weights.items():
        *path, leaf = name.split(".")
        array = tensor.numpy()
        if leaf == "weight":
            norm, embedding = "norm" in path[-1], path[-1] in ("token_embedding", "position_embedding")
            leaf = "scale" if norm else "embedding" if embedding else "kernel"
            if leaf == "kernel":
                array = np.ascontiguousarray(array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T)
        flat["/".join([*path, leaf])] = array
    return unflatten_dict(flat, sep="/")


@pytest.mark.parametrize("wrap", [lambda tree: tree, lambda tree: {"params": tree, "step": np.int32(3)}])
def test_flax_weights_of_transformers_4_load_exactly(wrap, tmp_path):
    reference = write_checkpoint(tmp_path, tiny_config())
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "flax_model.msgpack").write_bytes(msgpack_serialize(wrap(flax_layout(weights))))
    (tmp_path / "model.safetensors").unlink()
    for place in (tmp_path, tmp_path / "flax_model.msgpack"):
        ours = CLIP.from_pretrained(place)
        stored = ours.transformers_weights()
        assert stored.keys() == weights.keys()
        assert all(np.array_equal(stored[name], weights[name].numpy()) for name in weights)
        assert_features_of_transformers(ours, reference)


def test_a_hybrid_clip_is_named(tmp_path):
    tree = flax_layout(load_of(torch_clip(tiny_config())))
    tree["text_model"]["embeddings"]["word_embeddings"] = tree["text_model"]["embeddings"].pop("token_embedding")
    (tmp_path / "flax_model.msgpack").write_bytes(msgpack_serialize(tree))
    assert "HybridCLIP" in sentence(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "hybrid-clip"}')
    assert "type 'hybrid-clip', with a BERT for texts" in sentence(tmp_path)


def load_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}


def test_flax_weights_without_a_configuration_ask_for_it(tmp_path):
    (tmp_path / "flax_model.msgpack").write_bytes(msgpack_serialize(flax_layout(load_of(torch_clip(tiny_config())))))
    assert "does not say its activation" in sentence(tmp_path)
    assert "put its open_clip_config.json (or config.json) beside it" in sentence(tmp_path, activation="gelu")
    (tmp_path / "flax_model.msgpack").write_bytes(b"\xc1 no msgpack")
    assert "cannot be read as Flax's msgpack" in sentence(tmp_path)


# --- other models


def of_resnet() -> dict[str, torch.Tensor]:
    return open_clip_model(vision={"layers": (1, 1, 1, 1), "width": 8, "head_width": 8, "image_size": 32}).state_dict()


def of_siglip() -> dict[str, torch.Tensor]:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes = {"image_size": 32, "patch_size": 16}
    return SiglipModel(SiglipConfig(text_config=tower | {"vocab_size": 64}, vision_config=tower | sizes)).state_dict()


OTHERS = {
    "ResNet": (of_resnet, "a CLIP with a ResNet for images"),
    "SigLIP": (of_siglip, "a SigLIP"),
    "SigLIP of open_clip": (
        lambda: {"visual.trunk.pos_embed": torch.zeros(1, 4, 8), "logit_bias": torch.zeros(1)},
        "an image tower of timm",
    ),
    "EVA": (lambda: {"visual.blocks.0.norm1.weight": torch.zeros(8)}, "an EVA-CLIP"),
    "CoCa": (lambda: {"visual.proj": torch.zeros(8, 8), "text_decoder.ln_final.weight": torch.zeros(8)}, "a CoCa"),
    "ChineseCLIP": (
        lambda: {"visual.proj": torch.zeros(8, 8), "bert.encoder.layer.0.output.dense.bias": torch.zeros(8)},
        "such as ChineseCLIP",
    ),
    "text alone": (
        lambda: CLIPTextModel(tiny_config().text_config).state_dict(),
        "there is no vision_model.embeddings.position_embedding.weight",
    ),
    "something else": (lambda: {"fc.weight": torch.zeros(2, 2)}, "holds no CLIP of two transformers"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_models_of_other_kinds_are_named(case, tmp_path):
    weights, words = OTHERS[case]
    torch.save(weights(), tmp_path / "model.pt")
    assert words in sentence(tmp_path / "model.pt", activation="gelu")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("siglip", "which pools and scores otherwise"),
        ("chinese_clip", "with a BERT for texts"),
        ("clip_text_model", "the half of a CLIP that reads texts"),
        ("bert", "no CLIP of OpenAI's two transformers"),
    ],
)
def test_the_type_of_a_model_is_named(kind, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    assert f"type {kind!r}, {words}" in sentence(tmp_path)


# --- MODEL=


def test_a_course_takes_a_file_and_refuses_what_would_not_load_before_it_starts(theirs, tmp_path):
    file = tmp_path / "RemoteCLIP-ViT-B-32.pt"
    torch.save(theirs.state_dict(), file)
    with pytest.raises(CourseError, match=r"MODEL is .*RemoteCLIP-ViT-B-32\.pt.* does not say its activation"):
        plan_course(ROOT, "miniature", {"MODEL": str(file)})
    named = file.rename(tmp_path / "ViT-B-32-quickgelu.pt")
    assert plan_course(ROOT, "miniature", {"MODEL": str(named)}).output_dir.name == "miniature-ViT-B-32-quickgelu"
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(CourseError, match="holds no CLIP"):
        plan_course(ROOT, "miniature", {"MODEL": str(tmp_path / "picture.png")})
    assert results_folder(ROOT, "small", {}, {"MODEL": "someone/clip-v1.5"}) == "runs/small-clip-v1.5"


def test_a_run_knows_a_file_by_its_content_and_by_the_settings_beside_it(theirs, tmp_path):
    file = tmp_path / "ViT-B-32-quickgelu.pt"
    torch.save(theirs.state_dict(), file)
    marks = {_mark_of_checkpoint(str(file))}
    (tmp_path / "open_clip_config.json").write_text("{}")
    marks.add(_mark_of_checkpoint(str(file)))
    torch.save(of_openai(theirs).state_dict(), file)
    marks.add(_mark_of_checkpoint(str(file)))
    assert len(marks) == 3


def test_settings_of_another_model_beside_a_file_do_not_matter_to_it(theirs, tmp_path):
    file = tmp_path / "ViT-B-32-quickgelu.pt"
    torch.save(theirs.state_dict(), file)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.1, 0.1]}')
    model = CLIP.from_pretrained(file)
    assert_same_features(model, theirs)
    assert model.preprocessing.mean[0] == pytest.approx(0.4815, abs=1e-4)  # OpenAI's


def test_make_check_knows_every_form(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "ViT-B-32-quickgelu.pt")
    for place in (tmp_path, tmp_path / "ViT-B-32-quickgelu.pt"):
        assert [check.advice for check in check_models(str(place)) if place.name in check.subject] == [""]


def test_an_untrained_row_of_a_sweep_may_start_from_a_file(theirs, tmp_path):
    file = tmp_path / "weights" / "ViT-B-32-quickgelu.pt"
    file.parent.mkdir()
    torch.save(theirs.state_dict(), file)
    _copy_untrained(ROOT, str(file), tmp_path / "finetuned" / "model")
    assert_same_features(CLIP.from_pretrained(tmp_path / "finetuned" / "model"), theirs)


@pytest.mark.parametrize("name", ["no/such.pt", "/no/such/file/here.safetensors", "~/such.bin"])
def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(name, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *names, **options: pytest.fail("it was"))
    assert f"There is no file {name!r}" in sentence(name, FileNotFoundError)


def test_a_file_that_cannot_be_weights_is_not_taken_for_them(tmp_path):
    (tmp_path / "captions.csv").write_text("filename,caption\n")
    with pytest.raises(FileNotFoundError, match="is no checkpoint but a file"):
        find_checkpoint(tmp_path / "captions.csv")
