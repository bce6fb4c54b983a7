"""Adapters of peft on a CLIP of transformers are merged into it, or named."""

import json
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from forms_world import assert_features_of_transformers, hub, sentence
from safetensors.torch import load_file, save_file
from tiny_clip import tiny_config, write_checkpoint

from utils.clip import CLIP, fingerprint
from utils.course.ledger import _mark_of_checkpoint

pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")


@pytest.fixture
def base(tmp_path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    write_checkpoint(folder, tiny_config())
    return folder


QUERY = "vision_model.encoder.layers.1.self_attn.q_proj"


def write_adapter(folder: Path, base: str, weights: dict[str, torch.Tensor], **settings) -> Path:
    """An adapter in the layout of peft's ``save_pretrained``."""
    folder.mkdir(exist_ok=True)
    plain = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 4, "lora_alpha": 6, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(plain | settings))
    named = {f"base_model.model.{name}": weight for name, weight in weights.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


def low_rank(outputs: int = 48, inputs: int = 48) -> dict[str, torch.Tensor]:
    return {"A": torch.randn(4, inputs), "B": torch.randn(outputs, 4)}


@pytest.mark.parametrize("stabilized", [False, True])
def test_an_adapter_is_merged_by_hand(stabilized, base, tmp_path):
    pair, norm = low_rank(), torch.randn(48)
    weights = {f"{QUERY}.lora_{part}.weight": matrix for part, matrix in pair.items()}
    weights |= {"vision_model.post_layernorm.weight": norm, f"{QUERY}.base_layer.bias": norm.clone()}
    folder = write_adapter(tmp_path / "adapter", str(base), weights, use_rslora=stabilized)
    merged, before = CLIP.from_pretrained(folder).transformers_weights(), load_file(base / "model.safetensors")
    scale = 6 / 4**0.5 if stabilized else 6 / 4
    expected = before[f"{QUERY}.weight"] + scale * pair["B"] @ pair["A"]
    np.testing.assert_allclose(merged.pop(f"{QUERY}.weight"), expected, atol=1e-5)
    for name in ("vision_model.post_layernorm.weight", f"{QUERY}.bias"):
        np.testing.assert_array_equal(merged.pop(name), norm)
    assert all(np.array_equal(array, before[name]) for name, array in merged.items())


PEFT = {
    "plain": {"target_modules": ["q_proj", "v_proj"]},
    "rank-stabilized": {"target_modules": ["fc1", "out_proj"], "use_rslora": True},
    "modules to save": {"target_modules": ["k_proj"], "modules_to_save": ["visual_projection"]},
    "all biases": {"target_modules": ["k_proj"], "bias": "all"},
    "its biases": {"target_modules": ["k_proj"], "bias": "lora_only"},
    "ranks by module": {
        "target_modules": ["k_proj", "fc2"],
        "rank_pattern": {"fc2": 5},
        "alpha_pattern": {"vision_model.encoder.layers.1.mlp.fc2": 7},
    },
    "embedding and convolution": {"target_modules": ["patch_embedding", "token_embedding", "text_projection"]},
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
}


@pytest.mark.parametrize("case", PEFT)
def test_adapters_of_peft_give_its_features(case, base, tmp_path):
    peft = pytest.importorskip("peft")
    from transformers import CLIPModel

    torch.manual_seed(1)
    settings = peft.LoraConfig(**{"r": 2, "lora_alpha": 3} | PEFT[case])
    model = peft.get_peft_model(CLIPModel.from_pretrained(base), settings).eval()
    with torch.no_grad():
        for parameter in filter(lambda parameter: parameter.requires_grad, model.parameters()):
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "adapter")
    assert_features_of_transformers(CLIP.from_pretrained(tmp_path / "adapter"), model)


NOT_MERGED = {
    "DoRA": ({"use_dora": True}, "is of LoRA with use_dora"),
    "another kind": ({"peft_type": "LOHA"}, "is of LOHA"),
    "PiSSA": ({"init_lora_weights": "pissa_niter_16"}, "begun by pissa_niter_16"),
    "tokens": ({"trainable_token_indices": [1]}, "is of LoRA with trainable_token_indices"),
    "what comes one day": ({"use_something": True}, "is of LoRA with use_something"),
    "no base": ({"base_model_name_or_path": None}, "names no base model"),
    "a list of patterns": ({"rank_pattern": ["q_proj"]}, "which the base model named in adapter_config.json"),
    "no pattern": ({"alpha_pattern": {"(": 1}}, "which the base model named in adapter_config.json"),
    "no rank": ({"r": 0}, "which the base model named in adapter_config.json has no place for"),
}


@pytest.mark.parametrize("case", NOT_MERGED)
def test_what_cannot_be_merged_is_named(case, base, tmp_path):
    settings, words = NOT_MERGED[case]
    weights = {f"{QUERY}.lora_{part}.weight": matrix for part, matrix in low_rank().items()}
    folder = write_adapter(tmp_path / "adapter", str(base), weights, **settings)
    assert words in sentence(folder)


def test_an_adapter_that_does_not_fit_its_base_is_refused(base, tmp_path):
    folder = tmp_path / "adapter"
    write_adapter(folder, str(base), {f"{QUERY}.lora_{part}.weight": m for part, m in low_rank(32).items()})
    assert f"has the weight {QUERY}.lora_A" in sentence(folder)
    write_adapter(folder, str(base), {"lm_head.weight": torch.zeros(3)})
    assert "has the weight base_model.model.lm_head.weight" in sentence(folder)
    write_adapter(folder, str(folder), {})
    assert "another adapter, as its base model" in sentence(folder)
    write_adapter(folder, "x", {"a": torch.zeros(1)})
    (folder / "adapter_config.json").unlink()
    assert "an adapter of peft without its adapter_config.json" in sentence(folder)


def test_the_base_of_an_adapter_may_lie_beside_it_and_its_absence_is_told(base, tmp_path):
    weights = {f"{QUERY}.lora_{part}.weight": matrix for part, matrix in low_rank().items()}
    folder = write_adapter(tmp_path / "adapter", "../base", weights)
    assert CLIP.from_pretrained(folder).tokenizer is not None
    write_adapter(folder, "someone/clip", weights)
    assert f"{folder} is an adapter, whose base model is missing: 'someone/clip'" in sentence(folder, FileNotFoundError)


def test_an_adapter_on_the_hub_is_fetched_and_merged_into_its_base(base, tmp_path, monkeypatch):
    weights = {f"{QUERY}.lora_{part}.weight": matrix for part, matrix in low_rank().items()}
    here = write_adapter(tmp_path / "adapter", str(base), weights)
    cache = tmp_path / "models--a--b" / "snapshots" / "0123"
    cache.mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub(here, cache))
    model = CLIP.from_pretrained("a/b")
    assert fingerprint(model) == fingerprint(CLIP.from_pretrained(here)) != fingerprint(CLIP.from_pretrained(base))
    assert model.metadata.source == {"name": "a/b", "revision": "0123"}


@pytest.mark.parametrize("named", ["from here", "beside it"])
def test_a_run_knows_an_adapter_by_its_base_too(named, base, tmp_path):
    name = str(base) if named == "from here" else f"../{base.name}"
    folder = write_adapter(tmp_path / "adapter", name, {"a": torch.zeros(1)})
    before = _mark_of_checkpoint(str(folder))
    (base / "config.json").write_text((base / "config.json").read_text() + "\n")
    assert _mark_of_checkpoint(str(folder)) != before
