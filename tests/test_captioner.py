"""A captioner: its loss is torch's, its folder comes back, and it trains as everything trains here."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from captioner_world import SETTINGS, compare_meshes, tiny_captioner
from flax import nnx
from training_world import child, colors, parameters
from transformers import CLIPModel, GPT2LMHeadModel, GPT2Tokenizer

from utils.captioning import GPT2, Captioner, CaptioningSettings, GPT2Config, Mapper, MapperConfig, train_captioner
from utils.captioning.objective import CAPTIONING, part_of
from utils.captioning.tokens import caption_tokens, counted, words_of
from utils.datasets import CaptionDataset
from utils.training import TrainingSettings, TrainingStopped
from utils.training.identity import check_model
from utils.training.run import TrainingRun

pytestmark = pytest.mark.usefixtures("quick_compilation", "one_torch_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> CaptionDataset:
    return colors(tmp_path_factory.mktemp("colors"))


@pytest.fixture(scope="module")
def start(model) -> Captioner:
    return tiny_captioner(model)


@pytest.fixture(scope="module")
def whole(start, dataset, tmp_path_factory):
    """A run that was never stopped."""
    return train_captioner(start, dataset, dataset, SETTINGS, tmp_path_factory.mktemp("whole") / "run")


def pixels(count: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=(count, 32, 32, 3)), jnp.float32)


# --- what it computes -------------------------------------------------------------------------------------


def test_the_tokens_of_the_image_tower_are_those_of_torch_before_the_last_block(model, folder):
    theirs = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = theirs.vision_model(torch.tensor(pixels(2)).permute(0, 3, 1, 2), output_hidden_states=True)
    np.testing.assert_allclose(model.vision.tokens(pixels(2)), outputs.hidden_states[-2].numpy(), atol=1e-4)


def test_loss_and_gradients_are_those_of_torch(start, tmp_path):
    tokens = caption_tokens(start.tokenizer, ["red field", "a", "a green airport field"], 9)  # the last one is cut
    theirs = GPT2LMHeadModel.from_pretrained(start.decoder.save_pretrained(tmp_path)).eval()
    prefix = torch.tensor(np.asarray(start.prefix(pixels(3))), requires_grad=True)
    ids = torch.tensor(tokens).long()
    labels = ids.clone()
    for row in labels:  # the first end counts, what fills up does not
        row[(row == start.end_token).nonzero()[1:].flatten()] = -100
    assert [int((row != -100).sum()) for row in labels] == [9, 2, 9]
    labels = torch.cat([torch.full(prefix.shape[:2], -100), labels], dim=1)
    loss = theirs(inputs_embeds=torch.cat([prefix, theirs.transformer.wte(ids)], dim=1), labels=labels).loss
    loss.backward()

    settings = replace(SETTINGS, frozen_parts=("image_tower",))
    split, run_mesh = CAPTIONING.split(start, settings), jax.make_mesh((1,), ("data",), devices=jax.devices()[:1])
    function = CAPTIONING.loss_and_gradients(split.graphdef, settings, run_mesh)
    ours, gradients = jax.jit(function)(split.trained, split.frozen, {"images": pixels(3), "tokens": tokens})
    assert float(ours) == pytest.approx(loss.item(), abs=1e-4)
    table = gradients["decoder"]["token_embedding"]["embedding"][...]
    np.testing.assert_allclose(table, theirs.transformer.wte.weight.grad.numpy(), atol=1e-3)
    last = gradients["decoder"]["blocks"]["contract"]["kernel"][...][-1]
    np.testing.assert_allclose(last, theirs.transformer.h[-1].mlp.c_proj.weight.grad.numpy(), atol=1e-3)
    assert np.abs(table).max() > 1e-2
    # What reaches the mapper is what reaches the prefix.
    features = start.features(pixels(3))
    _, back = jax.vjp(lambda mapper: nnx.merge(nnx.graphdef(start.mapper), mapper)(features), nnx.state(start.mapper))
    expected = jax.tree.leaves(back(jnp.asarray(prefix.grad.numpy()))[0])
    for one, other in zip(jax.tree.leaves(gradients["mapper"]), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "source", "places"), [("transformer", "patches", 17), ("transformer", "vector", 1), ("mlp", "vector", 1)]
)
def test_a_prefix_has_its_length_and_follows_the_image(model, kind, source, places):
    captioner = tiny_captioner(model, kind=kind, source=source)
    assert captioner.features(pixels(2)).shape[1] == places
    prefix = np.asarray(captioner.prefix(pixels(2)))
    assert prefix.shape == (2, 3, 32) and not np.allclose(prefix[0], prefix[1])


def test_of_what_fills_up_nothing_counts(start):
    tokens = caption_tokens(start.tokenizer, ["red", "red field"], 7)
    # A letter is a token of the tiny tokenizer; the second caption is cut before its end.
    assert counted(tokens, start.end_token).sum(axis=1).tolist() == [4, 7]
    assert words_of(start.tokenizer, tokens)[0] == "red"


def test_eight_devices_and_micro_batches_give_what_one_device_gives(folder, tmp_path):
    assert child(compare_meshes, folder, tmp_path / "report.json") == 0
    about = json.loads((tmp_path / "report.json").read_text())
    assert about["loss"] > 1 and about["largest"] > 1e-2
    assert max(about[name] for name in ("eight", "in micro-batches", "validation")) < 1e-5


# --- its folder -------------------------------------------------------------------------------------------


def test_a_captioner_comes_back_from_its_folder_whose_parts_transformers_opens(start, tmp_path):
    folder = start.save_pretrained(tmp_path / "captioner")
    back = Captioner.from_pretrained(folder)
    assert all(map(np.array_equal, parameters(start), parameters(back)))
    assert back.mapper.config == start.mapper.config and back.decoder.config == start.decoder.config
    tokens = caption_tokens(back.tokenizer, ["red field"], 8)
    np.testing.assert_array_equal(tokens, caption_tokens(start.tokenizer, ["red field"], 8))
    CLIPModel.from_pretrained(folder / "clip")
    GPT2LMHeadModel.from_pretrained(folder / "decoder")


def test_another_decoder_is_taken_with_its_tokenizer(start, model, tmp_path):
    folder = start.save_pretrained(tmp_path)
    for decoder in (folder / "decoder", folder / "decoder" / "model.safetensors"):
        again = Captioner.start(model, decoder, prefix_length=2)
        assert all(map(np.array_equal, parameters(again.decoder), parameters(start.decoder)))


@pytest.mark.parametrize(("width", "heads"), [(32, 1), (128, 2), (200, 1)])
def test_a_new_decoder_may_have_any_width(model, width, heads):
    assert tiny_captioner(model, width=width, layers=1).decoder.config.n_head == heads


def test_the_smallest_mapper_has_a_hidden_layer(model):
    captioner = tiny_captioner(model, kind="mlp", source="vector", prefix_length=1, width=1, layers=1)
    assert captioner.prefix(pixels(2)).shape == (2, 1, 1)


def test_what_does_not_fit_is_one_sentence(start, model, tmp_path):
    folder = start.save_pretrained(tmp_path / "captioner")
    with pytest.raises(ValueError, match="leaves no room for a caption in the decoder's 19 positions"):
        Captioner.start(model, folder / "decoder", prefix_length=19)
    with pytest.raises(ValueError, match="the source is patches"):
        tiny_captioner(model, kind="mlp")
    config = replace(start.decoder.config, vocab_size=start.decoder.config.vocab_size + 1)
    with pytest.raises(ValueError, match="has 60 tokens and the decoder 61"):
        Captioner(model, start.mapper, GPT2(config, rngs=nnx.Rngs(0)), start.tokenizer)
    other = Mapper(MapperConfig(kind="transformer", source="patches", inputs=48, width=16), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="from a width of 48 to 16, and CLIP and decoder have 48 and 32"):
        Captioner(model, other, start.decoder, start.tokenizer)
    with pytest.raises(FileNotFoundError, match="is no captioner: it has no"):
        Captioner.from_pretrained(folder / "decoder")
    with pytest.raises(ValueError, match="must be vector or patches"):
        MapperConfig(source="pixels", inputs=1, width=1)
    (folder / "decoder" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no tokenizer"):
        Captioner.from_pretrained(folder)


def test_a_mapper_that_is_damaged_or_of_other_sizes_is_told(start, tmp_path):
    folder = start.save_pretrained(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"mapper": settings["mapper"] | {"prefix_length": 4}}))
    with pytest.raises(ValueError, match="wrongly shaped weights"):
        Captioner.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings | {"caption_tokens": 99}))
    with pytest.raises(ValueError, match=r"to write 99 tokens .* has room for 1 to 16"):
        Captioner.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "clip"}))
    with pytest.raises(ValueError, match="model of type 'clip'; give the folder of a captioner"):
        Captioner.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "mapper.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"mapper\.safetensors"):
        Captioner.from_pretrained(folder)


def test_another_clip_of_the_same_sizes_is_told(start, model, tmp_path):
    folder = start.save_pretrained(tmp_path / "captioner")
    other = model.copy()
    other.logit_scale[...] += 0.5
    other.save_pretrained(folder / "clip")
    with pytest.raises(ValueError, match=r"clip holds another CLIP \(\w{16}\) than the captioner was saved with"):
        Captioner.from_pretrained(folder)
    model.save_pretrained(folder / "clip")
    Captioner.from_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    del settings["clip"]  # as folders of before
    (folder / "config.json").write_text(json.dumps(settings))
    other.save_pretrained(folder / "clip")
    Captioner.from_pretrained(folder)


def test_a_part_that_changed_is_told_and_the_configuration_of_the_whole_is_written_last(whole, tmp_path, monkeypatch):
    folder = shutil.copytree(whole.model_dir, tmp_path / "model")
    check_model(folder, None)
    with monkeypatch.context() as patched:
        replaced, replace_file = [], Path.replace
        patched.setattr(Path, "replace", lambda file, place: replaced.append(place) or replace_file(file, place))
        whole.model.save_pretrained(folder)
    assert replaced[-1] == folder / "config.json" and folder / "decoder" / "config.json" in replaced
    check_model(folder, None)
    (folder / "decoder" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"decoder in .* damaged, exchanged or missing"):
        check_model(folder, None)


# --- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"caption_tokens": 1}, "above one"),
        ({"lora_rank": 2}, "no captioner has"),
        ({"loss": "plain"}, "no captioner has"),
        ({"optimizer": "adafactor"}, "adamw"),
        ({"rematerialize": True}, "micro_batch_size"),
        ({"frozen_parts": ("text_tower",)}, "there are image_tower, mapper, decoder"),
        ({"frozen_parts": ("image_tower", "mapper", "decoder")}, "nothing would be trained"),
        ({"batch_size": 8, "micro_batch_size": 3}, "must divide"),
    ],
)
def test_settings_that_train_no_captioner_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        CaptioningSettings(**changes)


def test_what_cannot_be_trained_leaves_no_folder(start, dataset, tmp_path):
    bare = CaptionDataset([replace(item, captions=()) for item in dataset], "bare")
    for data, settings, words in (
        (dataset, TrainingSettings(), "trained with CaptioningSettings"),
        (dataset, replace(SETTINGS, caption_tokens=17), "a prefix of 3 and captions of 17"),
        (bare, SETTINGS, "none of its 8 images has a caption"),
    ):
        with pytest.raises(ValueError, match=f"(?i){words}"):
            train_captioner(start, data, data, settings, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"A CLIP is no captioner; make one with Captioner\.start"):
        train_captioner(start.clip, dataset, dataset, SETTINGS, tmp_path / "run")
    with pytest.raises(ValueError, match="is empty"):
        caption_tokens(start.tokenizer, ["red", " "], 8)


def test_it_learns_and_its_folder_tells_of_it(start, dataset, whole):
    history = whole.history
    assert history[-1]["loss"] < history[0]["loss"] - 0.4
    assert history[-1]["validation_loss"] < history[len(history) // 3 - 1]["validation_loss"]
    assert 0 <= history[-1]["validation_cider"] <= 10
    output = whole.model_dir.parent
    columns = (output / "history.csv").read_text().splitlines()[0]
    assert columns.startswith("step,loss,validation_loss,validation_cider,") and "logit_scale" not in columns
    card = (whole.model_dir / "README.md").read_text()
    for told in ("CIDEr-D", "colors", "CLIPTokenizer", "prefix of 3 vectors", "lower case", "on average, of which"):
        assert told in card
    assert "$" not in card
    back = Captioner.from_pretrained(whole.model_dir)
    assert all(map(np.array_equal, parameters(whole.model), parameters(back)))
    assert whole.model.metadata.caption_tokens == back.metadata.caption_tokens == SETTINGS.caption_tokens
    assert start.metadata.caption_tokens is None


def test_frozen_is_what_is_frozen_and_what_no_caption_depends_on(start, dataset, whole, tmp_path):
    trained = train_captioner(
        start, dataset, dataset, replace(SETTINGS, epochs=1, frozen_parts=("decoder",)), tmp_path / "run"
    )
    for result, frozen in ((whole, "image_tower"), (trained, "decoder")):
        after = dict(nnx.to_flat_state(nnx.state(result.model, nnx.Param)))
        for path, before in nnx.to_flat_state(nnx.state(start, nnx.Param)):
            unchanged = part_of(path, "patches") in (None, frozen)
            assert np.array_equal(before[...], after[path][...]) == unchanged, path


def test_an_interrupted_run_resumes_with_the_same_bits(start, dataset, whole, tmp_path, monkeypatch):
    advance = TrainingRun.advance

    def wrapped(run: TrainingRun) -> None:
        if run.step == 2:
            signal.raise_signal(signal.SIGINT)
        advance(run)

    with monkeypatch.context() as patched, pytest.raises(TrainingStopped, match="saved at step 3 of 6"):
        patched.setattr(TrainingRun, "advance", wrapped)
        train_captioner(start, dataset, dataset, SETTINGS, tmp_path / "run")
    again = train_captioner(start, dataset, dataset, SETTINGS, tmp_path / "run")
    assert all(map(np.array_equal, parameters(whole.model), parameters(again.model)))
    with pytest.raises(ValueError, match="another starting model"):
        train_captioner(tiny_captioner(start.clip, source="vector"), dataset, dataset, SETTINGS, tmp_path / "run")


def test_of_epochs_with_equal_scores_the_one_with_the_least_loss_is_kept(start, dataset, tmp_path):
    """CIDEr-D of one image is 0, whatever is written."""
    settings = replace(SETTINGS, keep_best=True)
    result = train_captioner(start, dataset, dataset[:1], settings, tmp_path / "run")
    validated = [row for row in result.history if "validation_loss" in row]
    assert [row["validation_cider"] for row in validated] == [0, 0, 0]
    assert result.exported_step == min(validated, key=lambda row: row["validation_loss"])["step"] == 6


def test_it_computes_in_bfloat16_with_parameters_in_float32(start, dataset):
    run = TrainingRun(start, dataset, dataset, replace(SETTINGS, compute_dtype="bfloat16"), objective=CAPTIONING)
    run.advance()
    (row,), model = run.fetch_history(), run.model()
    assert model.decoder.dtype == model.mapper.dtype == model.clip.vision.dtype == jnp.bfloat16
    assert {array.dtype.name for array in parameters(model)} == {"float32"}
    assert model.prefix(pixels(1)).dtype == jnp.bfloat16 and np.isfinite(row["loss"])


def test_a_tokenizer_of_gpt_2_is_the_decoders(model, tmp_path):
    """Its words begin with a blank, where CLIP's end with one; the caption comes back as it was."""
    letters = [*"abcdefghijklmnopqrstuvwxyz.", "Ġ"]
    vocabulary = {piece: number for number, piece in enumerate([*letters, *("Ġ" + c for c in "ar"), "<|endoftext|>"])}
    tokenizer = GPT2Tokenizer(vocab=vocabulary, merges=[("Ġ", "a"), ("Ġ", "r")])
    tokenizer.save_pretrained(tmp_path)
    config = GPT2Config(vocab_size=len(vocabulary), n_positions=20, n_embd=16, n_layer=1, n_head=2)
    config = replace(config, bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id)
    GPT2(config, rngs=nnx.Rngs(0)).save_pretrained(tmp_path)
    captioner = Captioner.start(model, tmp_path, prefix_length=2)
    tokens = caption_tokens(captioner.tokenizer, ["a road ."], 10)
    assert counted(tokens, captioner.end_token).sum() == 8  # a, a blank with r, o, a, d, a blank, a dot, the end
    assert words_of(captioner.tokenizer, tokens) == ["a road ."]
    back = Captioner.from_pretrained(captioner.save_pretrained(tmp_path / "whole"))
    np.testing.assert_array_equal(caption_tokens(back.tokenizer, ["a road ."], 10), tokens)
