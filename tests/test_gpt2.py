"""GPT-2 gives what transformers' torch model gives, and its files go both ways."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx, traverse_util

from utils.captioning import GPT2, GPT2Config
from utils.captioning.gpt2_files import weights_of

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIZES = {
    "deep": {"n_layer": 3, "n_head": 4},
    "wide": {"n_layer": 1, "n_head": 2, "n_inner": 40, "activation_function": "relu", "layer_norm_epsilon": 1e-3},
}
LENGTHS = np.array([9, 5, 7])  # of which the first 3 are the prefix


@pytest.fixture(scope="module", params=SIZES)
def reference(request, tmp_path_factory):
    """torch's model with weights large enough to tell tokens apart, and the folder that it wrote."""
    import torch
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 61, "n_positions": 24, "n_embd": 32, "initializer_range": 0.2, **SIZES[request.param]}
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    model = GPT2LMHeadModel(TheirConfig(**sizes, **dropout, bos_token_id=0, eos_token_id=0)).eval()
    for parameter in model.parameters():  # biases too
        parameter.data += 0.05 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("theirs")
    model.save_pretrained(folder)
    return model, folder


@pytest.fixture(scope="module")
def decoder(reference):
    return GPT2.from_pretrained(reference[1])


@pytest.fixture(scope="module")
def batch():
    """A prefix of vectors, tokens behind it, and the mask of rows that end early."""
    generator = np.random.default_rng(0)
    prefix = generator.normal(size=(3, 3, 32)).astype(np.float32)
    tokens = generator.integers(1, 61, (3, 6)).astype(np.int32)
    return prefix, tokens, (np.arange(9) < LENGTHS[:, None]).astype(np.int32)


def our_logits(model, prefix, tokens, mask):
    return model(jnp.concatenate([prefix, model.embed(tokens)], axis=1), mask)


def test_logits_and_gradients_are_those_of_torch(reference, decoder, batch):
    import torch

    theirs, (prefix, tokens, mask) = reference[0], batch
    labels = np.where(mask[:, 3:] == 1, tokens, -100)
    their_prefix = torch.tensor(prefix, requires_grad=True)
    inputs = torch.cat([their_prefix, theirs.transformer.wte(torch.tensor(tokens).long())], dim=1)
    their_labels = torch.cat([torch.full((3, 3), -100), torch.tensor(labels).long()], dim=1)
    theirs.zero_grad()
    output = theirs(inputs_embeds=inputs, attention_mask=torch.tensor(mask), labels=their_labels)
    output.loss.backward()

    definition, state = nnx.split(decoder)

    def loss(state, prefix):
        logits = our_logits(nnx.merge(definition, state), prefix, tokens, mask)
        told = jax.nn.log_softmax(logits[:, 2:-1])
        of_labels = jnp.take_along_axis(told, tokens[:, :, None], axis=-1)[..., 0]
        return -jnp.sum(of_labels * mask[:, 3:]) / mask[:, 3:].sum(), logits

    (value, logits), gradients = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(state, prefix)
    seen = mask.astype(bool)
    np.testing.assert_allclose(logits[seen], output.logits.detach().numpy()[seen], atol=1e-4)
    assert value == pytest.approx(output.loss.item(), abs=1e-5)
    np.testing.assert_allclose(gradients[1], their_prefix.grad.numpy(), atol=1e-3 * their_prefix.grad.abs().max())
    ours = weights_of(traverse_util.flatten_dict(nnx.to_pure_dict(gradients[0]), sep="."), decoder.config)
    of_torch = {name: parameter.grad.numpy() for name, parameter in theirs.named_parameters()}
    assert ours.keys() == of_torch.keys()
    for name, gradient in of_torch.items():
        np.testing.assert_allclose(ours[name], gradient, atol=1e-3 * np.abs(gradient).max(), err_msg=name)


def test_torch_reads_what_is_written_here(reference, decoder, batch, tmp_path):
    import torch
    from transformers import GPT2LMHeadModel

    theirs, loading = GPT2LMHeadModel.from_pretrained(
        decoder.save_pretrained(tmp_path / "ours"), output_loading_info=True
    )
    assert not any(loading.values())
    before, after = (model.config.to_dict() for model in (reference[0], theirs))
    volatile = {"_name_or_path", "dtype", "architectures"}
    assert {n: v for n, v in before.items() if n not in volatile} == {
        n: v for n, v in after.items() if n not in volatile
    }
    tokens = batch[1]
    with torch.no_grad():
        wanted = theirs(torch.tensor(tokens).long()).logits.numpy()
    np.testing.assert_allclose(decoder(decoder.embed(tokens)), wanted, atol=1e-4)


def test_a_model_made_here_is_drawn_as_transformers_draws_it(tmp_path):
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    sizes = {"vocab_size": 500, "n_positions": 300, "n_embd": 64, "n_layer": 2, "n_head": 2}
    ours = GPT2(GPT2Config(**sizes), rngs=nnx.Rngs(0)).save_pretrained(tmp_path)
    written = GPT2LMHeadModel.from_pretrained(ours).state_dict()
    for name, drawn in GPT2LMHeadModel(TheirConfig(**sizes)).state_dict().items():
        assert written[name].std().item() == pytest.approx(drawn.std().item(), rel=0.05), name
        assert written[name].mean().item() == pytest.approx(drawn.mean().item(), abs=0.001), name


def test_a_cache_gives_the_logits_of_reading_everything_again(decoder, batch):
    prefix, tokens, _ = batch
    inputs = jnp.concatenate([prefix, decoder.embed(tokens)], axis=1)
    wanted = decoder(inputs)
    cache = decoder.start_cache(3, 12)  # with room that stays empty
    read = 0
    for new in (3, 1, 1, 2, 2):  # the prefix at once, then token by token, then by twos
        logits, cache = decoder.extend(inputs[:, read : read + new], cache)
        read += new
        np.testing.assert_allclose(logits, wanted[:, read - 1], atol=1e-5)
    assert int(cache.filled) == 9


def test_padding_before_a_text_is_not_seen_and_gives_numbers(decoder, batch):
    prefix, tokens, _ = batch
    mask = np.array([[0, 1, 1, 1, 1, 1, 1, 1, 1]] * 3)
    first = our_logits(decoder, prefix, tokens, mask)
    second = our_logits(decoder, prefix + np.eye(3)[0][None, :, None] * 5, tokens, mask)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first[:, 1:], second[:, 1:])


def test_bfloat16_is_close_and_its_logits_are_float32(reference, decoder, batch):
    half = GPT2.from_pretrained(reference[1], dtype=jnp.bfloat16)
    logits, wanted = our_logits(half, *batch), our_logits(decoder, *batch)
    assert logits.dtype == jnp.float32
    assert half.start_cache(1, 4).keys.dtype == jnp.bfloat16
    assert np.abs(logits - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    sizes = {"vocab_size": 11, "n_positions": 6, "n_embd": 4, "n_layer": 1, "n_head": 2}
    model = GPT2(GPT2Config(**sizes), rngs=nnx.Rngs(0))
    return model, model.save_pretrained(tmp_path_factory.mktemp("tiny_gpt2"))


def test_the_first_published_names_and_a_stored_head_are_read(tiny, tmp_path):
    """As openai-community/gpt2 has them: no common beginning, masks among the weights; and a head stored again."""
    from safetensors.numpy import load_file, save_file

    model, folder = tiny
    weights = {name.removeprefix("transformer."): a for name, a in load_file(folder / "model.safetensors").items()}
    weights["h.0.attn.bias"] = np.tri(6, dtype=np.uint8)[None, None]
    weights["h.0.attn.masked_bias"] = np.array(-1e4, np.float32)
    weights["lm_head.weight"] = weights["wte.weight"].copy()
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    save_file(weights, tmp_path / "model.safetensors")
    inputs = jnp.ones((1, 3, 4))
    np.testing.assert_array_equal(GPT2.from_pretrained(tmp_path)(inputs), model(inputs))
    weights["lm_head.weight"] += 1
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"a head .* other than its token embeddings; take a GPT-2 that ties them"):
        GPT2.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "llama"}, "config.json describes a model of type 'llama'; give the folder of a 'gpt2'"),
        (
            {"model_type": "vision-encoder-decoder", "decoder": {"model_type": "gpt2"}},
            "type 'vision-encoder-decoder'; its decoder looks at the encoder by cross-attention; give .* plain 'gpt2'",
        ),
        ({"add_cross_attention": True}, "add_cross_attention=True, layers that look .*; take a GPT-2 without it"),
        ({"scale_attn_by_inverse_layer_idx": True}, "divided by the number of the layer; take a GPT-2 without it"),
        ({"scale_attn_weights": False}, "not divided by the root of a head's width; take a GPT-2 without it"),
        ({"tie_word_embeddings": False}, "a head of its own .*; take a GPT-2 without it"),
        ({"activation_function": "silu"}, "the activation_function 'silu'; there are gelu_new, "),
        ({"n_head": 3}, "n_embd of 4, which its 3 heads do not divide"),
        ({"num_attention_heads": 0, "n_head": 0}, "n_head of 0; it must be a whole number of at least 1"),
        ({"n_layer": 1.5}, "n_layer of 1.5; it must be a whole number of at least 1"),
        ({"n_inner": 0}, "n_inner of 0; it must be a whole number of at least 1, or null"),
        ({"layer_norm_epsilon": -1}, "layer_norm_epsilon of -1; it must be a number of at least 0"),
        ({"eos_token_id": [3, 4]}, r"eos_token_id of \[3, 4\]; it must be one token's number, or null"),
        ({"n_embd": 8}, r"wrongly shaped weights \(transformer.wte.weight \(11, 4\) instead of \(11, 8\)"),
        ({"n_layer": 2}, r"lacks weights \(transformer.h.1.ln_1.weight, "),
        ({"n_layer": 10**9}, r"lacks weights \(transformer.h.1.ln_1.weight, "),
    ],
)
def test_what_is_not_computed_is_refused_in_one_sentence(tiny, tmp_path, settings, message):
    content = json.loads((tiny[1] / "config.json").read_text()) | settings
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes((tiny[1] / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=message) as raised:
        GPT2.from_pretrained(tmp_path)
    assert len(str(raised.value)) < 400
    assert re.search(r"\.$", str(raised.value))


def test_weights_that_do_not_belong_are_refused(tiny, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = load_file(tiny[1] / "model.safetensors")
    (tmp_path / "config.json").write_text((tiny[1] / "config.json").read_text())
    save_file(
        weights | {"transformer.h.0.crossattention.c_attn.weight": np.zeros((4, 8), np.float32)},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(ValueError, match=r"unknown weights \(transformer.h.0.crossattention"):
        GPT2.from_pretrained(tmp_path)
    weights["transformer.ln_f.bias"][0] = np.nan
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"transformer.ln_f.bias holds NaN"):
        GPT2.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no config.json; give the folder of a GPT-2"):
        GPT2.from_pretrained(tmp_path)


def test_more_tokens_than_positions_are_refused(tiny):
    with pytest.raises(ValueError, match="given 7 tokens and has 6 positions"):
        tiny[0](jnp.zeros((1, 7, 4)))
    with pytest.raises(ValueError, match="given 7 tokens and has 6 positions"):
        tiny[0].start_cache(1, 7)
