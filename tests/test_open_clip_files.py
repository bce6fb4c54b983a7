"""Files and folders of open_clip and OpenAI give the embeddings of those, and what they do not say is asked for."""

import copy
import json
import pickle
import shutil
import zipfile
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from forms_world import PIXELS, TEXTS, assert_same_features, hub, of_openai, open_clip_model, sentence
from safetensors.torch import save_file
from tiny_clip import tiny_config, write_checkpoint
from torch import nn

from utils.clip import CLIP, fingerprint, save_open_clip, tokenize, vocabulary
from utils.clip.configuration import architecture_of
from utils.clip.foreign_names import transformers_names
from utils.clip.open_clip_config import config_of_shapes

open_clip = pytest.importorskip("open_clip")
pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return open_clip_model()


def training_checkpoint(model: nn.Module, file: Path) -> None:
    """As open_clip's ``training/main.py`` writes it, of a model on several GPUs."""
    optimizer = torch.optim.AdamW(model.parameters())
    model.encode_image(PIXELS).sum().backward()
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.param_groups[0]["weight_decay"] = 0.0
    optimizer.step()  # which fills its state and moves nothing
    weights = {f"module.{name}": weight for name, weight in model.state_dict().items()}
    name = "2024_01_31-model_ViT-B-32-lr_5e-05-b_64-j_4-p_amp"
    beside = {"optimizer": optimizer.state_dict(), "args": Namespace(lr=5e-5), "best": np.float64(0.5)}
    torch.save({"epoch": 3, "name": name, "state_dict": weights} | beside, file)
    model.zero_grad()


FILES = {
    "bare.pt": lambda model, file: torch.save(model.state_dict(), file),
    "open_clip_pytorch_model.bin": lambda model, file: torch.save(model.state_dict(), file),
    "open_clip_model.safetensors": lambda model, file: save_file(model.state_dict(), file),
    "epoch_3.pt": training_checkpoint,
    "wrapped.pth": lambda model, file: torch.save({"model": model.state_dict(), "epoch": 1}, file),
    "torchscript.pt": lambda model, file: torch.jit.save(torch.jit.script(copy.deepcopy(model)), file),
}


@pytest.mark.parametrize(("name", "activation"), [*((name, "quick_gelu") for name in FILES), ("bare.pt", "gelu")])
def test_files_of_open_clip_give_its_features(name, activation, tmp_path):
    model = open_clip_model(quick_gelu=activation == "quick_gelu")
    FILES[name](model, tmp_path / name)
    ours = CLIP.from_pretrained(tmp_path / name, activation=activation)
    assert_same_features(ours, model)
    assert ours.preprocessing.image_size == 32 and ours.metadata.source == {"name": name}
    the_only_file = CLIP.from_pretrained(tmp_path, activation=activation)
    assert fingerprint(the_only_file) == fingerprint(ours)


def test_custom_text_towers_of_clip_s_own_kind_are_read(theirs, tmp_path):
    visual = ("visual.", "logit_scale")
    custom = {n if n.startswith(visual) else f"text.{n}": weight for n, weight in theirs.state_dict().items()}
    torch.save(custom, tmp_path / "custom.pt")
    assert_same_features(CLIP.from_pretrained(tmp_path / "custom.pt", activation="quick_gelu"), theirs)


@pytest.mark.parametrize("form", ["archive", "state dict"])
def test_openai_s_own_file_says_its_activation_by_its_form(form, theirs, tmp_path):
    file, model = tmp_path / "ViT-B-32.pt", of_openai(theirs)
    if form == "archive":
        torch.jit.save(torch.jit.script(model), file)
        with zipfile.ZipFile(file) as archive:
            assert any("/code/" in name for name in archive.namelist())
    else:
        torch.save(model.state_dict(), file)
    assert_same_features(CLIP.from_pretrained(file), copy.deepcopy(theirs).half().float())
    assert "OpenAI's own, says quick_gelu" in sentence(file, activation="gelu")


class Evil:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return Path.touch, (self.place,)


def test_an_archive_whose_pickle_runs_code_is_refused(theirs, tmp_path):
    file, changed = tmp_path / "whole.pt", tmp_path / "changed.pt"
    torch.jit.save(torch.jit.script(copy.deepcopy(theirs)), file)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(changed, "w") as new:
        for name in archive.namelist():
            evil = pickle.dumps(Evil(tmp_path / "was here"), protocol=2)
            new.writestr(name, evil if name.endswith("/data.pkl") else archive.read(name))
    assert "cannot be read as torch weights (it asks for" in sentence(changed, activation="gelu")
    assert not (tmp_path / "was here").exists()


def test_code_of_an_archive_is_not_even_parsed(theirs, tmp_path):
    file, changed = tmp_path / "whole.pt", tmp_path / "changed.pt"
    torch.jit.save(torch.jit.script(copy.deepcopy(theirs)), file)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(changed, "w") as new:
        for name in archive.namelist():
            new.writestr(name, b"this is no code (" if "/code/" in name else archive.read(name))
    with pytest.raises(RuntimeError):
        torch.jit.load(changed)
    assert_same_features(CLIP.from_pretrained(changed, activation="quick_gelu"), theirs)


def settings_of(model: nn.Module, **changes) -> dict:
    vision = {"layers": 2, "width": 128, "head_width": 32, "patch_size": 8, "image_size": 32}
    text = {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3}
    return {
        "model_cfg": {"embed_dim": 48, "vision_cfg": vision, "text_cfg": text} | changes,
        "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1], "resize_mode": "squash"},
    }


@pytest.mark.parametrize("quick_gelu", [True, False, None])
def test_the_configuration_of_open_clip_is_obeyed(quick_gelu, tmp_path):
    model = open_clip_model(bool(quick_gelu), {"head_width": 32}, {"heads": 4})
    torch.save(model.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    told = {} if quick_gelu is None else {"quick_gelu": quick_gelu}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings_of(model, **told)))
    for place in (tmp_path, tmp_path / "open_clip_pytorch_model.bin"):
        ours = CLIP.from_pretrained(place)
        assert_same_features(ours, model)
        assert asdict(ours.preprocessing) == {
            "image_size": 32,
            "mean": (0.5, 0.4, 0.3),
            "std": (0.3, 0.2, 0.1),
            "squash": True,
        }
    wrong = "gelu" if quick_gelu else "quick_gelu"
    assert f"The activation is {wrong!r}, but" in sentence(tmp_path, activation=wrong)


WRONG_SETTINGS = {
    "pooled otherwise": ({"vision_cfg": {"pool_type": "avg"}}, "asks for pool_type 'avg'"),
    "no mask": ({"text_cfg": {"no_causal_mask": True}}, "asks for no_causal_mask 'True'"),
    "another tokenizer": ({"text_cfg": {"hf_tokenizer_name": "xlm-roberta-base"}}, "hf_tokenizer_name"),
    "a tower of timm": ({"vision_cfg": {"timm_model_name": "vit_tiny"}}, "asks for timm_model_name"),
    "CoCa": ({"multimodal_cfg": {"width": 64}}, "asks for multimodal_cfg"),
    "SigLIP": ({"init_logit_bias": -10}, "asks for init_logit_bias"),
    "another width": ({"vision_cfg": {"width": 64}}, "vision_cfg.width of 64, but the weights have 128"),
    "another dim": ({"embed_dim": 64}, "embed_dim of 64, but the weights have 48"),
    "heads that do not divide": ({"text_cfg": {"heads": 5}}, "which its 5 heads do not divide"),
    "heads of no width": ({"vision_cfg": {"head_width": 0}}, "is not a configuration of open_clip"),
    "a mean of words": ({"preprocess_cfg": {"mean": "imagenet"}}, "asks for mean 'imagenet'"),
    "a std of zero": ({"preprocess_cfg": {"std": [0.1, 0.0, 0.1]}}, "by which nothing can be divided"),
    "images of another size": ({"preprocess_cfg": {"size": [64, 64]}}, "asks for images of 64 pixels"),
    "oblong images": ({"preprocess_cfg": {"size": [32, 64]}}, "only square images"),
    "no towers": ({"vision_cfg": None}, "holds no settings under 'vision_cfg' and 'text_cfg'"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_a_configuration_that_is_not_computed_or_not_of_these_weights_is_refused(case, theirs, tmp_path):
    changes, words = WRONG_SETTINGS[case]
    settings = settings_of(theirs)
    for name, change in changes.items():
        part = settings if name == "preprocess_cfg" else settings["model_cfg"]
        old = part.get(name)
        part[name] = old | change if isinstance(old, dict) and isinstance(change, dict) else change
    save_file(theirs.state_dict(), tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    assert words in sentence(tmp_path)


def plain_vits() -> list[str]:
    """Names that open_clip has for CLIP's own two transformers of any size."""
    vision = {"layers", "width", "patch_size", "image_size", "head_width", "mlp_ratio"}
    text = {"context_length", "vocab_size", "width", "heads", "layers"}
    settings = {name: open_clip.get_model_config(name) for name in open_clip.list_models() if name.startswith("ViT-")}
    return [
        name
        for name, of in settings.items()
        if not of["vision_cfg"].keys() - vision and not of["text_cfg"].keys() - text and "init_logit_bias" not in of
    ]


@pytest.mark.parametrize("name", plain_vits())
def test_shapes_tell_the_architecture_of_every_published_vit(name):
    settings = open_clip.get_model_config(name)
    with torch.device("meta"):
        model = open_clip.CLIP(**{part: settings[part] for part in ("embed_dim", "vision_cfg", "text_cfg")})
    stored = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    blanks = {name: np.broadcast_to(np.float32(0), shape) for name, shape in stored.items()}
    shapes = {name: array.shape for name, array in transformers_names(blanks).items()}
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    found = architecture_of(config_of_shapes(shapes, stored, "gelu", Path(name), ""))
    assert (found.vision.hidden_size, found.text.hidden_size) == (vision["width"], text["width"])
    assert found.vision.image_size == vision["image_size"] // vision["patch_size"] * vision["patch_size"]
    assert found.vision.num_attention_heads == vision["width"] // vision.get("head_width", 64)
    assert found.text.num_attention_heads == text["heads"]
    assert found.text.max_position_embeddings == text.get("context_length", 77)
    assert found.projection_dim == settings["embed_dim"]
    assert (found.vision.num_hidden_layers, found.text.num_hidden_layers) == (vision["layers"], text["layers"])


def test_an_open_clip_repository_of_the_hub_is_fetched(theirs, tmp_path, monkeypatch):
    published, cache = tmp_path / "published", tmp_path / "models--a--b" / "snapshots" / "0123"
    published.mkdir(), cache.mkdir(parents=True)
    (published / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": {"embed_dim": 48, "quick_gelu": True, "vision_cfg": {}, "text_cfg": {"heads": 1}}})
    )
    torch.save(theirs.state_dict(), published / "open_clip_pytorch_model.bin")
    (published / "ckpt").mkdir()
    torch.save(theirs.state_dict(), published / "ckpt" / "other.pt")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub(published, cache))
    model = CLIP.from_pretrained("a/b")
    assert_same_features(model, theirs)
    assert model.metadata.source == {"name": "a/b", "revision": "0123"}
    assert not (cache / "ckpt").exists()  # nothing that is not needed
    (published / "open_clip_config.json").unlink(), (cache / "open_clip_config.json").unlink()
    model = CLIP.from_pretrained("a/b/ckpt/other.pt@main", activation="quick_gelu")
    assert_same_features(model, theirs)
    assert model.metadata.source == {"name": "a/b/ckpt/other.pt", "revision": "0123"}


@pytest.mark.parametrize("eos", [59, 2])
def test_our_own_export_to_open_clip_comes_back_exactly(eos, tmp_path):
    (tmp_path / "checkpoint").mkdir()
    write_checkpoint(tmp_path / "checkpoint", tiny_config(text={"eos_token_id": eos}))
    model = CLIP.from_pretrained(tmp_path / "checkpoint")
    again = CLIP.from_pretrained(save_open_clip(model, tmp_path / "export"))
    ours, theirs = model.transformers_weights(), again.transformers_weights()
    assert ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert fingerprint(again) == fingerprint(model) and again.preprocessing == model.preprocessing
    tokens = tokenize(again.tokenizer, ["airport", "a port"])
    np.testing.assert_array_equal(tokens, tokenize(model.tokenizer, ["airport", "a port"]))
    np.testing.assert_array_equal(again.encode_texts(tokens), model.encode_texts(tokens))
    for tower in ("vision", "text"):
        assert getattr(again.architecture, tower) == getattr(model.architecture, tower)


# --- what a file does not say


def test_the_activation_is_asked_for_where_nothing_tells_it(theirs, tmp_path):
    file = tmp_path / "RemoteCLIP-ViT-B-32.pt"
    torch.save(theirs.state_dict(), file)
    words = sentence(file)
    assert all(part in words for part in ("quick_gelu", "'gelu'", "RemoteCLIP, GeoRSCLIP ViT-B-32", "make convert"))
    assert "The activation is 'relu'; there are quick_gelu and gelu" in sentence(file, activation="relu")
    model = CLIP.from_pretrained(file.rename(tmp_path / "ViT-B-32-quickgelu.pt"))
    assert_same_features(model, theirs)  # by its name, which is open_clip's for it


def test_the_name_of_a_training_tells_the_activation(theirs, tmp_path):
    named = {"name": "model_ViT-B-32-quickgelu-lr_0.001", "state_dict": theirs.state_dict()}
    torch.save(named, tmp_path / "epoch_1.pt")
    assert_same_features(CLIP.from_pretrained(tmp_path / "epoch_1.pt"), theirs)


def test_heads_that_shapes_cannot_tell_are_asked_for(tmp_path):
    model = open_clip_model(vision={"width": 96, "head_width": 32})
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert "put its open_clip_config.json (or config.json) beside it" in sentence(
        tmp_path / "model.pt", activation="gelu"
    )


def test_the_tokenizer_of_the_installed_open_clip_is_clip_s_own():
    texts = [*TEXTS, "", "日本語 🚀", "x" * 300, "it's 1,000 m² -- <b>“wide”</b>"]
    ours = vocabulary.clip_tokenizer(Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz", 77)
    tokens, theirs = tokenize(ours, texts, 77), open_clip.tokenize(texts).numpy()
    for row, expected in zip(tokens, theirs, strict=True):
        end = int(np.argmax(expected)) + 1
        assert row[:end].tolist() == expected[:end].tolist() and set(row[end:].tolist()) <= {49407}


def test_without_open_clip_the_hub_has_the_tokenizer_and_without_both_a_folder(theirs, tmp_path, monkeypatch):
    file = tmp_path / "weights" / "ViT-B-32-quickgelu.pt"
    file.parent.mkdir()
    torch.save(theirs.state_dict(), file)
    CLIP.from_pretrained(file).tokenizer.save_pretrained(tmp_path / "tokenizer")
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)
    monkeypatch.setattr(vocabulary, "fetch", lambda name, patterns: tmp_path / "tokenizer")
    assert_same_features(CLIP.from_pretrained(file), theirs)

    def no_network(name: str, patterns: list[str]) -> Path:
        raise ConnectionError("no network")

    monkeypatch.setattr(vocabulary, "fetch", no_network)
    assert "install open_clip_torch" in sentence(file, FileNotFoundError)
    for part in (tmp_path / "tokenizer").iterdir():
        shutil.copy(part, file.parent)
    assert_same_features(CLIP.from_pretrained(file), theirs)
