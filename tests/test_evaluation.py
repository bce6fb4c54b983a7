"""Zero-shot scores, on matrices made by hand and against torch's topk."""

import numpy as np
import pytest

from utils.evaluation import PROMPT_TEMPLATES, SPLIT_NAMES, ZeroShotResult, class_prompts, classify

NAMES = ("beach", "forest", "port")


def result(similarities, labels) -> ZeroShotResult:
    return ZeroShotResult(NAMES, np.array(labels), np.array(similarities, np.float32), NAMES)


BY_HAND = result(
    [[0.9, 0.1, 0.0], [0.2, 0.1, 0.8], [0.5, 0.6, 0.4], [0.1, 0.2, 0.3]],
    [0, 0, 0, 2],
)


def test_scores_by_hand():
    assert BY_HAND.ranks.tolist() == [0, 1, 1, 0]
    assert BY_HAND.scores((1, 2, 3)) == {1: 0.5, 2: 1.0, 3: 1.0}
    assert BY_HAND.per_class() == {"beach": pytest.approx(1 / 3), "port": 1.0}
    assert BY_HAND.confusion().tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 1]]


def test_of_equal_similarities_the_first_name_wins():
    tied = result([[0.5, 0.5, 0.5]] * 3, [0, 1, 2])
    assert tied.ranks.tolist() == [0, 1, 2]
    assert tied.predictions.tolist() == [0, 0, 0]


def test_score_at_k_is_what_torch_topk_gives():
    import torch

    generator = np.random.default_rng(0)
    similarities = generator.normal(size=(500, 30)).astype(np.float32)
    labels = generator.integers(0, 30, 500)
    ours = ZeroShotResult(tuple(map(str, range(30))), labels, similarities, ())
    for k in (1, 3, 5, 10):
        best = torch.from_numpy(similarities).topk(k, dim=1).indices
        expected = (best == torch.from_numpy(labels)[:, None]).any(dim=1).double().mean().item()
        assert ours.score(k) == pytest.approx(expected, abs=1e-12)


def test_order_of_images_does_not_matter():
    generator = np.random.default_rng(1)
    images = generator.normal(size=(40, 8)).astype(np.float32)
    prompts = generator.normal(size=(3, 8)).astype(np.float32)
    categories = [NAMES[number] for number in generator.integers(0, 3, 40)]
    order = generator.permutation(40)
    one = classify(images, prompts, categories, NAMES)
    other = classify(images[order], prompts, [categories[number] for number in order], NAMES)
    assert one.scores((1, 2)) == other.scores((1, 2))
    assert one.per_class() == other.per_class()


def test_prompts_as_published_and_split():
    unsplit = class_prompts(["storagetanks", "beach"], PROMPT_TEMPLATES["documents"])
    assert unsplit == ["An aerial photograph of storagetanks", "An aerial photograph of beach"]
    split = class_prompts(["storagetanks", "beach"], PROMPT_TEMPLATES["notebook"], split_names=True)
    assert split == ["An arial photograph of a storage tanks", "An arial photograph of a beach"]


def test_split_names_only_insert_spaces():
    assert all(name == split.replace(" ", "") for name, split in SPLIT_NAMES.items())


def test_what_cannot_be_scored_is_said_in_a_sentence():
    images, prompts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="no name for the categories desert"):
        classify(images, prompts, ["beach", "port", "desert"], NAMES)
    with pytest.raises(ValueError, match="do not fit"):
        classify(images[:, :2], prompts, ["beach"] * 3, NAMES)
    with pytest.raises(ValueError, match="not finite"):
        classify(images * np.nan, prompts, ["beach"] * 3, NAMES)
    with pytest.raises(ValueError, match="exactly one"):
        class_prompts(NAMES, "no place for a name")
