"""Texts are those that transformers' ``generate`` writes; chance keeps to the nucleus; one program for all lengths."""

import numpy as np
import pytest
from flax import nnx

from utils.captioning import GPT2, Beam, GPT2Config, Greedy, Nucleus, decoding, generate

pytestmark = pytest.mark.usefixtures("one_torch_thread", "quick_compilation")

END, LONGEST, ROWS = 0, 10, 8


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """torch's model, of few tokens and with a seed by which texts end at all lengths; and ours, with its weights."""
    import torch
    from transformers import GPT2Config as TheirConfig
    from transformers import GPT2LMHeadModel

    torch.manual_seed(26)
    sizes = {"vocab_size": 12, "n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 4}
    model = GPT2LMHeadModel(TheirConfig(**sizes, initializer_range=0.3, bos_token_id=END, eos_token_id=END)).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("theirs")
    model.save_pretrained(folder)
    return model, GPT2.from_pretrained(folder)


@pytest.fixture(scope="module")
def decoder(reference):
    return reference[1]


@pytest.fixture(scope="module")
def prefix():
    return 1.5 * np.random.default_rng(1).normal(size=(ROWS, 3, 32)).astype(np.float32)


def write(decoder, prefix, **options):
    return np.asarray(generate(decoder, prefix, **({"end_token": END, "max_tokens": LONGEST} | options)))


@pytest.mark.parametrize("start_token", [None, 5])
@pytest.mark.parametrize(
    "method", [Greedy(), Beam(1), Beam(2, 1.0), Beam(4, 0.0), Beam(5, 2.0), Beam(3, -1.0), Beam(12, 1.0)], ids=str
)
def test_texts_are_those_of_transformers(reference, prefix, method, start_token):
    import torch

    theirs, decoder = reference
    inputs = torch.tensor(prefix)
    if start_token is not None:
        starts = theirs.transformer.wte(torch.full((ROWS, 1), start_token))
        inputs = torch.cat([inputs, starts], dim=1).detach()
    options = {"num_beams": method.size}
    if isinstance(method, Beam):
        options["length_penalty"] = method.length_penalty
    with torch.no_grad():
        texts = theirs.generate(
            inputs_embeds=inputs,
            attention_mask=torch.ones(inputs.shape[:2]),
            max_new_tokens=LONGEST,
            forced_eos_token_id=END,
            pad_token_id=END,
            do_sample=False,
            **options,
        ).numpy()
    wanted = np.pad(texts, ((0, 0), (0, LONGEST - texts.shape[1])), constant_values=END)
    np.testing.assert_array_equal(write(decoder, prefix, method=method, start_token=start_token), wanted)


def test_the_cache_gives_the_tokens_of_reading_everything_again(decoder, prefix):
    read, ended = nnx.jit(lambda decoder, inputs: decoder(inputs)), np.zeros(ROWS, bool)
    inputs = np.pad(prefix, ((0, 0), (0, LONGEST), (0, 0)))  # of what is not yet written no token sees anything
    for place, written in enumerate(write(decoder, prefix).T[:-1], start=prefix.shape[1]):
        told = np.asarray(read(decoder, inputs))[:, place - 1].argmax(axis=-1)
        np.testing.assert_array_equal(written, np.where(ended, END, told))
        ended |= written == END
        inputs[:, place] = decoder.token_embedding.embedding[...][written]


@pytest.mark.parametrize("method", [Greedy(), Beam(3), Nucleus(0.9)], ids=str)
def test_every_text_has_its_end_and_nothing_behind_it(decoder, prefix, method):
    texts = write(decoder, prefix, method=method)
    assert texts.shape == (ROWS, LONGEST)
    assert texts.dtype == np.int32
    for text in texts:
        assert text[-1] == END
        assert (text[np.argmax(text == END) :] == END).all()
    assert write(decoder, prefix, method=method, max_tokens=1).tolist() == [[END]] * ROWS


@pytest.mark.parametrize("method", [Beam(3), Nucleus(0.9, 1.5)], ids=str)
def test_a_text_is_the_same_whatever_is_beside_it(decoder, prefix, method):
    together = write(decoder, prefix, method=method)
    apart = [write(decoder, prefix[row : row + 2], method=method, first_row=row) for row in range(0, ROWS, 2)]
    np.testing.assert_array_equal(np.concatenate(apart), together)


@pytest.mark.parametrize(("p", "temperature"), [(0.5, 1.0), (0.9, 0.6), (0.02, 1.0), (1.0, 2.0)])
def test_a_nucleus_is_that_of_transformers(p, temperature):
    import torch
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    logits = 2 * np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    scaled = TemperatureLogitsWarper(temperature)(None, torch.tensor(logits))
    wanted = scaled if p == 1 else TopPLogitsWarper(p)(None, scaled)
    falling, tokens = Nucleus(p, temperature).within(logits)
    found = np.take_along_axis(np.asarray(falling), np.argsort(tokens, axis=-1), axis=-1)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5)


def test_chance_draws_by_the_probabilities_within_the_nucleus(decoder, prefix):
    """The first tokens of 4000 equal prefixes; the tokens outside never come."""
    draws, method = 4000, Nucleus(0.8, 0.9)
    first = write(decoder, np.repeat(prefix[:1], draws, axis=0), max_tokens=2, method=method)[:, 0]
    falling, tokens = (np.asarray(part)[0] for part in method.within(decoder(prefix[:1])[:, -1]))
    probabilities = np.zeros(12)
    probabilities[tokens] = np.exp(falling - falling.max())
    probabilities /= probabilities.sum()
    counts = np.bincount(first, minlength=12)
    assert 2 <= np.count_nonzero(probabilities) < 12
    assert not counts[probabilities == 0].any()
    deviations = np.sqrt(draws * probabilities * (1 - probabilities))
    assert (np.abs(counts - draws * probabilities) <= 5 * deviations).all()


def test_one_seed_gives_one_text_and_another_gives_others(decoder, prefix):
    first, again, other = (write(decoder, prefix, method=Nucleus(1.0, 2.0), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).sum() > ROWS / 2


def test_one_program_serves_all_lengths_ends_seeds_and_decoders_of_a_size(decoder, prefix):
    alike = GPT2(decoder.config, rngs=nnx.Rngs(1))
    for method in (Greedy(), Beam(3), Nucleus(0.9)):
        lengths = [np.argmax(write(decoder, prefix, method=method) == END, axis=1)]
        compiled = decoding._generate._cache_size()
        for end_token in (1, 2):
            options = {"method": method, "end_token": end_token, "seed": end_token, "first_row": 8}
            texts = write(decoder, -prefix, **options)
            lengths.append(np.argmax(texts == end_token, axis=1))
            write(alike, prefix, **options)
        assert len(np.unique(lengths)) > 2
        assert decoding._generate._cache_size() == compiled


def test_writing_stops_once_all_rows_have_their_end(decoder, prefix):
    numbers = {"end_token": END, "start_token": None, "seed": 0, "first_row": 0}
    for method in (Greedy(), Nucleus(0.9)):
        texts, places = decoding._generate(*split(decoder, method), prefix[:3], **numbers)
        assert places == np.argmax(np.asarray(texts) == END, axis=1).max() + 1
    beam = split(decoder, Beam(2, -1.0))
    places = [int(decoding._generate(*beam, prefix[row : row + 1], **numbers)[1]) for row in range(ROWS)]
    assert min(places) < LONGEST
    assert decoding._generate(*beam, prefix, **numbers)[1] == max(places)


def split(decoder, method):
    definition, parameters = nnx.split(decoder)
    return definition, method, LONGEST, parameters


def test_no_prefixes_give_no_texts(decoder, prefix):
    assert write(decoder, prefix[:0]).shape == (0, LONGEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": 22}, "A prefix of 3 and max_tokens of 22 are more than the decoder's 24 positions; shorten"),
        ({"max_tokens": 21, "start_token": 1}, "A prefix of 4 and max_tokens of 21 are more than"),
        ({"max_tokens": 0}, "max_tokens is 0; it must be a whole number of at least 1"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5; it must be a whole number"),
        ({"seed": 2**40}, "The seed is 1099511627776; it must be a whole number from 0 to 4,294,967,295"),
        ({"seed": -1}, "The seed is -1"),
        ({"end_token": 12}, "The end_token is 12, and the decoder's vocabulary has 12 tokens; take the tokenizer"),
        ({"end_token": -1}, "The end_token is -1"),
        ({"method": Greedy}, r"The method is <class .*Greedy'>; it must be one such as Greedy\(\)"),
        ({"method": "beam"}, "The method is 'beam'"),
        ({"start_token": 99}, "The start_token is 99"),
        ({"method": Beam(13)}, "A beam has the size 13, and the decoder's vocabulary has 12 tokens; it must be at"),
        ({"prefix": np.zeros((2, 3, 31))}, r"The prefix has the shape \(2, 3, 31\); it must be \(batch, length, 32\)"),
        ({"prefix": np.zeros((2, 0, 32))}, "nothing to write on from; give a prefix of at least one vector"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(decoder, prefix, change, message):
    with pytest.raises(ValueError, match=message):
        write(decoder, **({"prefix": prefix} | change))


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (Beam, {"size": 0}, "A beam has the size 0; it must be a whole number of at least 1"),
        (Beam, {"size": 2.5}, "A beam has the size 2.5"),
        (Beam, {"length_penalty": float("nan")}, "The length penalty is nan; it must be a number from -5 to 5"),
        (Beam, {"length_penalty": -20.0}, "The length penalty is -20"),
        (Nucleus, {"p": 0}, "A nucleus has the probability 0; it must be above 0 and at most 1"),
        (Nucleus, {"p": 1.5}, "A nucleus has the probability 1.5"),
        (Nucleus, {"temperature": 0}, r"The temperature is 0; it must be a number of at least 1e-30: .* Greedy\(\)"),
        (Nucleus, {"temperature": 1e-45}, "The temperature is 1e-45"),
    ],
)
def test_a_method_refuses_numbers_that_mean_nothing(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(**options)


def test_a_size_may_be_a_number_of_numpy():
    assert Beam(np.int64(2)) == Beam(2)


def test_at_the_smallest_temperature_and_nucleus_chance_writes_the_likeliest(decoder, prefix):
    greedy = write(decoder, prefix)
    np.testing.assert_array_equal(write(decoder, prefix, method=Nucleus(1.0, 1e-4)), greedy)
    np.testing.assert_array_equal(write(decoder, prefix, method=Nucleus(1e-6)), greedy)


def test_a_decoder_in_bfloat16_writes_from_prefixes_in_float32(prefix):
    config = GPT2Config(vocab_size=12, n_positions=24, n_embd=32, n_layer=1, n_head=2)
    texts = write(GPT2(config, rngs=nnx.Rngs(0), dtype="bfloat16"), prefix, method=Beam(2))
    assert (texts[:, -1] == END).all()
