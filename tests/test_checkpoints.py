"""Checkpoint folders: what transformers wrote is read, what is written it reads, and errors."""

import hashlib
import json
import re
import shutil
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from flax import nnx
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_clip import tiny_config, torch_clip, write_checkpoint
from transformers import CLIPModel, CLIPProcessor

from utils.clip import CLIP, fingerprint, save_open_clip, tokenize
from utils.clip.embedding import weights_digest
from utils.clip.image_processor import processor_settings, read_preprocessing
from utils.datasets import ImagePreprocessing, eval_transform

pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A checkpoint that transformers wrote."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_checkpoint(folder, tiny_config())
    return folder


def assert_same_weights(model: CLIP, expected: dict[str, torch.Tensor]) -> None:
    ours = model.transformers_weights()
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert ours[name].dtype == np.float32
        np.testing.assert_array_equal(ours[name], tensor.float().numpy(), err_msg=name)


def test_round_trip_is_exact(folder, tmp_path):
    model = CLIP.from_pretrained(folder)
    assert_same_weights(model, load_file(folder / "model.safetensors"))
    saved = model.save_pretrained(tmp_path / "deep" / "saved")
    before, after = load_file(folder / "model.safetensors"), load_file(saved / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = CLIP.from_pretrained(saved)
    assert again.preprocessing == model.preprocessing
    assert again.config.to_dict() == model.config.to_dict() | {"_name_or_path": again.config._name_or_path}


def test_a_second_load_and_a_copy_share_no_parameter_that_is_changed(folder):
    model = CLIP.from_pretrained(folder)
    before = model.transformers_weights()
    again, copy = CLIP.from_pretrained(folder), model.copy()
    for changed, others in ((again, (model, copy)), (copy, (model,))):
        changed.load_transformers_weights({name: 0 * array for name, array in before.items()})
        for other in others:
            for name, array in other.transformers_weights().items():
                np.testing.assert_array_equal(array, before[name])


def test_saved_folder_loads_in_transformers(folder, tmp_path):
    saved = CLIP.from_pretrained(folder).save_pretrained(tmp_path / "saved")
    twin, report = CLIPModel.from_pretrained(saved, output_loading_info=True)
    assert not any(report.values()), report
    expected = CLIPModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in twin.state_dict().items())


def test_the_model_card_snippet_runs_on_a_saved_folder(tmp_path):
    write_checkpoint(tmp_path, tiny_config(text={"max_position_embeddings": 40}))
    ours = CLIP.from_pretrained(tmp_path)
    saved = ours.save_pretrained(tmp_path / "saved")
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (50, 70, 3), np.uint8))

    model = CLIPModel.from_pretrained(saved)
    processor = CLIPProcessor.from_pretrained(saved)
    labels = ["residential area", "playground", "stadium", "forest", "airport"]
    texts = [f"a photo of a {label}" for label in labels]
    inputs = processor(text=texts, images=image, return_tensors="pt", padding=True)
    with torch.no_grad():
        probabilities = model(**inputs).logits_per_image.softmax(dim=1)[0].numpy()

    assert inputs["pixel_values"].shape == (1, 3, 32, 32)
    pixels = inputs["pixel_values"].permute(0, 2, 3, 1).numpy()
    logits = np.asarray(ours.logits(pixels, tokenize(ours.tokenizer, texts)))[0]
    expected = np.exp(logits - logits.max())
    np.testing.assert_allclose(probabilities, expected / expected.sum(), rtol=1e-4)
    # Our own transform does what the processor does, up to the rounding of its resampling.
    assert np.abs(eval_transform(image, ours.preprocessing) - pixels[0]).max() < 0.05


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_become_float32(dtype, folder):
    tensors = {n: t.to(getattr(torch, dtype)) for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert_same_weights(CLIP.from_pretrained(folder), tensors)


def test_weights_of_eight_bits_are_refused_by_their_type(folder):
    tensors = {n: t.to(torch.float8_e4m3fn) for n, t in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors")
    assert_one_sentence(folder, ValueError, "as F8_E4M3, a type that cannot be read here")


def test_float16_can_be_written(folder, tmp_path):
    saved = CLIP.from_pretrained(folder).save_pretrained(tmp_path / "saved", weights_dtype=np.float16)
    stored = load_file(saved / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    assert CLIPModel.from_pretrained(saved).dtype == torch.float16
    assert_same_weights(CLIP.from_pretrained(saved), stored)


def test_pickled_and_sharded_weights_are_read(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    # As checkpoints before transformers 4.31 have them: with the numbers of the positions among the weights.
    buffers = {"text_model.embeddings.position_ids": torch.arange(16)[None]}
    torch.save(tensors | buffers, folder / "pytorch_model.bin")
    assert_same_weights(CLIP.from_pretrained(folder), tensors)

    (folder / "pytorch_model.bin").unlink()
    twin = torch_clip(tiny_config())
    twin.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert_same_weights(CLIP.from_pretrained(folder), tensors)
    next(folder.glob("model-*.safetensors")).unlink()
    assert_one_sentence(folder, FileNotFoundError, "which is not a file beside it")
    (folder / "model.safetensors.index.json").write_text("{}")
    assert_one_sentence(folder, ValueError, "index.json names no files")


def assert_one_sentence(name: str | Path, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        CLIP.from_pretrained(name)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 450


def test_a_pickle_that_runs_code_is_refused(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "was here",)

    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Evil()}, folder / "pytorch_model.bin")
    assert_one_sentence(folder, ValueError, "cannot be read as torch weights")
    assert not (tmp_path / "was here").exists()


def change_weights(folder: Path, change) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


def test_weights_that_do_not_fit_are_named(folder):
    change_weights(folder, lambda weights: weights.pop("text_model.encoder.layers.1.mlp.fc1.bias"))
    assert_one_sentence(folder, ValueError, "lacks weights (text_model.encoder.layers.1.mlp.fc1.bias)")
    bias, more = {"text_model.encoder.layers.1.mlp.fc1.bias": torch.zeros(48)}, {"extra": torch.zeros(1)}
    change_weights(folder, lambda weights: weights.update(bias | more))
    assert_one_sentence(folder, ValueError, "has unknown weights (extra)")
    change_weights(folder, lambda weights: weights.pop("extra"))
    change_weights(folder, lambda weights: weights.update({"logit_scale": torch.zeros(2)}))
    assert_one_sentence(folder, ValueError, "logit_scale (2,) instead of ()")


def test_layers_too_few_or_too_many_are_told_in_one_sentence(folder):
    settings = json.loads((folder / "config.json").read_text())
    for layers, words in ((1, "has unknown weights"), (4, "lacks weights")):
        settings["vision_config"]["num_hidden_layers"] = layers
        (folder / "config.json").write_text(json.dumps(settings))
        assert_one_sentence(folder, ValueError, words)


def test_folders_that_are_no_checkpoints_are_told_apart(folder, tmp_path):
    assert_one_sentence(tmp_path, FileNotFoundError, "its folder 'checkpoint' may: give that")
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert_one_sentence(folder, ValueError, "cannot be read as safetensors")
    weights.unlink()
    assert_one_sentence(folder, FileNotFoundError, "holds no weights")
    (folder / "config.json").write_text('{"model_type": "siglip"}')
    assert_one_sentence(folder, ValueError, "type 'siglip'")
    (folder / "config.json").write_text("[]")
    assert_one_sentence(folder, ValueError, "config.json is not a JSON object")
    (folder / "config.json").write_text("{")
    assert_one_sentence(folder, ValueError, "is not valid JSON")


def test_a_hub_name_is_fetched_without_what_is_not_needed(folder, tmp_path, monkeypatch):
    expected = load_file(folder / "model.safetensors")
    torch.save(expected, folder / "pytorch_model.bin")
    published = [path.name for path in folder.iterdir()]
    cache = tmp_path / "cache"
    cache.mkdir()

    def snapshot(name: str, allow_patterns: list[str], revision: None) -> str:
        assert (name, revision) == ("someone/clip", None)
        for file in published:
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                shutil.copy(folder / file, cache)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    model = CLIP.from_pretrained("someone/clip")
    assert_same_weights(model, expected)
    assert tokenize(model.tokenizer, ["airport"]).shape == (1, 16)
    assert not (cache / "pytorch_model.bin").exists()  # 600 MB saved
    (cache / "model.safetensors").unlink()
    published.remove("model.safetensors")
    assert_same_weights(CLIP.from_pretrained("someone/clip"), expected)


def test_a_name_that_cannot_be_fetched_says_what_to_do(monkeypatch):
    def snapshot(name: str, allow_patterns: list[str], revision: None) -> str:
        raise ConnectionError("a long\nstory")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert_one_sentence("someone/clip", FileNotFoundError, "'someone/clip' is no folder and could not be")
    monkeypatch.undo()
    assert_one_sentence("no/such/folder", FileNotFoundError, "'no/such/folder' is no folder")


def test_a_file_in_place_of_a_folder_is_told(folder):
    assert_one_sentence(folder / "config.json", FileNotFoundError, "is no checkpoint but a file")


def test_a_revision_behind_the_name_is_asked_for(folder, monkeypatch):
    def snapshot(name: str, allow_patterns: list[str], revision: str) -> str:
        assert (name, revision) == ("someone/clip", "v2")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    CLIP.from_pretrained("someone/clip@v2")
    named = folder.rename(folder.with_name("clip@v3"))  # a folder is one, whatever it is called
    assert CLIP.from_pretrained(named).tokenizer


ANSWERS = {
    "gated": (403, {"X-Error-Code": "GatedRepo"}, "accept its terms on https://huggingface.co/someone/clip"),
    "not found": (401, {"X-Error-Code": "RepoNotFound"}, "no such model, or it is private"),
    "not signed in": (401, {}, "no such model, or it is private"),
    "no such revision": (404, {"X-Error-Code": "RevisionNotFound"}, "it has no revision 'v2'"),
    "busy": (503, {"Content-Type": "text/html"}, "it is busy (status 503)"),
    "too many requests": (429, {}, "it is busy (status 429)"),
    "a login page": (200, {"Content-Type": "text/html"}, "a web page came in place of its answer"),
    "a blocking page": (403, {"Content-Type": "text/html"}, "a web page came in place of its answer"),
    "too slow": (None, {}, "it is busy (no answer in time)"),
    "no network": (None, {}, "while there is a network"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_each_answer_of_the_hub_is_a_sentence_with_its_own_way_out(case, tmp_path, monkeypatch):
    status, headers, words = ANSWERS[case]

    def answer(request: httpx.Request) -> httpx.Response:
        if status is None:
            raise (httpx.ReadTimeout if case == "too slow" else httpx.ConnectError)("nothing came")
        return httpx.Response(status, headers=headers, text="<html>", request=request)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._http._GLOBAL_CLIENT", client)
    assert_one_sentence("someone/clip@v2", FileNotFoundError, words)


PROCESSORS = {
    "old sizes": ({"size": 36, "crop_size": 36, "do_center_crop": True, "resample": 3}, 36),
    "new sizes": ({"size": {"shortest_edge": 36}, "crop_size": {"height": 36, "width": 36}}, 36),
    "size alone, of transformers' default": ({"size": 224}, 224),
    "no sizes": ({}, 32),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_the_image_processor_is_read_in_all_its_forms(case, tmp_path):
    settings, size = PROCESSORS[case]
    settings = settings | {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]}
    expected = ImagePreprocessing(size, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    assert read_preprocessing(tmp_path, size) == expected
    (tmp_path / "processor_config.json").unlink()
    assert read_preprocessing(tmp_path, 32) == ImagePreprocessing(32)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert read_preprocessing(tmp_path, size) == expected


def test_two_image_processors_that_are_not_alike_are_refused(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 32, "crop_size": 32}))
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert read_preprocessing(tmp_path, 32) == ImagePreprocessing(32)
    same = processor_settings(ImagePreprocessing(32))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": same}))
    assert read_preprocessing(tmp_path, 32) == ImagePreprocessing(32)
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": same | {"image_mean": 0.5}}))
    with pytest.raises(ValueError, match=r"and processor_config\.json beside it ask for different pixels"):
        read_preprocessing(tmp_path, 32)


def test_an_image_processor_for_oblong_images_is_refused(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"crop_size": {"height": 32, "width": 64}}))
    with pytest.raises(ValueError, match="only square images"):
        read_preprocessing(tmp_path, 32)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": {"shortest_edge": 40}, "crop_size": 36}, "size 40 and crop_size 36"),
        ({"size": 40, "crop_size": 40, "resample": 2}, "resample 2"),
        ({"resample": 1}, "resample 1"),
        ({"resample": "bicubic"}, "resample 'bicubic'"),
        ({"do_resize": False}, "do_resize False"),
        ({"do_pad": True}, "do_pad True"),
        ({"crop_size": 36}, "size 224 and crop_size 36"),
        ({"size": 36}, "size 36 and crop_size 224"),
        ({"size": 36, "crop_size": 36, "use_square_size": True}, "size 224 and crop_size 36"),
        ({"size": 36, "do_center_crop": False}, "size 36 without a crop"),
        ({"size": {"height": 36, "width": 40}}, "size .* only square images"),
        ({"size": {"shortest_edge": 36, "longest_edge": 80}}, "size .* only square images"),
        ({"size": [36]}, r"size \[36\]; only square images .* a number of pixels"),
        ({"size": "36"}, "size '36'; only square images .* a number of pixels"),
        ({"size": {"shortest_edge": -36}}, "size .* only square images .* a number of pixels"),
        ({"rescale_factor": 0}, "rescale_factor 0; it must be a positive number"),
        ({"do_rescale": "no"}, "do_rescale 'no'; it must be true or false"),
        ({"image_mean": [0.5]}, r"image_mean \[0.5\]; it must be a number, or three"),
        ({"image_mean": [0.5, None, 0.5]}, "image_mean .* it must be a number, or three"),
        ({"image_std": 0}, "image_std 0, by which nothing can be divided"),
    ],
)
def test_an_image_processor_that_would_show_the_model_other_pixels_is_refused(settings, words, tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=f"{path} asks for {words}"):
        read_preprocessing(tmp_path, 32)


def test_an_image_processor_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": "ViTImageProcessor", "size": 32}))
    with pytest.raises(ValueError, match=f"{path} is of a 'ViTImageProcessor'"):
        read_preprocessing(tmp_path, 32)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": 32, "crop_size": 32},
        {"size": {"height": 32, "width": 32}},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False},
        {"size": [32, 32], "crop_size": [32, 32]},
        {"size": 32, "default_to_square": True},
        {"use_square_size": True, "crop_size": 224},
        {"image_mean": 0.5, "image_std": 0.25},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"do_normalize": False},
        {"do_normalize": False, "do_rescale": False},
        {"do_rescale": False, "image_mean": [120, 110, 100], "image_std": [60, 61, 62]},
    ],
    ids=str,
)
@pytest.mark.parametrize(("backend", "levels"), [("CLIPImageProcessorPil", 0), ("CLIPImageProcessor", 2)])
def test_what_is_accepted_of_an_image_processor_gives_transformers_pixels(change, backend, levels, tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((320, 120), Image.Resampling.BICUBIC)
    settings = processor_settings(ImagePreprocessing(32)) | change
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    theirs = getattr(transformers, backend).from_pretrained(tmp_path)(picture, return_tensors="np")
    size = 224 if "use_square_size" in change else 32
    preprocessing = read_preprocessing(tmp_path, size)
    ours = eval_transform(picture, preprocessing)
    # Pillow and torchvision round apart by up to two levels of 255, of which one is so much here.
    level = 1.1 / 255 / min(preprocessing.std)
    theirs = np.asarray(theirs["pixel_values"])[0].transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=levels * level + 1e-5)

    # What is written of it shows transformers the same pixels again.
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor_settings(preprocessing)))
    again = getattr(transformers, backend).from_pretrained(tmp_path)(picture, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(ours, np.asarray(again)[0].transpose(1, 2, 0), rtol=1e-5, atol=levels * level + 1e-5)
    assert read_preprocessing(tmp_path, size) == preprocessing


def test_squashing_changes_the_fingerprint_and_without_it_the_field_does_not_count():
    models = [
        CLIP(tiny_config(), rngs=nnx.Rngs(0), preprocessing=ImagePreprocessing(32, squash=squash))
        for squash in (False, True)
    ]
    settings = {name: value for name, value in asdict(ImagePreprocessing(32)).items() if name != "squash"}
    tower = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    towers = [tower | {"num_attention_heads": heads} for heads in (3, 2)]
    note = {"weights": weights_digest(models[0]), "preprocessing": settings, "towers": towers}
    before_squashing = hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()[:16]
    assert fingerprint(models[0]) == before_squashing != fingerprint(models[1])


def test_a_folder_of_transformers_5_keeps_its_preprocessing(folder, tmp_path):
    preprocessing = ImagePreprocessing(32, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor_settings(preprocessing)))
    CLIPProcessor.from_pretrained(folder).save_pretrained(tmp_path / "processor")
    assert read_preprocessing(tmp_path / "processor", 32) == preprocessing


def test_saving_replaces_a_checkpoint_and_leaves_other_files(folder):
    (folder / "notes.txt").write_text("mine")
    CLIP(tiny_config(), rngs=nnx.Rngs(3)).save_pretrained(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert CLIP.from_pretrained(folder).logit_scale[...] == pytest.approx(2.6592)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_crash_leaves_no_half_of_a_checkpoint(folder, tmp_path, monkeypatch):
    model = CLIP.from_pretrained(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_args, **_settings):
        raise OSError("the disk is full")

    monkeypatch.setattr(type(model.tokenizer), "save_pretrained", fail)
    model.logit_scale[...] = 1.0
    for target in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="the disk is full"):
            model.save_pretrained(target)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": {"eos_token_id": 2}},
        {"text": {"hidden_act": "gelu"}, "vision": {"hidden_act": "gelu", "layer_norm_eps": 0.03}},
    ],
)
def test_open_clip_computes_the_same_from_an_export(changes, tmp_path):
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "checkpoint").mkdir()
    write_checkpoint(tmp_path / "checkpoint", tiny_config(**changes))
    ours = CLIP.from_pretrained(tmp_path / "checkpoint")
    ours.save_pretrained(tmp_path / "checkpoint")
    tokenizer = (tmp_path / "checkpoint" / "tokenizer.json").read_text()
    tokenize(ours.tokenizer, ["a port"])
    save_open_clip(ours, tmp_path / "checkpoint")  # beside transformers' files
    # Clean of the call before, which has set a truncation.
    assert (tmp_path / "checkpoint" / "tokenizer.json").read_text() == tokenizer
    name = f"local-dir:{tmp_path / 'checkpoint'}"
    theirs, _, transform = open_clip.create_model_and_transforms(name)
    theirs.eval()

    texts = ["airport", "a port", "b c d e f g h i j k l m n o p q r s"]
    tokens = open_clip.get_tokenizer(name)(texts)
    np.testing.assert_array_equal(tokens.numpy(), tokenize(ours.tokenizer, texts, length=16))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    pixels = transform(image)[None]
    with torch.no_grad():
        images, encoded, scale = theirs(pixels, tokens)
    np.testing.assert_allclose(scale, np.exp(ours.logit_scale[...]), rtol=1e-6)
    np.testing.assert_allclose(ours.encode_texts(tokens.numpy()), encoded, atol=1e-5)
    ours_images = ours.encode_images(pixels.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(ours_images, images, atol=1e-5)
    CLIPModel.from_pretrained(tmp_path / "checkpoint")


def test_an_export_that_is_killed_half_way_is_not_taken_for_a_model(tmp_path, monkeypatch):
    one, other = (CLIP(tiny_config(), rngs=nnx.Rngs(seed)) for seed in (0, 1))
    save_open_clip(one, tmp_path / "export")
    changed = CLIP(tiny_config(vision={"layer_norm_eps": 0.03}), rngs=nnx.Rngs(1))
    replace_file = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target.parent == tmp_path / "export":
            raise KeyboardInterrupt
        return replace_file(path, target)

    for model in (other, changed):
        with monkeypatch.context() as death, pytest.raises(KeyboardInterrupt):
            death.setattr(Path, "replace", killed)
            save_open_clip(model, tmp_path / "export")
        assert not (tmp_path / "export" / "open_clip_config.json").exists()
    save_open_clip(changed, tmp_path / "export")
    assert (tmp_path / "export" / "open_clip_config.json").is_file()


def test_towers_that_open_clip_cannot_hold_are_refused(tmp_path):
    model = CLIP(tiny_config(text={"hidden_act": "gelu"}), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="one activation for both towers"):
        save_open_clip(model, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_the_lines_of_the_page_give_what_open_clip_reads(root, tmp_path, monkeypatch):
    open_clip = pytest.importorskip("open_clip")
    page = (root / "docs" / "checkpoints.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(from utils\.clip import CLIP, save_open_clip\n.*?)```", page, re.DOTALL)
    (tmp_path / "runs" / "miniature" / "finetuned").mkdir(parents=True)
    model = root / "data" / "checkpoints" / "clip-miniature"
    (tmp_path / "runs" / "miniature" / "finetuned" / "model").symlink_to(model, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    assert open_clip.create_model("local-dir:runs/for-open-clip").visual.image_size == (64, 64)
