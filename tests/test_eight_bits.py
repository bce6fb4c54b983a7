"""Images embedded in eight bits by OpenVINO, where that is installed."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from tiny_clip import tiny_config, write_checkpoint

from utils.clip import CLIP, embed_images, embed_texts, fingerprint, in_eight_bits
from utils.datasets import eval_batches, load_dataset
from utils.importing import hidden
from utils.search import ImageIndex

STARTER = "data/checkpoints/clip-miniature"

# Found and not imported, for the module under test hides a part of them.
with_openvino = pytest.mark.skipif(
    not (find_spec("openvino") and find_spec("nncf")), reason="OpenVINO and NNCF are not installed"
)


@pytest.fixture(scope="module")
def images(root):
    return load_dataset("miniature", split="val").subset(120)


@pytest.fixture(scope="module")
def exact(root):
    return CLIP.from_pretrained(root / STARTER)


@pytest.fixture(scope="module")
def fast(exact, images):
    return in_eight_bits(exact, images)


@with_openvino
def test_vectors_are_near_the_exact_ones_and_not_the_same(exact, fast, images):
    batches = list(eval_batches(images, exact.preprocessing, batch_size=32))
    ours, theirs = embed_images(exact, batches), embed_images(fast, batches)
    assert theirs.shape == ours.shape and theirs.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=1), 1, atol=1e-5)
    cosines = np.sum(ours * theirs, axis=1)
    assert cosines.min() > 0.98 and cosines.max() < 1 - 1e-6


@with_openvino
def test_an_index_is_the_models_and_finds_what_it_finds(exact, fast, images, tmp_path):
    ImageIndex.build(fast, images, tmp_path / "fast", progress=False)
    index = ImageIndex.load(tmp_path / "fast", exact)  # the fingerprint is the model's
    whole = ImageIndex.build(exact, images, progress=False)
    assert fingerprint(fast) == fingerprint(exact)
    np.testing.assert_array_equal(embed_texts(fast, ["a forest"]), embed_texts(exact, ["a forest"]))
    shared = [
        len({hit.path for hit in index.query_text(text)} & {hit.path for hit in whole.query_text(text)})
        for text in (item.captions[0] for item in images.subset(20))
    ]
    assert np.mean(shared) >= 9.5


@with_openvino
def test_what_eight_bits_lose_is_refused(exact, images, monkeypatch):
    monkeypatch.setattr("utils.clip.eight_bits.RECALL_WANTED", 1.01)
    with pytest.raises(ValueError, match=r"of the 10 closest of 40 images are found, and 101% are wanted; take"):
        in_eight_bits(exact, images.subset(40))


@with_openvino
def test_too_few_images_are_refused(exact, images):
    with pytest.raises(ValueError, match="cannot be measured on 19 readable images; give 20 or more"):
        in_eight_bits(exact, images.subset(19))


@with_openvino
def test_nobody_is_told(exact, images, tmp_path):
    """OpenVINO counts who converts a model, unasked, and keeps a number for each in the home folder."""
    code = f"""if True:
        from utils.clip import CLIP, in_eight_bits
        from utils.datasets import load_dataset
        in_eight_bits(CLIP.from_pretrained({STARTER!r}), load_dataset("miniature", split="val").subset(40))
    """
    surroundings = {name: value for name, value in os.environ.items() if name not in ("CI", "NNCF_CI")}
    subprocess.run([sys.executable, "-c", code], check=True, env=surroundings | {"HOME": str(tmp_path)})
    assert not (tmp_path / "intel").exists()


def test_without_the_packages_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, tiny_config())
    monkeypatch.setattr("utils.clip.eight_bits.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Eight bits take openvino and nncf, .*: pip install openvino nncf"):
        in_eight_bits(CLIP.from_pretrained(tmp_path), [])


def test_a_hidden_package_cannot_be_imported_and_then_can():
    name = "this"  # a module of Python that nothing imports
    sys.modules.pop(name, None)
    with hidden(name), pytest.raises(ImportError):
        import this  # noqa: F401
    assert name not in sys.modules
    sys.modules[name] = sys
    try:
        with hidden(name):
            assert sys.modules[name] is sys
    finally:
        del sys.modules[name]
