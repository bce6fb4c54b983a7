"""bfloat16 on CPUs: its products and their gradients, the type that ``auto`` stands for, and what it leaves alone."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny_clip import tiny_config, write_checkpoint
from training_world import SETTINGS, colors

from utils.clip import CLIP, compute_types, fingerprint
from utils.clip.compute_types import compute_type
from utils.clip.products import add_to_rows, product_of_all_rows
from utils.training import train
from utils.training.identity import describe_run

ROUNDING = 2.0**-8  # of bfloat16, relative


def random(shape: tuple[int, ...], seed: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.bfloat16)


def plain(inputs: jax.Array, kernel: jax.Array) -> jax.Array:
    """The product as XLA is asked for it wherever nothing speaks against it."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    product = jax.lax.dot_general(rows, kernel, (((1,), (0,)), ((), ())))
    return product.reshape(*inputs.shape[:-1], kernel.shape[1])


def gradient_program(product, dtype) -> str:
    """The program of both gradients of a product, without the names of what made it."""
    inputs, kernel = jnp.ones((2, 5, 8), dtype), jnp.ones((8, 3), dtype)
    program = jax.make_jaxpr(jax.grad(lambda *both: product(*both).astype(jnp.float32).sum(), argnums=(0, 1)))
    return str(program(inputs, kernel))


def products(program: str) -> list[tuple[str, ...]]:
    """The types of the products of matrices in a program: left, right, result."""
    types = dict(re.findall(r"(\w+):(\w+)\[", program))
    found = re.findall(r"(\w+):(\w+)\[[\d,]*\] = dot_general\[.*?\n\s*\] (\w+) (\w+)", program, flags=re.DOTALL)
    return [(types[left], types[right], result) for _, result, left, right in found]


# --- products -------------------------------------------------------------------------------------------------


def test_a_bfloat16_product_and_its_gradients_are_float64s_but_for_rounding():
    inputs, kernel, gradient = random((3, 5, 64), 0), random((64, 48), 1), random((3, 5, 48), 2)
    product, carry_back = jax.vjp(product_of_all_rows, inputs, kernel)
    of_inputs, of_kernel = carry_back(gradient)
    x, w, g = (np.asarray(array, np.float64) for array in (inputs, kernel, gradient))
    exact = (x @ w, g @ w.T, np.einsum("bti,bto->io", x, g))
    for ours, wanted in zip((product, of_inputs, of_kernel), exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        # Summed in float32 and rounded once; sums in bfloat16 would be off by more.
        np.testing.assert_allclose(np.asarray(ours, np.float64), wanted, rtol=ROUNDING, atol=1e-4)


def test_all_products_of_a_gradient_multiply_bfloat16_to_float32_on_a_cpu():
    assert products(gradient_program(product_of_all_rows, jnp.bfloat16)) == [("bf16", "bf16", "f32")] * 3


def test_float32_and_accelerators_get_the_program_that_they_had(monkeypatch):
    assert gradient_program(product_of_all_rows, jnp.float32) == gradient_program(plain, jnp.float32)
    assert gradient_program(product_of_all_rows, jnp.bfloat16) != gradient_program(plain, jnp.bfloat16)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert gradient_program(product_of_all_rows, jnp.bfloat16) == gradient_program(plain, jnp.bfloat16)


def test_the_gradient_of_a_bias_is_the_sum_of_rows():
    rows, bias = (array.astype(jnp.float32) for array in (random((3, 700, 48), 0), random((48,), 1)))
    for dtype, rounding in ((jnp.float32, 1e-5), (jnp.bfloat16, ROUNDING)):
        added, carry_back = jax.vjp(add_to_rows, rows.astype(dtype), bias.astype(dtype))
        of_rows, of_bias = carry_back(rows.astype(dtype))
        assert (added.dtype, of_bias.dtype) == (dtype, dtype)
        np.testing.assert_array_equal(of_rows, rows.astype(dtype))
        wanted = np.asarray(rows.astype(dtype), np.float64).sum(axis=(0, 1))
        np.testing.assert_allclose(np.asarray(of_bias, np.float64), wanted, rtol=rounding, atol=1e-3)


def test_a_gradient_computes_no_product_again_that_float32_keeps():
    def count(dtype: str) -> int:
        model = CLIP(tiny_config(), rngs=nnx.Rngs(0)).copy(dtype)
        definition, parameters = nnx.split(model.vision)
        pixels = jnp.ones((2, 32, 32, 3))
        gradient = jax.grad(lambda parameters: nnx.merge(definition, parameters)(pixels).sum())
        # Compiled, since what is computed again is found out late: a product stands for itself there.
        return len(re.findall(r" dot\(", jax.jit(gradient).lower(parameters).compile().as_text()))

    assert count("bfloat16") == count("float32")


def test_gradients_of_the_whole_model_are_float32s_to_five_percent():
    model = CLIP(tiny_config(), rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    pixels, tokens = rng.normal(size=(8, 32, 32, 3)).astype(np.float32), rng.integers(0, 58, (8, 16))

    def gradients(dtype: str) -> dict:
        definition, parameters = nnx.split(model.copy(dtype))

        def agreement(parameters: nnx.State) -> jax.Array:
            clip = nnx.merge(definition, parameters)
            return jnp.sum(clip.encode_images(pixels) * clip.encode_texts(tokens))

        return dict(nnx.to_flat_state(jax.jit(jax.grad(agreement))(parameters)))

    exact, rough = gradients("float32"), gradients("bfloat16")
    largest = max(np.linalg.norm(value[...]) for value in exact.values())
    for path, value in exact.items():
        off = np.linalg.norm(value[...] - rough[path][...])
        # Of its own length, or of the largest where next to nothing is left of an array, such as a key's bias.
        assert off < max(0.05 * np.linalg.norm(value[...]), 1e-4 * largest), path


# --- auto -----------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Lets a processor be as many times as fast in bfloat16 as the list says, and counts how often it is asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    speeds: list[float] = []
    monkeypatch.setattr(compute_types, "measured_speed", lambda config: speeds.pop(0))
    compute_types._speed_of_bfloat16.cache_clear()
    yield speeds
    compute_types._speed_of_bfloat16.cache_clear()


TOWER = CLIP(tiny_config(), rngs=nnx.Rngs(0)).architecture.vision


@pytest.mark.parametrize(("speed", "chosen"), [(1.9, "bfloat16"), (1.1, "float32"), (0.7, "float32")])
def test_auto_is_bfloat16_only_where_it_is_faster_and_says_so_once(measured, capsys, speed, chosen):
    measured.append(speed)
    assert [jnp.dtype(compute_type("auto", TOWER)).name for _ in range(3)] == [chosen] * 3
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"Computing in {chosen}" in said and f"{speed:.2f} times" in said


def test_what_was_measured_is_kept_for_the_next_process_on_such_a_machine(measured, monkeypatch):
    measured += [1.9, 0.8, 0.9, 1.0]
    for _ in range(2):  # the second time from the file
        compute_types._speed_of_bfloat16.cache_clear()
        assert compute_type("auto", TOWER) == jnp.bfloat16
    assert len(measured) == 3
    for name in ("processor", "version"):  # another processor, another jaxlib: measured again
        compute_types._speed_of_bfloat16.cache_clear()
        monkeypatch.setattr(compute_types, name, lambda *_: "another")
        assert compute_type("auto", TOWER) == jnp.float32
    compute_types._speed_of_bfloat16.cache_clear()
    compute_type("auto", replace(TOWER, hidden_size=96))  # a smaller model may gain nothing
    assert not measured


@pytest.mark.parametrize("content", ["", "{", "[]", "\udcff", '{"KEY": "fast"}', '{"KEY": NaN}', '{"KEY": -1.0}'])
def test_a_damaged_file_of_measurements_is_measured_again(measured, content):
    measured += [1.9, 1.8]
    compute_type("auto", TOWER)
    path = compute_types.kept_file()
    (key,) = compute_types.read_json(path)
    path.write_bytes(content.replace("KEY", key).encode("utf-8", "surrogateescape"))
    compute_types._speed_of_bfloat16.cache_clear()
    assert compute_type("auto", TOWER) == jnp.bfloat16 and not measured
    assert compute_types.read_json(path) == {key: 1.8}


def test_a_cache_folder_that_cannot_be_written_is_no_error(measured, monkeypatch, tmp_path):
    measured.append(1.9)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert compute_type("auto", TOWER) == jnp.bfloat16


def test_accelerators_get_bfloat16_unmeasured_and_other_types_stay(measured, monkeypatch):
    assert [compute_type(dtype, TOWER) for dtype in ("float32", jnp.bfloat16)] == ["float32", jnp.bfloat16]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compute_type("auto", TOWER) == jnp.bfloat16


def test_a_measurement_is_a_number_above_zero():
    assert 0 < compute_types.measured_speed(TOWER) < 1000


def test_a_run_and_a_model_with_auto_are_those_of_the_type_that_it_stands_for(measured, tmp_path, folder):
    measured.append(1.9)
    write_checkpoint(tmp_path, tiny_config())
    start = CLIP.from_pretrained(tmp_path, dtype="auto")
    assert start.vision.dtype == start.text.dtype == start.copy("auto").vision.dtype == jnp.bfloat16
    assert fingerprint(start) == fingerprint(start.copy("float32"))
    images, settings = colors(folder), replace(SETTINGS, epochs=1)
    automatic, named = (replace(settings, compute_dtype=name) for name in ("auto", "bfloat16"))
    notes = [describe_run(start, images, images, each) for each in (automatic, named)]
    assert notes[0] == notes[1] and notes[0]["settings"]["compute_dtype"] == "bfloat16"
    result = train(start, images, images, automatic, tmp_path / "run")
    assert "| compute_dtype | bfloat16 |" in (result.model_dir / "README.md").read_text()
    again = train(start, images, images, named, tmp_path / "run")  # finished: resumed, not refused
    assert again.exported_step == result.exported_step
