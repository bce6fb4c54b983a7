"""CLIP in JAX against torch's CLIPModel: outputs, gradients, pooling, precision, tokens, embeddings."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from tiny_clip import END, tiny_config, tiny_vocabulary, torch_clip, write_checkpoint
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from utils.clip import CLIP, embed_images, embed_texts, embedding, tokenize
from utils.clip.model import end_of_text_positions, flatten
from utils.clip.weight_names import export_parameters

pytestmark = pytest.mark.usefixtures("one_torch_thread")

CAPTIONS = [
    "many green trees are around an airport with several planes.",
    "a river",
    "Two storage tanks stand beside a narrow road; the bare land behind them is brown and dry, seen from above.",
    "stadium",
    "some boats are in a port near many buildings",
]


def pixels_of(config: CLIPConfig, count: int, seed: int = 0) -> np.ndarray:
    size = config.vision_config.image_size
    return np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype(np.float32)


def token_ids_of(config: CLIPConfig, count: int, length: int, seed: int = 0) -> np.ndarray:
    """Random texts of different lengths, ended and padded by the last token of the vocabulary."""
    rng = np.random.default_rng(seed)
    size = config.text_config.vocab_size
    ids = rng.integers(3, size - 2, (count, length)).astype(np.int32)
    for row in ids:
        row[rng.integers(1, length) :] = size - 1
    return ids


def from_torch(model: CLIPModel, dtype=jnp.float32) -> CLIP:
    """Carries torch's weights over without files."""
    ours = nnx.eval_shape(lambda: CLIP(model.config, rngs=nnx.Rngs(0), dtype=dtype))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    ours.load_transformers_weights(weights)
    return ours


def torch_outputs(model: CLIPModel, pixels: np.ndarray, token_ids: np.ndarray) -> dict[str, np.ndarray]:
    images, texts = torch.tensor(pixels).permute(0, 3, 1, 2), torch.tensor(token_ids).long()
    with torch.no_grad():
        outputs = model(input_ids=texts, pixel_values=images)
        return {
            "images": outputs.image_embeds.numpy(),
            "texts": outputs.text_embeds.numpy(),
            "logits": outputs.logits_per_image.numpy(),
            "raw_images": model.get_image_features(images).pooler_output.numpy(),
            "raw_texts": model.get_text_features(texts).pooler_output.numpy(),
        }


@nnx.jit
def our_outputs(model: CLIP, pixels: jax.Array, token_ids: jax.Array) -> dict[str, jax.Array]:
    return {
        "images": model.encode_images(pixels),
        "texts": model.encode_texts(token_ids),
        "logits": model.logits(pixels, token_ids),
        "raw_images": model.encode_images(pixels, normalize=False),
        "raw_texts": model.encode_texts(token_ids, normalize=False),
    }


def assert_same_outputs(model: CLIP, twin: CLIPModel, pixels: np.ndarray, token_ids: np.ndarray) -> None:
    expected = torch_outputs(twin, pixels, token_ids)
    for name, ours in our_outputs(model, pixels, token_ids).items():
        assert ours.dtype == jnp.float32
        assert ours.shape == expected[name].shape
        error = np.abs(np.asarray(ours) - expected[name]).max() / np.abs(expected[name]).max()
        assert error < 1e-4, f"{name}: {error}"


@nnx.jit
def our_gradients(model: CLIP, pixels: jax.Array, token_ids: jax.Array) -> nnx.State:
    """Gradients of the mean of the two cross-entropies of the logits with their diagonal as the target."""

    def loss_of(model: CLIP) -> jax.Array:
        logits = model.logits(pixels, token_ids)
        ways = (jax.nn.log_softmax(logits, axis=1), jax.nn.log_softmax(logits, axis=0))
        return -sum(jnp.diagonal(way).mean() for way in ways) / 2

    return nnx.grad(loss_of)(model)


def assert_same_gradients(model: CLIP, twin: CLIPModel, pixels: np.ndarray, token_ids: np.ndarray) -> None:
    twin.zero_grad()
    images, texts = torch.tensor(pixels).permute(0, 3, 1, 2), torch.tensor(token_ids).long()
    twin(input_ids=texts, pixel_values=images, return_loss=True).loss.backward()
    state = our_gradients(model, pixels, token_ids)
    ours = export_parameters(flatten(state), model.architecture)
    expected = {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    assert ours.keys() == expected.keys()
    total = np.sqrt(sum(np.square(gradient).sum() for gradient in expected.values()))
    for name, gradient in expected.items():
        # A bias of the keys shifts all scores of a softmax alike: its true gradient is zero, torch's is noise.
        error = np.linalg.norm(ours[name] - gradient)
        assert error < 1e-3 * np.linalg.norm(gradient) + 1e-6 * total, name


@pytest.fixture(scope="module")
def full_size(shared, tmp_path_factory) -> tuple[CLIP, CLIPModel]:
    """ViT-B/32 with random weights and the published tokenizer, through a folder that transformers wrote."""
    folder = tmp_path_factory.mktemp("clip-vit-base-patch32")
    source = shared / "models" / "clip-vit-base-patch32"
    twin = torch_clip(CLIPConfig.from_pretrained(source))
    twin.save_pretrained(folder)
    CLIPTokenizer.from_pretrained(source).save_pretrained(folder)
    model = CLIP.from_pretrained(folder)
    (folder / "model.safetensors").unlink()  # 600 MB
    return model, twin


def test_full_size_outputs_are_torchs(full_size):
    model, twin = full_size
    assert_same_outputs(model, twin, pixels_of(model.config, 5), tokenize(model.tokenizer, CAPTIONS[:3]))


def test_full_size_gradients_are_torchs(full_size):
    model, twin = full_size
    assert_same_gradients(model, twin, pixels_of(model.config, 3), tokenize(model.tokenizer, CAPTIONS[:3]))


def test_published_tokenizer_gives_the_ids_of_the_processor(full_size):
    tokenizer = full_size[0].tokenizer
    texts = [*CAPTIONS, "", "Zürich  \n from above 2021!", "tree " * 200]
    expected = tokenizer(texts, padding="max_length", truncation=True, return_tensors="np")["input_ids"]
    np.testing.assert_array_equal(tokenize(tokenizer, texts), expected)
    assert tokenize(tokenizer, texts)[-1, -1] == tokenizer.eos_token_id


# (vision width, heads, patch), (text width, heads), projection; two layers each.
PUBLISHED_SHAPES = {"ViT-B/16": ((768, 12, 16), (512, 8), 512), "ViT-L/14": ((1024, 16, 14), (768, 12), 768)}


@pytest.mark.parametrize("shape", PUBLISHED_SHAPES)
def test_published_shapes_at_reduced_depth(shape):
    (width, heads, patch), (text_width, text_heads), projection = PUBLISHED_SHAPES[shape]
    common = {"num_hidden_layers": 2}
    vision = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 4 * width}
    text = {"hidden_size": text_width, "num_attention_heads": text_heads, "vocab_size": 1000}
    text |= {"intermediate_size": 4 * text_width, "eos_token_id": 999, "bos_token_id": 998}
    config = CLIPConfig(
        vision_config=vision | common | {"patch_size": patch, "image_size": 224},
        text_config=text | common,
        projection_dim=projection,
    )
    twin = torch_clip(config)
    model = from_torch(twin)
    for count in (1, 3):
        assert_same_outputs(model, twin, pixels_of(config, count), token_ids_of(config, count, 77))


VARIANTS = {
    "as it is": {},
    "gelu": {"text": {"hidden_act": "gelu"}, "vision": {"hidden_act": "gelu"}},
    "each tower its activation": {"text": {"hidden_act": "gelu"}},
    "large epsilon": {"text": {"layer_norm_eps": 0.1}, "vision": {"layer_norm_eps": 0.03}},
    "legacy end of text": {"text": {"eos_token_id": 2}},
    "another end of text": {"text": {"eos_token_id": 7}},  # not the highest id, absent from some texts
    "a remainder of pixels": {"vision": {"image_size": 30}},
    "one layer": {"text": {"num_hidden_layers": 1}, "vision": {"num_hidden_layers": 1}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_configuration(variant):
    config = tiny_config(**VARIANTS[variant])
    twin = torch_clip(config)
    model = from_torch(twin)
    pixels, token_ids = pixels_of(config, 5), token_ids_of(config, 5, 16)
    assert_same_outputs(model, twin, pixels, token_ids)
    if variant in ("as it is", "gelu", "another end of text"):  # the others share these derivatives
        assert_same_gradients(model, twin, pixels, token_ids)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation 'relu'"):
        CLIP(tiny_config(text={"hidden_act": "relu"}), rngs=nnx.Rngs(0))


def test_texts_are_pooled_at_the_first_end_of_text():
    token_ids = jnp.array([[9, 5, 8, 8], [9, 8, 2, 8], [9, 2, 3, 4]])
    assert end_of_text_positions(token_ids, 8).tolist() == [2, 1, 0]
    assert end_of_text_positions(token_ids, 2).tolist() == [0, 0, 0]  # legacy: the highest id, here 9


@pytest.mark.parametrize("legacy", [False, True])
def test_padding_and_what_follows_the_end_do_not_count(legacy):
    config = tiny_config(text={"eos_token_id": 2} if legacy else {})
    model = CLIP(config, rngs=nnx.Rngs(1))
    last = config.text_config.vocab_size - 1
    short = np.array([[5, 6, 7, last]], np.int32)
    filled = np.array([[5, 6, 7, last, 9, 10, 11, 12, 3]], np.int32)
    padded = np.full((1, 16), last, np.int32)
    padded[:, :4] = short
    expected = model.encode_texts(short)
    for other in (filled, padded):
        np.testing.assert_allclose(model.encode_texts(other), expected, atol=1e-6)


def test_bfloat16_is_close_and_its_outputs_are_float32():
    config = tiny_config()
    twin = torch_clip(config)
    exact, rough = from_torch(twin), from_torch(twin, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(rough))} == {jnp.dtype("float32")}
    pixels, token_ids = pixels_of(config, 4), token_ids_of(config, 4, 16)
    expected, ours = our_outputs(exact, pixels, token_ids), our_outputs(rough, pixels, token_ids)
    for name in expected:
        assert ours[name].dtype == jnp.float32
    for name in ("images", "texts"):
        assert 1e-5 < np.abs(ours[name] - expected[name]).max() < 0.03
        assert np.sum(np.asarray(ours[name] * expected[name]), axis=1).min() > 0.999
        np.testing.assert_allclose(jnp.linalg.norm(ours[name], axis=1), 1, atol=1e-6)


def test_random_weights_are_drawn_as_transformers_draws_them():
    config = tiny_config(
        text={"hidden_size": 256, "initializer_factor": 0.5, "vocab_size": 3000},
        vision={"hidden_size": 192, "initializer_range": 0.05, "initializer_factor": 2.0},
    )
    ours = CLIP(config, rngs=nnx.Rngs(0)).transformers_weights()
    torch.manual_seed(0)
    for name, tensor in CLIPModel(config).state_dict().items():
        # Six standard errors of a standard deviation; constants (biases, norms, logit_scale) must be equal.
        spread, count = tensor.std(correction=0).item(), tensor.numel()
        assert ours[name].std() == pytest.approx(spread, rel=6 / (2 * count) ** 0.5, abs=1e-7), name
        assert ours[name].mean() == pytest.approx(tensor.mean().item(), rel=1e-6, abs=9 * spread / count**0.5)


def test_wrong_shapes_are_refused():
    model = CLIP(tiny_config(), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"\(2, 31, 32, 3\); the model takes \(batch, 32, 32, 3\)"):
        model.encode_images(np.zeros((2, 31, 32, 3), np.float32))
    with pytest.raises(ValueError, match="at most 16"):
        model.encode_texts(np.zeros((2, 17), np.int32))


def test_copies_of_a_model_do_not_compile_again():
    model = CLIP(tiny_config(), rngs=nnx.Rngs(0))
    traces = []

    @nnx.jit
    def encode(model: CLIP, token_ids: jax.Array) -> jax.Array:
        traces.append(1)
        return model.encode_texts(token_ids)

    token_ids = token_ids_of(model.config, 2, 8)
    copies = [model, nnx.merge(*nnx.split(model)), nnx.clone(model)]
    outputs = [np.asarray(encode(copy, token_ids)) for copy in copies]
    assert len(traces) == 1
    assert all(np.array_equal(outputs[0], output) for output in outputs)
    assert all(copy.metadata is model.metadata for copy in copies)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> CLIP:
    folder = tmp_path_factory.mktemp("tiny")
    write_checkpoint(folder, tiny_config())
    return CLIP.from_pretrained(folder)


def test_tokens_are_padded_to_a_common_length(tiny):
    vocabulary = tiny_vocabulary()
    ids = tokenize(tiny.tokenizer, ["airport", "a b c d e f g"])
    assert ids.dtype == np.int32
    assert ids.shape == (2, 16)  # nine tokens, rounded up to a multiple of sixteen
    end = vocabulary[END]
    assert ids[0, :3].tolist() == [vocabulary["<|startoftext|>"], vocabulary["airport</w>"], end]
    assert tokenize(tiny.tokenizer, ["airport"], length=11).shape == (1, 11)
    assert tokenize(tiny.tokenizer, []).shape[0] == 0
    cut = tokenize(tiny.tokenizer, ["a b c d e f g h i j k l m n o p q r s t"])
    assert cut.shape == (1, 16)
    assert cut[0, -1] == end and cut[0, -2] == vocabulary["n</w>"]
    assert tokenize(tiny.tokenizer, ["a b c d e f g"], length=4)[0, -1] == end
    with pytest.raises(ValueError, match="from 2 to 16"):
        tokenize(tiny.tokenizer, ["a"], length=17)


def test_the_common_length_is_a_multiple_up_to_the_limit_of_the_model(tiny, monkeypatch):
    monkeypatch.setattr("utils.clip.embedding.LENGTH_MULTIPLE", 6)
    lengths = [tokenize(tiny.tokenizer, [text]).shape[1] for text in ("airport", "a b c d e", "a " * 14)]
    assert lengths == [6, 12, 16]


def test_a_tokenizer_without_a_limit_gets_that_of_the_model(tmp_path):
    write_checkpoint(tmp_path, tiny_config())
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"model_max_length": 16,', ""))
    model = CLIP.from_pretrained(tmp_path)
    assert tokenize(model.tokenizer, ["a " * 50]).shape == (1, 16)


@pytest.fixture(scope="module")
def openai_tokenizers() -> tuple:
    """CLIP's own vocabulary in transformers' tokenizer, and in open_clip's, which repairs texts as OpenAI's does."""
    open_clip = pytest.importorskip("open_clip")
    theirs = open_clip.SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in theirs.encoder.items()}
    ours = CLIPTokenizer(vocab=vocabulary, merges=list(theirs.bpe_ranks), model_max_length=77)
    return ours, theirs


@pytest.mark.parametrize(
    "text",
    [
        "the farmer\u2019s field",
        "\u201cold town\u201d and \u2018new town\u2019",
        "land &amp; sea",
        "land &amp;amp; sea",
        "land & sea",
        "a road &lt; 5 m, &quot;narrow&quot;",
        "caf\u00e9s near the piazza\u2026",
        "cafe\u0301s near a port",
        "schÃ¶n",  # UTF-8 that was read as Latin-1
        "a port \u2013 with boats \u2014 and ships",
        "wide\u00a0space,\u3000wider\u200b one",
        "the \ufb01eld beside \uff21\uff22",
        "two\nlines\tand  spaces ",
        "25 \u00b0C, 3 \u00d7 4 m\u00b2",
        "\u6d77\u8fb9\u7684\u6e2f\u53e3",
        "an airport \U0001f6eb",
        "\x1b[31mred\x1b[0m roofs\x00",
        "Two storage tanks; the land is 'dry', seen from above.",
    ],
)
def test_texts_are_repaired_as_open_clip_repairs_them(openai_tokenizers, text):
    ours, theirs = openai_tokenizers
    np.testing.assert_array_equal(tokenize(ours, [text], length=77)[0], _ended(theirs([text])[0].numpy()))


def _ended(ids: np.ndarray) -> np.ndarray:
    """open_clip's tokens, padded by the end of text and not by zeros."""
    return np.where(np.arange(len(ids)) > ids.argmax(), ids.max(), ids)


def test_plain_texts_are_left_as_they_are(openai_tokenizers, monkeypatch):
    monkeypatch.setitem(sys.modules, "ftfy", None)  # not even asked
    ours, _ = openai_tokenizers
    expected = ours(CAPTIONS, padding="max_length", max_length=77)["input_ids"]
    np.testing.assert_array_equal(tokenize(ours, CAPTIONS, length=77), expected)


def test_embedded_texts_are_encoded_texts_in_their_order(tiny, monkeypatch):
    texts = ["a b c d e f g h i j", "airport", "port", "airport", "q r s t u v w x y z a b c", "", "z"]
    expected = tiny.encode_texts(tokenize(tiny.tokenizer, texts, length=16))
    for batch_size in (1, 3, 256):
        monkeypatch.setattr("utils.clip.embedding.BATCH_SIZE", batch_size)
        np.testing.assert_allclose(embed_texts(tiny, texts), expected, atol=1e-6)
    assert embed_texts(tiny, []).shape == (0, 24)


def test_embedded_images_leave_the_padding_out(tiny):
    pixels = pixels_of(tiny.config, 5)
    padded = np.concatenate([pixels, pixels[-1:]])
    masks = np.array([[True] * 3, [True, True, False]])
    batches = [{"images": padded[i * 3 : i * 3 + 3], "mask": masks[i]} for i in range(2)]
    ours = embed_images(tiny, batches, progress=True)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, tiny.encode_images(pixels), atol=1e-6)
    assert embed_images(tiny, []).shape == (0, 24)


def test_models_of_one_size_share_the_compiled_embedding(tiny, tmp_path):
    write_checkpoint(tmp_path, tiny_config(), seed=1)
    other = CLIP.from_pretrained(tmp_path)
    first = embed_texts(tiny, ["a port", "b"])
    compiled = embedding._embed._cache_size()
    second = embed_texts(other, ["a port", "b"])
    assert embedding._embed._cache_size() == compiled
    assert np.abs(first - second).max() > 0.01


def test_a_model_without_a_tokenizer_says_so():
    with pytest.raises(ValueError, match="no tokenizer"):
        embed_texts(CLIP(tiny_config(), rngs=nnx.Rngs(0)), ["a"])
