"""Every form in which the field shares a CLIP: files that other libraries wrote give the embeddings of those."""

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
from flax.serialization import msgpack_serialize
from flax.traverse_util import unflatten_dict
from safetensors.torch import load_file, save_file
from tiny_clip import tiny_config, torch_clip, write_checkpoint
from torch import nn
from transformers import CLIPTextModel, SiglipConfig, SiglipModel

from utils.check import check_models
from utils.clip import CLIP, fingerprint, save_open_clip, tokenize, vocabulary
from utils.clip.foreign_names import transformers_names
from utils.clip.open_clip_config import config_of_shapes
from utils.course import CourseError
from utils.course.ledger import _mark_of_checkpoint
from utils.course.run import plan_course, results_folder
from utils.course.sweep.runs import _copy_untrained
from utils.files import find_checkpoint

open_clip = pytest.importorskip("open_clip")
pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")

TEXTS = ["an airport", "Planes are parked & waiting.", "don't", "naïve  café 42"]
PIXELS = torch.tensor(np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32))
SIZES = {"input_resolution": 32, "context_length": 24, "vocab_size": 49408}  # which OpenAI keeps with the weights
ROOT = Path(__file__).resolve().parents[1]


def open_clip_model(quick_gelu: bool = True, vision: dict | None = None, text: dict | None = None) -> nn.Module:
    """open_clip's own model with random weights, none of which is zero or one, and CLIP's vocabulary."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    vision = {"layers": 2, "width": 128, "patch_size": 8, "image_size": 32} | (vision or {})
    text = {"context_length": 24, "width": 64, "heads": 1, "layers": 3} | (text or {})
    torch.manual_seed(0)
    model = open_clip.CLIP(48, CLIPVisionCfg(**vision), CLIPTextCfg(**text), quick_gelu=quick_gelu).eval()
    return shaken(model)


def shaken(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    return open_clip_model()


def assert_same_features(ours: CLIP, theirs: nn.Module) -> None:
    """Embeddings of images and texts are open_clip's, to 1e-5, and so is the logit scale."""
    with torch.no_grad():
        images = theirs.encode_image(PIXELS, normalize=True).numpy()
        texts = theirs.encode_text(open_clip.tokenize(TEXTS, context_length=24), normalize=True).numpy()
    np.testing.assert_allclose(ours.encode_images(PIXELS.permute(0, 2, 3, 1).numpy()), images, atol=1e-5)
    np.testing.assert_allclose(ours.encode_texts(tokenize(ours.tokenizer, TEXTS)), texts, atol=1e-5)
    assert float(ours.logit_scale[...]) == pytest.approx(theirs.logit_scale.item())


def sentence(place: str | Path, kind: type[Exception] = ValueError, **options: str) -> str:
    """What is said of a checkpoint that does not load; it is one sentence."""
    with pytest.raises(kind) as caught:
        CLIP.from_pretrained(place, **options)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and ". " not in message.replace(str(place), "FILE"), message
    assert len(message.replace(str(Path(place).parent), "")) < 600
    return message


# --- transformers ------------------------------------------------------------------------------------------------


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


def assert_features_of_transformers(ours: CLIP, reference: nn.Module, atol: float = 1e-5) -> None:
    tokens = tokenize(ours.tokenizer, ["airport", "a port", "air"])
    with torch.no_grad():
        images = reference.get_image_features(PIXELS)
        texts = reference.get_text_features(torch.tensor(tokens).long())
    images, texts = (getattr(features, "pooler_output", features).numpy() for features in (images, texts))
    pixels = PIXELS.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours.encode_images(pixels, normalize=False), images, atol=atol)
    np.testing.assert_allclose(ours.encode_texts(tokens, normalize=False), texts, atol=atol)


# --- open_clip and OpenAI ----------------------------------------------------------------------------------------


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


def of_openai(model: nn.Module) -> nn.Module:
    """The model with what OpenAI's own has beside its weights, which are of half precision."""
    model = copy.deepcopy(model).half()
    for name, value in SIZES.items():
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    return model


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
    "heads that do not divide": ({"text_cfg": {"heads": 5}}, "is not a multiple of the number of attention heads (5)"),
    "heads of no width": ({"vision_cfg": {"head_width": 0}}, "is not a configuration of open_clip"),
    "no towers": ({"vision_cfg": None}, "holds no settings under 'vision_cfg' and 'text_cfg'"),
}


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_a_configuration_that_is_not_computed_or_not_of_these_weights_is_refused(case, theirs, tmp_path):
    changes, words = WRONG_SETTINGS[case]
    settings = settings_of(theirs)
    for name, change in changes.items():
        old = settings["model_cfg"].get(name)
        settings["model_cfg"][name] = old | change if isinstance(old, dict) and isinstance(change, dict) else change
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
    config = config_of_shapes(shapes, stored, "gelu", Path(name), "")
    assert (config.vision_config.hidden_size, config.text_config.hidden_size) == (vision["width"], text["width"])
    assert config.vision_config.image_size == vision["image_size"] // vision["patch_size"] * vision["patch_size"]
    assert config.vision_config.num_attention_heads == vision["width"] // vision.get("head_width", 64)
    assert config.text_config.num_attention_heads == text["heads"]
    assert config.text_config.max_position_embeddings == text.get("context_length", 77)
    assert config.projection_dim == settings["embed_dim"]
    assert (config.vision_config.num_hidden_layers, config.text_config.num_hidden_layers) == (
        vision["layers"],
        text["layers"],
    )


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


def hub(published: Path, cache: Path):
    """`huggingface_hub.snapshot_download` of one repository, a folder here."""
    from fnmatch import fnmatch

    def snapshot(name: str, allow_patterns: list[str], revision: str | None) -> str:
        assert name == "a/b" and revision in (None, "main")
        for file in published.rglob("*"):
            inner = file.relative_to(published).as_posix()
            if file.is_file() and any(fnmatch(inner, pattern) for pattern in allow_patterns):
                (cache / inner).parent.mkdir(exist_ok=True)
                shutil.copy(file, cache / inner)
        return str(cache)

    return snapshot


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


# --- what a file does not say ------------------------------------------------------------------------------------


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


# --- Flax --------------------------------------------------------------------------------------------------------


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


# --- adapters ----------------------------------------------------------------------------------------------------

QUERY = "vision_model.encoder.layers.1.self_attn.q_proj"


def write_adapter(folder: Path, base: str, weights: dict[str, torch.Tensor], **settings) -> Path:
    """An adapter in the layout of peft's ``save_pretrained``."""
    folder.mkdir(exist_ok=True)
    plain = {"peft_type": "LORA", "base_model_name_or_path": base, "r": 4, "lora_alpha": 6, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(plain | settings))
    named = {f"base_model.model.{name}": weight for name, weight in weights.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture
def base(tmp_path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    write_checkpoint(folder, tiny_config())
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


# --- other models ------------------------------------------------------------------------------------------------


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


# --- MODEL= ------------------------------------------------------------------------------------------------------


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


def test_a_run_knows_an_adapter_by_its_base_too(base, tmp_path):
    folder = write_adapter(tmp_path / "adapter", str(base), {"a": torch.zeros(1)})
    before = _mark_of_checkpoint(str(folder))
    (base / "config.json").write_text((base / "config.json").read_text() + "\n")
    assert _mark_of_checkpoint(str(folder)) != before


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
