"""Models of other libraries with random weights, in the forms that those write, and what is compared with them."""

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils.clip import CLIP, tokenize

open_clip = pytest.importorskip("open_clip")

TEXTS = ["an airport", "Planes are parked & waiting.", "don't", "naïve  café 42"]
PIXELS = torch.tensor(np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32))
SIZES = {"input_resolution": 32, "context_length": 24, "vocab_size": 49408}  # which OpenAI keeps with the weights


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


def assert_features_of_transformers(ours: CLIP, reference: nn.Module, atol: float = 1e-5) -> None:
    tokens = tokenize(ours.tokenizer, ["airport", "a port", "air"])
    with torch.no_grad():
        images = reference.get_image_features(PIXELS)
        texts = reference.get_text_features(torch.tensor(tokens).long())
    images, texts = (getattr(features, "pooler_output", features).numpy() for features in (images, texts))
    pixels = PIXELS.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours.encode_images(pixels, normalize=False), images, atol=atol)
    np.testing.assert_allclose(ours.encode_texts(tokens, normalize=False), texts, atol=atol)


def of_openai(model: nn.Module) -> nn.Module:
    """The model with what OpenAI's own has beside its weights, which are of half precision."""
    model = copy.deepcopy(model).half()
    for name, value in SIZES.items():
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(value))
    return model


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
