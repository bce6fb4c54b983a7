"""Weights between two models, against torch's own interpolation of transformers' weights."""

import numpy as np
import pytest
import torch
from flax import nnx
from tiny_clip import tiny_config, torch_clip, write_checkpoint
from training_world import parameters

from utils.clip import CLIP, normalize
from utils.clip.interpolation import choose_alpha, interpolate

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Two models of one shape as torch has them and as we do."""
    both = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"end{seed}")
        both.append((write_checkpoint(folder, tiny_config(), seed), CLIP.from_pretrained(folder)))
    return both


def test_interpolation_gives_what_torch_gives(ends):
    (first, baseline), (second, finetuned) = ends
    alpha = 0.3
    middle = torch_clip(tiny_config())
    other = second.state_dict()
    middle.load_state_dict({name: torch.lerp(array, other[name], alpha) for name, array in first.state_dict().items()})
    pixels = np.random.default_rng(0).normal(size=(3, 32, 32, 3)).astype(np.float32)
    tokens = np.array([[58, 3, 9, 59], [58, 20, 59, 59]], np.int32)
    with torch.no_grad():
        expected = middle(input_ids=torch.tensor(tokens).long(), pixel_values=torch.tensor(pixels).permute(0, 3, 1, 2))
    outputs = nnx.jit(lambda model, *inputs: (model.vision(inputs[0]), model.text(inputs[1]), model.logits(*inputs)))
    images, texts, logits = outputs(interpolate(baseline, finetuned, alpha), pixels, tokens)
    np.testing.assert_allclose(normalize(images), expected.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(normalize(texts), expected.text_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(logits, expected.logits_per_image.numpy(), atol=1e-4)


def test_both_ends_of_the_interpolation_are_exact(ends):
    (_, baseline), (_, finetuned) = ends
    before = [array.copy() for array in parameters(finetuned)]
    for alpha, end in ((0, baseline), (1, finetuned)):
        ours = interpolate(baseline, finetuned, alpha)
        for array, expected in zip(parameters(ours), parameters(end), strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, expected)
    for array, expected in zip(parameters(finetuned), before, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_alpha_is_chosen_by_the_score(ends):
    (_, baseline), (_, finetuned) = ends
    scales = [float(model.logit_scale[...]) for model in (baseline, finetuned)]
    target = 0.75 * scales[0] + 0.25 * scales[1]
    score = lambda model: -abs(float(model.logit_scale[...]) - target)  # noqa: E731
    alpha, curve = choose_alpha(baseline, finetuned, score, (1.0, 0.25, 0.0, 0.5))
    assert alpha == 0.25 and list(curve) == [0.0, 0.25, 0.5, 1.0]
    assert choose_alpha(baseline, finetuned, lambda model: 0.5, (1.0, 0.5))[0] == 0.5


def test_what_cannot_be_interpolated_is_said_in_a_sentence(ends, tmp_path):
    (_, baseline), _ = ends
    write_checkpoint(tmp_path, tiny_config(vision={"num_hidden_layers": 2}))
    other = CLIP.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="one shape"):
        interpolate(baseline, other, 0.5)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must be from 0"):
            interpolate(baseline, baseline, alpha)
