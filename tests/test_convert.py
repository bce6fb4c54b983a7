"""A model leaves in forms that others open: in a process without this package, the vectors are the same."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from permissions import assert_as_new, umask
from PIL import Image
from tiny_clip import tiny_config, write_checkpoint
from transformers import CLIPTokenizer

from utils.clip import CLIP, convert, normalize, onnx_export, save_onnx, save_open_clip, tokenize
from utils.files import publish, workshop

pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")

TEXTS = ["airport", "a port", "b c d e f g h i j k l m n o p q r s"]
VARIANTS = {  # both activations, and both ways to find the end of a text
    "quick": {},
    "gelu": {
        "text": {"hidden_act": "gelu", "eos_token_id": 2},
        "vision": {"hidden_act": "gelu", "layer_norm_eps": 0.03},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Checkpoints that transformers wrote, a folder each, and an image."""
    folder = tmp_path_factory.mktemp("convert")
    for name, changes in VARIANTS.items():
        (folder / name).mkdir()
        write_checkpoint(folder / name, tiny_config(**changes))
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "image.png")
    return folder


def outside(code: str, place: Path, **environment: str) -> None:
    """Runs lines in a process that has neither this package nor a network, in a folder of their own."""
    # The package is known to the environment itself, so it takes more than another path to be rid of it.
    lines = f"import sys\nsys.modules.update(utils=None, standins=None)\n{dedent(code)}"
    paths = [path for path in sys.path if path and not Path(path, "utils", "clip").is_dir() and Path(path).is_dir()]
    settings = {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"} | environment
    done = subprocess.run(
        [sys.executable, "-c", lines], cwd=place, env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def encoded(model: CLIP, pixels: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Our vectors of pixels (images, 3, size, size) and tokens that end in padding, not of unit length.

    Always of one shape, so that little is compiled.
    """
    batch = np.resize(pixels.transpose(0, 2, 3, 1), (5, *pixels.shape[2:], 3))
    ids = np.pad(tokens.astype(np.int32), ((0, 5 - len(tokens)), (0, 16 - tokens.shape[1])), "edge")
    images, texts = model.encode_images(batch, normalize=False), model.encode_texts(ids, normalize=False)
    return np.asarray(images)[: len(pixels)], np.asarray(texts)[: len(tokens)]


def assert_same(theirs: np.ndarray, ours: np.ndarray) -> None:
    assert np.abs(theirs - ours).max() <= 1e-5 * np.abs(ours).max()


OTHERS = {
    "transformers": """
        from transformers import CLIPModel, CLIPProcessor
        for name in NAMES:
            model, processor = CLIPModel.from_pretrained(name), CLIPProcessor.from_pretrained(name)
            inputs = processor(text=TEXTS, images=image, return_tensors="pt", padding=True, truncation=True)
            pixels, tokens = inputs["pixel_values"], inputs["input_ids"]
            with torch.no_grad():
                images = model.visual_projection(model.vision_model(pixels).pooler_output)
                texts = model.text_projection(model.text_model(tokens).pooler_output)
            numpy.savez(f"{name}.npz", pixels=pixels, tokens=tokens, images=images, texts=texts)
    """,
    "open_clip": """
        import json, pathlib
        import open_clip
        for name in NAMES:
            where = f"local-dir:{name}"
            model, _, transform = open_clip.create_model_and_transforms(where)
            pixels, tokens = transform(image)[None], open_clip.get_tokenizer(where)(TEXTS)
            with torch.no_grad():
                images, texts = model.eval().encode_image(pixels), model.encode_text(tokens)
            numpy.savez(f"{name}.npz", pixels=pixels, tokens=tokens, images=images, texts=texts)
            # By the name of an architecture and the file of weights, as open_clip's training takes them.
            settings = json.loads(pathlib.Path(name, "open_clip_config.json").read_text())["model_cfg"]
            pathlib.Path(f"named-{name}.json").write_text(json.dumps(settings))
            open_clip.add_model_config(f"named-{name}.json")
            same = open_clip.create_model(f"named-{name}", pretrained=f"{name}/open_clip_model.safetensors")
            with torch.no_grad():
                assert torch.equal(same.eval().encode_image(pixels), images)
    """,
}


@pytest.mark.parametrize("form", OTHERS)
def test_others_compute_the_same_vectors(form, folder, tmp_path):
    pytest.importorskip(form)
    models = {name: convert.convert(folder / name, tmp_path / name, form) for name in VARIANTS}
    head = f"""
        import numpy, torch
        from PIL import Image
        NAMES, TEXTS = {list(VARIANTS)}, {TEXTS}
        image = Image.open({str(folder / "image.png")!r})
    """
    outside(dedent(head) + dedent(OTHERS[form]), tmp_path)
    for name, model in models.items():
        theirs = np.load(tmp_path / f"{name}.npz")
        images, texts = encoded(model, theirs["pixels"], theirs["tokens"])
        assert_same(theirs["images"], images)
        assert_same(theirs["texts"], texts)


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's own tokenizer, of the vocabulary that open_clip brings along."""
    theirs = pytest.importorskip("open_clip").tokenizer.SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {renamed.get(token, token): number for token, number in theirs.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(theirs.bpe_ranks), model_max_length=77)


def test_with_clips_own_vocabulary_a_folder_on_the_hub_needs_no_tokenizer(tmp_path):
    """Elsewhere than in a local-dir, open_clip would look for a named one in whatever folder it is started in."""
    tokenizer = clip_tokenizer()
    text = {"vocab_size": 49408, "eos_token_id": 49407, "bos_token_id": 49406, "max_position_embeddings": 77}
    (tmp_path / "checkpoint").mkdir()
    write_checkpoint(tmp_path / "checkpoint", tiny_config(text=text))
    tokenizer.save_pretrained(tmp_path / "checkpoint")
    model = CLIP.from_pretrained(tmp_path / "checkpoint")
    repository = tmp_path / "hub" / "models--me--mine"  # as the Hub's client keeps what it has fetched
    save_open_clip(model, repository / "snapshots" / "1")
    settings = json.loads((repository / "snapshots" / "1" / "open_clip_config.json").read_text())["model_cfg"]
    assert not {"hf_tokenizer_name", "eos_id", "pool_type"} & settings["text_cfg"].keys()  # open_clip 2 knows no eos_id
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1")
    texts = ["An airport & “two” ports", "it's a forest, 12 of 100"]
    code = f"""
        import numpy, torch, open_clip
        model, tokens = open_clip.create_model("hf-hub:me/mine"), open_clip.get_tokenizer("hf-hub:me/mine")({texts})
        with torch.no_grad():
            numpy.save("texts.npy", model.eval().encode_text(tokens))
    """
    outside(code, tmp_path, HF_HUB_CACHE=str(tmp_path / "hub"))
    ours = model.encode_texts(tokenize(model.tokenizer, texts), normalize=False)
    assert_same(np.load(tmp_path / "texts.npy"), np.asarray(ours))


# --- ONNX -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_onnx(folder, tmp_path_factory) -> dict[str, Path]:
    """One in a folder of its own, one beside transformers' files, a card and an older export; for a group to read."""
    pytest.importorskip("onnxscript")
    place = tmp_path_factory.mktemp("onnx")
    with umask(0o027):
        convert.convert(folder / "quick", place / "quick", "onnx")
        beside = CLIP.from_pretrained(folder / "gelu").save_pretrained(place / "gelu")
        (beside / "README.md").write_text("a card")
        (beside / "onnx").mkdir()
        (beside / "onnx" / "vision_model.onnx").write_text("an older one")
        save_onnx(CLIP.from_pretrained(folder / "gelu"), beside)
    return {name: place / name for name in VARIANTS}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_lines_beside_the_graphs_give_our_vectors(name, in_onnx, folder, tmp_path):
    pytest.importorskip("onnxruntime")
    card = (in_onnx[name] / "onnx" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    code = code.replace('"image.jpg"', repr(str(folder / "image.png")))
    code = re.sub(r"^texts = .*$", f"texts = {TEXTS}", code, flags=re.MULTILINE)
    keep = f"""
        assert "jax" not in sys.modules
        np.savez({str(tmp_path / "out.npz")!r}, pixels=pixels, tokens=tokens, images=images, words=words, logits=logits)
    """
    outside(code + dedent(keep), in_onnx[name].parent)
    theirs, model = np.load(tmp_path / "out.npz"), CLIP.from_pretrained(folder / name)
    images, texts = map(normalize, encoded(model, theirs["pixels"], theirs["tokens"]))
    assert_same(theirs["images"], images)
    assert_same(theirs["words"], texts)
    assert_same(theirs["logits"], np.exp(model.logit_scale[...]) * images @ texts.T)


@pytest.mark.parametrize("name", VARIANTS)
def test_graphs_take_any_batch_and_any_length_of_text(name, in_onnx, folder):
    runtime, rng = pytest.importorskip("onnxruntime"), np.random.default_rng(0)
    towers = {
        tower: runtime.InferenceSession(in_onnx[name] / "onnx" / f"{tower}_model.onnx") for tower in ("vision", "text")
    }
    axes = [[(put.name, put.shape) for put in [*one.get_inputs(), *one.get_outputs()]] for one in towers.values()]
    assert axes == [
        [("pixel_values", ["batch", 3, 32, 32]), ("image_embeds", ["batch", 24])],
        [("input_ids", ["batch", "length"]), ("text_embeds", ["batch", 24])],
    ]
    model = CLIP.from_pretrained(folder / name)
    for count, length in ((1, 2), (1, 16), (2, 7), (5, 1), (5, 16)):
        pixels, tokens = rng.normal(size=(count, 3, 32, 32)).astype("f"), rng.integers(0, 58, (count, length))
        tokens[:, -1] = 59
        (images,) = towers["vision"].run(None, {"pixel_values": pixels})
        (texts,) = towers["text"].run(None, {"input_ids": tokens})
        for theirs, ours in zip((images, texts), encoded(model, pixels, tokens), strict=True):
            assert_same(theirs, ours)


def test_graphs_are_of_one_version_and_name_no_folder(in_onnx, root):
    onnx = pytest.importorskip("onnx")
    for path in [path for place in in_onnx.values() for path in place.glob("onnx/*.onnx")]:
        content = path.read_bytes()
        assert [(opset.domain, opset.version) for opset in onnx.load(path).opset_import] == [("", onnx_export.OPSET)]
        # torch.onnx notes for each node which lines of code drew it, with the folders that they lie in.
        assert not any(
            word in content for word in (b".py", b"site-packages", os.fsencode(root), os.fsencode(Path.home()))
        )


def test_a_folder_of_transformers_keeps_what_it_had_beside_the_graphs(in_onnx, folder):
    left = {str(path.relative_to(in_onnx["gelu"])) for path in in_onnx["gelu"].rglob("*") if path.is_file()}
    graphs = {f"onnx/{name}" for name in ("README.md", "text_model.onnx", "vision_model.onnx")}
    settings = {"config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"}
    assert left == {*graphs, *settings, "README.md", "model.safetensors"}
    assert (in_onnx["gelu"] / "README.md").read_text() == "a card"
    assert CLIP.from_pretrained(in_onnx["gelu"]).architecture == CLIP.from_pretrained(folder / "gelu").architecture
    for place in in_onnx.values():
        assert_as_new(place, 0o027)


def test_without_the_packages_of_onnx_nothing_is_begun(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    monkeypatch.setattr(CLIP, "from_pretrained", lambda *_, **__: pytest.fail("it was loaded"))
    assert "Writing ONNX takes onnx and onnxscript" in refusal(
        capsys, folder / "quick", f"--to={tmp_path}/new", "--form=onnx"
    )


# --- the command ------------------------------------------------------------------------------------------


def refusal(capsys, *arguments: object) -> str:
    """What the command says, in one sentence, of what it does not do."""
    assert convert.main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("make convert: ") and said.err.count("\n") == 1
    return said.err


def test_make_convert_hands_everything_on(root):
    asked = ["MODEL=mine.pt", "TO=my model", "FORM=onnx", "ACTIVATION=gelu"]
    done = subprocess.run(
        ["make", "--dry-run", "convert", *asked], cwd=root, capture_output=True, text=True, check=True
    )
    wanted = '-m utils.clip.convert "mine.pt" --to "my model" --form "onnx" --activation "gelu"'
    assert wanted in done.stdout.replace("\\\n", "").replace("  ", " ")
    done = subprocess.run(["make", "--dry-run", "convert"], cwd=root, capture_output=True, text=True, check=True)
    assert '--to "" --form "transformers" --activation ""' in done.stdout.replace("\\\n", "").replace("  ", " ")


def test_what_was_written_is_told(folder, tmp_path, capsys):
    assert convert.main([str(folder / "quick"), f"--to={tmp_path / 'new'}"]) == 0
    assert re.fullmatch(rf"{tmp_path / 'new'}: transformers, 5 files, 0\.\d MB\.\n", capsys.readouterr().out)
    (folder / "quick").joinpath("tokenizer.json").rename(folder / "aside")
    names = [path for name in ("vocab.json", "merges.txt") if (path := folder / "quick" / name).exists()]
    kept = {path: path.read_bytes() for path in names}
    for path in names:
        path.unlink()
    try:
        assert convert.main([str(folder / "quick"), f"--to={tmp_path / 'bare'}", "--form=open_clip"]) == 0
    finally:
        (folder / "aside").rename(folder / "quick" / "tokenizer.json")
        for path, content in kept.items():
            path.write_bytes(content)
    assert "It has no tokenizer, since the model came without one." in capsys.readouterr().out


def test_what_cannot_be_is_told_and_nothing_is_written(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "full" / "others.txt").write_text("mine")
    model = folder / "quick"
    for words, *arguments in (
        ("Name the model and a new folder", "", "--to=new"),
        ("Name the model and a new folder", model),
        ("The form is 'keras'; there are transformers, open_clip, onnx.", model, "--to=new", "--form=keras"),
        ("full holds notes.txt and 1 more, and nothing is replaced there", model, "--to=full"),
        ("file should be a folder, but file is a file", model, "--to=file"),
        ("but file is a file", model, "--to=file/new"),
        ("'nowhere/at/all' is no folder", "nowhere/at/all", "--to=new"),
        ("The activation is 'gelu', but", model, "--to=new", "--activation=gelu"),
        ("The activation is 'relu'; there are quick_gelu and gelu.", model, "--to=new", "--activation=relu"),
    ):
        assert words in refusal(capsys, *arguments)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "notes.txt", "others.txt"]


@pytest.mark.parametrize("form", convert.FORMS)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(form, folder, tmp_path, capsys):
    if form == "onnx":
        pytest.importorskip("onnxscript")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The small files still fit, the weights do not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        said = refusal(capsys, folder / "quick", f"--to={tmp_path}/new", f"--form={form}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"could not be written into {tmp_path / 'new'}, no room is left" in said
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_nothing_that_looks_like_a_model(folder, tmp_path):
    lines = f"""
        import os, signal
        from utils.clip import convert, open_clip_export
        open_clip_export.write_tokenizer = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        convert.main([{str(folder / "quick")!r}, "--to=new", "--form=open_clip"])
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", dedent(lines)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".new-") and any(left.rglob("*.safetensors"))
    convert.convert(folder / "quick", tmp_path / "new", "open_clip")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


# --- who may read it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077], ids=oct)
@pytest.mark.parametrize("form", OTHERS)
def test_files_can_be_read_by_whom_the_umask_says(form, mask, folder, tmp_path):
    model = CLIP.from_pretrained(folder / "quick")
    with umask(mask):
        (tmp_path / "held").mkdir()
        (tmp_path / "held" / "notes.txt").touch()
        for place in (tmp_path / "new", tmp_path / "held"):  # in one move, and file by file
            convert.FORMS[form](model, place)
            assert_as_new(place, mask)


def test_a_copy_of_a_model_that_only_its_owner_may_read_can_be_read(folder, tmp_path):
    with umask(0o027), workshop(tmp_path / "copy", "copying") as draft:
        shutil.copytree(folder / "quick", draft, dirs_exist_ok=True)
        for path in draft.iterdir():
            path.chmod(0o400)
        draft.chmod(0o500)
        publish(draft, tmp_path / "copy")
    assert_as_new(tmp_path / "copy", 0o027)
